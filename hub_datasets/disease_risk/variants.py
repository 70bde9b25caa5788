"""Variants of a VCF as rows: windows of both alleles, and a label from the INFO column."""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..genome import Genome
from ..vcf import Variant, VcfCounts, allele_windows, read_vcf
from .options import DiseaseRiskOptions


BENIGN, PATHOGENIC = "benign", "pathogenic"

# Terms of ClinVar's CLNSIG (lower case), joined there by "/", "|" or ",". A variant is used where those of its terms
# that speak of disease agree; a term that is in neither set (uncertain, conflicting, ...) leaves it out.
CLNSIG_LABELS = {
    "benign": BENIGN,
    "likely_benign": BENIGN,
    "pathogenic": PATHOGENIC,
    "likely_pathogenic": PATHOGENIC,
}
# Terms that are set beside the others and say nothing about them.
CLNSIG_ADDITIONS = {
    *("drug_response", "confers_sensitivity", "risk_factor", "protective", "affects", "other", "not_provided"),
    *("association", "association_not_found"),
}

NO_LABEL = "no label: INFO has no"
OTHER_LABEL = "label left out:"
REPEATED = "variant comes again"
CONTRADICTORY = "variant comes with two labels"
UNCHANGED_WINDOW = "both alleles give the same window (an indel in a long repeat, or at the chromosome's end)"


def significance_label(value: str) -> str | None:
    """Benign or pathogenic, from ClinVar's CLNSIG; None where it is uncertain, conflicting or of another kind.

    Examples: `Likely_benign` and `Benign/Likely_benign` are benign, `Pathogenic|drug_response` is pathogenic;
    `Uncertain_significance`, `Conflicting_classifications_of_pathogenicity`, `risk_factor`, and
    `Pathogenic,_low_penetrance` are neither.
    """
    terms = {term.strip("_") for term in re.split("[/|,]", value.lower())}
    labels = {CLNSIG_LABELS.get(term) for term in terms - CLNSIG_ADDITIONS}
    return labels.pop() if len(labels) == 1 else None


def read_labelled_variants(
    vcf: str | Path, genome: Genome, options: DiseaseRiskOptions
) -> tuple[list[Variant], list[Any], VcfCounts]:
    """The variants of a VCF that have a label, each once, in file order.

    Args:
        vcf: the file.
        genome: the one its variants were called on.
        options: which INFO field is the label, and what its values mean.

    Returns:
        Variants; their labels: names, or numbers with `options.regression`; and what was read and skipped.

    Raises:
        ValueError: the file is not a VCF or does not fit the genome, or no variant has a label.
    """
    name = options.label_field
    label_of_value = options.label_of_value
    if not label_of_value and not options.regression and name != "CLNSIG":
        raise ValueError(
            f"label_field={name!r}: say what its values mean with label_values, or that it is a number with regression"
        )
    counts = VcfCounts()
    found: dict[tuple[str, int, str, str], tuple[Variant, Any]] = {}
    contradictory: set[tuple[str, int, str, str]] = set()
    seen_values: Counter[str] = Counter()
    for variant in read_vcf(vcf, genome, counts, max_allele_length=options.window_width):
        where = f"{Path(vcf).name}:{variant.line}: {variant}"  # goes into a report that travels
        value = variant.info.get(name)
        if value is None:
            counts.skip(f"{NO_LABEL} {name}", where)
            continue
        label: Any
        if options.regression:
            label = _number(value)
        else:
            label = label_of_value.get(value) if label_of_value else significance_label(value)
        if label is None:
            seen_values[value] += 1
            counts.skip(f"{OTHER_LABEL} {name} is {value if not options.regression else 'not a number'}", where)
            continue
        key = (variant.chrom, variant.position, variant.ref, variant.alt)
        if key in contradictory:
            counts.skip(CONTRADICTORY, where)
        elif key not in found:
            found[key] = (replace(variant, info={}), label)  # INFO is long, and ClinVar has millions of records
        elif found[key][1] == label:
            counts.skip(REPEATED, where)
        else:
            first = found.pop(key)[0]
            contradictory.add(key)
            counts.skip(CONTRADICTORY, f"{Path(vcf).name}:{first.line}: {first}")
            counts.skip(CONTRADICTORY, where)
    counts.check_build(vcf, genome)
    if not found:
        values = ", ".join(value for value, _ in seen_values.most_common(5))
        found_values = f"; {name} is {values}" if values else ""
        raise ValueError(f"{vcf}: no variant with a label in {counts.records} records{found_values}{counts.reasons()}")
    variants, labels = zip(*found.values(), strict=True)
    return list(variants), list(labels), counts


def variant_columns(variants: list[Variant], genome: Genome, width: int, counts: VcfCounts) -> dict[str, list[Any]]:
    """The columns `sequence`, `alt_sequence`, `chrom`, `start`, `end` (of the reference window) and `id`, and `row`.

    `row` is the number of the variant in the list: those whose windows do not differ are left out and counted. Where
    several variants have one id, such as the alternate alleles of one record, the variant is added to it.
    """
    times = Counter(variant.id for variant in variants)
    names = ("sequence", "alt_sequence", "chrom", "start", "end", "id", "row")
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for row, variant in enumerate(variants):
        sequence, alt_sequence, start, end = allele_windows(genome, variant, width)
        if sequence == alt_sequence:
            counts.skip(UNCHANGED_WINDOW, str(variant))
            continue
        name = variant.id if times[variant.id] == 1 else f"{variant.id}:{variant}"
        values = (sequence, alt_sequence, variant.chrom, start, end, name, row)
        for column, value in zip(columns.values(), values, strict=True):
            column.append(value)
    return columns


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
