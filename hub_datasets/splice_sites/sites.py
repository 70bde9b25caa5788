"""Splice sites of annotated transcripts, and decoys: GT and AG in the same genes that no transcript uses.

The position of a site is a base of its intron, 0-based: the first one for a donor (the G of GT), the last one for an
acceptor (the G of AG), in the direction of transcription.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from modeling_genebert.dna_genebert import encode_dna, reverse_complement

from ..genome import Genome, name_some, naming_hint
from .options import SpliceSiteOptions


LABELS = ("acceptor", "donor", "neither")  # in the order of GUE's labels 0, 1, 2
BASE_LABELS = ("neither", "acceptor", "donor")  # per base; metrics take the first for the background
ACCEPTOR, DONOR, NEITHER = range(3)
DINUCLEOTIDES = {ACCEPTOR: "AG", DONOR: "GT"}
_STRAND_AND_LABEL = ["chrom", "strand", "label"]
_ORDER = ["chrom", "position", "strand", "label"]


def keep_spliced(exons: pd.DataFrame, genome: Genome) -> tuple[pd.DataFrame, dict[str, int]]:
    """The exons that introns can be read from.

    Args:
        exons: as `read_exons` gives them.
        genome: whose chromosomes count.

    Returns:
        Those exons, sorted by transcript and place, with a column `transcript` that numbers the transcripts (one
        transcript id on two chromosomes, as of genes that X and Y share, counts as two). And what was left out:
        reason -> number.

    Raises:
        ValueError: no exon is on a chromosome of the genome.
    """
    left_out = {}
    known = exons["chrom"].isin(genome.chromosomes)
    if not known.any():
        names = exons["chrom"].unique().tolist()
        raise ValueError(
            f"{genome.path}: none of the exons' chromosomes ({name_some(names)}) is in the genome, which has "
            f"{name_some(genome.chromosomes)}{naming_hint(names, genome.chromosomes)}"
        )
    left_out["exons: chromosome not in the genome"] = int((~known).sum())
    exons = exons[known]
    has_strand = exons["strand"].isin(["+", "-"])
    left_out["exons: strand unknown"] = int((~has_strand).sum())
    exons = exons[has_strand]
    repeated = exons.duplicated()
    left_out["exons: line stands twice"] = int(repeated.sum())
    exons = exons[~repeated]

    names_of_one = ["chrom", "strand", "gene_id", "transcript_id"]
    exons = exons.assign(transcript=exons.groupby(names_of_one, observed=True, sort=False).ngroup())
    exons = exons.sort_values(["transcript", "start"], kind="stable")
    follows = exons["transcript"].eq(exons["transcript"].shift())
    overlapping = exons["transcript"][follows & (exons["start"] < exons["end"].shift())].unique()
    left_out["transcripts: exons overlap"] = len(overlapping)
    return exons[~exons["transcript"].isin(overlapping)], left_out


def annotated_sites(exons: pd.DataFrame, min_intron_length: int) -> tuple[pd.DataFrame, dict[str, int]]:
    """The splice sites of all transcripts, each once; the outer ends of first and last exons are none.

    Args:
        exons: as `keep_spliced` gives them.
        min_intron_length: bp; a shorter gap between two exons is no intron (it mends a frame shift).

    Returns:
        One row a site, sorted by place, with the columns `chrom`, `position` (0-based), `strand`, `label`, `gene_id`
        (the first gene in the file of those that have it). And the number of introns left out by reason.

    Raises:
        ValueError: no transcript has an intron.
    """
    inner = exons["transcript"].eq(exons["transcript"].shift(-1)).to_numpy()
    introns = exons.assign(first=exons["end"], last=exons["start"].shift(-1, fill_value=0) - 1)[inner]
    is_long = introns["last"] - introns["first"] + 1 >= min_intron_length
    left_out = {f"introns: shorter than {min_intron_length} bp": int((~is_long).sum())}
    introns = introns[is_long]
    if introns.empty:
        raise ValueError(
            f"the annotation has no introns: found {len(exons):,} usable exons of {exons['transcript'].nunique():,} "
            "transcripts, expected transcripts of several exons (see the attribute transcript_id)"
        )
    forward = introns["strand"] == "+"
    columns = ["chrom", "position", "strand", "label", "gene_id"]
    donors = introns.assign(position=introns["first"].where(forward, introns["last"]), label=DONOR)
    acceptors = introns.assign(position=introns["last"].where(forward, introns["first"]), label=ACCEPTOR)
    # In file order, so that the first gene of the file is kept.
    sites = pd.concat([donors, acceptors])[columns].sort_index(kind="stable")
    sites = sites.drop_duplicates(_ORDER)
    return sites.sort_values(_ORDER, kind="stable", ignore_index=True), left_out


def has_dinucleotide(codes: np.ndarray, positions: np.ndarray, strand: str, label: int) -> np.ndarray:
    """Whether an intron with a donor at a position would begin with GT, or one with an acceptor there end with AG.

    Args:
        codes: base codes of the whole chromosome.
        positions: int64 of shape `(n,)`, on the chromosome; neither its first nor its last base.
        strand: "+" or "-".
        label: `DONOR` or `ACCEPTOR`.

    Returns:
        bool of shape `(n,)`.
    """
    dinucleotide = DINUCLEOTIDES[label]
    offsets = (0, 1) if label == DONOR else (-1, 0)
    if strand == "-":
        # The same two bases on the forward strand, from right to left.
        dinucleotide, offsets = reverse_complement(dinucleotide), (-offsets[1], -offsets[0])
    first, second = encode_dna(dinucleotide)
    return (codes[positions + offsets[0]] == first) & (codes[positions + offsets[1]] == second)


def border(positions: np.ndarray, strand: str, label: int) -> np.ndarray:
    """Where exon and intron meet at sites: the forward strand's first base behind the border, 0-based."""
    intron_is_right = (label == DONOR) == (strand == "+")
    return positions + (0 if intron_is_right else 1)


