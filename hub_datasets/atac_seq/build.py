"""Build the ATAC-seq pre-training set as a folder in the Hub's Parquet layout."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, MotifBank

from ..files import sha256_of
from ..genome import Genome
from .card import dataset_card, summary_table
from .consensus import Consensus, GenomeAxis, build_consensus
from .peak_sources import PeakInputs, find_peaks
from .tables import region_tables, window_table
from .windows import AtacSeqOptions, make_windows, split_names


BUILD_INFO_FILE_NAME = "build_info.json"
ROWS_PER_SHARD = {"regions": 50_000, "windows": 500_000}
ROWS_PER_GROUP = 1_000


def build_atac_seq(
    *,
    genome: str | Path,
    peaks: str | Path | Iterable[str | Path],
    output_dir: str | Path,
    motifs: str | Path | MotifBank = "JASPAR2026",
    blacklist: str | Path | None = None,
    source_dir: str | Path | None = None,
    num_workers: int = 1,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Build the pre-training set: peaks of several cell types + genome + motif bank -> consensus regions and windows.

    The folder appears whole or not at all. One that was built before from the same files with the same options is left
    as it is; the same inputs always give the same bytes.

    Args:
        genome: FASTA file (plain, gzip or bgzip) or 2bit file.
        peaks: peak files and folders of them, one file a cell type; sample sheets; AnnData files of single cells; or
            the name of a public corpus: see `find_peaks`.
        output_dir: the folder to write.
        motifs: a JASPAR release by name, a motif file, or a bank: see `MotifBank.resolve`.
        blacklist: BED file of intervals that no region may overlap.
        source_dir: a folder with the files of the public corpus, where they should not be downloaded.
        num_workers: processes that score motifs; changes no byte of the result.
        overwrite: replace a set that was built before with other options or from other files.
        options: fields of [`AtacSeqOptions`]: region_width, num_regions, max_span, max_gap, stride,
            validation_chromosomes, test_chromosomes, held_out_cell_types, max_n_fraction; for single cells also
            cell_type_column, min_cells_per_cell_type, min_cells_per_peak, min_cell_fraction_per_peak.

    Returns:
        What is in `build_info.json`: options, checksums of the inputs, cell types in order, what became of their
        peaks, split sizes, motif fingerprint, versions.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: bad input or options; or `output_dir` holds something else.
    """
    settings = AtacSeqOptions(**options)
    output_dir = Path(output_dir)
    peak_inputs = find_peaks(peaks, settings, source_dir)
    bank = motifs if isinstance(motifs, MotifBank) else MotifBank.resolve(motifs)
    recipe = {"options": asdict(settings), "inputs": describe_inputs(genome, peak_inputs, bank, blacklist)}
    if existing := _read_existing(output_dir, recipe, overwrite):
        print(f"{output_dir} was already built from these files with these options: nothing to do.")
        print(summary_table(existing))
        return existing

    with _folder_made_whole(output_dir, overwrite) as partial:
        opened, axis, consensus = prepare(genome, peak_inputs, settings, blacklist)
        _write_shards(partial, "regions", "train", region_tables(consensus, opened, bank, num_workers))
        splits = {}
        for split in split_names(settings):
            windows = make_windows(consensus, axis, settings, split)
            rows = _write_shards(partial, "windows", split, (window_table(part, consensus) for part in windows))
            if rows:
                splits[split] = rows
        bank.save(partial / MOTIFS_FILE_NAME)
        info = {
            "builder": "atac_seq",
            **recipe,
            "anchor_index": settings.anchor_index,
            "chromosomes": opened.chromosomes,
            "cell_types": consensus.cell_types,
            "metadata": {name: source.metadata for name, source in peak_inputs.sources.items() if source.metadata},
            "left_out": peak_inputs.left_out,
            "corpus": asdict(peak_inputs.corpus) if peak_inputs.corpus else None,
            "peaks": {cell_type: asdict(counts) for cell_type, counts in consensus.counts.items()},
            "num_consensus_regions": len(consensus),
            "splits": splits,
            "versions": {name: version(name) for name in ("datasets", "numpy", "pyarrow", "torch")},
            "files": {str(file.relative_to(partial)): file.stat().st_size for file in _data_files(partial)},
        }
        (partial / "README.md").write_text(dataset_card(info), encoding="utf-8")
        (partial / BUILD_INFO_FILE_NAME).write_text(json.dumps(info, indent=2) + "\n", encoding="utf-8")
    print(summary_table(info))
    return info


