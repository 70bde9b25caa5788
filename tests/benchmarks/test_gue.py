from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from benchmarks.gue import PUBLISHED, SETS, SETTINGS, interval_of_mean, main, make_figures, make_table, split_dev
from benchmarks.gue_opponents import fit_cnn, opposite_strand


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
    write_set(folder / "prom" / "prom_core_tata", {"train": 64, "dev": 16, "test": 16})
    return folder


def test_from_a_checkpoint(gue, pretrained, tmp_path):
    options = ["--data_dir", gue, "--sets", "prom_core_tata", "--seeds", "0", "--max_steps", 2]
    options += ["--model_name_or_path", pretrained, "--cache_dir", tmp_path / "cache", "--output_dir", tmp_path]
    main([str(option) for option in options])
    found = json.loads((tmp_path / "gue" / "prom_core_tata-both-pretrained-seed0.json").read_text())
    assert found["start"] == "pretrained" and found["settings"]["model_name_or_path"] == pretrained.name
    assert json.loads(found["settings"]["config_overrides"]) == {
        "pooling": "max",
        "num_pooling_bins": 8,
        "classifier_dropout": 0.5,
        "sequence_config": {"hidden_dropout_prob": 0.1},
    }


def test_all_arms_once_and_not_again(gue, tmp_path, capsys):
    options = ["--data_dir", gue, "--sets", "tf_3", "--seeds", "0", "--arms", "both", "trees", "cnn"]
    options = [str(option) for option in options]
    options += ["--max_steps", "2", "--cache_dir", str(tmp_path / "cache"), "--output_dir", str(tmp_path)]
    report = main(options)
    names = ["tf_3-both-scratch-seed0", "tf_3-trees-seed0", "tf_3-cnn-seed0"]
    found = {name: json.loads((tmp_path / "gue" / f"{name}.json").read_text()) for name in names}
    both = found["tf_3-both-scratch-seed0"]
    assert (both["set"], both["arm"], both["start"], both["seed"]) == ("tf_3", "both", "scratch", 0)
    assert both["test_mcc_low"] <= both["test_mcc"] <= both["test_mcc_high"]
    assert 0 < both["num_parameters"] < 30_000_000
    assert both["settings"]["max_steps"] == 2 and "train_file" not in both["settings"]
    assert json.loads(both["settings"]["config_overrides"])["num_conv_layers"] == 1
    assert report == json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report == json.loads((tmp_path / "gue.json").read_text())
    assert report["figures"]["tf_3"] == both["test_mcc"]
    assert report["figures"]["tf_3_trees"] == found["tf_3-trees-seed0"]["test_mcc"]
    assert "GeneBERT" in (tmp_path / "gue" / "README.md").read_text()

    main(options)
    assert capsys.readouterr().out.count("is there") == 3
    assert json.loads((tmp_path / "gue" / f"{names[0]}.json").read_text()) == both


def test_folders_without_the_files_are_named(tmp_path):
    write_set(tmp_path / "tf" / "3", {"train": 4})
    with pytest.raises(ValueError, match="tf/3: no file for validation, test; expected GUE's own layout"):
        main(["--data_dir", str(tmp_path), "--sets", "tf_3", "--arms", "cnn", "--output_dir", str(tmp_path)])


def write_rows(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("sequence,label\n" + "".join(f"{sequence},{label}\n" for sequence, label in rows))


def random_rows(size, seed):
    """Donor-like, acceptor-like and random DNA in turn, 40 bp: three classes."""
    rng = np.random.default_rng(seed)
    bases = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(size)]
    middles = ("CAGGTAAGT", "TTTTTTCAG", None)
    return [
        (text if (middle := middles[row % 3]) is None else text[:15] + middle + text[24:], row % 3)
        for row, text in enumerate(bases)
    ]


def read_rows(path):
    with open(path, newline="") as file:
        return [(row["sequence"], int(row["label"])) for row in csv.DictReader(file)]


def test_dev_alone_is_split_and_no_test_row_stands_in_it(tmp_path):
    dev, test = random_rows(50, 0), random_rows(20, 1)
    write_rows(tmp_path / "GUE" / "dev.csv", dev)
    write_rows(tmp_path / "GUE" / "test.csv", [dev[0], *test, (dev[49][0].lower(), dev[49][1])])
    splits = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        files = split_dev(tmp_path / "GUE", tmp_path / name)
        splits.append({split: read_rows(path) for split, path in files.items()})
    found = splits[0]
    assert found["test"] == test
    assert (len(found["train"]), len(found["validation"])) == (40, 10)
    assert sorted(found["train"] + found["validation"]) == sorted(dev)
    assert splits[1] == found


