"""From the peaks of many cell types to one set of regions that are open or closed in each.

The consensus follows the iterative overlap removal of Corces et al. (2018), "The chromatin accessibility landscape of
primary human cancers", Science 362, eaav1898: peaks become intervals of fixed width round their summits; strongest
first, each is kept unless it overlaps one that was kept before. No region is a merger of others, all are equally
wide, and a region has the same coordinates in every cell type.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from ..files import written_whole
from ..genome import Genome, name_some, naming_hint
from ..intervals import Peaks, mid_ranks, read_peaks


if TYPE_CHECKING:
    from .peak_sources import PeakSource


# Why a peak was not used, in the order in which the reasons are tried: its chromosome is not in the genome; it, or the
# region round its summit, reaches beyond the chromosome; the file has it twice; its region holds too many N, or
# overlaps the blacklist; its region overlaps a stronger one, in which its summit does not lie.
NO_CHROMOSOME = "unknown chromosome"
PAST_END = "past chromosome end"
DUPLICATE = "duplicate"
TOO_MANY_N = "too many N"
BLACKLISTED = "blacklist"
OVERLAP = "overlap"
SKIP_REASONS = (NO_CHROMOSOME, PAST_END, DUPLICATE, TOO_MANY_N, BLACKLISTED, OVERLAP)
PERCENTILES = (5, 25, 50, 75, 95)  # of the distributions in the report
# A run of N of this length (bp) is a gap in the assembly: no region is the "next" one across it.
MIN_GAP_OF_N = 1000
# The consensus is made in pieces of whole chromosomes, of about this length (bp) together: bounds the memory.
_PIECE_OF_AXIS = 1 << 27


@dataclass(frozen=True)
class PeakCounts:
    """What became of one cell type's peaks: `read` is `used` (they support a region) plus all that was `skipped`."""

    read: int
    used: int
    skipped: dict[str, int]
    open_regions: int
    widths: list[int]  # bp: PERCENTILES over all peaks that were read


