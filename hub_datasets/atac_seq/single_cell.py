"""Peaks of cell types from a matrix of single cells x peaks: pseudo-bulk."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..intervals import Peaks


if TYPE_CHECKING:
    import pandas as pd


# Matrix entries that are in memory at once.
ENTRIES_PER_BLOCK = 1 << 22
_PEAK_NAME = r"^(?P<chrom>.+)[:_-](?P<start>\d+)[_-](?P<end>\d+)$"
_COORDINATE_COLUMNS = [("chrom", "start", "end"), ("chr", "start", "end"), ("seqnames", "start", "end")]
_NO_CELL_TYPE = "(no cell type)"


class PseudoBulk:
    """The peaks of each cell type in an AnnData file (`.h5ad`) of cells (obs) x peaks (var).

    A peak is accessible in a cell where `X` is above 0: counts, or whether there is any. A peak belongs to a cell type
    if it is accessible in at least `min_cells_per_peak` of its cells, and in at least the fraction
    `min_cell_fraction_per_peak` of them. Its signal is the share of the cell type's cells in which it is accessible;
    its summit is unknown.

    Peaks are the columns `chrom` (or `chr`, `seqnames`), `start` and `end` of `var`, or else the names `chr1:100-200`,
    `chr1-100-200` or `chr1_100_200`: 0-based, half-open, as in BED.

    `X` is read in blocks, as CSR, CSC or a dense matrix: the memory needed is that for the numbers of cells by cell
    type and peak (4 bytes each), whatever the number of cells. Layers are not used.

    Args:
        path: the `.h5ad` file.
        cell_type_column: the column of `obs` with the cell types.
        min_cells_per_cell_type: cell types with fewer cells are left out.
        min_cells_per_peak: see above.
        min_cell_fraction_per_peak: see above.

    Attributes:
        num_cells: cell type -> number of its cells, for those that have enough.
        left_out: cell type -> why it is left out, for the others; also the cells that have none.

    Raises:
        FileNotFoundError: there is no such file.
        ImportError: anndata is not installed.
        ValueError: not an AnnData file, no such column, no cell type with enough cells.
    """

    def __init__(
        self,
        path: Path,
        cell_type_column: str | None,
        min_cells_per_cell_type: int,
        min_cells_per_peak: int,
        min_cell_fraction_per_peak: float,
    ):
        self.path = path
        self.min_cells_per_peak = min_cells_per_peak
        self.min_cell_fraction_per_peak = min_cell_fraction_per_peak
        obs = _read_element(path, "obs")
        if cell_type_column not in obs:
            raise ValueError(
                f"{path}: cell_type_column={cell_type_column!r}: expected one of the columns of obs: "
                f"{', '.join(map(str, obs.columns)) or 'it has none'}"
            )
        cell_types = obs[cell_type_column]
        sizes = cell_types.astype(str)[cell_types.notna()].value_counts().sort_index()
        enough = sizes >= min_cells_per_cell_type
        self.num_cells: dict[str, int] = {str(name): int(size) for name, size in sizes[enough].items()}
        reason = f"fewer cells than min_cells_per_cell_type={min_cells_per_cell_type}"
        self.left_out = {str(name): f"{size} cells, {reason}" for name, size in sizes[~enough].items()}
        if num_missing := int(cell_types.isna().sum()):
            self.left_out[_NO_CELL_TYPE] = f"{num_missing} cells without a value in {cell_type_column!r}"
        if not self.num_cells:
            raise ValueError(
                f"{path}: all {len(sizes)} cell types in {cell_type_column!r} have {reason}; "
                f"the largest has {sizes.max() if len(sizes) else 0}"
            )
        # Row of each cell in the counts; -1 for those left out.
        index = {name: row for row, name in enumerate(self.num_cells)}
        self._cell_type_of_cell = np.array([index.get(name, -1) for name in cell_types.astype(str)], dtype=np.int64)
        self._cell_type_of_cell[cell_types.isna()] = -1

    def peaks(self, cell_type: str) -> Peaks:
        """The peaks of one cell type. Raises ValueError where it has none."""
        rows, num_accessible = self._accessible[cell_type]
        if not len(rows):
            raise ValueError(
                f"{self.path}: no peak is accessible in enough of the {self.num_cells[cell_type]} cells of cell type "
                f"{cell_type!r}; lower min_cells_per_peak={self.min_cells_per_peak} or min_cell_fraction_per_peak="
                f"{self.min_cell_fraction_per_peak}, or raise min_cells_per_cell_type"
            )
        return self._all_peaks.take(rows, signal=num_accessible / self.num_cells[cell_type])

    @cached_property
    def _all_peaks(self) -> Peaks:
        return _peaks_of_var(self.path, _read_element(self.path, "var"))

    @cached_property
    def _accessible(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Cell type -> its peaks, as rows of var, and in how many of its cells each is accessible."""
        from scipy.sparse import csr_array

        num_cells, num_peaks = len(self._cell_type_of_cell), len(self._all_peaks)
        kept = np.flatnonzero(self._cell_type_of_cell >= 0)
        membership = csr_array(
            (np.ones(len(kept), np.int32), (self._cell_type_of_cell[kept], kept)),
            shape=(len(self.num_cells), num_cells),
        ).tocsc()
        counts = np.zeros((len(self.num_cells), num_peaks), dtype=np.int32)
        for cells, peaks, accessible in _blocks(self.path, (num_cells, num_peaks)):
            found = (membership[:, cells] @ accessible).tocoo()
            counts[found.row, found.col + peaks.start] += found.data
        accessible_in = {}
        for row, (cell_type, size) in enumerate(self.num_cells.items()):
            enough = (counts[row] >= self.min_cells_per_peak) & (counts[row] >= self.min_cell_fraction_per_peak * size)
            accessible_in[cell_type] = np.flatnonzero(enough), counts[row, enough]
        return accessible_in


