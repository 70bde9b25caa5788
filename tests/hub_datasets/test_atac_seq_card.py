from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from datasets.exceptions import NonMatchingSplitsSizesError
from huggingface_hub import DatasetCard

from hub_datasets.atac_seq import build_atac_seq, shards
from hub_datasets.atac_seq.public_corpora import PUBLIC_CORPORA
from hub_datasets.atac_seq.report import write_report
from hub_datasets.cards import size_category
from modeling_genebert.motifs_genebert import MotifBank

from .cards import check_dataset_card


GENOME = ">chrA\n" + "ACGTTGCA" * 25 + "\n>chrB\n" + "AACC" * 25 + "\n"
# The last three: past the chromosome's end, a duplicate, and one whose region overlaps a stronger one.
T_CELL = "chrA\t10\t30\nchrA\t40\t70\nchrA\t85\t99\nchrB\t25\t35\nchrA\t190\t220\nchrA\t10\t30\nchrA\t16\t38\n"
B_CELL = "chrA\t15\t25\nchrA\t115\t125\n"
WORDS = ["ACGTTGCA", "AACCAACC"]


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small set in files of two rows."""
    monkeypatch.setattr(shards, "ROWS_PER_SHARD", {"regions": 2, "windows": 2, "background": 2})
    (tmp_path / "peaks").mkdir()
    (tmp_path / "genome.fa").write_text(GENOME)
    (tmp_path / "peaks" / "T|cell.bed").write_text(T_CELL)
    (tmp_path / "peaks" / "B.bed").write_text(B_CELL)
    counts = [np.array([[100 * (base == letter) for letter in "ACGT"] for base in word]) for word in WORDS]
    build_atac_seq(
        genome=tmp_path / "genome.fa",
        peaks=tmp_path / "peaks",
        output_dir=tmp_path / "out",
        motifs=MotifBank(["M1", "M2"], ["one", "two"], ["f", "g"], counts, source="two words"),
        region_width=10,
        num_regions=4,
        validation_chromosomes=["chrB"],
        held_out_cell_types=["B"],
    )
    return tmp_path / "out"


def rewrite(folder: Path, **changes: object) -> DatasetCard:
    """The card of a set whose build info is changed."""
    info = json.loads((folder / "build_info.json").read_text())
    write_report(folder, info | changes)
    return DatasetCard.load(folder / "README.md")


def test_the_card_is_complete(atac_folder):
    assert check_dataset_card(atac_folder).data.to_dict()["task_categories"] == ["fill-mask"]


def test_what_the_card_says(built):
    text = DatasetCard.load(built / "README.md").text
    for line in [
        "5 consensus regions of 10 bp, open or closed in 2 cell types",
        "| T\\|cell | 7 | 4 | 0 | 1 | 1 | 0 | 0 | 1 | 4 |",
        "| B (held out) | 2 | 2 | 0 | 0 | 0 | 0 | 0 | 0 | 2 |",
        "| B | 2 | 1 | 0 | 10 (10 to 10) | 0.40 (0.40 to 0.40) |  | 2 | T\\|cell (0.20) |",
        "| all | 9 | 6 | 0 | 1 | 1 | 0 | 0 | 1 | 6 |",
        "| validation | chrB | 1 | 1 | 1 | 1.0 | 10 | 0.0% |",
        "| motifs | two words (2 motifs) |",
        f"| genome | genome.fa | `{hashlib.sha256(GENOME.encode()).hexdigest()}` |",
        f"| B | B.bed | `{hashlib.sha256(B_CELL.encode()).hexdigest()}` |",
        "| held_out_cell_types | `['B']` |",
        "The licence is that of the peak files it was built from.",
    ]:
        assert line in text


def test_the_header(built):
    data = DatasetCard.load(built / "README.md").data
    assert data.license == "unknown"
    assert data.size_categories == ["n<1K"]
    assert data.task_categories == ["fill-mask"]
    windows, regions = data.configs
    assert (windows["config_name"], windows["default"], regions["config_name"]) == ("windows", True, "regions")
    assert windows["data_files"] == [
        {"split": "train", "path": "windows/train-*.parquet"},
        {"split": "validation", "path": "windows/validation-*.parquet"},
        {"split": "train_unseen_cell_types", "path": "windows/train_unseen_cell_types-*.parquet"},
    ]
    rows = {
        info["config_name"]: {split["name"]: split["num_examples"] for split in info["splits"]}
        for info in data.dataset_info
    }
    assert rows == {"windows": {"train": 3, "validation": 1, "train_unseen_cell_types": 2}, "regions": {"train": 5}}


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("encode_atac", ("other", "encode-atac", "https://www.encodeproject.org/help/citing-encode/")),
        ("catlas", ("unknown", None, None)),
    ],
)
def test_the_licence_of_a_public_corpus(built, name, licence):
    corpus = asdict(PUBLIC_CORPORA[name])
    card = rewrite(built, corpus=corpus)
    assert tuple(card.data.get(key) for key in ("license", "license_name", "license_link")) == licence
    assert f"Licence: {corpus['licence']}." in card.text
    assert f"| citation | {corpus['citation']} |" in card.text


def test_every_picture_of_the_card_is_there(built):
    pytest.importorskip("matplotlib")
    pictures = re.findall(r"!\[[^\]]+\]\((figures/[a-z_]+\.png)\)", DatasetCard.load(built / "README.md").text)
    assert sorted(pictures) == sorted(str(file.relative_to(built)) for file in built.glob("figures/*"))
    assert "figures/jaccard.png" in pictures


def test_a_card_without_pictures_says_so(built, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    text = rewrite(built).text
    assert "No pictures: matplotlib or scipy was missing (`pip install genebert[plots]`)." in text
    assert "![" not in text and not (built / "figures").exists()
    assert "| B | 2 | 1 |" in text


def test_written_again_it_is_the_same_bytes(built):
    files = [file for file in built.rglob("*") if file.suffix in (".md", ".png", ".tsv")]
    assert len(files) >= 2
    before = {file: file.read_bytes() for file in files}
    for file in files:
        file.write_text("cut sho")
    rewrite(built)
    assert {file: file.read_bytes() for file in files} == before


def test_it_loads_in_a_process_without_this_package(built, tmp_path):
    code = f"""
import sys
from datasets import load_dataset
windows = load_dataset({str(built)!r})
regions = load_dataset({str(built)!r}, "regions", split="train")
assert {{name: len(split) for name, split in windows.items()}} == {{
    "train": 3, "validation": 1, "train_unseen_cell_types": 2
}}
assert windows["train"].features["cell_type"].names == ["B", "T|cell"]
assert len(regions) == 5
for config, split in [(None, windows["train"]), ("regions", regions)]:
    stream = load_dataset({str(built)!r}, config, split="train", streaming=True)
    assert str(list(stream)) == str(list(split))  # as text, because NaN is not equal to itself
    assert stream.features == split.features
assert not [name for name in sys.modules if name.split(".")[0] in ("hub_datasets", "modeling_genebert")]
"""
    environment = {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "PATH": ""}
    done = subprocess.run([sys.executable, "-I", "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_missing_is_noticed(built, tmp_path):
    next((built / "regions").glob("train-00001-*")).unlink()
    with pytest.raises(NonMatchingSplitsSizesError, match="num_examples=5.*num_examples=3"):
        load_dataset(str(built), "regions", cache_dir=str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("rows", "category"),
    [(999, "n<1K"), (1000, "1K<n<10K"), (17_000_000, "10M<n<100M"), (999_999_999, "100M<n<1B"), (10**9, "1B<n<10B")],
)
def test_size_category(rows, category):
    assert size_category(rows) == category
