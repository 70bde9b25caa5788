"""The files of the atlas. The same content always gives the same bytes."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modeling_genebert.dna_genebert import decode_dna


FASTA_WIDTH = 60


def write_fasta(path: Path, genome: Mapping[str, np.ndarray]) -> None:
    """Write chromosomes, name -> base codes, as FASTA with 60 bases a line."""
    with path.open("w", newline="\n") as file:
        for name, codes in genome.items():
            sequence = decode_dna(codes)
            file.write(f">{name}\n")
            for start in range(0, len(sequence), FASTA_WIDTH):
                file.write(sequence[start : start + FASTA_WIDTH] + "\n")


def write_table(path: Path, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write a tab-separated table with a header line; floats as `format_cell` writes them."""
    with path.open("w", newline="\n") as file:
        file.write("\t".join(columns) + "\n")
        for row in rows:
            file.write("\t".join(map(format_cell, row)) + "\n")


def format_cell(value: Any) -> str:
    """Text of a value in a table: booleans as 1 and 0, floats with at most 6 decimals."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        text = f"{value:.6f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return str(value)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines of text; gzip if the name ends in `.gz`, with no name and no time inside, so that bytes repeat."""
    content = "".join(line + "\n" for line in lines).encode()
    if path.suffix == ".gz":
        with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as file:
            file.write(content)
    else:
        path.write_bytes(content)