def _open(path: Path) -> Any:
    """The file as an `h5py.File`."""
    try:
        import anndata  # noqa: F401
        import h5py
    except ImportError as error:
        raise ImportError(f"{path}: .h5ad files need anndata: pip install genebert[inputs]") from error
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path}: not an .h5ad file, or truncated ({error})") from error


def _read_element(path: Path, name: str) -> pd.DataFrame:
    """`obs` or `var` of an AnnData file."""
    with _open(path) as file:
        from anndata.io import read_elem

        if missing := [element for element in ("X", "obs", "var") if element not in file]:
            raise ValueError(f"{path}: not an AnnData file with a matrix: it has no {', '.join(missing)}")
        return read_elem(file[name])


def _peaks_of_var(path: Path, var: pd.DataFrame) -> Peaks:
    found = next((columns for columns in _COORDINATE_COLUMNS if set(columns) <= set(var.columns)), None)
    if found:
        chrom, start, end = (var[column] for column in found)
    else:
        parts = var.index.to_series().astype(str).str.extract(_PEAK_NAME)
        if parts["start"].isna().any():
            row = int(parts["start"].isna().to_numpy().argmax())
            raise ValueError(
                f"{path}: var row {row + 1}: found {str(var.index[row])!r}, expected a peak as chr1:100-200, "
                "chr1-100-200 or chr1_100_200, or var with the columns chrom, start and end"
            )
        chrom, start, end = parts["chrom"], parts["start"], parts["end"]
    start, end = (np.asarray(column).astype(np.int64) for column in (start, end))
    wrong = (start < 0) | (start >= end) | (end >= 2**31)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{path}: var row {row + 1}: found start {start[row]}, end {end[row]}, expected 0 <= start < end < 2^31"
        )
    unknown = np.full(len(start), -1)
    return Peaks(np.asarray(chrom).astype(np.str_), start, end, unknown, np.full(len(start), np.nan))


def _blocks(path: Path, shape: tuple[int, int]) -> Iterator[tuple[slice, slice, Any]]:
    """Rows, columns and content of blocks that make up `X`: sparse int32 matrices, 1 where a peak is accessible."""
    with _open(path) as file:
        import h5py
        from anndata.io import sparse_dataset
        from scipy.sparse import csr_array

        matrix = file["X"] if isinstance(file["X"], h5py.Dataset) else sparse_dataset(file["X"])
        if tuple(matrix.shape) != shape:
            raise ValueError(f"{path}: X has the shape {tuple(matrix.shape)}, expected {shape} from obs and var")
        everything = slice(0, shape[0]), slice(0, shape[1])
        by_peak = getattr(matrix, "format", "csr") == "csc"
        if isinstance(matrix, h5py.Dataset):
            first_entry = np.arange(shape[0] + 1) * shape[1]
        else:
            first_entry = file["X/indptr"][:]
        for part in _cut(first_entry):
            cells, peaks = (everything[0], part) if by_peak else (part, everything[1])
            block = csr_array(matrix[:, part] if by_peak else matrix[part])
            if not (block.data >= 0).all():
                raise ValueError(f"{path}: X holds negative or missing values, expected counts, or 0 and 1")
            yield cells, peaks, csr_array((block.data > 0, block.indices, block.indptr), block.shape).astype(np.int32)


def _cut(first_entry: np.ndarray) -> Iterator[slice]:
    """Cut rows (or columns) into slices with up to `ENTRIES_PER_BLOCK` entries together, at least one row each."""
    start, num_rows = 0, len(first_entry) - 1
    while start < num_rows:
        end = int(np.searchsorted(first_entry, first_entry[start] + ENTRIES_PER_BLOCK, side="right")) - 1
        end = min(max(end, start + 1), num_rows)
        yield slice(start, end)
        start = end
