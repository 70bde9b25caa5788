"""Unseen cell types: the locus itself is hidden, shuffled context is another cell type's, results are kept."""

from __future__ import annotations

import gzip
import json
import shutil

import datasets
import numpy as np
import pytest

from benchmarks import simulated_binding
from benchmarks import unseen_cell_types as benchmark
from hub_datasets.simulated_atlas import simulate_atlas
from hub_datasets.tf_binding_sites.regions import AccessibleRegions
from modeling_genebert import MotifBank


CELL_TYPES = ["a", "b", "c", "d"]


def make_loci(accessibility: np.ndarray | None = None) -> benchmark.Loci:
    """90 loci of 20 bp on three chromosomes, 1 kb apart, with 5 motif scores each."""
    rng = np.random.default_rng(0)
    if accessibility is None:
        accessibility = (rng.random((90, 4)) * (rng.random((90, 4)) < 0.4)).astype(np.float32)
        accessibility[3] = [0, 0, 0.5, 0]  # open in c only
    regions = AccessibleRegions(
        chromosomes=["chr1", "chr2", "chr3"],
        chrom=np.repeat([0, 1, 2], 30),
        start=np.tile(np.arange(30) * 1000, 3).astype(np.int64),
        width=20,
        sequences=["".join(rng.choice(list("ACGT"), size=20)) for _ in range(90)],
        cell_types=CELL_TYPES,
        accessibility=accessibility,
    )
    scores = np.random.default_rng(1).random((90, 5)).astype(np.float32)
    return benchmark.make_loci(regions, scores, validation=("chr3",), test=("chr2",))


def test_windows_splits_and_means():
    loci = make_loci()
    assert loci.neighbours.shape == (90, 32) and (loci.neighbours[:, 15] == np.arange(90)).all()
    assert loci.present[0].tolist() == [False] * 15 + [True] * 17
    assert loci.present[29].tolist() == [True] * 16 + [False] * 16  # chr2 follows
    assert loci.split.tolist() == ["train"] * 30 + ["test"] * 30 + ["validation"] * 30
    assert len(set(loci.blocks.tolist())) == 3
    assert loci.mean_of_training(("c", "d"))[3] == 0  # known from the held-out cell types only
    assert loci.mean_of_training(("a", "b"))[3] == 0.5
    assert loci.mean_of_training(("a", "b"), without=2)[3] == 0


def test_features_do_not_see_the_locus_itself():
    loci = make_loci()
    turned = loci.regions.accessibility.copy()
    turned[10, 2] = 0.0 if turned[10, 2] else 0.9
    other = make_loci(turned)
    before, after = benchmark.context_features(loci, 2), benchmark.context_features(other, 2)
    np.testing.assert_array_equal(before[10], after[10])
    assert (before[11] != after[11]).any()  # it is a neighbour there
    np.testing.assert_array_equal(before[40], after[40])  # on the other chromosome


def test_tables_hide_the_locus_itself(tmp_path):
    loci = make_loci()
    benchmark.write_locus_tables(loci, ("c", "d"), tmp_path / "set")
    rows = datasets.load_dataset(str(tmp_path / "set"), "context")
    assert set(rows["train"]["cell_type"]) == {"a", "b"} and set(rows["test"]["cell_type"]) == {"c", "d"}
    assert len(rows["train"]) == 60 and len(rows["test"]) == 60
    for row in rows["test"]:
        assert np.isnan(row["accessibility"][row["anchor"]])
        assert np.isfinite(np.delete(row["accessibility"], row["anchor"])).all()
        assert loci.regions.sequences[row["region_ids"][row["anchor"]]] == row["sequence"]
        assert min(row["region_ids"]) >= 30 and max(row["region_ids"]) < 60
    labels = [row["label"] for row in rows["test"] if row["cell_type"] == "c"]
    assert labels == loci.is_open[30:60, 2].astype(int).tolist()

    known = datasets.load_dataset(str(tmp_path / "set"), "context_and_mean")
    for row in known["train"]:
        locus = row["region_ids"][row["anchor"]]
        other = loci.is_open[locus, 1 if row["cell_type"] == "a" else 0]  # two training types: the other one
        assert row["accessibility"][row["anchor"]] == other == 1.0
    assert len(known["test"]) == 2 * loci.is_open[30:60, :2].any(axis=1).sum()
    assert "region_ids" not in datasets.load_dataset(str(tmp_path / "set"), "sequence")["train"].column_names


def test_figures_of_perfect_and_of_the_means_own_scores():
    loci = make_loci()
    pair = ("c", "d")
    perfect = {name: loci.is_open[:, column].astype(float) for name, column in zip(pair, (2, 3), strict=True)}
    figures = benchmark.real_figures(loci, pair, perfect, only_known=False)
    assert figures["c_all_auroc"] == figures["d_known_auroc"] == 1.0
    assert figures["c_all_gain_over_mean"] > 0.2
    same = benchmark.real_figures(loci, pair, benchmark.mean_scores(loci, pair), only_known=True)
    assert [key for key in same if not key.endswith(("_low", "_high"))] == [
        "c_known_auroc",
        "c_known_gain_over_mean",
        "d_known_auroc",
        "d_known_gain_over_mean",
    ]
    assert same["d_known_gain_over_mean_low"] == same["d_known_gain_over_mean_high"] == 0.0


