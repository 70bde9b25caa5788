"""Reading transcription start sites (TSSs) from BED files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modeling_genebert.dna_genebert import reverse_complement

from ..files import read_line_blocks
from ..genome import Genome


@dataclass(frozen=True)
class Promoter:
    """A promoter: its TSS is the first transcribed base, bp, 0-based; its strand is "+" or "-"."""

    id: str
    chrom: str
    tss: int
    strand: str

    def window(self, upstream: int, downstream: int) -> tuple[int, int]:
        """The interval (bp, 0-based, half-open) from `upstream` bp before the TSS to `downstream` bp after it."""
        if self.strand == "+":
            return self.tss - upstream, self.tss + downstream + 1
        return self.tss - downstream, self.tss + upstream + 1


def fetch(promoter: Promoter, genome: Genome, upstream: int, downstream: int) -> str:
    """The bases from `upstream` bp before the TSS to `downstream` bp after it, read along the promoter's strand."""
    sequence = genome.fetch(promoter.chrom, *promoter.window(upstream, downstream))
    return sequence if promoter.strand == "+" else reverse_complement(sequence)


def read_promoters(path: str | Path, tss_position: str = "auto") -> list[Promoter]:
    """Read promoters from a BED file with 6 or more columns; plain, gzip or bgzip; separated by tabs or spaces.

    EPDnew's BED has 60 bp a record, 49 upstream of the TSS and 10 downstream, and the columns thickStart and thickEnd,
    which reach from the TSS 10 bp downstream.

    Args:
        path: the file.
        tss_position: where a record's TSS is:
            - "thick": the first base, along the strand, of thickStart to thickEnd (columns 7 and 8);
            - "centre": (start + end) // 2, on either strand;
            - "start": the record's first base along its strand: start on +, end - 1 on -;
            - "auto": "thick" where there are 8 or more columns, "start" where all records have 1 bp.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line (the message names it), a name that stands twice, no records, or "auto" where the
            file does not say.
    """
    path = Path(path)
    records = list(_records(path))
    if not records:
        raise ValueError(f"{path}: no promoters in the file, expected lines 'chromosome start end name score strand'")
    if tss_position == "auto":
        if all(record.thick for record in records):
            tss_position = "thick"
        elif all(record.end - record.start == 1 for record in records):
            tss_position = "start"
        else:
            widths = sorted({record.end - record.start for record in records})
            raise ValueError(
                f"{path}: where is the TSS? Records of {widths[0]} to {widths[-1]} bp without thickStart and thickEnd "
                "do not say; give tss_position: centre or start"
            )
    promoters = []
    lines_of_names: dict[str, int] = {}
    for record in records:
        if record.name in lines_of_names:
            raise ValueError(
                f"{path}:{record.line}: {record.name!r} is the name in line {lines_of_names[record.name]} too; "
                "give each promoter a name of its own"
            )
        lines_of_names[record.name] = record.line
        promoters.append(Promoter(record.name, record.chrom, _tss(path, record, tss_position), record.strand))
    return promoters


@dataclass(frozen=True)
class _Record:
    line: int
    chrom: str
    start: int
    end: int
    name: str
    strand: str
    thick: tuple[int, int] | None


def _records(path: Path) -> Iterator[_Record]:
    number = 0
    for block in read_line_blocks(path):
        for text in io.StringIO(block.decode("latin-1")):
            number += 1
            columns = text.rstrip("\r\n").split("\t") if "\t" in text else text.split()
            if not text.strip() or columns[0].startswith("#") or columns[0].split(" ")[0] in ("track", "browser"):
                continue
            where = f"{path}:{number}"
            if len(columns) < 6:
                raise ValueError(
                    f"{where}: found {len(columns)} columns, expected 'chromosome start end name score strand'"
                )
            chrom, start, end, name, _, strand = (column.strip() for column in columns[:6])
            try:
                interval = int(start), int(end)
                thick = (int(columns[6]), int(columns[7])) if len(columns) >= 8 else None
            except ValueError:
                raise ValueError(
                    f"{where}: found {text.strip()[:60]!r}, expected whole numbers in columns 2, 3, 7 and 8; a header "
                    "line must begin with '#'"
                ) from None
            if not 0 <= interval[0] < interval[1] < 2**31:
                raise ValueError(f"{where}: found start {start}, end {end}, expected 0 <= start < end < 2^31")
            if thick and not interval[0] <= thick[0] < thick[1] <= interval[1]:
                # BED without a thick part has thickStart = thickEnd.
                thick = None
            if strand not in ("+", "-"):
                raise ValueError(f"{where}: found strand {strand!r} in column 6, expected + or -")
            if not chrom or not name:
                raise ValueError(f"{where}: no {'name' if chrom else 'chromosome'}; fill the column")
            yield _Record(number, chrom, *interval, name, strand, thick)


def _tss(path: Path, record: _Record, tss_position: str) -> int:
    if tss_position == "centre":
        return (record.start + record.end) // 2
    start, end = record.start, record.end
    if tss_position == "thick":
        if record.thick is None:
            raise ValueError(
                f"{path}:{record.line}: no thickStart and thickEnd within the record, in columns 7 and 8; "
                "give tss_position: centre or start"
            )
        start, end = record.thick
    return start if record.strand == "+" else end - 1
