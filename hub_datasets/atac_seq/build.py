"""Build the ATAC-seq pre-training set as a folder in the Hub's Parquet layout."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, MotifBank

from ..files import sha256_of, written_whole
from ..genome import Genome
from . import shards as shards_module
from .background import choose_background
from .card import summary_table
from .consensus import Consensus, GenomeAxis, build_consensus
from .peak_sources import PeakInputs, find_peaks
from .report import write_report
from .shards import BACKGROUND_FILE_NAME, Shard, cut, process_pool, write_shards
from .windows import AtacSeqOptions, count_windows
from .work_folder import WorkFolder


BUILD_INFO_FILE_NAME = "build_info.json"


def build_atac_seq(
    *,
    genome: str | Path,
    peaks: str | Path | Iterable[str | Path],
    output_dir: str | Path,
    motifs: str | Path | MotifBank = "JASPAR2026",
    blacklist: str | Path | None = None,
    source_dir: str | Path | None = None,
    num_workers: int = 1,
    executor: Executor | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Build the pre-training set: peaks of several cell types + genome + motif bank -> consensus regions and windows.

    The folder appears whole or not at all. Until then the work is in `.NAME.partial` beside it, with the unpacked
    genome; a build that was interrupted or killed goes on from there when it is started again. A folder that was built
    before from the same files with the same options is left as it is. The same inputs always give the same bytes.

    Args:
        genome: FASTA file (plain, gzip or bgzip) or 2bit file.
        peaks: peak files and folders of them, one file a cell type; sample sheets; AnnData files of single cells; or
            the name of a public corpus: see `find_peaks`.
        output_dir: the folder to write.
        motifs: a JASPAR release by name, a motif file, or a bank: see `MotifBank.resolve`.
        blacklist: BED file of intervals that no region may overlap.
        source_dir: a folder with the files of the public corpus, where they should not be downloaded.
        num_workers: processes on this machine. More than one needs an importable `__main__` (the guard `if __name__ ==
            "__main__":` in a script), as always where Python starts fresh processes.
        executor: runs the work instead: any `concurrent.futures.Executor`, such as a Dask client's
            (`client.get_executor()`). Its workers must see `output_dir` under the same path, on a shared file system,
            and have this package installed.
        overwrite: replace a set, or the unfinished work on one, with other options or from other files.
        options: fields of [`AtacSeqOptions`]: region_width, num_regions, max_span, max_gap, stride,
            validation_chromosomes, test_chromosomes, held_out_cell_types, max_n_fraction, num_background; for single
            cells also cell_type_column, min_cells_per_cell_type, min_cells_per_peak, min_cell_fraction_per_peak.

    Returns:
        What is in `build_info.json`: options, checksums of the inputs, cell types in order, what became of their
        peaks, split sizes, motif fingerprint, versions.

    Raises:
        ChildProcessError: a worker process died. What is finished is kept.
        FileNotFoundError: an input does not exist.
        OSError: a file cannot be written: no space left, no permission. What is finished is kept.
        ValueError: bad input or options; `output_dir` holds something else, or another process builds it now.
    """
    if executor is not None and num_workers != 1:
        raise ValueError(f"num_workers={num_workers} and an executor: give one of the two")
    settings = AtacSeqOptions(**options)
    output_dir = Path(output_dir).resolve()
    work = WorkFolder(output_dir)
    peak_inputs = find_peaks(peaks, settings, source_dir)
    bank = motifs if isinstance(motifs, MotifBank) else MotifBank.resolve(motifs)
    before = _stamps(genome, peak_inputs, blacklist)
    recipe = {
        "options": asdict(settings),
        "inputs": describe_inputs(genome, peak_inputs, bank, blacklist),
        "versions": {name: version(name) for name in ("datasets", "numpy", "pyarrow", "torch")},
        "rows_per_shard": shards_module.ROWS_PER_SHARD,
    }
    if existing := _read_existing(output_dir, recipe, overwrite):
        work.remove_if_finished()
        print(f"{output_dir} was already built from these files with these options: nothing to do.")
        print(summary_table(existing))
        return existing

    with work.locked(), process_pool(num_workers) if executor is None else nullcontext(executor) as workers:
        if (plan := _read_plan(work, recipe, overwrite)) is None:
            try:
                work.clear()
                plan = {"genome": str(genome), **recipe}
                plan["windows"] = _prepare(work, genome, peak_inputs, settings, blacklist, bank)
                plan["num_background"] = np.load(work.path / BACKGROUND_FILE_NAME).shape[1]
                _check_unchanged(before, _stamps(genome, peak_inputs, blacklist))
                work.write_plan(plan)
            except BaseException:
                work.clear()
                raise
        consensus = Consensus.load(work.path)
        splits = {split: sum(rows) for split, rows in plan["windows"].items()}
        regions = cut("regions", "train", len(consensus))
        windows = [shard for split, rows in splits.items() for shard in cut("windows", split, rows)]
        background = cut("background", "train", plan["num_background"])
        all_shards = [*regions, *windows, *background]
        with _say_how_to_go_on(work, all_shards):
            work.remove_partial_files()
            for shard in all_shards:
                Path(work.set_folder, shard.config).mkdir(parents=True, exist_ok=True)
            write_shards(work, regions, workers, desc="Scoring motifs", unit="region")
            write_shards(work, windows, workers, desc="Writing windows", unit="window")
            write_shards(work, background, workers, desc="Writing background", unit="sequence")
            shutil.copyfile(work.path / MOTIFS_FILE_NAME, work.set_folder / MOTIFS_FILE_NAME)
            info = {
                "builder": "atac_seq",
                **recipe,
                "anchor_index": settings.anchor_index,
                "chromosomes": Genome(genome, unpacked=work.path / "genome").chromosomes,
                "cell_types": consensus.cell_types,
                "metadata": {name: source.metadata for name, source in peak_inputs.sources.items() if source.metadata},
                "left_out": peak_inputs.left_out,
                "corpus": asdict(peak_inputs.corpus) if peak_inputs.corpus else None,
                "peaks": {cell_type: asdict(counts) for cell_type, counts in consensus.counts.items()},
                "num_consensus_regions": len(consensus),
                "splits": splits,
                "num_background": plan["num_background"],
                "files": {
                    name: (work.set_folder / name).stat().st_size
                    for name in [MOTIFS_FILE_NAME, *(shard.file for shard in all_shards)]
                },
            }
            write_report(work.set_folder, info)
            with written_whole(work.set_folder / BUILD_INFO_FILE_NAME) as stream:
                stream.write((json.dumps(info, indent=2) + "\n").encode())
            if output_dir.exists() and any(output_dir.iterdir()) and not overwrite:
                raise ValueError(f"{output_dir}: was filled by someone else meanwhile; give another output_dir")
            work.move_into_place()
    print(summary_table(info))
    return info


