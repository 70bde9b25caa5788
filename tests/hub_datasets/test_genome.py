from __future__ import annotations

import gzip
import pickle

import pysam
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_datasets import genome as genome_module
from hub_datasets.genome import Genome, name_some, naming_hint


FASTA = ">chr1 first > one\nACGTNN\nacgtr\n>chr2\nTTTT\n\n>empty\n"


def write(path, text, compression="plain"):
    if compression == "plain":
        path.write_bytes(text.encode())
    elif compression == "gzip":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        plain = path.with_suffix(".plain")
        plain.write_bytes(text.encode())
        pysam.tabix_compress(str(plain), str(path), force=True)
        plain.unlink()
    return path


@pytest.mark.parametrize("compression", ["plain", "gzip", "bgzip"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_reads_every_kind_of_fasta_and_writes_nothing_beside_it(tmp_path, compression, newline):
    genome = Genome(write(tmp_path / "genome.fa", FASTA.replace("\n", newline), compression))
    assert genome.chromosomes == {"chr1": 11, "chr2": 4, "empty": 0}
    assert list(genome.chromosomes) == ["chr1", "chr2", "empty"]
    assert genome.fetch("chr1", 0, 11) == "ACGTNNACGTR"
    assert genome.fetch("chr1", 3, 7) == "TNNA"
    assert genome.fetch("chr2", 4, 4) == ""
    assert genome.codes("chr1", 0, 11).tolist() == [0, 2, 3, 1, 4, 4, 0, 2, 3, 1, 4]
    assert [file.name for file in tmp_path.iterdir()] == ["genome.fa"]


def test_unknown_runs(tmp_path, monkeypatch):
    path = write(tmp_path / "genome.fa", ">a\nNNACGTNNNNNACNRYA\n>b\nACGT\n>c\nNNN\n>d\n")
    for block_size in (1, 2, 3, 5, 1 << 24):
        monkeypatch.setattr(genome_module, "_BLOCK_SIZE", block_size)
        genome = Genome(path)
        assert genome.unknown_runs("a").tolist() == [[0, 2], [6, 11], [13, 16]]
        assert genome.unknown_runs("a", min_length=3).tolist() == [[6, 11], [13, 16]]
        assert genome.unknown_runs("b").tolist() == []
        assert genome.unknown_runs("c").tolist() == [[0, 3]]
        assert genome.unknown_runs("d").tolist() == []


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(st.lists(st.text("ACGTNacgtnRYK", max_size=9), max_size=4), min_size=1, max_size=4),
    block_size=st.integers(1, 40),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_any_line_lengths_in_any_blocks(tmp_path, monkeypatch, records, block_size, newline):
    lines = []
    for number, record in enumerate(records):
        lines += [f">r{number} text", *record]
    monkeypatch.setattr(genome_module, "_BLOCK_SIZE", block_size)
    genome = Genome(write(tmp_path / "genome.fa", newline.join(lines)))
    assert list(genome.chromosomes) == [f"r{number}" for number in range(len(records))]
    for name, record in zip(genome.chromosomes, records, strict=True):
        assert genome.fetch(name, 0, genome.chromosomes[name]) == "".join(record).upper()


def test_pickled_genome_reads_the_same(tmp_path):
    genome = pickle.loads(pickle.dumps(Genome(write(tmp_path / "genome.fa", FASTA))))
    assert genome.fetch("chr2", 0, 4) == "TTTT"


def test_unpacked_file_is_shared_and_the_input_not_read_again(tmp_path):
    path = write(tmp_path / "genome.fa", FASTA, "gzip")
    first = Genome(path, unpacked=tmp_path / "bases")
    assert (tmp_path / "bases").read_bytes() == b"ACGTNNACGTRTTTT"
    path.unlink()
    for genome in (first, Genome(path, unpacked=tmp_path / "bases"), pickle.loads(pickle.dumps(first))):
        assert genome.chromosomes == {"chr1": 11, "chr2": 4, "empty": 0}
        assert (genome.fetch("chr1", 3, 7), genome.fetch("chr2", 0, 4)) == ("TNNA", "TTTT")
    # Killed before the index was there: what was unpacked counts for nothing.
    (tmp_path / "bases.json").unlink()
    (tmp_path / "bases").write_bytes(b"half")
    assert Genome(write(path, FASTA), unpacked=tmp_path / "bases").fetch("chr2", 0, 4) == "TTTT"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["bases", "bases.json", "genome.fa"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "genome.fa: empty file"),
        (b"\n\n", "genome.fa: empty file"),
        (b"chr1\t10\t20\n", "genome.fa:1: not a FASTA file: found 'chr1\\\\t10\\\\t20', expected a line '>name'"),
        (b">a\nACGT\nACXT\n", "genome.fa:3: not DNA: found 'X' in record 'a'"),
        (b">a\nAC\n>b\nGG\n>a\nTT\n", "genome.fa:5: second record named 'a'"),
        (b">\nACGT\n", "genome.fa:1: record without a name"),
        (gzip.compress(b">a\n" + b"ACGTTGCA" * 999, mtime=0)[:-12], "genome.fa: truncated or damaged gzip file"),
        (gzip.compress(b">a\nACGT\n", mtime=0)[:5], "genome.fa: truncated or damaged gzip file"),
    ],
)
def test_bad_fasta(tmp_path, content, message):
    path = tmp_path / "genome.fa"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Genome(path)


def test_truncated_bgzip(tmp_path):
    path = write(tmp_path / "genome.fa.gz", FASTA, "bgzip")
    path.write_bytes(path.read_bytes()[:-28])
    with pytest.raises(ValueError, match="genome.fa.gz: truncated bgzip file"):
        Genome(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere.fa: no such file"):
        Genome(tmp_path / "nowhere.fa")
    with pytest.raises(ValueError, match="is a folder, expected a file"):
        Genome(tmp_path)


def test_missing_chromosome_names_both_sides(tmp_path):
    genome = Genome(write(tmp_path / "genome.fa", FASTA))
    expected = "no chromosome '1'; it has chr1, chr2, empty; '1' here seems to be 'chr1' there"
    with pytest.raises(ValueError, match=expected):
        genome.fetch("1", 0, 1)
    with pytest.raises(ValueError, match="no chromosome 'chr9'; it has chr1, chr2, empty$"):
        genome.codes("chr9", 0, 1)


@pytest.mark.parametrize(("start", "end"), [(-1, 3), (0, 12), (5, 4)])
def test_interval_outside_the_chromosome(tmp_path, start, end):
    genome = Genome(write(tmp_path / "genome.fa", FASTA))
    with pytest.raises(ValueError, match=rf"chr1:{start}-{end} is not within 0-11"):
        genome.fetch("chr1", start, end)


def test_names_in_messages():
    assert name_some(["a", "b"]) == "a, b"
    assert name_some("abcdefghij") == "a, b, c, d, e, f, g, h, ... (10 in all)"
    assert naming_hint(["chrX"], ["X"]) == "; 'chrX' here seems to be 'X' there: rename the chromosomes on one side"
    assert naming_hint(["chrX"], ["chrY"]) == ""
