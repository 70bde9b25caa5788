"""Reading variants from VCF, and the DNA windows of their two alleles.

A VCF counts positions from 1; here, as everywhere in this package, they are counted from 0.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from .files import read_line_blocks
from .genome import Genome, name_some


VCF_COLUMNS = ["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO"]
NUM_EXAMPLES = 3  # of each reason to skip, that are kept for the report
NOT_CALLED = -1  # copies of an allele where a sample has no genotype

_BASES = re.compile("[ACGT]+")

MALFORMED = "malformed line"
UNKNOWN_CHROMOSOME = "chromosome that the genome does not have"
OUTSIDE = "position outside of the chromosome"
REF_MISMATCH = "REF differs from the genome"
NO_ALTERNATE = "no alternate allele (ALT is '.')"
SPANNING_DELETION = "deletion that another record describes (ALT is '*')"
SYMBOLIC = "symbolic allele (such as <DEL>)"
BREAKEND = "breakend"
NOT_BASES = "allele with letters other than A, C, G, T"
NO_CHANGE = "ALT equals REF"
TOO_LONG = "allele longer than the window takes"


@dataclass(frozen=True)
class Variant:
    """One alternate allele of a VCF record.

    Attributes:
        chrom: chromosome, by the genome's name for it where there is a genome.
        position: of the first base of `ref`, 0-based.
        ref, alt: the alleles, upper case, as the record has them.
        id: the record's ID; `chrom-POS-REF-ALT` (POS 1-based) where it has none.
        info: the INFO column; the value of a flag is "".
        line: of the record in its file, counted from 1.
        copies: with `genotypes=True`, the copies of `alt` that each sample has, int8 of shape `(num_samples,)`; -1
            where it was not called.
    """

    chrom: str
    position: int
    ref: str
    alt: str
    id: str
    info: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    copies: np.ndarray | None = None

    def __str__(self) -> str:
        return f"{self.chrom}-{self.position + 1}-{self.ref}-{self.alt}"


@dataclass
class VcfCounts:
    """What became of the records of a VCF: filled while it is read.

    Attributes:
        records: lines with a record.
        variants: alternate alleles that were given out.
        multi_allelic: records with several alternate alleles, which were split.
        renamed: records whose chromosome the genome names otherwise (chr1 for 1, or 1 for chr1).
        skipped: reason -> alternate alleles (where a record is skipped as a whole: records).
        examples: reason -> the first few, with the name of the file and the line.
    """

    records: int = 0
    variants: int = 0
    multi_allelic: int = 0
    renamed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def skip(self, reason: str, example: str) -> None:
        """Count one that is skipped; the first few examples are kept."""
        self.skipped[reason] += 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < NUM_EXAMPLES:
            examples.append(example)

    def check_build(self, path: str | Path, genome: Genome) -> None:
        """Raise `ValueError` where most records do not fit the genome: the others fit by chance."""
        misfits = self.skipped[REF_MISMATCH] + self.skipped[OUTSIDE]
        if 2 * misfits > self.records:
            raise ValueError(
                f"{path}: {misfits} of {self.records} records do not fit the genome {genome.path}{self.reasons()}; "
                "give the build that the variants were called on"
            )

    def as_dict(self) -> dict[str, Any]:
        """All of it, for a report in JSON."""
        return {
            "records": self.records,
            "variants": self.variants,
            "multi_allelic_records": self.multi_allelic,
            "renamed_chromosomes": self.renamed,
            "skipped": dict(self.skipped),
            "examples_of_skipped": {reason: list(examples) for reason, examples in self.examples.items()},
        }

    def reasons(self, limit: int = 3) -> str:
        """The most frequent reasons to skip, for the end of an error message; empty where nothing was skipped."""
        if not self.skipped:
            return ""
        return "; skipped: " + ", ".join(f"{reason} ({number})" for reason, number in self.skipped.most_common(limit))

    def __str__(self) -> str:
        """For people: a line of totals, and a line for each reason."""
        lines = [
            f"{self.records} records, {self.variants} variants read, {self.skipped.total()} skipped "
            f"({self.multi_allelic} records with several alternate alleles were split, {self.renamed} renamed to the "
            "genome's name of the chromosome)"
        ]
        for reason, number in self.skipped.most_common():
            lines.append(f"  {number} skipped: {reason}; first: {'; '.join(self.examples[reason])}")
        return "\n".join(lines)


def vcf_samples(path: str | Path) -> list[str]:
    """Names of a VCF's samples, in file order. Raises `ValueError` where the file is not a VCF."""
    for number, line in _lines(path):
        if line.startswith("#CHROM"):
            return _parse_header(path, number, line)
        _check_before_header(path, number, line)
    raise _no_header(path, 0)


