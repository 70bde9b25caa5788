from __future__ import annotations

import numpy as np
import pytest

from modeling_genebert.pairing_genebert import (
    DISTANCE_BINS,
    LIKE_GC,
    NEIGHBOURHOOD,
    WindowTable,
    mgm_evaluation_plan,
    next_region_partners,
    ngsp_evaluation_plan,
    other_cell_type_partners,
    other_locus_partners,
    srm_evaluation_plan,
    training_plan,
)


WIDTH, REACH = 500, 3  # bp of a region; regions on either side of an anchor that its window spans


def make_windows(num_chromosomes=3, regions_a_chromosome=60, num_cell_types=3, seed=0):
    """Windows of random open regions; the further right on a chromosome, the denser."""
    rng = np.random.default_rng(seed)
    steps = rng.integers(600, 9000, size=(num_chromosomes, regions_a_chromosome))
    steps[:, regions_a_chromosome // 2 :] //= 3
    centre = np.cumsum(steps, axis=1).ravel()
    chrom_of = np.repeat(np.arange(num_chromosomes), regions_a_chromosome)
    is_open = rng.random((len(centre), num_cell_types)) < 0.5
    rows = []
    for cell_type in range(num_cell_types):
        for chrom in range(num_chromosomes):
            ids = np.flatnonzero(is_open[:, cell_type] & (chrom_of == chrom))
            for place, anchor in enumerate(ids):
                first, last = ids[max(0, place - REACH)], ids[min(len(ids) - 1, place + REACH)]
                following = ids[place + 1] if place + 1 < len(ids) else -1
                start, end = centre[first] - WIDTH // 2, centre[last] + WIDTH // 2
                rows.append((cell_type, chrom, start, end, anchor, following))
    columns = np.array(rows).T
    names = ("cell_type", "chrom", "start", "end", "anchor", "next_region")
    return WindowTable(
        **dict(zip(names, columns, strict=True)),
        region_centre=centre,
        region_gc=rng.random(len(centre)),
        region_closed=~is_open & (rng.random(is_open.shape) < 0.8),  # others are touching
    )


@pytest.fixture(scope="module")
def windows():
    return make_windows()


def overlap(windows, p, q):
    """Whether two windows share a base, by their definition."""
    bases = range(max(windows.start[p], windows.start[q]), min(windows.end[p], windows.end[q]))
    return windows.chrom[p] == windows.chrom[q] and len(bases) > 0


def assert_symmetric(partner):
    paired = np.flatnonzero(partner >= 0)
    np.testing.assert_array_equal(partner[partner[paired]], paired)
    assert (partner[paired] != paired).all()
    return [(p, partner[p]) for p in paired]


def test_disjoint(windows):
    assert len(windows) > 200
    rng = np.random.default_rng(0)
    p, q = rng.integers(len(windows), size=(2, 500))
    expected = [not overlap(windows, one, other) for one, other in zip(p, q, strict=True)]
    np.testing.assert_array_equal(windows.disjoint(p, q), expected)
    assert 0 < sum(expected) < 500


def test_other_locus_partners(windows):
    pairs = assert_symmetric(other_locus_partners(windows, np.random.default_rng(0)))
    assert len(pairs) > 0.97 * len(windows)
    for p, q in pairs:
        assert windows.cell_type[p] == windows.cell_type[q]
        assert not overlap(windows, p, q)
        assert (windows.next_region[p] == -1) == (windows.next_region[q] == -1)


def test_other_locus_partners_of_like_gc(windows):
    pairs = assert_symmetric(other_locus_partners(windows, np.random.default_rng(0), like_gc=True))
    assert len(pairs) > 0.7 * len(windows)
    gc = windows.region_gc[windows.anchor]
    for p, q in pairs:
        assert windows.cell_type[p] == windows.cell_type[q]
        assert not overlap(windows, p, q)
        assert (windows.next_region[p] == -1) == (windows.next_region[q] == -1)
        assert abs(gc[p] - gc[q]) < LIKE_GC
    others = other_locus_partners(windows, np.random.default_rng(0))
    assert np.mean(np.abs(gc - gc[others])[others >= 0] < LIKE_GC) < 0.3


def test_other_cell_type_partners(windows):
    pairs = assert_symmetric(other_cell_type_partners(windows, np.random.default_rng(0)))
    assert len(pairs) > 0.5 * len(windows)
    for p, q in pairs:
        assert windows.chrom[p] == windows.chrom[q]
        assert windows.cell_type[p] != windows.cell_type[q]
        assert windows.region_closed[windows.anchor[p], windows.cell_type[q]]
        assert windows.region_closed[windows.anchor[q], windows.cell_type[p]]
        centres = windows.region_centre[windows.anchor[[p, q]]]
        assert abs(int(centres[0]) - int(centres[1])) < NEIGHBOURHOOD


def test_anchors_open_in_both_are_never_a_pair_even_if_nothing_else_is_left():
    windows = make_windows(num_cell_types=2)
    windows.region_closed[:] = False
    assert (other_cell_type_partners(windows, np.random.default_rng(0)) == -1).all()


def gc_bins(windows):
    gc = windows.region_gc[windows.next_region[windows.next_region >= 0]]
    edges = np.quantile(gc, [0.2, 0.4, 0.6, 0.8])
    return lambda region: int(np.sum(windows.region_gc[region] > edges))


def test_next_region_partners(windows):
    pairs = assert_symmetric(next_region_partners(windows, np.random.default_rng(0)))
    assert len(pairs) > 0.7 * len(windows)
    gc_bin = gc_bins(windows)

    def distance_bin(window):
        distance = windows.region_centre[windows.next_region[window]] - windows.region_centre[windows.anchor[window]]
        return sum(distance > edge for edge in DISTANCE_BINS)

    for p, q in pairs:
        assert windows.cell_type[p] == windows.cell_type[q]
        assert not overlap(windows, p, q)
        assert windows.next_region[p] >= 0 and windows.next_region[q] >= 0
        assert distance_bin(p) == distance_bin(q)
        assert gc_bin(windows.next_region[p]) == gc_bin(windows.next_region[q])


def test_no_next_region_at_all(windows):
    windows = make_windows(regions_a_chromosome=2)
    windows.next_region[:] = -1
    assert (next_region_partners(windows, np.random.default_rng(0)) == -1).all()
    plan = training_plan(windows, np.random.default_rng(0))
    assert (plan.segment_b == -1).all() and (plan.ngsp_label == -100).all()


@pytest.mark.parametrize("match", [other_locus_partners, other_cell_type_partners, next_region_partners])
def test_the_rng_decides_a_matching(windows, match):
    first, second, other = (match(windows, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, second)
    assert (first != other).mean() > 0.5


# Training


def plans(windows, number, **arguments):
    return [training_plan(windows, np.random.default_rng([5, seed]), **arguments) for seed in range(number)]


def test_every_window_twice_and_what_goes_with_it(windows):
    for plan in plans(windows, 5):
        np.testing.assert_array_equal(np.sort(plan.row), np.repeat(np.arange(len(windows)), 2))
        srm, ngsp = plan.srm_label >= 0, plan.ngsp_label >= 0
        assert srm.sum() > ngsp.sum() > 0 and not (srm & ngsp).any()
        np.testing.assert_array_equal(plan.matrix_row != plan.row, plan.srm_label == 0)
        for p, q in zip(plan.row[plan.srm_label == 0], plan.matrix_row[plan.srm_label == 0], strict=True):
            if windows.cell_type[p] == windows.cell_type[q]:
                assert not overlap(windows, p, q)
            else:
                assert windows.region_closed[windows.anchor[p], windows.cell_type[q]]
                assert windows.region_closed[windows.anchor[q], windows.cell_type[p]]
        own_next = windows.next_region[plan.row]
        np.testing.assert_array_equal(plan.segment_b[plan.ngsp_label == 1], own_next[plan.ngsp_label == 1])
        assert (plan.segment_b != own_next)[plan.ngsp_label == 0].all()
        assert (plan.segment_b[ngsp] >= 0).all()
        others = ~ngsp & (plan.segment_b >= 0)
        np.testing.assert_array_equal(plan.segment_b[others], own_next[others])
        tiled = plan.self_tiled
        assert tiled.any() and not plan.hidden[tiled].any() and (plan.segment_b[tiled] == -1).all()
        assert not (tiled & ngsp).any()


def test_within_four_examples_everything_fits_once_and_does_not_once(windows):
    for plan in plans(windows, 5):
        num_fours = np.flatnonzero((plan.srm_label >= 0) | (plan.ngsp_label >= 0)).max() // 4 + 1
        assert num_fours > 0.4 * len(windows)  # of windows, almost all are in one
        for first in range(0, 4 * num_fours, 4):
            four = plan.take(np.arange(first, first + 4))
            p, q = four.row[0], four.row[2]
            assert four.row.tolist() == [p, p, q, q] and p != q
            if four.ngsp_label[0] >= 0:
                assert four.ngsp_label.tolist() == [1, 0, 1, 0] and (four.srm_label == -100).all()
                assert four.matrix_row.tolist() == [p, p, q, q]
                assert four.segment_b.tolist() == windows.next_region[[p, q, q, p]].tolist()
            else:
                assert four.srm_label.tolist() == [1, 0, 1, 0] and (four.ngsp_label == -100).all()
                assert four.matrix_row.tolist() == [p, q, q, p]
                assert four.segment_b[0] == four.segment_b[1] and four.segment_b[2] == four.segment_b[3]
                assert (four.segment_b[0] == -1) == (four.segment_b[2] == -1)
                is_hard = windows.cell_type[p] != windows.cell_type[q]
                is_tiled = four.self_tiled[0]
                shows_b = windows.next_region[p] >= 0 and not is_hard and not is_tiled
                assert (four.segment_b[0] >= 0) == shows_b
                assert four.self_tiled.tolist() == [is_tiled] * 4 and not (is_hard and is_tiled)
            assert len(set(four.hidden.tolist())) == 1
        rest = plan.take(np.arange(4 * num_fours, len(plan)))
        assert (rest.srm_label == -100).all() and (rest.ngsp_label == -100).all()


def test_negatives_of_ngsp_agree_in_gc_and_distance_and_keep_apart(windows):
    gc_bin = gc_bins(windows)
    checked = 0
    for plan in plans(windows, 10):
        for p in np.flatnonzero(plan.ngsp_label == 0):
            row = plan.row[p]
            assert gc_bin(plan.segment_b[p]) == gc_bin(windows.next_region[row])
            donors = np.flatnonzero(windows.next_region == plan.segment_b[p])
            donors = donors[windows.cell_type[donors] == windows.cell_type[row]]
            assert len(donors) == 1 and windows.disjoint(donors[0], row)
            checked += 1
    assert checked > 300


def test_fractions(windows):
    fractions = {"hidden_fraction": 0.3, "self_tiled_fraction": 0.2, "hard_negative_fraction": 0.6}
    all_plans = plans(windows, 40, **fractions, ngsp_fraction=0.4)
    rows, matrix_rows, b, srm, ngsp, hidden, tiled = (
        np.concatenate([getattr(plan, name) for plan in all_plans])
        for name in ("row", "matrix_row", "segment_b", "srm_label", "ngsp_label", "hidden", "self_tiled")
    )
    asked_for_matrix = ngsp < 0
    assert 0.2 < (ngsp >= 0).mean() < 0.4  # not all have a partner
    assert tiled[asked_for_matrix].mean() == pytest.approx(0.2, abs=0.015)
    assert hidden[~tiled].mean() == pytest.approx(0.3, abs=0.02)
    assert srm[srm >= 0].mean() == ngsp[ngsp >= 0].mean() == 0.5
    negative = (srm == 0) & ~tiled
    hard = windows.cell_type[rows] != windows.cell_type[matrix_rows]
    with_partner = np.mean(
        [(other_cell_type_partners(windows, np.random.default_rng(s)) >= 0).mean() for s in range(5)]
    )
    assert hard[negative].mean() == pytest.approx(0.6 * with_partner, abs=0.05)
    assert (windows.cell_type[rows] == windows.cell_type[matrix_rows])[tiled].all()
    assert (b[hard] == -1).all()


def test_fractions_of_none_and_all(windows):
    rng = np.random.default_rng
    plan = training_plan(windows, rng(0), self_tiled_fraction=1.0, ngsp_fraction=0.0)
    assert plan.self_tiled.all() and not plan.hidden.any() and (plan.segment_b == -1).all()
    options = {"self_tiled_fraction": 0.0, "hard_negative_fraction": 0.0, "ngsp_fraction": 0.0}
    plan = training_plan(windows, rng(0), **options, hidden_fraction=1.0)
    assert not plan.self_tiled.any() and plan.hidden.all() and (plan.ngsp_label == -100).all()
    np.testing.assert_array_equal(windows.cell_type[plan.matrix_row], windows.cell_type[plan.row])
    np.testing.assert_array_equal(plan.segment_b, windows.next_region[plan.row])
    gc = windows.region_gc[windows.anchor]
    for fraction, low, high in ((1.0, 0.6, 1.0), (0.0, 0.0, 0.3)):
        plan = training_plan(windows, rng(0), **options, like_gc_fraction=fraction)
        negative = plan.srm_label == 0
        like = np.abs(gc[plan.row] - gc[plan.matrix_row])[negative] < LIKE_GC
        assert low < like.mean() < high


def test_no_column_after_the_anchor_gives_a_negative_away(windows):
    """Segment B is there exactly where the shown matrix has a next column, in negatives as in positives."""
    for plan in plans(windows, 5, self_tiled_fraction=0.0, hard_negative_fraction=0.0):
        np.testing.assert_array_equal(plan.segment_b >= 0, windows.next_region[plan.matrix_row] >= 0)


def test_take(windows):
    plan = training_plan(windows, np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(plan))[:50]
    taken = plan.take(order)
    assert len(taken) == 50
    np.testing.assert_array_equal(taken.row, plan.row[order])
    np.testing.assert_array_equal(taken.segment_b, plan.segment_b[order])
    np.testing.assert_array_equal(taken.srm_label, plan.srm_label[order])


# Evaluation


def test_srm_evaluation_plan():
    partner = np.array([4, -1, 3, 2, 0, -1])
    plan = srm_evaluation_plan(make_windows(), partner, hidden=True)
    np.testing.assert_array_equal(plan.row, [0, 0, 4, 4, 2, 2, 3, 3])  # partners side by side
    np.testing.assert_array_equal(plan.matrix_row, [0, 4, 4, 0, 2, 3, 3, 2])
    np.testing.assert_array_equal(plan.srm_label, [1, 0, 1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(plan.segment_b, [-1] * 8)
    np.testing.assert_array_equal(plan.ngsp_label, [-100] * 8)
    assert plan.hidden.all() and not plan.self_tiled.any()

    plan = srm_evaluation_plan(make_windows(), partner, hidden=False, rows=np.array([1, 2]))
    np.testing.assert_array_equal(plan.row, [2, 2])
    np.testing.assert_array_equal(plan.matrix_row, [2, 3])
    assert not plan.hidden.any()


def test_ngsp_evaluation_plan():
    windows = make_windows()
    windows.next_region[:6] = [11, 12, 13, -1, 15, 16]
    partner = np.array([2, -1, 0, -1, 5, 4])
    plan = ngsp_evaluation_plan(windows, partner, hidden=False)
    np.testing.assert_array_equal(plan.row, [0, 0, 2, 2, 4, 4, 5, 5])
    np.testing.assert_array_equal(plan.matrix_row, plan.row)
    np.testing.assert_array_equal(plan.segment_b, [11, 13, 13, 11, 15, 16, 16, 15])
    np.testing.assert_array_equal(plan.ngsp_label, [1, 0, 1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(plan.srm_label, [-100] * 8)


def test_mgm_evaluation_plan_shows_each_locus_once(windows):
    plan = mgm_evaluation_plan(windows, np.random.default_rng(0))
    anchors = windows.anchor[plan.row]
    np.testing.assert_array_equal(np.sort(anchors), np.unique(windows.anchor))
    np.testing.assert_array_equal(plan.matrix_row, plan.row)
    np.testing.assert_array_equal(plan.segment_b, windows.next_region[plan.row])
    assert plan.hidden.all()
    assert (plan.srm_label == -100).all() and (plan.ngsp_label == -100).all()
    assert len(np.unique(windows.cell_type[plan.row])) == 3
