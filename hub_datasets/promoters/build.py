"""Build the promoter data set as a folder in the Hub's Parquet layout."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from modeling_genebert.dna_genebert import decode_dna, encode_dna, reverse_complement

from ..downloads import fetch_source
from ..genome import Genome, name_some, naming_hint
from ..gue import find_gue_sets, gue_files, overlaps_between_sets, read_gue_set
from ..negatives import gc_matched_windows, mosaic
from ..splits import SPLITS, drop_straddling_duplicates, merge_by_chromosome, split_by_chromosome
from ..task_tables import PLACE, describe_file, features_of, read_info, summary, write_task_dataset
from .card import genome_card, gue_card
from .options import PromoterOptions
from .public_sources import PUBLIC_PROMOTERS
from .tata import tata_by_motif, tata_by_name
from .tss import Promoter, fetch, read_promoters


LABELS = ["non-promoter", "promoter"]
# Config -> bp upstream and downstream of the TSS: 70 and 300 bp with it. As in GUE's files, where the CA of the
# initiator, at whose A transcription starts, is bases 33 and 34 of the 70 and 249 and 250 of the 300 (measured: 55 %).
WINDOWS = {"core": (33, 36), "300": (249, 50)}


def build_promoters(
    *,
    output_dir: str | Path,
    gue_dir: str | Path | None = None,
    genome: str | Path | None = None,
    promoters: str | Path | None = None,
    source_dir: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Build the promoter data set: from GUE's files, or from TSSs + genome.

    From a genome, the configs are `core_all` (70 bp), `300_all` (300 bp) and, where promoters with a TATA box are
    told, `core_tata`, `core_notata`, `300_tata` and `300_notata`; each promoter comes with one negative. From GUE's
    files, the configs are the sets, without `prom_` in their names. The same inputs always give the same bytes.

    Args:
        output_dir: the folder to write.
        gue_dir: a folder with `train.csv`, `dev.csv` and `test.csv`, or one with such folders.
        genome: FASTA file (plain, gzip or bgzip) or 2bit file.
        promoters: BED file of 6 or more columns: see `read_promoters`; or the name of a public source: see
            `PUBLIC_PROMOTERS`.
        source_dir: a folder with the file of the public source, where it should not be downloaded.
        overwrite: replace a set that was built before.
        options: fields of [`PromoterOptions`]: tss_position, tata, negatives, min_tss_distance, max_gc_difference,
            validation_chromosomes, test_chromosomes, seed.

    Returns:
        What is in `info.json`: options, checksums of the inputs, rows of each split, what was skipped and why.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: bad input or options, a split without rows or with one label only, or something in `output_dir`.
    """
    settings = PromoterOptions(**options)
    if gue_dir is not None:
        if genome is not None or promoters is not None:
            raise ValueError("gue_dir with genome or promoters: give gue_dir alone, or genome and promoters")
        tables, info = _from_gue(Path(gue_dir))
        card = gue_card(info)
    elif genome is None or promoters is None:
        raise ValueError("give gue_dir, or genome and promoters")
    else:
        source = PUBLIC_PROMOTERS.get(str(promoters))
        if source is None and source_dir is not None:
            raise ValueError(
                f"source_dir={source_dir}: is for a public source, but promoters is {promoters}; "
                f"those are {', '.join(PUBLIC_PROMOTERS)}"
            )
        bed = next(iter(fetch_source(source, source_dir).values())) if source else Path(promoters)
        tables, info = _from_genome(Path(genome), bed, settings)
        card = genome_card(settings, source)
    info = read_info(write_task_dataset(output_dir, tables, card, {"builder": "promoters", **info}, overwrite))
    print(summary(info))
    for left_out in info["left_out"]:
        print(f"left out: {left_out}")
    return info


