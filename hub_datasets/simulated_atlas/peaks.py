"""Peaks as MACS2 calls them: of accessibility in each cell type, and of the binding of TFs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .genome import REGION_WIDTH


SUMMIT_JITTER = 40  # bp, standard deviation between cell types
MAX_JITTER = 120  # bp
BINDING_JITTER = 12  # bp
NOISE_PEAK_SHARE = 0.03  # of a cell type's peaks lie between the regions
NOISE_DISTANCE = 600  # bp, at least, between a noise peak's summit and the nearest region


class Peak(NamedTuple):
    """One peak, 0-based and half-open; `summit` in bp from `start`."""

    chrom: str
    start: int
    end: int
    signal: float
    summit: int


def draw_peak(
    chrom: str, summit: int, strength: float, median_width: float, chrom_length: int, rng: np.random.Generator
) -> Peak:
    """A peak around a summit: wider and higher the stronger it is.

    Args:
        chrom: chromosome.
        summit: position of the summit, 0-based.
        strength: logit by which the region is open, or the TF bound; mostly 0 to 6.
        median_width: median width in bp of a peak of strength 2.
        chrom_length: length of the chromosome in bp, which the peak does not leave.
        rng: source of randomness.
    """
    width = median_width * np.exp(0.08 * (strength - 2) + rng.normal(0, 0.25))
    left = int(width * rng.uniform(0.4, 0.6))
    start = max(0, summit - left)
    end = min(chrom_length, max(summit + 1, summit - left + int(width)))
    signal = 2.5 * np.exp(0.35 * min(strength, 10.0) + rng.normal(0, 0.2))
    return Peak(chrom, start, end, float(signal), summit - start)


def noise_summits(
    region_starts: np.ndarray, unknown: np.ndarray, num_peaks: int, rng: np.random.Generator
) -> np.ndarray:
    """Summits of false-positive peaks on one chromosome, between its regions and off its runs of N.

    Args:
        region_starts: starts of the chromosome's regions in rising order.
        unknown: whether each base of the chromosome is N.
        num_peaks: number of summits wanted; fewer come back where there is no room.
        rng: source of randomness.

    Returns:
        int64 array of positions, at most one in each space between two neighbouring regions that holds no N.
    """
    unknown_before = np.concatenate([[0], unknown.cumsum()])
    known = unknown_before[region_starts[:-1]] == unknown_before[region_starts[1:]]
    left = region_starts[:-1] + REGION_WIDTH + NOISE_DISTANCE
    right = region_starts[1:] - NOISE_DISTANCE
    chosen = rng.permutation(np.flatnonzero(known & (right > left)))[:num_peaks]
    return rng.integers(left[chosen], right[chosen])


def narrow_peak_lines(peaks: list[Peak], chrom_order: list[str], prefix: str) -> list[str]:
    """Lines of a narrowPeak file as MACS2 writes it: sorted, numbered, with -log10 p and q that follow the signal."""
    peaks = sorted(peaks, key=lambda peak: (chrom_order.index(peak.chrom), peak.start, peak.end))
    lines = []
    for number, peak in enumerate(peaks, start=1):
        p_value = 1.5 * peak.signal**1.25
        q_value = max(0.0, p_value - 1.8)
        score = min(1000, int(10 * q_value))
        lines.append(
            f"{peak.chrom}\t{peak.start}\t{peak.end}\t{prefix}_peak_{number}\t{score}\t.\t"
            f"{peak.signal:.5f}\t{p_value:.5f}\t{q_value:.5f}\t{peak.summit}"
        )
    return lines
