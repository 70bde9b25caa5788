"""Genes downstream of promoters: exons, introns with splice signals, GTF and BED lines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from modeling_genebert.dna_genebert import UNKNOWN_BASE, reverse_complement

from .genome import REGION_WIDTH
from .motifs import COLUMNS_OF_CODES


MAX_EXONS = 8
MEDIAN_EXON, MEDIAN_INTRON = 140, 900  # bp
FIRST_EXON = (300, 420)  # bp: ends outside the promoter region, whose sequence stays as composed
MIN_INTRON = 80
SKIPPING_SHARE = 0.4  # of genes with three exons or more have a second transcript without the weakest inner exon
GENE_MARGIN = 60  # bp between an exon and a region or a run of N: room for splice signals
PROMOTER_WIDTH = 300  # bp, centred on the TSS

# Probabilities of A, C, G, T around human splice sites, after Burge and Karlin (1997). Donor: the last 3 bases of the
# exon and the first 6 of the intron. Acceptor: the last 20 bases of the intron and the first of the exon.
DONOR = np.array(
    [
        [0.33, 0.37, 0.18, 0.12],
        [0.60, 0.13, 0.12, 0.15],
        [0.08, 0.04, 0.81, 0.07],
        [0.00, 0.00, 1.00, 0.00],
        [0.00, 0.00, 0.00, 1.00],
        [0.49, 0.03, 0.45, 0.03],
        [0.71, 0.07, 0.12, 0.10],
        [0.06, 0.05, 0.84, 0.05],
        [0.15, 0.19, 0.20, 0.46],
    ]
)
DONOR_EXON_BASES = 3
_TRACT, _ANY = [0.11, 0.31, 0.12, 0.46], [0.25, 0.28, 0.22, 0.25]
ACCEPTOR = np.array(
    [
        *[_TRACT] * 16,
        _ANY,
        [0.05, 0.65, 0.01, 0.29],
        [1.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 1.0, 0.0],
        [0.25, 0.14, 0.50, 0.11],
    ]
)
ACCEPTOR_EXON_BASES = 1


@dataclass
class Gene:
    """One gene. Exons are intervals of distance from the TSS along the gene's strand: half-open, in bp, TSS = 0.

    Args:
        chrom, tss, strand: chromosome, position of the first transcribed base (0-based), "+" or "-".
        has_tata: whether its promoter has a TATA box.
        exons: all exons.
        transcripts: for each transcript the indices of its exons; the first has them all.
        donor_scores, acceptor_scores: log-odds in bits of the splice sites behind exon i and before exon i + 1.
    """

    chrom: str
    tss: int
    strand: str
    has_tata: bool
    exons: list[tuple[int, int]]
    transcripts: list[list[int]]
    donor_scores: list[float]
    acceptor_scores: list[float]

    def interval(self, begin: int, end: int) -> tuple[int, int]:
        """Interval on the chromosome (0-based, half-open) of an interval of distance from the TSS."""
        if self.strand == "+":
            return self.tss + begin, self.tss + end
        return self.tss - end + 1, self.tss - begin + 1


def draw_genes(
    chrom: str,
    codes: np.ndarray,
    region_starts: np.ndarray,
    promoters: list[tuple[int, str, bool]],
    rng: np.random.Generator,
) -> list[Gene]:
    """Draw a gene downstream of each promoter, and write its splice signals into `codes`, outside of all regions.

    A gene ends before the middle of the way to the next promoter, and before a run of N, so that genes never overlap.

    Args:
        chrom: chromosome.
        codes: its base codes; changed in place.
        region_starts: starts of the chromosome's regions.
        promoters: `(tss, strand, has_tata)` in rising order of TSS.
        rng: source of randomness.
    """
    taken = codes == UNKNOWN_BASE
    unknown = np.flatnonzero(taken)
    for start in region_starts:
        taken[start : start + REGION_WIDTH] = True
    positions = [tss for tss, _, _ in promoters]
    genes = []
    for index, (tss, strand, has_tata) in enumerate(promoters):
        if strand == "+":
            limits = [len(codes), *unknown[unknown > tss][:1].tolist()]
            limits += [(tss + following) // 2 for following in positions[index + 1 : index + 2]]
            reach = min(limits) - tss - GENE_MARGIN
        else:
            limits = [-1, *unknown[unknown < tss][-1:].tolist()]
            limits += [(tss + previous) // 2 for previous in positions[:index][-1:]]
            reach = tss - max(limits) - GENE_MARGIN
        gene = Gene(chrom, tss, strand, has_tata, [], [], [], [])
        gene.exons = _draw_exons(gene, reach, taken, rng)
        _write_splice_sites(gene, codes, rng)
        gene.transcripts = [list(range(len(gene.exons)))]
        if len(gene.exons) >= 3 and rng.random() < SKIPPING_SHARE:
            # Exon i has acceptor i - 1 before it and donor i behind it.
            strengths = np.add(gene.acceptor_scores[:-1], gene.donor_scores[1:])
            weakest = int(strengths.argmin()) + 1
            gene.transcripts.append([exon for exon in gene.transcripts[0] if exon != weakest])
        genes.append(gene)
    return genes


def _draw_exons(gene: Gene, reach: int, taken: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Exons within `reach` bp from the TSS, those behind the first clear of all bases `taken`."""
    exons = [(0, min(int(rng.integers(*FIRST_EXON)), reach))]
    num_exons = rng.integers(1, MAX_EXONS + 1)
    while len(exons) < num_exons:
        length = max(30, int(MEDIAN_EXON * np.exp(rng.normal(0, 0.5))))
        begin = exons[-1][1] + MIN_INTRON + int(MEDIAN_INTRON * np.exp(rng.normal(0, 0.8)))
        while begin + length <= reach:
            start, end = gene.interval(begin - GENE_MARGIN, begin + length + GENE_MARGIN)
            if not taken[start:end].any():
                break
            begin += 50
        else:
            break
        exons.append((begin, begin + length))
    return exons


