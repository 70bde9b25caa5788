"""Reading exons: GTF files of Ensembl, GENCODE, UCSC or StringTie."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from .files import read_line_blocks


_COLUMNS = ("chrom", "source", "feature", "start", "end", "score", "strand", "frame", "attributes")
_IDS = ("gene_id", "transcript_id")
_BLANK_OR_COMMENT = re.compile(rb"^[ \t]*(?:#[^\n]*)?(?:\n|\Z)", re.MULTILINE)
_GFF3_DIRECTIVE = re.compile(rb"^##\s*gff-version\s+3", re.MULTILINE)
_USE_GTF = "expected GTF (version 2.2): convert it with `gffread IN.gff3 -T -o OUT.gtf`"


def read_exons(path: str | Path) -> pd.DataFrame:
    """Read the exons of a GTF file: plain, gzip or bgzip; in any order.

    Only lines whose feature is `exon` are used. Of their attributes, gene and transcript are read, wherever they stand
    and whether quoted or not. Blank lines and comments (`#`) are passed over. GFF3 is refused.

    Args:
        path: the file. Its coordinates are 1-based, inclusive.

    Returns:
        One row an exon, in file order, with the columns `chrom`, `strand` (`+`, `-`, or `.` for unknown), `gene_id`
        and `transcript_id` (categories), `start` and `end` (int64; bp, 0-based, half-open).

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a malformed line (the message names it), no exons at all, GFF3, or a truncated file.
    """
    path = Path(path)
    parts: list[pa.Table] = []
    features: Counter[str] = Counter()
    line = 1
    for block in read_line_blocks(path):
        if _GFF3_DIRECTIVE.search(block):
            raise ValueError(f"{path}: is GFF3 by its line '##gff-version 3', {_USE_GTF}")
        part = _parse_block(block, features)
        if part is None:
            raise _fault_in(path, block, line)
        parts.append(part)
        line += block.count(b"\n")
    if not any(map(len, parts)):
        found = ", ".join(f"{feature} ({count:,})" for feature, count in features.most_common(8)) or "no features"
        raise ValueError(
            f"{path}: no exons in the file: found {found}, expected lines whose third column is 'exon'; "
            "give the annotation with its exons"
        )
    return pa.concat_tables(parts).unify_dictionaries().to_pandas()


def _parse_block(block: bytes, features: Counter[str]) -> pa.Table | None:
    """The exons of a block of whole lines, and how often it holds each feature; None where a line is malformed."""
    block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")  # a file may end within a CRLF
    if b"#" in block or b"\n " in block or b"\n\t" in block or block[:1].isspace():
        block = _BLANK_OR_COMMENT.sub(b"", block)
    # The CSV reader takes a lone carriage return for the end of a line.
    if b"\r" in block:
        return None
    try:
        table = csv.read_csv(
            pa.BufferReader(block or b"\n"),
            read_options=csv.ReadOptions(column_names=_COLUMNS, use_threads=False),
            parse_options=csv.ParseOptions(delimiter="\t", quote_char=False),
            convert_options=csv.ConvertOptions(
                include_columns=("chrom", "feature", "start", "end", "strand", "attributes"),
                column_types=dict.fromkeys(_COLUMNS, pa.string()),
            ),
        )
    except pa.ArrowInvalid:
        return None
    for counted in pc.value_counts(table["feature"].combine_chunks()).to_pylist():
        features[counted["values"]] += counted["counts"]
    exons = table.filter(pc.equal(table["feature"], "exon")).combine_chunks()

    # As digits: a cast alone would take 0x1F for a number, and a sum of digits beyond 18 would not fit.
    places = [exons[name] for name in ("start", "end")]
    if not all(pc.all(pc.match_substring_regex(place, r"^[0-9]{1,18}$"), min_count=0).as_py() for place in places):
        return None
    start, end = (place.cast(pa.int64()) for place in places)
    in_range = pc.and_(pc.and_(pc.greater_equal(start, 1), pc.less_equal(start, end)), pc.less(end, 2**31))
    known_strand = pc.is_in(exons["strand"], pa.array(["+", "-", "."]))
    named = pc.not_equal(exons["chrom"], "")
    ids = [_attribute(exons["attributes"], name) for name in _IDS]
    for check in (in_range, known_strand, named, *(pc.not_equal(values, "") for values in ids)):
        if not pc.all(check, min_count=0).as_py():
            return None
    columns = {
        "chrom": exons["chrom"].dictionary_encode(),
        "start": pc.subtract(start, 1),
        "end": end,
        "strand": exons["strand"].dictionary_encode(),
        **{name: values.dictionary_encode() for name, values in zip(_IDS, ids, strict=True)},
    }
    return pa.table(columns)


def _attribute_pattern(name: str) -> str:
    """Pattern of a whole `name "value";` with all that comes before it, so that no other value is taken for a name."""
    value = r'(?:"[^"]*"|[^\s";]+)'
    return rf'^\s*(?:[^\s";]+\s+{value}\s*;\s*)*?{name}\s+(?:"(?P<quoted>[^"]*)"|(?P<plain>[^\s";]+))\s*(?:;|$)'


def _attribute(attributes: pa.ChunkedArray, name: str) -> pa.ChunkedArray:
    """The first value of an attribute in each row; empty where there is none."""
    found = pc.extract_regex(attributes, _attribute_pattern(name))
    values = pc.binary_join_element_wise(pc.struct_field(found, "quoted"), pc.struct_field(found, "plain"), "")
    return pc.fill_null(values, "")


def _fault_in(path: Path, block: bytes, line: int) -> ValueError:
    """What is wrong with a block that was not understood, of which the first line is number `line` of the file."""
    for number, raw in enumerate(block.split(b"\n"), start=line):
        if fault := _fault_of(raw.removesuffix(b"\r")):
            return ValueError(f"{path}:{number}: {fault}")
    return ValueError(f"{path}:{line}: not understood from this line on, expected GTF")


def _fault_of(raw: bytes) -> str | None:
    """What is wrong with a line of GTF; None where it is in order."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"found bytes that are not UTF-8 in {raw[:60]!r}, expected text; save the file as UTF-8"
    if not text.strip(" \t") or text.lstrip(" \t").startswith("#"):
        return None
    if "\r" in text:
        return "found a carriage return within the line, expected lines that end in a line feed; convert the file"
    columns = text.split("\t")
    if len(columns) != len(_COLUMNS):
        return f"found {len(columns)} tab-separated columns, expected the {len(_COLUMNS)} of GTF"
    chrom, _, feature, start, end, _, strand, _, attributes = columns
    if feature != "exon":
        return None
    if not chrom:
        return "found no chromosome name in column 1 of an exon"
    is_number = all(re.fullmatch("[0-9]{1,18}", place) for place in (start, end))
    if not is_number or not 1 <= int(start) <= int(end) < 2**31:
        return f"found start {start!r}, end {end!r}, expected 1 <= start <= end < 2^31 (1-based, inclusive)"
    if strand not in ("+", "-", "."):
        return f"found strand {strand!r}, expected '+', '-' or '.'"
    for name in _IDS:
        match = re.match(_attribute_pattern(name), attributes, re.ASCII)
        if not (match and (match["quoted"] or match["plain"])):
            seems_gff3 = "=" in attributes and f"{name} " not in attributes
            shown = attributes if len(attributes) <= 60 else attributes[:57] + "..."
            remedy = f"this seems to be GFF3, {_USE_GTF}" if seems_gff3 else f'expected {name} "ID";'
            return f"an exon without {name}: found {shown!r}, {remedy}"
    return None