def read_vcf(
    path: str | Path,
    genome: Genome | None = None,
    counts: VcfCounts | None = None,
    *,
    genotypes: bool = False,
    max_allele_length: int | None = None,
) -> Iterator[Variant]:
    """Read the SNVs, insertions and deletions of a VCF (plain, gzip or bgzip), one after the other.

    A record with several alternate alleles gives one variant for each. What cannot be used is skipped and counted by
    reason: records that do not fit the genome, alleles that are not plain bases, malformed lines. Where the genome
    names a chromosome `chr1` and the file `1`, or the other way round, the genome's name is taken. Memory is constant.

    Args:
        path: the file.
        genome: checks positions and REF, if given.
        counts: filled while the file is read.
        genotypes: read the samples' genotypes too: see `Variant.copies`.
        max_allele_length: variants whose REF or ALT, without the bases that both share, is longer (bp) are skipped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a VCF, it is truncated, or the genome has none of its chromosomes.
    """
    counts = VcfCounts() if counts is None else counts
    samples: list[str] | None = None
    unknown_chromosomes: dict[str, None] = {}
    for number, line in _lines(path):
        if samples is None:
            if line.startswith("#CHROM"):
                samples = _parse_header(path, number, line)
                if genotypes and not samples:
                    raise ValueError(f"{path}:{number}: no samples, expected columns of genotypes after FORMAT")
            else:
                _check_before_header(path, number, line)
            continue
        if not line.strip() or line.startswith("#"):
            continue
        counts.records += 1
        columns = line.split("\t") if genotypes else line.split("\t", 8)
        where = f"{Path(path).name}:{number}"  # goes into reports that travel
        problem = _malformed(columns, len(samples) if genotypes else 0)
        if problem:
            counts.skip(MALFORMED, f"{where}: {problem}")
            continue
        chrom, ref, alts = columns[0], columns[3].upper(), columns[4].upper().split(",")
        position = int(columns[1]) - 1
        shown = f"{where}: {chrom}-{columns[1]}-{_shorten(ref)}-{_shorten(columns[4])}"
        if genome is not None:
            name = _name_in_genome(chrom, genome)
            if name is None:
                counts.skip(UNKNOWN_CHROMOSOME, shown)
                if len(unknown_chromosomes) < 100:
                    unknown_chromosomes[chrom] = None
                continue
            counts.renamed += name != chrom
            chrom = name
            length = genome.chromosomes[chrom]
            if not 0 <= position <= position + len(ref) <= length:
                counts.skip(OUTSIDE, f"{shown}; the chromosome has {length} bp")
                continue
            found = genome.fetch(chrom, position, position + len(ref))
            if found != ref:
                counts.skip(REF_MISMATCH, f"{shown}; the genome has {_shorten(found)}")
                continue
        counts.multi_allelic += len(alts) > 1
        info: dict[str, str] | None = None
        for allele, alt in enumerate(alts, start=1):
            reason = _why_unusable(ref, alt, max_allele_length)
            if reason:
                counts.skip(reason, shown)
                continue
            copies = None
            if genotypes:
                copies = _count_copies(columns[8], columns[9:], allele, len(alts))
                if copies is None:
                    counts.skip(MALFORMED, f"{where}: found genotypes that are not GT of 0 to {len(alts)}")
                    continue
            info = _parse_info(columns[7]) if info is None else info
            record_id = f"{chrom}-{position + 1}-{ref}-{alt}" if columns[2] in (".", "") else columns[2]
            counts.variants += 1
            yield Variant(chrom, position, ref, alt, record_id, info, number, copies)
    if samples is None:
        raise _no_header(path, 0)
    if genome is not None and counts.records and counts.skipped[UNKNOWN_CHROMOSOME] == counts.records:
        raise ValueError(
            f"{path}: the genome {genome.path} has none of its chromosomes: found {name_some(unknown_chromosomes)}, "
            f"expected {name_some(genome.chromosomes)}; give the genome that the variants were called on"
        )


