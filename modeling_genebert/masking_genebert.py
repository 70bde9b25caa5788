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
SHOWN, MASKED, RANDOM, KEPT = 0, 1, 2, 3  # what happens to a base


@dataclass
class MaskedSegments:
    """
    Args:
        input_ids (`np.ndarray` of shape `(num_segments, num_tokens)`): int64 ids as the model sees them.
        labels (`np.ndarray` of shape `(num_segments, num_tokens)`): the true ids of the k-mers that touch a span,
            -100 elsewhere and where the k-mer holds an unknown base.
        visible (`np.ndarray` of shape `(num_segments, length)`): uint8 base codes as the model sees them, hidden
            bases as `UNKNOWN_BASE`.
        hidden_bases (`np.ndarray` of shape `(num_segments, length)`): int64, the true code of each base that
            `[MASK]`s hide, -100 elsewhere.
    """

    input_ids: np.ndarray
    labels: np.ndarray
    visible: np.ndarray
    hidden_bases: np.ndarray


class SegmentRandom:
    """
    The draws that masking takes from a `np.random.Generator`, but each row from a seed of its own.

    What a segment draws then depends neither on the other segments of its batch nor on how examples are dealt to
    batches and processes. A counter-based generator: the finaliser of SplitMix64 (Steele et al. 2014) over seed and
    position.

    Args:
        seeds (`np.ndarray` of shape `(num_segments, n)`): ints that together are the seed of each row.
    """

    def __init__(self, seeds: np.ndarray):
        state = np.zeros(len(seeds), dtype=np.uint64)
        for column in np.asarray(seeds, dtype=np.uint64).T:
            state = _mix(state + column + _GOLDEN_RATIO)
        self.state, self.num_draws = state, 0

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        """Uniform float64 in [0, 1) of `shape` `(num_segments, length)`."""
        counter = np.arange(shape[1], dtype=np.uint64) + np.uint64(self.num_draws << 32)
        self.num_draws += 1
        bits = _mix(self.state[:, None] + (counter + np.uint64(1)) * _GOLDEN_RATIO)
        return (bits >> np.uint64(11)) * 2.0**-53

    def geometric(self, probability: float, shape: tuple[int, int]) -> np.ndarray:
        """Geometric int64 of at least 1 and mean `1 / probability`."""
        if probability >= 1:
            return np.ones(shape, dtype=np.int64)
        return 1 + np.floor(np.log1p(-self.random(shape)) / np.log1p(-probability)).astype(np.int64)

    def integers(self, high: int, size: tuple[int, int], dtype: type = np.int64) -> np.ndarray:
        """Uniform ints from 0 to `high - 1`."""
        return (self.random(size) * high).astype(dtype)


_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def _mix(values: np.ndarray) -> np.ndarray:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def draw_spans(
    shape: tuple[int, int],
    rng: np.random.Generator | SegmentRandom,
    *,
    probability: float = 0.15,
    mean_length: float = 4.0,
) -> np.ndarray:
    """
    Draw spans of geometric length and what happens to each: `[MASK]` 80 %, random bases 10 %, kept 10 %.

    Args:
        shape (`tuple[int, int]`): `(num_segments, length)` in bp.
        rng (`np.random.Generator` or `SegmentRandom`): decides everything random.
        probability (`float`, defaults to 0.15): expected share of bases inside spans (within 1 % of it at the
            default length; a little above it for the shortest spans).
        mean_length (`float`, defaults to 4.0): mean of the geometric length, in bp; spans that touch are one.

    Returns:
        uint8 array of `shape`: 0 = shown, 1 = masked, 2 = random, 3 = kept.
    """
    positions = np.arange(shape[1])
    # Starts are a Bernoulli process; its rate makes the union of all spans cover `probability` of the bases.
    starts = rng.random(shape) < -np.log1p(-probability) / mean_length
    ends = np.where(starts, positions + rng.geometric(1 / mean_length, shape), 0)
    inside = np.maximum.accumulate(ends, axis=1) > positions
    first = inside & ~np.pad(inside, ((0, 0), (1, 0)))[:, :-1]
    first_position = np.maximum.accumulate(np.where(first, positions, 0), axis=1)
    draw = np.take_along_axis(rng.random(shape), first_position, axis=1)
    action = np.where(draw < 0.8, MASKED, np.where(draw < 0.9, RANDOM, KEPT))
    return np.where(inside, action, SHOWN).astype(np.uint8)


def mask_segments(
    codes: np.ndarray,
    rng: np.random.Generator | SegmentRandom,
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
        rng (`np.random.Generator` or `SegmentRandom`): decides everything random.
        kmer, stride (`int`, default to 6 and 1): in bp.
        probability, mean_length: see `draw_spans`.
    """
    action = draw_spans(codes.shape, rng, probability=probability, mean_length=mean_length)
    action[codes == UNKNOWN_BASE] = SHOWN
    corrupted = np.where(action == RANDOM, rng.integers(4, size=codes.shape, dtype=np.uint8), codes)
    input_ids = kmer_ids(corrupted, kmer, stride)
    input_ids[_touched(action == MASKED, kmer, stride)] = MASK_ID
    true_ids = kmer_ids(codes, kmer, stride)
    labels = np.where(_touched(action != SHOWN, kmer, stride) & (true_ids != UNK_ID), true_ids, IGNORE_INDEX)
    return MaskedSegments(
        input_ids=input_ids,
        labels=labels,
        visible=np.where(action == MASKED, np.uint8(UNKNOWN_BASE), corrupted),
        hidden_bases=np.where(action == MASKED, codes.astype(np.int64), IGNORE_INDEX),
    )


def kmer_ids(codes: np.ndarray, kmer: int, stride: int = 1) -> np.ndarray:
    """Vocabulary ids of the full k-mers of `codes`, shape `(..., num_tokens)`; unknown bases give `[UNK]`."""
    ranks = kmer_codes(codes, kmer, stride)
    return np.where(ranks < 0, UNK_ID, ranks + NUM_SPECIAL_TOKENS)


def _touched(bases: np.ndarray, kmer: int, stride: int) -> np.ndarray:
    """Whether each k-mer covers at least one of the marked bases."""
    counts = np.pad(np.cumsum(bases, axis=1), ((0, 0), (1, 0)))
    return (counts[:, kmer:] - counts[:, :-kmer])[:, ::stride] > 0


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
