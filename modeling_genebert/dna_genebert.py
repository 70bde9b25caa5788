"""DNA as arrays: the one encoding of bases that tokenizer, motif bank and collator share.

Bases are uint8 codes in the order of DNABERT's vocabulary: A=0, T=1, C=2, G=3; every other letter is
`UNKNOWN_BASE` (4). Upper and lower case are the same, U is read as T.
"""

from __future__ import annotations

import re
from typing import TypeVar

import numpy as np


BASES = "ATCG"
UNKNOWN_BASE = 4

_ENCODE = np.full(256, UNKNOWN_BASE, dtype=np.uint8)
for _code, _letters in enumerate(("Aa", "TtUu", "Cc", "Gg")):
    for _letter in _letters:
        _ENCODE[ord(_letter)] = _code
_DECODE = np.frombuffer(b"ATCGN", dtype=np.uint8)
_COMPLEMENT = np.array([1, 0, 3, 2, UNKNOWN_BASE], dtype=np.uint8)

# IUPAC letters and their complements: A-T, C-G, R (A or G)-Y (C or T), K (G or T)-M (A or C), B (not A)-V (not T),
# D (not C)-H (not G); S (C or G), W (A or T) and N (any) are their own; U is read as T.
_IUPAC, _IUPAC_COMPLEMENT = "ACGTURYKMBVDHSWN", "TGCAAYRMKVBHDSWN"
_IUPAC_TABLE = str.maketrans(_IUPAC + _IUPAC.lower(), _IUPAC_COMPLEMENT + _IUPAC_COMPLEMENT.lower())
_NOT_IUPAC = re.compile(f"[^{_IUPAC}{_IUPAC.lower()}]")

DNA = TypeVar("DNA", str, np.ndarray)


def encode_dna(sequence: str | bytes) -> np.ndarray:
    """Encode a DNA string as uint8 codes of shape `(len(sequence),)`: A=0, T=1, C=2, G=3, any other letter 4.

    Each character is one code, also a non-ASCII one, so that positions stay those of the string.
    """
    if isinstance(sequence, str):
        sequence = sequence.encode("ascii", errors="replace")
    return _ENCODE[np.frombuffer(sequence, dtype=np.uint8)]


def decode_dna(codes: np.ndarray) -> str:
    """Turn uint8 codes of shape `(length,)` back into an upper-case DNA string; `UNKNOWN_BASE` gives N."""
    return _DECODE[codes].tobytes().decode("ascii")


def reverse_complement(sequence: DNA) -> DNA:
    """The opposite strand of a sequence, read in its own direction: complemented *and* reversed.

    Args:
        sequence: a DNA string of IUPAC letters, or base codes of shape `(..., length)`, which are reversed along the
            last axis.

    Returns:
        The same type. Of a string each letter keeps its case, ambiguous ones are complemented too (R <-> Y, K <-> M,
        B <-> V, D <-> H; S, W and N stay), and U is read as T. Unknown base codes stay unknown.

    Raises:
        ValueError: if a string holds anything but IUPAC letters, with its position (0-based); for other types.
    """
    if isinstance(sequence, np.ndarray):
        return _COMPLEMENT[sequence[..., ::-1]]
    if not isinstance(sequence, str):
        raise ValueError(f"expected a DNA string or an array of base codes, found {type(sequence).__name__}")
    found = _NOT_IUPAC.search(sequence)
    if found:
        raise ValueError(
            f"position {found.start()} (0-based) of the sequence is {found.group()!r}, expected one of the IUPAC "
            f"letters {_IUPAC} in any case: replace it, for example by N"
        )
    return sequence[::-1].translate(_IUPAC_TABLE)


def kmer_codes(codes: np.ndarray, k: int, stride: int = 1) -> np.ndarray:
    """Rank of each k-mer in the order of `itertools.product("ATCG", repeat=k)`.

    Args:
        codes: uint8 base codes of shape `(..., length)`.
        k: k-mer length in bp, at least 1.
        stride: step between the starts of neighbouring k-mers in bp.

    Returns:
        int32 array of shape `(..., n)` with `n = (length - k) // stride + 1` full k-mers (0 where `length < k`);
        -1 where a k-mer holds an unknown base.
    """
    length = codes.shape[-1]
    if length < k:
        return np.empty((*codes.shape[:-1], 0), dtype=np.int32)
    count = (length - k) // stride + 1
    # int32 holds 5**8 and runs twice as fast as int64.
    ranks = np.zeros((*codes.shape[:-1], count), dtype=np.int32)
    unknown = np.zeros(ranks.shape, dtype=bool)
    for offset in range(k):
        window = codes[..., offset : offset + (count - 1) * stride + 1 : stride]
        ranks <<= 2
        ranks += window
        unknown |= window == UNKNOWN_BASE
    ranks[unknown] = -1
    return ranks
