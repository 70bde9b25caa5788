"""Which matrix and which second segment each window is shown with: the pairs of SRM and NGSP.

Every negative is made by a **swap between two windows p and q**: a matched pair exchanges its matrices (SRM) or its
next regions (NGSP). In training the pair makes **four examples that stand side by side**: p with its own and with q's,
q with its own and with p's. Within the four each sequence and each matrix is a positive and a negative once, so that
whatever one of them says alone (its locus, cell type, GC, number of columns) is worth nothing in any batch, and only
the fit of the two lowers the loss. Pairs are drawn over the whole table, the same in every process.

- SRM, other locus: p and q are of one cell type, both or neither have a next region, and their windows do not
  overlap. Where asked, their anchors agree in GC, too, which tells most others apart without a look at motifs.
- SRM, other cell type: p and q lie near each other, p's anchor is closed in q's cell type and q's in p's. Anchors
  that are open in both, or that a peak touches, are never a negative. Shown without segment B, which may be open in
  both.
- NGSP: p and q are of one cell type, their next regions agree in GC and in distance from their anchors (by bins),
  and their windows do not overlap. The matrix shown is A's own: in another one there is no column that could tell.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np


IGNORE = -100
NO_REGION = -1
NEIGHBOURHOOD = 1_000_000  # bp within which a partner from another cell type is looked for
DISTANCE_BINS = (1_000, 3_000, 10_000, 30_000, 100_000)  # bp, from the anchor to the next open region
NUM_GC_BINS = 5
LIKE_GC = 0.02  # anchors agree in GC where it differs by no more than this
MATCHING_ROUNDS = 12


@dataclass
class WindowTable:
    """
    Windows as arrays, and of the regions what pairing needs.

    Args:
        cell_type (`np.ndarray` of shape `(num_windows,)`): cell-type index.
        chrom (`np.ndarray` of shape `(num_windows,)`): chromosome index.
        start, end (`np.ndarray` of shape `(num_windows,)`): span of the window in bp, 0-based, half-open.
        anchor (`np.ndarray` of shape `(num_windows,)`): region id of the anchor.
        next_region (`np.ndarray` of shape `(num_windows,)`): region id of the next open region, -1 = none.
        region_centre (`np.ndarray` of shape `(num_regions,)`): centre of each region in bp.
        region_gc (`np.ndarray` of shape `(num_regions,)`): GC content, 0 to 1.
        region_closed (`np.ndarray` of shape `(num_regions, num_cell_types)`): bool, closed in the cell type: no peak
            supports the region, and none touches it.
    """

    cell_type: np.ndarray
    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    anchor: np.ndarray
    next_region: np.ndarray
    region_centre: np.ndarray
    region_gc: np.ndarray
    region_closed: np.ndarray

    def __len__(self) -> int:
        return len(self.anchor)

    def disjoint(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Whether the windows `p` and `q` (row numbers) share no base pair of their spans."""
        return (self.chrom[p] != self.chrom[q]) | (self.end[p] <= self.start[q]) | (self.end[q] <= self.start[p])


@dataclass
class PairingPlan:
    """
    What each example is made of, one entry an example.

    Args:
        row: window whose anchor is segment A.
        matrix_row: window whose matrix is shown; equal to `row` in a positive.
        segment_b: region id of segment B, -1 = none.
        ngsp_label, srm_label: 1 = fits, 0 = does not, -100 = not asked.
        hidden: the columns of the anchor and of the region after it are hidden.
        self_tiled: the matrix is made of tiles of segment A itself (of the other window's anchor in a negative).
    """

    row: np.ndarray
    matrix_row: np.ndarray
    segment_b: np.ndarray
    ngsp_label: np.ndarray
    srm_label: np.ndarray
    hidden: np.ndarray
    self_tiled: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    def take(self, examples: np.ndarray) -> PairingPlan:
        return PairingPlan(*(getattr(self, field.name)[examples] for field in fields(self)))


