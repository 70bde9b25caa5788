"""Reading the CSV layout of the GUE benchmark: folders with `train.csv`, `dev.csv` and `test.csv`."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets

from modeling_genebert.dna_genebert import reverse_complement

from .files import read_line_blocks
from .genome import name_some
from .task_tables import features_of


GUE_FILES = {"train": "train.csv", "validation": "dev.csv", "test": "test.csv"}
_NOT_IUPAC = re.compile("[^ACGTURYSWKMBDHVN]")


def read_gue_csv(path: str | Path, labels: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Read a CSV file with the columns `sequence` and `label`, and `id` where it has one; others are passed over.

    Plain, gzip or bgzip; any end of line; sequences in any case.

    Args:
        path: the file.
        labels: names of the labels; the file may hold the names or their numbers, from 0. Without it, it must hold
            numbers.

    Returns:
        `{"sequence": list of str, upper case, "label": list of int}`, and `"id"` where the file has it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing (the message names those found), no rows, or a bad line (the message names
            it): no sequence, not DNA, an unknown label, an id that stands twice.
    """
    path = Path(path)
    reader = csv.reader(_lines(path))
    try:
        header = [name.strip() for name in next(reader, [])]
        if missing := [name for name in ("sequence", "label") if name not in header]:
            found = ", ".join(repr(name[:30]) for name in header[:8]) or "an empty file"
            raise ValueError(
                f"{path}: no column {' and '.join(map(repr, missing))}; found {found}, "
                "expected a header 'sequence,label'"
            )
        names = [name for name in ("sequence", "label", "id") if name in header]
        places = [header.index(name) for name in names]
        rows: dict[str, list[Any]] = {name: [] for name in names}
        lines_of_ids: dict[str, int] = {}
        for cells in reader:
            if not cells:
                continue
            where = f"{path}:{reader.line_num}"
            if len(cells) != len(header):
                raise ValueError(f"{where}: found {len(cells)} columns, expected {len(header)} as in the header")
            sequence, label, *record_id = (cells[place].strip() for place in places)
            rows["sequence"].append(_check_sequence(sequence.upper(), where))
            rows["label"].append(_parse_label(label, labels, where))
            for name in record_id:
                if name in lines_of_ids:
                    raise ValueError(
                        f"{where}: id {name!r} stands in line {lines_of_ids[name]} too; give each row an id of its own"
                    )
                lines_of_ids[name] = reader.line_num
                rows["id"].append(name)
    except csv.Error as error:
        raise ValueError(f"{path}:{reader.line_num}: not a CSV file ({error})") from None
    if not rows["sequence"]:
        raise ValueError(f"{path}: no rows after the header, expected at least one")
    return rows


def find_gue_sets(folder: str | Path) -> dict[str, Path]:
    """The sets in a folder: itself if it has one of `train.csv`, `dev.csv` and `test.csv`, else its folders that have.

    Files may also end in `.csv.gz`.

    Returns:
        Name of the folder -> folder, sorted by name.

    Raises:
        FileNotFoundError: there is no such folder, or no set in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    if gue_files(folder):
        return {folder.resolve().name: folder}
    found = {inner.name: inner for inner in sorted(folder.iterdir()) if inner.is_dir() and gue_files(inner)}
    if not found:
        present = name_some(sorted(file.name for file in folder.iterdir())) or "nothing"
        raise FileNotFoundError(
            f"{folder}: found {present}, expected {', '.join(GUE_FILES.values())}, or folders that hold them"
        )
    return found


def gue_files(folder: str | Path) -> dict[str, Path]:
    """The files of a set that are there: "train", "validation" and "test" -> file."""
    found = {}
    for split, name in GUE_FILES.items():
        for file in (Path(folder, name), Path(folder, f"{name}.gz")):
            if file.is_file():
                found[split] = file
                break
    return found


def read_gue_set(folder: str | Path, labels: Sequence[str]) -> dict[str, datasets.Dataset]:
    """The tables of one set: those of its splits that are there.

    Args:
        folder: with `train.csv`, `dev.csv` and `test.csv`.
        labels: names of the labels, in the order of their numbers.

    Returns:
        "train", "validation" and "test" -> table with the columns `sequence` and `label`, and `id` where there is one.
    """
    tables = {}
    for split, file in gue_files(folder).items():
        rows = read_gue_csv(file, labels)
        features = features_of("single_label_classification", labels, ["id"] if "id" in rows else [])
        tables[split] = datasets.Dataset.from_dict(rows, features=features)
    return tables


def _lines(path: Path) -> Iterator[str]:
    for block in read_line_blocks(path):
        try:
            text = block.decode("utf-8")
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file in UTF-8 ({error.reason}), expected a CSV file") from None
        yield from io.StringIO(text, newline="")


def _check_sequence(sequence: str, where: str) -> str:
    if not sequence:
        raise ValueError(f"{where}: the sequence is empty, expected DNA")
    if found := _NOT_IUPAC.search(sequence):
        raise ValueError(
            f"{where}: not DNA: found {found.group()!r} at base {found.start() + 1}, expected IUPAC letters"
        )
    return sequence


def _parse_label(text: str, labels: Sequence[str] | None, where: str) -> int:
    if labels is not None and text in labels:
        return list(labels).index(text)
    if re.fullmatch("[0-9]+", text) and (labels is None or int(text) < len(labels)):
        return int(text)
    expected = "a whole number" if labels is None else f"0 to {len(labels) - 1} or one of {', '.join(labels)}"
    raise ValueError(f"{where}: found label {text!r}, expected {expected}")


def overlaps_between_sets(sets: Mapping[str, Mapping[str, Sequence[str]]]) -> list[dict[str, Any]]:
    """How many rows of each set's test share a sequence with the training rows of another set.

    Two rows share a sequence where one contains the other, on either strand. Sets in which rows differ in length are
    not compared.

    Args:
        sets: set -> split -> sequences, upper case.

    Returns:
        For each pair of sets with a training and a test split: `{"train": set, "test": set, "rows": number of test
        rows, "shared": number of those that share a sequence}`.
    """
    overlaps = []
    for train_set, train in sets.items():
        for test_set, test in sets.items():
            if train_set == test_set or "train" not in train or "test" not in test:
                continue
            lengths = {len(sequence) for sequence in train["train"]}, {len(sequence) for sequence in test["test"]}
            if len(lengths[0]) == 1 and len(lengths[1]) == 1:
                shared = _shared(train["train"], test["test"], min(lengths[0] | lengths[1]))
                overlaps.append({"train": train_set, "test": test_set, "rows": len(test["test"]), "shared": shared})
    return overlaps


def _shared(train: Sequence[str], test: Sequence[str], length: int) -> int:
    """Number of test rows that have a piece of `length` bp, the length of the shorter rows, in common with `train`."""
    pieces_of_test: dict[str, list[int]] = {}
    for row, sequence in enumerate(test):
        for strand in (sequence, reverse_complement(sequence)):
            for at in range(len(strand) - length + 1):
                pieces_of_test.setdefault(strand[at : at + length], []).append(row)
    found: set[int] = set()
    for sequence in train:
        for at in range(len(sequence) - length + 1):
            found.update(pieces_of_test.get(sequence[at : at + length], ()))
    return len(found)