def _prepare(
    work: WorkFolder,
    genome: str | Path,
    peak_inputs: PeakInputs,
    options: AtacSeqOptions,
    blacklist: str | Path | None,
    bank: MotifBank,
) -> dict[str, list[int]]:
    """Read all inputs, and put what the shards need into the work folder; returns what `count_windows` does."""
    print(f"Reading {genome}", flush=True)
    opened = Genome(genome, unpacked=work.path / "genome")
    options.check_names(list(opened.chromosomes), list(peak_inputs.sources))
    axis = GenomeAxis(opened, options.region_width, blacklist)
    consensus = build_consensus(axis, peak_inputs.sources, options.region_width, options.max_n_fraction)
    consensus.save(work.path)
    bank.save(work.path / MOTIFS_FILE_NAME)
    with written_whole(work.path / BACKGROUND_FILE_NAME) as stream:
        np.save(stream, np.stack(choose_background(opened, options)))
    return count_windows(consensus, options)


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


def _stamps(
    genome: str | Path, peak_inputs: PeakInputs, blacklist: str | Path | None
) -> dict[Path, tuple[int, int] | None]:
    """Size and time of the last change of each input file; None for one that is not there."""
    stamps: dict[Path, tuple[int, int] | None] = {}
    for file in [genome, *peak_inputs.files.values(), *([blacklist] if blacklist else [])]:
        stamps[Path(file)] = None
        with suppress(OSError):
            stat = Path(file).stat()
            stamps[Path(file)] = stat.st_size, stat.st_mtime_ns
    return stamps


def _check_unchanged(before: dict[Path, tuple[int, int] | None], after: dict[Path, tuple[int, int] | None]) -> None:
    for file, stamp in before.items():
        if after[file] != stamp:
            raise ValueError(f"{file}: was changed while it was read; start the build again when it is complete")


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
    if different := _differences(info, recipe, ("options", "inputs")):
        raise ValueError(f"{output_dir}: was built with other {different}; give another output_dir, or overwrite")
    for name, size in info["files"].items():
        file = output_dir / name
        if not file.is_file() or file.stat().st_size != size:
            raise ValueError(f"{file}: missing or changed since it was built; give another output_dir, or overwrite")
    return info


def _read_plan(work: WorkFolder, recipe: dict[str, Any], overwrite: bool) -> dict[str, Any] | None:
    """The plan of unfinished work that this build goes on with; None where it begins from scratch."""
    plan = work.read_plan()
    if plan is None or not (different := _differences(plan, recipe, tuple(recipe))):
        return plan
    if overwrite:
        return None
    raise ValueError(
        f"{work.path}: holds an unfinished build with other {different}; "
        "finish that one, delete the folder, give another output_dir, or overwrite"
    )


def _differences(before: dict[str, Any], now: dict[str, Any], parts: tuple[str, ...]) -> str:
    """In what two recipes differ: the first part that does, and its entries; empty where they do not."""
    for part in parts:
        names = [name for name in now[part] if before[part].get(name) != now[part][name]]
        if names:
            return f"{part} ({', '.join(names)})"
    return ""


@contextmanager
def _say_how_to_go_on(work: WorkFolder, shards: list[Shard]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        num_finished = sum((work.set_folder / shard.file).exists() for shard in shards)
        print(
            f"Not finished: {num_finished} of {len(shards)} files are in {work.path}. Start the same build again and "
            "it goes on from there, or delete that folder to give it up.",
            file=sys.stderr,
        )
        raise
