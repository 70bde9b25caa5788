"""Reading a genome from FASTA or 2bit."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path
from typing import IO

import numpy as np

from modeling_genebert.dna_genebert import UNKNOWN_BASE, encode_dna

from .files import read_line_blocks, written_whole
from .two_bit import is_two_bit, read_two_bit


_IUPAC = b"ACGTUNRYSWKMBDHVacgtunryswkmbdhv.-*\r\n"
_BLOCK_SIZE = 1 << 24


class Genome:
    """A genome read from a FASTA file (plain, gzip or bgzip) or a 2bit file, told by its content.

    The file is read once from end to end, checked, and unpacked (upper case, one byte a base). So memory stays small
    for a genome of any size, a plain gzip file is as good as an indexed one, and nothing is ever written beside the
    input.

    Args:
        path: FASTA file, in which a record's name is the first word after `>`, or 2bit file.
        unpacked: the file to unpack into, for several processes to share: the first one writes it, and an index with
            `.json` at the end of its name; once both are there they are used, and `path` is not read again. Without
            it, an anonymous temporary file in `$TMPDIR` that vanishes with the object.

    Attributes:
        path: the file it was read from.
        chromosomes: length in bp of each record, in file order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not a FASTA or 2bit file, empty, truncated, or two records of one name.
    """

    def __init__(self, path: str | Path, unpacked: str | Path | None = None):
        self.path = Path(path)
        self.unpacked = None if unpacked is None else Path(unpacked)
        self.chromosomes: dict[str, int] = {}
        self._bases: IO[bytes]
        if self.unpacked is None:
            self._bases = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the genome)
            self._unpack()
        else:
            self._share(self.unpacked)
        self._offsets = dict(zip(self.chromosomes, accumulate(self.chromosomes.values(), initial=0), strict=False))

    def __reduce__(self) -> tuple[type[Genome], tuple[Path, Path | None]]:
        return Genome, (self.path, self.unpacked)

    def _share(self, unpacked: Path) -> None:
        index = unpacked.with_name(f"{unpacked.name}.json")
        if index.exists():
            self.chromosomes = json.loads(index.read_text(encoding="utf-8"))
        else:
            with written_whole(unpacked) as self._bases:
                self._unpack()
            with written_whole(index) as stream:
                stream.write(json.dumps(self.chromosomes).encode())
        self._bases = unpacked.open("rb")

    def _unpack(self) -> None:
        if is_two_bit(self.path):
            self._unpack_two_bit()
        else:
            self._unpack_fasta()

    def _unpack_fasta(self) -> None:
        name = None
        line = 1
        for block in read_line_blocks(self.path, _BLOCK_SIZE):
            head, *records = re.split(rb"^>", block, flags=re.MULTILINE)
            if head.strip():
                if name is None:
                    start = head.split(b"\n")[0][:30].decode("latin-1")
                    raise ValueError(f"{self.path}:{line}: not a FASTA file: found {start!r}, expected a line '>name'")
                self._append(name, head, line)
            line += head.count(b"\n")
            for record in records:
                header, _, bases = record.partition(b"\n")
                words = header.decode("latin-1").split()
                if not words:
                    raise ValueError(f"{self.path}:{line}: record without a name, expected '>name'")
                name = words[0]
                if name in self.chromosomes:
                    raise ValueError(f"{self.path}:{line}: second record named {name!r}; rename or remove one")
                self.chromosomes[name] = 0
                self._append(name, bases, line + 1)
                line += record.count(b"\n")
        if not self.chromosomes:
            raise ValueError(f"{self.path}: empty file, expected a FASTA file")

    def _unpack_two_bit(self) -> None:
        for name, blocks in read_two_bit(self.path, _BLOCK_SIZE):
            self.chromosomes[name] = 0
            for bases in blocks:
                self._bases.write(bases)
                self.chromosomes[name] += len(bases)

    def _append(self, name: str, bases: bytes, line: int) -> None:
        if unexpected := bases.translate(None, _IUPAC).strip():
            letter = unexpected[:1]
            line += bases[: bases.index(letter)].count(b"\n")
            raise ValueError(
                f"{self.path}:{line}: not DNA: found {letter.decode('latin-1')!r} in record {name!r}, "
                "expected A, C, G, T, N or another IUPAC letter"
            )
        bases = bases.translate(None, b"\r\n \t").upper()
        self._bases.write(bases)
        self.chromosomes[name] += len(bases)

    def _read(self, chromosome: str, start: int, end: int) -> bytes:
        if chromosome not in self.chromosomes:
            hint = naming_hint([chromosome], self.chromosomes)
            raise ValueError(f"{self.path}: no chromosome {chromosome!r}; it has {name_some(self.chromosomes)}{hint}")
        length = self.chromosomes[chromosome]
        if not 0 <= start <= end <= length:
            raise ValueError(f"{self.path}: {chromosome}:{start}-{end} is not within 0-{length} (0-based, half-open)")
        self._bases.seek(self._offsets[chromosome] + start)
        return self._bases.read(end - start)

    def fetch(self, chromosome: str, start: int, end: int) -> str:
        """The bases of an interval (bp, 0-based, half-open) as an upper-case string."""
        return self._read(chromosome, start, end).decode("ascii")

    def codes(self, chromosome: str, start: int, end: int) -> np.ndarray:
        """The bases of an interval (bp, 0-based, half-open) as uint8 codes: see `encode_dna`."""
        return encode_dna(self._read(chromosome, start, end))

    def unknown_runs(self, chromosome: str, min_length: int = 1) -> np.ndarray:
        """Runs of letters other than A, C, G, T (mostly N) on a chromosome.

        Args:
            chromosome: its name.
            min_length: shorter runs are left out, bp.

        Returns:
            int64 array of shape `(num_runs, 2)`: start and end, sorted.
        """
        length = self.chromosomes[chromosome]
        edges = []
        last = False
        for start in range(0, length, _BLOCK_SIZE):
            unknown = self.codes(chromosome, start, min(start + _BLOCK_SIZE, length)) == UNKNOWN_BASE
            edges.append(np.flatnonzero(np.diff(unknown, prepend=last)) + start)
            last = bool(unknown[-1])
        if last:
            edges.append(np.array([length]))
        runs = np.concatenate(edges, dtype=np.int64).reshape(-1, 2) if edges else np.empty((0, 2), np.int64)
        return runs[runs[:, 1] - runs[:, 0] >= min_length]


def name_some(names: Iterable[str], limit: int = 8) -> str:
    """The first few of some names, for an error message."""
    names = list(names)
    return ", ".join(names[:limit]) + (f", ... ({len(names)} in all)" if len(names) > limit else "")


def naming_hint(wanted: Iterable[str], present: Iterable[str]) -> str:
    """A hint for an error message where two sides name the same chromosomes chr1 and 1; empty where they do not."""
    present = set(present)
    for name in wanted:
        other = name[3:] if name.startswith("chr") else "chr" + name
        if other in present:
            return f"; {name!r} here seems to be {other!r} there: rename the chromosomes on one side"
    return ""
