"""Build a data set of splice sites as a folder in the Hub's Parquet layout."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..downloads import fetch_source
from ..gue import gue_files, read_gue_set
from ..splits import canonical_sequence, drop_straddling_duplicates
from ..task_card import TaskCard, public_source
from ..task_tables import describe_file, read_info, summary, write_task_dataset
from .card import VALIDATION_SHARE, annotation_card, gue_card
from .options import SpliceSiteOptions
from .sites import LABELS
from .sources import SOURCES
from .tables import Tables, tables_of_annotation


def build_splice_sites(
    *,
    output_dir: str | Path,
    gtf: str | Path | None = None,
    genome: str | Path | None = None,
    source: str | None = None,
    source_dir: str | Path | None = None,
    gue_dir: str | Path | None = None,
    split_dev: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Build a data set of splice sites: from GTF + genome, from a public source of both, or from GUE's files.

    The folder appears whole or not at all. The same inputs always give the same bytes. See the README beside this
    file for what the configs hold.

    Args:
        output_dir: the folder to write.
        gtf: annotation with exons, see `read_exons`; needs `genome`.
        genome: FASTA file (plain, gzip or bgzip) or 2bit file.
        source: name of a public source in `SOURCES` instead, downloaded into the cache of `datasets`.
        source_dir: a folder with the files of the public source; nothing is downloaded then.
        gue_dir: folder with GUE's `train.csv`, `dev.csv` and `test.csv` instead.
        split_dev: where GUE's `train.csv` is not at hand: train on 80 % of its dev, validate on 20 %, and leave out of
            its test what stands in its dev too. Such figures compare with no published ones.
        overwrite: replace a data set of splice sites.
        options: fields of [`SpliceSiteOptions`]; with `gue_dir` only `seed`.

    Returns:
        What is in `info.json`: options, checksums of the inputs, rows by split and label, what was skipped.

    Raises:
        ConnectionError: the public source cannot be downloaded.
        FileNotFoundError: an input does not exist.
        ValueError: bad input or options; `output_dir` holds something else.
    """
    settings = SpliceSiteOptions(**options)
    if [gtf is not None, source is not None, gue_dir is not None].count(True) != 1:
        given = [name for name, value in (("gtf", gtf), ("source", source), ("gue_dir", gue_dir)) if value]
        raise ValueError(f"give one of gtf (with genome), source and gue_dir; found {', '.join(given) or 'none'}")
    if (gtf is None) != (genome is None):
        raise ValueError(f"found gtf={gtf}, genome={genome}: gtf and genome go together, and with nothing else")
    if gue_dir is not None:
        tables, card, info = _from_gue(Path(gue_dir), split_dev, settings.seed)
    else:
        if split_dev:
            raise ValueError("split_dev is for GUE's files: give gue_dir, or leave it out")
        tables, card, info = _from_annotation(gtf, genome, source, source_dir, settings)
    folder = write_task_dataset(output_dir, tables, card, {"builder": "splice_sites", **info}, overwrite)
    info = read_info(folder)
    print(summary(info))
    return info


def _from_annotation(
    gtf: str | Path | None,
    genome: str | Path | None,
    source: str | None,
    source_dir: str | Path | None,
    options: SpliceSiteOptions,
) -> tuple[dict[str, Tables], TaskCard, dict[str, Any]]:
    sources = []
    if source is not None:
        if source not in SOURCES:
            raise ValueError(f"source: no {source!r}; there is {', '.join(SOURCES)}")
        gtf, genome = fetch_source(SOURCES[source], source_dir).values()
        sources.append(public_source(SOURCES[source]))
    assert gtf is not None and genome is not None
    inputs = {"gtf": describe_file(gtf), "genome": describe_file(genome)}
    tables, skipped, facts = tables_of_annotation(gtf, genome, options)
    card = annotation_card(options, facts, sources)
    return tables, card, {"options": asdict(options), "inputs": inputs, "skipped": skipped, "sites": facts}


def _from_gue(folder: Path, split_dev: bool, seed: int) -> tuple[dict[str, Tables], TaskCard, dict[str, Any]]:
    tables = read_gue_set(folder, LABELS)
    if missing := [split for split in ("validation", "test") if split not in tables]:
        raise FileNotFoundError(f"{folder}: no file for {' and '.join(missing)}, expected dev.csv and test.csv")
    if "train" in tables and split_dev:
        raise ValueError(f"{folder}: has train.csv, so its dev need not be split; leave split_dev out")
    if "train" not in tables and not split_dev:
        raise FileNotFoundError(f"{folder}: no train.csv; put it there, or give split_dev to train on 80 % of dev.csv")
    inputs = {split: describe_file(file) for split, file in gue_files(folder).items()}
    known = {
        canonical_sequence(sequence)
        for split, table in tables.items()
        if split != "test"
        for sequence in table["sequence"]
    }
    repeated = np.array([canonical_sequence(sequence) in known for sequence in tables["test"]["sequence"]])
    num_repeated = int(repeated.sum())
    skipped: dict[str, int] = {}
    if split_dev:
        tables, skipped = _split_dev(tables, repeated, seed)
    card = gue_card(split_dev, seed, num_repeated)
    info = {"options": {"split_dev": split_dev, "seed": seed}, "inputs": inputs, "skipped": skipped}
    return {"sequences": tables}, card, {**info, "test_rows_in_other_splits": num_repeated}


def _split_dev(tables: Tables, repeated: np.ndarray, seed: int) -> tuple[Tables, dict[str, int]]:
    """Training and validation from GUE's dev; the test without the rows `repeated` there."""
    dev = tables["validation"]
    splits = np.full(len(dev), "train", dtype="<U10")
    drawn = np.random.default_rng(seed).permutation(len(dev))[: round(VALIDATION_SHARE * len(dev))]
    splits[drawn] = "validation"
    keep, skipped = drop_straddling_duplicates(dev["sequence"][:], splits)
    skipped["test: sequence also in GUE's dev"] = int(repeated.sum())
    split_tables = {split: dev.select(np.flatnonzero(keep & (splits == split))) for split in ("train", "validation")}
    return {**split_tables, "test": tables["test"].select(np.flatnonzero(~repeated))}, skipped
