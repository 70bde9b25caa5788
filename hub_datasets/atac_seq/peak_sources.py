"""What `peaks` may be: whatever is given becomes one source of peaks per cell type."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ..downloads import fetch_source
from ..intervals import (
    PEAK_FILE_ENDINGS,
    Peaks,
    concatenate_peaks,
    find_peak_files,
    is_peak_file,
    mid_ranks,
    read_peaks,
)
from .peak_matrix import PeakMatrix
from .public_corpora import PUBLIC_CORPORA, PublicCorpus
from .single_cell import PseudoBulk
from .windows import AtacSeqOptions


SHEET_DELIMITERS = {".csv": ",", ".tsv": "\t"}
SHEET_COLUMNS = ("cell_type", "path")


@dataclass(frozen=True)
class PeakSource:
    """The peaks of one cell type.

    Attributes:
        place: where they come from, for messages.
        read: reads them.
        metadata: what else is known of the cell type: further columns of the sample sheet, number of cells.
    """

    place: str
    read: Callable[[], Peaks]
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PeakInputs:
    """All peaks that a set is built from.

    Attributes:
        sources: cell type -> its peaks, sorted by cell type.
        files: every file that is read, by a name that is unique among them: the cell type where a file is one's alone.
        left_out: cell type -> why it is left out.
        corpus: the public corpus that they are.
    """

    sources: dict[str, PeakSource]
    files: dict[str, Path]
    left_out: dict[str, str] = field(default_factory=dict)
    corpus: PublicCorpus | None = None


def find_peaks(
    peaks: str | Path | Iterable[str | Path], options: AtacSeqOptions, source_dir: str | Path | None = None
) -> PeakInputs:
    """The sources of peaks that an argument means.

    Args:
        peaks: any of these, or a list of them:

            - a peak file (see `read_peaks`), named after its cell type, or a folder of such files;
            - a sample sheet, `.csv` or `.tsv`: a header line, then one line a peak file, with the columns `cell_type`
              and `path` (relative to the sheet) and any others, which are kept as metadata. Several files of one cell
              type are replicates and are pooled: a region is open where any of them has a peak, and the signal of each
              file is replaced by its mid-rank in that file, so that files of different depth count alike;
            - an AnnData file, `.h5ad`: a matrix of cells × peaks, see `PseudoBulk`;
            - alone, the name of a public corpus, see `PUBLIC_CORPORA`.
        options: `cell_type_column` and the thresholds for `.h5ad` files.
        source_dir: a folder with the files of the public corpus, where they should not be downloaded.

    Raises:
        FileNotFoundError: a file does not exist, or there are no peak files.
        ValueError: a sheet or matrix that cannot be read, or a cell type that comes twice.
    """
    given = [peaks] if isinstance(peaks, (str, Path)) else list(peaks)
    if len(given) == 1 and str(given[0]) in PUBLIC_CORPORA:
        return _from_corpus(PUBLIC_CORPORA[str(given[0])], source_dir)
    if source_dir is not None:
        raise ValueError(
            f"source_dir={source_dir}: is for a public corpus, but peaks is {', '.join(map(str, given))}; "
            f"expected one of {', '.join(PUBLIC_CORPORA)}"
        )
    parts = []
    peak_files = []
    for path in map(Path, given):
        if path.suffix.lower() in SHEET_DELIMITERS:
            parts.append(_from_sheet(path))
        elif path.suffix.lower() == ".h5ad":
            parts.append(_from_single_cells(path, options))
        elif not path.exists():
            corpora = ", ".join(PUBLIC_CORPORA)
            raise FileNotFoundError(f"{path}: no such file or folder, and no public corpus; those are {corpora}")
        else:
            peak_files.append(path)
    if peak_files or not parts:
        parts.append(_from_files(peak_files))
    return _join(parts)


def _join(parts: list[PeakInputs]) -> PeakInputs:
    sources: dict[str, PeakSource] = {}
    files: dict[str, Path] = {}
    left_out: dict[str, str] = {}
    for part in parts:
        for cell_type, source in part.sources.items():
            if cell_type in sources:
                raise ValueError(
                    f"{source.place}: cell type {cell_type!r} comes a second time, after {sources[cell_type].place}; "
                    "rename one, or give both as replicates in a sample sheet"
                )
        for name, file in part.files.items():
            if name in files:
                raise ValueError(f"{file}: a second input named {name!r}, after {files[name]}; rename one")
        sources |= part.sources
        files |= part.files
        left_out |= part.left_out
    return PeakInputs(dict(sorted(sources.items())), files, left_out)


def read_pooled_peaks(files: list[Path]) -> Peaks:
    """The peaks of one file, or of several replicates, whose signal is then the mid-rank in its own file."""
    if len(files) == 1:
        return read_peaks(files[0])
    replicates = [read_peaks(file) for file in files]
    return concatenate_peaks([replace(peaks, signal=mid_ranks(peaks.signal).astype(float)) for peaks in replicates])


def _from_files(files_or_folders: list[Path]) -> PeakInputs:
    files = find_peak_files(files_or_folders)
    sources = {cell_type: PeakSource(str(file), partial(read_peaks, file)) for cell_type, file in files.items()}
    return PeakInputs(sources, files)


def _from_sheet(sheet: Path) -> PeakInputs:
    if not sheet.is_file():
        raise FileNotFoundError(f"{sheet}: no such sample sheet")
    replicates: dict[str, list[Path]] = {}
    metadata: dict[str, dict[str, str]] = {}
    with sheet.open(newline="", encoding="utf-8-sig") as lines:
        try:
            rows = csv.DictReader(lines, delimiter=SHEET_DELIMITERS[sheet.suffix.lower()], strict=True)
            columns = list(rows.fieldnames or [])
            if missing := [column for column in SHEET_COLUMNS if column not in columns]:
                raise ValueError(
                    f"{sheet}:1: no column {' and no column '.join(missing)} in the header, found {', '.join(columns)}"
                )
            for row in rows:
                cell_type, file = _read_sheet_row(f"{sheet}:{rows.line_num}", row, sheet.parent)
                if file in (others := replicates.setdefault(cell_type, [])):
                    raise ValueError(f"{sheet}:{rows.line_num}: {file} a second time for cell type {cell_type!r}")
                others.append(file)
                for column, value in row.items():
                    if column not in SHEET_COLUMNS and value:
                        values = metadata.setdefault(cell_type, {}).setdefault(column, value).split("; ")
                        metadata[cell_type][column] = "; ".join(dict.fromkeys([*values, value]))
        except (csv.Error, UnicodeDecodeError) as error:
            raise ValueError(f"{sheet}: not a sample sheet ({error}); expected text in UTF-8") from error
    if not replicates:
        raise ValueError(f"{sheet}: no lines after the header")
    sources = {
        cell_type: PeakSource(
            " and ".join(map(str, files)), partial(read_pooled_peaks, files), metadata.get(cell_type, {})
        )
        for cell_type, files in replicates.items()
    }
    named_files = {f"sample sheet {sheet.name}": sheet}
    for cell_type, files in replicates.items():
        for number, file in enumerate(files, start=1):
            named_files[cell_type if len(files) == 1 else f"{cell_type} (replicate {number})"] = file
    return PeakInputs(sources, named_files)


def _read_sheet_row(place: str, row: dict[str, str | None], folder: Path) -> tuple[str, Path]:
    """Cell type and peak file of a row of a sample sheet."""
    if None in row or None in row.values():
        raise ValueError(f"{place}: more or fewer columns than the header has")
    cell_type, path = (str(row[column]).strip() for column in SHEET_COLUMNS)
    if not cell_type or not path:
        raise ValueError(f"{place}: {'path' if cell_type else 'cell_type'} is empty")
    file = folder / path
    if not file.is_file():
        raise FileNotFoundError(f"{place}: {file}: no such file; paths are relative to the sheet")
    if not is_peak_file(file):
        raise ValueError(f"{place}: {file}: not a peak file by its name, expected an ending {PEAK_FILE_ENDINGS}")
    return cell_type, file


def _from_single_cells(path: Path, options: AtacSeqOptions) -> PeakInputs:
    bulk = PseudoBulk(
        path,
        options.cell_type_column,
        options.min_cells_per_cell_type,
        options.min_cells_per_peak,
        options.min_cell_fraction_per_peak,
    )
    sources = {
        cell_type: PeakSource(f"{path}: {cell_type}", partial(bulk.peaks, cell_type), {"cells": str(number)})
        for cell_type, number in bulk.num_cells.items()
    }
    return PeakInputs(sources, {f"cells x peaks {path.name}": path}, bulk.left_out)


def _from_corpus(corpus: PublicCorpus, source_dir: str | Path | None) -> PeakInputs:
    files = fetch_source(corpus, source_dir)
    if corpus.cell_types:
        sources = {
            cell_type: PeakSource(str(files[name]), partial(read_peaks, files[name]), corpus.metadata[cell_type])
            for name, cell_type in corpus.cell_types.items()
        }
        named_files = {cell_type: files[name] for name, cell_type in corpus.cell_types.items()}
        return PeakInputs(sources, named_files, corpus=corpus)
    matrix = PeakMatrix(*files.values())
    cell_types = sorted(name for name in matrix.cell_types if name.startswith(corpus.prefix))
    if not cell_types:
        raise ValueError(f"{files['celltypes.txt.gz']}: no cell type whose name begins with {corpus.prefix!r}")
    sources = {name: PeakSource(f"{matrix.matrix_path}: {name}", partial(matrix.peaks, name)) for name in cell_types}
    return PeakInputs(sources, files, corpus=corpus)
