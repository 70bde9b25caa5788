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


def test_every_window_once_and_what_goes_with_it(windows):
    for plan in plans(windows, 5):
        rows = np.arange(len(windows))
        np.testing.assert_array_equal(plan.row, rows)
        for p, q in enumerate(plan.matrix_row):
            assert (p == q) == (plan.srm_label[p] != 0)
            if p == q:
                continue
            if windows.cell_type[p] == windows.cell_type[q]:
                assert not overlap(windows, p, q)
            else:  # hard: shown without segment B
                assert windows.region_closed[windows.anchor[p], windows.cell_type[q]]
                assert windows.region_closed[windows.anchor[q], windows.cell_type[p]]
                assert plan.segment_b[p] == -1 and plan.ngsp_label[p] == -100
        assert (plan.ngsp_label[plan.segment_b == -1] == -100).all()
        positive = plan.ngsp_label == 1
        np.testing.assert_array_equal(plan.segment_b[positive], windows.next_region[positive])
        negative = plan.ngsp_label == 0
        assert (plan.segment_b[negative] != windows.next_region[negative]).all()
        tiled = plan.self_tiled
        assert tiled.any() and not plan.hidden[tiled].any() and (plan.segment_b[tiled] == -1).all()


def test_negatives_of_ngsp_agree_in_gc_and_keep_apart(windows):
    gc_bin = gc_bins(windows)
    checked = 0
    for plan in plans(windows, 10):
        assert (plan.matrix_row == plan.row)[plan.ngsp_label >= 0].all()
        swapped = (plan.segment_b >= 0) & (plan.segment_b != windows.next_region)  # also where NGSP is not asked
        for p in np.flatnonzero(swapped):
            assert gc_bin(plan.segment_b[p]) == gc_bin(windows.next_region[p])
            # The region does not stand in the matrix that is shown.
            matrix = plan.matrix_row[p]
            centre = windows.region_centre[plan.segment_b[p]]
            donors = np.flatnonzero(windows.next_region == plan.segment_b[p])
            donors = donors[windows.cell_type[donors] == windows.cell_type[p]]
            assert len(donors) == 1 and windows.disjoint(donors[0], matrix)
            same_chromosome = windows.chrom[donors[0]] == windows.chrom[matrix]
            assert not (same_chromosome and windows.start[matrix] <= centre < windows.end[matrix])
            checked += 1
    assert checked > 300


def test_an_exchanged_segment_b_says_nothing_of_srm(windows):
    """Else SRM could be told from A and B, where these do not go together, and without the matrix."""
    swapped, label = [], []
    for plan in plans(windows, 60):
        chosen = (plan.segment_b >= 0) & (plan.srm_label >= 0)
        swapped.append((plan.segment_b != windows.next_region)[chosen])
        label.append(plan.srm_label[chosen])
    swapped, label = np.concatenate(swapped), np.concatenate(label)
    shares = [swapped[label == value].mean() for value in (0, 1)]
    assert shares[0] > 0.2
    assert abs(shares[0] - shares[1]) < 4 * np.sqrt(0.25 * 4 / len(label))


def test_no_column_after_the_anchor_gives_a_negative_away(windows):
    """Segment B is there exactly where the shown matrix has a next column, in negatives as in positives."""
    for plan in plans(windows, 5, self_tiled_fraction=0.0, hard_negative_fraction=0.0):
        np.testing.assert_array_equal(plan.segment_b >= 0, windows.next_region[plan.matrix_row] >= 0)


def test_fractions(windows):
    all_plans = plans(windows, 40, hidden_fraction=0.3, self_tiled_fraction=0.2, hard_negative_fraction=0.6)
    rows, matrix_rows, b, label, hidden, tiled = (
        np.concatenate([getattr(plan, name) for plan in all_plans])
        for name in ("row", "matrix_row", "segment_b", "srm_label", "hidden", "self_tiled")
    )
    assert tiled.mean() == pytest.approx(0.2, abs=0.015)
    assert hidden[~tiled].mean() == pytest.approx(0.3, abs=0.015)
    assert hidden[tiled].sum() == 0
    assert label[label >= 0].mean() == pytest.approx(0.5, abs=0.015)
    assert label[hidden & (label >= 0)].mean() == pytest.approx(0.5, abs=0.02)
    negative = (label == 0) & ~tiled
    hard = windows.cell_type[rows] != windows.cell_type[matrix_rows]
    with_partner = np.mean(
        [(other_cell_type_partners(windows, np.random.default_rng(s)) >= 0).mean() for s in range(5)]
    )
    assert hard[negative].mean() == pytest.approx(0.6 * with_partner, abs=0.03)
    assert (windows.cell_type[rows] == windows.cell_type[matrix_rows])[tiled].all()
    assert (b[hard] == -1).all()


