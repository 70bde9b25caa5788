from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_datasets.atac_seq import consensus as consensus_module
from hub_datasets.atac_seq.consensus import MIN_GAP_OF_N, Consensus, GenomeAxis, build_consensus, keep_strongest
from hub_datasets.atac_seq.peak_sources import PeakSource
from hub_datasets.atac_seq.windows import AtacSeqOptions, count_windows, make_windows, split_names
from hub_datasets.genome import Genome
from hub_datasets.intervals import mid_ranks, read_peaks


@pytest.mark.parametrize(
    ("values", "ranks"),
    [
        ([5.0], [1.0]),
        ([3.0, 1.0, 2.0, 9.0], [0.75, 0.25, 0.5, 1.0]),
        ([2.0, 2.0, 1.0, 2.0], [0.75, 0.75, 0.25, 0.75]),
        ([np.nan, 4.0, -1.0], [np.nan, 1.0, 0.5]),
        ([np.nan], [np.nan]),
    ],
)
def test_mid_ranks(values, ranks):
    np.testing.assert_array_equal(mid_ranks(np.array(values)), np.array(ranks, dtype=np.float32))


def test_keep_strongest_by_hand():
    # 10 bp wide: 14 is strongest and drops 5 and 23, which overlap it; 4 and 24 only touch it; 24 drops 30.
    position = np.array([5, 14, 23, 4, 24, 30, 100])
    strength = np.array([0.8, 0.9, 0.7, 0.6, 0.5, 0.4, 0.1])
    assert keep_strongest(position, strength, 10).tolist() == [4, 14, 24, 100]


def test_ties_go_to_the_smaller_start():
    assert keep_strongest(np.array([8, 5, 14]), np.array([0.5, 0.5, 0.5]), 10).tolist() == [5]


@settings(max_examples=200, deadline=None)
@given(
    intervals=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 5)), min_size=1, max_size=60),
    width=st.integers(1, 40),
)
def test_keep_strongest_equals_the_rule_written_out(intervals, width):
    kept: list[int] = []
    for start, _ in sorted(intervals, key=lambda interval: (-interval[1], interval[0])):
        if all(abs(start - other) >= width for other in kept):
            kept.append(start)
    position, strength = np.array(intervals).T
    assert keep_strongest(position, strength / 5, width).tolist() == sorted(kept)


def make_axis(tmp_path, *chromosomes, spacing=10):
    path = tmp_path / "genome.fa"
    path.write_text("".join(f">c{number}\n{bases}\n" for number, bases in enumerate(chromosomes, start=1)))
    return GenomeAxis(Genome(path), spacing)


def test_axis_counts_unknown_bases(tmp_path):
    axis = make_axis(tmp_path, "NNACGTNNNA", "ACGT", "NAN")
    assert axis.offsets.tolist() == [0, 20, 34]
    assert axis.unknown_runs.tolist() == [[0, 2], [6, 9], [34, 35], [36, 37]]
    text = "NNACGTNNNA" + " " * 10 + "ACGT" + " " * 10 + "NAN"
    spans = np.array([(start, end) for start in range(len(text)) for end in range(start, len(text) + 1)])
    expected = [text[start:end].count("N") for start, end in spans]
    assert axis.count_unknown(spans[:, 0], spans[:, 1]).tolist() == expected
    assert axis.chrom_index(np.array(["c3", "x", "c1", "c3"])).tolist() == [2, -1, 0, 2]
    assert make_axis(tmp_path, "ACGT").count_unknown(np.array([0]), np.array([4])).tolist() == [0]


def peak_file(tmp_path, name, lines):
    path = tmp_path / name
    path.write_text("\n".join(lines))
    return PeakSource(str(path), partial(read_peaks, path))


def narrow(chrom, start, end, signal, summit):
    return f"{chrom}\t{start}\t{end}\t.\t0\t.\t{signal}\t-1\t-1\t{summit - start}"


