"""The ablation: an arm from the simulated atlas to its figures, what is there is kept, and the table."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from benchmarks import ablation
from hub_datasets.simulated_atlas import simulate_atlas


SIMULATION = {
    "num_chromosomes": 3,
    "chromosome_length": 200_000,
    "num_cell_types": 4,
    "num_motifs": 32,
    "num_variants": 60,
    "seed": 0,
}


@pytest.fixture
def small(monkeypatch):
    """Constants for an atlas of three chromosomes and four cell types, and steps that take no time."""
    monkeypatch.setattr(ablation, "SIMULATION", SIMULATION)
    monkeypatch.setattr(ablation, "HELD_OUT", ("sim04",))
    monkeypatch.setattr(ablation, "VALIDATION", ("chr2",))
    monkeypatch.setattr(ablation, "TEST", ("chr3",))
    pretraining = {**ablation.PRETRAINING, "per_device_train_batch_size": 4, "max_eval_windows": 4}
    monkeypatch.setattr(ablation, "PRETRAINING", pretraining)
    monkeypatch.setattr(ablation, "FINETUNING", {**ablation.FINETUNING, "per_device_train_batch_size": 4})
    return ["--seeds", "0", "--pretraining_steps", "2", "--finetuning_steps", "2", "--max_eval_windows", "6"]


def test_an_arm_from_data_to_figures_once_and_not_again(small, tmp_path, monkeypatch, capsys):
    arguments = [*small, "--work_dir", str(tmp_path / "work"), "--output_dir", str(tmp_path / "results")]
    arguments += ["--arms", "all"]
    with pytest.raises(ValueError, match="the simulated atlas has SHA-256 [0-9a-f]{64}, expected [0-9a-f]{64}: the"):
        ablation.main(arguments)
    monkeypatch.setattr(ablation, "FROZEN", ablation.content_hash(tmp_path / "work" / "atlas"))
    report = ablation.main(arguments)

    said = capsys.readouterr().out.splitlines()
    assert any(line.startswith("Jaccard overlap of the open regions of two simulated cell types: 0.") for line in said)
    assert json.loads(said[-1])["figures"] == report["figures"]
    stored = json.loads((tmp_path / "results" / "ablation" / "all_0.json").read_text())
    figures = stored["figures"]
    for columns in ("visible", "hidden"):  # 200 kb are too little for another locus, and for NGSP
        key = f"unseen_srm_other_cell_type_{columns}_auroc"
        assert figures[f"{key}_low"] <= figures[key] <= figures[f"{key}_high"]
    assert 0 <= figures["unseen_mgm_hidden_base_accuracy"] <= 1
    for config in ("tiles", "context", "shuffled"):
        assert 0 < figures[f"binding_{config}_auroc"] < 1 and 0 < figures[f"binding_{config}_within"] < 1
    assert {"binding_context_share", "promoters_auroc", "splice_mcc", "variants_spearman"} <= set(figures)
    assert stored["settings"]["simulation"] == SIMULATION
    assert stored["settings"]["simulation_sha256"] == ablation.FROZEN
    assert stored["settings"]["pretraining"]["max_train_steps"] == 2
    assert set(stored["seconds"]) == {
        *("pretraining", "evaluation", "binding_tiles", "binding_context", "binding_shuffled"),
        *("promoters", "splice", "variants"),
    }
    oracle = json.loads((tmp_path / "results" / "ablation" / "oracle.json").read_text())["figures"]
    assert oracle["binding_oracle_auroc"] > 0.9
    assert oracle["srm_other_cell_type_hidden_oracle_auroc"] > 0.9
    assert "without MGM" not in (tmp_path / "results" / "ablation" / "README.md").read_text()

    # What is there is not made again; what was made with other settings is refused.
    monkeypatch.setattr(ablation, "run_arm", None)
    monkeypatch.setattr(ablation, "run_oracle", None)
    assert ablation.main(arguments)["figures"] == report["figures"]
    with pytest.raises(ValueError, match="all_0.json: was made with another max_eval_windows; give another"):
        ablation.main([*arguments, "--max_eval_windows", "7"])


def test_every_arm_leaves_one_thing_out():
    fields = {name: (arm.pretraining, tuple(arm.model), arm.modality) for name, arm in ablation.ARMS.items()}
    assert len(set(fields.values())) == len(fields) == 8
    assert fields["all"] == ((), (), "both") and fields["scratch"] == (None, (), "both")
    assert fields["no_regions"] == (("--modality", "sequence"), (), "sequence")


def test_share_of_the_gap_that_is_closed():
    labels = np.array([[1], [1], [0], [0]])
    half = np.array([[0.9], [0.1], [0.5], [0.5]])  # AUROC 0.5
    better = np.array([[0.9], [0.4], [0.5], [0.1]])  # 0.75
    best = np.array([[0.9], [0.8], [0.2], [0.1]])  # 1.0
    ones = np.ones(4)
    assert ablation.share_closed(ones, half, better, best, labels) == 0.5
    assert ablation.share_closed(ones, half, best, best, labels) == 1.0
    assert ablation.share_closed(ones, better, half, best, labels) == -1.0
    assert np.isnan(ablation.share_closed(ones, best, half, best, labels))


def test_hash_is_of_the_content_but_not_of_the_card(tmp_path):
    options = {"num_chromosomes": 1, "chromosome_length": 50_000, "num_cell_types": 2, "num_variants": 0}
    atlas = simulate_atlas(tmp_path / "atlas", **options)
    before = ablation.content_hash(atlas)
    (atlas / "README.md").write_text("other words")
    peaks = atlas / "peaks" / "sim01.narrowPeak.gz"
    peaks.write_bytes(gzip.compress(gzip.decompress(peaks.read_bytes()), 1))
    assert ablation.content_hash(atlas) == before
    with (atlas / "truth" / "grammar.tsv").open("a") as file:
        file.write("another rule\n")
    assert ablation.content_hash(atlas) != before
    low, median, high = ablation.jaccard_overlaps(atlas)
    assert 0 < low == median == high < 1  # two cell types


def result(arm, seed, **figures):
    return {"arm": arm, "seed": seed, "figures": figures}


RESULTS = [
    result("all", 0, unseen_srm_other_locus_visible_auroc=0.8, binding_context_share=0.5, promoters_auroc=0.9),
    result("all", 1, unseen_srm_other_locus_visible_auroc=0.9, binding_context_share=0.7, promoters_auroc=0.9),
    result("scratch", 0, binding_context_share=0.25, binding_context_share_low=0.1, binding_context_share_high=0.4),
    result("oracle", 0, binding_oracle_auroc=0.995, binding_oracle_auroc_low=0.99, binding_oracle_auroc_high=0.999),
]


def test_means_and_spreads():
    figures = ablation.make_figures(RESULTS)
    assert figures["all_seeds"] == 2 and figures["scratch_seeds"] == 1 and "no_mgm_seeds" not in figures
    assert figures["all_unseen_srm_other_locus_visible_auroc"] == pytest.approx(0.85)
    assert figures["all_unseen_srm_other_locus_visible_auroc_spread"] == pytest.approx(0.0707, abs=1e-4)
    assert figures["all_binding_context_share"] == pytest.approx(0.6)
    assert figures["scratch_binding_context_share_low"] == 0.1
    assert "scratch_binding_context_share_spread" not in figures


def test_table_of_literal_figures():
    lines = ablation.make_table(RESULTS, seeds=[0, 1]).splitlines()
    assert "| all losses | 2 | 0.850 ± 0.071 | – | – | – | – | – | – |" in lines
    assert "| all losses | 2 | – | – | – | 0.600 ± 0.141 | – | 0.900 ± 0.000 | – | – |" in lines
    assert "| no pre-training | 1 | – | – | – | 0.250 (0.100 to 0.400) | – | – | – | – |" in lines
    assert "- TF binding, the simulator's own rule: 0.995 (0.990 to 0.999)" in lines
    assert lines[-1].startswith("Missing (arm, seed): no_mgm 0, no_ngsp 0, no_srm 0, no_hard_negatives 0, no_regions")
    assert lines[-1].endswith("plain 1, scratch 1.")
    assert sum(line.startswith("| without") for line in lines) == 0


def test_the_table_alone_needs_results(tmp_path, capsys):
    with pytest.raises(ValueError, match="ablation: no results yet; run without --table first"):
        ablation.main(["--table", "--output_dir", str(tmp_path)])
    with pytest.raises(SystemExit):
        ablation.main(["--output_dir", str(tmp_path)])
    assert "--work_dir is needed" in capsys.readouterr().err
