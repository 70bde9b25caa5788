"""The motif bank: position weight matrices in a fixed order, where they come from, and how DNA is scored with them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as serialize_tensors

from .dna_genebert import UNKNOWN_BASE
from .motif_scoring_genebert import ScoreTable, best_site_scores, make_tables


MOTIFS_FILE_NAME = "motifs.safetensors"
MOTIF_BASES = "ACGT"
UNCLASSIFIED = "unclassified"

# Log-odds are kept on a grid of 2**-17 bit. Sums of grid values below 128 bit are exact in float32, so a score does
# not depend on the batch, the device or the order of the additions.
_GRID = 2.0**17
_LARGEST_SCORE = 2**24 / _GRID


class MotifBank:
    """M position weight matrices (motifs of transcription factors). Their order is part of the bank.

    Args:
        ids: M unique motif ids, e.g. `"MA0139.2"`.
        names: M transcription factor names, e.g. `"CTCF"`; not necessarily unique.
        families: M family names; `"unclassified"` where none is known.
        counts: M arrays of shape `(width, 4)`: how often each base (columns A, C, G, T) was seen at each position.
        pseudocount: total pseudocount added to each position, shared out in proportion to `background`.
        background: probabilities of A, C, G, T outside of binding sites.
        source: where the bank comes from, for people, e.g. `"JASPAR2026 CORE vertebrates"`.

    Raises:
        ValueError: if the bank is empty, an id comes twice, the lists differ in length, a matrix is not `(width, 4)`,
            its counts are negative, not finite or all zero at a position, or it prefers no base at all.
    """

    def __init__(
        self,
        ids: list[str],
        names: list[str],
        families: list[str],
        counts: list[np.ndarray],
        pseudocount: float = 1.0,
        background: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25),
        source: str = "",
    ):
        self.ids = list(ids)
        self.names = list(names)
        self.families = list(families)
        self.counts = [np.array(matrix, dtype=np.float32) for matrix in counts]
        self.pseudocount = float(pseudocount)
        self.background = tuple(float(probability) for probability in background)
        self.source = source
        self._check()

    def _check(self) -> None:
        if not self.ids:
            raise ValueError("The motif bank is empty: expected at least one motif")
        sizes = {len(self.ids), len(self.names), len(self.families), len(self.counts)}
        if len(sizes) > 1:
            raise ValueError(
                f"A motif bank needs as many names, families and counts as ids: found {len(self.ids)} ids, "
                f"{len(self.names)} names, {len(self.families)} families, {len(self.counts)} count matrices"
            )
        if len(set(self.ids)) < len(self.ids):
            twice = next(motif_id for motif_id in self.ids if self.ids.count(motif_id) > 1)
            raise ValueError(f"Motif id {twice} comes {self.ids.count(twice)} times in the bank: ids must be unique")
        if not 0 < self.pseudocount < float("inf"):
            raise ValueError(f"pseudocount must be a number above 0, found {self.pseudocount}")
        if len(self.background) != 4 or min(self.background) <= 0 or not abs(sum(self.background) - 1) < 1e-3:
            raise ValueError(f"background must be four positive probabilities that sum to 1, found {self.background}")
        for motif_id, matrix in zip(self.ids, self.counts, strict=True):
            if matrix.ndim != 2 or matrix.shape[1] != 4 or len(matrix) == 0:
                raise ValueError(
                    f"Motif {motif_id}: counts of shape {matrix.shape}, expected (width, 4) with width >= 1 and the "
                    f"columns A, C, G, T"
                )
            wrong = ~np.isfinite(matrix).all(axis=1) | (matrix < 0).any(axis=1) | (matrix.sum(axis=1) <= 0)
            if wrong.any():
                position = int(wrong.argmax())
                raise ValueError(
                    f"Motif {motif_id}, position {position + 1}: counts {matrix[position].tolist()}, expected finite "
                    f"counts >= 0 with a sum above 0"
                )
            # The arrays are read-only because the fingerprint stands for them.
            matrix.flags.writeable = False
        for motif_id, max_score in zip(self.ids, self.max_scores, strict=True):
            if not 0 < max_score < _LARGEST_SCORE:
                raise ValueError(
                    f"Motif {motif_id}: its best possible log-odds score is {max_score}, expected above 0 and "
                    f"below {_LARGEST_SCORE:.0f}; a motif that prefers no base cannot be scored"
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        return f"MotifBank({len(self)} motifs, source={self.source!r}, fingerprint={self.fingerprint[:12]})"

    def __deepcopy__(self, memo: dict) -> MotifBank:
        # A bank does not change. The Hub libraries copy whatever holds it each time they print or save.
        return self

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over ids, counts, pseudocount and background, in order: equal for banks that score alike."""
        header = [self.ids, [len(matrix) for matrix in self.counts], self.pseudocount, self.background]
        digest = hashlib.sha256(json.dumps(header).encode())
        for matrix in self.counts:
            digest.update(matrix.astype("<f4").tobytes())
        return digest.hexdigest()

    @cached_property
    def log_odds(self) -> list[np.ndarray]:
        """Log-odds in bits, M float32 arrays of shape `(width, 4)`, columns A, C, G, T.

        `log2((count + pseudocount * background) / (total + pseudocount) / background)`, as in Wasserman and Sandelin
        (2004), rounded to the nearest 2**-17 bit so that sums over a site are exact in float32.
        """
        background = np.array(self.background)
        matrices = []
        for matrix in self.counts:
            counts = matrix.astype(np.float64)
            probabilities = counts + self.pseudocount * background
            probabilities /= counts.sum(axis=1, keepdims=True) + self.pseudocount
            matrices.append((np.round(np.log2(probabilities / background) * _GRID) / _GRID).astype(np.float32))
        return matrices

    @cached_property
    def max_scores(self) -> np.ndarray:
        """Best log-odds score that any site can reach, in bits: float32 array of shape `(M,)`."""
        return np.array([matrix.max(axis=1).sum() for matrix in self.log_odds], dtype=np.float32)

    def subset(self, ids: list[str]) -> MotifBank:
        """A bank of the motifs `ids`, in the order given. Raises `ValueError` for an id that is not in this bank."""
        row = {motif_id: index for index, motif_id in enumerate(self.ids)}
        missing = [motif_id for motif_id in ids if motif_id not in row]
        if missing:
            raise ValueError(f"{len(missing)} motif ids are not in the bank ({self.source}): {', '.join(missing[:5])}")
        rows = [row[motif_id] for motif_id in ids]
        return MotifBank(
            ids=[self.ids[index] for index in rows],
            names=[self.names[index] for index in rows],
            families=[self.families[index] for index in rows],
            counts=[self.counts[index] for index in rows],
            pseudocount=self.pseudocount,
            background=self.background,
            source=self.source,
        )

    # Scoring

    @cached_property
    def _tables(self) -> list[ScoreTable]:
        return make_tables(self.log_odds)

    def __getstate__(self) -> dict[str, Any]:
        # What goes to another process: it makes its own tables, which are large.
        return {name: value for name, value in self.__dict__.items() if name != "_tables"}

    def score(
        self,
        codes: np.ndarray,
        lengths: np.ndarray | None = None,
        num_tiles: int = 1,
        device: str | torch.device = "cpu",
    ) -> np.ndarray:
        """Best score of each motif in each sequence, or in each tile of each sequence.

        The score of a site is the sum of its log-odds; an unknown base counts 0. The best site over both strands is
        taken, a negative score becomes 0, and the result is divided by the motif's best possible score. A site must
        lie inside its sequence: where none fits (the sequence is shorter than the motif), the score is 0.

        A site belongs to the tile in which its centre lies, or to both where that is their edge; it may reach into
        others. So the scores of the reverse complement are the same, with the tiles in reverse order.

        Args:
            codes: uint8 base codes of shape `(N, L)` (see `encode_dna`), shorter sequences padded at their end.
            lengths: real lengths of the sequences in bp, int array of shape `(N,)`; `L` for all of them by default.
            num_tiles: number of tiles, at least 1, into which each sequence is cut.
            device: where to compute, e.g. `"cuda"`. The CPU is two to three times as fast with numba installed, which
                compiles in the first call of a process, about a second.

        Returns:
            float32 array of shape `(N, M, num_tiles)` with values in [0, 1]. Sums are exact (see `log_odds`), so the
            result for a sequence does not depend on the others, the device, the number of threads or numba.
        """
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.dtype != np.uint8 or codes.max(initial=0) > UNKNOWN_BASE:
            raise ValueError(
                f"codes must be a uint8 array of shape (N, L) with base codes of 0 to {UNKNOWN_BASE}, found "
                f"{codes.dtype} of shape {codes.shape}"
            )
        lengths = np.full(len(codes), codes.shape[1]) if lengths is None else np.asarray(lengths, dtype=np.int64)
        if lengths.shape != (len(codes),) or (lengths < 0).any() or (lengths > codes.shape[1]).any():
            raise ValueError(f"lengths must be {len(codes)} numbers (one per sequence) of 0 to {codes.shape[1]} bp")
        if num_tiles < 1:
            raise ValueError(f"num_tiles must be at least 1, found {num_tiles}")
        scores = best_site_scores(self._tables, codes, lengths, num_tiles, torch.device(device))
        scores /= self.max_scores[:, None]
        return scores

    # Files

    def save(self, path: str | os.PathLike) -> None:
        """Write the bank as a safetensors file, in one step: the file is either whole or not there.

        Tensors: `counts`, float32 `(M, max_width, 4)` padded with zeros, and `widths`, int64 `(M,)`. All else, with
        the fingerprint, is JSON under the key `motif_bank` of the file's metadata.
        """
        path = Path(path)
        widths = np.array([len(matrix) for matrix in self.counts], dtype=np.int64)
        counts = np.zeros((len(self), int(widths.max()), 4), dtype=np.float32)
        for row, matrix in enumerate(self.counts):
            counts[row, : len(matrix)] = matrix
        header = {
            "ids": self.ids,
            "names": self.names,
            "families": self.families,
            "pseudocount": self.pseudocount,
            "background": self.background,
            "source": self.source,
            "fingerprint": self.fingerprint,
        }
        content = serialize_tensors({"counts": counts, "widths": widths}, metadata={"motif_bank": json.dumps(header)})
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike) -> MotifBank:
        """Read a bank that [`~MotifBank.save`] wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is not a motif bank, or its content does not match its recorded fingerprint.
        """
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path}: no such motif bank file")
        try:
            with safe_open(path, framework="numpy") as file:
                header = json.loads((file.metadata() or {})["motif_bank"])
                counts, widths = file.get_tensor("counts"), file.get_tensor("widths")
            recorded = header.pop("fingerprint")
            bank = cls(counts=[matrix[:width] for matrix, width in zip(counts, widths, strict=True)], **header)
        except (SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not a motif bank file as MotifBank.save writes it ({error!r})") from error
        if bank.fingerprint != recorded:
            raise ValueError(
                f"{path}: the motif bank is corrupt: its content has fingerprint {bank.fingerprint}, the file records "
                f"{recorded}; copy or build it again"
            )
        return bank

    @classmethod
    def from_jaspar(
        cls, release: str = "JASPAR2026", collection: str = "CORE", tax_group: str | None = "vertebrates"
    ) -> MotifBank:
        """All motifs of a JASPAR release, from the database inside the `pyjaspar` package (no network).

        Motifs are sorted by class, family, name and id, so that related transcription factors are neighbours. Those
        of dimers have several classes and families, joined by `::` as in JASPAR's names; those without come last.

        Args:
            release: e.g. `"JASPAR2026"`.
            collection: e.g. `"CORE"`.
            tax_group: e.g. `"vertebrates"`; `None` for all.

        Raises:
            ImportError: if pyjaspar is not installed.
            ValueError: if the release is unknown, or it holds no such motif.
        """
        try:
            import pyjaspar
        except ImportError as error:
            raise ImportError("JASPAR motifs need pyjaspar: pip install genebert[motifs]") from error
        if release not in pyjaspar.jaspar_releases:
            available = ", ".join(sorted(pyjaspar.jaspar_releases))
            raise ValueError(f"Unknown JASPAR release {release!r}: pyjaspar has {available}")
        database = pyjaspar.jaspardb(release=release)
        source = " ".join(filter(None, [release, collection, tax_group]))
        motifs = database.fetch_motifs(collection=collection, tax_group=tax_group, all_versions=False)
        if not motifs:
            raise ValueError(f"There are no motifs in {source}: check the collection and the taxonomic group")

        def order(motif: Any) -> tuple[bool, str, str, str, str]:
            tf_class, family = _join(motif.tf_class), _join(motif.tf_family)
            return (tf_class == UNCLASSIFIED, tf_class, family, motif.name.casefold(), motif.matrix_id)

        motifs = sorted(motifs, key=order)
        return cls(
            ids=[motif.matrix_id for motif in motifs],
            names=[motif.name for motif in motifs],
            families=[_join(motif.tf_family) for motif in motifs],
            counts=[np.array([motif.counts[base] for base in MOTIF_BASES]).T for motif in motifs],
            source=source,
        )

    @classmethod
    def from_file(cls, path: str | os.PathLike) -> MotifBank:
        """Read motifs from a file: a saved bank (`.safetensors`), MEME motif format, or JASPAR text.

        The order of the file is the order of the bank. Text formats know no families: all are `"unclassified"`. MEME
        files hold probabilities; counts are these times `nsites`, or times 20 (MEME's own default) where a motif does
        not state `nsites`. A MEME file's background is not used.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is none of these, with the number of the offending line.
        """
        path = Path(path)
        if path.suffix == ".safetensors":
            return cls.load(path)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such motif file")
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file ({error}); expected MEME or JASPAR text") from error
        start = next((line.strip() for line in lines if line.strip()), "")
        if start.startswith("MEME version"):
            ids, names, counts = _parse_meme(path, lines)
        elif start.startswith(">"):
            ids, names, counts = _parse_jaspar(path, lines)
        else:
            raise ValueError(
                f"{path}: starts with {start[:40]!r}, expected 'MEME version' (MEME), '>' (JASPAR text) or a file "
                f"whose name ends in .safetensors"
            )
        try:
            return cls(ids, names, [UNCLASSIFIED] * len(ids), counts, source=path.name)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def resolve(cls, name_or_path: str | os.PathLike) -> MotifBank:
        """The bank that an argument means: a part of a JASPAR release by name, or a file.

        A name is `RELEASE[:COLLECTION[:TAX_GROUP]]`: `JASPAR2026` (its CORE vertebrates), `JASPAR2026:CORE:plants`,
        `JASPAR2024:UNVALIDATED` (vertebrates), `JASPAR2024:CORE:all` (all taxonomic groups).
        """
        if re.fullmatch(r"JASPAR\d+(:\w+){0,2}", str(name_or_path)):
            parts = str(name_or_path).split(":")
            release, collection, tax_group = parts + ["CORE", "vertebrates"][len(parts) - 1 :]
            return cls.from_jaspar(release, collection, None if tax_group == "all" else tax_group)
        if not os.path.isfile(name_or_path):
            raise FileNotFoundError(f"{name_or_path}: neither a motif file nor a JASPAR release such as JASPAR2026")
        return cls.from_file(name_or_path)


def _join(values: list[str] | str | None) -> str:
    values = [values] if isinstance(values, str) else values or []
    return "::".join(value for value in values if value) or UNCLASSIFIED


def _fail(path: Path, line_number: int, message: str) -> NoReturn:
    raise ValueError(f"{path}, line {line_number}: {message}")


def _numbers(path: Path, line_number: int, text: str) -> list[float]:
    try:
        return [float(field) for field in text.split()]
    except ValueError:
        _fail(path, line_number, f"found {text.strip()[:60]!r}, expected numbers separated by blanks")


def _parse_meme(path: Path, lines: list[str]) -> tuple[list[str], list[str], list[np.ndarray]]:
    """Motifs of a MEME file: ids, names (the id where there is none) and counts of shape `(width, 4)`."""
    ids: list[str] = []
    names: list[str] = []
    counts: list[np.ndarray] = []
    number = 0
    while number < len(lines):
        number += 1
        line = lines[number - 1].strip()
        if line.startswith("ALPHABET") and not re.fullmatch(r"ALPHABET\s*=\s*ACGT", line):
            _fail(path, number, f"found {line!r}, expected 'ALPHABET= ACGT'")
        elif line.startswith("MOTIF"):
            fields = line.split()[1:]
            if not fields:
                _fail(path, number, "MOTIF without an id, expected 'MOTIF id name'")
            if len(ids) > len(counts):
                _fail(path, number, f"motif {ids[-1]} before this line has no letter-probability matrix")
            ids.append(fields[0])
            names.append(" ".join(fields[1:]) or fields[0])
        elif line.startswith("letter-probability matrix"):
            if len(ids) != len(counts) + 1:
                _fail(path, number, "a letter-probability matrix without a MOTIF line of its own before it")
            stated = dict(re.findall(r"(\w+)\s*=\s*(\S+)", line))
            if stated.get("alength", "4") != "4":
                _fail(path, number, f"found alength= {stated['alength']}, expected 4 (DNA)")
            (num_sites,) = _numbers(path, number, stated.get("nsites", "20"))
            rows: list[list[float]] = []
            while number < len(lines) and re.match(r"\s*[-+.\d]", lines[number]):
                number += 1
                row = _numbers(path, number, lines[number - 1])
                if len(row) != 4 or abs(sum(row) - 1) > 0.01:
                    _fail(path, number, f"found {row}, expected 4 probabilities that sum to 1")
                rows.append(row)
            if not rows or stated.get("w", str(len(rows))) != str(len(rows)):
                _fail(
                    path, number, f"motif {ids[-1]} has {len(rows)} rows, expected w= {stated.get('w', '1 or more')}"
                )
            counts.append(np.array(rows) * num_sites)
    if len(ids) > len(counts):
        _fail(path, number, f"motif {ids[-1]} has no letter-probability matrix: is the file truncated?")
    return ids, names, counts


def _parse_jaspar(path: Path, lines: list[str]) -> tuple[list[str], list[str], list[np.ndarray]]:
    """Motifs of a JASPAR text file, rows `A [ 1 2 ]` or `1 2`: ids, names and counts of shape `(width, 4)`."""
    ids: list[str] = []
    names: list[str] = []
    motifs: list[list[list[float]]] = []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line:
            continue
        if line.startswith(">"):
            if motifs and len(motifs[-1]) != 4:
                _fail(
                    path,
                    number,
                    f"motif {ids[-1]} before this line has {len(motifs[-1])} rows, expected 4 (A, C, G, T)",
                )
            fields = line[1:].split()
            if not fields:
                _fail(path, number, "found '>' alone, expected '>id name'")
            ids.append(fields[0])
            names.append(" ".join(fields[1:]) or fields[0])
            motifs.append([])
            continue
        rows = motifs[-1]
        if len(rows) == 4:
            _fail(path, number, f"found a fifth row for motif {ids[-1]}, expected '>id name' or the end of the file")
        base = MOTIF_BASES[len(rows)]
        labelled = re.fullmatch(r"([A-Za-z])\s*\[(.*)\]", line)
        if labelled and labelled[1].upper() != base:
            _fail(
                path,
                number,
                f"found the row of base {labelled[1]}, expected {base}: rows come in the order A, C, G, T",
            )
        row = _numbers(path, number, labelled[2] if labelled else line)
        if not row or (rows and len(row) != len(rows[0])):
            expected = f"{len(rows[0])} as in row A" if rows else "at least 1"
            _fail(path, number, f"row {base} of motif {ids[-1]} has {len(row)} counts, expected {expected}")
        rows.append(row)
    if len(motifs[-1]) != 4:
        _fail(path, len(lines), f"motif {ids[-1]} has {len(motifs[-1])} rows, expected 4: is the file truncated?")
    return ids, names, [np.array(rows).T for rows in motifs]