def _from_gue(folder: Path) -> tuple[dict[str, dict[str, datasets.Dataset]], dict[str, Any]]:
    tables: dict[str, dict[str, datasets.Dataset]] = {}
    inputs: dict[str, dict[str, str]] = {}
    skipped: Counter[str] = Counter()
    for name, path in find_gue_sets(folder).items():
        config = name.removeprefix("prom_")
        tables[config] = read_gue_set(path, LABELS)
        inputs |= {f"{config}, {split}": describe_file(file) for split, file in gue_files(path).items()}
        tables[config], dropped = _without_straddling(tables[config])
        skipped.update({f"{config}: {reason}": number for reason, number in dropped.items()})
    sequences = {
        config: {split: table["sequence"][:] for split, table in table_of.items()}
        for config, table_of in tables.items()
    }
    info = {
        "options": {},
        "inputs": inputs,
        "skipped": dict(skipped),
        "left_out": [],
        "overlaps": overlaps_between_sets(sequences),
    }
    return tables, info


def _from_genome(
    genome_file: Path, bed: Path, options: PromoterOptions
) -> tuple[dict[str, dict[str, datasets.Dataset]], dict[str, Any]]:
    everything = read_promoters(bed, options.tss_position)
    genome = Genome(genome_file)
    promoters, skipped = _usable(everything, bed, genome)
    splits = split_by_chromosome(
        [promoter.chrom for promoter in promoters], options.validation_chromosomes, options.test_chromosomes
    )
    subsets = {"all": np.ones(len(promoters), dtype=bool)}
    if options.tata != "none":
        has_tata = tata_by_name(promoters) if options.tata == "name" else tata_by_motif(promoters, genome)
        subsets |= {"tata": np.array(has_tata), "notata": ~np.array(has_tata)}
    excluded = _near_tss(everything, options.min_tss_distance)
    tables: dict[str, dict[str, datasets.Dataset]] = {}
    left_out = []
    for width, (upstream, downstream) in WINDOWS.items():
        negatives = _negatives(promoters, genome, upstream, downstream, excluded, options)
        if unmatched := sum(negative is None for negative in negatives):
            skipped[f"{width}: promoter without a free window of like GC on its chromosome"] = unmatched
        for subset, belongs in subsets.items():
            table_of = {}
            for split in SPLITS:
                rows = [
                    (promoters[row], negative)
                    for row in np.flatnonzero(belongs & (splits == split)).tolist()
                    if (negative := negatives[row]) is not None
                ]
                if rows:
                    table_of[split] = _table(rows, genome, upstream, downstream)
                elif (splits == split).any():
                    left_out.append(f"{width}_{subset}, {split}: no promoters")
            if "train" in table_of:
                table_of, dropped = _without_straddling(table_of)
                skipped.update({f"{width}_{subset}: {reason}": number for reason, number in dropped.items()})
                tables[f"{width}_{subset}"] = table_of
    info = {
        "options": asdict(options),
        "inputs": {"genome": describe_file(genome_file), "promoters": describe_file(bed)},
        "skipped": dict(skipped),
        "left_out": left_out,
        "num_promoters": len(promoters),
    }
    return tables, info


def _usable(promoters: list[Promoter], bed: Path, genome: Genome) -> tuple[list[Promoter], Counter[str]]:
    """The promoters whose widest window lies in the genome and is known, in genome order; the others by reason."""
    names = [promoter.chrom for promoter in promoters]
    if not set(names) & set(genome.chromosomes):
        raise ValueError(
            f"{bed}: its chromosomes ({name_some(dict.fromkeys(names))}) are not in {genome.path} "
            f"({name_some(genome.chromosomes)}){naming_hint(names, genome.chromosomes)}"
        )
    upstream, downstream = WINDOWS["300"]
    skipped: Counter[str] = Counter()
    usable = []
    seen: set[tuple[str, int, str]] = set()
    for promoter in promoters:
        place = promoter.chrom, promoter.tss, promoter.strand
        start, end = promoter.window(upstream, downstream)
        if promoter.chrom not in genome.chromosomes:
            skipped["promoter on a chromosome that is not in the genome"] += 1
        elif start < 0 or end > genome.chromosomes[promoter.chrom]:
            skipped["promoter whose 300 bp reach past the chromosome's end"] += 1
        elif place in seen:
            skipped["promoter with the TSS of another one"] += 1
        elif set(genome.fetch(promoter.chrom, start, end)) - set("ACGT"):
            skipped["promoter with unknown bases (N) in its 300 bp"] += 1
        else:
            usable.append(promoter)
        seen.add(place)
    if not usable:
        raise ValueError(f"{bed}: none of {len(promoters)} promoters can be used: {dict(skipped)}")
    order = {name: index for index, name in enumerate(genome.chromosomes)}
    usable.sort(key=lambda promoter: (order[promoter.chrom], promoter.tss, promoter.strand))
    return usable, skipped


