"""The world as files: peaks, binding, genes, variants, and the truth tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from modeling_genebert.dna_genebert import UNKNOWN_BASE

from . import annotation, peaks, variants
from .genome import REGION_WIDTH
from .world import World
from .writers import write_lines, write_table


ATAC_PEAK_WIDTH, CHIP_PEAK_WIDTH = 400.0, 260.0  # bp, median
CHIP_NOISE_PEAKS = 1  # per chromosome, TF and cell type


def export_peaks(folder: Path, world: World, rng: np.random.Generator) -> None:
    """Write `peaks/<cell_type>.narrowPeak.gz`: one peak for each open region, and some noise between the regions."""
    (folder / "peaks").mkdir()
    for column, cell_type in enumerate(world.oracle.cell_types):
        rows = np.flatnonzero(world.is_open[:, column])
        jitter = rng.normal(0, peaks.SUMMIT_JITTER, size=len(rows)).clip(-peaks.MAX_JITTER, peaks.MAX_JITTER)
        offsets = REGION_WIDTH // 2 + jitter.astype(np.int64)
        found = _region_peaks(world, rows, offsets, world.noisy_logits[rows, column], ATAC_PEAK_WIDTH, rng)
        noise_counts = {
            chrom: int(rng.binomial(sum(peak.chrom == chrom for peak in found), peaks.NOISE_PEAK_SHARE))
            for chrom in world.chromosomes
        }
        found += _noise_peaks(world, noise_counts, ATAC_PEAK_WIDTH, rng)
        lines = peaks.narrow_peak_lines(found, list(world.chromosomes), cell_type)
        write_lines(folder / "peaks" / f"{cell_type}.narrowPeak.gz", lines)


def export_binding(folder: Path, world: World, rng: np.random.Generator) -> None:
    """Write `tf_binding/<TF>.<cell_type>.narrowPeak.gz`, summits at the best site, and `truth/binding.tsv`."""
    (folder / "tf_binding").mkdir()
    cell_types, names = world.oracle.cell_types, world.oracle.tf_names
    # Of several sites the strongest is written last, and stays.
    order = np.argsort(world.sites.strength, kind="stable")
    site_rows, site_tfs = world.sites.sequence[order], world.sites.tf[order]
    centres = np.zeros(world.best_strengths.shape, dtype=np.int64)
    centres[site_rows, site_tfs] = world.sites.start[order] + world.oracle.widths[site_tfs] // 2

    for tf in world.binding_tfs:
        for column, cell_type in enumerate(cell_types):
            rows = np.flatnonzero(world.binding[:, tf, column] > 0)
            offsets = centres[rows, tf] + rng.normal(0, peaks.BINDING_JITTER, size=len(rows)).astype(np.int64)
            found = _region_peaks(world, rows, offsets, world.binding[rows, tf, column], CHIP_PEAK_WIDTH, rng)
            found += _noise_peaks(world, dict.fromkeys(world.chromosomes, CHIP_NOISE_PEAKS), CHIP_PEAK_WIDTH, rng)
            lines = peaks.narrow_peak_lines(found, list(world.chromosomes), f"{names[tf]}.{cell_type}")
            write_lines(folder / "tf_binding" / f"{names[tf]}.{cell_type}.narrowPeak.gz", lines)

    columns = [f"{value}_{cell_type}" for value in ("score", "bound") for cell_type in cell_types]
    write_table(
        folder / "truth" / "binding.tsv",
        ["region", "tf", "strength", *columns],
        (
            [row, names[tf], world.best_strengths[row, tf], *world.binding[row, tf], *(world.binding[row, tf] > 0)]
            for tf in world.binding_tfs
            for row in np.flatnonzero(world.best_strengths[:, tf] > 0).tolist()
        ),
    )


def _region_peaks(
    world: World, rows: np.ndarray, offsets: np.ndarray, strengths: np.ndarray, width: float, rng: np.random.Generator
) -> list[peaks.Peak]:
    """Peaks in the regions `rows`, with summits at `offsets` bp from the regions' starts."""
    chrom_lengths = world.chrom_lengths
    found = []
    for row, offset, strength in zip(rows.tolist(), offsets.tolist(), strengths.tolist(), strict=True):
        chrom = world.region_chroms[row]
        summit = int(world.region_starts[row]) + offset
        found.append(peaks.draw_peak(chrom, summit, strength, width, chrom_lengths[chrom], rng))
    return found


