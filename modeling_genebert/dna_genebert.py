"""DNA as arrays: the one encoding of bases that tokenizer, motif bank and collator share.

Bases are uint8 codes in the order of DNABERT's vocabulary: A=0, T=1, C=2, G=3; every other letter is
`UNKNOWN_BASE` (4). Upper and lower case are the same, U is read as T.
"""

from __future__ import annotations

import numpy as np


BASES = "ATCG"
UNKNOWN_BASE = 4

_ENCODE = np.full(256, UNKNOWN_BASE, dtype=np.uint8)
for _code, _letters in enumerate(("Aa", "TtUu", "Cc", "Gg")):
    for _letter in _letters:
        _ENCODE[ord(_letter)] = _code
_DECODE = np.frombuffer(b"ATCGN", dtype=np.uint8)
_COMPLEMENT = np.array([1, 0, 3, 2, UNKNOWN_BASE], dtype=np.uint8)


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


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Reverse complement of base codes along the last axis, shape `(..., length)`; unknown bases stay unknown."""
    return _COMPLEMENT[codes[..., ::-1]]


def kmer_codes(codes: np.ndarray, k: int, stride: int = 1) -> np.ndarray:
    """Rank of each k-mer in the order of `itertools.product("ATCG", repeat=k)`.

    Args:
        codes: uint8 base codes of shape `(..., length)`.
        k: k-mer length in bp, at least 1.
        stride: step between the starts of neighbouring k-mers in bp.

    Returns:
        int64 array of shape `(..., n)` with `n = (length - k) // stride + 1` full k-mers (0 where `length < k`);
        -1 where a k-mer holds an unknown base.
    """
    length = codes.shape[-1]
    if length < k:
        return np.empty((*codes.shape[:-1], 0), dtype=np.int64)
    count = (length - k) // stride + 1
    # int32 holds 5**8 and runs twice as fast as int64 until the last cast.
    ranks = np.zeros((*codes.shape[:-1], count), dtype=np.int32)
    unknown = np.zeros(ranks.shape, dtype=bool)
    for offset in range(k):
        window = codes[..., offset : offset + (count - 1) * stride + 1 : stride]
        ranks <<= 2
        ranks += window
        unknown |= window == UNKNOWN_BASE
    ranks[unknown] = -1
    return ranks.astype(np.int64)
