"""What the cards of the promoter data sets say."""

from __future__ import annotations

from typing import Any

from ..cards import markdown_table
from ..downloads import PublicSource
from ..task_card import TaskCard, public_source
from .options import PromoterOptions


_LABELS = {"promoter": "the window round a transcription start site (TSS)", "non-promoter": "a negative, see below"}
_GUE = (
    "Genome Understanding Evaluation (GUE): Zhou et al. (2023), DNABERT-2, arXiv:2306.15006",
    "https://github.com/MAGICS-LAB/DNABERT_2",
    "not verified",
)
_STRADDLING = (
    "A sequence that stands in two splits, on either strand, is dropped from training before validation before test; "
    "the number is in the table of what was skipped."
)


def gue_card(info: dict[str, Any]) -> TaskCard:
    """The card of a set made from GUE's files.

    Args:
        info: what goes into its `info.json`.
    """
    sections = {}
    if overlaps := info["overlaps"]:
        rows = [
            [overlap["train"], overlap["test"], f"{overlap['shared']:,} of {overlap['rows']:,}"]
            for overlap in overlaps
        ]
        sections["Overlaps between the sets"] = (
            "Rows of a set's test that contain, or lie in, a training sequence of another set, on either strand. "
            "Never train on one set and test on another.\n\n"
            + markdown_table(["training set", "test set", "test rows that share a sequence"], rows)
        )
    return TaskCard(
        pretty_name="Promoters (GUE)",
        summary="Human promoters and non-promoters of the benchmark GUE: `core` is 70 bp, `300` is 300 bp round the "
        "TSS; `tata` and `notata` are promoters with and without a TATA box.",
        task_categories=["text-classification"],
        labels=_LABELS,
        splits=f"GUE's own: train.csv, dev.csv (validation) and test.csv. {_STRADDLING}",
        negatives="GUE's own. With a TATA box: random genomic sequences that hold the motif; without: promoters of "
        "which random pieces were substituted (Zhou et al. 2023).",
        tags=["promoter", "gue"],
        sources=[_GUE],
        sections=sections,
    )


def genome_card(options: PromoterOptions, source: PublicSource | None) -> TaskCard:
    """The card of a set made from TSSs and a genome.

    Args:
        options: of the build.
        source: the public source of the TSSs, where it was one.
    """
    genomic = (
        "One for each promoter, on the same chromosome and strand and of the same length: a random one of the windows "
        f"with the nearest number of G and C (at most {options.max_gc_difference:.0%} of the bases away), without N, "
        f"at least {options.min_tss_distance:,} bp from any TSS of the file. No two overlap. Promoters without such a "
        "window are left out, so that GC tells nothing. Pairs of bases (CpG) are not matched: they differ between "
        "promoters and the genome."
    )
    mosaic = (
        "One for each promoter, made from it, as DeePromoter does (Oubounyt et al. 2019, Frontiers in Genetics 10, "
        "286): of 20 pieces 8 random ones are kept, and the bases of the other 12 are shuffled among each other, so "
        "that the base composition is the same. Pairs of bases (CpG) are not kept. They lie nowhere in the genome: "
        "`chrom`, `start`, `end` and `strand` are empty."
    )
    tata = {
        "name": "by its name, which ends in `_TATA` or `_nonTATA`",
        "motif": "where JASPAR's POL012.1 reaches 4 bits with the first T of TATA 25 to 35 bp upstream of the TSS",
    }
    told = f"A promoter has a TATA box {tata[options.tata]} (`tata`, `notata`)." if options.tata != "none" else ""
    return TaskCard(
        pretty_name="Promoters",
        summary="Promoters and non-promoters, along the promoter's strand. `core`: 70 bp, 33 upstream of the TSS and "
        f"36 downstream; `300`: 300 bp, 249 upstream and 50 downstream, as in GUE. {told}".strip(),
        task_categories=["text-classification"],
        labels=_LABELS,
        splits=f"By chromosome: validation {', '.join(options.validation_chromosomes) or 'none'}; "
        f"test {', '.join(options.test_chromosomes) or 'none'}; a negative is in the split of its promoter. "
        f"{_STRADDLING}",
        negatives=genomic if options.negatives == "genomic" else mosaic,
        tags=["promoter"],
        sources=[public_source(source)] if source else [],
    )