def _write_splice_sites(gene: Gene, codes: np.ndarray, rng: np.random.Generator) -> None:
    for (_, donor), (acceptor, _) in pairwise(gene.exons):
        for position, probabilities, scores in (
            (donor - DONOR_EXON_BASES, DONOR, gene.donor_scores),
            (acceptor - len(ACCEPTOR) + ACCEPTOR_EXON_BASES, ACCEPTOR, gene.acceptor_scores),
        ):
            by_code = probabilities[:, COLUMNS_OF_CODES]
            site = (rng.random((len(by_code), 1)) > by_code.cumsum(axis=1)[:, :3]).sum(axis=1).astype(np.uint8)
            start, end = gene.interval(position, position + len(site))
            codes[start:end] = site if gene.strand == "+" else reverse_complement(site)
            scores.append(float(np.log2(by_code[np.arange(len(site)), site] / 0.25).sum()))


def gtf_lines(genes: list[Gene]) -> list[str]:
    """GTF lines (1-based, closed) as Ensembl writes them: gene, transcript and exon features."""
    lines = ["#!genome-build simulated_atlas"]
    num_transcripts = 0
    for number, gene in enumerate(genes, start=1):
        gene_tags = f'gene_id "{gene_id(number)}"; gene_name "SIM{number}"; gene_biotype "protein_coding";'
        lines.append(_gtf_line(gene, "gene", 0, gene.exons[-1][1], gene_tags))
        for exon_indices in gene.transcripts:
            num_transcripts += 1
            transcript_id = f"SIMT{num_transcripts:011d}"
            tags = f'{gene_tags} transcript_id "{transcript_id}"; transcript_biotype "protein_coding";'
            lines.append(_gtf_line(gene, "transcript", 0, gene.exons[exon_indices[-1]][1], tags))
            for exon_number, index in enumerate(exon_indices, start=1):
                exon_tags = f'{tags} exon_number "{exon_number}"; exon_id "SIME{number:06d}{index + 1:05d}";'
                lines.append(_gtf_line(gene, "exon", *gene.exons[index], exon_tags))
    return lines


def _gtf_line(gene: Gene, feature: str, begin: int, end: int, tags: str) -> str:
    start, stop = gene.interval(begin, end)
    return f"{gene.chrom}\tsimulated_atlas\t{feature}\t{start + 1}\t{stop}\t.\t{gene.strand}\t.\t{tags}"


def gene_id(number: int) -> str:
    """Ensembl-like id of the gene with this number, counted from 1."""
    return f"SIMG{number:011d}"


def promoter_lines(genes: list[Gene], chrom_lengths: dict[str, int]) -> list[str]:
    """BED6 lines (0-based, half-open) of 300 bp centred on each TSS; the name ends in `_TATA` or `_nonTATA`."""
    lines = []
    for number, gene in enumerate(genes, start=1):
        start = max(0, gene.tss - PROMOTER_WIDTH // 2)
        end = min(chrom_lengths[gene.chrom], gene.tss + PROMOTER_WIDTH // 2)
        name = f"{gene_id(number)}_{'TATA' if gene.has_tata else 'nonTATA'}"
        lines.append(f"{gene.chrom}\t{start}\t{end}\t{name}\t1000\t{gene.strand}")
    return lines


def splice_site_rows(genes: list[Gene]) -> list[list]:
    """Rows of `truth/splice_sites.tsv`; a site's position is the first or last base of its intron, 0-based."""
    rows: list[list] = []
    for number, gene in enumerate(genes, start=1):
        for index, (donor_score, acceptor_score) in enumerate(
            zip(gene.donor_scores, gene.acceptor_scores, strict=True)
        ):
            first, last = gene.exons[index][1], gene.exons[index + 1][0] - 1
            for kind, distance, score in (("donor", first, donor_score), ("acceptor", last, acceptor_score)):
                position = gene.interval(distance, distance + 1)[0]
                rows.append([gene_id(number), kind, gene.chrom, position, gene.strand, score])
    return rows