def other_locus_partners(
    windows: WindowTable, rng: np.random.Generator, among: np.ndarray | None = None, *, like_gc: bool = False
) -> np.ndarray:
    """
    Random symmetric matching of shape `(num_windows,)`: one cell type, windows apart; -1 = no partner found.

    `among` (bool, as all windows by default) says which windows take part; so in the other matchings. With `like_gc`
    the GC content of the anchors differs by 0.02 at most.
    """
    # Segment B is there or not, and the column after the anchor too: they must agree in a negative as in a positive.
    group = windows.cell_type.astype(np.int32) * 2 + (windows.next_region != NO_REGION)
    if not like_gc:
        return _match(windows, rng, lambda _: group, windows.disjoint, among)
    gc = windows.region_gc[windows.anchor]
    num_bins = int(1 / LIKE_GC) + 2

    def group_and_gc(_: int) -> np.ndarray:
        # Bins as wide as the difference may be, and elsewhere from round to round.
        return group * num_bins + (gc / LIKE_GC + rng.random()).astype(np.int32)

    return _match(windows, rng, group_and_gc, windows.disjoint, among)


def other_cell_type_partners(
    windows: WindowTable, rng: np.random.Generator, among: np.ndarray | None = None
) -> np.ndarray:
    """Random symmetric matching: near each other, each anchor closed in the other's cell type; -1 = none found."""
    centre = windows.region_centre[windows.anchor].astype(np.int32)
    num_bins = int(centre.max(initial=0)) // NEIGHBOURHOOD + 2

    def neighbourhood(round_number: int) -> np.ndarray:
        # The bins move from round to round, so that no neighbours are parted for good.
        shift = int(rng.integers(NEIGHBOURHOOD))
        return windows.chrom.astype(np.int32) * num_bins + (centre + shift) // NEIGHBOURHOOD

    def closed_in_each_other(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        p_closed_in_q = windows.region_closed[windows.anchor[p], windows.cell_type[q]]
        q_closed_in_p = windows.region_closed[windows.anchor[q], windows.cell_type[p]]
        return p_closed_in_q & q_closed_in_p

    return _match(windows, rng, neighbourhood, closed_in_each_other, among)


def next_region_partners(
    windows: WindowTable, rng: np.random.Generator, among: np.ndarray | None = None
) -> np.ndarray:
    """Random symmetric matching for NGSP: one cell type, next regions alike in GC and distance; -1 = none."""
    has_next = windows.next_region != NO_REGION
    group = _gc_and_distance_bins(windows, has_next)
    return _match(windows, rng, lambda _: group, windows.disjoint, has_next if among is None else has_next & among)


def _gc_and_distance_bins(windows: WindowTable, has_next: np.ndarray) -> np.ndarray:
    """A number for each window: cell type, and bins of the GC and the distance of its next region."""
    following = np.where(has_next, windows.next_region, 0)
    distance = windows.region_centre[following] - windows.region_centre[windows.anchor]
    gc = windows.region_gc[following]
    quantiles = np.linspace(0, 1, NUM_GC_BINS + 1)[1:-1]
    group = windows.cell_type.astype(np.int32) * NUM_GC_BINS
    if has_next.any():
        group += np.searchsorted(np.quantile(gc[has_next], quantiles), gc).astype(np.int32)
    return group * (len(DISTANCE_BINS) + 1) + np.searchsorted(DISTANCE_BINS, distance).astype(np.int32)


def _match(
    windows: WindowTable,
    rng: np.random.Generator,
    group_of_round: Callable[[int], np.ndarray],
    fits: Callable[[np.ndarray, np.ndarray], np.ndarray],
    among: np.ndarray | None,
) -> np.ndarray:
    """Shuffle within groups, pair neighbours, keep the pairs that fit, try again with the rest."""
    # Row numbers of 4 bytes: this is where millions of windows take the most memory.
    partner = np.full(len(windows), -1, dtype=np.int32)
    free = np.arange(len(windows), dtype=np.int32)
    free = free if among is None else free[among]
    for round_number in range(MATCHING_ROUNDS):
        if len(free) < 2:
            break
        group = group_of_round(round_number)[free]
        order = np.lexsort((rng.random(len(free)), group))
        group, shuffled = group[order], free[order]
        # Within a group: 1st with 2nd, 3rd with 4th, ...
        first_of_group = np.r_[True, group[1:] != group[:-1]]
        place = np.arange(len(shuffled), dtype=np.int32)
        place -= np.maximum.accumulate(np.where(first_of_group, place, 0))
        p = np.flatnonzero((place[:-1] % 2 == 0) & ~first_of_group[1:])
        left, right = shuffled[p], shuffled[p + 1]
        good = fits(left, right)
        partner[left[good]], partner[right[good]] = right[good], left[good]
        free = free[partner[free] < 0]
    return partner


def training_plan(
    windows: WindowTable,
    rng: np.random.Generator,
    *,
    ngsp_fraction: float = 0.3,
    hard_negative_fraction: float = 0.5,
    like_gc_fraction: float = 0.5,
    hidden_fraction: float = 0.5,
    self_tiled_fraction: float = 0.1,
) -> PairingPlan:
    """
    One epoch: every window is shown twice, once where it fits and once where it does not.

    Args:
        windows (`WindowTable`): the training windows.
        rng (`np.random.Generator`): decides everything random.
        ngsp_fraction (`float`, defaults to 0.3): share of windows that are asked for their next region (where a
            partner exists), the others being asked for their matrix.
        hard_negative_fraction (`float`, defaults to 0.5): share of those others whose SRM partner is of another cell
            type (where one exists), the rest being another locus of the same cell type.
        like_gc_fraction (`float`, defaults to 0.5): share of that rest whose partner's anchor is of like GC (where
            one exists).
        hidden_fraction (`float`, defaults to 0.5): share with the columns of A and B hidden.
        self_tiled_fraction (`float`, defaults to 0.1): share of the windows asked for their matrix that have one of
            tiles of the sequence itself.

    Returns:
        Two examples a window: first the fours of SRM, then those of NGSP (see the top of the file), then twice each
        window without a partner, of which nothing is asked.
    """
    count, rows = len(windows), np.arange(len(windows), dtype=np.int32)
    next_partner = next_region_partners(windows, rng, rng.random(count) < ngsp_fraction)
    asked_for_matrix = next_partner < 0
    # Partners are of one kind: else what is more often of a kind would more often be a positive there.
    self_tiled = asked_for_matrix & (rng.random(count) < self_tiled_fraction)
    other_cell_type = other_cell_type_partners(windows, rng, asked_for_matrix & ~self_tiled)
    coin = rng.random(count) < hard_negative_fraction
    hard = coin[np.maximum(rows, other_cell_type)] & (other_cell_type >= 0)  # one coin a pair
    wants_like_gc = rng.random(count) < like_gc_fraction
    partner = np.where(hard, other_cell_type, np.int32(-1))
    for of_kind in (self_tiled, asked_for_matrix & ~self_tiled & ~hard):
        for like_gc in (True, False):
            among = of_kind & (partner < 0) & (wants_like_gc if like_gc else True)
            partner = np.maximum(partner, other_locus_partners(windows, rng, among, like_gc=like_gc))

    srm, ngsp = _fours(partner), _fours(next_partner)
    alone = np.repeat(rows[(partner < 0) & (next_partner < 0)], 2)
    row = np.concatenate([srm[0], ngsp[0], alone])
    other = np.concatenate([srm[1], ngsp[1], alone])
    is_ngsp = np.repeat([False, True, False], [len(srm[0]), len(ngsp[0]), len(alone)])
    label = np.concatenate([srm[2], ngsp[2], np.full(len(alone), IGNORE, dtype=np.int8)])
    follows = (windows.next_region[row] != NO_REGION) & ~hard[row] & ~self_tiled[row]
    of_next = np.where(is_ngsp, other, row)
    # One coin for the four: that of p, the lower row number of p and q.
    of_either = np.maximum(partner, next_partner)
    p = np.where(of_either >= 0, np.minimum(rows, of_either), rows)
    hidden = (rng.random(count) < hidden_fraction)[p[row]]
    return PairingPlan(
        row=row,
        matrix_row=np.where(is_ngsp, row, other),
        segment_b=np.where(follows, windows.next_region[of_next], NO_REGION).astype(np.int32),
        ngsp_label=np.where(is_ngsp, label, IGNORE).astype(np.int8),
        srm_label=np.where(is_ngsp, IGNORE, label).astype(np.int8),
        hidden=hidden & ~self_tiled[row],
        self_tiled=self_tiled[row],
    )


def _fours(partner: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each matched pair p, q: whose sequence p, p, q, q, whose matrix or next region p, q, q, p, and whether that
    is its own."""
    p = np.flatnonzero(partner > np.arange(len(partner))).astype(np.int32)
    q = partner[p]
    own = np.tile(np.array([1, 0], dtype=np.int8), 2 * len(p))
    return np.stack([p, p, q, q], axis=1).ravel(), np.stack([p, q, q, p], axis=1).ravel(), own


def srm_evaluation_plan(
    windows: WindowTable, partner: np.ndarray, *, hidden: bool, rows: np.ndarray | None = None
) -> PairingPlan:
    """Each window that has a partner twice, as a positive and as a negative; segment A alone."""
    both, label = _own_and_partners(partner, rows)
    matrix_row = np.where(label == 1, both, partner[both])
    return _evaluation_plan(both, matrix_row=matrix_row, srm_label=label, hidden=hidden)


def ngsp_evaluation_plan(
    windows: WindowTable, partner: np.ndarray, *, hidden: bool, rows: np.ndarray | None = None
) -> PairingPlan:
    """Each window that has a partner twice: with its own next region and with its partner's."""
    both, label = _own_and_partners(partner, rows)
    segment_b = windows.next_region[np.where(label == 1, both, partner[both])]
    return _evaluation_plan(both, segment_b=segment_b, ngsp_label=label, hidden=hidden)


def _own_and_partners(partner: np.ndarray, rows: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Each row that has a partner twice, labelled 1 and 0; partners side by side, since they are shown the same."""
    rows = np.flatnonzero(partner >= 0) if rows is None else rows[partner[rows] >= 0]
    rows = rows[np.argsort(np.minimum(rows, partner[rows]), kind="stable")]
    return np.repeat(rows, 2), np.tile([1, 0], len(rows))


def mgm_evaluation_plan(windows: WindowTable, rng: np.random.Generator) -> PairingPlan:
    """Each anchor locus once, in one of its cell types, with its next region; A's and B's columns hidden."""
    order = rng.permutation(len(windows))
    _, first = np.unique(windows.anchor[order], return_index=True)
    rows = order[first]
    return _evaluation_plan(rows, segment_b=windows.next_region[rows], hidden=True)


def _evaluation_plan(
    row: np.ndarray,
    *,
    hidden: bool,
    matrix_row: np.ndarray | None = None,
    segment_b: np.ndarray | None = None,
    ngsp_label: np.ndarray | None = None,
    srm_label: np.ndarray | None = None,
) -> PairingPlan:
    count = len(row)
    return PairingPlan(
        row=row,
        matrix_row=row if matrix_row is None else matrix_row,
        segment_b=np.full(count, NO_REGION) if segment_b is None else segment_b,
        ngsp_label=np.full(count, IGNORE) if ngsp_label is None else ngsp_label,
        srm_label=np.full(count, IGNORE) if srm_label is None else srm_label,
        hidden=np.full(count, hidden),
        self_tiled=np.zeros(count, dtype=bool),
    )


__all__ = [
    "PairingPlan",
    "WindowTable",
    "mgm_evaluation_plan",
    "next_region_partners",
    "ngsp_evaluation_plan",
    "other_cell_type_partners",
    "other_locus_partners",
    "srm_evaluation_plan",
    "training_plan",
]
