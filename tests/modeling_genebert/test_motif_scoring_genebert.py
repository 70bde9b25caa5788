from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import modeling_genebert.motif_scoring_genebert as scoring
from modeling_genebert.dna_genebert import encode_dna
from modeling_genebert.motif_scoring_genebert import best_site_scores, encode_rows, make_tables, tile_bounds


# Columns A, C, G, T. Prefers ACGTA, so its second table part has one base of its own; the other strand reads TACGT.
ACGTA = np.array([[1, 0, -1, -2], [0, 2, -1, -2], [-1, -2, 1, 0], [-1, -2, 0, 2], [4, 0, -3, -8]], dtype=np.float32)
TT = np.array([[-1, -1, 0, 1], [-1, -1, 0, 1]], dtype=np.float32)


def row(bases):
    """The number of a table row for four of the letters A, T, C, G, N and - (outside)."""
    return sum("ATCGN-".index(base) * 6**power for power, base in enumerate(reversed(bases)))


@pytest.fixture
def with_torch(monkeypatch):
    monkeypatch.setattr(scoring, "_compile", lambda: None)


def test_tables_by_hand():
    two, five = make_tables([ACGTA, TT])
    assert (two.motifs.tolist(), two.width, two.padding, two.scores.shape) == ([1], 2, 0, (1, 1296, 2))
    assert (five.motifs.tolist(), five.width, five.padding, five.scores.shape) == ([0], 5, 0, (2, 1296, 2))
    # Columns: TT and its other strand, AA.
    np.testing.assert_array_equal(two.scores[0, row("ACGT")], [-2, 1])
    np.testing.assert_array_equal(two.scores[0, row("NCNN")], [-1, 0])
    np.testing.assert_array_equal(two.scores[0, row("TT--")], [2, -2])
    np.testing.assert_array_equal(two.scores[0, row("T---")], [-np.inf] * 2)
    # ACGTA and TACGT.
    np.testing.assert_array_equal(five.scores[0, row("ACGT")], [6, -8 + 0 - 2 + 0])
    np.testing.assert_array_equal(five.scores[0, row("NCNN")], [2, 0])
    np.testing.assert_array_equal(five.scores[0, row("TT--")], [-np.inf] * 2)
    np.testing.assert_array_equal(five.scores[1, row("AGGG")], [4, -2])
    np.testing.assert_array_equal(five.scores[1, row("A---")], [4, -2])
    np.testing.assert_array_equal(five.scores[1, row("----")], [-np.inf] * 2)


def test_motifs_of_a_table_share_their_centre():
    (table,) = make_tables([ACGTA, ACGTA[1:2]])
    assert (table.motifs.tolist(), table.width, table.padding) == ([1, 0], 5, 2)
    # Columns: C, ACGTA, then the other strands G, TACGT. What lies beside C, also outside, does not count for it.
    np.testing.assert_array_equal(table.scores[0, row("AACT")], [2, 1 + 0 - 2 + 2, -1, -8 + 2 + 1 + 0])
    np.testing.assert_array_equal(table.scores[0, row("--C-")], [2, -np.inf, -1, -np.inf])
    np.testing.assert_array_equal(table.scores[1, row("----")], [0, -np.inf, 0, -np.inf])


def test_tile_bounds_by_hand():
    # Starts of 3-bp sites, with their centres 1.5 bp on: 8 bp in 4 tiles, edges 0, 2, 4, 6, 8; 9 bp: 0, 2.25, 4.5, ...
    first, last = tile_bounds(np.array([8, 9]), 4, width=3)
    assert first.tolist() == [[-1, 1, 3, 5], [-1, 1, 3, 6]]
    assert last.tolist() == [[1, 3, 5, 7], [1, 4, 6, 8]]  # the site at 3-5 of 9 bp belongs to tiles 1 and 2


def test_rows_by_hand():
    codes = np.stack([encode_dna("ACGTN"), encode_dna("TTTTT")])
    rows = encode_rows(codes, np.array([5, 2]), padding=1, reach=2)
    assert rows.dtype == np.int32
    assert rows[0].tolist() == [row(four) for four in ("-ACG", "ACGT", "CGTN", "GTN-", "TN--", "N---", "----", "----")]
    assert rows[1].tolist() == [row(four) for four in ("-TT-", "TT--", "T---", *["----"] * 5)]


def test_many_motifs_fill_several_tables(monkeypatch):
    rng = np.random.default_rng(0)
    log_odds = [rng.integers(-9, 9, (width, 4)).astype(np.float32) for width in rng.integers(1, 14, 20)]
    codes = rng.integers(0, 5, (4, 40)).astype(np.uint8)
    arguments = codes, np.array([40, 12, 0, 33]), 3, torch.device("cpu")
    expected = best_site_scores(make_tables(log_odds), *arguments)
    monkeypatch.setattr(scoring, "_MOTIFS_PER_TABLE", 3)
    tables = make_tables(log_odds)
    assert len(tables) >= 7
    assert max(len(table.motifs) for table in tables) == 3
    np.testing.assert_array_equal(best_site_scores(tables, *arguments), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 18), min_size=1, max_size=5),
    st.lists(st.integers(0, 40), max_size=5),
    st.integers(1, 12),
    st.integers(1, 60),
    st.integers(0, 2**32 - 1),
)
def test_torch_equals_the_loop_for_any_chunk(widths, lengths, num_tiles, sites_per_chunk, seed):
    rng = np.random.default_rng(seed)
    tables = make_tables([rng.integers(-99, 99, (width, 4)).astype(np.float32) / 8 for width in widths])
    codes = rng.integers(0, 5, (len(lengths), max(lengths, default=7))).astype(np.uint8)
    arguments = tables, codes, np.array(lengths, dtype=np.int64), num_tiles, torch.device("cpu")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(scoring, "_compile", lambda: scoring._find_best)
        expected = best_site_scores(*arguments)
        monkeypatch.setattr(scoring, "_compile", lambda: None)
        monkeypatch.setattr(scoring, "_SITES_PER_CHUNK_CPU", sites_per_chunk)
        np.testing.assert_array_equal(best_site_scores(*arguments), expected)


def large_case():
    rng = np.random.default_rng(3)
    log_odds = [rng.integers(-(2**20), 2**18, (width, 4)).astype(np.float32) / 2**17 for width in range(4, 34)]
    codes = rng.integers(0, 5, (6, 300)).astype(np.uint8)
    return make_tables(log_odds), codes, np.array([300, 299, 31, 3, 0, 150]), 7


def test_numba_equals_torch(with_torch, monkeypatch):
    pytest.importorskip("numba")
    expected = best_site_scores(*large_case(), torch.device("cpu"))
    assert expected.max() > 3
    monkeypatch.undo()
    assert scoring._compile() is not None
    np.testing.assert_array_equal(best_site_scores(*large_case(), torch.device("cpu")), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    expected = best_site_scores(*large_case(), torch.device("cpu"))
    np.testing.assert_array_equal(best_site_scores(*large_case(), torch.device("cuda")), expected)


def test_without_numba_torch_scores(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    scoring._compile.cache_clear()
    try:
        assert scoring._compile() is None
        scores = best_site_scores(make_tables([TT]), encode_dna("GTTG")[None], np.array([4]), 1, torch.device("cpu"))
    finally:
        scoring._compile.cache_clear()
    assert scores.tolist() == [[[2.0]]]
