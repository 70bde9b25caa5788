"""The region matrix as an array: compact, as it is made and sent to the model, and whole, as the model reads it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from .configuration_genebert import NUM_REGION_CHANNELS


def compact_region_values(
    scores: np.ndarray | Sequence[np.ndarray],
    accessibility: np.ndarray,
    distances: np.ndarray,
    region_mask: np.ndarray,
    dtype: type[np.floating] = np.float32,
) -> np.ndarray:
    """The region matrix with each value once: a row for each motif, and one for each of the other three channels.

    The channel `distance` is `sign(d) * log10(1 + |d|) / 6`: 1 Mb is about 1. `accessibility_known` is 1 where the
    accessibility was measured. Absent regions are 0 in every row.

    Args:
        scores: motif scores, float array of shape `(B, R, M)`, or a list of B arrays of shape `(R, M)`.
        accessibility: float array of shape `(B, R)`, NaN where it was not measured.
        distances: position of each region minus that of the anchor, in bp, shape `(B, R)`.
        region_mask: bool array of shape `(B, R)`, False for an absent region, whose other values do not matter then.
        dtype: of the result.

    Returns:
        Array of shape `(B, M + 3, R)`: scores of the motifs, then `accessibility`, `accessibility_known`, `distance`.
    """
    mask = np.asarray(region_mask, dtype=bool)
    known = mask & ~np.isnan(accessibility)
    distances = np.where(mask, distances, 0).astype(np.float64)
    num_motifs = scores[0].shape[1] if len(scores) else 0
    compact = np.empty((len(mask), num_motifs + NUM_REGION_CHANNELS - 1, mask.shape[1]), dtype=dtype)
    # One example at a time, while its scores are in the processor's cache.
    for example, example_scores in zip(compact, scores, strict=True):
        example[:-3] = example_scores.T
    compact.transpose(0, 2, 1)[~mask] = 0
    compact[:, -3] = np.where(known, accessibility, 0)
    compact[:, -2] = known
    compact[:, -1] = np.sign(distances) * np.log10(1 + np.abs(distances)) / 6
    return compact


def expand_region_values(compact: torch.Tensor, num_motif_rows: int) -> torch.Tensor:
    """
    The whole region matrix: channels on top of each other.

    `accessibility`, `accessibility_known` and `distance`, of which a region has one value each, are repeated over its
    motifs. The rows that pad the motifs are 0 in every channel.

    Args:
        compact (`torch.Tensor` of shape `(B, M + 3, R)`): see [`compact_region_values`].
        num_motif_rows (`int`): rows of the matrix, at least M.

    Returns:
        `(B, 4, num_motif_rows, R)`, channels as in `REGION_CHANNELS`.
    """
    scores, others = compact[:, None, :-3], compact[:, -3:, None]
    num_motifs = scores.shape[2]
    matrix = torch.cat([scores, others.expand(-1, -1, num_motifs, -1)], dim=1)
    return torch.nn.functional.pad(matrix, (0, 0, 0, num_motif_rows - num_motifs))


def contract_region_values(whole: torch.Tensor, num_motifs: int) -> torch.Tensor:
    """The compact region matrix `(B, M + 3, R)` of a whole one `(B, 4, num_motif_rows, R)`: [`expand_region_values`]
    undone."""
    return torch.cat([whole[:, 0, :num_motifs], whole[:, 1:, 0]], dim=1)


def build_region_values(
    scores: np.ndarray,
    accessibility: np.ndarray,
    distances: np.ndarray,
    region_mask: np.ndarray,
    num_motif_rows: int,
) -> np.ndarray:
    """The whole region matrix as float32 array of shape `(B, 4, num_motif_rows, R)`.

    The arguments are those of [`compact_region_values`], which says what the channels are, and of
    [`expand_region_values`].
    """
    num_motifs = scores.shape[2]
    if num_motif_rows < num_motifs:
        raise ValueError(f"num_motif_rows is {num_motif_rows}, expected at least the number of motifs, {num_motifs}")
    compact = compact_region_values(scores, accessibility, distances, region_mask)
    return expand_region_values(torch.from_numpy(compact), num_motif_rows).numpy()


__all__ = ["build_region_values", "compact_region_values", "expand_region_values"]