def _near_tss(promoters: list[Promoter], distance: int) -> dict[str, np.ndarray]:
    """The intervals in which no genomic negative may lie: round each TSS, and the promoters' own windows."""
    upstream, downstream = (max(sides) for sides in zip(*WINDOWS.values(), strict=True))
    chrom = np.array([promoter.chrom for promoter in promoters])
    windows = np.array([promoter.window(upstream, downstream) for promoter in promoters])
    tss = np.array([promoter.tss for promoter in promoters])
    start, end = np.minimum(windows[:, 0], tss - distance), np.maximum(windows[:, 1], tss + distance + 1)
    return merge_by_chromosome(chrom, start, end)


def _negatives(
    promoters: Sequence[Promoter],
    genome: Genome,
    upstream: int,
    downstream: int,
    excluded: dict[str, np.ndarray],
    options: PromoterOptions,
) -> list[dict[str, Any] | None]:
    """The row of the negative of each promoter; None where there is none."""
    if options.negatives == "mosaic":
        rng = np.random.default_rng(options.seed)
        codes = (encode_dna(fetch(promoter, genome, upstream, downstream)) for promoter in promoters)
        # It lies nowhere in the genome.
        return [_row(decode_dna(mosaic(bases, rng)), 0) for bases in codes]
    windows = [promoter.window(upstream, downstream) for promoter in promoters]
    starts = gc_matched_windows(
        genome,
        [promoter.chrom for promoter in promoters],
        [start for start, _ in windows],
        [end for _, end in windows],
        excluded=excluded,
        max_gc_difference=options.max_gc_difference,
        seed=options.seed,
    )
    rows: list[dict[str, Any] | None] = []
    for promoter, start in zip(promoters, starts.tolist(), strict=True):
        if start < 0:
            rows.append(None)
            continue
        place = promoter.chrom, start, start + upstream + downstream + 1
        sequence = genome.fetch(*place)
        rows.append(_row(sequence if promoter.strand == "+" else reverse_complement(sequence), 0, place, promoter))
    return rows


def _row(
    sequence: str,
    label: int,
    place: tuple[str | None, int | None, int | None] = (None, None, None),
    like: Promoter | None = None,
) -> dict[str, Any]:
    chrom, start, end = place
    strand = like.strand if like else None
    return {"sequence": sequence, "label": label, "chrom": chrom, "start": start, "end": end, "strand": strand}


def _table(
    rows: list[tuple[Promoter, dict[str, Any]]], genome: Genome, upstream: int, downstream: int
) -> datasets.Dataset:
    """Promoters, each followed by its negative."""
    both = []
    for promoter, negative in rows:
        place = promoter.chrom, *promoter.window(upstream, downstream)
        both.append({**_row(fetch(promoter, genome, upstream, downstream), 1, place, promoter), "id": promoter.id})
        both.append({**negative, "id": f"{promoter.id}_negative"})
    features = features_of("single_label_classification", LABELS, [*PLACE, "id"])
    return datasets.Dataset.from_list(both, features=features)


def _without_straddling(
    table_of: dict[str, datasets.Dataset],
) -> tuple[dict[str, datasets.Dataset], dict[str, int]]:
    """The tables without rows whose sequence stands in another split too; and how many there were."""
    sequences = [sequence for table in table_of.values() for sequence in table["sequence"]]
    splits = np.repeat(list(table_of), [len(table) for table in table_of.values()])
    keep, dropped = drop_straddling_duplicates(sequences, splits)
    return {split: table.select(np.flatnonzero(keep[splits == split])) for split, table in table_of.items()}, dropped
