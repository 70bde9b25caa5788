"""Reading peaks: BED, narrowPeak and broadPeak files."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .files import read_line_blocks


PEAK_SUFFIXES = (".narrowPeak", ".broadPeak", ".bed")
COMPRESSION_SUFFIXES = (".gz", ".bgz")


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
    chroms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    summits: list[int] = []
    signals: list[float] = []
    num_columns = signal_column = summit_column = 0
    number = 0
    for block in read_line_blocks(path):
        for line in block.decode("latin-1").split("\n"):
            number += 1
            fields = line.rstrip("\r").split("\t") if "\t" in line else line.split()
            if not line.strip() or fields[0].startswith("#") or fields[0].split(" ")[0] in ("track", "browser"):
                continue
            if not num_columns:
                num_columns = len(fields)
                signal_column, summit_column = _value_columns(path, number, kind, num_columns)
            if len(fields) != num_columns:
                raise ValueError(
                    f"{path}:{number}: found {len(fields)} columns, expected {num_columns} as in the lines before; "
                    "mend or remove the line"
                )
            try:
                if not fields[0]:
                    raise ValueError("no chromosome name")
                start, end = int(fields[1]), int(fields[2])
                signal = _parse_signal(fields[signal_column - 1]) if signal_column else math.nan
                offset = int(fields[summit_column - 1]) if summit_column else -1
            except ValueError:
                raise ValueError(
                    f"{path}:{number}: found {_shorten(line)!r}, expected a chromosome, a whole start and a whole end"
                    + (f", a number or '.' in column {signal_column}" if signal_column else "")
                    + (f", a whole number in column {summit_column}" if summit_column else "")
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
            chroms.append(fields[0])
            starts.append(start)
            ends.append(end)
            summits.append(start + offset if offset >= 0 else -1)
            signals.append(signal)
        number -= block.endswith(b"\n")  # split() gave one empty string more than there are lines
    if not starts:
        raise ValueError(f"{path}: no peaks in the file, expected at least one line 'chromosome start end'")
    signal_values = np.array(signals, dtype=np.float64)
    if signal_column == 5 and len(set(signals)) == 1:
        # Many tools fill the score column of BED with 0 or 1000: that is no measurement.
        signal_values[:] = np.nan
    return Peaks(
        chrom=np.array(chroms),
        start=np.array(starts, dtype=np.int64),
        end=np.array(ends, dtype=np.int64),
        summit=np.array(summits, dtype=np.int64),
        signal=signal_values,
    )


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
    endings = ", ".join(PEAK_SUFFIXES) + " (also with " + " or ".join(COMPRESSION_SUFFIXES) + ")"
    found: dict[str, Path] = {}
    for given in map(Path, files_or_folders):
        if given.is_dir():
            files = sorted(file for file in given.iterdir() if _split_name(file)[1] and not file.name.startswith("."))
            if not files:
                raise FileNotFoundError(f"{given}: no peak files in the folder, expected names ending in {endings}")
        else:
            files = [given]
        for file in files:
            cell_type, suffix = _split_name(file)
            if not file.exists():
                raise FileNotFoundError(f"{file}: no such file")
            if not suffix:
                raise ValueError(f"{file}: not a peak file by its name, expected an ending {endings}")
            if cell_type in found:
                raise ValueError(
                    f"{file}: second file of cell type {cell_type!r}, after {found[cell_type]}; rename or remove one"
                )
            found[cell_type] = file
    if not found:
        raise FileNotFoundError("no peak files given")
    return dict(sorted(found.items()))
