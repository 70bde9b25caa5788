"""Negatives that are like the positives in base composition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from modeling_genebert.dna_genebert import UNKNOWN_BASE

from .genome import Genome
from .splits import overlaps_any


_CODE_C, _CODE_G = 2, 3
_BLOCK_SIZE = 1 << 22
_NO_INTERVALS = np.empty((0, 2), dtype=np.int64)


def gc_matched_windows(
    genome: Genome,
    chrom: Sequence[str] | np.ndarray,
    start: Sequence[int] | np.ndarray,
    end: Sequence[int] | np.ndarray,
    *,
    excluded: Mapping[str, np.ndarray],
    max_gc_difference: float = 0.02,
    step: int | None = None,
    seed: int = 0,
) -> np.ndarray:
    """For each window of a genome, another one on the same chromosome, of the same width and of like GC content.

    The candidates are the windows that start at every `step`-th base of the chromosome, from a random one, have no N
    and do not overlap `excluded`. Each target, in random order, gets a random one of those whose number of G and C is
    nearest to its own. No two of the windows returned overlap.

    Args:
        genome: where they lie.
        chrom, start, end: the targets, bp, 0-based, half-open; all of one width.
        excluded: chromosome -> int64 array (n, 2) of intervals that no window may overlap, merged (see
            `merge_by_chromosome`). The targets are not excluded by themselves.
        max_gc_difference: of a window from its target, as a share of the bases; a target that has no window so near
            gets none.
        step: bp between the starts of candidates; half of the width where it is not given.
        seed: of the random choices.

    Returns:
        int64 array: start of the window of each target on its chromosome, -1 where there is none.

    Raises:
        ValueError: the targets differ in width.
    """
    chrom, start, end = np.asarray(chrom, dtype=np.str_), np.asarray(start), np.asarray(end)
    found = np.full(len(start), -1, dtype=np.int64)
    if not len(start):
        return found
    width = int(end[0] - start[0])
    if (end - start != width).any():
        raise ValueError(f"targets of {width} bp and of other widths: give those of one width at a time")
    max_difference = int(max_gc_difference * width)
    for number, name in enumerate(sorted(set(chrom.tolist()))):
        rng = np.random.default_rng([seed, number])
        rows = np.flatnonzero(chrom == name)
        candidates, gc = _candidates(genome, name, width, step or max(1, width // 2), rng)
        free = ~overlaps_any(
            np.full(len(candidates), name), candidates, candidates + width, {name: excluded.get(name, _NO_INTERVALS)}
        )
        pools = _Pools(candidates[free], gc[free], width, rng)
        for row in rng.permutation(rows).tolist():
            target = genome.codes(name, int(start[row]), int(end[row]))
            found[row] = pools.take(int(_is_gc(target).sum()), max_difference)
    return found


def mosaic(codes: np.ndarray, rng: np.random.Generator, num_pieces: int = 20, num_kept: int = 8) -> np.ndarray:
    """A sequence of which some pieces stay in place and the bases of all others are shuffled among each other.

    After DeePromoter (Oubounyt et al. 2019, Frontiers in Genetics 10, 286): the promoter is cut into 20 pieces, 12
    random ones are substituted by random bases, 8 are kept. Here the random bases are those of the 12 pieces
    themselves, in random order, so that the base composition is the promoter's own. Pairs of bases (CpG) are not
    preserved in the 12 pieces.

    Args:
        codes: uint8 base codes of shape `(length,)`.
        rng: of the random choices.
        num_pieces: pieces of as equal length as can be.
        num_kept: pieces that stay.

    Returns:
        uint8 base codes of the same shape.

    Raises:
        ValueError: more pieces than bases, or more kept than pieces.
    """
    if not 0 <= num_kept <= num_pieces <= len(codes):
        raise ValueError(f"{num_kept} of {num_pieces} pieces of {len(codes)} bp kept: expected kept <= pieces <= bp")
    edges = np.linspace(0, len(codes), num_pieces + 1).round().astype(np.int64)
    piece_of_base = np.repeat(np.arange(num_pieces), np.diff(edges))
    shuffled = np.isin(piece_of_base, rng.permutation(num_pieces)[num_kept:])
    result = codes.copy()
    result[shuffled] = rng.permutation(codes[shuffled])
    return result


def _is_gc(codes: np.ndarray) -> np.ndarray:
    return (codes == _CODE_C) | (codes == _CODE_G)


def _candidates(
    genome: Genome, chrom: str, width: int, step: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Starts of the windows without N at every `step`-th base, and the number of G and C in each."""
    length = genome.chromosomes[chrom]
    starts = np.arange(rng.integers(step), length - width + 1, step)
    kept, counts = [], []
    per_block = max(1, _BLOCK_SIZE // step)
    for first in range(0, len(starts), per_block):
        block = starts[first : first + per_block]
        codes = genome.codes(chrom, int(block[0]), int(block[-1]) + width)
        at = block - block[0]
        # Sums of the bases before each position: a window's number is the difference of two.
        gc = np.concatenate([[0], np.cumsum(_is_gc(codes))])
        unknown = np.concatenate([[0], np.cumsum(codes == UNKNOWN_BASE)])
        known = unknown[at + width] == unknown[at]
        kept.append(block[known])
        counts.append((gc[at + width] - gc[at])[known])
    if not kept:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    return np.concatenate(kept), np.concatenate(counts)


class _Pools:
    """Candidate windows of one chromosome by their number of G and C; each is given away at most once."""

    def __init__(self, starts: np.ndarray, gc: np.ndarray, width: int, rng: np.random.Generator):
        order = rng.permutation(len(starts))
        starts, gc = starts[order], gc[order]
        by_gc = np.argsort(gc, kind="stable")
        edges = np.searchsorted(gc[by_gc], np.arange(width + 2))
        self.width = width
        self.pools = [starts[by_gc[edges[count] : edges[count + 1]]].tolist() for count in range(width + 1)]
        self.start_in_bin: dict[int, int] = {}

    def take(self, gc: int, max_difference: int) -> int:
        for difference in range(max_difference + 1):
            for count in sorted({gc - difference, gc + difference}):
                if 0 <= count <= self.width:
                    pool = self.pools[count]
                    while pool:
                        start = pool.pop()
                        if self._is_free(start):
                            self.start_in_bin[start // self.width] = start
                            return start
        return -1

    def _is_free(self, start: int) -> bool:
        """Whether a window overlaps none of those given away: these can only start in its own bin or the next ones."""
        place = start // self.width
        near = (self.start_in_bin.get(place + step) for step in (-1, 0, 1))
        return all(other is None or abs(other - start) >= self.width for other in near)
