"""Sequences that were pasted or uploaded, checked before anything is computed."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from examples.prediction.records import FASTA_ENDINGS, Counts, Record, open_source


MAX_RECORDS = 50  # of one request
UNNAMED = "sequence"  # what a sequence without a FASTA header is called


def read_sequences(text: str | None, file: str | Path | None) -> tuple[list[Record], list[str]]:
    """
    The records of a text or of a file, with the column `id`.

    Args:
        text: DNA, or FASTA.
        file: FASTA, plain or gzip.

    Returns:
        Records that can be predicted, and a line for each reason why others were left out.

    Raises:
        ValueError: there is nothing to predict, or what is there is not FASTA; for people, in one line.
    """
    text = (text or "").strip()
    if file is not None and text:
        raise ValueError("Found both a pasted sequence and a file: clear one of them")
    if file is not None:
        file = Path(file)
        if not file.name.removesuffix(".gz").endswith(FASTA_ENDINGS):
            endings = ", ".join(FASTA_ENDINGS)
            raise ValueError(f"{file.name}: expected a FASTA file, with an ending of {endings} (or these with .gz)")
        return _read(file)
    if not text:
        raise ValueError("No sequence: paste DNA or FASTA, or upload a FASTA file")
    with tempfile.TemporaryDirectory() as folder:
        pasted = Path(folder) / "pasted.fa"
        pasted.write_text(text + "\n" if text.startswith(">") else f">{UNNAMED}\n{text}\n", encoding="utf-8")
        return _read(pasted)


def _read(path: Path) -> tuple[list[Record], list[str]]:
    def readable(message: object) -> str:
        return str(message).replace(f"{path.parent}/", "")

    counts = Counts()
    records: list[Record] = []
    try:
        for record in open_source(path, counts).records:
            records.append(record)
            if len(records) > MAX_RECORDS:
                raise ValueError(f"{path}: more than {MAX_RECORDS} records; predict.py takes any number of them")
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(readable(error)) from None
    left_out = [
        f"{number} left out ({reason}): {readable('; '.join(counts.examples[reason]))}"
        for reason, number in counts.skipped.items()
    ]
    if not records:
        raise ValueError(f"Nothing to predict: {'. '.join(left_out)}")
    twice = [name for name, number in Counter(record.columns["id"] for record in records).items() if number > 1]
    if twice:
        raise ValueError(f"{path.name}: several records are called {twice[0]!r}, expected a name of its own for each")
    return records, left_out


def check_lengths(records: list[Record], shortest: int, longest: int | None) -> None:
    """Raise `ValueError` for a sequence that is shorter or longer than a checkpoint takes, in bp."""
    for record in records:
        name, length = record.columns["id"], len(record.sequence)
        if length < shortest:
            raise ValueError(f"{name} has {length} bp, expected at least {shortest} bp (one {shortest}-mer)")
        if longest is not None and length > longest:
            raise ValueError(f"{name} has {length:,} bp, expected at most {longest:,} bp: paste a part of it")


__all__ = ["MAX_RECORDS", "check_lengths", "read_sequences"]
