"""What tells SRM's and NGSP's pairs apart without a model: what an AUROC of GeneBERT has to be compared with.

    python -m benchmarks.pairing_cues --dataset_name_or_path ATAC_SEQ_SET

On the training split a ridge regression learns to say from a region's column of motif scores what its sequence is
made of: its GC content, or its k-mers (each with its reverse complement). On held-out windows (`validation`, seen cell
types and unseen) a pair is scored by how near that is to the sequence shown: the mean squared difference, each k-mer's
in units of the regression's own error. Pairs are those of `evaluate_pretraining`, columns visible.

Figures: `{pairs}_{cue}_auroc` with `_low` and `_high`, the 95 % interval of a bootstrap over blocks of 200 kb; pairs
are `srm_other_locus`, `srm_like_gc_locus`, `srm_other_cell_type` and `ngsp`; cues `gc`, `2mers` ... `5mers`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import RidgeCV
from tqdm.auto import tqdm

from hub_datasets.atac_seq.evaluation import BLOCK, block_bootstrap, weighted_auroc
from hub_datasets.atac_seq.reader import UNSEEN_SUFFIX, AtacSeqSet
from modeling_genebert.dna_genebert import kmer_codes, reverse_complement
from modeling_genebert.pairing_genebert import (
    WindowTable,
    next_region_partners,
    other_cell_type_partners,
    other_locus_partners,
)

from .report import RESULTS, write_report


NAME = "pairing_cues"
CUES = {"gc": 1, "2mers": 2, "3mers": 3, "4mers": 4, "5mers": 5}
SEGMENT_LENGTH = 256  # bp, as pre-training reads by default
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


def kmer_shares(segments: np.ndarray, kmer: int) -> np.ndarray:
    """
    Share of each k-mer, counted together with its reverse complement, among the k-mers without an unknown base.

    Args:
        segments (`np.ndarray` of shape `(n, length)`): base codes.
        kmer (`int`): length of a k-mer in bp; 1 gives the content of A or T, and of G or C.

    Returns:
        float64 of shape `(n, number of such pairs)`; zeros for a segment of unknown bases.
    """
    every_kmer = np.indices((4,) * kmer, dtype=np.uint8).reshape(kmer, -1).T
    names = np.unique(_codes_of_either_strand(every_kmer, kmer))
    codes = _codes_of_either_strand(segments, kmer)
    rows, places = np.nonzero(codes >= 0)
    counts = np.zeros((len(segments), len(names)))
    np.add.at(counts, (rows, np.searchsorted(names, codes[rows, places])), 1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _codes_of_either_strand(segments: np.ndarray, kmer: int) -> np.ndarray:
    """At each place the lower code of the k-mer and its reverse complement, -1 where a base is unknown."""
    return np.minimum(kmer_codes(segments, kmer), kmer_codes(reverse_complement(segments), kmer)[:, ::-1])


def pairs_of(windows: WindowTable) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Of each kind: the windows that have a partner; the region whose sequence is shown, and whose column, both by
    window, which fit where both are of one window."""
    rng = np.random.default_rng
    partners = {
        "srm_other_locus": other_locus_partners(windows, rng(0)),
        "srm_like_gc_locus": other_locus_partners(windows, rng(0), like_gc=True),
        "srm_other_cell_type": other_cell_type_partners(windows, rng(0)),
        "ngsp": next_region_partners(windows, rng(0)),
    }
    found = {}
    for name, partner in partners.items():
        rows = np.flatnonzero(partner >= 0)
        region = windows.next_region if name == "ngsp" else windows.anchor
        found[name] = rows, region[rows], region[partner[rows]]
    return found


def fit_cue(atac: AtacSeqSet, regions: np.ndarray, kmer: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Learn on some regions; returns how well sequences and columns of other regions fit (higher is better)."""
    composition = kmer_shares(atac.regions.segments(regions, SEGMENT_LENGTH), kmer)
    scores = atac.regions.scores.take(regions).astype(np.float64)
    model = RidgeCV(alphas=PENALTIES).fit(scores, composition)
    error = np.maximum(np.std(composition - model.predict(scores), axis=0), 1e-9)

    def fit(sequences: np.ndarray, columns: np.ndarray) -> np.ndarray:
        shown = kmer_shares(atac.regions.segments(sequences, SEGMENT_LENGTH), kmer)
        said = model.predict(atac.regions.scores.take(columns).astype(np.float64))
        return -(((shown - said) / error) ** 2).mean(axis=1)

    return fit


def measure(atac: AtacSeqSet) -> dict[str, float]:
    train, _ = atac.windows("train")
    windows, _ = atac.windows("validation", "validation" + UNSEEN_SUFFIX)
    figures: dict[str, float] = {}
    pairs = pairs_of(windows)
    for cue, kmer in tqdm(CUES.items(), unit="cue"):
        fit = fit_cue(atac, np.unique(train.anchor), kmer)
        for name, (rows, own, of_partner) in pairs.items():
            # As in evaluation: each sequence with its own column and with its partner's. The next region of NGSP is
            # the sequence that is swapped, the column is the window's own.
            own_twice, either = np.r_[own, own], np.r_[own, of_partner]
            sequences, columns = (either, own_twice) if name == "ngsp" else (own_twice, either)
            label = np.repeat([1, 0], len(rows))
            centre = windows.region_centre[windows.anchor[rows]].astype(np.int64)
            blocks = np.tile(windows.chrom[rows].astype(np.int64) << 40 | centre // BLOCK, 2)
            score = fit(sequences, columns)
            key = f"{name}_{cue}_auroc"
            figures[key] = weighted_auroc(np.ones(len(score)), score, label)
            low, high = block_bootstrap(blocks, weighted_auroc, score, label, rng=np.random.default_rng(0))
            figures |= {f"{key}_low": low, f"{key}_high": high}
    figures |= {f"{name}_windows": len(rows) for name, (rows, *_) in pairs.items()}
    return figures


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset_name_or_path", required=True, help="of `python -m hub_datasets.atac_seq`")
    parser.add_argument("--cache_dir", help="default: that of datasets")
    parser.add_argument("--output_dir", type=Path, default=RESULTS)
    args = parser.parse_args(arguments)
    atac = AtacSeqSet.load(args.dataset_name_or_path, cache_dir=args.cache_dir)
    figures = measure(atac)
    for name, value in figures.items():
        if name.endswith("_auroc"):
            print(f"{name}: {value:.3f} ({figures[f'{name}_low']:.3f} to {figures[f'{name}_high']:.3f})")
    settings = {
        "segment_length": SEGMENT_LENGTH,
        "penalties": list(PENALTIES),
        "set": Path(args.dataset_name_or_path).name,
    }
    return write_report(NAME, figures, settings, args.output_dir)


if __name__ == "__main__":
    main()
