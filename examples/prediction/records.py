"""What is predicted: records of FASTA, tables, BED and VCF files, read one after the other.

A file of any size takes the memory of one record. What cannot be predicted is skipped and counted by reason; a file
that is not what it seems to be is an error.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hub_datasets.files import read_line_blocks
from hub_datasets.genome import Genome, naming_hint
from hub_datasets.vcf import VcfCounts, allele_windows, read_vcf
from modeling_genebert import reverse_complement


FASTA_ENDINGS = (".fa", ".fasta", ".fna", ".fas")
TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".tab", ".parquet")
BED_ENDINGS = (".bed", ".narrowPeak", ".broadPeak")
VCF_ENDINGS = (".vcf",)
COMPRESSIONS = (".gz", ".bgz")
LIST_SEPARATOR = ";"  # in a cell of a text file
NUM_EXAMPLES = 3  # of each reason to skip, that are kept for the report
ROWS_AT_ONCE = 1000  # of a Parquet file
LONGEST_SEQUENCE = 4_000_000  # bp of a FASTA record, so that no chromosome is read into memory

REGIONS_INSTEAD = (
    "Predict regions of it: --input_file regions.bed --genome genome.fa (bedtools makewindows writes such a BED file)"
)

NO_SEQUENCE = "no sequence"
NOT_DNA = "letters that are not DNA"
ALL_UNKNOWN = "no known base"
UNKNOWN_CHROMOSOME = "chromosome that the genome does not have"
OUTSIDE = "not inside of the chromosome"

CONTEXT_COLUMNS = ("region_ids", "accessibility", "anchor")
_NOT_IUPAC = re.compile("[^ACGTURYSWKMBDHVN]", re.IGNORECASE)
_KNOWN = re.compile("[ACGTU]", re.IGNORECASE)


@dataclass
class Context:
    """The open regions round a record, as [`GeneBertProcessor`] takes them."""

    regions: list[str]
    positions: list[int]
    accessibility: list[float | None]
    anchor: int


@dataclass
class Change:
    """Where a variant's alleles differ in their windows: from base `start` (0-based) on, `ref` and `alt` bases."""

    start: int
    ref: int
    alt: int


@dataclass
class Record:
    """One input.

    Attributes:
        where: file and line or record, for messages.
        columns: what its row of the output begins with.
        sequence: DNA; of a variant the reference allele's window.
        alt_sequence: the alternate allele's window.
        place: chromosome, start and end in bp (0-based, half-open), where it has one.
        context: open regions round it.
        change: of a variant read from a VCF.
    """

    where: str
    columns: dict[str, Any]
    sequence: str
    alt_sequence: str | None = None
    place: tuple[str, int, int] | None = None
    context: Context | None = None
    change: Change | None = None


