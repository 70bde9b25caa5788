"""The consensus against the same rule written out in plain Python, peak by peak, on random files."""

from __future__ import annotations

import random
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hub_datasets.atac_seq.consensus import GenomeAxis, build_consensus
from hub_datasets.atac_seq.peak_sources import PeakSource
from hub_datasets.genome import Genome
from hub_datasets.intervals import read_peaks


Peak = tuple[str, int, int, int, int]  # chromosome, start, end, summit (-1 = unknown), signal


def random_genome(rng: random.Random) -> dict[str, str]:
    """Two chromosomes with a few runs of N."""
    genome = {}
    for name in ("chr2", "chr1"):
        bases = rng.choices("ACGT", k=rng.randint(150, 400))
        for _ in range(rng.randint(0, 3)):
            start = rng.randrange(len(bases))
            end = min(len(bases), start + rng.randint(1, 40))
            bases[start:end] = "N" * (end - start)
        genome[name] = "".join(bases)
    return genome


def random_peaks(rng: random.Random, genome: dict[str, str]) -> list[Peak]:
    """Peaks, many of equal signal, some past the chromosome's end, on another chromosome, or twice."""
    peaks: list[Peak] = [("chr1", 60, 90, 70, 1)]
    for _ in range(rng.randint(10, 40)):
        chrom = rng.choice(["chr1", "chr1", "chr2", "chr2", "chrUn"])
        start = rng.randrange(len(genome.get(chrom, "N" * 100)))
        end = start + rng.randint(1, 60)
        summit = rng.choice([-1, rng.randrange(start, end)])
        peaks.append((chrom, start, end, summit, rng.randint(0, 4)))
        if rng.random() < 0.2:
            peaks.append((*peaks[-1][:4], rng.randint(0, 4)))
    rng.shuffle(peaks)
    return peaks


def consensus_in_plain_python(
    genome: dict[str, str], peaks: dict[str, list[Peak]], width: int, max_n_fraction: float
) -> tuple[list[tuple[str, int]], list[list[float]], list[list[bool]]]:
    """Regions (chromosome, start); by region and cell type, accessibility (0 = not open), and whether they touch."""
    inside: dict[str, list[tuple[str, int, int, int, float]]] = {cell_type: [] for cell_type in peaks}
    candidates = []
    for cell_type, its_peaks in peaks.items():
        signals = [peak[4] for peak in its_peaks]
        for chrom, start, end, summit, signal in its_peaks:
            weaker = sum(other < signal for other in signals)
            equal = sum(other == signal for other in signals)
            rank = float(np.float32((weaker + (equal + 1) / 2) / len(signals)))
            if chrom not in genome or end > len(genome[chrom]):
                continue
            summit = (start + end) // 2 if summit < 0 else summit
            inside[cell_type].append((chrom, start, end, summit, rank))
            first = summit - width // 2
            if first < 0 or first + width > len(genome[chrom]):
                continue
            if genome[chrom][first : first + width].count("N") > max_n_fraction * width:
                continue
            candidates.append((-rank, list(genome).index(chrom), first, chrom))
    regions: list[tuple[str, int]] = []
    for _, _, first, chrom in sorted(candidates):
        if not any(chrom == other and abs(first - start) < width for other, start in regions):
            regions.append((chrom, first))
    regions.sort(key=lambda region: (list(genome).index(region[0]), region[1]))
    accessibility, touching = [], []
    for name, start in regions:
        here = [[peak[1:] for peak in its_peaks if peak[0] == name] for its_peaks in inside.values()]
        ranks = [[rank for _, _, summit, rank in its_peaks if start <= summit < start + width] for its_peaks in here]
        overlaps = [any(first < start + width and start < end for first, end, *_ in its_peaks) for its_peaks in here]
        accessibility.append([max(of_cell_type, default=0) for of_cell_type in ranks])
        touching.append([overlap and not its_ranks for overlap, its_ranks in zip(overlaps, ranks, strict=True)])
    return regions, accessibility, touching


@pytest.mark.parametrize("seed", range(60))
def test_consensus_equals_the_rule_in_plain_python(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    width, max_n_fraction = rng.choice([1, 7, 10, 25]), rng.choice([0.0, 0.0, 0.3])
    genome = random_genome(rng)
    genome["chr1"] = genome["chr1"][:50] + "ACGT" * 10 + genome["chr1"][90:]  # where each file has a good peak
    peaks = {cell_type: random_peaks(rng, genome) for cell_type in ("a", "b", "c")}
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in genome.items()))
    sources = {}
    for cell_type, its_peaks in peaks.items():
        file = tmp_path / f"{cell_type}.narrowPeak"
        file.write_text(
            "".join(
                f"{chrom}\t{start}\t{end}\tpeak\t0\t.\t{signal}\t-1\t-1\t{summit - start if summit >= 0 else -1}\n"
                for chrom, start, end, summit, signal in its_peaks
            )
        )
        sources[cell_type] = PeakSource(str(file), partial(read_peaks, file))

    axis = GenomeAxis(Genome(tmp_path / "genome.fa"), width)
    consensus = build_consensus(axis, sources, width, max_n_fraction)
    regions, accessibility, touching = consensus_in_plain_python(genome, peaks, width, max_n_fraction)
    names = [consensus.chromosomes[chrom] for chrom in consensus.chrom]
    found = list(zip(names, consensus.start.tolist(), strict=True))
    assert found == regions
    np.testing.assert_array_equal(consensus.accessibility_of(0, len(consensus)), np.array(accessibility, np.float32))
    assert consensus.touching_of(0, len(consensus)).tolist() == touching