class Reference(Protocol):
    """What windows are cut from: a [`Genome`], or anything else with lengths of sequences and their bases."""

    @property
    def chromosomes(self) -> dict[str, int]:
        """Length in bp of each sequence."""
        ...

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """The bases of an interval (bp, 0-based, half-open) as an upper-case string."""
        ...


class AlleleWindows(NamedTuple):
    """DNA round a variant with each of its alleles; `start` and `end` (0-based, half-open) place the first."""

    sequence: str
    alt_sequence: str
    start: int
    end: int


def allele_windows(genome: Reference, variant: Variant, width: int) -> AlleleWindows:
    """The windows of a variant's reference and alternate allele.

    The reference window has the middle of the changed bases in its middle, at base `width // 2` (0-based). The
    alternate window begins at the same base of the genome and is as long: after an insertion it ends earlier, after a
    deletion it is filled up with the bases that follow on the right. Both are cut where the chromosome begins or ends,
    so that after a deletion near its end the alternate window is shorter.

    Args:
        genome: the genome; its bases are taken for the reference allele.
        variant: the variant.
        width: of the windows in bp.

    Raises:
        ValueError: an allele, without the bases that both share, is longer than the window.
    """
    position, ref, alt = _without_shared_bases(variant.position, variant.ref, variant.alt)
    if max(len(ref), len(alt)) > width:
        raise ValueError(
            f"{_shorten(str(variant), 60)}: an allele of {max(len(ref), len(alt))} bp does not fit a window of "
            f"{width} bp; widen the window, or leave the variant out (max_allele_length)"
        )
    length = genome.chromosomes[variant.chrom]
    start = position + len(ref) // 2 - width // 2
    end = min(start + width, length)
    start = max(start, 0)
    reference = genome.fetch(variant.chrom, start, end)
    after = position + len(ref)
    right = genome.fetch(variant.chrom, after, min(after + len(reference), length))
    alternate = reference[: position - start] + alt + right
    return AlleleWindows(reference, alternate[: len(reference)], start, end)


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines without their end, with their number from 1."""
    number = 0
    for block in read_line_blocks(path, 1 << 22):
        if number == 0 and block.startswith(b"BCF"):
            raise ValueError(
                f"{path}: is a BCF file, expected VCF text; convert it: bcftools view file.bcf > file.vcf"
            )
        for line in block.decode("utf-8", errors="replace").removesuffix("\n").split("\n"):
            number += 1
            yield number, line.removesuffix("\r")


def _check_before_header(path: str | Path, number: int, line: str) -> None:
    if not line.startswith("##"):
        raise _no_header(path, number, line)


def _no_header(path: str | Path, number: int, line: str = "") -> ValueError:
    where, found = (f"{path}:{number}", repr(_shorten(line, 40))) if number else (str(path), "the end of the file")
    return ValueError(
        f"{where}: not a VCF file: found {found}, expected lines '##...' and then the header line "
        f"'{' '.join(VCF_COLUMNS)}' with tabs"
    )


def _parse_header(path: str | Path, number: int, line: str) -> list[str]:
    """Sample names of the line #CHROM."""
    columns = line.split("\t")
    if columns[: len(VCF_COLUMNS)] != VCF_COLUMNS:
        raise _no_header(path, number, line)
    samples = columns[len(VCF_COLUMNS) + 1 :]
    twice = [name for name, count in Counter(samples).items() if count > 1]
    if twice:
        raise ValueError(f"{path}:{number}: sample {twice[0]!r} comes twice, expected each once; rename one")
    return samples


