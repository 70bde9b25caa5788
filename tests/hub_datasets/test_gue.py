from __future__ import annotations

import gzip

import pytest

from hub_datasets.gue import find_gue_sets, gue_files, overlaps_between_sets, read_gue_csv, read_gue_set


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_read(tmp_path):
    file = write(tmp_path / "train.csv", "sequence,label\nACGT,0\nTTNN,1\n")
    assert read_gue_csv(file) == {"sequence": ["ACGT", "TTNN"], "label": [0, 1]}


def test_read_what_other_tools_write(tmp_path):
    text = '\ufefflabel,"sequence",id,note\r\n1,acgt,x,"a, b"\r\n\r\nno,TTAA ,y,\r\n'
    file = write(tmp_path / "train.csv.gz", gzip.compress(text.encode()))
    assert read_gue_csv(file, ["no", "yes"]) == {"sequence": ["ACGT", "TTAA"], "label": [1, 0], "id": ["x", "y"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seq,label\nA,0\n", r"x.csv: no column 'sequence'; found 'seq', 'label', expected a header 'sequence,label'"),
        ("sequence\tlabel\nA\t0\n", r"no column 'sequence' and 'label'; found 'sequence\\tlabel', expected a header"),
        ("", r"no column 'sequence' and 'label'; found an empty file"),
        ("sequence,label\n", r"x.csv: no rows after the header"),
        ("sequence,label\nA,0\nC,7\n", r"x.csv:3: found label '7', expected 0 to 1 or one of no, yes"),
        ("sequence,label\nA,maybe\n", r"x.csv:2: found label 'maybe', expected 0 to 1 or one of no, yes"),
        ("sequence,label\nA,-1\n", r"x.csv:2: found label '-1'"),
        ("sequence,label\n\nA,0,5\n", r"x.csv:3: found 3 columns, expected 2 as in the header"),
        ("sequence,label\n,0\n", r"x.csv:2: the sequence is empty, expected DNA"),
        ("sequence,label\nACXT,0\n", r"x.csv:2: not DNA: found 'X' at base 3, expected IUPAC letters"),
        ("id,sequence,label\na,A,0\nb,C,1\na,G,0\n", r"x.csv:4: id 'a' stands in line 2 too"),
        (b"sequence,label\nA,\xff\xfe\n", r"x.csv: not a text file in UTF-8"),
    ],
)
def test_bad_files(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_gue_csv(write(tmp_path / "x.csv", text), ["no", "yes"])


def test_labels_must_be_numbers_where_they_have_no_names(tmp_path):
    with pytest.raises(ValueError, match=r"x.csv:2: found label 'yes', expected a whole number"):
        read_gue_csv(write(tmp_path / "x.csv", "sequence,label\nA,yes\n"))


def test_find_sets(tmp_path):
    write(tmp_path / "prom" / "b" / "train.csv", "sequence,label\nA,0\n")
    write(tmp_path / "prom" / "a" / "test.csv.gz", gzip.compress(b"sequence,label\nC,1\n"))
    write(tmp_path / "prom" / "c" / "notes.txt", "")
    assert list(find_gue_sets(tmp_path / "prom")) == ["a", "b"]
    assert find_gue_sets(tmp_path / "prom" / "b") == {"b": tmp_path / "prom" / "b"}
    assert list(gue_files(tmp_path / "prom" / "a")) == ["test"]
    tables = read_gue_set(tmp_path / "prom" / "a", ["no", "yes"])
    assert tables["test"].to_dict() == {"sequence": ["C"], "label": [1]}
    assert tables["test"].features["label"].names == ["no", "yes"]
    with pytest.raises(FileNotFoundError, match=r"prom/c: found notes.txt, expected train.csv, dev.csv, test.csv"):
        find_gue_sets(tmp_path / "prom" / "c")
    with pytest.raises(FileNotFoundError, match=r"nowhere: no such folder"):
        find_gue_sets(tmp_path / "nowhere")


def test_overlaps_between_sets():
    sets = {
        "short": {"train": ["AACC", "ACGG"], "test": ["TTTT"]},
        # The first holds AACC, the second the other strand of ACGG.
        "long": {"train": ["GGAAAAGG"], "test": ["TTAACCTT", "TTCCGTTT", "GGGGGGGG"]},
        "mixed": {"train": ["AACC", "AACCT"], "test": ["AACC"]},
    }
    assert overlaps_between_sets(sets) == [
        {"train": "short", "test": "long", "rows": 3, "shared": 2},
        {"train": "short", "test": "mixed", "rows": 1, "shared": 1},
        {"train": "long", "test": "short", "rows": 1, "shared": 1},
        {"train": "long", "test": "mixed", "rows": 1, "shared": 0},
    ]
