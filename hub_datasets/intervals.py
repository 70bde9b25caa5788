"""Reading peaks: BED, narrowPeak and broadPeak files."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from .files import read_line_blocks


PEAK_SUFFIXES = (".narrowPeak", ".broadPeak", ".bed")
COMPRESSION_SUFFIXES = (".gz", ".bgz")
PEAK_FILE_ENDINGS = ", ".join(PEAK_SUFFIXES) + " (also with " + " or ".join(COMPRESSION_SUFFIXES) + ")"


@dataclass(frozen=True)
class Peaks:
    """The peaks of one file, in file order, as columns of one length. Coordinates are in bp, 0-based, half-open.

    Attributes:
        chrom: chromosome names, str.
        start: int64.
        end: int64, above `start`.
        summit: int64 position on the chromosome; -1 where the file does not say.
        signal: float64; NaN where the file does not say.
    """

    chrom: np.ndarray
    start: np.ndarray
    end: np.ndarray
    summit: np.ndarray
    signal: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def take(self, rows: np.ndarray, signal: np.ndarray | None = None) -> Peaks:
        """Some of the peaks, with another signal if one is given."""
        taken = {column.name: getattr(self, column.name)[rows] for column in fields(self)}
        return Peaks(**(taken if signal is None else {**taken, "signal": signal}))


def read_peaks(path: str | Path) -> Peaks:
    """Read a peak file: BED3+, narrowPeak or broadPeak; plain, gzip or bgzip; in any order.

    Which columns are read follows from the name, and for `.bed` from the number of columns:

    | file | signal | summit |
    |---|---|---|
    | `.narrowPeak` (10 columns), `.bed` with 10 columns (ENCODE's way) | column 7 | start + column 10, -1 = unknown |
    | `.broadPeak` (9 columns) | column 7 | unknown |
    | other `.bed` with a score in column 5 that is not the same in all lines | column 5 | unknown |
    | other `.bed` | unknown | unknown |

    `.` in a signal column means unknown. Blank lines, comments (`#`), `track` and `browser` lines are passed over.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line (the message names it), no peaks at all, or a truncated file.
    """
    path = Path(path)
    kind = _split_name(path)[1].lower()
    parts: list[Peaks] = []
    layout: _Layout | None = None
    line = 1
    for block in read_line_blocks(path):
        header_size = 0
        if layout is None:
            header_size, layout = _find_layout(path, block, line, kind)
        if layout is not None:
            peaks = _parse_clean_block(block[header_size:], layout)
            parts.append(_parse_block(path, block, line, layout) if peaks is None else peaks)
        line += block.count(b"\n")
    if layout is None:
        raise ValueError(f"{path}: no peaks in the file, expected at least one line 'chromosome start end'")
    peaks = concatenate_peaks(parts)
    if layout.signal_column == 5 and (peaks.signal == peaks.signal[0]).all():
        # Many tools fill the score column of BED with 0 or 1000: that is no measurement.
        peaks.signal[:] = np.nan
    return peaks


@dataclass(frozen=True)
class _Layout:
    """Number of columns of a peak file, and the 1-based columns of signal and summit: 0 where it has none."""

    num_columns: int
    signal_column: int
    summit_column: int


def _find_layout(path: Path, block: bytes, line: int, kind: str) -> tuple[int, _Layout | None]:
    """How many bytes of a block come before its first peak, and the layout of that; None where there is no peak."""
    header_size = 0
    for number, text in enumerate(io.BytesIO(block), start=line):
        if columns := _columns(text.decode("latin-1")):
            return header_size, _Layout(len(columns), *_value_columns(path, number, kind, len(columns)))
        header_size += len(text)
    return header_size, None


def _columns(line: str) -> list[str] | None:
    """The columns of a line; None where it holds no peak."""
    line = line.rstrip("\r\n")
    columns = line.split("\t") if "\t" in line else line.split()
    return columns if line.strip() and not _is_header(columns[0]) else None


def _is_header(first_column: str) -> bool:
    return first_column.startswith("#") or first_column.split(" ")[0] in ("track", "browser")


def _parse_clean_block(block: bytes, layout: _Layout) -> Peaks | None:
    """What `_parse_block` returns, several times as fast; None where anything in the block is out of the ordinary.

    Ordinary are tab-separated lines of equal length with plain numbers, and no line that is not a peak.
    """
    block = block.replace(b"\r\n", b"\n") if b"\r" in block else block
    # The CSV reader takes a lone carriage return for the end of a line.
    if b"\r" in block or _has_hexadecimal(block):
        return None
    chrom_column, start_column, end_column = "1", "2", "3"
    signal_column, summit_column = str(layout.signal_column), str(layout.summit_column)
    types = {chrom_column: pa.dictionary(pa.int32(), pa.string()), start_column: pa.int64(), end_column: pa.int64()}
    types |= {signal_column: pa.float64()} if layout.signal_column else {}
    types |= {summit_column: pa.int64()} if layout.summit_column else {}
    names = [str(number) for number in range(1, layout.num_columns + 1)]
    try:
        table = csv.read_csv(
            pa.BufferReader(block),
            read_options=csv.ReadOptions(column_names=names, use_threads=False, block_size=1 << 18),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(include_columns=list(types), column_types=types, null_values=["."]),
        )
    except pa.ArrowInvalid:
        return None
    chrom = table[chrom_column].unify_dictionaries().combine_chunks()
    chrom_names = chrom.dictionary.to_pylist()
    if not all(name and name.isascii() and not _is_header(name) for name in chrom_names):
        return None
    # A missing number ('.') becomes NaN, which is in no range.
    start, end = table[start_column].to_numpy(), table[end_column].to_numpy()
    ordinary = (start >= 0) & (start < end) & (end < 2**31)
    signal = np.full(len(start), np.nan)
    if layout.signal_column:
        signal = table[signal_column].to_numpy()
        ordinary &= np.isfinite(signal) | table[signal_column].is_null().to_numpy()
    summit = np.full(len(start), -1)
    if layout.summit_column:
        offset = table[summit_column].to_numpy()
        ordinary &= (offset >= -1) & (offset < end - start)
        summit = np.where(offset >= 0, start + offset, -1)
    if not ordinary.all():
        return None
    return Peaks(np.array(chrom_names)[chrom.indices.to_numpy()], start, end, summit, signal)


def _has_hexadecimal(block: bytes) -> bool:
    """Whether a column begins with 0x or 0X, which the CSV reader takes for a number."""
    letters = np.frombuffer(block, np.uint8)
    at = np.flatnonzero((letters | 32) == ord("x"))  # x and X differ in the bit of 32
    return bool(((letters[at - 1] == ord("0")) & np.isin(letters[at - 2], (ord("\t"), ord(" ")))).any())


def _parse_block(path: Path, block: bytes, line: int, layout: _Layout) -> Peaks:
    """The peaks of a block of whole lines, of which the first is line number `line` of the file."""
    chroms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    summits: list[int] = []
    signals: list[float] = []
    for number, text in enumerate(block.decode("latin-1").split("\n"), start=line):
        columns = _columns(text)
        if columns is None:
            continue
        if len(columns) != layout.num_columns:
            raise ValueError(
                f"{path}:{number}: found {len(columns)} columns, expected {layout.num_columns} as in the lines "
                "before; mend or remove the line"
            )
        try:
            if not columns[0]:
                raise ValueError("no chromosome name")
            start, end = int(columns[1]), int(columns[2])
            signal = _parse_signal(columns[layout.signal_column - 1]) if layout.signal_column else math.nan
            offset = int(columns[layout.summit_column - 1]) if layout.summit_column else -1
        except ValueError:
            raise ValueError(
                f"{path}:{number}: found {_shorten(text)!r}, expected a chromosome, a whole start and a whole end"
                + (f", a number or '.' in column {layout.signal_column}" if layout.signal_column else "")
                + (f", a whole number in column {layout.summit_column}" if layout.summit_column else "")
                + "; a header line must begin with '#'"
            ) from None
        if not 0 <= start < end < 2**31:
            raise ValueError(
                f"{path}:{number}: found start {start}, end {end}, expected 0 <= start < end < 2^31 "
                "(0-based, half-open); mend or remove the line"
            )
        if not -1 <= offset < end - start:
            raise ValueError(
                f"{path}:{number}: found summit offset {offset} in a peak of {end - start} bp, "
                "expected 0 <= offset < length, or -1 for unknown"
            )
        chroms.append(columns[0])
        starts.append(start)
        ends.append(end)
        summits.append(start + offset if offset >= 0 else -1)
        signals.append(signal)
    return Peaks(
        chrom=np.array(chroms, dtype=np.str_),
        start=np.array(starts, dtype=np.int64),
        end=np.array(ends, dtype=np.int64),
        summit=np.array(summits, dtype=np.int64),
        signal=np.array(signals, dtype=np.float64),
    )


def concatenate_peaks(parts: Sequence[Peaks]) -> Peaks:
    """The peaks of several parts, one part after the other."""
    return Peaks(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Peaks)))


def mid_ranks(values: np.ndarray) -> np.ndarray:
    """Rank of each value among the known ones, divided by their number: in (0, 1], equal values share their mean rank.

    NaN stays NaN.
    """
    ranks = np.full(len(values), np.nan, dtype=np.float32)
    known = ~np.isnan(values)
    _, inverse, counts = np.unique(values[known], return_inverse=True, return_counts=True)
    last_rank = np.cumsum(counts)
    ranks[known] = ((last_rank - (counts - 1) / 2) / max(1, known.sum()))[inverse]
    return ranks


def _value_columns(path: Path, number: int, kind: str, num_columns: int) -> tuple[int, int]:
    """1-based columns of signal and summit, 0 where the file has none."""
    expected = {".narrowpeak": 10, ".broadpeak": 9}.get(kind)
    if num_columns < 3 or (expected and num_columns != expected):
        raise ValueError(f"{path}:{number}: found {num_columns} columns, expected {expected or '3 or more'}")
    if num_columns == 10:
        return 7, 10
    if kind == ".broadpeak":
        return 7, 0
    return (5, 0) if num_columns >= 5 else (0, 0)


def _parse_signal(text: str) -> float:
    if text == ".":
        return math.nan
    value = float(text)
    if math.isinf(value):
        raise ValueError("infinite signal")
    return value


def _shorten(line: str) -> str:
    line = line.rstrip("\r\n")
    return line if len(line) <= 60 else line[:57] + "..."


def _split_name(path: Path) -> tuple[str, str]:
    """Name without its peak suffix, and that suffix ('' where it has none)."""
    name = path.name
    for compression in COMPRESSION_SUFFIXES:
        if name.lower().endswith(compression):
            name = name[: -len(compression)]
    for suffix in PEAK_SUFFIXES:
        if name.lower().endswith(suffix.lower()) and len(name) > len(suffix):
            return name[: -len(suffix)], suffix
    return name, ""


def is_peak_file(path: Path) -> bool:
    """Whether a file is one of peaks by its name."""
    return bool(_split_name(path)[1])


def find_peak_files(files_or_folders: str | Path | Iterable[str | Path]) -> dict[str, Path]:
    """Peak files by cell type: the file name without `.narrowPeak`, `.broadPeak` or `.bed` [`.gz`, `.bgz`].

    Args:
        files_or_folders: peak files and folders of them; of a folder, files with other endings are left alone.

    Returns:
        Cell type -> file, sorted by cell type.

    Raises:
        FileNotFoundError: a file does not exist, or there are no peak files.
        ValueError: a file with another ending, or two files of one cell type.
    """
    if isinstance(files_or_folders, (str, Path)):
        files_or_folders = [files_or_folders]
    found: dict[str, Path] = {}
    for given in map(Path, files_or_folders):
        if given.is_dir():
            files = sorted(file for file in given.iterdir() if _split_name(file)[1] and not file.name.startswith("."))
            if not files:
                raise FileNotFoundError(
                    f"{given}: no peak files in the folder, expected names ending in {PEAK_FILE_ENDINGS}"
                )
        else:
            files = [given]
        for file in files:
            cell_type, suffix = _split_name(file)
            if not file.exists():
                raise FileNotFoundError(f"{file}: no such file")
            if not suffix:
                raise ValueError(f"{file}: not a peak file by its name, expected an ending {PEAK_FILE_ENDINGS}")
            if cell_type in found:
                raise ValueError(
                    f"{file}: second file of cell type {cell_type!r}, after {found[cell_type]}; rename or remove one"
                )
            found[cell_type] = file
    if not found:
        raise FileNotFoundError("no peak files given")
    return dict(sorted(found.items()))