def _malformed(columns: list[str], num_samples: int) -> str:
    """What is wrong with a record's columns; empty where nothing is."""
    expected = len(VCF_COLUMNS) + (num_samples + 1 if num_samples else 0)
    if len(columns) < expected or (num_samples and len(columns) != expected):
        return f"found {len(columns)} columns, expected {expected}, separated by tabs"
    if not re.fullmatch("[0-9]{1,15}", columns[1], re.ASCII):
        return f"found POS {_shorten(columns[1])!r}, expected a whole number"
    if not _BASES.fullmatch(re.sub("[NRYSWKMBDHV]", "A", columns[3].upper())):
        return f"found REF {_shorten(columns[3])!r}, expected bases"
    if not columns[0] or not columns[4]:
        return "found an empty CHROM or ALT"
    return ""


def _name_in_genome(chrom: str, genome: Genome) -> str | None:
    for name in (chrom, chrom.removeprefix("chr"), f"chr{chrom}"):
        if name in genome.chromosomes:
            return name
    return None


def _why_unusable(ref: str, alt: str, max_allele_length: int | None) -> str:
    """Why a pair of alleles is no SNV, insertion or deletion with known bases; empty where it is one."""
    if alt == ".":
        return NO_ALTERNATE
    if alt == "*":
        return SPANNING_DELETION
    if "<" in alt:
        return SYMBOLIC
    if "[" in alt or "]" in alt or "." in alt:
        return BREAKEND
    if not (_BASES.fullmatch(ref) and _BASES.fullmatch(alt)):
        return NOT_BASES
    if ref == alt:
        return NO_CHANGE
    if max_allele_length is not None:
        _, changed, new = _without_shared_bases(0, ref, alt)
        if max(len(changed), len(new)) > max_allele_length:
            return TOO_LONG
    return ""


def _without_shared_bases(position: int, ref: str, alt: str) -> tuple[int, str, str]:
    """Position and alleles without the bases that both end with, then without those that both begin with."""
    while ref and alt and ref[-1] == alt[-1]:
        ref, alt = ref[:-1], alt[:-1]
    shared = 0
    while shared < min(len(ref), len(alt)) and ref[shared] == alt[shared]:
        shared += 1
    return position + shared, ref[shared:], alt[shared:]


def _parse_info(text: str) -> dict[str, str]:
    if text in (".", ""):
        return {}
    return {name: value for name, _, value in (entry.partition("=") for entry in text.split(";")) if name}


def _count_copies(format_column: str, samples: list[str], allele: int, num_alleles: int) -> np.ndarray | None:
    """Copies of an allele (1 = the first alternate) in each sample; None where the genotypes cannot be read."""
    fields = format_column.split(":")
    if "GT" not in fields:
        return None
    place = fields.index("GT")
    copies = np.empty(len(samples), dtype=np.int8)
    known: dict[str, int] = {}
    for row, sample in enumerate(samples):
        if sample not in known:
            values = sample.split(":")
            calls = re.split(r"[/|]", values[place]) if place < len(values) else ["."]
            calls = [call for call in calls if call != "."]
            if not all(call.isdecimal() and int(call) <= num_alleles for call in calls):
                return None
            known[sample] = sum(int(call) == allele for call in calls) if calls else NOT_CALLED
        copies[row] = known[sample]
    return copies


def _shorten(text: str, length: int = 20) -> str:
    return text if len(text) <= length else f"{text[:length]}...({len(text)} letters)"
