from __future__ import annotations

import json

import numpy as np
import pytest
from datasets import Dataset

from benchmarks import splice
from benchmarks.splice import SiteModel, fit_site_model, of_kind, sequence_figures, summarise, table_of
from hub_datasets.splice_sites.sites import BASE_LABELS, LABELS
from hub_datasets.task_tables import PLACE, features_of
from modeling_genebert.dna_genebert import encode_dna


def codes(*sequences):
    return np.stack([encode_dna(sequence) for sequence in sequences])


def test_weight_matrix():
    # A=0, T=1, C=2, G=3. Sites: A in 3 of 4, then G always; others: each base once.
    sites, others = codes("AG", "AG", "AG", "CG"), codes("AA", "TT", "CC", "GG")
    model = SiteModel.fit(sites, others, site_index=1, order=0)
    # Shares with a pseudocount: (3 + 1) / 8 against 2 / 8, and so on.
    np.testing.assert_allclose(model.log_odds[0, 4], [1, -1, 0, -1, 0])
    np.testing.assert_allclose(model.log_odds[1, 4], [-1, -1, -1, np.log2(5 / 2), 0])
    # Every base is scored as the second position; before the first base nothing is known.
    np.testing.assert_allclose(model.score(codes("GAGN")), [[np.log2(5 / 2), -2, 1 + np.log2(5 / 2), -1]])


def test_markov():
    sites, others = codes("AG", "AG", "CT", "CT"), codes("AG", "AT", "CG", "CT")
    model = SiteModel.fit(sites, others, site_index=0, order=1)
    np.testing.assert_allclose(model.log_odds[0], np.zeros((5, 5)))
    # After A: G in (2 + 1) / 6 of the sites, (1 + 1) / 6 of the others; T in 1 / 6 and 2 / 6.
    np.testing.assert_allclose(model.log_odds[1, 0], [0, -1, 0, np.log2(3 / 2), 0])
    np.testing.assert_allclose(model.log_odds[1, 2], [0, np.log2(3 / 2), 0, -1, 0])
    np.testing.assert_allclose(model.score(codes("AGCGC")), [[np.log2(3 / 2), 0, -1, 0, 0]])
    # What each base is given its neighbour tells these apart, the bases by themselves do not.
    assert np.abs(SiteModel.fit(sites, others, 0, 0).log_odds).max() == 0


@pytest.mark.parametrize(("kind", "width", "site_index"), [("donor", 9, 3), ("acceptor", 23, 19)])
def test_what_a_site_model_reads(kind, width, site_index):
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 4, (50, 40)).astype(np.uint8)
    is_site = np.zeros(rows.shape, dtype=bool)
    is_site[:, 25] = True
    rows[:, 23:29] = encode_dna("AGGTAA" if kind == "donor" else "CAGGTC")  # 25 is the site's own base
    model = fit_site_model(rows, is_site, ~is_site, kind, order=0)
    assert (len(model.log_odds), model.site_index) == (width, site_index)
    assert model.log_odds[site_index, 4].argmax() == 3
    assert model.log_odds[site_index + 1, 4].argmax() == (1 if kind == "donor" else 3)
    assert (model.score(rows).argmax(axis=1) == 25).all()


def sequence_table(rows):
    features = features_of("single_label_classification", LABELS, [*PLACE, "id"])
    columns = {
        "sequence": ["ACGT"] * len(rows),
        "label": [LABELS.index(kind if kind in LABELS else "neither") for kind, _ in rows],
        "chrom": ["chr1"] * len(rows),
        "start": [start for _, start in rows],
        "end": [start + 4 for _, start in rows],
        "strand": ["+"] * len(rows),
        "id": [f"my gene {kind} chr1:{start + 2}(+)" for kind, start in rows],
    }
    return Dataset.from_dict(columns, features=features)


