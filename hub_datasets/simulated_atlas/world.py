"""The simulated world in memory: who acts where, the genome, and what is open and bound in each cell type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from modeling_genebert.motifs_genebert import MotifBank

from .annotation import Gene, draw_genes
from .genome import REGION_WIDTH, draw_chromosome, place_regions
from .grammar import TSS_OFFSET, Region, RegionComposer, draw_activities, draw_rules
from .motifs import atlas_motifs, gc_content
from .oracle import AccessibilityOracle, Sites, on_grid


NOISE_DEVIATION = 0.75  # of the logit, independent for each region and cell type


@dataclass
class World:
    """Everything that the files tell. N regions, T acting TFs, C cell types.

    Args:
        bank: all motifs, decoys included.
        num_specific: how many of the acting TFs are cell-type-specific; they come first, the ubiquitous ones last.
        chromosomes: name -> uint8 base codes, in genome order.
        regions: the N composed regions, in genome order.
        region_chroms, region_starts: their chromosomes and starts (0-based).
        genes: the genes, in genome order.
        oracle: the rule that made `logits`.
        logits: accessibility logits without noise, shape `(N, C)`.
        noisy_logits: with noise; a region is open where they are above 0.
        sites: the sites that the oracle finds in the regions.
        best_strengths: strength of the best site of each TF in each region, shape `(N, T)`.
        binding: binding scores, shape `(N, T, C)`; a TF is bound where they are above 0.
        binding_tfs: indices of the TFs with ChIP-seq.
    """

    bank: MotifBank
    num_specific: int
    chromosomes: dict[str, np.ndarray]
    regions: list[Region]
    region_chroms: list[str]
    region_starts: np.ndarray
    genes: list[Gene]
    oracle: AccessibilityOracle
    logits: np.ndarray
    noisy_logits: np.ndarray
    sites: Sites
    best_strengths: np.ndarray
    binding: np.ndarray
    binding_tfs: list[int]

    @property
    def is_open(self) -> np.ndarray:
        """Whether each region is open in each cell type, bool of shape `(N, C)`."""
        return self.noisy_logits > 0

    @property
    def chrom_lengths(self) -> dict[str, int]:
        """Chromosome name -> length in bp, in genome order."""
        return {chrom: len(codes) for chrom, codes in self.chromosomes.items()}

    def starts_on(self, chrom: str) -> np.ndarray:
        """Starts of the regions of one chromosome, in rising order."""
        return self.region_starts[np.array(self.region_chroms) == chrom]


def draw_world(parameters: dict[str, Any], rng: np.random.Generator) -> World:
    """Draw the world. `parameters` are the arguments of `simulate_atlas`."""
    num_specific, num_ubiquitous = parameters["num_specific_tfs"], parameters["num_ubiquitous_tfs"]
    cell_types = [f"sim{number:02d}" for number in range(1, parameters["num_cell_types"] + 1)]

    # Who acts where, and who works with whom. Promoters are rich in G and C, and so are their TFs' motifs.
    bank = atlas_motifs(parameters["num_motifs"])
    by_gc = sorted(range(len(bank)), key=lambda row: -gc_content(bank.counts[row]))
    ubiquitous = by_gc[:num_ubiquitous]
    others = rng.permutation(by_gc[num_ubiquitous:]).tolist()
    specific, decoys = others[:num_specific], others[num_specific:]
    tf_names = [bank.names[row] for row in specific + ubiquitous]
    activities = draw_activities(num_specific, num_ubiquitous, parameters["num_active_tfs"], len(cell_types), rng)
    rules = draw_rules(tf_names[:num_specific], rng)

    # The genome: background, the regions in it, and genes that leave the regions as they are.
    chromosomes = {
        f"chr{number}": draw_chromosome(parameters["chromosome_length"], rng)
        for number in range(1, parameters["num_chromosomes"] + 1)
    }
    placed = {chrom: place_regions(codes, rng) for chrom, codes in chromosomes.items()}
    region_chroms = [chrom for chrom, starts in placed.items() for _ in starts]
    region_starts = np.concatenate(list(placed.values()))
    composer = RegionComposer(bank, specific, ubiquitous, decoys, rules, rng)
    regions = composer.compose(len(region_starts))
    for region, chrom, start in zip(regions, region_chroms, region_starts, strict=True):
        chromosomes[chrom][start : start + REGION_WIDTH] = region.codes
    genes = []
    for chrom, codes in chromosomes.items():
        promoters = [
            (int(start) + (TSS_OFFSET if region.strand == "+" else TSS_OFFSET - 1), region.strand, region.has_tata)
            for region, region_chrom, start in zip(regions, region_chroms, region_starts, strict=True)
            if region.kind == "promoter" and region_chrom == chrom
        ]
        genes += draw_genes(chrom, codes, placed[chrom], promoters, rng)

    # What is open and bound. The intercept is chosen so that the wanted share is open.
    oracle = AccessibilityOracle(bank, tf_names, cell_types, activities, rules, intercept=0.0)
    sequences = [region.codes for region in regions]
    logits = oracle.logits(sequences)
    noise = rng.normal(0, NOISE_DEVIATION, size=logits.shape)
    oracle.intercept = float(on_grid(-np.quantile(logits + noise, 1 - parameters["open_share"]), bits=10))
    logits += oracle.intercept
    sites = oracle.find_sites(sequences)
    best_strengths = oracle.best_strengths(sites, len(sequences))

    # TFs that are active in about half of the cell types say most about a cell type.
    share_active = (activities[:num_specific] > 0).mean(axis=1)
    binding_tfs = np.abs(share_active - 0.5).argsort(kind="stable")[: parameters["num_binding_tfs"]].tolist()

    return World(
        bank=bank,
        num_specific=num_specific,
        chromosomes=chromosomes,
        regions=regions,
        region_chroms=region_chroms,
        region_starts=region_starts,
        genes=genes,
        oracle=oracle,
        logits=logits,
        noisy_logits=logits + noise,
        sites=sites,
        best_strengths=best_strengths,
        binding=oracle.binding_from(best_strengths, logits + noise),
        binding_tfs=binding_tfs,
    )
