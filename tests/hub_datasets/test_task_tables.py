from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pytest
from datasets import ClassLabel, List, Value, load_dataset
from huggingface_hub import DatasetCard

from hub_datasets import task_tables
from hub_datasets.task_card import TaskCard
from hub_datasets.task_tables import (
    TaskBuilder,
    TaskConfig,
    describe_file,
    features_of,
    read_info,
    summary,
    write_task_dataset,
)


LABELS = ["no", "yes"]
CARD = TaskCard(
    pretty_name="Things",
    summary="Some things.",
    task_categories=["text-classification"],
    labels={"no": "it is not", "yes": "it | is"},
    splits="None.",
    negatives="None.",
    sources=[("Someone", "https://example.org", "CC0")],
    sections={"More": "To say."},
)
INFO = {"builder": "things", "options": {"seed": 0}, "inputs": {}, "skipped": {"too long": 3, "too short": 0}}


def table(sequences, labels):
    features = features_of("single_label_classification", LABELS)
    return datasets.Dataset.from_dict({"sequence": sequences, "label": labels}, features=features)


TABLES = {
    "first": {"train": table(["AC", "GT", "CC"], [0, 1, 1]), "test": table(["GG", "TT"], [0, 1])},
    "second": {"train": table(["A", "C"], [1, 0])},
}


def test_features():
    assert features_of("single_label_classification", LABELS, ["chrom", "alt_sequence"]) == {
        "sequence": Value("string"),
        "label": ClassLabel(names=LABELS),
        "alt_sequence": Value("string"),
        "chrom": Value("string"),
    }
    assert features_of("regression")["label"] == Value("float32")
    multi_label = features_of("multi_label_classification", LABELS, ["unmeasured", "region_ids"])
    assert list(multi_label) == ["sequence", "label", "unmeasured", "region_ids"]
    assert multi_label["label"] == multi_label["unmeasured"] == List(ClassLabel(names=LABELS))
    per_base = features_of("token_classification", LABELS)
    assert per_base == {"sequence": Value("string"), "base_labels": List(ClassLabel(names=LABELS))}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("classification", LABELS), r"task: found 'classification', expected one of single_label_classification"),
        (("regression", LABELS), r"labels: found \['no', 'yes'\], expected none for regression"),
        (("token_classification",), r"labels: found None, expected names for token_classification"),
        (
            ("regression", None, ["strnad"]),
            r"optional: found 'strnad', expected some of alt_sequence, .*for regression",
        ),
        (("regression", None, ["unmeasured"]), r"optional: found 'unmeasured'"),
    ],
)
def test_bad_features(arguments, message):
    with pytest.raises(ValueError, match=message):
        features_of(*arguments)


def test_written_and_read(tmp_path):
    folder = write_task_dataset(tmp_path / "out", TABLES, CARD, INFO)
    assert sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()) == [
        "README.md",
        "first/test-00000-of-00001.parquet",
        "first/train-00000-of-00001.parquet",
        "info.json",
        "second/train-00000-of-00001.parquet",
    ]
    read = load_dataset(str(folder))
    assert list(read) == ["train", "test"]
    assert read["train"].to_dict() == {"sequence": ["AC", "GT", "CC"], "label": [0, 1, 1]}
    assert read["train"].features["label"].names == LABELS
    assert load_dataset(str(folder), "second", split="train")["sequence"][:] == ["A", "C"]
    streamed = load_dataset(str(folder), "second", split="train", streaming=True)
    assert list(streamed) == [{"sequence": "A", "label": 1}, {"sequence": "C", "label": 0}]

    info = read_info(folder)
    assert info["splits"]["first"]["train"] == {"rows": 3, "labels": {"no": 1, "yes": 2}}
    assert (
        info["files"]["second/train-00000-of-00001.parquet"]
        == describe_file(folder / "second/train-00000-of-00001.parquet")["sha256"]
    )
    assert summary(info).splitlines() == [
        "first: train 3 (no 1, yes 2); test 2 (no 1, yes 1)",
        "second: train 2 (no 1, yes 1)",
        "skipped: too long: 3",
    ]


