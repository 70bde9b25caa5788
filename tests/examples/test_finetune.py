"""examples/finetune.py on tiny simulated tables: every problem type, every way to train, and what a run leaves."""

from __future__ import annotations

import csv
import json
import os
import runpy
import shutil
import subprocess
import sys

import datasets
import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from transformers import BertConfig, BertForMaskedLM

from examples.finetune import main
from hub_datasets.files import sha256_of
from modeling_genebert import GeneBertForSequenceClassification, GeneBertForTokenClassification, GeneBertProcessor
from tests.modeling_genebert.conftest import bank  # noqa: F401  # a fixture
from tests.running import ROOT, quick_python, run_example


SIGNAL = "TGACTCA"
CONFIG = {
    "kmer": 3,
    "num_regions": 8,
    "sequence_config": {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "intermediate_size": 24,
        "max_position_embeddings": 64,
    },
    "region_config": {"embed_dim": 8},
}
PROBLEMS = {
    "single_label": (["label"], ["probability_0", "probability_1"], "mcc"),
    "regression": (["label"], [], "pearson"),
    "multi_label": (["label", "unmeasured"], ["probability_CTCF", "probability_SP1"], "auroc_macro"),
    "per_base": (["base_labels"], ["probability_n", "probability_s"], "auprc"),
    "variant_effects": (["alt_sequence", "label"], [], "pearson"),
    "variant_classes": (["alt_sequence", "label"], ["probability_0", "probability_1"], "mcc"),
}