def test_a_peak_with_n_in_its_own_region_still_supports_a_region_of_another_cell_type(tmp_path):
    axis = make_axis(tmp_path, "ACGTACGTAC" * 3 + "NNNN" + "ACGTACGTAC")
    files = {
        "a": peak_file(tmp_path, "a.narrowPeak", [narrow("c1", 20, 30, 1, 25)]),  # 20-30: no N
        "b": peak_file(tmp_path, "b.narrowPeak", [narrow("c1", 20, 30, 1, 27), narrow("c1", 0, 9, 2, 2)]),
    }
    consensus = build_consensus(axis, files, region_width=10, max_n_fraction=0.0)
    assert consensus.start.tolist() == [20]
    np.testing.assert_array_equal(consensus.accessibility_of(0, 1), [[1.0, 0.5]])
    # The region round summit 2 would begin before the chromosome does.
    assert consensus.counts["b"].skipped["past chromosome end"] == 1
    assert consensus.counts["b"].used == 1

    consensus = build_consensus(axis, files, region_width=10, max_n_fraction=0.2)
    # 22-32 holds two N of ten: now it may be a region. It is weaker (0.5 against 1) than 20-30 and overlaps it.
    assert consensus.start.tolist() == [20]
    weaker = {"b": files["b"]}
    assert build_consensus(axis, weaker, region_width=10, max_n_fraction=0.2).start.tolist() == [22]


def test_the_strongest_supporting_peak_counts_and_order_does_not(tmp_path):
    axis = make_axis(tmp_path, "ACGT" * 50)
    lines = [narrow("c1", 50, 70, 4, 60), narrow("c1", 50, 70, 9, 62), narrow("c1", 100, 120, 1, 110)]
    results = []
    for order in ([0, 1, 2], [2, 1, 0], [1, 0, 2]):
        files = {"a": peak_file(tmp_path, "a.narrowPeak", [lines[index] for index in order])}
        consensus = build_consensus(axis, files, region_width=10, max_n_fraction=0.0)
        results.append((consensus.start.tolist(), consensus.accessibility_of(0, 2).tolist(), consensus.counts))
    assert results[0] == results[1] == results[2]
    assert results[0][0] == [57, 105]
    np.testing.assert_array_equal(results[0][1], np.array([[1.0], [1 / 3]], dtype=np.float32))
    assert results[0][2]["a"].used == 3 and results[0][2]["a"].open_regions == 2


def test_the_length_of_the_pieces_changes_nothing(tmp_path, monkeypatch):
    axis = make_axis(tmp_path, "ACGT" * 50, "ACGT" * 20, "ACGT" * 5, "ACGT" * 50)
    rng = np.random.default_rng(0)
    files = {}
    for name in ("a", "b"):
        lines = []
        for chrom, length in enumerate(axis.lengths.tolist(), start=1):
            summits = rng.integers(5, length - 5, 12).tolist()
            lines += [narrow(f"c{chrom}", s - 5, s + 5, rng.integers(9), s) for s in summits]
        files[name] = peak_file(tmp_path, f"{name}.narrowPeak", lines)
    whole = build_consensus(axis, files, region_width=10, max_n_fraction=0.0)
    for piece in (1, 100, 250):
        monkeypatch.setattr(consensus_module, "_PIECE_OF_AXIS", piece)
        again = build_consensus(axis, files, region_width=10, max_n_fraction=0.0)
        assert again.start.tolist() == whole.start.tolist()
        assert again.chrom.tolist() == whole.chrom.tolist()
        assert set(again.chrom.tolist()) == {0, 1, 2, 3}


def test_saved_and_opened_consensus_is_the_same(tmp_path):
    axis = make_axis(tmp_path, "A" * 50 + "N" * 1000 + "A" * 50, "A" * 100)
    files = {
        "a": peak_file(tmp_path, "a.narrowPeak", [narrow("c1", 20, 30, 1, 25), narrow("c2", 20, 30, 2, 25)]),
        "b": peak_file(tmp_path, "b.bed", ["c1\t1060\t1080"]),
    }
    consensus = build_consensus(axis, files, region_width=10, max_n_fraction=0.0)
    (tmp_path / "saved").mkdir()
    consensus.save(tmp_path / "saved")
    opened = Consensus.load(tmp_path / "saved")
    np.testing.assert_array_equal(opened.accessibility_of(0, 3), np.array([[0.5, 0], [0, np.nan], [1, 0]], np.float32))
    np.testing.assert_array_equal(opened.accessibility_of(1, 3), np.array([[0, np.nan], [1, 0]], np.float32))
    assert opened.gaps.tolist() == [[50, 1050]]
    assert opened.start.tolist() == consensus.start.tolist() == [20, 1065, 20]
    assert (opened.cell_types, opened.chromosomes, opened.region_width) == (["a", "b"], ["c1", "c2"], 10)
    assert opened.counts == consensus.counts


