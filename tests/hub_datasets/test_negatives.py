from __future__ import annotations

import numpy as np
import pytest

from hub_datasets.genome import Genome
from hub_datasets.negatives import gc_matched_windows, mosaic
from modeling_genebert.dna_genebert import decode_dna, encode_dna


WIDTH = 100


def gc(sequence):
    return sum(base in "GC" for base in sequence) / len(sequence)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    """chr1: 60 kb whose GC rises from 0.2 to 0.8 with 1 kb of N; chr2: 2 kb of A and T, then 500 bp of G."""
    rng = np.random.default_rng(0)
    is_gc = rng.random(60_000) < np.linspace(0.2, 0.8, 60_000)
    bases = np.where(is_gc, rng.choice(list("GC"), 60_000), rng.choice(list("AT"), 60_000))
    bases[30_000:31_000] = "N"
    file = tmp_path_factory.mktemp("genome") / "genome.fa"
    file.write_text(f">chr1\n{''.join(bases)}\n>chr2\n{'AT' * 1000}{'G' * 500}\n")
    return Genome(file)


def test_windows_are_like_their_targets(genome):
    start = np.arange(50_000, 59_000, 200)  # rich in GC: the genome as a whole is not
    chrom = np.full(len(start), "chr1")
    excluded = {"chr1": np.array([[45_000, 46_000], [50_000, 51_000]])}
    found = gc_matched_windows(genome, chrom, start, start + WIDTH, excluded=excluded, step=7)
    assert (found >= 0).all()
    targets = [gc(genome.fetch("chr1", at, at + WIDTH)) for at in start.tolist()]
    sequences = [genome.fetch("chr1", at, at + WIDTH) for at in found.tolist()]
    assert max(abs(gc(sequence) - target) for sequence, target in zip(sequences, targets, strict=True)) <= 0.02
    random = [gc(genome.fetch("chr1", at, at + WIDTH)) for at in range(0, 30_000, 500)]
    assert np.mean(targets) - np.mean(random) > 0.3
    assert not any("N" in sequence for sequence in sequences)
    assert (np.diff(np.sort(found)) >= WIDTH).all()
    for low, high in excluded["chr1"].tolist():
        assert ((found + WIDTH <= low) | (found >= high)).all()
    again = gc_matched_windows(genome, chrom, start, start + WIDTH, excluded=excluded, step=7)
    assert found.tolist() == again.tolist()
    other = gc_matched_windows(genome, chrom, start, start + WIDTH, excluded=excluded, step=7, seed=1)
    assert found.tolist() != other.tolist()


def test_targets_without_a_like_window(genome):
    # Of the 500 G, the first 100 are the target and 250 are excluded: one window of 100 fits into the rest, no second.
    found = gc_matched_windows(
        genome,
        ["chr2", "chr2"],
        [2_000, 2_000],
        [2_100, 2_100],
        excluded={"chr2": np.array([[2_000, 2_350]])},
        step=1,
    )
    assert sorted(found.tolist())[0] == -1
    assert 2_350 <= max(found.tolist()) <= 2_400


def test_long_chromosomes_are_read_in_blocks(genome, monkeypatch):
    start = np.arange(1_000, 20_000, 900)
    arguments = genome, np.full(len(start), "chr1"), start, start + WIDTH
    whole = gc_matched_windows(*arguments, excluded={}, step=10)
    monkeypatch.setattr("hub_datasets.negatives._BLOCK_SIZE", 1_000)
    assert gc_matched_windows(*arguments, excluded={}, step=10).tolist() == whole.tolist()


def test_widths_differ(genome):
    with pytest.raises(ValueError, match=r"targets of 100 bp and of other widths"):
        gc_matched_windows(genome, ["chr1", "chr1"], [0, 0], [100, 99], excluded={})
    assert gc_matched_windows(genome, [], [], [], excluded={}).tolist() == []


def test_mosaic():
    codes = encode_dna("ACGTTGCAAC" * 30)
    made = mosaic(codes, np.random.default_rng(0))
    assert sorted(decode_dna(made)) == sorted(decode_dna(codes))
    pieces = (made.reshape(20, 15) == codes.reshape(20, 15)).all(axis=1)
    assert pieces.sum() == 8
    assert mosaic(codes, np.random.default_rng(0)).tolist() == made.tolist()
    assert mosaic(codes[:70], np.random.default_rng(0), num_kept=20).tolist() == codes[:70].tolist()
    with pytest.raises(ValueError, match=r"8 of 20 pieces of 10 bp kept: expected kept <= pieces <= bp"):
        mosaic(codes[:10], np.random.default_rng(0))
