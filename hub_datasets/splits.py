"""Training, validation and test rows that share nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from modeling_genebert.dna_genebert import reverse_complement

from .genome import name_some, naming_hint


SPLITS = ("train", "validation", "test")


def split_by_chromosome(
    chroms: Sequence[str] | np.ndarray, validation_chromosomes: Iterable[str], test_chromosomes: Iterable[str]
) -> np.ndarray:
    """The split of each row: its chromosome's.

    Any other groups that must stay together (elements, genes) can be given for the chromosomes.

    Args:
        chroms: chromosome of each row.
        validation_chromosomes: whose rows are for validation.
        test_chromosomes: whose rows are for the test; all others are for training.

    Returns:
        str array of the same length: "train", "validation" or "test".

    Raises:
        ValueError: a chromosome is in two splits or has no rows, or nothing is left for training.
    """
    chroms = np.asarray(chroms, dtype=np.str_)
    present = list(dict.fromkeys(chroms.tolist()))
    held_out = {"validation": list(validation_chromosomes), "test": list(test_chromosomes)}
    if both := sorted(set(held_out["validation"]) & set(held_out["test"])):
        raise ValueError(f"chromosome {both[0]!r} is in validation_chromosomes and in test_chromosomes; choose one")
    splits = np.full(len(chroms), "train", dtype="<U10")
    for split, names in held_out.items():
        for name in names:
            rows = chroms == name
            if not rows.any():
                raise ValueError(
                    f"{split}_chromosomes: no rows on {name!r}; there are rows on {name_some(present)}"
                    f"{naming_hint([name], present)}"
                )
            splits[rows] = split
    if not (splits == "train").any():
        raise ValueError(
            f"no chromosome is left for training: all rows are on {name_some(present)}, which are held out; "
            "hold out fewer"
        )
    return splits


def drop_straddling_duplicates(
    sequences: Sequence[str],
    splits: Sequence[str] | np.ndarray,
    chrom: Sequence[str] | np.ndarray | None = None,
    start: Sequence[int] | np.ndarray | None = None,
    end: Sequence[int] | np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, int]]:
    """Which rows to keep so that no two splits share a sequence (on either strand) or overlap in the genome.

    The test keeps all of its rows; validation loses those that the test has too, and training those that validation
    or test have. Rows of one split may be equal or overlap.

    Args:
        sequences: DNA of each row, any case.
        splits: "train", "validation" or "test", for each row.
        chrom, start, end: place of each row, bp, 0-based, half-open; all three or none.

    Returns:
        bool array, True for the rows to keep; and the number of rows dropped by reason, such as
        `{"validation: sequence also in test": 2, "train: overlaps test": 1}`, reasons without rows left out.
    """
    splits = np.asarray(splits, dtype=np.str_)
    if unknown := sorted(set(splits.tolist()) - set(SPLITS)):
        raise ValueError(f"splits: found {unknown[0]!r}, expected one of {', '.join(SPLITS)}")
    given = [place is not None for place in (chrom, start, end)]
    if any(given) and not all(given):
        raise ValueError("chrom, start and end: give all three or none")
    canonical = [canonical_sequence(sequence) for sequence in sequences]
    keep = np.ones(len(splits), dtype=bool)
    dropped: dict[str, int] = {}

    def drop(rows: np.ndarray, reason: str) -> None:
        keep[rows] = False
        if len(rows):
            dropped[reason] = len(rows)

    for split, protected in (("validation", ("test",)), ("train", ("test", "validation"))):
        for other in protected:
            kept = np.flatnonzero((splits == other) & keep)
            known = {canonical[row] for row in kept.tolist()}
            rows = np.flatnonzero((splits == split) & keep)
            same = [row for row in rows.tolist() if canonical[row] in known]
            drop(np.array(same, dtype=np.int64), f"{split}: sequence also in {other}")
            if chrom is not None and start is not None and end is not None:
                rows = np.flatnonzero((splits == split) & keep)
                names, starts, ends = np.asarray(chrom, dtype=np.str_), np.asarray(start), np.asarray(end)
                intervals = merge_by_chromosome(names[kept], starts[kept], ends[kept])
                overlap = overlaps_any(names[rows], starts[rows], ends[rows], intervals)
                drop(rows[overlap], f"{split}: overlaps {other}")
    return keep, dropped


def canonical_sequence(sequence: str) -> str:
    """The same string for a sequence and its reverse complement: the first of the two by alphabet, in upper case."""
    sequence = sequence.upper().replace("U", "T")
    return min(sequence, reverse_complement(sequence))


def merge_by_chromosome(chrom: np.ndarray, start: np.ndarray, end: np.ndarray) -> dict[str, np.ndarray]:
    """Intervals (bp, 0-based, half-open) merged where they overlap or touch: chromosome -> sorted int64 (n, 2)."""
    merged = {}
    for name in np.unique(chrom).tolist():
        rows = np.flatnonzero(chrom == name)
        rows = rows[np.argsort(start[rows], kind="stable")]
        starts, furthest = start[rows].astype(np.int64), np.maximum.accumulate(end[rows].astype(np.int64))
        first = np.concatenate([[True], starts[1:] > furthest[:-1]])
        last = np.concatenate([first[1:], [True]])
        merged[name] = np.stack([starts[first], furthest[last]], axis=1)
    return merged


def overlaps_any(
    chrom: np.ndarray, start: np.ndarray, end: np.ndarray, intervals: dict[str, np.ndarray]
) -> np.ndarray:
    """Which intervals (bp, 0-based, half-open) share a base with one of `intervals`, see `merge_by_chromosome`."""
    overlap = np.zeros(len(start), dtype=bool)
    for name, merged in intervals.items():
        if not len(merged):
            continue
        rows = np.flatnonzero(chrom == name)
        # The merged intervals do not overlap: the last that starts before the row's end is the one to reach it.
        before = np.searchsorted(merged[:, 0], end[rows], side="left") - 1
        overlap[rows] = (before >= 0) & (merged[before, 1] > start[rows])
    return overlap
