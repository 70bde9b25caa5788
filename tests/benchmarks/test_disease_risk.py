from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks import disease_risk, disease_risk_finetuned
from benchmarks.disease_risk import (
    Variants,
    correlations,
    elements_without_signal,
    figures_of,
    main,
    mean_over_groups,
    replicate_ceilings,
    run_once,
    summarise,
)
from benchmarks.disease_risk_finetuned import fit_finetuned
from benchmarks.disease_risk_opponents import LeaveOneGroupOutRidge, fit_cnn
from hub_datasets.disease_risk.mpra import read_mpra


HEADER = "Chrom\tPos\tRef\tAlt\tBarcodes\tDNA\tRNA\tCoefficient\tpValue\tElement\tRelease\n"


@pytest.fixture(scope="module")
def mpra_file(tmp_path_factory):
    """Three elements of 40 bp and a repeat of the first; a variant that breaks TGACTCA lowers the effect."""
    rng = np.random.default_rng(0)
    lines = []
    for number, name in enumerate(["E0", "E0.2", "E1", "E2"]):
        chrom = str(max(number - 1, 0))
        bases = np.random.default_rng(number if number != 1 else 0).choice(list("ACGT"), size=40)
        bases[15:22] = list("TGACTCA")
        for place, ref in enumerate(bases):
            for alt in [base for base in "ACGT" if base != ref] + ["-"]:
                effect = (-1.0 if 15 <= place < 22 else 0.0) + 0.1 * rng.normal()
                p_value = 1e-9 if 15 <= place < 22 and name != "E2" else 0.5
                lines.append(f"{chrom}\t{place + 101}\t{ref}\t{alt}\t20\t1\t1\t{effect}\t{p_value}\t{name}\tGRCh37\n")
    path = tmp_path_factory.mktemp("mpra") / "mpra.tsv"
    path.write_text(HEADER + "".join(lines))
    return path


@pytest.fixture(scope="module")
def variants(mpra_file):
    return Variants.of(read_mpra(mpra_file))


def test_repeats_are_one_variant(variants):
    assert len(variants) == 3 * 160 and len(variants.table) == 4 * 160
    assert set(variants.group.tolist()) == {"E0", "E1", "E2"}
    rows = np.flatnonzero(variants.variant_of_row == 0)
    table = variants.table
    expected = np.mean([table.effect[row] / table.effect[table.element == table.element[row]].std() for row in rows])
    assert len(rows) == 2 and variants.target[0] == pytest.approx(expected, rel=1e-5)
    assert np.abs(variants.target).max() <= 3


def test_windows_are_shared(variants):
    windows = variants.windows(21)
    assert len(windows.reference) == len(windows.alternate) == 480
    assert len(set(windows.reference.tolist())) == 3 * 40
    assert (windows.reference != windows.alternate).all() or len(windows.sequences) < 120 + 480
    same_place = windows.reference[:4]
    assert len(set(same_place.tolist())) == 1 and len(windows.sequences[same_place[0]]) == 11


def test_correlations():
    found = correlations(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 4.0]))
    assert found["pearson"] == pytest.approx(0.9608, abs=1e-4) and found["spearman"] == pytest.approx(1)
    assert correlations(np.zeros(3), np.arange(3.0)) == {"pearson": 0, "spearman": 0}


def test_figures_are_those_of_each_element(variants):
    truth = variants.target[variants.group == "E0"]
    figures = figures_of(variants, "E0", truth)
    assert set(figures) == {"pearson_E0", "spearman_E0", "pearson_E0.2", "spearman_E0.2"}
    assert 0.8 < figures["pearson_E0"] < 1 and 0.8 < figures["pearson_E0.2"] < 1
    assert figures_of(variants, "E0", np.abs(truth), unsigned=True)["pearson_E0"] > 0.8


def test_what_the_table_says(variants):
    assert elements_without_signal(variants.table) == {"E2": 0.0}
    ceilings = replicate_ceilings(variants.table)
    assert list(ceilings) == ["E0 and E0.2"] and 0.85 < ceilings["E0 and E0.2"] < 1