def _noise_peaks(world: World, counts: dict[str, int], width: float, rng: np.random.Generator) -> list[peaks.Peak]:
    """Weak peaks between the regions, so many on each chromosome."""
    found = []
    for chrom, codes in world.chromosomes.items():
        summits = peaks.noise_summits(world.starts_on(chrom), codes == UNKNOWN_BASE, counts[chrom], rng)
        found += [peaks.draw_peak(chrom, summit, 0.0, width, len(codes), rng) for summit in summits.tolist()]
    return found


def export_genes(folder: Path, world: World) -> None:
    """Write `genes.gtf`, `promoters.bed` and `truth/splice_sites.tsv`."""
    write_lines(folder / "genes.gtf", annotation.gtf_lines(world.genes))
    write_lines(folder / "promoters.bed", annotation.promoter_lines(world.genes, world.chrom_lengths))
    columns = ["gene_id", "site", "chrom", "position", "strand", "score"]
    write_table(folder / "truth" / "splice_sites.tsv", columns, annotation.splice_site_rows(world.genes))


def export_variants(folder: Path, world: World, num_variants: int, rng: np.random.Generator) -> None:
    """Write `variants.vcf` and `truth/variants.tsv`."""
    drawn = variants.draw_variants(
        num_variants,
        world.chromosomes,
        world.region_chroms,
        world.region_starts,
        world.sites,
        world.oracle.widths,
        rng,
    )
    reference, alternate = variants.variant_effects(drawn, world.chromosomes, world.region_starts, world.oracle)
    cell_types = world.oracle.cell_types
    lines = variants.vcf_lines(drawn, reference, alternate, cell_types, world.chrom_lengths)
    write_lines(folder / "variants.vcf", lines)
    write_table(
        folder / "truth" / "variants.tsv",
        ["id", "chrom", "position", "ref", "alt", "region", *[f"effect_{name}" for name in cell_types]],
        (
            [variants.variant_id(number), *variant, *effect]
            for number, (variant, effect) in enumerate(zip(drawn, alternate - reference, strict=True), start=1)
        ),
    )


def export_model_truth(folder: Path, world: World) -> None:
    """Write `truth/tf_activities.tsv` and `truth/grammar.tsv`, from which the oracle is loaded again."""
    oracle = world.oracle
    # Activities and bonuses are multiples of 1/64, so six decimals hold them exactly.
    write_table(
        folder / "truth" / "tf_activities.tsv",
        ["tf", "motif_id", "role", *oracle.cell_types],
        (
            [name, world.bank.ids[world.bank.names.index(name)]]
            + ["specific" if tf < world.num_specific else "ubiquitous", *oracle.activities[tf]]
            for tf, name in enumerate(oracle.tf_names)
        ),
    )
    write_table(
        folder / "truth" / "grammar.tsv",
        ["rule", "first", "second", "same_strand", "spacing", "bonus"],
        (
            [number, rule.first, rule.second, rule.same_strand, rule.spacing, rule.bonus]
            for number, rule in enumerate(oracle.rules)
        ),
    )


def export_region_truth(folder: Path, world: World) -> None:
    """Write `truth/regions.tsv` and `truth/sites.tsv`."""
    accessibility = 1 / (1 + np.exp(-world.noisy_logits))
    places = list(zip(world.regions, world.region_chroms, world.region_starts.tolist(), strict=True))
    values = [f"{value}_{name}" for value in ("logit", "accessibility", "open") for name in world.oracle.cell_types]
    write_table(
        folder / "truth" / "regions.tsv",
        ["region", "chrom", "start", "end", "kind", "strand", *values],
        (
            [row, chrom, start, start + REGION_WIDTH, region.kind, region.strand]
            + [*world.logits[row], *accessibility[row], *world.is_open[row]]
            for row, (region, chrom, start) in enumerate(places)
        ),
    )
    ids, names, widths = world.bank.ids, world.bank.names, [len(counts) for counts in world.bank.counts]
    write_table(
        folder / "truth" / "sites.tsv",
        ["region", "motif_id", "tf", "chrom", "start", "end", "strand", "rule"],
        (
            [row, ids[site.motif], names[site.motif], chrom, start + site.start]
            + [start + site.start + widths[site.motif], "+" if site.strand > 0 else "-", site.rule]
            for row, (region, chrom, start) in enumerate(places)
            for site in region.sites
        ),
    )