def test_card(tmp_path):
    folder = write_task_dataset(tmp_path / "out", TABLES, CARD, INFO)
    card = DatasetCard.load(folder / "README.md")
    header = card.data.to_dict()
    assert header["pretty_name"] == "Things" and header["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in header["configs"]] == ["first", "second"]
    assert header["configs"][0]["default"] is True and "default" not in header["configs"][1]
    assert header["configs"][0]["data_files"][1] == {"split": "test", "path": "first/test-*.parquet"}
    assert header["dataset_info"][0]["splits"][0]["num_examples"] == 3
    for line in [
        "| yes | it \\| is |",
        "| first | train | 3 | no 1, yes 2 |",
        "| too long | 3 |",
        "| Someone | https://example.org | CC0 |",
        "| seed | `0` |",
        "## More",
    ]:
        assert line in card.text.splitlines()
    assert "too short" not in card.text


def test_version_follows_from_the_content(tmp_path):
    """`load_dataset` caches a folder by name and card: without a version it would not see other rows in its place."""
    folder = tmp_path / "out"
    write_task_dataset(folder, TABLES, CARD, INFO)
    assert len(load_dataset(str(folder), "second", split="train")) == 2
    before = (folder / "README.md").read_bytes()
    write_task_dataset(folder, TABLES, CARD, INFO, overwrite=True)
    assert (folder / "README.md").read_bytes() == before
    write_task_dataset(folder, {**TABLES, "second": {"train": table(["G", "T"], [0, 1])}}, CARD, INFO, overwrite=True)
    assert load_dataset(str(folder), "second", split="train")["sequence"][:] == ["G", "T"]


def test_several_files_and_selected_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(task_tables, "ROWS_PER_FILE", 4)
    everything = table([base * 3 for base in "ACGTACGTACGT"], [0, 1] * 6)
    some = everything.select([11, 0, 3, 5, 6, 7, 8, 9, 10])
    folder = write_task_dataset(tmp_path / "out", {"first": {"train": some}}, CARD, INFO)
    assert len(list((folder / "first").iterdir())) == 3
    assert read_info(folder)["splits"]["first"]["train"] == {"rows": 9, "labels": {"no": 4, "yes": 5}}
    assert load_dataset(str(folder), split="train")["label"][:] == some["label"][:]


def test_counts_of_labels_in_lists(tmp_path):
    features = features_of("token_classification", LABELS)
    rows = {"sequence": ["ACG", "TT"], "base_labels": [[0, 1, 1], [1, 1]]}
    tables = {"first": {"train": datasets.Dataset.from_dict(rows, features=features)}}
    folder = write_task_dataset(tmp_path / "out", tables, CARD, INFO)
    assert read_info(folder)["splits"]["first"]["train"]["labels"] == {"no": 1, "yes": 4}


@pytest.mark.parametrize(
    ("train", "message"),
    [
        (table([], []), r"config 'first', split 'train': no rows, expected at least one"),
        (table(["A", "C"], [1, 1]), r"config 'first', split 'train': all 2 rows have the label 'yes', expected two"),
    ],
)
def test_bad_tables(tmp_path, train, message):
    with pytest.raises(ValueError, match=message):
        write_task_dataset(tmp_path / "out", {"first": {"train": train}}, CARD, INFO)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_overwritten_by_accident(tmp_path):
    folder = write_task_dataset(tmp_path / "out", TABLES, CARD, INFO)
    with pytest.raises(ValueError, match=r"out: exists; give another output_dir, or overwrite"):
        write_task_dataset(folder, TABLES, CARD, INFO)
    with pytest.raises(ValueError, match=r"out: exists and is not a others set built before; give another output_dir"):
        write_task_dataset(folder, TABLES, CARD, {**INFO, "builder": "others"}, overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(ValueError, match=r"mine: exists and is not a things set"):
        write_task_dataset(tmp_path / "mine", TABLES, CARD, INFO, overwrite=True)
    assert (tmp_path / "mine" / "thesis.txt").exists()


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(task_tables, "card_text", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_task_dataset(tmp_path / "out", TABLES, CARD, INFO)
    assert list(tmp_path.iterdir()) == []


def make_builder(calls):
    """A builder of the lines of a file, each a sequence."""

    def build_things(*, output_dir, lines, repeat):
        calls.append(str(output_dir))
        sequences = Path(lines).read_text().split() * repeat
        tables = {"first": {"train": table(sequences, np.arange(len(sequences)) % 2)}}
        return read_info(write_task_dataset(output_dir, tables, CARD, INFO))

    @dataclass
    class Config(TaskConfig):
        PATHS = ("lines",)
        lines: str | None = None
        repeat: int = 1

    class Things(TaskBuilder):
        BUILDER_CONFIG_CLASS = Config
        BUILDER_CONFIGS = [Config(name="first"), Config(name="third")]
        DEFAULT_CONFIG_NAME = "first"
        build = staticmethod(build_things)

    return Things, build_things


def test_builder(tmp_path):
    calls: list[str] = []
    builder_class, build = make_builder(calls)
    for folder, text in [("a", "AC\nGT\n"), ("b", "AC\nGT\n"), ("c", "AC\nTT\n")]:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lines.txt").write_text(text)

    def built(name, **options):
        builder = builder_class(cache_dir=tmp_path / "cache", lines=str(tmp_path / name / "lines.txt"), **options)
        builder.download_and_prepare()
        return builder.as_dataset()["train"]

    assert built("a").to_dict() == {"sequence": ["AC", "GT"], "label": [0, 1]}
    assert built("a").features["label"].names == LABELS
    assert len(calls) == 1
    assert built("b")["sequence"][:] == ["AC", "GT"]  # the same content elsewhere: nothing to build
    assert len(calls) == 1
    assert built("c")["sequence"][:] == ["AC", "TT"]
    assert built("a", repeat=2)["sequence"][:] == ["AC", "GT", "AC", "GT"]
    assert len(calls) == 3 and (tmp_path / "cache" / "things_sets").is_dir()
    build(output_dir=tmp_path / "out", lines=tmp_path / "a" / "lines.txt", repeat=2)
    assert load_dataset(str(tmp_path / "out"), split="train").to_dict() == built("a", repeat=2).to_dict()
    with pytest.raises(ValueError, match=r"config 'third': not in this set, which has first"):
        built("a", config_name="third")
