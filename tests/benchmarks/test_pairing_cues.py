"""What tells pairs apart without a model: shares of k-mers, and the figures of a small set."""

from __future__ import annotations

import json

import numpy as np

from benchmarks import pairing_cues
from benchmarks.pairing_cues import CUES, kmer_shares
from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.simulated_atlas import simulate_atlas
from modeling_genebert.dna_genebert import encode_dna


def segments(*sequences):
    return np.stack([encode_dna(sequence) for sequence in sequences])


def test_shares_of_kmers():
    np.testing.assert_allclose(kmer_shares(segments("AACG", "NNNN"), 1), [[0.5, 0.5], [0, 0]])
    # Of AA, AC, CG and N: AA = TT, AC = GT and CG are a third each.
    shares = kmer_shares(segments("AACGN"), 2)
    assert shares.shape == (1, 10)
    assert sorted(shares[0]) == [0] * 7 + [1 / 3] * 3


def test_both_strands_have_the_same_shares():
    for kmer in CUES.values():
        one, other = kmer_shares(segments("ACCTGATTGGCANTC", "GANTGCCAATCAGGT"), kmer)
        np.testing.assert_allclose(one, other)
        np.testing.assert_allclose(one.sum(), 1)


def test_figures(tmp_path, capsys):
    simulate_atlas(tmp_path / "atlas", num_chromosomes=3, chromosome_length=300_000, num_cell_types=3, num_motifs=40)
    build_atac_seq(
        genome=tmp_path / "atlas" / "genome.fa",
        peaks=tmp_path / "atlas" / "peaks",
        motifs=tmp_path / "atlas" / "motifs.safetensors",
        validation_chromosomes=["chr3"],
        output_dir=tmp_path / "set",
    )
    arguments = ["--dataset_name_or_path", str(tmp_path / "set"), "--output_dir", str(tmp_path / "results")]
    report = pairing_cues.main([*arguments, "--cache_dir", str(tmp_path / "cache")])
    figures = report["figures"]
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report
    for pairs in ("srm_other_locus", "srm_like_gc_locus", "srm_other_cell_type", "ngsp"):
        for cue in CUES:
            key = f"{pairs}_{cue}_auroc"
            assert 0 <= figures[f"{key}_low"] <= figures[key] <= figures[f"{key}_high"] <= 1
    # A column says much of its own sequence.
    assert figures["srm_other_locus_3mers_auroc"] > 0.7
    assert figures["srm_other_locus_gc_auroc"] > figures["srm_like_gc_locus_gc_auroc"]
