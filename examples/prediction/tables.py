"""Writing a table row by row: CSV, TSV or Parquet, whole or not at all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from hub_datasets.files import written_whole


OUTPUT_ENDINGS = (".csv", ".tsv", ".parquet")
ROWS_PER_GROUP = 10_000  # of Parquet: what is held in memory


class Writer(Protocol):
    """Takes rows, and is closed after the last one."""

    def write(self, rows: list[dict[str, Any]]) -> None: ...

    def close(self) -> None: ...


class TextWriter:
    """CSV or TSV; of numbers, six significant digits."""

    def __init__(self, stream: BinaryIO, columns: dict[str, pa.DataType], delimiter: str):
        self.text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        self.columns = columns
        self.rows = csv.writer(self.text, delimiter=delimiter, lineterminator="\n")
        self.rows.writerow(columns)

    def write(self, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            cells = (row[name] for name in self.columns)
            self.rows.writerow(f"{cell:.6g}" if isinstance(cell, float) else cell for cell in cells)

    def close(self) -> None:
        self.text.detach()  # else it would close the stream, which is not its own


class ParquetWriter:
    """Parquet, written in groups of rows."""

    def __init__(self, stream: BinaryIO, columns: dict[str, pa.DataType]):
        self.schema = pa.schema(list(columns.items()))
        self.file = pq.ParquetWriter(stream, self.schema)
        self.rows: list[dict[str, Any]] = []

    def write(self, rows: list[dict[str, Any]]) -> None:
        self.rows += rows
        if len(self.rows) >= ROWS_PER_GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self.file.close()

    def _flush(self) -> None:
        self.file.write_table(pa.Table.from_pylist(self.rows, schema=self.schema))
        self.rows = []


@contextmanager
def open_table(path: Path, columns: dict[str, pa.DataType]) -> Iterator[Writer]:
    """
    A writer of a table, which gets its name when all is written.

    Args:
        path: the file; its ending says what is written.
        columns: name -> type.

    Raises:
        ValueError: an ending that is not known.
        OSError: it cannot be written.
    """
    check_output(path)
    with written_whole(path) as stream:
        writer: Writer
        if path.suffix == ".parquet":
            writer = ParquetWriter(stream, columns)
        else:
            writer = TextWriter(stream, columns, "," if path.suffix == ".csv" else "\t")
        try:
            yield writer
        finally:
            writer.close()


def check_output(path: Path) -> None:
    """Raise ValueError for a name whose ending says nothing."""
    if path.suffix not in OUTPUT_ENDINGS:
        raise ValueError(f"{path}: found the ending {path.suffix!r}, expected one of {', '.join(OUTPUT_ENDINGS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder, expected one to write {path.name} in")
