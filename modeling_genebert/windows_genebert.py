"""Long sequences: how many tokens an encoder takes, and longer sequences cut into windows.

The processor cuts, and each window is then a sequence of its own to tokenizer, region matrix and encoders; the models
pool the windows of a sample into one vector, or stitch their predictions together base by base.

Shape suffixes: W windows, N samples, H hidden size, L bases, K labels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn


def max_num_tokens(sequence_encoder: nn.Module, tokens_per_position: int = 1) -> int | None:
    """Longest input of an encoder in tokens, special tokens included; None where its config names no limit.

    Roberta and its kin number tokens from `padding_idx + 1`, so that their first positions are never used; the
    position embeddings then have a `padding_idx`.
    """
    limit = getattr(sequence_encoder.config, "max_position_embeddings", None)
    if limit is None or limit < 0:  # XLNet says -1
        return None
    for name, module in sequence_encoder.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return tokens_per_position * (limit - (module.padding_idx + 1))
    return tokens_per_position * limit


def check_num_tokens(num_tokens: int, limit: int | None) -> None:
    """Raise `ValueError` for a sequence of more tokens than the model takes."""
    if limit is not None and num_tokens > limit:
        raise ValueError(
            f"the sequence has {num_tokens} tokens (special tokens included), but the model has {limit} positions: "
            f"pass truncation=True, or return_overflowing_tokens=True to cut it into windows, with max_length={limit} "
            "to the processor"
        )


def cut_windows(sequences: list[str], width: int, step: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Cut each sequence into windows of `width` bp whose starts lie `step` bp apart.

    The last window is shifted back, to end with its sequence, so that it is as wide as the others: the bases at the
    end are predicted with as much context as any, and no window is much shorter than what the model was trained on. A
    sequence of at most `width` bp is one window.

    Args:
        sequences: DNA strings.
        width: width of a window in bp.
        step: distance between the starts of neighbouring windows in bp, at most `width`.

    Returns:
        The windows, those of the first sequence first; for each the number of its sequence, int64 `(num_windows,)`;
        and its start in the sequence in bp, 0-based, int64 `(num_windows,)`.
    """
    windows: list[str] = []
    samples: list[int] = []
    starts: list[int] = []
    for sample, sequence in enumerate(sequences):
        last = max(0, len(sequence) - width)
        for start in (*range(0, last, step), last):
            windows.append(sequence[start : start + width])
            samples.append(sample)
            starts.append(start)
    return windows, np.array(samples, dtype=np.int64), np.array(starts, dtype=np.int64)


def count_samples(sample_W: torch.Tensor, num_windows: int) -> int:
    """Number of samples that the windows come from.

    Raises:
        ValueError: not one sample number a window, or a sample without a window.
    """
    if tuple(sample_W.shape) != (num_windows,):
        raise ValueError(
            f"overflow_to_sample_mapping has shape {tuple(sample_W.shape)}, expected one sample number for each of "
            f"the {num_windows} windows in input_ids"
        )
    windows_of_sample = torch.bincount(sample_W)
    if bool((windows_of_sample == 0).any()):
        raise ValueError(
            f"overflow_to_sample_mapping holds no window of sample {int(windows_of_sample.argmin())}, expected all "
            "samples from 0 on: pass all windows of a batch together"
        )
    return len(windows_of_sample)


def pool_windows(values_WH: torch.Tensor, sample_W: torch.Tensor, num_tokens_W: torch.Tensor) -> torch.Tensor:
    """Mean over the windows of each sample, weighted by their numbers of tokens: WH -> NH."""
    num_samples = count_samples(sample_W, len(values_WH))
    tokens_N = num_tokens_W.new_zeros(num_samples).index_add(0, sample_W, num_tokens_W)
    shares_W = (num_tokens_W / tokens_N[sample_W]).to(values_WH.dtype)
    pooled_NH = values_WH.new_zeros(num_samples, values_WH.shape[1])
    return pooled_NH.index_add(0, sample_W, values_WH * shares_W[:, None])


def max_of_windows(values_WK: torch.Tensor, sample_W: torch.Tensor) -> torch.Tensor:
    """The largest value in any window of each sample: WK -> NK."""
    highest_NK = values_WK.new_zeros(count_samples(sample_W, len(values_WK)), values_WK.shape[1])
    return highest_NK.scatter_reduce(
        0, sample_W[:, None].expand_as(values_WK), values_WK, reduce="amax", include_self=False
    )


def stitch_windows(
    logits_WLK: torch.Tensor, num_bases_W: torch.Tensor, sample_W: torch.Tensor, start_W: torch.Tensor
) -> torch.Tensor:
    """Predictions per base of whole sequences, NLK: the mean where windows overlap; 0 beyond a sequence's end.

    Args:
        logits_WLK: predictions for the bases of each window, padded at their ends.
        num_bases_W: bases of each window.
        sample_W: the sample that each window comes from.
        start_W: its start there in bp, 0-based.
    """
    num_samples = count_samples(sample_W, len(logits_WLK))
    longest = int((start_W + num_bases_W).max())
    offset_L = torch.arange(logits_WLK.shape[1], device=logits_WLK.device)
    is_base_WL = offset_L < num_bases_W[:, None]
    rows = (sample_W[:, None] * longest + start_W[:, None] + offset_L)[is_base_WL]  # of a table (N * L, K)
    sums = logits_WLK.new_zeros(num_samples * longest, logits_WLK.shape[2]).index_add(0, rows, logits_WLK[is_base_WL])
    counts = torch.bincount(rows, minlength=len(sums)).clamp(min=1)
    return (sums / counts[:, None]).view(num_samples, longest, -1)


__all__ = [
    "check_num_tokens",
    "count_samples",
    "cut_windows",
    "max_num_tokens",
    "max_of_windows",
    "pool_windows",
    "stitch_windows",
]