@dataclass
class Counts:
    """What became of the input: records read, skipped by reason, and the first few examples of each reason."""

    read: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, example: str) -> None:
        self.skipped[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < NUM_EXAMPLES:
            examples.append(example)


@dataclass
class Source:
    """Records, and what is known of them before they are read.

    Attributes:
        columns: name -> type of what each record's row begins with.
        has_alleles: whether records have an alternate allele.
        records: to be read once.
    """

    columns: dict[str, pa.DataType]
    has_alleles: bool
    records: Iterator[Record]


def open_source(
    path: Path,
    counts: Counts,
    *,
    genome: Genome | None = None,
    width: int | None = None,
    sequence_column: str = "sequence",
    alt_sequence_column: str = "alt_sequence",
    regions: pa.Table | None = None,
) -> Source:
    """
    Open an input file; what it holds is told by the ending of its name.

    Args:
        path: FASTA, table (CSV, TSV, Parquet), BED or VCF; all but Parquet also with `.gz` or `.bgz`.
        counts: filled while the records are read.
        genome: for BED and VCF.
        width: of regions round the middle of BED intervals, and of the windows of a variant's alleles, bp.
        sequence_column, alt_sequence_column: names of the columns of a table.
        regions: columns `sequence`, `start` and `end`, of which a table's `region_ids` are row numbers.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an ending that is not known, or a genome or width that is missing or of no use.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    name = path.name
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    ending = Path(name).suffix
    needs_genome = ending in (*BED_ENDINGS, *VCF_ENDINGS)
    if needs_genome != (genome is not None):
        raise ValueError(
            f"{path}: {ending} holds places, not sequences: pass --genome"
            if needs_genome
            else f"{path}: --genome goes with {', '.join((*BED_ENDINGS, *VCF_ENDINGS))}: leave it out"
        )
    if width is not None and not needs_genome:
        raise ValueError(f"{path}: --width goes with {', '.join((*BED_ENDINGS, *VCF_ENDINGS))}: leave it out")
    if ending in FASTA_ENDINGS:
        return Source({"id": pa.string()}, False, _read_fasta(path, counts))
    if ending in BED_ENDINGS:
        assert genome is not None
        columns = {"chrom": pa.string(), "start": pa.int64(), "end": pa.int64()}
        columns |= {"id": pa.string(), "strand": pa.string()}
        return Source(columns, False, _read_bed(path, counts, genome, width))
    if ending in VCF_ENDINGS:
        assert genome is not None
        if width is None:
            raise ValueError(f"{path}: pass --width, the bp round a variant that the model was trained on")
        columns = {"chrom": pa.string(), "pos": pa.int64(), "id": pa.string(), "ref": pa.string(), "alt": pa.string()}
        return Source(columns, True, _read_variants(path, counts, genome, width))
    if ending in TABLE_ENDINGS:
        return _open_table(path, ending, counts, sequence_column, alt_sequence_column, regions)
    endings = (*FASTA_ENDINGS, *TABLE_ENDINGS, *BED_ENDINGS, *VCF_ENDINGS)
    raise ValueError(f"{path}: found the ending {ending!r}, expected one of {', '.join(endings)}")


def usable(record: Record, counts: Counts) -> bool:
    """Whether there is DNA to predict from; counts it as read, and as skipped where there is none."""
    counts.read += 1
    for sequence in (record.sequence, record.alt_sequence):
        if sequence is None:
            continue
        reason = ""
        if not sequence:
            reason = NO_SEQUENCE
        elif found := _NOT_IUPAC.search(sequence):
            reason = NOT_DNA
            record.where += f" has {found.group()!r} at position {found.start()} (0-based)"
        elif not _KNOWN.search(sequence):
            reason = ALL_UNKNOWN
        if reason:
            counts.skip(reason, record.where)
            return False
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines without their end, numbered from 1."""
    number = 0
    for block in read_line_blocks(path, 1 << 16):
        for line in block.decode("utf-8", errors="replace").removesuffix("\n").split("\n"):
            number += 1
            yield number, line.removesuffix("\r")


# FASTA


def _read_fasta(path: Path, counts: Counts) -> Iterator[Record]:
    name: str | None = None
    first_line, length = 0, 0
    parts: list[str] = []

    def record() -> Record | None:
        made = Record(f"{path}:{first_line}: record {name!r}", {"id": name}, "".join(parts))
        return made if usable(made, counts) else None

    for number, line in _lines(path):
        if line.startswith(">"):
            if name is not None and (made := record()):
                yield made
            words = line[1:].split()
            if not words:
                raise ValueError(f"{path}:{number}: record without a name, expected '>name'")
            name, first_line, parts, length = words[0], number, [], 0
            continue
        if name is None:
            if line.strip():
                raise ValueError(f"{path}:{number}: not a FASTA file: found {line[:30]!r}, expected a line '>name'")
            continue
        parts.append("".join(line.split()))
        length += len(parts[-1])
        if length > LONGEST_SEQUENCE:
            raise ValueError(
                f"{path}:{first_line}: record {name!r} has more than {LONGEST_SEQUENCE:,} bp. {REGIONS_INSTEAD}"
            )
    if name is None:
        raise ValueError(f"{path}: empty file, expected a FASTA file")
    if made := record():
        yield made


# Tables


def _open_table(
    path: Path, ending: str, counts: Counts, sequence: str, alt_sequence: str, regions: pa.Table | None
) -> Source:
    rows: Iterator[tuple[str, dict[str, Any]]]
    if ending == ".parquet":
        try:
            file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise ValueError(f"{path}: not a Parquet file ({str(error).splitlines()[0]})") from None
        types = {column.name: column.type for column in file.schema_arrow}
        rows = _parquet_rows(path, file)
    else:
        lines = _lines(path)
        header, rows = _text_rows(path, lines, "," if ending == ".csv" else "\t")
        types = dict.fromkeys(header, pa.string())
    if sequence not in types:
        found = ", ".join(repr(name[:30]) for name in list(types)[:10]) or "no columns"
        raise ValueError(f"{path}: no column {sequence!r}, found {found}; name it with --sequence_column")
    with_context = "region_ids" in types
    if with_context != (regions is not None):
        raise ValueError(
            f"{path}: its column region_ids counts rows of a table of regions: pass --regions_file"
            if with_context
            else f"{path}: --regions_file goes with a column region_ids, found {', '.join(list(types)[:10])}"
        )
    with_place = {"chrom", "start", "end"} <= set(types)
    carried = [name for name in types if name not in (sequence, alt_sequence, *CONTEXT_COLUMNS)]
    has_alleles = alt_sequence in types

    def records() -> Iterator[Record]:
        for where, row in rows:
            columns = {name: row[name] for name in carried}
            alternate = _as_text(row[alt_sequence]) if has_alleles else None
            record = Record(where, columns, _as_text(row[sequence]), alternate)
            if usable(record, counts):
                if with_place:
                    record.place = _place(where, row)
                if regions is not None:
                    record.context = _context_of_row(where, row, regions)
                yield record

    return Source({name: types[name] for name in carried}, has_alleles, records())


def _as_text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _parquet_rows(path: Path, file: pq.ParquetFile) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for batch in file.iter_batches(ROWS_AT_ONCE):
        for row in batch.to_pylist():
            yield f"{path}, row {number} (0-based)", row
            number += 1


def _text_rows(
    path: Path, lines: Iterator[tuple[int, str]], delimiter: str
) -> tuple[list[str], Iterator[tuple[str, dict[str, Any]]]]:
    """The names of the columns, and the rows."""
    csv.field_size_limit(1 << 28)  # a cell of the default size, 131,072, may be too small for DNA
    reader = csv.reader((line + "\n" for _, line in lines), delimiter=delimiter)
    header = [name.strip() for name in next(reader, [])]
    if header:
        header[0] = header[0].removeprefix("\ufeff")  # Excel's byte order mark
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise ValueError(f"{path}:1: column {twice[0]!r} comes twice, expected each name once")

    def rows() -> Iterator[tuple[str, dict[str, Any]]]:
        try:
            for cells in reader:
                if not cells:
                    continue
                where = f"{path}:{reader.line_num}"
                if len(cells) != len(header):
                    raise ValueError(f"{where}: found {len(cells)} columns, expected {len(header)} as in the header")
                yield where, dict(zip(header, cells, strict=True))
        except csv.Error as error:
            raise ValueError(f"{path}:{reader.line_num}: not a table ({error})") from None

    return header, rows()


def _place(where: str, row: dict[str, Any]) -> tuple[str, int, int] | None:
    """Chromosome, start and end of a row; None where one is missing."""
    cells = [row[name] for name in ("chrom", "start", "end")]
    if any(cell is None or cell == "" for cell in cells):
        return None
    try:
        return str(cells[0]), int(cells[1]), int(cells[2])
    except ValueError:
        raise ValueError(f"{where}: found start {cells[1]!r} and end {cells[2]!r}, expected whole numbers") from None


def _context_of_row(where: str, row: dict[str, Any], regions: pa.Table) -> Context:
    """The regions that a row's `region_ids` name."""

    def cells(name: str) -> list[Any]:
        value = row.get(name)
        return value.split(LIST_SEPARATOR) if isinstance(value, str) else list(value if value is not None else [])

    try:
        ids = [int(cell) for cell in cells("region_ids")]
        measured = [
            None if cell in (None, "") or np.isnan(float(cell)) else float(cell) for cell in cells("accessibility")
        ]
        anchor = int(row["anchor"]) if row.get("anchor") not in (None, "") else (len(ids) - 1) // 2
    except ValueError:
        raise ValueError(
            f"{where}: region_ids, accessibility and anchor are not numbers; in a text file lists are written 1;2;3"
        ) from None
    if not ids or min(ids) < 0 or max(ids) >= len(regions):
        raise ValueError(f"{where}: region_ids {ids[:8]}, expected row numbers from 0 to {len(regions) - 1}")
    chosen = regions.take(ids).to_pydict()
    positions = [(start + end) // 2 for start, end in zip(chosen["start"], chosen["end"], strict=True)]
    return Context(chosen["sequence"], positions, measured or [None] * len(ids), anchor)


def read_regions(path: Path) -> pa.Table:
    """The columns `sequence`, `start` and `end` of a Parquet file, or of all in a folder (a config `regions`)."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"{path}: no such file, or no Parquet files in the folder")
    names = ["sequence", "start", "end"]
    for file in files:
        found = pq.read_schema(file).names
        if missing := [name for name in names if name not in found]:
            raise ValueError(f"{file}: no column {missing[0]!r}, found {', '.join(found[:10])}")
    return pa.concat_tables(pq.read_table(file, columns=names) for file in files)


# Places on a genome


def _read_bed(path: Path, counts: Counts, genome: Genome, width: int | None) -> Iterator[Record]:
    num_unknown, last_unknown = 0, ""
    for number, line in _lines(path):
        columns = line.split("\t") if "\t" in line else line.split()
        if not line.strip() or columns[0].startswith("#") or columns[0].split(" ")[0] in ("track", "browser"):
            continue
        where = f"{path}:{number}"
        try:
            chrom, start, end = columns[0], int(columns[1]), int(columns[2])
            if not 0 <= start < end:
                raise ValueError
        except (ValueError, IndexError):
            raise ValueError(
                f"{where}: found {line[:60]!r}, expected a chromosome, a start and an end, 0 <= start < end (0-based)"
            ) from None
        name = columns[3] if len(columns) > 3 and columns[3] != "." else f"{chrom}:{start}-{end}"
        strand = columns[5] if len(columns) > 5 and columns[5] in ("+", "-") else "."
        shown = f"{where}: {chrom}:{start}-{end}"
        if width is not None:
            start = (start + end) // 2 - width // 2
            end = start + width
        if chrom not in genome.chromosomes:
            num_unknown, last_unknown = num_unknown + 1, chrom
            counts.read += 1
            counts.skip(UNKNOWN_CHROMOSOME, shown)
        elif start < 0 or end > genome.chromosomes[chrom]:
            counts.read += 1
            counts.skip(OUTSIDE, f"{shown}; predicted from {start}-{end} of {genome.chromosomes[chrom]} bp")
        else:
            sequence = genome.fetch(chrom, start, end)
            sequence = reverse_complement(sequence) if strand == "-" and not _NOT_IUPAC.search(sequence) else sequence
            row = {"chrom": chrom, "start": start, "end": end, "id": name, "strand": strand}
            record = Record(shown, row, sequence, place=(chrom, start, end))
            if usable(record, counts):
                yield record
    if num_unknown and num_unknown == counts.read:
        hint = naming_hint([last_unknown], genome.chromosomes)
        raise ValueError(
            f"{path}: the genome {genome.path} has none of its chromosomes, such as {last_unknown!r}{hint}"
        )


def _read_variants(path: Path, counts: Counts, genome: Genome, width: int) -> Iterator[Record]:
    vcf = VcfCounts()
    for variant in read_vcf(path, genome, vcf, max_allele_length=width):
        windows = allele_windows(genome, variant, width)
        row = {
            "chrom": variant.chrom,
            "pos": variant.position + 1,
            "id": variant.id,
            "ref": variant.ref,
            "alt": variant.alt,
        }
        ref, alt = len(variant.ref), len(variant.alt)
        record = Record(
            f"{path}:{variant.line}: {variant}",
            row,
            windows.sequence,
            windows.alt_sequence,
            (variant.chrom, windows.start, windows.end),
            change=Change(variant.position - windows.start, ref, alt),
        )
        if usable(record, counts):
            yield record
    vcf.check_build(path, genome)
    for reason, number in vcf.skipped.items():
        counts.read += number
        counts.skipped[reason] += number
        counts.examples.setdefault(reason, []).extend(vcf.examples[reason])
