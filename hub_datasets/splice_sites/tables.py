"""The tables of splice sites: a sequence for each site, or a label for each base."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa

from modeling_genebert.dna_genebert import reverse_complement

from ..genome import Genome
from ..gtf import read_exons
from ..splits import SPLITS, drop_straddling_duplicates, split_by_chromosome
from ..task_tables import PLACE, features_of
from .options import SpliceSiteOptions
from .sites import (
    BASE_LABELS,
    DINUCLEOTIDES,
    DONOR,
    LABELS,
    NEITHER,
    annotated_sites,
    border,
    check_sites,
    draw_decoys,
    is_known,
    keep_spliced,
    tile_genes,
)


Tables = dict[str, datasets.Dataset]


def tables_of_annotation(
    gtf: str | Path, genome_file: str | Path, options: SpliceSiteOptions
) -> tuple[dict[str, Tables], dict[str, int], dict[str, int]]:
    """Read an annotation and a genome, and make the configs `sequences` and `per_base`.

    Returns:
        Config -> split -> table; what was skipped, reason -> number; and what is known of the annotated sites.

    Raises:
        ValueError: bad files, no introns, no usable site, or held-out chromosomes without sites.
    """
    genome = Genome(genome_file)
    exons, skipped = keep_spliced(read_exons(gtf), genome)
    sites, left_out = annotated_sites(exons, options.min_intron_length)
    skipped.update(left_out)
    sites = check_sites(sites, genome, options.window_size)
    is_both = sites.duplicated(["chrom", "position", "strand"], keep=False)
    usable = sites["known"] & ~is_both & (sites["canonical"] | options.keep_noncanonical)
    skipped["sites: window past the chromosome's end or with unknown bases"] = int((~sites["known"]).sum())
    skipped["sites: donor and acceptor at once"] = int((sites["known"] & is_both).sum())
    skipped["sites: not GT or AG"] = int((sites["known"] & ~is_both & ~usable).sum())
    if not usable.any():
        raise ValueError(
            f"{gtf}: none of its {len(sites):,} splice sites can be used ("
            + ", ".join(f"{number:,} {reason}" for reason, number in skipped.items() if number)
            + "); is the genome of the annotation's build?"
        )
    known = sites[sites["known"]]
    facts = {
        "transcripts": int(exons["transcript"].nunique()),
        "sites": len(sites),
        "sites with a known window": len(known),
        "of these GT or AG": int(known["canonical"].sum()),
        "of these donors": int((known["label"] == DONOR).sum()),
    }
    tables = {
        "sequences": _sequences(exons, sites, usable, genome, options, skipped),
        "per_base": _per_base(exons, sites, usable, genome, options, skipped),
    }
    return tables, skipped, facts


def _sequences(
    exons: pd.DataFrame,
    sites: pd.DataFrame,
    usable: pd.Series,
    genome: Genome,
    options: SpliceSiteOptions,
    skipped: dict[str, int],
) -> Tables:
    """The config `sequences`; what it skips is added to `skipped`."""
    decoys, missing = draw_decoys(exons, sites, sites[usable], genome, options)
    skipped["decoys: too few GT or AG in the gene"] = missing
    parts = [sites[usable].assign(is_site=True), decoys.assign(is_site=False)]
    rows = pd.concat([part for part in parts if len(part)], ignore_index=True)
    rows["start"] = 0
    for (strand, label), of_kind in rows.groupby(["strand", "label"], observed=True).groups.items():
        positions = rows.loc[of_kind, "position"].to_numpy()
        rows.loc[of_kind, "start"] = border(positions, strand, label) - options.window_size // 2
    rows["end"] = rows["start"] + options.window_size
    rows["sequence"] = _fetch(genome, rows)
    kinds = {(label, True): LABELS[label] for label in DINUCLEOTIDES}
    kinds |= {(label, False): f"{dinucleotide} decoy" for label, dinucleotide in DINUCLEOTIDES.items()}
    rows["id"] = [
        f"{row.gene_id} {kinds[row.label, row.is_site]} {row.chrom}:{row.position}({row.strand})"
        for row in rows.itertuples()
    ]
    rows["label"] = rows["label"].where(rows["is_site"], NEITHER)
    rows = rows.sort_values(["chrom", "start", "strand", "label"], kind="stable", ignore_index=True)
    contradictory = rows.groupby("sequence")["label"].transform("nunique") > 1
    skipped["sequences: the same sequence under two labels"] = int(contradictory.sum())
    rows = rows[~contradictory]
    features = features_of("single_label_classification", LABELS, [*PLACE, "id"])

    def table(chosen: pd.DataFrame) -> datasets.Dataset:
        columns = {name: chosen[name].astype(object).to_list() for name in features}
        return datasets.Dataset.from_dict(columns, features=features)

    return {split: table(chosen) for split, chosen in _split(rows, "sequences", options, skipped).items()}


def _per_base(
    exons: pd.DataFrame,
    sites: pd.DataFrame,
    usable: pd.Series,
    genome: Genome,
    options: SpliceSiteOptions,
    skipped: dict[str, int],
) -> Tables:
    """The config `per_base`; what it skips is added to `skipped`."""
    size = options.base_window_size
    windows = tile_genes(exons, size)
    sites = sites.assign(usable=usable, window=-1, offset=-1)
    known = np.zeros(len(windows), dtype=bool)
    sites_on = sites.groupby(["chrom", "strand"], observed=True).indices
    for (chrom, strand), rows in windows.groupby(["chrom", "strand"], observed=True).indices.items():
        starts = windows["start"].to_numpy()[rows]
        known[rows] = is_known(starts, size, genome.chromosomes[chrom], genome.unknown_runs(chrom))
        here = sites_on.get((chrom, strand), np.empty(0, np.int64))
        positions = sites["position"].to_numpy()[here]
        window = np.searchsorted(starts, positions, side="right") - 1  # sites lie within transcripts, so in a window
        offset = positions - starts[window]
        sites.loc[here, "window"] = rows[window]
        sites.loc[here, "offset"] = offset if strand == "+" else size - 1 - offset
    has_site, excluded = np.zeros((2, len(windows)), dtype=bool)
    has_site[sites.loc[usable, "window"]] = True
    excluded[sites.loc[~usable, "window"]] = True
    skipped["per_base: window past the chromosome's end or with unknown bases"] = int((~known).sum())
    skipped["per_base: window with a site that was left out"] = int((known & excluded).sum())
    chosen = known & ~excluded & has_site
    if not chosen.any():
        raise ValueError(
            f"no window of {size} bp along the transcripts holds a usable site; give a smaller base_window_size"
        )
    empty = np.flatnonzero(known & ~excluded & ~has_site)
    num_empty = int(min(len(empty), options.empty_ratio * chosen.sum()))
    chosen[np.random.default_rng(options.seed).choice(empty, num_empty, replace=False)] = True
    skipped["per_base: window without a site, not drawn"] = len(empty) - num_empty
    rows = windows[chosen].assign(row=np.arange(chosen.sum()))
    rows["sequence"] = _fetch(genome, rows)
    labels = np.full((len(rows), size), BASE_LABELS.index("neither"), dtype=np.uint8)
    shown = sites[usable & chosen[sites["window"]]]
    base_label = np.array([BASE_LABELS.index(name) for name in LABELS])
    labels[np.cumsum(chosen)[shown["window"]] - 1, shown["offset"]] = base_label[shown["label"]]
    features = features_of("token_classification", BASE_LABELS, PLACE)

    def table(chosen: pd.DataFrame) -> datasets.Dataset:
        columns = {name: pa.array(chosen[name].astype(object)) for name in features if name != "base_labels"}
        values = pa.array(labels[chosen["row"]].ravel().astype(np.int64))
        columns["base_labels"] = pa.ListArray.from_arrays(np.arange(len(chosen) + 1, dtype=np.int32) * size, values)
        schema = features.arrow_schema
        return datasets.Dataset(pa.table([columns[name] for name in schema.names], names=schema.names).cast(schema))

    return {split: table(chosen) for split, chosen in _split(rows, "per_base", options, skipped).items()}


def _fetch(genome: Genome, rows: pd.DataFrame) -> list[str]:
    """The sequences of rows with `chrom`, `start`, `end` and `strand`, in the direction of transcription."""
    sequences = []
    for chrom, start, end, strand in zip(rows["chrom"], rows["start"], rows["end"], rows["strand"], strict=True):
        sequence = genome.fetch(chrom, start, end)
        sequences.append(sequence if strand == "+" else reverse_complement(sequence))
    return sequences


def _split(
    rows: pd.DataFrame, config: str, options: SpliceSiteOptions, skipped: dict[str, int]
) -> dict[str, pd.DataFrame]:
    """The rows of each split that has any, by chromosome; a sequence that two splits share is left in one of them."""
    splits = split_by_chromosome(rows["chrom"], options.validation_chromosomes, options.test_chromosomes)
    keep, dropped = drop_straddling_duplicates(rows["sequence"].to_list(), splits)
    skipped.update({f"{config}: {reason}": number for reason, number in dropped.items()})
    return {split: rows[keep & (splits == split)] for split in SPLITS if (splits == split).any()}