def prepare(
    genome: str | Path, peak_inputs: PeakInputs, options: AtacSeqOptions, blacklist: str | Path | None = None
) -> tuple[Genome, GenomeAxis, Consensus]:
    """Read genome and peaks, check the names among the options, and make the consensus regions."""
    opened = Genome(genome)
    options.check_names(list(opened.chromosomes), list(peak_inputs.sources))
    axis = GenomeAxis(opened, options.region_width, blacklist)
    return opened, axis, build_consensus(axis, peak_inputs.sources, options.region_width, options.max_n_fraction)


def describe_inputs(
    genome: str | Path, peak_inputs: PeakInputs, motifs: MotifBank, blacklist: str | Path | None = None
) -> dict[str, Any]:
    """Names and checksums of everything that a build is made from."""
    return {
        "genome": _describe_file(Path(genome)),
        "peaks": {name: _describe_file(file) for name, file in peak_inputs.files.items()},
        "blacklist": _describe_file(Path(blacklist)) if blacklist else None,
        "motifs": {"source": motifs.source, "num_motifs": len(motifs), "fingerprint": motifs.fingerprint},
    }


def _describe_file(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return {"file": path.name, "sha256": sha256_of(path)}


def _data_files(folder: Path) -> list[Path]:
    return [folder / MOTIFS_FILE_NAME, *sorted(folder.glob("*/*.parquet"))]


def _read_existing(output_dir: Path, recipe: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """The build info of a folder that need not be built again; None where there is something to build."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return None
    try:
        info = json.loads((output_dir / BUILD_INFO_FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        info = None
    if not isinstance(info, dict) or info.get("builder") != "atac_seq":
        raise ValueError(f"{output_dir}: exists and is not an ATAC-seq set built before; give another output_dir")
    if overwrite:
        return None
    for part in ("options", "inputs"):
        if different := sorted(key for key in recipe[part] if info[part].get(key) != recipe[part][key]):
            raise ValueError(
                f"{output_dir}: was built with other {part} ({', '.join(different)}); "
                "give another output_dir, or overwrite"
            )
    for name, size in info["files"].items():
        file = output_dir / name
        if not file.is_file() or file.stat().st_size != size:
            raise ValueError(f"{file}: missing or changed since it was built; give another output_dir, or overwrite")
    return info


def _write_shards(folder: Path, config: str, split: str, tables: Iterable[pa.Table]) -> int:
    """Write tables as `<config>/<split>-NNNNN-of-NNNNN.parquet`, a fixed number of rows a file; returns the rows."""
    (folder / config).mkdir(exist_ok=True)
    files: list[Path] = []
    rows = 0
    for file_tables in _cut(tables, ROWS_PER_SHARD[config]):
        files.append(folder / config / f"{split}-{len(files):05d}.parquet")
        with pq.ParquetWriter(files[-1], file_tables[0].schema, compression="zstd") as writer:
            table = pa.concat_tables(file_tables)
            writer.write_table(table, row_group_size=ROWS_PER_GROUP)
            rows += len(table)
    for index, file in enumerate(files):
        file.rename(file.with_name(f"{split}-{index:05d}-of-{len(files):05d}.parquet"))
    return rows


def _cut(tables: Iterable[pa.Table], rows: int) -> Iterator[list[pa.Table]]:
    """Regroup a stream of tables into lists that hold `rows` rows together, the last one fewer."""
    group: list[pa.Table] = []
    missing = rows
    for table in tables:
        while len(table):
            part = table.slice(0, missing)
            group.append(part)
            missing -= len(part)
            table = table.slice(len(part))
            if not missing:
                yield group
                group, missing = [], rows
    if group:
        yield group


@contextmanager
def _folder_made_whole(output_dir: Path, overwrite: bool) -> Iterator[Path]:
    """A temporary folder beside `output_dir` that takes its place if all goes well, and vanishes if not."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}.partial-", dir=output_dir.parent) as parent:
        partial, old = Path(parent, "new"), Path(parent, "old")
        partial.mkdir()
        yield partial
        if output_dir.exists():
            if any(output_dir.iterdir()) and not overwrite:
                raise ValueError(f"{output_dir}: was filled by someone else meanwhile; give another output_dir")
            output_dir.rename(old)
        partial.rename(output_dir)
