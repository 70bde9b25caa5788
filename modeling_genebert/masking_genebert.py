"""Masked genome modelling: spans of hidden bases, and the accuracy per hidden base.

Overlapping k-mers leak: a base is hidden only when every k-mer that covers it is masked. So bases are drawn, in
spans, and all k-mers that touch a span are masked.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .configuration_genebert import IGNORE_INDEX, NUM_SPECIAL_TOKENS
from .dna_genebert import UNKNOWN_BASE, kmer_codes


UNK_ID, MASK_ID = 1, 4
SHOWN, MASKED, RANDOM, KEPT = 0, 1, 2, 4  # what happens to a base; bits, since a k-mer may touch several spans


@dataclass
class MaskedSegments:
    """
    Args:
        input_ids (`np.ndarray` of shape `(num_segments, num_tokens)`): int32 ids as the model sees them.
        labels (`np.ndarray` of shape `(num_segments, num_tokens)`): int32, the true ids of the k-mers that touch a
            span, -100 elsewhere and where the k-mer holds an unknown base.
        visible (`np.ndarray` of shape `(num_segments, length)`): uint8 base codes as the model sees them, hidden
            bases as `UNKNOWN_BASE`.
        hidden_bases (`np.ndarray` of shape `(num_segments, length)`): int8, the true code of each base that
            `[MASK]`s hide, -100 elsewhere.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    visible: np.ndarray
    hidden_bases: np.ndarray


