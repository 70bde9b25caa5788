from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.gue import PUBLISHED, SETS, SETTINGS, make_figures, make_table
from benchmarks.gue_opponents import fit_cnn, opposite_strand

from ..running import ROOT


pytest.importorskip("pyjaspar")
torch = pytest.importorskip("torch")


def write_set(folder, sizes, seed=0):
    """TATA boxes against random DNA, 30 bp."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    for split, size in sizes.items():
        with open(folder / f"{split}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["sequence", "label"])
            for row in range(size):
                bases = "".join(rng.choice(list("ACGT"), 30))
                writer.writerow([bases[:10] + "TATAAAAG" + bases[18:] if row % 2 else bases, row % 2])


@pytest.fixture(scope="module")
def gue(tmp_path_factory):
    folder = tmp_path_factory.mktemp("GUE")
    write_set(folder / "tf" / "3", {"train": 64, "dev": 16, "test": 16})
    return folder


def run(*options):
    command = [sys.executable, "-m", "benchmarks.gue", *map(str, options)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_all_arms_once_and_not_again(gue, tmp_path):
    options = ["--data_dir", gue, "--sets", "tf_3", "--seeds", "0", "--arms", "both", "trees", "cnn"]
    options += ["--max_steps", 2, "--cache_dir", tmp_path / "cache", "--output_dir", tmp_path]
    result = run(*options)
    assert result.returncode == 0, result.stderr
    names = ["tf_3-both-scratch-seed0", "tf_3-trees-seed0", "tf_3-cnn-seed0"]
    found = {name: json.loads((tmp_path / "gue" / f"{name}.json").read_text()) for name in names}
    both = found["tf_3-both-scratch-seed0"]
    assert (both["set"], both["arm"], both["start"], both["seed"]) == ("tf_3", "both", "scratch", 0)
    assert both["test_mcc_low"] <= both["test_mcc"] <= both["test_mcc_high"]
    assert 0 < both["num_parameters"] < 30_000_000
    assert both["settings"]["max_steps"] == 2 and "train_file" not in both["settings"]
    assert json.loads(both["settings"]["config_overrides"])["num_conv_layers"] == 1
    report = json.loads(result.stdout.splitlines()[-1])
    assert report == json.loads((tmp_path / "gue.json").read_text())
    assert report["figures"]["tf_3"] == both["test_mcc"]
    assert report["figures"]["tf_3_trees"] == found["tf_3-trees-seed0"]["test_mcc"]
    assert "GeneBERT" in (tmp_path / "gue" / "README.md").read_text()

    again = run(*options)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("is there") == 3
    assert json.loads((tmp_path / "gue" / f"{names[0]}.json").read_text()) == both


def test_folders_without_the_files_are_named(tmp_path):
    write_set(tmp_path / "tf" / "3", {"train": 4})
    result = run("--data_dir", tmp_path, "--sets", "tf_3", "--arms", "cnn", "--output_dir", tmp_path)
    assert result.returncode == 1
    assert "no file for validation, test" in result.stderr


def result_of(name, seed, mcc, arm="both", start="scratch"):
    intervals = {"test_mcc": mcc, "test_mcc_low": mcc - 4, "test_mcc_high": mcc + 4}
    return {"set": name, "seed": seed, "arm": arm, "start": start, "num_parameters": 1_000_000, **intervals}


def test_figures_and_table():
    results = [result_of(f"tf_{number}", seed, 60.0 + number + seed) for number in range(5) for seed in (0, 1)]
    results.append(result_of("prom_core_tata", 0, 70.0, "trees", None))
    figures = make_figures(results)
    assert figures["tf_0"] == 60.5 and figures["tf_0_spread"] == pytest.approx(0.5**0.5)
    assert figures["tf_mean"] == 62.5 and figures["tf_4_seeds"] == 2
    assert figures["prom_core_tata_trees"] == 70.0 and "prom_core_tata" not in figures
    table = make_table(results)
    assert "| 60.5 ± 0.7 (2) |" in table and "| 70.0 [66.0, 74.0] |" in table
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert all(len(values) == len(SETS) == len(SETTINGS) for _, values in PUBLISHED.values())


def test_the_cnn_learns_a_motif():
    rng = np.random.default_rng(0)
    sequences, labels = {}, {}
    for split, size in (("train", 400), ("validation", 100), ("test", 100)):
        labels[split] = rng.integers(0, 2, size)
        bases = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(size)]
        sequences[split] = [
            b[:8] + "GGGACTTTCC" + b[18:] if y else b for b, y in zip(bases, labels[split], strict=True)
        ]

    def accuracy(logits, split="validation"):
        return float((logits.argmax(axis=1) == labels[split]).mean())

    predictions, num_parameters = fit_cnn(sequences, labels["train"], seed=0, dev_score=accuracy)
    assert accuracy(predictions["test"], "test") > 0.95
    assert num_parameters > 100_000


def test_opposite_strand():
    assert opposite_strand(torch.tensor([[0, 1, 2, 3, 4]])).tolist() == [[4, 2, 3, 0, 1]]