def test_fractions_of_none_and_all(windows):
    plan = training_plan(windows, np.random.default_rng(0), self_tiled_fraction=1.0)
    assert plan.self_tiled.all() and not plan.hidden.any() and (plan.segment_b == -1).all()
    plan = training_plan(
        windows, np.random.default_rng(0), self_tiled_fraction=0.0, hard_negative_fraction=0.0, hidden_fraction=1.0
    )
    assert not plan.self_tiled.any() and plan.hidden.all()
    np.testing.assert_array_equal(windows.cell_type[plan.matrix_row], windows.cell_type)
    np.testing.assert_array_equal(plan.segment_b >= 0, windows.next_region >= 0)


@pytest.mark.parametrize("arguments", [{}, {"hard_negative_fraction": 1.0}, {"self_tiled_fraction": 0.5}])
def test_each_sequence_matrix_and_segment_b_is_a_positive_as_often_as_a_negative(arguments):
    """Also among the examples with a segment B, among those without, and among the self-tiled ones."""
    windows = make_windows(num_chromosomes=2, regions_a_chromosome=30, num_cell_types=2)
    kinds = {"with B": 0, "without B": 1, "self-tiled": 2}
    size = len(windows.region_centre), len(windows), len(windows.region_centre)
    counts = {name: np.zeros((len(kinds), 2, number)) for name, number in zip(("A", "matrix", "B"), size, strict=True)}
    for plan in plans(windows, 1500, **arguments):
        kind = np.where(plan.self_tiled, 2, plan.segment_b < 0)
        srm, ngsp = plan.srm_label >= 0, plan.ngsp_label >= 0
        np.add.at(counts["A"], (kind[srm], plan.srm_label[srm], windows.anchor[plan.row[srm]]), 1)
        np.add.at(counts["matrix"], (kind[srm], plan.srm_label[srm], plan.matrix_row[srm]), 1)
        np.add.at(counts["B"], (kind[ngsp], plan.ngsp_label[ngsp], plan.segment_b[ngsp]), 1)
    assert counts["B"][0].sum() > 1000 and counts["B"][1:].sum() == 0
    for name, of_kinds in counts.items():
        for kind, number in kinds.items():
            negative, positive = of_kinds[number]
            total = negative + positive
            z = (positive - negative)[total > 50] / np.sqrt(total[total > 50])
            assert np.abs(z).max(initial=0) < 4.5, (name, kind)
            assert not len(z) or np.mean(z**2) < 1 + 4 * np.sqrt(2 / len(z)), (name, kind)


def test_take(windows):
    plan = training_plan(windows, np.random.default_rng(0))
    order = np.random.default_rng(1).permutation(len(plan))[:50]
    taken = plan.take(order)
    assert len(taken) == 50
    np.testing.assert_array_equal(taken.row, order)
    np.testing.assert_array_equal(taken.segment_b, plan.segment_b[order])
    np.testing.assert_array_equal(taken.srm_label, plan.srm_label[order])


# Evaluation


def test_srm_evaluation_plan():
    partner = np.array([2, -1, 0, 4, 3, -1])
    plan = srm_evaluation_plan(make_windows(), partner, hidden=True)
    np.testing.assert_array_equal(plan.row, [0, 2, 3, 4, 0, 2, 3, 4])
    np.testing.assert_array_equal(plan.matrix_row, [0, 2, 3, 4, 2, 0, 4, 3])
    np.testing.assert_array_equal(plan.srm_label, [1, 1, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(plan.segment_b, [-1] * 8)
    np.testing.assert_array_equal(plan.ngsp_label, [-100] * 8)
    assert plan.hidden.all() and not plan.self_tiled.any()

    plan = srm_evaluation_plan(make_windows(), partner, hidden=False, rows=np.array([1, 2]))
    np.testing.assert_array_equal(plan.row, [2, 2])
    np.testing.assert_array_equal(plan.matrix_row, [2, 0])
    assert not plan.hidden.any()


def test_ngsp_evaluation_plan():
    windows = make_windows()
    windows.next_region[:6] = [11, 12, 13, -1, 15, 16]
    partner = np.array([2, -1, 0, -1, 5, 4])
    plan = ngsp_evaluation_plan(windows, partner, hidden=False)
    np.testing.assert_array_equal(plan.row, [0, 2, 4, 5, 0, 2, 4, 5])
    np.testing.assert_array_equal(plan.matrix_row, plan.row)
    np.testing.assert_array_equal(plan.segment_b, [11, 13, 15, 16, 13, 11, 16, 15])
    np.testing.assert_array_equal(plan.ngsp_label, [1, 1, 1, 1, 0, 0, 0, 0])
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
