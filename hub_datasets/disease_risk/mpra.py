"""Measured effects of variants: tables of saturation-mutagenesis MPRA (massively parallel reporter assays).

The layout is that of Kircher et al. (2019), Nature Communications 10, 3583: one line for each variant of an element,
tab-separated, with the columns of [`MPRA_COLUMNS`]. `Pos` is 1-based, `Alt` is a base or `-` (the base is deleted),
and `Coefficient` is the variant's effect on the expression of the reporter, log2.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..files import read_line_blocks
from ..genome import name_some
from ..vcf import Variant


MPRA_COLUMNS = ("Chrom", "Pos", "Ref", "Alt", "Barcodes", "Coefficient", "pValue", "Element", "Release")
DELETION = "-"
MISSING = ("NA", "")

NO_POSITION = "Pos or alleles are NA"
NO_EFFECT = "Coefficient is NA"
FEW_BARCODES = "fewer barcodes than min_barcodes"


@dataclass(frozen=True)
class Element:
    """A promoter or enhancer whose every base was changed.

    Attributes:
        name: as in the table.
        group: name of the first of the elements that overlap it in the genome (such as repeats of one element in other
            cells), by alphabet: what must stay on one side of a split.
        chrom, start, end: where it lies: bp, 0-based, half-open.
        sequence: its bases, of the forward strand of the genome; N where the table has no variant.
    """

    name: str
    group: str
    chrom: str
    start: int
    end: int
    sequence: str


@dataclass
class MpraTable:
    """An effect table: its elements, and its variants as columns of one length, in file order.

    Attributes:
        elements: name -> element, by alphabet.
        element: name of each variant's element, str.
        position: 0-based, on the chromosome, int64.
        ref, alt: str; `alt` is empty for a deletion.
        effect: log2, float64.
        barcodes: how many stand behind the effect, int64.
        p_value: float64.
        skipped: reason -> rows of this release that were skipped.
        chromosomes: name of each element -> its length in bp. With `fetch`, the table can be read as a genome whose
            chromosomes are the elements: see `allele_windows`.
    """

    elements: dict[str, Element]
    element: np.ndarray
    position: np.ndarray
    ref: np.ndarray
    alt: np.ndarray
    effect: np.ndarray
    barcodes: np.ndarray
    p_value: np.ndarray
    skipped: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.position)

    @property
    def chromosomes(self) -> dict[str, int]:
        return {name: len(element.sequence) for name, element in self.elements.items()}

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """The bases `start` to `end` (0-based, half-open) of the element `chromosome`."""
        return self.elements[chromosome].sequence[start:end]

    @property
    def group(self) -> np.ndarray:
        """Group of each variant's element, str."""
        return np.array([self.elements[name].group for name in self.element.tolist()])

    def variants(self) -> Iterator[Variant]:
        """The variants with their position in their element, whose name stands for the chromosome."""
        for name, position, ref, alt in zip(self.element, self.position, self.ref, self.alt, strict=True):
            element = self.elements[str(name)]
            name_of_variant = f"{element.name}-{position + 1}-{ref}-{alt or DELETION}"
            yield Variant(element.name, int(position) - element.start, str(ref), str(alt), name_of_variant)