def test_a_peak_that_only_touches_a_region_does_not_open_it(tmp_path):
    axis = make_axis(tmp_path, "ACGT" * 50, "ACGT" * 50)
    files = {
        # Base 70 is the first of b's region 70-80; 120 would be the first of 120-130.
        "a": peak_file(
            tmp_path,
            "a.narrowPeak",
            [narrow("c1", 50, 71, 9, 60), narrow("c1", 100, 120, 8, 110), narrow("c2", 0, 20, 7, 10)],
        ),
        # 64 is the last base of a's region, 115 is past its second one.
        "b": peak_file(tmp_path, "b.narrowPeak", [narrow("c1", 64, 80, 9, 75), narrow("c1", 115, 130, 8, 125)]),
        # Its first peak covers all regions between.
        "c": peak_file(tmp_path, "c.narrowPeak", [narrow("c1", 60, 126, 1, 90), narrow("c1", 180, 190, 5, 185)]),
    }
    consensus = build_consensus(axis, files, region_width=10, max_n_fraction=0.0)
    assert consensus.start.tolist() == [55, 70, 85, 105, 120, 180, 5]
    touching = [[0, 1, 1], [1, 0, 1], [0, 0, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert consensus.touching_of(0, 7).astype(int).tolist() == touching
    assert (consensus.accessibility_of(0, 7) > 0).astype(int).tolist() == [
        *([1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0])
    ]
    (tmp_path / "saved").mkdir()
    consensus.save(tmp_path / "saved")
    assert Consensus.load(tmp_path / "saved").touching_of(1, 5).astype(int).tolist() == touching[1:5]


def test_no_common_chromosome(tmp_path):
    axis = make_axis(tmp_path, "ACGT" * 50)
    path = peak_file(tmp_path, "a.bed", ["1\t10\t20", "2\t10\t20"])
    with pytest.raises(ValueError, match=r"a.bed: none of its chromosomes is in the genome: the peaks have 1, 2; "):
        build_consensus(axis, {"a": path}, 10, 0.0)
    path = peak_file(tmp_path, "a.bed", ["chrc1\t10\t20"])
    with pytest.raises(ValueError, match=r"the genome has c1; 'chrc1' here seems to be 'c1' there: rename"):
        build_consensus(axis, {"a": path}, 10, 0.0)


def test_wrong_build_is_said(tmp_path):
    axis = make_axis(tmp_path, "ACGT" * 50)
    path = peak_file(tmp_path, "a.bed", ["c1\t10\t20", "c1\t1000\t1020", "c1\t2000\t2020"])
    with pytest.warns(UserWarning, match="most peaks of a lie past the ends .* wrong genome build"):
        build_consensus(axis, {"a": path}, 10, 0.0)
    path = peak_file(tmp_path, "a.bed", ["c1\t1000\t1020", "x\t2000\t2020"])
    expected = (
        r"a.bed: none of its 2 peaks can be used \(1 unknown chromosome, 1 past chromosome end\); give the genome"
    )
    with pytest.raises(ValueError, match=expected):
        build_consensus(axis, {"a": path}, 10, 0.0)


def test_blacklist(tmp_path):
    make_axis(tmp_path, "ACGT" * 50)
    blacklist = tmp_path / "blacklist.bed"
    # Adjoining and overlapping intervals, in any order, one on a chromosome that the genome lacks.
    blacklist.write_text("c1\t40\t50\nc9\t1\t5\nc1\t12\t18\nc1\t50\t52\nc1\t14\t16\n")
    axis = GenomeAxis(Genome(tmp_path / "genome.fa"), 10, blacklist)
    assert axis.blacklist.tolist() == [[12, 18], [40, 52]]
    starts = np.array([0, 2, 3, 17, 18, 30, 31, 51, 52])
    expected = [False, False, True, True, False, False, True, True, False]
    assert axis.in_blacklist(starts, starts + 10).tolist() == expected

    # 35-45 overlaps the blacklist; 30-40 touches it only. The summit at 38 lies in 30-40 all the same.
    lines = [narrow("c1", 30, 50, 9, 40), narrow("c1", 30, 40, 5, 35), narrow("c1", 33, 53, 7, 38)]
    consensus = build_consensus(axis, {"a": peak_file(tmp_path, "a.narrowPeak", lines)}, 10, 0.0)
    assert consensus.start.tolist() == [30]
    assert consensus.counts["a"].used == 2
    assert {reason: number for reason, number in consensus.counts["a"].skipped.items() if number} == {"blacklist": 1}
    blacklist.write_text("1\t40\t50\n")
    with pytest.raises(
        ValueError, match=r"blacklist.bed: none of its chromosomes is in the genome: the blacklist has 1"
    ):
        GenomeAxis(Genome(tmp_path / "genome.fa"), 10, blacklist)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(intervals=st.lists(st.tuples(st.integers(0, 150), st.integers(1, 30)), min_size=1, max_size=12))
def test_blacklist_equals_the_rule_written_out(tmp_path, intervals):
    make_axis(tmp_path, "ACGT" * 50)
    blacklist = tmp_path / "blacklist.bed"
    blacklist.write_text("".join(f"c1\t{start}\t{start + length}\n" for start, length in intervals))
    axis = GenomeAxis(Genome(tmp_path / "genome.fa"), 10, blacklist)
    starts = np.arange(190)
    expected = [any(s < start + 10 and start < s + length for s, length in intervals) for start in starts]
    assert axis.in_blacklist(starts, starts + 10).tolist() == expected


def consensus_of(axis, chrom, start, accessibility, width=10):
    accessibility = np.array(accessibility, dtype=np.float32)
    open_regions = [np.flatnonzero(column).astype(np.int32) for column in accessibility.T]
    return Consensus(
        region_width=width,
        chromosomes=axis.names,
        offsets=axis.offsets,
        gaps=axis.unknown_runs[np.diff(axis.unknown_runs, axis=1)[:, 0] >= MIN_GAP_OF_N],
        chrom=np.array(chrom, dtype=np.int32),
        start=np.array(start),
        cell_types=[f"type{number}" for number in range(accessibility.shape[1])],
        open_regions=open_regions,
        accessibility=[column[rows] for column, rows in zip(accessibility.T, open_regions, strict=True)],
        touching_regions=[np.empty(0, dtype=np.int32) for _ in open_regions],
        counts={},
    )


def test_windows_stop_at_the_span_the_gap_and_the_chromosome(tmp_path):
    axis = make_axis(tmp_path, "A" * 400, "A" * 400)
    consensus = consensus_of(axis, [0, 0, 0, 0, 1], [0, 100, 200, 301, 0], [[1], [1], [np.nan], [1], [1]])
    windows = make_windows(consensus, AtacSeqOptions(num_regions=4, max_span=200, max_gap=100), "train", 0)
    assert windows.anchor.tolist() == [0, 1, 2, 3, 4]
    assert windows.region_ids.tolist() == [
        [-1, 0, 1, -1],
        [0, 1, 2, -1],
        [1, 2, -1, -1],
        [-1, 3, -1, -1],
        [-1, 4, -1, -1],
    ]
    assert windows.next_region.tolist() == [1, 2, -1, -1, -1]

    windows = make_windows(consensus, AtacSeqOptions(num_regions=5, stride=3), "train", 0)
    assert windows.anchor.tolist() == [0, 3]
    assert windows.region_ids.tolist() == [[-1, 0, 1, 2, 3], [2, 3, -1, -1, -1]]
    assert windows.next_region.tolist() == [1, -1]


@pytest.mark.parametrize(("gap", "next_region"), [(999, 1), (1000, -1)])
def test_no_next_region_across_a_run_of_n(tmp_path, gap, next_region):
    axis = make_axis(tmp_path, "A" * 50 + "N" * gap + "A" * 50)
    consensus = consensus_of(axis, [0, 0, 0], [40, 50 + gap, 60 + gap], [[1], [1], [1]])
    windows = make_windows(consensus, AtacSeqOptions(num_regions=2), "train", 0)
    assert windows.next_region.tolist() == [next_region, 2, -1]
    # The window itself goes across: only what is called "next" does not.
    assert windows.region_ids.tolist() == [[0, 1], [1, 2], [2, -1]]


def test_splits(tmp_path):
    axis = make_axis(tmp_path, *["A" * 100] * 4)
    consensus = consensus_of(axis, [0, 1, 2, 3], [10, 10, 10, 10], [[1, 1], [1, 0], [1, 1], [1, 1]])
    options = AtacSeqOptions(
        validation_chromosomes=["c2"], test_chromosomes=["c4"], held_out_cell_types=["type1"], num_regions=2
    )
    rows = {
        split: [make_windows(consensus, options, split, cell_type).anchor.tolist() for cell_type in (0, 1)]
        for split in split_names(options)
    }
    assert rows == {
        "train": [[0, 2], []],
        "validation": [[1], []],
        "test": [[3], []],
        "train_unseen_cell_types": [[], [0, 2]],
        "validation_unseen_cell_types": [[], []],
        "test_unseen_cell_types": [[], [3]],
    }
    assert count_windows(consensus, options) == {
        "train": [2, 0],
        "validation": [1, 0],
        "test": [1, 0],
        "train_unseen_cell_types": [0, 2],
        "test_unseen_cell_types": [0, 1],
    }
    assert make_windows(consensus, options, "train", 0, slice(1, 2)).anchor.tolist() == [2]
    assert split_names(AtacSeqOptions()) == ["train"]
    assert split_names(AtacSeqOptions(test_chromosomes=["c1"])) == ["train", "test"]


@settings(max_examples=60, deadline=None)
@given(
    gaps=st.lists(st.integers(10, 90), min_size=1, max_size=25),
    is_open=st.lists(st.booleans(), min_size=25, max_size=25),
    second_chromosome=st.integers(0, 25),
    num_regions=st.integers(2, 7),
    max_span=st.integers(0, 400),
    stride=st.integers(1, 3),
)
def test_windows_equal_the_rule_written_out(
    tmp_path_factory, gaps, is_open, second_chromosome, num_regions, max_span, stride
):
    axis = make_axis(tmp_path_factory.mktemp("axis"), "A" * 3000, "A" * 3000)
    start = np.cumsum(gaps)
    chrom = (np.arange(len(gaps)) >= second_chromosome).astype(int)
    consensus = consensus_of(axis, chrom, start, [[value] for value in is_open[: len(gaps)]])
    options = AtacSeqOptions(num_regions=num_regions, max_span=max_span, max_gap=100, stride=stride)
    windows = make_windows(consensus, options, "train", 0)

    open_ids = [region for region in range(len(gaps)) if is_open[region]]
    expected = []
    for place in range(0, len(open_ids), stride):
        anchor = open_ids[place]
        row = []
        for other in range(place - options.anchor_index, place - options.anchor_index + num_regions):
            region = open_ids[other] if 0 <= other < len(open_ids) else None
            near = region is not None and chrom[region] == chrom[anchor]
            near = near and abs(start[region] - start[anchor]) <= max_span / 2
            row.append(region if near else -1)
        after = [region for region in open_ids if region > anchor and chrom[region] == chrom[anchor]]
        has_next = bool(after) and start[after[0]] - start[anchor] <= 100
        expected.append((anchor, row, after[0] if has_next else -1))
    found = [
        (int(anchor), row.tolist(), int(following))
        for anchor, row, following in zip(windows.anchor, windows.region_ids, windows.next_region, strict=True)
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"region_width": 0}, "region_width=0: expected at least 1"),
        ({"num_regions": 1}, "num_regions=1: expected at least 2"),
        ({"stride": 0}, "stride=0: expected at least 1"),
        ({"max_n_fraction": 1.0}, "max_n_fraction=1.0: expected 0 <= fraction < 1"),
        ({"validation_chromosomes": ["a", "b"], "test_chromosomes": ["b"]}, "b: in both validation_chromosomes and"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        AtacSeqOptions(**options)


def test_names_that_do_not_exist():
    with pytest.raises(ValueError, match="test_chromosomes: no chr9; there are chr1, chr2"):
        AtacSeqOptions(test_chromosomes=["chr9"]).check_names(["chr1", "chr2"], ["a", "b"])
    with pytest.raises(ValueError, match="held_out_cell_types: no c; there are a, b"):
        AtacSeqOptions(held_out_cell_types=["a", "c"]).check_names(["chr1"], ["a", "b"])
    with pytest.raises(ValueError, match="held_out_cell_types: all of a, b; keep at least one"):
        AtacSeqOptions(held_out_cell_types=["a", "b"]).check_names(["chr1"], ["a", "b"])
