"""Peaks of cell types from a published matrix of peaks x cell types in the Matrix Market format."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from ..files import read_line_blocks
from ..intervals import Peaks, read_peaks


class PeakMatrix:
    """Which peaks are accessible in which cell types: three files, as CATlas gives them out.

    Args:
        matrix: Matrix Market file in coordinate format; a line `2 22` says that peak 2 is accessible in cell type 22
            (both 1-based). A third column, a value, is not used.
        peaks: BED file, one line a row of the matrix.
        cell_types: text file, one cell type a line, one line a column of the matrix.

    Attributes:
        cell_types: the names, in the order of the columns.

    Raises:
        ValueError: the three do not belong together, or one is malformed or truncated.
    """

    def __init__(self, matrix: Path, peaks: Path, cell_types: Path):
        self.matrix_path, self.peaks_path = matrix, peaks
        lines = b"".join(read_line_blocks(cell_types)).decode("utf-8").splitlines()
        self.cell_types = [line.strip() for line in lines if line.strip()]
        if twice := {name for name in self.cell_types if self.cell_types.count(name) > 1}:
            raise ValueError(f"{cell_types}: {sorted(twice)[0]!r} comes twice, expected each cell type once")

    def peaks(self, cell_type: str) -> Peaks:
        """The accessible peaks of a cell type; neither signal nor summit are known."""
        rows = self._rows[self.cell_types.index(cell_type)]
        if not len(rows):
            raise ValueError(f"{self.matrix_path}: no peak is accessible in cell type {cell_type!r}")
        return self._all_peaks.take(rows)

    @cached_property
    def _all_peaks(self) -> Peaks:
        return read_peaks(self.peaks_path)

    @cached_property
    def _rows(self) -> list[np.ndarray]:
        """The accessible peaks of each cell type, sorted."""
        expected = len(self._all_peaks), len(self.cell_types)
        size: tuple[int, ...] | None = None
        entries = []
        for block in read_line_blocks(self.matrix_path):
            while size is None and block:
                line, _, block = block.partition(b"\n")
                if not line.startswith(b"%"):
                    size = tuple(int(number) for number in line.split()) if line.replace(b" ", b"").isdigit() else ()
            if block:
                entries.append(self._parse(block))
        if size is None or len(size) != 3 or size[:2] != expected:
            raise ValueError(
                f"{self.matrix_path}: a matrix of size {size}, expected {expected[0]} peaks, {expected[1]} cell types "
                "and the number of entries"
            )
        peak, cell_type = (np.concatenate(column) - 1 for column in zip(*entries, strict=True))
        if len(peak) != size[2]:
            raise ValueError(f"{self.matrix_path}: {len(peak)} entries, expected {size[2]}; download it again")
        if min(peak.min(), cell_type.min()) < 0 or peak.max() >= size[0] or cell_type.max() >= size[1]:
            raise ValueError(f"{self.matrix_path}: an entry outside of the matrix of {size[0]} x {size[1]}")
        order = np.lexsort((peak, cell_type))
        ends = np.searchsorted(cell_type[order], np.arange(1, size[1]))
        return np.split(peak[order], ends)

    def _parse(self, block: bytes) -> tuple[np.ndarray, np.ndarray]:
        try:
            table = csv.read_csv(
                pa.BufferReader(block),
                read_options=csv.ReadOptions(autogenerate_column_names=True),
                parse_options=csv.ParseOptions(delimiter=" ", quote_char=False),
                convert_options=csv.ConvertOptions(
                    include_columns=["f0", "f1"], column_types={"f0": pa.int32(), "f1": pa.int32()}
                ),
            )
        except (pa.ArrowInvalid, KeyError) as error:
            raise ValueError(f"{self.matrix_path}: not a Matrix Market file in coordinate format ({error})") from error
        return table["f0"].to_numpy(), table["f1"].to_numpy()
