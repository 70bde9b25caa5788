"""The base encoding, against literal arrays and against plain Python."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeling_genebert.dna_genebert import BASES, decode_dna, encode_dna, kmer_codes, reverse_complement


def test_encode_dna_literal():
    codes = encode_dna("ATCGatcgUuNnRé-\n")
    assert codes.dtype == np.uint8
    assert codes.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 4, 4, 4, 4, 4, 4]
    assert encode_dna(b"GATTACA").tolist() == [3, 0, 1, 1, 0, 2, 0]
    assert encode_dna("").shape == (0,)


def test_decode_dna_literal():
    assert decode_dna(np.array([3, 0, 1, 1, 0, 2, 0, 4], dtype=np.uint8)) == "GATTACAN"


def test_reverse_complement_literal():
    assert decode_dna(reverse_complement(encode_dna("AACGTN"))) == "NACGTT"
    batch = np.stack([encode_dna("AAC"), encode_dna("TGN")])
    assert reverse_complement(batch).tolist() == [encode_dna("GTT").tolist(), encode_dna("NCA").tolist()]


@pytest.mark.parametrize(
    ("sequence", "expected"),
    [
        ("AACGTN", "NACGTT"),
        ("gaTTaca", "tgtAAtc"),
        ("UuAC", "GTaA"),
        ("RYSWKMBDHVN", "NBDHVKMWSRY"),
        ("ryswkmbdhvn", "nbdhvkmwsry"),
        ("", ""),
    ],
)
def test_reverse_complement_of_a_string_literal(sequence, expected):
    assert reverse_complement(sequence) == expected


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        ("ACG-T", r"position 3 \(0-based\) of the sequence is '-', expected one of the IUPAC letters"),
        ("ACGT\n", r"position 4 \(0-based\) of the sequence is '\\n'"),
        ("\u212aA", r"position 0 .* is '\u212a'"),  # the Kelvin sign, whose lower case is k
        ("AXEL", r"position 1 .* is 'X'"),
        (None, "expected a DNA string or an array of base codes, found NoneType"),
    ],
)
def test_reverse_complement_refuses(sequence, message):
    with pytest.raises(ValueError, match=message):
        reverse_complement(sequence)


def test_kmer_codes_literal():
    # k-mers in the order AA AT AC AG TA TT TC TG CA CT CC CG GA GT GC GG
    codes = encode_dna("ATCGNAG")
    assert kmer_codes(codes, 2).tolist() == [1, 6, 11, -1, -1, 3]
    assert kmer_codes(codes, 2, stride=2).tolist() == [1, 11, -1]
    assert kmer_codes(codes, 7).tolist() == [-1]
    assert kmer_codes(codes, 8).shape == (0,)
    assert kmer_codes(np.stack([codes, codes]), 2, stride=3).tolist() == [[1, -1], [1, -1]]
    assert kmer_codes(np.stack([codes, codes]), 8).shape == (2, 0)
    assert kmer_codes(encode_dna("GGGGGGGG"), 8).tolist() == [4**8 - 1]


@given(st.text(max_size=40))
def test_encode_dna_keeps_positions(text):
    expected = [BASES.find({"U": "T"}.get(letter, letter)) if letter in "ATCGU" else 4 for letter in map(upper, text)]
    assert encode_dna(text).tolist() == expected


def upper(letter: str) -> str:
    """Upper case of an ASCII letter only: some other letters grow to two in upper case."""
    return letter.upper() if letter.isascii() else "?"


@given(st.text("ACGT", max_size=30))
def test_reverse_complement_twice_is_the_same(sequence):
    codes = encode_dna(sequence)
    assert decode_dna(codes) == sequence
    assert decode_dna(reverse_complement(reverse_complement(codes))) == sequence


@given(st.text("ACGTRYSWKMBDHVNacgtryswkmbdhvn", max_size=30))
def test_reverse_complement_of_a_string_twice_is_the_same(sequence):
    opposite = reverse_complement(sequence)
    assert reverse_complement(opposite) == sequence
    assert len(opposite) == len(sequence)
    assert encode_dna(opposite).tolist() == reverse_complement(encode_dna(sequence)).tolist()


@pytest.mark.parametrize("k", [1, 3, 4])
@given(sequence=st.text("ACGTN", max_size=30), stride=st.integers(1, 5))
def test_kmer_codes_equal_a_dictionary(k, sequence, stride):
    rank = {"".join(letters): index for index, letters in enumerate(product("ATCG", repeat=k))}
    expected = [rank.get(sequence[i : i + k], -1) for i in range(0, len(sequence) - k + 1, stride)]
    assert kmer_codes(encode_dna(sequence), k, stride).tolist() == expected