def is_known(start: np.ndarray, window_size: int, chrom_length: int, unknown_runs: np.ndarray) -> np.ndarray:
    """Which windows lie on the chromosome and hold A, C, G and T only: bool, one for each start."""
    end = start + window_size
    run = np.searchsorted(unknown_runs[:, 0], end, side="left") - 1  # the last that starts before the window's end
    clear = run < 0
    if len(unknown_runs):
        clear |= unknown_runs[run, 1] <= start
    return (start >= 0) & (end <= chrom_length) & clear


def check_sites(sites: pd.DataFrame, genome: Genome, window_size: int) -> pd.DataFrame:
    """The same sites with the bool columns `known` (their window is, see `is_known`) and `canonical` (GT or AG).

    A site whose window is not known is not canonical.
    """
    known, canonical = np.zeros(len(sites), dtype=bool), np.zeros(len(sites), dtype=bool)
    places = sites.groupby(["chrom", "strand", "label"], observed=True).indices
    for chrom in sites["chrom"].unique():
        length, runs = genome.chromosomes[chrom], genome.unknown_runs(chrom)
        codes = genome.codes(chrom, 0, length)
        for strand, label in product("+-", DINUCLEOTIDES):
            rows = places.get((chrom, strand, label), np.empty(0, np.int64))
            positions = sites["position"].to_numpy()[rows]
            starts = border(positions, strand, label) - window_size // 2
            known[rows] = is_known(starts, window_size, length, runs)
            rows, positions = rows[known[rows]], positions[known[rows]]
            canonical[rows] = has_dinucleotide(codes, positions, strand, label)
    return sites.assign(known=known, canonical=canonical)


