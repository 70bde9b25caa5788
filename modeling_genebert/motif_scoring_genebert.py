"""The best site of every motif: a site's score is the sum of a few rows of tables, one row for each four bases.

The sums are made in one loop over sites, which numba compiles where it is installed, else by PyTorch, on any device.
Both add the same numbers, which are exact in float32 (see `MotifBank.log_odds`), and so give equal results.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from .dna_genebert import UNKNOWN_BASE


# A row of a table stands for this many bases, each of them A, T, C, G, unknown or, past its sequence's end, outside.
_BASES_PER_ROW = 4
_OUTSIDE = UNKNOWN_BASE + 1
_NUM_ROWS = (_OUTSIDE + 1) ** _BASES_PER_ROW
# Rows of 64 motifs on two strands are short enough for the rows in use to stay in a core's cache (measured).
_MOTIFS_PER_TABLE = 64
# Sites that PyTorch scores at once: bounds the memory and, on a CPU, keeps the scores near its cache.
_SITES_PER_CHUNK = {"cpu": 4096, "cuda": 1 << 18}


class ScoreTable(NamedTuple):
    """What some motifs score for the bases of a site, both strands.

    Attributes:
        motifs: rows of the n motifs in the bank, int array of shape `(n,)`.
        scores: float32 array of shape `(J, 1296, 2 * n)` in bits; the n motifs as they are, then their reverse
            complements. Row `scores[j, r]` is for bases `4 * j` to `4 * j + 3` of a site (see [`encode_rows`] for r). An
            unknown base counts 0, a base outside of the sequence minus infinity: a site must lie inside.
    """

    motifs: np.ndarray
    scores: np.ndarray


def make_tables(log_odds: list[np.ndarray]) -> list[ScoreTable]:
    """Tables for the log-odds of M motifs, each of shape `(width, 4)` with columns A, C, G, T; similar widths together."""
    order = np.argsort([len(matrix) for matrix in log_odds], kind="stable")
    tables = []
    for begin in range(0, len(order), _MOTIFS_PER_TABLE):
        motifs = order[begin : begin + _MOTIFS_PER_TABLE]
        num_parts = -(-len(log_odds[motifs[-1]]) // _BASES_PER_ROW)
        scores = np.zeros((num_parts * _BASES_PER_ROW, _OUTSIDE + 1, 2, len(motifs)), dtype=np.float32)
        for column, motif in enumerate(motifs):
            # In the order A, C, G, T the complement of a column is the column seen from the other end.
            for strand, matrix in enumerate((log_odds[motif], log_odds[motif][::-1, ::-1])):
                scores[: len(matrix), :UNKNOWN_BASE, strand, column] = matrix[:, [0, 3, 1, 2]]
                scores[: len(matrix), _OUTSIDE, strand, column] = -np.inf
        first, second, third, fourth = scores.reshape(num_parts, _BASES_PER_ROW, _OUTSIDE + 1, -1).swapaxes(0, 1)
        sums = (first[:, :, None] + second[:, None])[:, :, :, None, None] + (third[:, :, None] + fourth[:, None])[:, None, None]
        tables.append(ScoreTable(motifs, sums.reshape(num_parts, _NUM_ROWS, -1)))
    return tables


def encode_rows(codes: np.ndarray, lengths: np.ndarray, reach: int) -> np.ndarray:
    """The table row of the four bases from each position on: uint16 array of shape `(N, L + reach)`.

    Args:
        codes: uint8 base codes of shape `(N, L)`.
        lengths: real lengths of the sequences, int array of shape `(N,)`; all that follows is outside.
        reach: how many positions past the end a site may be looked up.
    """
    num_sequences, longest = codes.shape
    bases = np.full((num_sequences, longest + reach + _BASES_PER_ROW - 1), _OUTSIDE, dtype=np.uint16)
    bases[:, :longest] = np.where(np.arange(longest) < lengths[:, None], codes, _OUTSIDE)
    rows = np.zeros((num_sequences, longest + reach), dtype=np.uint16)
    for offset in range(_BASES_PER_ROW):
        rows = rows * (_OUTSIDE + 1) + bases[:, offset : offset + longest + reach]
    return rows


def best_site_scores(
    tables: list[ScoreTable],
    codes: np.ndarray,
    lengths: np.ndarray,
    num_tiles: int,
    device: str | torch.device | None = None,
) -> np.ndarray:
    """Best score of each motif in each tile, 0 where no site scores more: float32 array `(N, M, num_tiles)` in bits.

    The arguments are those of [`MotifBank.score`], already checked.
    """
    # Sites of tile t start at boundaries[:, t] <= position < boundaries[:, t + 1].
    boundaries = -(-lengths[:, None] * np.arange(num_tiles + 1) // num_tiles)
    reach = _BASES_PER_ROW * max(len(table.scores) for table in tables)
    rows = encode_rows(codes, lengths, reach)
    result = np.empty((len(codes), sum(len(table.motifs) for table in tables), num_tiles), dtype=np.float32)
    find_best = _compiled_loop() if device is None else None
    for motifs, scores in tables:
        if find_best is not None:
            best = np.zeros((len(codes), num_tiles, scores.shape[2]), dtype=np.float32)
            find_best(scores, rows, boundaries, best)
        else:
            best = _find_best_in_torch(scores, rows, boundaries, torch.device(device or "cpu"))
        strands = best.reshape(len(codes), num_tiles, 2, len(motifs))
        result[:, motifs] = strands.max(axis=2).transpose(0, 2, 1)
    return result


@lru_cache(maxsize=1)
def _compiled_loop() -> Callable[..., None] | None:
    """`_find_best` compiled, or `None` where numba is not installed."""
    try:
        import numba
    except ImportError:
        return None
    return numba.njit(nogil=True)(_find_best)


def _find_best(scores: np.ndarray, rows: np.ndarray, boundaries: np.ndarray, best: np.ndarray) -> None:
    """Raise `best`, of shape `(N, num_tiles, 2 * n)`, to the best scores. Loops, which numba turns into fast code."""
    num_parts, _, num_columns = scores.shape
    site = np.empty(num_columns, dtype=np.float32)
    for sequence in range(best.shape[0]):
        for tile in range(best.shape[1]):
            best_in_tile = best[sequence, tile]
            for start in range(boundaries[sequence, tile], boundaries[sequence, tile + 1]):
                part = scores[0, rows[sequence, start]]
                for column in range(num_columns):
                    site[column] = part[column]
                for number in range(1, num_parts):
                    part = scores[number, rows[sequence, start + _BASES_PER_ROW * number]]
                    for column in range(num_columns):
                        site[column] += part[column]
                for column in range(num_columns):
                    # Not max(): this form becomes one instruction for many columns.
                    best_in_tile[column] = site[column] if site[column] > best_in_tile[column] else best_in_tile[column]


def _find_best_in_torch(
    scores: np.ndarray, rows: np.ndarray, boundaries: np.ndarray, device: torch.device
) -> np.ndarray:
    """The best scores, of shape `(N, num_tiles, 2 * n)`; a site's rows are one bag of `embedding_bag`."""
    num_parts, num_rows, num_columns = scores.shape
    weight = torch.from_numpy(scores).to(device).view(-1, num_columns)
    flat_rows = torch.from_numpy(rows.astype(np.int32)).to(device).view(-1)
    # Rows of part j of a site: 4 * j positions further, in table j.
    offsets = torch.arange(num_parts, device=device)[:, None]

    first, last = boundaries[:, :-1].reshape(-1, 1), boundaries[:, 1:].reshape(-1, 1)
    ...
