"""The simulated chromosomes: background sequence, runs of N, and where the regions lie."""

from __future__ import annotations

import numpy as np

from modeling_genebert.dna_genebert import UNKNOWN_BASE


REGION_WIDTH = 500
BLOCK_LENGTH = 50_000  # bp of one GC content, like a small isochore
GC_RANGE = (0.38, 0.54)
BACKGROUND_CPG = 0.25  # CpG observed / expected; methylated CpG decays to TpG
TELOMERE_LENGTH = 10_000  # bp of N at each chromosome's start
GAP_LENGTH = 2_000  # bp of N somewhere in the middle of each chromosome
MEDIAN_SPACING = 2_700  # bp between the centres of neighbouring regions
SPACING_SIGMA = 0.4  # of log(spacing)
MIN_SPACING = 800  # leaves room for jittered summits, so that neighbours never overlap
MARGIN = 1_000  # bp between a region and a run of N or a chromosome end

_LANE_LENGTH = 1_000  # background is drawn as many short Markov chains side by side


def markov_sequences(gc: np.ndarray, cpg: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw sequences from a first-order Markov chain with given GC content and CpG depletion.

    The probability of the dinucleotide ab is proportional to p(a) p(b) f(ab), fitted by iterative proportional fitting
    so that the base composition is exactly p. f is `cpg` for CG, 1.2 for its decay products TG and CA, 1.15 for AA
    and TT, else 1: equal on both strands.

    Args:
        gc: GC content of each sequence, shape `(N,)`.
        cpg: factor of the dinucleotide CG for each sequence, shape `(N,)`.
        length: length of each sequence in bp.
        rng: source of randomness.

    Returns:
        uint8 base codes (A=0, T=1, C=2, G=3) of shape `(N, length)`.
    """
    composition = np.stack([1 - gc, 1 - gc, gc, gc], axis=1) / 2
    factor = np.ones((len(gc), 4, 4))
    factor[:, 0, 0] = factor[:, 1, 1] = 1.15
    factor[:, 1, 3] = factor[:, 2, 0] = 1.2
    factor[:, 2, 3] = cpg
    joint = composition[:, :, None] * composition[:, None, :] * factor
    for _ in range(30):
        joint *= (composition / joint.sum(axis=2))[:, :, None]
        joint *= (composition / joint.sum(axis=1))[:, None, :]
    cumulative = (joint / joint.sum(axis=2, keepdims=True)).cumsum(axis=2)[:, :, :3]

    codes = np.empty((len(gc), length), dtype=np.uint8)
    uniform = rng.random(len(gc))
    codes[:, 0] = (uniform[:, None] > composition.cumsum(axis=1)[:, :3]).sum(axis=1)
    rows = np.arange(len(gc))
    for position in range(1, length):
        uniform = rng.random(len(gc))
        codes[:, position] = (uniform[:, None] > cumulative[rows, codes[:, position - 1]]).sum(axis=1)
    return codes


def draw_chromosome(length: int, rng: np.random.Generator) -> np.ndarray:
    """Draw one chromosome: blocks of varying GC content, N at its start, and one gap of N in its middle third.

    Args:
        length: length in bp.
        rng: source of randomness.

    Returns:
        uint8 base codes of shape `(length,)`; 4 = N.
    """
    num_lanes = -(-length // _LANE_LENGTH)
    block_gc = rng.uniform(*GC_RANGE, size=-(-length // BLOCK_LENGTH))
    gc = block_gc[np.arange(num_lanes) * _LANE_LENGTH // BLOCK_LENGTH]
    codes = markov_sequences(gc, np.full(num_lanes, BACKGROUND_CPG), _LANE_LENGTH, rng).reshape(-1)[:length]
    codes[:TELOMERE_LENGTH] = UNKNOWN_BASE
    gap_start = rng.integers(length // 3, 2 * length // 3)
    codes[gap_start : gap_start + GAP_LENGTH] = UNKNOWN_BASE
    return codes


def place_regions(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Starts (0-based) of the regions of one chromosome, at log-normal spacing, clear of N and of the ends.

    Args:
        codes: base codes of the chromosome, shape `(length,)`.
        rng: source of randomness.

    Returns:
        int64 array of starts in rising order.
    """
    spacing = np.exp(rng.normal(np.log(MEDIAN_SPACING), SPACING_SIGMA, size=len(codes) // MIN_SPACING + 1))
    starts = np.maximum(spacing, MIN_SPACING).astype(np.int64).cumsum()
    starts = starts[starts + REGION_WIDTH + MARGIN <= len(codes)]
    unknown_before = np.concatenate([[0], (codes == UNKNOWN_BASE).cumsum()])
    margin_start = np.maximum(starts - MARGIN, 0)
    return starts[unknown_before[starts + REGION_WIDTH + MARGIN] == unknown_before[margin_start]]
