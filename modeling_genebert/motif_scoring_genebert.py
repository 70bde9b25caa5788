"""The best site of every motif. The score of a site is the sum of a few table rows, one row for each four bases.

A loop over sites adds them, which numba compiles where it is installed; without numba, and on a GPU, PyTorch does it.
Both give equal results: the sums are exact in float32 (see `MotifBank.log_odds`), in whatever order they are made.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import embedding_bag

from .dna_genebert import UNKNOWN_BASE


# A table row stands for this many bases, each of them A, T, C, G, unknown or outside of its sequence.
_BASES_PER_ROW = 4
_OUTSIDE = UNKNOWN_BASE + 1
_NUM_LETTERS = _OUTSIDE + 1
_NUM_ROWS = _NUM_LETTERS**_BASES_PER_ROW
# Few enough motifs for the rows in use to stay in a core's cache, enough of them for long vector instructions.
_MOTIFS_PER_TABLE = 64
# How many sites PyTorch scores at once: bounds the memory and, on a CPU, keeps the scores near its cache.
_SITES_PER_CHUNK_CPU = 4096
_SITES_PER_CHUNK_GPU = 262_144


class ScoreTable(NamedTuple):
    """What the bases of a site add to the scores of n motifs.

    Attributes:
        motifs: which motifs of the bank, int array of shape `(n,)`.
        width: of the longest of them in bp. All have their centres in one place: the shorter ones lie in its middle.
        padding: bases that the shortest of them leaves free at either end.
        scores: bits, float32 array of shape `(P, 1296, 2 * n)`: the n motifs, then their reverse complements. The row
            `scores[p, r]` is for the bases `4 * p` to `4 * p + 3` of a site, r as [`encode_rows`] numbers them. An
            unknown base adds 0, one outside of the sequence minus infinity, as a site must lie inside.
    """

    motifs: np.ndarray
    width: int
    padding: int
    scores: np.ndarray


def make_tables(log_odds: list[np.ndarray]) -> list[ScoreTable]:
    """Tables for M motifs, given as log-odds of shape `(width, 4)`; motifs of like width share a table."""
    widths = np.array([len(matrix) for matrix in log_odds])
    tables = []
    for parity in (0, 1):  # so that the centres of the motifs of a table can lie in one place
        motifs = np.flatnonzero(widths % 2 == parity)
        motifs = motifs[np.argsort(widths[motifs], kind="stable")]
        for begin in range(0, len(motifs), _MOTIFS_PER_TABLE):
            some = motifs[begin : begin + _MOTIFS_PER_TABLE]
            width = int(widths[some[-1]])
            scores = _add_up([log_odds[motif] for motif in some], width)
            tables.append(ScoreTable(some, width, (width - int(widths[some[0]])) // 2, scores))
    return tables


def _add_up(log_odds: list[np.ndarray], width: int) -> np.ndarray:
    """The scores of a [`ScoreTable`] for motifs of at most `width` bp."""
    num_parts = -(-width // _BASES_PER_ROW)
    single = np.zeros((num_parts * _BASES_PER_ROW, _NUM_LETTERS, 2, len(log_odds)), dtype=np.float32)
    for column, matrix in enumerate(log_odds):
        begin = (width - len(matrix)) // 2
        site = slice(begin, begin + len(matrix))
        single[site, _OUTSIDE, :, column] = -np.inf
        # In the order A, C, G, T the complement of a column is the column seen from the other end.
        for strand, strand_matrix in enumerate((matrix, matrix[::-1, ::-1])):
            single[site, :UNKNOWN_BASE, strand, column] = strand_matrix[:, [0, 3, 1, 2]]
    single = single.reshape(num_parts, _BASES_PER_ROW, _NUM_LETTERS, 2 * len(log_odds))
    scores = single[:, 0]
    for base in range(1, _BASES_PER_ROW):
        scores = (scores[:, :, None] + single[:, None, base]).reshape(num_parts, -1, 2 * len(log_odds))
    return scores


def encode_rows(codes: np.ndarray, lengths: np.ndarray, padding: int, reach: int) -> np.ndarray:
    """Which table row stands for the four bases from each position on: their codes as digits of a number in base 6.

    Args:
        codes: uint8 base codes of shape `(N, L)`.
        lengths: real lengths of the sequences in bp, int array of shape `(N,)`; what follows is outside.
        padding: number of positions before the first one.
        reach: number of positions after the last one.

    Returns:
        int32 array of shape `(N, padding + L + reach)`.
    """
    num_sequences, length = codes.shape
    num_positions = padding + length + reach
    letters = np.full((num_sequences, num_positions + _BASES_PER_ROW - 1), _OUTSIDE, dtype=np.int32)
    letters[:, padding : padding + length] = np.where(np.arange(length) < lengths[:, None], codes, _OUTSIDE)
    rows = np.zeros((num_sequences, num_positions), dtype=np.int32)
    for base in range(_BASES_PER_ROW):
        rows = rows * _NUM_LETTERS + letters[:, base : base + num_positions]
    return rows


def tile_bounds(lengths: np.ndarray, num_tiles: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Which sites of `width` bp belong to each tile: those whose centre lies in it, or on its edge.

    So a site on an edge belongs to both tiles, and the tiles of the opposite strand are those of the given one in
    reverse order.

    Args:
        lengths: of the sequences in bp, int array of shape `(N,)`.
        num_tiles: T; tile t reaches from `t * length / T` to `(t + 1) * length / T`.
        width: of a site in bp.

    Returns:
        First start of a site and last start plus one (0-based, bp), int arrays of shape `(N, T)`. Some sites reach
        beyond the ends of the sequence.
    """
    edges = 2 * lengths[:, None] * np.arange(num_tiles + 1) - width * num_tiles  # of starts, in units of 1 / 2T bp
    return -(-edges[:, :-1] // (2 * num_tiles)), edges[:, 1:] // (2 * num_tiles) + 1


def best_site_scores(
    tables: list[ScoreTable], codes: np.ndarray, lengths: np.ndarray, num_tiles: int, device: torch.device
) -> np.ndarray:
    """Best score of each motif in each tile of each sequence, in bits, or 0 where no site scores more.

    Args:
        tables: from [`make_tables`].
        codes, lengths, num_tiles: as for `MotifBank.score`, checked.
        device: where to compute.

    Returns:
        float32 array of shape `(N, M, num_tiles)`.
    """
    padding = max(table.padding for table in tables)
    rows = encode_rows(codes, lengths, padding, reach=max(len(table.scores) for table in tables) * _BASES_PER_ROW)
    compiled = _compile() if device.type == "cpu" else None

    result = np.empty((len(codes), sum(len(table.motifs) for table in tables), num_tiles), dtype=np.float32)
    for motifs, width, own_padding, scores in tables:
        first, last = tile_bounds(lengths, num_tiles, width)
        first = padding + np.maximum(first, -own_padding)
        last = padding + np.minimum(last, lengths[:, None] - width + own_padding + 1)
        if compiled is None:
            best = _find_best_with_torch(scores, rows, first, last, device)
        else:
            best = np.zeros((len(codes), num_tiles, scores.shape[2]), dtype=np.float32)
            compiled(scores, rows, first, last, best)
        forward, reverse = best[:, :, : len(motifs)], best[:, :, len(motifs) :]
        result[:, motifs] = np.maximum(forward, reverse).transpose(0, 2, 1)
    return result


def _find_best(scores: np.ndarray, rows: np.ndarray, first: np.ndarray, last: np.ndarray, best: np.ndarray) -> None:
    """Raise `best`, of shape `(N, num_tiles, 2 * n)`, to the best scores. As plain loops, which numba makes fast."""
    num_parts, _, num_columns = scores.shape
    site = np.empty(num_columns, dtype=np.float32)
    for sequence in range(best.shape[0]):
        for tile in range(best.shape[1]):
            tile_best = best[sequence, tile]
            for start in range(first[sequence, tile], last[sequence, tile]):
                added = scores[0, rows[sequence, start]]
                for column in range(num_columns):
                    site[column] = added[column]
                for part in range(1, num_parts):
                    added = scores[part, rows[sequence, start + part * _BASES_PER_ROW]]
                    for column in range(num_columns):
                        site[column] += added[column]
                for column in range(num_columns):
                    # Written without max(), which numba does not turn into vector instructions.
                    tile_best[column] = site[column] if site[column] > tile_best[column] else tile_best[column]


@lru_cache(maxsize=1)
def _compile() -> Callable[..., None] | None:
    """`_find_best`, compiled at its first call; `None` without numba."""
    try:
        import numba
    except ImportError:
        return None
    return numba.njit(nogil=True)(_find_best)


def _find_best_with_torch(
    scores: np.ndarray, rows: np.ndarray, first_start: np.ndarray, last_start: np.ndarray, device: torch.device
) -> np.ndarray:
    """What `_find_best` finds, as a new array: the rows of a site are a bag of `embedding_bag`."""
    num_sequences, num_tiles = first_start.shape
    num_parts, _, num_columns = scores.shape
    all_scores = torch.from_numpy(scores).to(device).view(-1, num_columns)
    all_rows = torch.from_numpy(rows).to(device).view(-1)
    parts = torch.arange(num_parts, device=device)
    first = torch.from_numpy(first_start.reshape(-1, 1)).to(device)
    last = torch.from_numpy(last_start.reshape(-1, 1)).to(device)
    sequence = torch.arange(num_sequences, device=device).repeat_interleave(num_tiles)[:, None]
    # Starts past a tile's end are moved to where all bases are outside of the sequence.
    outside = rows.shape[1] - num_parts * _BASES_PER_ROW

    best = torch.zeros(num_sequences * num_tiles, num_columns, device=device)
    longest = int((last_start - first_start).max(initial=0))
    num_sites = _SITES_PER_CHUNK_CPU if device.type == "cpu" else _SITES_PER_CHUNK_GPU
    tiles_per_chunk = max(1, num_sites // max(1, longest))
    for begin in range(0, len(best), tiles_per_chunk):
        tiles = slice(begin, begin + tiles_per_chunk)
        for offset in range(0, longest, num_sites):
            start = first[tiles] + torch.arange(offset, min(offset + num_sites, longest), device=device)
            start = torch.where(start < last[tiles], start, outside) + sequence[tiles] * rows.shape[1]
            bags = all_rows[start.view(-1, 1) + parts * _BASES_PER_ROW] + parts * _NUM_ROWS
            site_scores = embedding_bag(bags, all_scores, mode="sum").view(*start.shape, num_columns)
            best[tiles] = torch.maximum(best[tiles], site_scores.amax(dim=1))
    return best.view(num_sequences, num_tiles, num_columns).cpu().numpy()
