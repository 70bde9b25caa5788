"""Windows: the open regions of one cell type round an anchor, and which split a window belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .consensus import Consensus


UNSEEN_SUFFIX = "_unseen_cell_types"


@dataclass
class AtacSeqOptions:
    """What a build is made of beside its input files. Lengths are in bp."""

    region_width: int = field(default=500, metadata={"help": "Width of the consensus regions, bp."})
    num_regions: int = field(default=32, metadata={"help": "Open regions in a window, the anchor among them."})
    max_span: int = field(
        default=2_000_000,
        metadata={"help": "Regions of a window lie within half of this from the anchor, centre to centre, bp."},
    )
    max_gap: int = field(
        default=1_000_000, metadata={"help": "The next open region is at most this far, centre to centre, bp."}
    )
    stride: int = field(default=1, metadata={"help": "Every stride-th open region of a cell type is an anchor."})
    validation_chromosomes: list[str] = field(
        default_factory=list, metadata={"help": "Chromosomes held out for validation."}
    )
    test_chromosomes: list[str] = field(default_factory=list, metadata={"help": "Chromosomes held out for test."})
    held_out_cell_types: list[str] = field(
        default_factory=list, metadata={"help": "Cell types held out: their windows go to splits of their own."}
    )
    max_n_fraction: float = field(
        default=0.0, metadata={"help": "A region may hold at most this fraction of unknown bases (N)."}
    )
    num_background: int = field(
        default=0,
        metadata={
            "help": "Sequences from all over the training chromosomes, for masked genome modelling alone: at most so "
            "many, region_width bp each, at equal steps."
        },
    )
    cell_type_column: str | None = field(
        default=None, metadata={"help": "Of .h5ad files: the column of obs with the cell types."}
    )
    min_cells_per_cell_type: int = field(
        default=100, metadata={"help": "Of .h5ad files: cell types with fewer cells are left out."}
    )
    min_cells_per_peak: int = field(
        default=5, metadata={"help": "Of .h5ad files: a peak is accessible in at least so many cells of a cell type."}
    )
    min_cell_fraction_per_peak: float = field(
        default=0.01, metadata={"help": "Of .h5ad files: and in at least this fraction of the cell type's cells."}
    )

    def __post_init__(self) -> None:
        self.validation_chromosomes = list(self.validation_chromosomes)
        self.test_chromosomes = list(self.test_chromosomes)
        self.held_out_cell_types = list(self.held_out_cell_types)
        for name, smallest in [
            ("region_width", 1),
            ("num_regions", 2),
            ("max_span", 0),
            ("max_gap", 0),
            ("stride", 1),
            ("num_background", 0),
            ("min_cells_per_cell_type", 1),
            ("min_cells_per_peak", 1),
        ]:
            if getattr(self, name) < smallest:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least {smallest}")
        if not 0 <= self.max_n_fraction < 1:
            raise ValueError(f"max_n_fraction={self.max_n_fraction}: expected 0 <= fraction < 1")
        if not 0 <= self.min_cell_fraction_per_peak <= 1:
            raise ValueError(
                f"min_cell_fraction_per_peak={self.min_cell_fraction_per_peak}: expected 0 <= fraction <= 1"
            )
        if twice := set(self.validation_chromosomes) & set(self.test_chromosomes):
            raise ValueError(f"{', '.join(sorted(twice))}: in both validation_chromosomes and test_chromosomes")

    @property
    def anchor_index(self) -> int:
        """The column of the anchor: as many regions before it as after it, less one."""
        return self.num_regions // 2 - 1

    def check_names(self, chromosomes: list[str], cell_types: list[str]) -> None:
        """Raise ValueError for a held-out chromosome or cell type that does not exist, or if no cell type is left."""
        for option, present in [
            ("validation_chromosomes", chromosomes),
            ("test_chromosomes", chromosomes),
            ("held_out_cell_types", cell_types),
        ]:
            if missing := [name for name in getattr(self, option) if name not in present]:
                raise ValueError(f"{option}: no {', '.join(missing)}; there are {', '.join(present)}")
        if set(self.held_out_cell_types) == set(cell_types):
            raise ValueError(f"held_out_cell_types: all of {', '.join(cell_types)}; keep at least one to train on")


def split_names(options: AtacSeqOptions) -> list[str]:
    """The splits that a build with these options may have, in order; a split without windows is left out."""
    names = ["train"]
    names += ["validation"] if options.validation_chromosomes else []
    names += ["test"] if options.test_chromosomes else []
    return names + ([name + UNSEEN_SUFFIX for name in names] if options.held_out_cell_types else [])


@dataclass(frozen=True)
class Windows:
    """W windows of one cell type in one split, sorted by anchor.

    Region ids are row numbers of the consensus; -1 = absent.

    Attributes:
        cell_type: index of the cell type.
        anchor: int32 of shape `(W,)`.
        region_ids: int32 of shape `(W, num_regions)`, the anchor at column `anchor_index`.
        next_region: int32 of shape `(W,)`: the next open region of the cell type; -1 at the chromosome's end, beyond
            `max_gap`, or across a gap of N.
    """

    cell_type: int
    anchor: np.ndarray
    region_ids: np.ndarray
    next_region: np.ndarray

    def __len__(self) -> int:
        return len(self.anchor)


def count_windows(consensus: Consensus, options: AtacSeqOptions) -> dict[str, list[int]]:
    """For each split that has windows, in order, the number of windows of each cell type."""
    counts = {
        split: [len(_anchors(consensus, options, split, cell_type)) for cell_type in range(len(consensus.cell_types))]
        for split in split_names(options)
    }
    return {split: numbers for split, numbers in counts.items() if any(numbers)}


def make_windows(
    consensus: Consensus, options: AtacSeqOptions, split: str, cell_type: int, rows: slice = slice(None)
) -> Windows:
    """The windows of one cell type in a split, or some of them: each is made independently of the others."""
    open_ids = consensus.open_regions[cell_type]
    chrom = consensus.chrom[open_ids]
    centre = consensus.offsets[chrom] + consensus.start[open_ids] + consensus.region_width // 2

    anchors = _anchors(consensus, options, split, cell_type)[rows]
    neighbours = anchors[:, None] + np.arange(options.num_regions) - options.anchor_index
    inside = (neighbours >= 0) & (neighbours < len(open_ids))
    neighbours[~inside] = 0
    inside &= chrom[neighbours] == chrom[anchors, None]
    inside &= 2 * np.abs(centre[neighbours] - centre[anchors, None]) <= options.max_span
    region_ids = np.where(inside, open_ids[neighbours], -1)

    following = np.minimum(anchors + 1, len(open_ids) - 1)
    has_next = (following > anchors) & (chrom[following] == chrom[anchors])
    has_next &= centre[following] - centre[anchors] <= options.max_gap
    if len(consensus.gaps):
        # The first gap that ends after the anchor.
        first_gap = np.searchsorted(consensus.gaps[:, 1], centre[anchors], side="right")
        gap_start = np.append(consensus.gaps[:, 0], np.iinfo(np.int64).max)[first_gap]
        has_next &= gap_start >= centre[following]
    return Windows(cell_type, open_ids[anchors], region_ids, np.where(has_next, open_ids[following], -1))


def _anchors(consensus: Consensus, options: AtacSeqOptions, split: str, cell_type: int) -> np.ndarray:
    """The anchors of a cell type that belong to a split: which of its open regions they are."""
    if (consensus.cell_types[cell_type] in options.held_out_cell_types) != split.endswith(UNSEEN_SUFFIX):
        return np.empty(0, dtype=np.int64)
    held_out = dict.fromkeys(options.validation_chromosomes, "validation")
    held_out |= dict.fromkeys(options.test_chromosomes, "test")
    in_split = np.array(
        [held_out.get(name, "train") == split.removesuffix(UNSEEN_SUFFIX) for name in consensus.chromosomes]
    )
    anchors = np.arange(0, len(consensus.open_regions[cell_type]), options.stride)
    return anchors[in_split[consensus.chrom[consensus.open_regions[cell_type][anchors]]]]