def make_rows(problem, num_rows, seed):
    """Random sequences of 40 to 60 bp, half of them with the signal, and labels that follow from it."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(num_rows):
        sequence = "".join(rng.choice(list("ACGT"), rng.integers(40, 61)))
        holds, start = number % 2, int(rng.integers(5, 25))
        if holds:
            sequence = sequence[:start] + SIGNAL + sequence[start + 7 :]
        mutated = sequence[: start + 3] + "G" + sequence[start + 4 :]
        in_signal = "".join("s" if holds and start <= place < start + 7 else "n" for place in range(len(sequence)))
        rows.append(
            {
                "single_label": {"label": holds},
                "regression": {"label": round(holds + float(rng.normal(0, 0.1)), 3)},
                "multi_label": {"label": "CTCF;SP1" if holds else "SP1" if number % 4 else "", "unmeasured": ""},
                "per_base": {"base_labels": in_signal},
                "variant_effects": {"alt_sequence": mutated, "label": -1.5 * holds},
                "variant_classes": {"alt_sequence": mutated, "label": holds},
            }[problem]
        )
        if problem == "multi_label" and number % 5 == 0:
            rows[-1] = {"label": "", "unmeasured": "CTCF"}
        rows[-1] |= {"id": f"{seed}-{number}", "sequence": sequence, "chrom": "chr1", "start": 60_000 * number}
    return rows


def write_tables(folder, problem="single_label", sizes=(40, 17, 15)):
    """CSV files of a problem; gives the arguments that name them."""
    arguments = []
    for seed, (split, size) in enumerate(zip(("train", "validation", "test"), sizes, strict=True)):
        rows = make_rows(problem, size, seed)
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        arguments += [f"--{split}_file", str(folder / f"{split}.csv")]
    return arguments


@pytest.fixture(scope="module")
def scratch(bank, tmp_path_factory):  # noqa: F811
    """Arguments for a tiny new model and two short epochs."""
    folder = tmp_path_factory.mktemp("scratch")
    bank.save(folder / "motifs.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    model = ["--model_preset", "tiny", "--config_overrides", str(folder / "config.json")]
    return [*model, "--motifs", str(folder / "motifs.safetensors")], [
        *("--num_train_epochs", "2", "--per_device_train_batch_size", "8", "--learning_rate", "1e-3"),
        *(
            "--cache_dir",
            str(folder / "cache"),
            "--use_cpu",
            "True",
            "--disable_tqdm",
            "True",
            "--num_bootstrap",
            "20",
        ),
    ]


def read_predictions(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(scratch, tmp_path_factory):
    """A finished run of classes, with both strands, and its results."""
    folder = tmp_path_factory.mktemp("finished")
    model, training = scratch
    options = ["--reverse_complement_augmentation", "--average_strands", "--class_weights", "balanced"]
    output = ["--output_dir", str(folder / "run"), "--early_stopping_patience", "3"]
    return folder / "run", main([*write_tables(folder), *model, *training, *options, *output])


def test_early_stopping_stops(scratch, tmp_path):
    """Where nothing is learned the first evaluation stays the best: after two more there is an end."""
    model, training = scratch
    options = ["--learning_rate", "1e-12", "--early_stopping_patience", "2", "--num_train_epochs", "9"]
    main([*write_tables(tmp_path), *model, *training, *options, "--output_dir", str(tmp_path / "run")])
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert state["epoch"] == 3 and state["num_train_epochs"] == 9
    assert [entry["epoch"] for entry in state["log_history"] if "eval_mcc" in entry][:3] == [1, 2, 3]


def test_a_run_leaves_everything(finished):
    folder, results = finished
    names = {path.name for path in folder.iterdir()}
    assert {
        "model.safetensors",
        "config.json",
        "processor_config.json",
        "motifs.safetensors",
        "tokenizer.json",
    } <= names
    assert {"modeling_genebert.py", "finetune_args.json", "train_results.json", "eval_results.json"} <= names
    assert not [name for name in names if "partial" in name]
    assert json.loads((folder / "all_results.json").read_text()) == json.loads(json.dumps(results))
    for split in ("eval", "test"):
        for metric in ("accuracy", "f1", "mcc", "auroc", "auprc"):
            assert (
                results[f"{split}_{metric}_low"] <= results[f"{split}_{metric}"] <= results[f"{split}_{metric}_high"]
            )
        assert results[f"{split}_bootstrap_unit"] == "block of 200 kb"
        assert isinstance(results[f"{split}_collapsed"], bool)
    for split in ("validation", "test"):
        with Image.open(folder / f"{split}.png") as picture:
            assert picture.size[0] > 1000


def test_the_card_has_the_figures(finished):
    folder, results = finished
    card = ModelCard.load(folder / "README.md")
    found = {(result.dataset_split, result.metric_type): result for result in card.data.eval_results}
    assert found["test", "mcc"].metric_value == pytest.approx(results["test_mcc"], abs=1e-5)
    interval = found["test", "mcc"].metric_args
    assert interval["low"] == pytest.approx(results["test_mcc_low"], abs=1e-5)
    assert interval["high"] == pytest.approx(results["test_mcc_high"], abs=1e-5)
    assert (interval["confidence_level"], interval["bootstrap_unit"]) == (0.95, "block of 200 kb")
    assert len(found) == 10
    span = f"{results['test_auroc_low']:.3f} to {results['test_auroc_high']:.3f}"
    assert f"| test | auroc | {results['test_auroc']:.3f} | {span} | block of 200 kb |" in card.text
    checksum = sha256_of(folder.parent / "train.csv")
    for line in (
        "| train | 40 |  |",
        "| test | 15 |  |",
        f"| train | train.csv | `{checksum}` |",
        "| precision | fp32 |",
    ):
        assert line in card.text.splitlines()


def test_the_best_checkpoint_is_what_is_left(finished):
    folder, results = finished
    best, saved = (load_file(path / "model.safetensors") for path in (folder / results["best_checkpoint"], folder))
    assert best.keys() == saved.keys()
    assert any(".swin.encoder." in name for name in saved)
    for name, value in best.items():
        assert torch.equal(value, saved[name]), name
    assert results["best_metric"] == pytest.approx(results["eval_mcc"])


def test_a_fresh_process_predicts_the_same(finished):
    folder, _ = finished
    program = f"""
