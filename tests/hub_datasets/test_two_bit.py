from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub_datasets import genome as genome_module
from hub_datasets.genome import Genome
from hub_datasets.two_bit import read_two_bit


def two_bit(records, order="little", version=0):
    """A 2bit file of the records, written after the format's description."""

    def number(value, size=4):
        return value.to_bytes(size, order)

    offset_size = 8 if version else 4
    index, bodies = b"", b""
    offset = 16 + sum(1 + len(name) + offset_size for name in records)
    for name, bases in records.items():
        body = number(len(bases))
        for pattern in ("[Nn]+", "[a-z]+"):
            runs = [match.span() for match in re.finditer(pattern, bases)]
            body += number(len(runs)) + b"".join(number(start) for start, _ in runs)
            body += b"".join(number(end - start) for start, end in runs)
        body += number(0)
        codes = ["TCAG".find(base) % 5 % 4 for base in bases.upper()] + [0] * (-len(bases) % 4)
        body += bytes(int(np.dot(codes[start : start + 4], (64, 16, 4, 1))) for start in range(0, len(codes), 4))
        index += bytes([len(name)]) + name.encode() + number(offset + len(bodies), offset_size)
        bodies += body
    header = number(0x1A412743) + number(version) + number(len(records)) + number(0)
    return header + index + bodies


def test_a_file_byte_by_byte(tmp_path):
    path = tmp_path / "genome.2bit"
    path.write_bytes(
        bytes.fromhex("43 27 41 1a  00000000 01000000 00000000  02 6331 17000000")  # header; name c1 at byte 23
        + bytes.fromhex("06000000  01000000 04000000 01000000  01000000 01000000 02000000  00000000")
        + bytes.fromhex("9c 40")  # 10 01 11 00, 01 00: A C G T, C under the N, T
    )
    genome = Genome(path)
    assert genome.chromosomes == {"c1": 6}
    assert genome.fetch("c1", 0, 6) == "ACGTNT"
    assert genome.unknown_runs("c1").tolist() == [[4, 5]]


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("version", [0, 1])
def test_reads_as_the_fasta_of_the_same_genome(tmp_path, order, version):
    records = {"zz": "ACGTNNacgtnnTTGCA", "empty": "", "chr2": "N" * 10 + "ACG", "b": "nnACGT"}
    (tmp_path / "genome.2bit").write_bytes(two_bit(records, order, version))
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in records.items()))
    binary, text = Genome(tmp_path / "genome.2bit"), Genome(tmp_path / "genome.fa")
    assert list(binary.chromosomes.items()) == list(text.chromosomes.items())
    for name, length in text.chromosomes.items():
        assert binary.fetch(name, 0, length) == text.fetch(name, 0, length)
        assert binary.unknown_runs(name).tolist() == text.unknown_runs(name).tolist()
    with pytest.raises(
        ValueError, match=r"genome.2bit: no chromosome '2'; it has .*; '2' here seems to be 'chr2' there"
    ):
        binary.fetch("2", 0, 1)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["genome.2bit", "genome.fa"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(st.text("ACGTNacgtn", max_size=40), min_size=1, max_size=3), block_size=st.integers(1, 30))
def test_any_bases_in_any_blocks(tmp_path, monkeypatch, records, block_size):
    named = {f"r{number}": bases for number, bases in enumerate(records)}
    path = tmp_path / "genome.2bit"
    path.write_bytes(two_bit(named))
    monkeypatch.setattr(genome_module, "_BLOCK_SIZE", block_size)
    genome = Genome(path)
    assert {name: genome.fetch(name, 0, length) for name, length in genome.chromosomes.items()} == {
        name: bases.upper() for name, bases in named.items()
    }


def test_a_file_cut_anywhere_is_refused(tmp_path):
    content = two_bit({"a": "ACGTNNacgtnnTTGCA", "b": "GGGTT"})
    path = tmp_path / "genome.2bit"
    for size in range(4, len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=rf"genome.2bit: truncated .* found {size} bytes, expected at least"):
            Genome(path)


def test_bad_two_bit(tmp_path):
    path = tmp_path / "genome.2bit"
    path.write_bytes(two_bit({"a": "ACGT"}, version=2))
    with pytest.raises(ValueError, match="2bit file of version 2, expected 0 or 1"):
        Genome(path)
    path.write_bytes(two_bit({"a": "ACGT", "b": "ACGT"}).replace(b"\x01b", b"\x01a"))
    with pytest.raises(ValueError, match="second record named 'a'"):
        Genome(path)
    path.write_bytes(b"ACGT")
    with pytest.raises(ValueError, match="not a 2bit file: it does not begin with the signature 0x1A412743"):
        list(read_two_bit(path))