class SegmentRandom:
    """
    Random numbers for masking: each segment draws from a seed of its own.

    What a segment draws then depends neither on the other segments of its batch nor on how examples are dealt to
    batches and processes. A counter-based generator: the finaliser of SplitMix64 (Steele et al. 2014) over seed and
    position.

    Args:
        seeds (`np.ndarray` of shape `(num_segments, n)`): ints that together are the seed of each segment.
    """

    def __init__(self, seeds: np.ndarray):
        state = np.zeros(len(seeds), dtype=np.uint64)
        for column in np.asarray(seeds, dtype=np.uint64).T:
            state = _mix(state + column + _GOLDEN_RATIO)
        self.state, self.num_draws = state, 0

    def bits(self, count: int) -> np.ndarray:
        """Random uint64 of shape `(num_segments, count)`."""
        counter = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(self.num_draws << 32)
        self.num_draws += 1
        return _mix(self.state[:, None] + counter * _GOLDEN_RATIO)

    def bases(self, count: int) -> np.ndarray:
        """Random base codes, uint8 of shape `(num_segments, count)`."""
        return self.bits(-(-count // 8)).view(np.uint8)[:, :count] & 3

    def random(self, count: int) -> np.ndarray:
        """Uniform float64 in [0, 1) of shape `(num_segments, count)`."""
        return (self.bits(count) >> np.uint64(11)) * 2.0**-53

    def geometric(self, mean: float, count: int) -> np.ndarray:
        """Geometric int64, at least 1, of shape `(num_segments, count)`; cut off at 2**31."""
        if mean == 1:
            return np.ones((len(self.state), count), dtype=np.int64)
        failures = np.log1p(-self.random(count)) / np.log1p(-1 / mean)
        return 1 + np.minimum(failures, 2.0**31).astype(np.int64)


_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def _mix(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def draw_spans(length: int, rng: SegmentRandom, *, probability: float = 0.15, mean_length: float = 4.0) -> np.ndarray:
    """
    Draw spans of geometric length and what happens to each: `[MASK]` 80 %, random bases 10 %, kept 10 %.

    Stretches of shown bases and spans take turns. The lengths of both are geometric, and the mean of the shown ones
    such that each base, also the first and the last, lies in a span with `probability`.

    Args:
        length (`int`): of a segment in bp.
        rng (`SegmentRandom`): decides everything random.
        probability (`float`, defaults to 0.15): expected share of bases inside spans.
        mean_length (`float`, defaults to 4.0): mean length of a span in bp, at least 1.

    Returns:
        uint8 array of shape `(num_segments, length)`: 0 = shown, 1 = masked, 2 = random, 4 = kept.

    Raises:
        ValueError: if `mean_length` is below 1, or `probability` above what spans of `mean_length` with one shown
            base between them cover.
    """
    if mean_length < 1:
        raise ValueError(f"The mean length of a masked span is {mean_length} bp, expected at least 1")
    most = mean_length / (mean_length + 1)
    if not 0 <= probability <= most:
        raise ValueError(
            f"The share of masked bases is {probability}, expected 0 to {most:.3g} with spans of {mean_length} bp"
        )
    num_segments = len(rng.state)
    if probability == 0:
        return np.full((num_segments, length), SHOWN, dtype=np.uint8)
    mean_shown = max(1.0, mean_length * (1 - probability) / probability)  # max: rounding errors
    # Enough for all but one in 10^8 segments; in that one the last span is longer.
    num_spans = 16 + int(2 * length / (mean_shown + mean_length))

    lengths = np.empty((num_segments, num_spans, 2), dtype=np.int64)  # of a shown stretch, and of the span after it
    lengths[:, :, 0] = rng.geometric(mean_shown, num_spans)
    lengths[:, :, 1] = rng.geometric(mean_length, num_spans)
    lengths[:, :1, 0] *= rng.random(1) >= probability  # else the segment starts inside a span
    ends = np.minimum(lengths.reshape(num_segments, -1).cumsum(axis=1), length)
    ends[:, -1] = length

    kind = rng.random(num_spans)
    actions = np.full((num_segments, num_spans, 2), SHOWN, dtype=np.uint8)
    actions[:, :, 1] = np.where(kind < 0.8, MASKED, np.where(kind < 0.9, RANDOM, KEPT))
    return np.repeat(actions, np.diff(ends, axis=1, prepend=0).ravel()).reshape(num_segments, length)


def mask_segments(
    codes: np.ndarray,
    rng: SegmentRandom,
    *,
    kmer: int = 6,
    stride: int = 1,
    probability: float = 0.15,
    mean_length: float = 4.0,
) -> MaskedSegments:
    """
    Hide spans of bases from all k-mers that cover them.

    Args:
        codes (`np.ndarray` of shape `(num_segments, length)`): uint8 base codes.
        rng (`SegmentRandom`): decides everything random; with one seed for each segment.
        kmer, stride (`int`, default to 6 and 1): in bp.
        probability, mean_length: see `draw_spans`.
    """
    action = draw_spans(codes.shape[1], rng, probability=probability, mean_length=mean_length)
    action[codes == UNKNOWN_BASE] = SHOWN
    corrupted = np.where(action == RANDOM, rng.bases(codes.shape[1]), codes)
    touched = _touched(action, kmer, stride)
    input_ids = kmer_ids(corrupted, kmer, stride)
    input_ids[(touched & MASKED) != 0] = MASK_ID
    labels = kmer_ids(codes, kmer, stride)
    labels[(touched == SHOWN) | (labels == UNK_ID)] = IGNORE_INDEX
    return MaskedSegments(
        input_ids=input_ids,
        labels=labels,
        visible=np.where(action == MASKED, np.uint8(UNKNOWN_BASE), corrupted),
        hidden_bases=np.where(action == MASKED, codes.astype(np.int8), np.int8(IGNORE_INDEX)),
    )


def kmer_ids(codes: np.ndarray, kmer: int, stride: int = 1) -> np.ndarray:
    """Vocabulary ids of the full k-mers of `codes`, int32 `(..., num_tokens)`; unknown bases give `[UNK]`."""
    ids = kmer_codes(codes, kmer, stride)
    ids += NUM_SPECIAL_TOKENS
    ids[ids < NUM_SPECIAL_TOKENS] = UNK_ID  # rank -1
    return ids


def _touched(action: np.ndarray, kmer: int, stride: int) -> np.ndarray:
    """The actions, as bits of one number, on the bases that each k-mer covers."""
    last = action.shape[1] - kmer + 1
    touched = np.zeros_like(action[:, :last:stride])
    for offset in range(kmer):
        touched |= action[:, offset : offset + last : stride]
    return touched


def hidden_base_probabilities(
    prediction_logits: torch.Tensor, labels: torch.Tensor, num_bases: int, *, kmer: int = 6, stride: int = 1
) -> torch.Tensor:
    """
    Probability of A, T, C, G at each base: the marginals of the predicted k-mers that cover it, averaged.

    Args:
        prediction_logits (`torch.Tensor` of shape `(num_labelled_tokens, vocab_size)`): as the model returns them.
        labels (`torch.Tensor` of shape `(num_segments, num_tokens)`): -100 where no k-mer was predicted.
        num_bases (`int`): length of a segment in bp.
        kmer, stride (`int`, default to 6 and 1): in bp.

    Returns:
        `(num_segments, num_bases, 4)`; zeros at bases that no predicted k-mer covers.
    """
    segments, tokens = labels.shape
    kmer_logits = prediction_logits[:, NUM_SPECIAL_TOKENS : NUM_SPECIAL_TOKENS + 4**kmer].float()
    probabilities = kmer_logits.softmax(dim=-1)
    predicted = labels != IGNORE_INDEX
    sums = probabilities.new_zeros(segments, num_bases, 4)
    counts = probabilities.new_zeros(segments, num_bases, 1)
    last = (tokens - 1) * stride + 1
    for offset in range(kmer):
        marginal = probabilities.view(-1, 4**offset, 4, 4 ** (kmer - offset - 1)).sum(dim=(1, 3))
        at_token = probabilities.new_zeros(segments, tokens, 4)
        at_token[predicted] = marginal
        sums[:, offset : offset + last : stride] += at_token
        counts[:, offset : offset + last : stride] += predicted[..., None]
    return sums / counts.clamp(min=1)


__all__ = ["MaskedSegments", "SegmentRandom", "draw_spans", "hidden_base_probabilities", "kmer_ids", "mask_segments"]