def read_mpra(path: str | Path, release: str = "GRCh37", min_barcodes: int = 10) -> MpraTable:
    """Read an effect table (plain, gzip or bgzip).

    The elements' sequences are rebuilt from the column `Ref` of all rows of the release, also of those skipped.

    Args:
        path: the file; it may hold the same variants in the coordinates of several genome builds.
        release: the build whose rows are read, as in the column `Release`.
        min_barcodes: rows with fewer are skipped.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a column is missing, the release is not there, a line is malformed, a variant stands there twice,
            or an element is given two bases at one position, or two chromosomes.
    """
    rows: list[tuple[str, int, str, str, float, int, float]] = []
    bases: dict[str, dict[int, str]] = {}
    chroms: dict[str, str] = {}
    skipped: Counter[str] = Counter()
    releases: dict[str, None] = {}
    lines_of_variants: dict[tuple[str, int, str], int] = {}
    columns: list[str] = []
    for number, line in _lines(path):
        values = line.split("\t")
        if not columns:
            columns = values
            if missing := [name for name in MPRA_COLUMNS if name not in columns]:
                raise ValueError(
                    f"{path}:{number}: no column {', '.join(missing)}; found {name_some(columns, 12)}, in a line with "
                    "tabs between the columns"
                )
            continue
        if len(values) != len(columns):
            raise ValueError(f"{path}:{number}: found {len(values)} columns, expected {len(columns)} as in the header")
        row = dict(zip(columns, values, strict=True))
        releases[row["Release"]] = None
        if row["Release"] != release:
            continue
        name = row["Element"]
        if row["Pos"] in MISSING or row["Ref"] in MISSING or row["Alt"] in MISSING:
            skipped[NO_POSITION] += 1
            continue
        try:
            position, barcodes = int(row["Pos"]) - 1, int(row["Barcodes"])
            effect, p_value = (
                math.nan if row[key] in MISSING else float(row[key]) for key in ("Coefficient", "pValue")
            )
        except ValueError:
            raise ValueError(
                f"{path}:{number}: found Pos {row['Pos']!r}, Barcodes {row['Barcodes']!r}, Coefficient "
                f"{row['Coefficient']!r}, pValue {row['pValue']!r}, expected numbers or NA"
            ) from None
        ref, alt = row["Ref"].upper(), row["Alt"].upper()
        if ref not in tuple("ACGT") or alt not in tuple("ACGT" + DELETION) or ref == alt or position < 0:
            raise ValueError(
                f"{path}:{number}: found Pos {row['Pos']}, Ref {row['Ref']!r}, Alt {row['Alt']!r}, expected a "
                "position of at least 1, one base, and another base or '-'"
            )
        if chroms.setdefault(name, row["Chrom"]) != row["Chrom"]:
            raise ValueError(f"{path}:{number}: element {name} is on {row['Chrom']}, before on {chroms[name]}")
        if bases.setdefault(name, {}).setdefault(position, ref) != ref:
            raise ValueError(
                f"{path}:{number}: Ref of element {name} at Pos {row['Pos']} is {ref}, before {bases[name][position]}"
            )
        if (before := lines_of_variants.setdefault((name, position, alt), number)) != number:
            raise ValueError(
                f"{path}:{number}: the variant of element {name} at Pos {row['Pos']} to {row['Alt']} stands in line "
                f"{before} too; give each once"
            )
        if not math.isfinite(effect):
            skipped[NO_EFFECT] += 1
        elif barcodes < min_barcodes:
            skipped[FEW_BARCODES] += 1
        else:
            rows.append((name, position, ref, alt.replace(DELETION, ""), effect, barcodes, p_value))
    if not columns:
        raise ValueError(f"{path}: empty file, expected a header with the columns {', '.join(MPRA_COLUMNS)}")
    if not rows:
        raise ValueError(
            f"{path}: no variant of release {release!r} with {min_barcodes} or more barcodes; the file has the "
            f"releases {name_some(releases) or '(no lines after the header)'}"
        )
    element, position_of, ref_of, alt_of, effect_of, barcodes_of, p_value_of = zip(*rows, strict=True)
    return MpraTable(
        elements=_make_elements(chroms, bases),
        element=np.array(element),
        position=np.array(position_of, dtype=np.int64),
        ref=np.array(ref_of),
        alt=np.array(alt_of),
        effect=np.array(effect_of, dtype=np.float64),
        barcodes=np.array(barcodes_of, dtype=np.int64),
        p_value=np.array(p_value_of, dtype=np.float64),
        skipped=skipped,
    )


def _lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, without their end, with their number from 1."""
    number = 0
    for block in read_line_blocks(path):
        for line in block.decode("utf-8", errors="replace").removesuffix("\n").split("\n"):
            number += 1
            if line.strip():
                yield number, line.removesuffix("\r")


def _make_elements(chroms: dict[str, str], bases: dict[str, dict[int, str]]) -> dict[str, Element]:
    elements = {}
    for name in sorted(bases):
        start, end = min(bases[name]), max(bases[name]) + 1
        sequence = "".join(bases[name].get(position, "N") for position in range(start, end))
        elements[name] = Element(name, name, chroms[name], start, end, sequence)
    by_place = sorted(elements.values(), key=lambda element: (element.chrom, element.start))
    groups: list[list[str]] = []
    chrom, reach = "", 0
    for element in by_place:
        if element.chrom == chrom and element.start < reach:
            groups[-1].append(element.name)
            reach = max(reach, element.end)
        else:
            groups.append([element.name])
            chrom, reach = element.chrom, element.end
    group_of = {name: min(names) for names in groups for name in names}
    return {
        name: Element(name, group_of[name], each.chrom, each.start, each.end, each.sequence)
        for name, each in elements.items()
    }
