from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_datasets.splits import (
    SPLITS,
    canonical_sequence,
    drop_straddling_duplicates,
    merge_by_chromosome,
    overlaps_any,
    split_by_chromosome,
)


def test_split_by_chromosome():
    splits = split_by_chromosome(["chr1", "chr2", "chr1", "chr3"], ["chr2"], ["chr3"])
    assert splits.tolist() == ["train", "validation", "train", "test"]
    assert split_by_chromosome(["a", "b"], [], []).tolist() == ["train", "train"]


@pytest.mark.parametrize(
    ("validation", "test", "message"),
    [
        (["chr1"], ["chr1"], r"chromosome 'chr1' is in validation_chromosomes and in test_chromosomes; choose one"),
        (["chr9"], [], r"validation_chromosomes: no rows on 'chr9'; there are rows on chr1, chr2$"),
        ([], ["2"], r"test_chromosomes: no rows on '2'; .*'2' here seems to be 'chr2' there: rename the chromosomes"),
        (["chr1"], ["chr2"], r"no chromosome is left for training: all rows are on chr1, chr2, which are held out"),
    ],
)
def test_bad_chromosomes(validation, test, message):
    with pytest.raises(ValueError, match=message):
        split_by_chromosome(["chr1", "chr2"], validation, test)


def test_straddling_sequences():
    keep, dropped = drop_straddling_duplicates(
        ["AACC", "ggtt", "ACGG", "CCGT", "AAAA", "CCGT", "AAAA"],
        ["test", "validation", "validation", "train", "train", "train", "train"],
    )
    # GGTT is the other strand of AACC, CCGT that of ACGG; the two AAAA are both for training.
    assert keep.tolist() == [True, False, True, False, True, False, True]
    assert dropped == {"validation: sequence also in test": 1, "train: sequence also in validation": 2}


def test_straddling_places():
    keep, dropped = drop_straddling_duplicates(
        ["AAAA", "AAAC", "AAAG", "AAAT", "AACA"],
        ["test", "validation", "train", "train", "train"],
        chrom=["chr1", "chr1", "chr1", "chr1", "chr2"],
        start=[10, 13, 16, 17, 10],
        end=[14, 17, 20, 21, 14],
    )
    # The validation row overlaps the test and is dropped, so the training row that overlaps only it stays.
    assert keep.tolist() == [True, False, True, True, True]
    assert dropped == {"validation: overlaps test": 1}


def test_bad_splits():
    with pytest.raises(ValueError, match=r"splits: found 'dev', expected one of train, validation, test"):
        drop_straddling_duplicates(["A"], ["dev"])
    with pytest.raises(ValueError, match=r"chrom, start and end: give all three or none"):
        drop_straddling_duplicates(["A"], ["test"], chrom=["chr1"])


ROWS = st.lists(
    st.tuples(
        st.text("ACGT", min_size=2, max_size=3),
        st.sampled_from(SPLITS),
        st.sampled_from(["chr1", "chr2"]),
        st.integers(0, 30),
        st.integers(1, 5),
    ),
    max_size=25,
)


@given(ROWS)
def test_nothing_straddles(rows):
    sequences, splits, chrom, start, length = (
        (list(column) for column in zip(*rows, strict=True)) if rows else [[]] * 5
    )
    end = [begin + width for begin, width in zip(start, length, strict=True)]
    keep, dropped = drop_straddling_duplicates(sequences, splits, chrom, start, end)
    assert sum(dropped.values()) == len(rows) - keep.sum()
    kept = [row for row in range(len(rows)) if keep[row]]
    assert all(keep[row] for row in range(len(rows)) if splits[row] == "test")
    for one in kept:
        for other in kept:
            if splits[one] != splits[other]:
                assert canonical_sequence(sequences[one]) != canonical_sequence(sequences[other])
                assert chrom[one] != chrom[other] or end[one] <= start[other] or end[other] <= start[one]
    # Nothing is dropped without a cause: each row that is gone clashes with one that stays, in a split before its own.
    for row in range(len(rows)):
        if not keep[row]:
            assert any(
                SPLITS.index(splits[other]) > SPLITS.index(splits[row])
                and (
                    canonical_sequence(sequences[row]) == canonical_sequence(sequences[other])
                    or (chrom[row] == chrom[other] and start[row] < end[other] and start[other] < end[row])
                )
                for other in kept
            )


def test_merge_by_chromosome():
    merged = merge_by_chromosome(np.array(["b", "a", "a", "a"]), np.array([5, 10, 0, 4]), np.array([6, 12, 5, 10]))
    assert {name: intervals.tolist() for name, intervals in merged.items()} == {"a": [[0, 12]], "b": [[5, 6]]}


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=10),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8)), max_size=10),
)
def test_overlaps_any(queries, intervals):
    def columns(pairs):
        start = np.array([start for start, _ in pairs], dtype=np.int64)
        return np.full(len(pairs), "chr1"), start, start + np.array([width for _, width in pairs], dtype=np.int64)

    found = overlaps_any(*columns(queries), merge_by_chromosome(*columns(intervals)))
    expected = [any(a < b + v and b < a + w for b, v in intervals) for a, w in queries]
    assert found.tolist() == expected
