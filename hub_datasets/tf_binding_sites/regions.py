"""The accessible regions of cell types: where TFs bind, and the context that binding is predicted from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..atac_seq.consensus import GenomeAxis, build_consensus
from ..atac_seq.peak_sources import find_peaks
from ..atac_seq.reader import AtacSeqSet
from ..atac_seq.windows import AtacSeqOptions
from ..genome import Genome, name_some
from ..intervals import Peaks


REGION_WIDTH = 500  # bp, of regions made from peaks
_ROWS_PER_BLOCK = 50_000  # so many contexts are made at once: bounds the memory


@dataclass(frozen=True)
class AccessibleRegions:
    """N consensus regions of one width in genome order, each open or closed in each of C cell types.

    Attributes:
        chromosomes: names, in the genome's order.
        chrom: index into `chromosomes`, int array of shape `(N,)`.
        start: bp, 0-based, int64 of shape `(N,)`.
        width: of all regions, bp.
        sequences: N strings.
        cell_types: C names.
        accessibility: float32 of shape `(N, C)`: 0 = closed, NaN = open, not measured.
    """

    chromosomes: list[str]
    chrom: np.ndarray
    start: np.ndarray
    width: int
    sequences: list[str]
    cell_types: list[str]
    accessibility: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def chrom_names(self) -> np.ndarray:
        """Name of each region's chromosome, str of shape `(N,)`."""
        return np.array(self.chromosomes)[self.chrom]

    def holding(self, peaks: Peaks) -> np.ndarray:
        """Row of the region that holds each peak's summit, int64 of shape `(number of peaks,)`; -1 where none does."""
        found = np.full(len(peaks), -1)
        for index, name in enumerate(self.chromosomes):
            here = np.flatnonzero(peaks.chrom == name)
            first, last = np.searchsorted(self.chrom, [index, index + 1])
            row = first + np.searchsorted(self.start[first:last], peaks.summit[here], side="right") - 1
            inside = row >= first
            inside[inside] = peaks.summit[here][inside] < self.start[row[inside]] + self.width
            found[here[inside]] = row[inside]
        return found


def regions_of_set(name_or_path: str | Path, cell_types: Iterable[str]) -> AccessibleRegions:
    """The regions of a set that `build_atac_seq` wrote (a folder, or a data set on the Hub).

    Raises:
        FileNotFoundError: the folder is not a built set.
        ValueError: the set does not have one of the cell types.
    """
    atac = AtacSeqSet.load(name_or_path)
    columns = _columns(list(cell_types), atac.cell_types, str(name_or_path))
    store = atac.regions
    width = store.sequences.width
    letters = b"".join(chunk.tobytes() for chunk in store.sequences.chunks).decode("ascii")
    return AccessibleRegions(
        chromosomes=store.chromosomes,
        chrom=store.chrom,
        start=store.start.astype(np.int64),
        width=width,
        sequences=[letters[at : at + width] for at in range(0, len(letters), width)],
        cell_types=list(columns),
        accessibility=np.concatenate([chunk[:, list(columns.values())] for chunk in store.accessibility.chunks]),
    )


def regions_of_peaks(
    peaks: str | Path | Iterable[str | Path], genome: Genome, cell_types: Iterable[str]
) -> AccessibleRegions:
    """Consensus regions of 500 bp of ATAC-seq peaks: see `hub_datasets.atac_seq`, which makes them in the same way.

    Args:
        peaks: what `find_peaks` takes: peak files named after their cell types, folders of them, sample sheets, ...
        genome: that the peaks were called on.
        cell_types: those wanted; the peaks of the others take part in the consensus only.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: peaks cannot be used, or a cell type has none.
    """
    sources = find_peaks(peaks, AtacSeqOptions()).sources
    columns = _columns(list(cell_types), list(sources), "atac_seq_peaks")
    consensus = build_consensus(GenomeAxis(genome, REGION_WIDTH), sources, REGION_WIDTH, max_n_fraction=0.0)
    places = zip(consensus.chrom.tolist(), consensus.start.tolist(), strict=True)
    names = consensus.chromosomes
    return AccessibleRegions(
        chromosomes=names,
        chrom=consensus.chrom,
        start=consensus.start,
        width=REGION_WIDTH,
        sequences=[genome.fetch(names[chrom], start, start + REGION_WIDTH) for chrom, start in places],
        cell_types=list(columns),
        accessibility=consensus.accessibility_of(0, len(consensus))[:, list(columns.values())],
    )


def _columns(wanted: list[str], present: list[str], place: str) -> dict[str, int]:
    """Cell type -> its column, of those wanted, in order."""
    if missing := [name for name in wanted if name not in present]:
        raise ValueError(
            f"{place}: no accessible regions of cell type {missing[0]!r}, which ChIP-seq is given for; there are "
            f"{name_some(present)}: give both the same name, or leave its ChIP-seq out"
        )
    return {name: present.index(name) for name in dict.fromkeys(wanted)}


def contexts(
    regions: AccessibleRegions, cell_type: str, rows: np.ndarray, num_regions: int, max_span: int
) -> Iterator[dict[str, pa.Array]]:
    """The open regions of a cell type round each region, which takes part itself whether it is open or not.

    Args:
        regions: N regions.
        cell_type: one of theirs.
        rows: which regions, int array of shape `(n,)`.
        num_regions: at most so many in all: `num_regions // 2 - 1` before the region, `num_regions // 2` after it.
        max_span: the others lie within half of this from the region, centre to centre, bp.

    Yields:
        The columns `region_ids` (rows of `regions`, rising), `accessibility` and `anchor` (the region's place in
        these lists), for the next block of rows.
    """
    accessibility = regions.accessibility[:, regions.cell_types.index(cell_type)]
    is_open = accessibility != 0  # NaN too
    open_rows = np.flatnonzero(is_open)
    num_before, num_after = num_regions // 2 - 1, num_regions // 2
    for first in range(0, len(rows), _ROWS_PER_BLOCK):
        anchors = rows[first : first + _ROWS_PER_BLOCK]
        following = np.searchsorted(open_rows, anchors)
        before = following[:, None] + np.arange(-num_before, 0)
        after = (following + is_open[anchors])[:, None] + np.arange(num_after)
        neighbours = np.concatenate([before, after], axis=1)
        present = (neighbours >= 0) & (neighbours < len(open_rows))
        ids = open_rows[np.where(present, neighbours, 0)] if len(open_rows) else np.zeros_like(neighbours)
        present &= regions.chrom[ids] == regions.chrom[anchors, None]
        present &= 2 * np.abs(regions.start[ids] - regions.start[anchors, None]) <= max_span
        ids = np.insert(ids, num_before, anchors, axis=1)
        present = np.insert(present, num_before, True, axis=1)
        offsets = pa.array(np.concatenate([[0], present.sum(axis=1).cumsum()]), pa.int32())
        values = accessibility[ids[present]]
        yield {
            "region_ids": pa.ListArray.from_arrays(offsets, pa.array(ids[present], pa.int32())),
            # from_pandas=False: NaN is a value (open, not measured), not a missing one.
            "accessibility": pa.ListArray.from_arrays(offsets, pa.array(values, pa.float32(), from_pandas=False)),
            "anchor": pa.array(present[:, :num_before].sum(axis=1), pa.int32()),
        }
