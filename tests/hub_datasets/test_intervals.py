from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_datasets import intervals as intervals_module
from hub_datasets.files import read_line_blocks
from hub_datasets.intervals import Peaks, concatenate_peaks, find_peak_files, read_peaks


NARROW_PEAK = (
    'track type=narrowPeak name="x"\nbrowser position chr1:1-9\n# a comment\n\n'
    "chr2\t500\t900\tp1\t10\t.\t7.5\t3.1\t2.2\t120\n"
    "chr1\t10\t20\tp2\t10\t.\t.\t-1\t-1\t-1\n"
)


def same(array, expected):
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("name", ["a.narrowPeak", "a.bed"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_narrow_peak(tmp_path, name, compress, newline):
    path = tmp_path / name
    path.write_bytes(compress(NARROW_PEAK.replace("\n", newline).encode()))
    peaks = read_peaks(path)
    assert len(peaks) == 2
    same(peaks.chrom, ["chr2", "chr1"])
    same(peaks.start, [500, 10])
    same(peaks.end, [900, 20])
    same(peaks.summit, [620, -1])
    same(peaks.signal, [7.5, np.nan])


@pytest.mark.parametrize(
    ("name", "lines", "signal"),
    [
        ("a.bed", ["c\t1\t5", "c\t2\t6"], [np.nan, np.nan]),
        ("a.bed", ["c 1 5", "c  2  6"], [np.nan, np.nan]),
        ("a.bed", ["c\t1\t5\tp", "c\t2\t6\tq"], [np.nan, np.nan]),
        ("a.bed", ["c\t1\t5\tp\t8", "c\t2\t6\tq\t.5"], [8, 0.5]),
        ("a.bed", ["c\t1\t5\tp\t8\t+", "c\t2\t6\tq\t.\t-"], [8, np.nan]),
        ("a.bed", ["c\t1\t5\tp\t1000\t+", "c\t2\t6\tq\t1000\t-"], [np.nan, np.nan]),
        ("a.broadPeak", ["c\t1\t5\tp\t8\t.\t3\t1\t1", "c\t2\t6\tq\t8\t.\t4\t1\t1"], [3, 4]),
        ("a.narrowPeak", ["c\t1\t5\tp\t8\t.\t3\t1\t1\t0", "c\t2\t6\tq\t8\t.\t3\t1\t1\t0"], [3, 3]),
    ],
)
def test_where_the_signal_is(tmp_path, name, lines, signal):
    path = tmp_path / name
    path.write_text("\n".join(lines))
    peaks = read_peaks(path)
    same(peaks.start, [1, 2])
    same(peaks.signal, signal)
    same(peaks.summit, [1, 2] if name == "a.narrowPeak" else [-1, -1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.bed", "c\t1\t5\nc\t9\t5\n", "a.bed:2: found start 9, end 5, expected 0 <= start < end"),
        ("a.bed", "c\t5\t5\n", "a.bed:1: found start 5, end 5"),
        ("a.bed", "c\t-1\t5\n", "a.bed:1: found start -1, end 5"),
        ("a.bed", f"c\t1\t{10**30}\n", "a.bed:1: found start 1, end 1000"),
        ("a.bed", "# head\n\nc\t1\tx\n", r"a.bed:3: found 'c\\t1\\tx', expected a chromosome, a whole start"),
        ("a.bed", "chrom\tstart\tend\nc\t1\t5\n", "a.bed:1: .* a header line must begin with '#'"),
        ("a.bed", "\t1\t5\n", "a.bed:1: found .* expected a chromosome"),
        ("a.bed", "c\t1\n", "a.bed:1: found 2 columns, expected 3 or more"),
        ("a.bed", "c\t1\t5\nc\t2\n", "a.bed:2: found 2 columns, expected 3 as in the lines before"),
        ("a.narrowPeak", "c\t1\t5\n", "a.narrowPeak:1: found 3 columns, expected 10"),
        ("a.broadPeak", "c\t1\t5\n", "a.broadPeak:1: found 3 columns, expected 9"),
        ("a.bed", "c\t1\t5\tp\t0\t.\tinf\t0\t0\t0\n", "a.bed:1: .* a number or '.' in column 7"),
        ("a.bed", "c\t1\t5\tp\t0\t.\t2\t0\t0\t4\n", "a.bed:1: found summit offset 4 in a peak of 4 bp"),
        ("a.bed", "", "a.bed: no peaks in the file"),
        ("a.bed", "# only a comment\n", "a.bed: no peaks in the file"),
    ],
)
def test_bad_peaks(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_peaks(path)


def test_truncated_and_missing_files(tmp_path):
    path = tmp_path / "a.bed.gz"
    path.write_bytes(gzip.compress(b"".join(b"chr1\t%d\t%d\n" % (i, i + 9) for i in range(999)))[:-20])
    with pytest.raises(ValueError, match="a.bed.gz: truncated or damaged gzip file"):
        read_peaks(path)
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(ValueError, match="a.bed.gz: no peaks in the file"):
        read_peaks(path)
    with pytest.raises(FileNotFoundError, match="b.bed: no such file"):
        read_peaks(tmp_path / "b.bed")


def test_find_peak_files(tmp_path):
    for name in ["mDC.narrowPeak.gz", "B.bed", "CD4.x.broadPeak.bgz", "README.md", ".hidden.bed", ".bed"]:
        (tmp_path / name).touch()
    found = find_peak_files(tmp_path)
    assert {cell_type: file.name for cell_type, file in found.items()} == {
        "B": "B.bed",
        "CD4.x": "CD4.x.broadPeak.bgz",
        "mDC": "mDC.narrowPeak.gz",
    }
    assert list(found) == ["B", "CD4.x", "mDC"]
    assert list(find_peak_files([tmp_path / "mDC.narrowPeak.gz", str(tmp_path / "B.bed")])) == ["B", "mDC"]
    assert list(find_peak_files(str(tmp_path / "B.bed"))) == ["B"]


def test_find_peak_files_refuses(tmp_path):
    (tmp_path / "B.bed").touch()
    (tmp_path / "B.narrowPeak").touch()
    (tmp_path / "B.txt").touch()
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="B.narrowPeak: second file of cell type 'B', after .*B.bed"):
        find_peak_files(tmp_path)
    with pytest.raises(ValueError, match=r"B.txt: not a peak file by its name, expected an ending .narrowPeak"):
        find_peak_files([tmp_path / "B.txt"])
    with pytest.raises(FileNotFoundError, match="no peak files in the folder"):
        find_peak_files(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="C.bed: no such file"):
        find_peak_files(tmp_path / "C.bed")
    with pytest.raises(FileNotFoundError, match="no peak files given"):
        find_peak_files([])


intervals = st.tuples(
    st.text("abcXYZ019_.", min_size=1, max_size=6).filter(lambda name: name not in ("track", "browser")),
    st.integers(0, 10**6),
    st.integers(1, 5000),
    st.floats(-1e9, 1e9) | st.none(),
    st.integers(0, 4999) | st.none(),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(intervals, min_size=1, max_size=20), newline=st.sampled_from(["\n", "\r\n"]), junk=st.booleans())
def test_what_was_written_is_read(tmp_path, rows, newline, junk):
    lines = []
    for chrom, start, length, signal, offset in rows:
        offset = -1 if offset is None else offset % length
        value = "." if signal is None else repr(signal)
        lines.append(f"{chrom}\t{start}\t{start + length}\t.\t0\t.\t{value}\t0\t0\t{offset}")
        if junk:
            lines += ["", "# comment", "  "]
    path = tmp_path / "a.narrowPeak"
    path.write_bytes(newline.join(lines).encode())
    peaks = read_peaks(path)
    same(peaks.chrom, [row[0] for row in rows])
    same(peaks.start, [row[1] for row in rows])
    same(peaks.end, [row[1] + row[2] for row in rows])
    same(peaks.signal, [np.nan if row[3] is None else row[3] for row in rows])
    same(peaks.summit, [-1 if row[4] is None else row[1] + row[4] % row[2] for row in rows])


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | st.text("chr1\t 09.-\n#", max_size=60).map(str.encode))
def test_any_bytes_give_peaks_or_one_clear_error(tmp_path, content):
    path = tmp_path / "a.bed"
    path.write_bytes(content)
    try:
        peaks = read_peaks(path)
    except ValueError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
    else:
        assert len(peaks) > 0
        assert (peaks.start >= 0).all() and (peaks.start < peaks.end).all()


ODD_COLUMNS = [
    " ",
    ".",
    "-1",
    "+5",
    "0x1F",
    " 0X1F",
    "1_0",
    "nan",
    "inf",
    "5.0",
    "1e400",
    "",
    "7\r",
    "\r7",
    "#x",
    "track",
    "\xe9",
]
ODD_LINES = ["", "  ", "# comment", "\xe9", "track\t1\t2\t.\t0\t.\t1\t1\t1\t0", "\t" * 9, "chr1\t1\t2"]


@st.composite
def nearly_ordinary_lines(draw):
    """Ordinary narrowPeak lines, but for one column or one line."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        start, length = draw(st.integers(0, 40)), draw(st.integers(1, 30))
        offset = draw(st.integers(-1, length - 1))
        lines.append(
            [f"chr{start % 3}", start, start + length, "peak_0x", 0, ".", draw(st.floats(0, 1e6)), 1, 1, offset]
        )
    if draw(st.booleans()):
        draw(st.sampled_from(lines))[draw(st.sampled_from([0, 1, 2, 3, 6, 9]))] = draw(st.sampled_from(ODD_COLUMNS))
    texts = ["\t".join(map(str, columns)) for columns in lines]
    if draw(st.booleans()):
        texts.insert(draw(st.integers(0, len(texts))), draw(st.sampled_from(ODD_LINES)))
    return draw(st.sampled_from(["\n", "\r\n", "\r"])).join(texts)


@settings(max_examples=400, deadline=None)
@given(nearly_ordinary_lines())
def test_the_fast_reader_gives_what_the_careful_one_gives(text):
    block = text.encode()
    layout = intervals_module._Layout(num_columns=10, signal_column=7, summit_column=10)
    fast = intervals_module._parse_clean_block(block, layout)
    if fast is not None:
        careful = intervals_module._parse_block("a", block, 1, layout)
        for column in ("chrom", "start", "end", "summit", "signal"):
            same(getattr(fast, column), getattr(careful, column))
            assert getattr(fast, column).dtype == getattr(careful, column).dtype


@pytest.mark.parametrize("columns", [3, 4, 5, 9, 10])
def test_ordinary_files_are_read_the_fast_way(tmp_path, monkeypatch, columns):
    monkeypatch.setattr(intervals_module, "_parse_block", None)
    line = ["chrX", "7", "19", "a0x\tb"[:3], ".", "+", "3.5", "1", "1", "4"][:columns]
    path = tmp_path / "a.bed"
    path.write_text("track name=x\n\n" + ("\t".join(line) + "\r\n") * 3)
    peaks = read_peaks(path)
    same(peaks.chrom, ["chrX"] * 3)
    same(peaks.start, [7] * 3)
    same(peaks.signal, [3.5 if columns == 10 else np.nan] * 3)
    same(peaks.summit, [11 if columns == 10 else -1] * 3)


def test_line_numbers_are_right_in_a_later_block(tmp_path, monkeypatch):
    monkeypatch.setattr(intervals_module, "read_line_blocks", lambda path: read_line_blocks(path, block_size=10))
    path = tmp_path / "a.bed"
    path.write_text("# one\n# two\n# three\n" + "".join(f"c\t{i}\t{i + 5}\n" for i in range(10)) + "c\t9\tx\n")
    with pytest.raises(ValueError, match=r"a.bed:14: found 'c\\t9\\tx', expected a chromosome"):
        read_peaks(path)
    path.write_text(path.read_text()[:-6])
    same(read_peaks(path).start, range(10))


def test_take_and_concatenate():
    peaks = Peaks(*(np.array(column) for column in (["a", "b"], [1, 2], [5, 9], [3, -1], [0.5, np.nan])))
    both = concatenate_peaks([peaks, peaks.take(np.array([1]), signal=np.array([7.0]))])
    same(both.chrom, ["a", "b", "b"])
    same(both.summit, [3, -1, -1])
    same(both.signal, [0.5, np.nan, 7.0])