def test_ridge_leaves_the_group_out():
    rng = np.random.default_rng(0)
    group = np.repeat(["a", "b", "c"], 50)
    features = rng.normal(size=(150, 4))
    target = features @ [1.0, -2.0, 0.0, 0.5]
    target[group == "c"] *= -1  # of no use for a and b, which have to be left out themselves
    model = LeaveOneGroupOutRidge(features, target, group, [1e-2, 1e6])
    predicted, penalty = model.predict("c")
    np.testing.assert_allclose(predicted, -target[group == "c"], atol=1e-2)
    assert penalty == 1e-2
    rows = group != "c"
    expected = np.linalg.solve(features[rows].T @ features[rows] + 1e-2 * np.eye(4), features[rows].T @ target[rows])
    np.testing.assert_allclose(model.weights(frozenset({"c"}), 1e-2), expected, rtol=1e-4, atol=1e-5)


def test_cnn_learns_and_repeats():
    rng = np.random.default_rng(0)
    codes = rng.integers(4, size=(600, 20), dtype=np.uint8)
    reference, alternate = np.arange(300), np.arange(300, 600)
    target = ((codes[300:] >= 2).mean(axis=1) - (codes[:300] >= 2).mean(axis=1)).astype(np.float32) * 10
    train, test = np.arange(256), np.arange(256, 300)
    first, again = (fit_cnn(codes, reference, alternate, target, train, test, seed=0) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == (44,) and np.isfinite(first).all()
    same = fit_cnn(codes, reference, reference, target, train, test, seed=0)
    np.testing.assert_allclose(same, 0, atol=1e-6)  # equal alleles have no effect


def test_summary_is_paired_over_groups():
    runs = {
        "genebert": {"a": [{"pearson_a": 0.5, "spearman_a": 0.4}], "b": [{"pearson_b": 0.3, "spearman_b": 0.2}]},
        "cnn": {
            "a": [{"pearson_a": 0.3, "spearman_a": 0.4}, {"pearson_a": 0.5, "spearman_a": 0.4}],
            "b": [{"pearson_b": 0.2, "spearman_b": 0.2}],
        },
    }
    summary = summarise(runs)
    assert summary["genebert_pearson"] == pytest.approx(0.4) and summary["cnn_pearson_a"] == pytest.approx(0.4)
    assert summary["genebert_minus_cnn_pearson"] == pytest.approx(0.1)
    assert summary["genebert_minus_cnn_pearson_low"] == pytest.approx(0.1)  # both groups by the same
    assert summary["genebert_minus_cnn_spearman_high"] == pytest.approx(0)
    draws = np.array([[0, 0], [0, 1], [1, 1]])
    found = mean_over_groups("x", np.array([0.0, 1.0]), draws)
    assert found == {"x": 0.5, "x_low": pytest.approx(0.025), "x_high": pytest.approx(0.975)}


def test_a_run_is_done_once(tmp_path):
    calls = []

    def run():
        calls.append(1)
        return {"pearson_E": 0.5}

    first = run_once("arm_E_seed0", {"penalties": (1, 2)}, tmp_path, run)
    assert run_once("arm_E_seed0", {"penalties": (1, 2)}, tmp_path, run) == first and len(calls) == 1
    run_once("arm_E_seed0", {"penalties": (1, 3)}, tmp_path, run)
    assert len(calls) == 2


def test_a_small_benchmark_and_its_resumption(mpra_file, atlas_folder, tmp_path, capsys):
    options = ["--mpra", str(mpra_file), "--motifs", str(atlas_folder / "motifs.safetensors")]
    options += ["--output_dir", str(tmp_path), "--arms", "motif_ridge", "cnn", "motif_sum", "wide"]
    main(options)
    report = json.loads((tmp_path / "disease_risk.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report
    figures, settings = report["figures"], report["settings"]
    for arm in ("motif_ridge", "cnn", "motif_sum", "wide"):
        assert all(-1 <= figures[f"{arm}_{metric}_E0.2"] <= 1 for metric in disease_risk.METRICS)
        assert figures[f"{arm}_pearson_low"] <= figures[f"{arm}_pearson"] <= figures[f"{arm}_pearson_high"]
    assert settings["elements_without_signal"] == {"E2": 0.0} and settings["variants"] == 480
    files = sorted((tmp_path / "disease_risk").glob("*.json"))
    assert len(files) == 4 * 3
    before = [file.read_bytes() for file in files]
    main(options)
    assert [file.read_bytes() for file in files] == before


def test_genebert_from_a_checkpoint(mpra_file, pretrained, tmp_path):
    """A pre-trained model that classifies nothing: its zero-shot figure has no sign."""
    options = ["--mpra", str(mpra_file), "--motifs", str(pretrained / "motifs.safetensors")]
    options += ["--model_name_or_path", str(pretrained), "--output_dir", str(tmp_path)]
    main([*options, "--arms", "genebert", "deep", "zero_shot", "wide"])
    figures = json.loads((tmp_path / "disease_risk.json").read_text())["figures"]
    difference = figures["genebert_pearson"] - figures["wide_pearson"]
    assert figures["genebert_minus_wide_pearson"] == pytest.approx(difference)
    assert -1 <= figures["zero_shot_spearman_E1"] <= 1


TINY = {
    **disease_risk_finetuned.MODEL,
    "kmer": 3,
    "conv_kernel_size": 5,
    "sequence_config": {**disease_risk_finetuned.MODEL["sequence_config"], "hidden_size": 32, "num_hidden_layers": 1},
    "region_config": {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "drop_path_rate": 0.0},
}


@pytest.fixture()
def tiny_training(monkeypatch):
    monkeypatch.setattr(disease_risk_finetuned, "MODEL", TINY)
    small = {"max_steps": 2, "per_device_train_batch_size": 16}
    monkeypatch.setattr(disease_risk_finetuned, "TRAINING", {**disease_risk_finetuned.TRAINING, **small})


def test_finetuning_learns_what_a_base_does(atlas_folder, tiny_training, monkeypatch):
    """Each G that is lost lowers the effect: learnt from some variants, it holds for others."""
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(300):
        bases = rng.choice(list("ACGT"), size=21)
        changed = bases.copy()
        changed[10] = rng.choice([base for base in "ACGT" if base != bases[10]])
        pairs.append(("".join(bases), "".join(changed)))
    sequences = [sequence for pair in pairs for sequence in pair]
    target = np.array([alt.count("G") - ref.count("G") for ref, alt in pairs]) + np.zeros(300, np.float32)
    # One strand: on the other a G is a C.
    options = {"max_steps": 100, "learning_rate": 2e-3, "average_strands": False, "lr_scheduler_type": "constant"}
    options |= {"reverse_complement_augmentation": False, "per_device_train_batch_size": 32, "warmup_steps": 0}
    training = {**disease_risk_finetuned.TRAINING, **options}
    monkeypatch.setattr(disease_risk_finetuned, "TRAINING", training)
    monkeypatch.setattr(disease_risk_finetuned, "LEARNING_RATE", {"scratch": 2e-3})
    places = np.arange(0, 600, 2), np.arange(1, 600, 2)
    train, test = np.arange(240), np.arange(240, 300)
    motifs = str(atlas_folder / "motifs.safetensors")
    predicted = fit_finetuned(sequences, *places, target, train, test, seed=0, motifs=motifs)
    assert predicted.shape == (60,)
    assert correlations(predicted, target[test])["pearson"] > 0.8


def test_finetuned_from_a_checkpoint_and_from_scratch(mpra_file, pretrained, tmp_path, tiny_training):
    options = ["--mpra", str(mpra_file), "--motifs", str(pretrained / "motifs.safetensors"), "--groups", "E0", "E2"]
    options += ["--output_dir", str(tmp_path), "--arms", "finetuned_scratch", "finetuned"]
    main([*options, "--model_name_or_path", str(pretrained)])
    report = json.loads((tmp_path / "disease_risk.json").read_text())
    for arm in ("finetuned", "finetuned_scratch"):
        assert -1 <= report["figures"][f"{arm}_pearson_E0.2"] <= 1
    files = {file.stem: json.loads(file.read_text()) for file in (tmp_path / "disease_risk").glob("*.json")}
    assert set(files) == {
        f"{arm}_{group}_seed42" for arm in ("finetuned", "finetuned_scratch") for group in ("E0", "E2")
    }
    assert len(files["finetuned_E0_seed42"]["settings"]["checkpoints"]) == 1
    assert "checkpoints" not in files["finetuned_scratch_E0_seed42"]["settings"]
    assert json.loads(files["finetuned_scratch_E0_seed42"]["settings"]["config_overrides"]) == TINY
    assert (
        files["finetuned_E0_seed42"]["figures"]["pearson_E0"]
        != files["finetuned_scratch_E0_seed42"]["figures"]["pearson_E0"]
    )


def test_genebert_needs_a_checkpoint(mpra_file, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--mpra", str(mpra_file), "--output_dir", str(tmp_path), "--arms", "genebert"])
    assert "genebert: give --model_name_or_path, or other --arms" in capsys.readouterr().err