import csv, torch, modeling_genebert
from transformers import AutoModelForSequenceClassification, AutoProcessor
model = AutoModelForSequenceClassification.from_pretrained({str(folder)!r})
processor = AutoProcessor.from_pretrained({str(folder)!r})
rows = list(csv.DictReader(open({str(folder.parent / "test.csv")!r})))
outputs = modeling_genebert.average_strands(model, processor, [row["sequence"] for row in rows])
for row, (_, probability) in zip(rows, outputs.logits.softmax(dim=-1).tolist()):
    print(row["id"], row["label"], probability)
"""
    script = folder.parent / "predict.py"
    script.write_text(program)
    printed = run_example(str(script)).splitlines()  # an absolute path stays as it is
    rows = read_predictions(folder / "test_predictions.csv")
    assert len(printed) == len(rows) == 15
    for line, row in zip(printed, rows, strict=True):
        name, label, probability = line.split()
        assert (row["id"], row["label"]) == (name, label)
        assert float(row["probability_1"]) == pytest.approx(float(probability), abs=2e-3)  # matrices of float16


def test_another_run_in_the_same_folder_is_refused(finished, scratch):
    folder, _ = finished
    model, training = scratch
    with pytest.raises(ValueError, match="holds checkpoints up to checkpoint-.*--resume_from_checkpoint latest"):
        main(["--train_file", str(folder.parent / "train.csv"), *model, *training, "--output_dir", str(folder)])


@pytest.mark.parametrize("problem", [name for name in PROBLEMS if name != "single_label"])
def test_every_problem_type(problem, scratch, tmp_path):
    label_columns, probabilities, metric = PROBLEMS[problem]
    model, training = scratch
    arguments = [*write_tables(tmp_path, problem), *model, *training, "--output_dir", str(tmp_path / "run")]
    arguments += ["--reverse_complement_augmentation", "--average_strands", "--num_train_epochs", "1"]
    if problem == "multi_label":
        arguments += ["--problem_type", "multi_label_classification", "--class_weights", "balanced"]
    results = main(arguments)
    assert f"test_{metric}" in results
    assert np.isfinite(results["train_loss"])
    rows = read_predictions(tmp_path / "run" / "test_predictions.csv")
    expected = ["id", "position"] if problem == "per_base" else ["id"]
    expected += ["label", "unmeasured", "prediction"] if problem == "multi_label" else ["label", "prediction"]
    assert list(rows[0]) == expected + probabilities
    truth = make_rows(problem, 15, 2)
    assert rows[0]["id"] == "2-0"
    if problem == "per_base":
        assert "".join(row["label"] for row in rows if row["id"] == "2-1") == truth[1]["base_labels"]
    else:
        assert len(rows) == 15
        assert rows[1]["label"] == str(truth[1]["label"])
    assert (tmp_path / "run" / "test.png").exists()


@pytest.mark.parametrize("modality", ["sequence", "regions"])
def test_one_modality(modality, scratch, tmp_path):
    model, training = scratch
    arguments = [*write_tables(tmp_path), *model, *training, "--modality", modality, "--num_train_epochs", "1"]
    results = main([*arguments, "--output_dir", str(tmp_path / "run")])
    assert "test_mcc" in results
    assert json.loads((tmp_path / "run" / "config.json").read_text())["modality"] == modality
    assert f"| it reads | {modality} |" in (tmp_path / "run" / "README.md").read_text()


@pytest.mark.parametrize("mode", ["full", "lora", "frozen"])
def test_from_a_genebert_checkpoint(mode, finished, scratch, tmp_path):
    """The checkpoint has two classes, the new task three: the head is another."""
    folder, _ = finished
    rows = make_rows("single_label", 30, 7)
    (tmp_path / "train.csv").write_text(
        "sequence,label\n" + "".join(f"{row['sequence']},{'abc'[number % 3]}\n" for number, row in enumerate(rows))
    )
    arguments = ["--train_file", str(tmp_path / "train.csv"), "--model_name_or_path", str(folder), *scratch[1]]
    results = main([*arguments, "--training_mode", mode, "--lora_rank", "2", "--output_dir", str(tmp_path / "run")])
    before, after = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "run"))
    assert before.keys() == after.keys()
    same = {
        name for name in before if before[name].shape == after[name].shape and torch.equal(before[name], after[name])
    }
    others = before.keys() - same
    head = {"classifier.2.weight", "classifier.2.bias"}
    assert head <= others
    if mode == "frozen":
        assert others == head
        assert results["num_trained_parameters"] == 3 * 16 + 3
    if mode == "lora":
        assert others - head
        assert all(
            name.endswith(("query.weight", "value.weight", "q_proj.weight", "v_proj.weight")) for name in others - head
        )
        adapter = tmp_path / "run" / "adapter"
        assert {path.name for path in adapter.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
        assert json.loads((adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == folder.name
    model = GeneBertForSequenceClassification.from_pretrained(tmp_path / "run")
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"}


@pytest.mark.parametrize("mode", ["full", "lora"])
def test_from_a_dnabert_shaped_checkpoint(mode, scratch, tmp_path):
    torch.manual_seed(0)
    sizes = {**CONFIG["sequence_config"], "num_attention_heads": 2, "vocab_size": 69}
    dnabert = BertForMaskedLM(BertConfig(**sizes))
    dnabert.save_pretrained(tmp_path / "dnabert")
    (_, _, _, overrides, *motifs), training = scratch
    settings = json.dumps({"num_regions": 8, "region_config": {"embed_dim": 8}})
    arguments = [
        *write_tables(tmp_path),
        "--sequence_model_name_or_path",
        str(tmp_path / "dnabert"),
        *motifs,
        *training,
    ]
    arguments += ["--model_preset", "tiny", "--config_overrides", settings, "--num_train_epochs", "1"]
    main([*arguments, "--training_mode", mode, "--output_dir", str(tmp_path / "run")])
    after = load_file(tmp_path / "run" / "model.safetensors")
    words = dnabert.state_dict()["bert.embeddings.word_embeddings.weight"]
    found = after["genebert.sequence_encoder.embeddings.word_embeddings.weight"]
    assert torch.equal(words, found) == (mode == "lora")
    mean = after["genebert.region_encoder.score_norm.mean"]
    assert (mean[0] > mean[1]).all()  # of the best of eight tiles, and of a tile
    assert (mean[1] - 0.35).abs().max() > 0.2  # tiles of 50 bp score otherwise
    torch.testing.assert_close(words, found, atol=0.05, rtol=0)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["kmer"] == 3


def test_long_sequences_are_cut_into_windows(scratch, tmp_path):
    model, training = scratch
    arguments = [*write_tables(tmp_path, "per_base"), *model, *training, "--num_train_epochs", "1"]
    short = json.dumps({**CONFIG, "sequence_config": {**CONFIG["sequence_config"], "max_position_embeddings": 32}})
    arguments += ["--config_overrides", short, "--output_dir", str(tmp_path / "run")]
    with pytest.raises(ValueError, match="expected at most 32, which are the model's 32 tokens .*--window_overlap"):
        main(arguments)
    main([*arguments, "--window_overlap", "10", "--reverse_complement_augmentation"])
    rows = read_predictions(tmp_path / "run" / "test_predictions.csv")
    sequences = [row["sequence"] for row in make_rows("per_base", 15, 2)]
    assert [row["id"] for row in rows].count("2-3") == len(sequences[3])
    processor = GeneBertProcessor.from_pretrained(tmp_path / "run")
    model = GeneBertForTokenClassification.from_pretrained(tmp_path / "run").eval()
    windows = processor(
        sequences[:4], max_length=32, stride=8, return_overflowing_tokens=True, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        expected = model(**windows).logits[3, : len(sequences[3])].softmax(dim=-1)[:, 1]
    found = [float(row["probability_s"]) for row in rows if row["id"] == "2-3"]
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_splits_of_one_row_have_no_interval(scratch, tmp_path):
    model, training = scratch
    arguments = [*write_tables(tmp_path, sizes=(16, 1, 1)), *model, *training, "--max_steps", "1"]
    results = main([*arguments, "--output_dir", str(tmp_path / "run")])
    assert "test_accuracy" in results and "test_accuracy_low" not in results
    assert "eval_bootstrap_unit" not in results
    assert "| test | accuracy |" in (tmp_path / "run" / "README.md").read_text()


def test_bad_input_ends_the_command_with_one_line(tmp_path, monkeypatch):
    command = ["finetune.py", "--train_file", str(tmp_path / "no.csv"), "--output_dir", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit, match=f"^error: {tmp_path}/no.csv: no such file$"):
        runpy.run_path(str(ROOT / "examples" / "finetune.py"), run_name="__main__")


def test_a_collapse_is_said(scratch, tmp_path, caplog):
    model, training = scratch
    rows = make_rows("single_label", 60, 0)
    text = "sequence,label\n" + "".join(f"{row['sequence']},{int(number < 3)}\n" for number, row in enumerate(rows))
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text(text)
    files = ["--train_file", str(tmp_path / "train.csv"), "--test_file", str(tmp_path / "test.csv")]
    results = main([*files, *model, *training, "--learning_rate", "1e-2", "--output_dir", str(tmp_path / "run")])
    assert results["test_collapsed"] is True
    assert results["test_mcc"] == 0
    assert "test: the model has COLLAPSED" in caplog.text
    assert "**The model has collapsed" in (tmp_path / "run" / "README.md").read_text()


def test_resuming_gives_the_same_weights(scratch, tmp_path):
    model, training = scratch
    arguments = [*write_tables(tmp_path), *model, *training, "--reverse_complement_augmentation"]
    arguments += ["--eval_strategy", "steps", "--eval_steps", "3", "--save_total_limit", "5"]  # 5 steps an epoch
    main([*arguments, "--output_dir", str(tmp_path / "straight")])
    shutil.copytree(tmp_path / "straight" / "checkpoint-3", tmp_path / "resumed" / "checkpoint-3")
    main([*arguments, "--output_dir", str(tmp_path / "resumed"), "--resume_from_checkpoint", "latest"])
    straight, resumed = (
        load_file(tmp_path / name / "checkpoint-10" / "model.safetensors") for name in ("straight", "resumed")
    )
    for name, value in straight.items():
        assert torch.equal(value, resumed[name]), name


def test_two_processes_evaluate_as_one_does(scratch, tmp_path):
    """Without learning the model is that of the seed, so that all figures have to be the same."""
    model, training = scratch
    arguments = [*write_tables(tmp_path), *model, *training, "--learning_rate", "0", "--max_steps", "1"]
    arguments += ["--eval_strategy", "steps", "--eval_steps", "1", "--per_device_eval_batch_size", "4"]
    one = main([*arguments, "--output_dir", str(tmp_path / "one")])
    # As a user does, from another folder and without the repository on Python's path.
    command = [*quick_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python"]
    command += [*quick_python(), str(ROOT / "examples" / "finetune.py")]
    command += [*arguments, "--output_dir", str(tmp_path / "two")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment["OMP_NUM_THREADS"] = "1"
    finished = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr[-3000:]
    two = json.loads((tmp_path / "two" / "all_results.json").read_text())
    for name in ("eval_mcc", "eval_auroc", "test_mcc", "test_auroc", "test_auroc_low", "test_accuracy"):
        assert two[name] == pytest.approx(one[name], abs=1e-6), name
    for split in ("validation", "test"):
        tables = [read_predictions(tmp_path / name / f"{split}_predictions.csv") for name in ("one", "two")]
        assert [row["id"] for row in tables[0]] == [row["id"] for row in tables[1]]
        for row_of_one, row_of_two in zip(*tables, strict=True):
            assert float(row_of_one["probability_1"]) == pytest.approx(float(row_of_two["probability_1"]), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--training_mode", "lora"], "--training_mode lora keeps a checkpoint's weights: pass one, or use full"),
        (["--training_mode", "frozen"], "--training_mode frozen keeps a checkpoint's weights"),
        (["--early_stopping_patience", "2"], "--early_stopping_patience needs a validation split"),
        (["--problem_type", "regression", "--class_weights", "balanced"], "the labels are values: leave it out"),
        (["--config_overrides", '{"kmers": 3}'], "GeneBertConfig has no field kmers"),
        (["--config_overrides", "kmer=3"], "neither a JSON file nor JSON"),
        (["--model_name_or_path", "x"], "it goes with none of --sequence_model_name_or_path, --model_preset and"),
        (["--label_column", "class"], "no column 'class'; found 'label', 'id', 'sequence', 'chrom', 'start'"),
    ],
)
def test_what_cannot_work_is_refused(options, message, scratch, tmp_path):
    model, training = scratch
    files = write_tables(tmp_path)[:2]
    with pytest.raises(ValueError, match=message):
        main([*files, *model, *training, *options, "--output_dir", str(tmp_path / "run")])


def test_bases_need_their_sequence(scratch, tmp_path):
    model, training = scratch
    arguments = [*write_tables(tmp_path, "per_base"), *model, *training, "--modality", "regions"]
    with pytest.raises(
        ValueError, match="--modality regions leaves the sequence out, but the labels are those of its bases"
    ):
        main([*arguments, "--output_dir", str(tmp_path / "run")])


def test_a_data_set_with_open_regions(bank, scratch, tmp_path):  # noqa: F811
    """A folder in the Hub's layout; the regions of its rows reach the model as the processor lays them."""
    rng = np.random.default_rng(0)
    regions = {
        "chrom": ["chr1"] * 30,
        "start": [1000 * n for n in range(30)],
        "end": [1000 * n + 50 for n in range(30)],
    }
    regions["sequence"] = ["".join(rng.choice(list("ACGT"), 50)) for _ in range(30)]
    features = datasets.Features(
        {
            "sequence": datasets.Value("string"),
            "label": datasets.ClassLabel(names=["closed", "open"]),
            "region_ids": datasets.List(datasets.Value("int32")),
            "accessibility": datasets.List(datasets.Value("float32")),
            "anchor": datasets.Value("int32"),
        }
    )
    folder, tables = tmp_path / "set", {"regions": {"train": datasets.Dataset.from_dict(regions)}, "loci": {}}
    for split, size in (("train", 32), ("validation", 9), ("test", 9)):
        rows = [
            {
                "sequence": "".join(rng.choice(list("ACGT"), 50)),
                "label": number % 2,
                "region_ids": [first := int(rng.integers(0, 27)), first + 1, first + 2],
                "accessibility": [0.9 * (number % 2), None, 0.5],
                "anchor": 1,
            }
            for number in range(size)
        ]
        tables["loci"][split] = datasets.Dataset.from_list(rows, features=features)
    card = "---\nconfigs:\n"
    for config, splits in tables.items():
        card += f"- config_name: {config}\n  data_files:\n"
        for split, table in splits.items():
            (folder / config).mkdir(parents=True, exist_ok=True)
            table.to_parquet(folder / config / f"{split}-00000-of-00001.parquet")
            card += f"  - split: {split}\n    path: {config}/{split}-*\n"
    (folder / "README.md").write_text(card + "---\n")
    model, training = scratch
    main(["--dataset_name_or_path", str(folder), *model, *training, "--output_dir", str(tmp_path / "run")])
    rows = tables["loci"]["test"]
    processor = GeneBertProcessor.from_pretrained(tmp_path / "run")
    saved = GeneBertForSequenceClassification.from_pretrained(tmp_path / "run").eval()
    inputs = processor(
        rows["sequence"][:],
        regions=[[regions["sequence"][index] for index in ids] for ids in rows["region_ids"]],
        positions=[[1000 * index + 25 for index in ids] for ids in rows["region_ids"]],
        accessibility=rows["accessibility"][:],
        anchor=rows["anchor"][:],
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        expected = saved(**inputs).logits.softmax(dim=-1)[:, 1]
    found = [float(row["probability_open"]) for row in read_predictions(tmp_path / "run" / "test_predictions.csv")]
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.ptp(found) > 5e-3
