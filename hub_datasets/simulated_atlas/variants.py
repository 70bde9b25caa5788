"""Variants with known effect: the change of the oracle's logit when the allele is exchanged."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modeling_genebert.dna_genebert import decode_dna

from .genome import REGION_WIDTH
from .oracle import AccessibilityOracle, Sites


INDEL_SHARE = 0.15
MAX_INDEL = 4  # bp
IN_SITE_SHARE = 0.5  # of the variants change a base of a site; the others lie anywhere in a region
EDGE = 20  # bp at both ends of a region without variants
PATHOGENIC, BENIGN = 0.5, 0.05  # |change of the logit|, at least and at most, for CLNSIG


class Variant(NamedTuple):
    """One variant: `position` of the first base of `ref` in its region's chromosome (0-based), and its region."""

    chrom: str
    position: int
    ref: str
    alt: str
    region: int


def draw_variants(
    num_variants: int,
    genome: dict[str, np.ndarray],
    region_chroms: list[str],
    region_starts: np.ndarray,
    sites: Sites,
    widths: np.ndarray,
    rng: np.random.Generator,
) -> list[Variant]:
    """Draw variants inside regions, at most one at a position, sorted by region and position.

    Args:
        num_variants: number of variants wanted.
        genome: chromosome name -> base codes.
        region_chroms, region_starts: chromosome and start of each region.
        sites: sites found in the regions.
        widths: width of each TF's motif.
        rng: source of randomness.

    Raises:
        ValueError: there is no room for so many variants.
    """
    most = len(region_starts) * (REGION_WIDTH - 2 * EDGE) // 4  # so that free places are found without a long search
    if num_variants > most:
        raise ValueError(f"num_variants={num_variants}: there is room for {most} in {len(region_starts)} regions")
    found: dict[tuple[str, int], Variant] = {}
    while len(found) < num_variants:
        if rng.random() < IN_SITE_SHARE and len(sites.start):
            site = rng.integers(len(sites.start))
            region = int(sites.sequence[site])
            offset = int(sites.start[site] + rng.integers(widths[sites.tf[site]]))
        else:
            region = int(rng.integers(len(region_starts)))
            offset = int(rng.integers(EDGE, REGION_WIDTH - EDGE))
        chrom, region_start = region_chroms[region], int(region_starts[region])
        position, ref, alt = _draw_allele(genome[chrom], region_start + offset, rng)
        inside = position - region_start >= EDGE and position + len(ref) <= region_start + REGION_WIDTH - EDGE
        if inside and (chrom, position) not in found:
            found[chrom, position] = Variant(chrom, position, ref, alt, region)
    return sorted(found.values(), key=lambda variant: (variant.region, variant.position))


def _draw_allele(codes: np.ndarray, position: int, rng: np.random.Generator) -> tuple[int, str, str]:
    """Position, REF and ALT of a variant that changes the base at `position`; indels left-aligned as VCF asks."""
    if rng.random() >= INDEL_SHARE:
        base = int(codes[position])
        other = int(rng.choice([code for code in range(4) if code != base]))
        return position, decode_dna(codes[position : position + 1]), decode_dna(np.array([other]))
    length = int(rng.integers(1, MAX_INDEL + 1))
    anchor = position - 1
    if rng.random() < 0.5:
        ref, alt = codes[anchor : position + length], codes[anchor:position]
    else:
        inserted = rng.integers(0, 4, size=length).astype(np.uint8)
        ref, alt = codes[anchor:position], np.concatenate([codes[anchor:position], inserted])
    while ref[-1] == alt[-1] and anchor > 0 and codes[anchor - 1] < 4:
        anchor -= 1
        before = codes[anchor : anchor + 1]
        ref, alt = np.concatenate([before, ref[:-1]]), np.concatenate([before, alt[:-1]])
    return anchor, decode_dna(ref), decode_dna(alt)


def variant_effects(
    variants: list[Variant], genome: dict[str, np.ndarray], region_starts: np.ndarray, oracle: AccessibilityOracle
) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the regions with REF and with ALT, float64 arrays of shape `(num_variants, num_cell_types)` each.

    The oracle reads the region's 500 bp with the allele exchanged, so an indel makes it longer or shorter.
    """
    reference, alternate = [], []
    for variant in variants:
        start = int(region_starts[variant.region])
        region = decode_dna(genome[variant.chrom][start : start + REGION_WIDTH])
        offset = variant.position - start
        reference.append(region)
        alternate.append(region[:offset] + variant.alt + region[offset + len(variant.ref) :])
    return oracle.logits(reference), oracle.logits(alternate)


def vcf_lines(
    variants: list[Variant],
    reference: np.ndarray,
    alternate: np.ndarray,
    cell_types: list[str],
    chrom_lengths: dict[str, int],
) -> list[str]:
    """VCF 4.2 lines. EFFECT is the change in the cell type that changes most (where none does: the most open one)."""
    lines = [
        "##fileformat=VCFv4.2",
        "##source=simulated_atlas",
        *[f"##contig=<ID={chrom},length={length}>" for chrom, length in chrom_lengths.items()],
        '##INFO=<ID=EFFECT,Number=1,Type=Float,Description="Change of the accessibility logit (natural logarithm), '
        'ALT minus REF, in CELLTYPE">',
        '##INFO=<ID=CELLTYPE,Number=1,Type=String,Description="Cell type of EFFECT: the one that changes most">',
        '##INFO=<ID=CLNSIG,Number=1,Type=String,Description="'
        f'Pathogenic: |EFFECT| at least {PATHOGENIC}; Benign: at most {BENIGN}; else Uncertain_significance">',
        '##INFO=<ID=CLNVC,Number=1,Type=String,Description="Variant class as ClinVar names it">',
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO",
    ]
    effects = alternate - reference
    for number, (variant, effect, logits) in enumerate(zip(variants, effects, reference, strict=True), start=1):
        strongest = int(np.abs(effect).argmax() if effect.any() else logits.argmax())
        size = abs(effect[strongest])
        significance = "Pathogenic" if size >= PATHOGENIC else "Benign" if size <= BENIGN else "Uncertain_significance"
        lines.append(
            f"{variant.chrom}\t{variant.position + 1}\t{variant_id(number)}\t{variant.ref}\t{variant.alt}\t.\t.\t"
            f"EFFECT={effect[strongest]:.6f};CELLTYPE={cell_types[strongest]};CLNSIG={significance};"
            f"CLNVC={_variant_class(variant)}"
        )
    return lines


def variant_id(number: int) -> str:
    """Id of the variant with this number, counted from 1, in the VCF and in the truth."""
    return f"simv{number:06d}"


def _variant_class(variant: Variant) -> str:
    if len(variant.ref) == len(variant.alt):
        return "single_nucleotide_variant"
    return "Deletion" if len(variant.ref) > len(variant.alt) else "Insertion"