def draw_decoys(
    exons: pd.DataFrame, sites: pd.DataFrame, wanted: pd.DataFrame, genome: Genome, options: SpliceSiteOptions
) -> tuple[pd.DataFrame, int]:
    """Draw GT and AG that no transcript uses, from the transcripts of the same genes, on the same strand.

    Args:
        exons: as `keep_spliced` gives them.
        sites: all annotated sites: none of them is drawn.
        wanted: the sites for which decoys are wanted: `decoy_ratio` GT for each donor, AG for each acceptor.
        genome: the genome.
        options: `window_size`, `decoy_ratio` and `seed`.

    Returns:
        Rows as of `annotated_sites` (`label` says which site it resembles), sorted by place, each window once. And how
        many more were wanted, where genes have too few.
    """
    rng = np.random.default_rng(options.seed)
    spans = _transcribed(exons)
    # By their borders: the AG before the border of a donor (AG|GT) would give the donor's own window.
    annotated: dict[tuple[str, str], np.ndarray] = {}
    for (chrom, strand, label), positions in sites.groupby(_STRAND_AND_LABEL, observed=True)["position"]:
        known = annotated.get((chrom, strand), np.empty(0, np.int64))
        annotated[chrom, strand] = np.union1d(known, border(positions.to_numpy(), strand, label))
    drawn: list[pd.DataFrame] = []
    missing = 0
    for chrom, wanted_here in wanted.groupby("chrom", observed=True, sort=False):
        length, runs = genome.chromosomes[chrom], genome.unknown_runs(chrom)
        codes = genome.codes(chrom, 0, length)
        counts = wanted_here.groupby(["strand", "gene_id", "label"], observed=True, sort=False).size()
        for (strand, gene, label), count in counts.items():
            count = int(options.decoy_ratio * count + rng.random())
            stretches = spans[chrom, strand, gene]
            positions = np.concatenate([np.arange(max(1, start), min(end, length - 1)) for start, end in stretches])
            positions = positions[has_dinucleotide(codes, positions, strand, label)]
            borders = border(positions, strand, label)
            is_whole = is_known(borders - options.window_size // 2, options.window_size, length, runs)
            first, last = np.searchsorted(annotated[chrom, strand], [stretches[0][0], stretches[-1][1] + 1])
            positions = positions[is_whole & ~np.isin(borders, annotated[chrom, strand][first:last])]
            chosen = rng.choice(positions, min(count, len(positions)), replace=False)
            missing += count - len(chosen)
            place = {"chrom": chrom, "position": chosen, "strand": strand, "label": label, "gene_id": gene}
            drawn.append(pd.DataFrame({**place, "border": border(chosen, strand, label)}))
    decoys = pd.concat(drawn, ignore_index=True).astype({"chrom": sites["chrom"].dtype})
    decoys = decoys.drop_duplicates(["chrom", "strand", "border"]).drop(columns="border")
    return decoys.sort_values(_ORDER, kind="stable", ignore_index=True), missing


def tile_genes(exons: pd.DataFrame, window_size: int) -> pd.DataFrame:
    """Windows side by side along the transcripts of each strand; where genes overlap, each base is in one window.

    Args:
        exons: as `keep_spliced` gives them.
        window_size: bp. The last window of a stretch reaches past it.

    Returns:
        One row a window, sorted by place, with the columns `chrom`, `start`, `end` (bp, 0-based, half-open), `strand`.
    """
    tiles = []
    spans = _spans(exons, ["chrom", "strand", "transcript"])
    for (chrom, strand), here in spans.groupby(level=[0, 1], observed=True):
        free_from = 0
        for start, end in sorted(zip(here["start"], here["end"], strict=True)):
            starts = np.arange(max(start, free_from), end, window_size)
            if len(starts):
                tiles.append(pd.DataFrame({"chrom": chrom, "start": starts, "strand": strand}))
                free_from = starts[-1] + window_size
    windows = pd.concat(tiles, ignore_index=True).astype({"chrom": exons["chrom"].dtype})
    windows.insert(2, "end", windows["start"] + window_size)
    return windows.sort_values(["chrom", "start", "strand"], kind="stable", ignore_index=True)


def _spans(exons: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    return exons.groupby(by, observed=True).agg(start=("start", "min"), end=("end", "max"))


def _transcribed(exons: pd.DataFrame) -> dict[tuple[str, str, str], list[tuple[int, int]]]:
    """What the transcripts of each gene cover, introns included: merged, so that no base counts twice."""
    spans = _spans(exons, ["chrom", "strand", "gene_id", "transcript"])
    merged: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    for (chrom, strand, gene, _), start, end in spans.sort_values("start").itertuples():
        stretches = merged.setdefault((chrom, strand, gene), [])
        if stretches and start <= stretches[-1][1]:
            stretches[-1] = (stretches[-1][0], max(end, stretches[-1][1]))
        else:
            stretches.append((start, end))
    return merged