def test_splice_is_run_without_a_training_file(tmp_path, capsys):
    folder = tmp_path / "GUE" / "splice" / "reconstructed"
    dev = random_rows(60, 0)
    write_rows(folder / "dev.csv", dev)
    write_rows(folder / "test.csv", [dev[3], *random_rows(30, 1)])
    options = ["--data_dir", tmp_path / "GUE", "--sets", "splice", "--seeds", "0", "--arms", "both", "trees", "cnn"]
    options += ["--max_steps", 1, "--cache_dir", tmp_path / "cache", "--output_dir", tmp_path]
    report = main([str(option) for option in options])
    out = capsys.readouterr().out
    assert "train 48" in out and "validation 12" in out and "test 30" in out
    assert {"splice", "splice_low", "splice_high", "splice_trees", "splice_cnn"} <= set(report["figures"])
    table = (tmp_path / "gue" / "README.md").read_text()
    assert "| tf_4 | splice (not comparable) | tf mean |" in table
    assert "- splice:" not in table and "beats" not in table


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
    # sqrt(4**2 + (1.96 * 0.5) ** 2) = 4.12
    assert "| 60.5 ± 0.7 (2) [56.4, 64.6] |" in table and "| 70.0 [66.0, 74.0] |" in table
    assert figures["tf_0_low"] == pytest.approx(60.5 - 4.11831) and figures["prom_core_tata_trees_low"] == 66.0
    rows = [line for line in table.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows}) == 1
    assert all(len(values) == len(SETS) == len(SETTINGS) for _, values in PUBLISHED.values())


def test_the_interval_of_the_mean_over_seeds():
    assert interval_of_mean([result_of("tf_0", 0, 70.0)]) == (66.0, 74.0)
    assert interval_of_mean([result_of("tf_0", seed, 70.0) for seed in range(3)]) == (66.0, 74.0)
    spread = [result_of("tf_0", seed, mcc) for seed, mcc in enumerate((67.0, 70.0, 73.0))]
    # The rows' 4, and 1.96 * 3 / sqrt(3) = 3.3948 of the seeds.
    assert interval_of_mean(spread) == pytest.approx((70 - 5.24643, 70 + 5.24643), abs=1e-4)


def test_beats_is_said_only_where_the_interval_excludes_the_other():
    # DNABERT-2 has 76.06 on tf_1, DNABERT (3-mer) 70.90, VQDNA 76.43.
    def said(*values):
        results = [result_of("tf_1", seed, value) for seed, value in enumerate(values)]
        return next(line for line in make_table(results).splitlines() if line.startswith("- tf_1"))

    assert said(80.2) == "- tf_1: 80.2 [76.2, 84.2]: beats DNABERT (3-mer), DNABERT-2; undecided: VQDNA (HRQ)"
    assert "undecided: DNABERT (3-mer), DNABERT-2, VQDNA (HRQ)" in said(73.0)
    assert "beats DNABERT (3-mer), DNABERT-2; undecided: VQDNA (HRQ)" in said(80.2, 80.2, 80.2)
    # The same mean, but seeds so far apart that nothing is decided of DNABERT-2.
    assert "beats DNABERT (3-mer); undecided: DNABERT-2, VQDNA (HRQ)" in said(78.2, 80.2, 82.2)


@pytest.mark.parametrize(
    ("negative", "both_strands", "is_learned"),
    [(None, True, True), ("GGAAAGTCCC", False, True), ("GGAAAGTCCC", True, False)],
)
def test_the_cnn_learns_a_motif(negative, both_strands, is_learned):
    """On either strand, or on the one that is given: then its reverse complement is another."""
    rng = np.random.default_rng(0)
    sequences, labels = {}, {}
    for split, size in (("train", 400), ("validation", 100), ("test", 100)):
        labels[split] = rng.integers(0, 2, size)
        bases = ["".join(rng.choice(list("ACGT"), 30)) for _ in range(size)]
        motifs = ["GGGACTTTCC" if label else negative for label in labels[split]]
        sequences[split] = [
            row if motif is None else row[:10] + motif + row[20:] for row, motif in zip(bases, motifs, strict=True)
        ]

    def accuracy(logits, split="validation"):
        return float((logits.argmax(axis=1) == labels[split]).mean())

    predictions, num_parameters = fit_cnn(sequences, labels["train"], 0, accuracy, both_strands)
    assert num_parameters > 100_000
    found = accuracy(predictions["test"], "test")
    assert found > 0.95 if is_learned else 0.3 < found < 0.7


def test_opposite_strand():
    assert opposite_strand(torch.tensor([[0, 1, 2, 3, 4]])).tolist() == [[4, 2, 3, 0, 1]]