def test_sequences_are_ranked_among_their_own_decoys():
    kinds = ["donor", "GT decoy", "donor", "acceptor", "AG decoy", "acceptor", "GT decoy", "AG decoy"]
    table = sequence_table([(kind, 200_000 * number) for number, kind in enumerate(kinds)])
    assert of_kind(table, "donor").tolist() == [True, True, True, False, False, False, True, False]
    assert of_kind(table, "acceptor").tolist() == [False, False, False, True, True, True, False, True]
    scores = {"donor": np.array([3, 2, 1, 9, 9, 9, 0, 9.0]), "acceptor": np.array([9, 9, 9, 2, 1, 3, 9, 0.0])}
    figures = sequence_figures(table, scores)
    assert figures["sequences_donor_auroc"] == 0.75
    assert figures["sequences_donor_top_k"] == 0.5
    assert figures["sequences_acceptor_auroc"] == figures["sequences_acceptor_top_k"] == 1
    assert figures["sequences_donor_auroc_low"] < 0.75 < figures["sequences_donor_auroc_high"]


def test_bases_are_ranked_among_all_bases():
    features = features_of("token_classification", BASE_LABELS, PLACE)
    columns = {
        "sequence": ["ACGT", "ACGT"],
        "base_labels": [[0, 2, 0, 0], [1, 0, 0, 2]],
        "chrom": ["chr1", "chr2"],
        "start": [0, 0],
        "end": [4, 4],
        "strand": ["+", "-"],
    }
    table = Dataset.from_dict(columns, features=features)
    scores = {"donor": np.array([0, 9, 1, 0, 2, 0, 0, 1.5]), "acceptor": np.array([1, 2, 3, 4, 8, 5, 6, 7.0])}
    figures = splice.base_figures(table, scores)
    assert figures["per_base_donor_top_k"] == 0.5
    assert figures["per_base_donor_auroc"] == pytest.approx(11 / 12)
    assert figures["per_base_acceptor_top_k"] == figures["per_base_acceptor_auprc"] == 1


def test_summary():
    summary = summarise({"a": [{"x": 1, "x_low": 0}, {"x": 3, "x_low": 0}], "b": [{"x": 5}]})
    assert summary == {"a_x": 2, "a_x_spread": pytest.approx(2**0.5), "b_x": 5}
    keys = [f"b_per_base_{kind}_{name}" for kind in splice.KINDS for name in splice.METRICS]
    assert table_of(dict.fromkeys(keys, 0.25), ["a", "b"]).splitlines()[2:] == [
        "| b | per_base | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 | 0.250 |"
    ]


def test_all_arms_on_the_atlas(atlas_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(splice, "NUM_RESAMPLES", 10)
    monkeypatch.setattr(splice, "BLOCK", 10_000)  # its chromosomes are shorter than a block
    given = ["--gtf", str(atlas_folder / "genes.gtf"), "--genome", str(atlas_folder / "genome.fa")]
    given += ["--test_chromosomes", "chr3", "--seeds", "1"]
    given += ["--work_dir", str(tmp_path / "work"), "--output_dir", str(tmp_path / "results")]
    training = ["--use_cpu", "--max_steps", "2", "--motifs", str(atlas_folder / "motifs.safetensors")]
    training += ["--cache_dir", str(tmp_path / "cache")]
    splice.main([*given, *training])
    out = capsys.readouterr().out
    assert "| markov | per_base |" in out
    assert "| genebert_per_base | sequences |" in out
    report = json.loads(out.splitlines()[-1])
    figures = report["figures"]
    assert report == json.loads((tmp_path / "results" / "splice.json").read_text())
    assert 0.9 < figures["weight_matrix_per_base_donor_auroc"] <= 1
    for name in ("genebert_sequences_donor_top_k", "genebert_per_base_per_base_acceptor_auprc"):
        assert 0 <= figures[name] <= 1
    assert report["settings"]["rows"]["sequences_test_donor"] == report["settings"]["rows"]["per_base_test_donor"]
    names = sorted(path.name for path in (tmp_path / "results" / "splice").iterdir())
    assert names == ["genebert_per_base_seed1.json", "genebert_seed1.json", "markov.json", "weight_matrix.json"]

    # Nothing is run twice, but what has other settings.
    (tmp_path / "results" / "splice" / "markov.json").unlink()
    ran = []
    monkeypatch.setattr(splice, "run_opponent", lambda order, folder: ran.append(order) or {"x": 1.0})
    monkeypatch.setattr(splice, "run_genebert", lambda arm, *rest: ran.append(arm) or {"x": 1.0})
    splice.main([*given, *training])
    assert ran == [1]
    splice.main([*given, *training, "--learning_rate", "1e-4"])
    assert ran == [1, "genebert", "genebert_per_base"]