@dataclass(frozen=True)
class Consensus:
    """N regions of one width, sorted by chromosome (genome order) and start; bp, 0-based, half-open.

    Which regions are open, and which a peak only touches, is kept as a list for each cell type, so memory grows with
    the open regions of all cell types together, not with regions x cell types. All others are closed.

    Attributes:
        region_width: bp.
        chromosomes: all chromosome names of the genome, in its order.
        offsets: where each chromosome begins on the [`GenomeAxis`].
        gaps: runs of `MIN_GAP_OF_N` or more N, on the axis, int64 of shape `(num_gaps, 2)`, sorted.
        chrom: index into `chromosomes`, int32 of shape `(N,)`.
        start: int64 of shape `(N,)`.
        cell_types: C names.
        open_regions: for each cell type, the rows of the regions open in it, int32, sorted.
        accessibility: for each cell type, of those regions: the mid-rank in (0, 1] of the strongest supporting peak
            among all peaks of that cell type's file, NaN where not measured; float32.
        touching_regions: for each cell type, the rows of the regions that are not open in it, but that one of its
            peaks overlaps by a base or more, int32, sorted: neither surely open nor surely closed.
        counts: per cell type, what became of its peaks.
    """

    region_width: int
    chromosomes: list[str]
    offsets: np.ndarray
    gaps: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    cell_types: list[str]
    open_regions: list[np.ndarray]
    accessibility: list[np.ndarray]
    touching_regions: list[np.ndarray]
    counts: dict[str, PeakCounts]

    def __len__(self) -> int:
        return len(self.start)

    def accessibility_of(self, first: int, last: int) -> np.ndarray:
        """Accessibility of the regions `first` to `last` (exclusive) in each cell type; 0 where closed.

        Returns:
            float32 array of shape `(last - first, C)`.
        """
        dense = np.zeros((last - first, len(self.cell_types)), dtype=np.float32)
        for column, (rows, values) in enumerate(zip(self.open_regions, self.accessibility, strict=True)):
            here = slice(*np.searchsorted(rows, [first, last]))
            dense[rows[here] - first, column] = values[here]
        return dense

    def touching_of(self, first: int, last: int) -> np.ndarray:
        """Whether the regions `first` to `last` (exclusive) are touched, but not opened, by a peak of each cell type.

        Returns:
            bool array of shape `(last - first, C)`.
        """
        dense = np.zeros((last - first, len(self.cell_types)), dtype=bool)
        for column, rows in enumerate(self.touching_regions):
            dense[rows[slice(*np.searchsorted(rows, [first, last]))] - first, column] = True
        return dense

    def save(self, folder: Path) -> None:
        """Write it to a folder as arrays that many processes can open at no cost."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        arrays |= {name: np.concatenate(getattr(self, name)) for name in _ARRAYS_OF_CELL_TYPES}
        for name in ("open_regions", "touching_regions"):
            arrays[f"{name}_ends"] = np.cumsum([len(rows) for rows in getattr(self, name)])
        for name, array in arrays.items():
            with written_whole(folder / f"{name}.npy") as stream:
                np.save(stream, array)
        counts = {cell_type: asdict(count) for cell_type, count in self.counts.items()}
        rest = {"region_width": self.region_width, "chromosomes": self.chromosomes, "counts": counts}
        with written_whole(folder / "consensus.json") as stream:
            stream.write(json.dumps(rest).encode())

    @classmethod
    def load(cls, folder: Path) -> Consensus:
        """Open what `save` wrote; the arrays stay on disk, and memory holds what is used of them."""
        names = (*_ARRAYS, *_ARRAYS_OF_CELL_TYPES, *set(_ARRAYS_OF_CELL_TYPES.values()))
        arrays: dict[str, Any] = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in names}
        ends = {name: arrays.pop(name)[:-1] for name in set(_ARRAYS_OF_CELL_TYPES.values())}
        arrays |= {name: np.split(arrays[name], ends[which]) for name, which in _ARRAYS_OF_CELL_TYPES.items()}
        rest = json.loads((folder / "consensus.json").read_text(encoding="utf-8"))
        counts = {cell_type: PeakCounts(**count) for cell_type, count in rest["counts"].items()}
        return cls(rest["region_width"], rest["chromosomes"], cell_types=list(counts), counts=counts, **arrays)


_ARRAYS = ("offsets", "gaps", "chrom", "start")
# Saved one cell type after the other; and where they end.
_ARRAYS_OF_CELL_TYPES = {
    "open_regions": "open_regions_ends",
    "accessibility": "open_regions_ends",
    "touching_regions": "touching_regions_ends",
}


class GenomeAxis:
    """The chromosomes laid end to end on one axis, with room between them, so that a position is a single number.

    Args:
        genome: whose chromosomes.
        spacing: room between two chromosomes, bp.
        blacklist: BED file of intervals that no region may overlap.

    Attributes:
        names: chromosome names, in the genome's order.
        lengths: bp.
        offsets: where each chromosome begins on the axis.
        unknown_runs: runs of letters other than A, C, G, T on the axis, int64 of shape `(num_runs, 2)`, sorted.
        blacklist: intervals of the blacklist on the axis, merged, int64 of shape `(num_intervals, 2)`, sorted.

    Raises:
        ValueError: the blacklist cannot be read, or shares no chromosome with the genome.
    """

    def __init__(self, genome: Genome, spacing: int, blacklist: str | Path | None = None):
        self.names = list(genome.chromosomes)
        self.lengths = np.array(list(genome.chromosomes.values()), dtype=np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths + spacing)[:-1]])
        self.unknown_runs = np.concatenate(
            [genome.unknown_runs(name) + offset for name, offset in zip(self.names, self.offsets, strict=True)]
        )
        self._unknown_before_run = np.concatenate([[0], np.cumsum(np.diff(self.unknown_runs, axis=1))])
        self.blacklist = np.empty((0, 2), np.int64) if blacklist is None else self._merged(blacklist)

    def chrom_index(self, names: np.ndarray) -> np.ndarray:
        """Index of each chromosome name, -1 where the genome has no such chromosome."""
        distinct, inverse = np.unique(names, return_inverse=True)
        index = {name: position for position, name in enumerate(self.names)}
        return np.array([index.get(str(name), -1) for name in distinct], dtype=np.int32)[inverse]

    def _merged(self, path: str | Path) -> np.ndarray:
        """The intervals of a BED file on the axis, overlapping and adjoining ones made one."""
        intervals = read_peaks(path)
        chrom = self.chrom_index(intervals.chrom)
        known = chrom >= 0
        if not known.any():
            raise ValueError(_no_shared_chromosome(path, "the blacklist has", intervals.chrom, self.names))
        start, end = ((position + self.offsets[chrom])[known] for position in (intervals.start, intervals.end))
        order = np.argsort(start)
        start, end = start[order], np.maximum.accumulate(end[order])
        is_first = np.append(True, start[1:] > end[:-1])
        return np.stack([start[is_first], end[np.append(is_first[1:], True)]], axis=1)

    def in_blacklist(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """bool: whether each interval of the axis overlaps the blacklist, by one base or more."""
        following = np.searchsorted(self.blacklist[:, 1], start, side="right")  # the first that ends after the start
        return np.append(self.blacklist[:, 0], np.iinfo(np.int64).max)[following] < end

    def count_unknown(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """How many unknown bases (N) lie in each interval of the axis."""
        return self._unknown_before(end) - self._unknown_before(start)

    def _unknown_before(self, position: np.ndarray) -> np.ndarray:
        if not len(self.unknown_runs):
            return np.zeros(len(position), dtype=np.int64)
        num_runs = np.searchsorted(self.unknown_runs[:, 0], position)
        last_run_end = self.unknown_runs[np.maximum(num_runs, 1) - 1, 1]
        beyond = np.where(num_runs > 0, np.maximum(last_run_end - position, 0), 0)
        return self._unknown_before_run[num_runs] - beyond


def keep_strongest(position: np.ndarray, strength: np.ndarray, width: int) -> np.ndarray:
    """Iterative overlap removal: strongest first, keep an interval unless it overlaps one kept before.

    Args:
        position: starts of the intervals on one axis, int64 of shape `(n,)`.
        strength: float of shape `(n,)`; ties go to the smaller start.
        width: of all intervals, bp.

    Returns:
        Starts of the kept intervals, sorted.
    """
    strongest_first = position[np.lexsort((position, -strength))]
    # Kept intervals do not overlap, so each bucket of `width` bp holds the start of at most one.
    kept: dict[int, int] = {}
    for start in strongest_first.tolist():
        bucket = start // width
        if bucket in kept:
            continue
        if start - kept.get(bucket - 1, start - width) < width or kept.get(bucket + 1, start + width) - start < width:
            continue
        kept[bucket] = start
    return np.array(sorted(kept.values()), dtype=np.int64)


@dataclass
class _PlacedPeaks:
    """One file's peaks that lie within the genome, sorted by summit, and what became of the others.

    23 bytes a peak: this is what grows with the number of peaks while the consensus is made.
    """

    num_read: int
    widths: list[int]  # bp: PERCENTILES over all peaks that were read
    summit: np.ndarray  # axis position
    before: np.ndarray  # bp from the peak's first base to its summit, int32
    after: np.ndarray  # bp from the summit to the peak's end, int32
    rank: np.ndarray  # mid-rank of the signal over the whole file, NaN = not measured
    crosses_end: np.ndarray  # bool: the fixed-width interval reaches beyond the chromosome
    too_many_n: np.ndarray  # bool, of the others: it holds too many N
    blacklisted: np.ndarray  # bool, of the others: it overlaps the blacklist
    skipped: dict[str, int]  # of the peaks that are not here

    @property
    def candidate(self) -> np.ndarray:
        """bool: the fixed-width interval may become a region."""
        return ~self.crosses_end & ~self.too_many_n & ~self.blacklisted

    def candidates_between(self, start: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """Summit and strength of the candidates with a summit in an interval of the axis."""
        here = slice(*np.searchsorted(self.summit, [start, end]))
        candidate = self.candidate[here]
        return self.summit[here][candidate], np.nan_to_num(self.rank[here][candidate], nan=0.5)

    def overlaps(self, position: np.ndarray, width: int) -> np.ndarray:
        """bool of shape `(n,)`: whether a peak overlaps the intervals that start at `position` (sorted, apart)."""
        # A peak overlaps all from the first interval that ends after its start to the last that starts before its end.
        first = np.searchsorted(position + width, self.summit - self.before, side="right")
        end = np.searchsorted(position, self.summit + self.after, side="left")
        steps = np.bincount(first, minlength=len(position) + 1) - np.bincount(end, minlength=len(position) + 1)
        return np.cumsum(steps[:-1]) > 0


def _place(peaks: Peaks, place: str, axis: GenomeAxis, region_width: int, max_n_fraction: float) -> _PlacedPeaks:
    rank = mid_ranks(peaks.signal)
    chrom = axis.chrom_index(peaks.chrom)
    if (chrom < 0).all():
        raise ValueError(_no_shared_chromosome(place, "the peaks have", peaks.chrom, axis.names))
    length = axis.lengths[chrom]
    offset = axis.offsets[chrom]
    summit = np.where(peaks.summit >= 0, peaks.summit, (peaks.start + peaks.end) // 2)

    no_chromosome = chrom < 0
    past_end = ~no_chromosome & (peaks.end > length)
    duplicate = np.zeros(len(peaks), dtype=bool)
    # The strongest of equal peaks comes first and stays.
    order = np.lexsort((-np.nan_to_num(rank), summit, peaks.end, peaks.start, chrom))
    columns = np.stack([chrom, peaks.start, peaks.end, summit])[:, order]
    duplicate[order[1:]] = (columns[:, 1:] == columns[:, :-1]).all(axis=0)
    duplicate &= ~no_chromosome & ~past_end
    placed = np.flatnonzero(~no_chromosome & ~past_end & ~duplicate)
    placed = placed[np.argsort((summit + offset)[placed], kind="stable")]

    start = (summit - region_width // 2)[placed]
    crosses_end = (start < 0) | (start + region_width > length[placed])
    axis_start = start + offset[placed]
    num_unknown = axis.count_unknown(axis_start, axis_start + region_width)
    too_many_n = ~crosses_end & (num_unknown > max_n_fraction * region_width)
    return _PlacedPeaks(
        num_read=len(peaks),
        widths=np.percentile(peaks.end - peaks.start, PERCENTILES, method="inverted_cdf").tolist(),
        summit=(summit + offset)[placed],
        before=(summit - peaks.start)[placed].astype(np.int32),
        after=(peaks.end - summit)[placed].astype(np.int32),
        rank=rank[placed],
        crosses_end=crosses_end,
        too_many_n=too_many_n,
        blacklisted=~crosses_end & ~too_many_n & axis.in_blacklist(axis_start, axis_start + region_width),
        skipped={
            NO_CHROMOSOME: int(no_chromosome.sum()),
            PAST_END: int(past_end.sum()),
            DUPLICATE: int(duplicate.sum()),
        },
    )


def _no_shared_chromosome(place: str | Path, they_have: str, chrom: np.ndarray, genome_names: list[str]) -> str:
    names = [str(name) for name in np.unique(chrom)]
    return (
        f"{place}: none of its chromosomes is in the genome: {they_have} {name_some(names)}; "
        f"the genome has {name_some(genome_names)}{naming_hint(names, genome_names)}"
    )


def build_consensus(
    axis: GenomeAxis, sources: Mapping[str, PeakSource], region_width: int, max_n_fraction: float
) -> Consensus:
    """Read the peaks of all cell types and make the consensus regions, open or closed in each cell type.

    Strength is the mid-rank of a peak's signal within its own file (0.5 where the file has no signal), so that files
    of different depth count alike. A region is open in a cell type if the summit of one of its peaks (the midpoint
    where the summit is unknown) lies inside it. Every peak within the genome can support a region, also one whose own
    interval could not become a region because it holds too many N or overlaps the blacklist. A region that is not
    open, but that a peak overlaps, is touching: it may be accessible in part.

    Args:
        axis: the genome's chromosomes.
        sources: cell type -> its peaks.
        region_width: width of the regions, bp.
        max_n_fraction: a region may hold at most this fraction of bases other than A, C, G, T.

    Raises:
        ValueError: peaks cannot be read, share no chromosome with the genome, or none of them is usable.
    """
    cell_types = list(sources)
    placed = []
    for cell_type in (progress := tqdm(cell_types, desc="Reading peaks", unit="cell type", disable=None)):
        progress.set_postfix_str(cell_type)
        source = sources[cell_type]
        placed.append(_place(source.read(), source.place, axis, region_width, max_n_fraction))

    position = _keep_strongest_of_all(placed, axis, region_width)
    open_regions, accessibility, touching_regions, counts = [], [], [], {}
    for cell_type, peaks in zip(cell_types, placed, strict=True):
        region = np.searchsorted(position, peaks.summit, side="right") - 1
        supports = region >= 0
        supports[supports] = peaks.summit[supports] < position[region[supports]] + region_width
        # Sorted by summit, the peaks that support one region stand together; the strongest counts, NaN as the weakest.
        rows, first = np.unique(region[supports], return_index=True)
        open_regions.append(rows.astype(np.int32))
        accessibility.append(np.fmax.reduceat(peaks.rank[supports], first) if len(rows) else np.empty(0, np.float32))
        touches = peaks.overlaps(position, region_width)
        touches[rows] = False
        touching_regions.append(np.flatnonzero(touches).astype(np.int32))
        skipped = dict.fromkeys(SKIP_REASONS, 0) | peaks.skipped
        skipped[PAST_END] += int((~supports & peaks.crosses_end).sum())
        skipped[TOO_MANY_N] += int((~supports & peaks.too_many_n).sum())
        skipped[BLACKLISTED] += int((~supports & peaks.blacklisted).sum())
        skipped[OVERLAP] += int((~supports & peaks.candidate).sum())
        counts[cell_type] = PeakCounts(peaks.num_read, int(supports.sum()), skipped, len(rows), peaks.widths)
    _check_counts(counts, sources)

    chrom = np.searchsorted(axis.offsets, position, side="right").astype(np.int32) - 1
    return Consensus(
        region_width=region_width,
        chromosomes=axis.names,
        offsets=axis.offsets,
        gaps=axis.unknown_runs[np.diff(axis.unknown_runs, axis=1)[:, 0] >= MIN_GAP_OF_N],
        chrom=chrom,
        start=position - axis.offsets[chrom],
        cell_types=cell_types,
        open_regions=open_regions,
        accessibility=accessibility,
        touching_regions=touching_regions,
        counts=counts,
    )


def _keep_strongest_of_all(placed: list[_PlacedPeaks], axis: GenomeAxis, region_width: int) -> np.ndarray:
    """Starts of the regions on the axis, sorted: each piece of whole chromosomes is independent of the others."""
    _, first = np.unique(axis.offsets // _PIECE_OF_AXIS, return_index=True)
    bounds = [*axis.offsets[first].tolist(), int(axis.offsets[-1] + axis.lengths[-1])]
    kept = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        summits, strengths = zip(*(peaks.candidates_between(start, end) for peaks in placed), strict=True)
        kept.append(
            keep_strongest(np.concatenate(summits) - region_width // 2, np.concatenate(strengths), region_width)
        )
    return np.concatenate(kept)


def _check_counts(counts: dict[str, PeakCounts], sources: Mapping[str, PeakSource]) -> None:
    doubtful = []
    for cell_type, count in counts.items():
        if not count.used:
            reasons = ", ".join(f"{number} {reason}" for reason, number in count.skipped.items() if number)
            raise ValueError(
                f"{sources[cell_type].place}: none of its {count.read} peaks can be used ({reasons}); "
                "give the genome build of the peaks, or leave the file out"
            )
        if count.skipped[PAST_END] > (count.read - count.skipped[NO_CHROMOSOME]) / 2:
            doubtful.append(cell_type)
    if doubtful:
        warnings.warn(
            f"most peaks of {name_some(doubtful)} lie past the ends of the genome's chromosomes: wrong genome build? "
            "(right where the genome is only a piece of the one the peaks were called on)",
            stacklevel=2,
        )
