from __future__ import annotations

import gzip

import pytest

from examples.space.sequences import MAX_RECORDS, check_lengths, read_sequences


def names_and_sequences(records):
    return [(record.columns["id"], record.sequence) for record in records]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ACGTacgu", [("sequence", "ACGTacgu")]),
        ("  ACGT\nTTTT \n\n", [("sequence", "ACGTTTTT")]),
        (">one some words\nACGT\nTT\n>two\nGGNN", [("one", "ACGTTT"), ("two", "GGNN")]),
        ("\r\n>one\r\nACGT\r\n", [("one", "ACGT")]),
    ],
)
def test_pasted(text, expected):
    records, left_out = read_sequences(text, None)
    assert names_and_sequences(records) == expected
    assert left_out == []


@pytest.mark.parametrize("name", ["some.fa", "some.fasta.gz"])
def test_uploaded(tmp_path, name):
    content = b">one\nACGT\n>two\nTTGA\n"
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    records, _ = read_sequences(" ", str(tmp_path / name))
    assert names_and_sequences(records) == [("one", "ACGT"), ("two", "TTGA")]


def test_bad_records_are_left_out_and_said():
    records, left_out = read_sequences(">one\nACGT\n>two\nACXT\n>three\n>four\nNN\n>five\nGG", None)
    assert names_and_sequences(records) == [("one", "ACGT"), ("five", "GG")]
    assert left_out == [
        "1 left out (letters that are not DNA): pasted.fa:3: record 'two' has 'X' at position 2 (0-based)",
        "1 left out (no sequence): pasted.fa:5: record 'three'",
        "1 left out (no known base): pasted.fa:6: record 'four'",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No sequence: paste DNA or FASTA, or upload a FASTA file"),
        (" \n ", "No sequence: paste DNA or FASTA, or upload a FASTA file"),
        (
            "MKVLAT",
            "Nothing to predict: 1 left out (letters that are not DNA): pasted.fa:1: record 'sequence' has 'L' at "
            "position 3 (0-based)",
        ),
        (">\nACGT", "pasted.fa:1: record without a name, expected '>name'"),
        (">one\nACGT\n>one\nACGA", "pasted.fa: several records are called 'one', expected a name of its own for each"),
        (
            "".join(f">{number}\nACGT\n" for number in range(MAX_RECORDS + 1)),
            "pasted.fa: more than 50 records; predict.py takes any number of them",
        ),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(ValueError) as error:
        read_sequences(text, None)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("some.bed", b"chr1\t1\t2\n", "some.bed: expected a FASTA file, with an ending of .fa, .fasta, .fna, .fas"),
        ("some.fa", b"ACGT\n", "some.fa:1: not a FASTA file: found 'ACGT', expected a line '>name'"),
        ("some.fa", b"", "some.fa: empty file, expected a FASTA file"),
        ("some.fa.gz", gzip.compress(b">one\nACGT\n", mtime=0)[:-9], "some.fa.gz: "),
    ],
)
def test_bad_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError) as error:
        read_sequences("", tmp_path / name)
    assert str(error.value).startswith(message)
    assert str(tmp_path) not in str(error.value)


def test_text_and_file(tmp_path):
    with pytest.raises(ValueError, match="Found both a pasted sequence and a file: clear one of them"):
        read_sequences("ACGT", tmp_path / "some.fa")


def test_lengths():
    records, _ = read_sequences(">one\nACGT\n>two\nACGTACGT", None)
    check_lengths(records, 4, 8)
    check_lengths(records, 4, None)
    with pytest.raises(ValueError, match=r"^one has 4 bp, expected at least 6 bp \(one 6-mer\)$"):
        check_lengths(records, 6, 8)
    with pytest.raises(ValueError, match="^two has 8 bp, expected at most 7 bp: paste a part of it$"):
        check_lengths(records, 4, 7)