def test_macro_auroc_leaves_out_labels_of_one_class():
    scores = np.array([[0.1, 0.3], [0.9, 0.2], [0.5, 0.1]])
    labels = np.array([[0, 0], [1, 0], [0, 0]])
    assert benchmark.macro_auroc(np.ones(3), scores, labels) == 1.0
    assert benchmark.macro_auroc(np.ones(3), -scores, labels) == 0.0


def test_borrowed_context_is_that_of_another_cell_type_in_the_same_region():
    columns = {"sequence": [], "cell_type": [], "region_ids": [], "accessibility": [], "anchor": []}
    for number, cell_type in enumerate(CELL_TYPES[:3]):
        for region in range(50):
            columns["sequence"].append(str(region))
            columns["cell_type"].append(cell_type)
            columns["region_ids"].append([region])
            columns["accessibility"].append([float(number)])
            columns["anchor"].append(0)
    lender = datasets.Dataset.from_dict(columns)
    own = lender.select(range(100))  # a and b
    borrowed = simulated_binding.with_borrowed_context(own, lender, np.random.default_rng(0))
    assert borrowed["cell_type"] == own["cell_type"] and borrowed["region_ids"] == own["region_ids"]
    from_a = [row["accessibility"][0] for row in borrowed if row["cell_type"] == "a"]
    assert set(from_a) == {1.0, 2.0} and 10 < from_a.count(1.0) < 40


def test_one_motif_stays_of_each_family():
    strong, weak = np.array([[9.0, 0, 0, 1]] * 8), np.array([[5.0, 2, 2, 1]] * 8)
    bank = MotifBank(["1", "2", "3"], ["x", "y", "z"], ["f", "f", "g"], [weak, strong, weak])
    assert benchmark.motif_of_each_family(bank).ids == ["2", "3"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """An atlas of three chromosomes and four cell types, and the same files laid out as the real data."""
    folder = tmp_path_factory.mktemp("unseen")
    atlas = simulate_atlas(
        folder / "work" / "atlas",
        num_chromosomes=3,
        chromosome_length=120_000,
        num_cell_types=4,
        num_motifs=32,
        num_variants=0,
    )
    data = folder / "data"
    shutil.copytree(atlas / "peaks", data / "blood_atac")
    (data / "genome").mkdir()
    (data / "genome" / "hg19_pieces.fa.gz").write_bytes(gzip.compress((atlas / "genome.fa").read_bytes(), 1))
    return folder


def test_the_command_runs_keeps_and_reports(small, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "VALIDATION_CHROMOSOMES", ("chr2",))
    monkeypatch.setattr(benchmark, "TEST_CHROMOSOMES", ("chr3",))
    monkeypatch.setattr(benchmark, "SIMULATED_HELD_OUT", ("sim04",))
    monkeypatch.setattr(benchmark, "SIMULATED_VALIDATION", ("chr2",))
    monkeypatch.setattr(benchmark, "SIMULATED_TEST", ("chr3",))
    arguments = ["--data_dir", str(small / "data"), "--work_dir", str(small / "work"), "--results_dir", str(small)]
    arguments += ["--real_arms", "mean", "trees_context", "genebert_context_and_mean", "--pairs", "sim02+sim04"]
    arguments += ["--simulated_arms", "oracle", "trees_context", "shuffled", "--epochs", "0.1"]
    report = benchmark.main(arguments)

    figures = report["figures"]
    assert figures["real_mean_sim02_all_gain_over_mean"] == 0.0
    assert 0.0 <= figures["real_trees_context_sim04_all_auroc"] <= 1.0
    assert 0.0 <= figures["real_genebert_context_and_mean_sim04_known_auroc"] <= 1.0
    assert figures["simulated_oracle_auroc"] > 0.9
    assert 0.0 < figures["simulated_shuffled_auroc"] < 1.0
    assert figures["simulated_trees_context_auroc"] > 0.6
    assert json.loads(capsys.readouterr().out.strip().split("\n")[-1])["figures"] == figures
    stored = sorted(file.name for file in (small / "unseen_cell_types").iterdir())
    assert stored == [
        "real_genebert_context_and_mean_sim02_sim04_0.json",
        "real_mean_sim02_sim04_0.json",
        "real_trees_context_sim02_sim04_0.json",
        "simulated_oracle_0.json",
        "simulated_shuffled_0.json",
        "simulated_trees_context_0.json",
    ]

    # What is there is not made again.
    monkeypatch.setattr(benchmark, "run_real", None)
    monkeypatch.setattr(benchmark, "run_simulated", None)
    assert benchmark.main(arguments)["figures"] == figures


def test_data_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="blood_atac: no files ending in .narrowPeak.gz"):
        benchmark.main(["--data_dir", str(tmp_path), "--work_dir", str(tmp_path / "work"), "--simulated_arms"])
