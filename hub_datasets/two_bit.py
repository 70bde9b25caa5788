"""Reading 2bit files, the compressed form in which the UCSC Genome Browser gives out genomes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np


_SIGNATURE = 0x1A412743
_BYTE_ORDERS = {_SIGNATURE.to_bytes(4, "little"): "<", _SIGNATURE.to_bytes(4, "big"): ">"}
# Four bases a byte, the first in the highest two bits; T=0, C=1, A=2, G=3.
_BASES_OF_BYTE = np.frombuffer(b"TCAG", np.uint8)[(np.arange(256)[:, None] >> np.array([6, 4, 2, 0])) & 3]


def is_two_bit(path: Path) -> bool:
    """Whether a file is in 2bit format, by its first four bytes."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) in _BYTE_ORDERS


def read_two_bit(path: Path, block_size: int = 1 << 24) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The records of a 2bit file, in file order: name, and bases in blocks of up to `block_size` bp.

    Bases are upper-case A, C, G, T, and N where the file marks unknown bases; its soft mask (lower case) is not used.
    Both byte orders and both versions (0: 32-bit offsets, 1: 64-bit offsets) are read. The blocks of a record must be
    used up before the next record is asked for. Format: https://genome.ucsc.edu/FAQ/FAQformat.html#format7

    Raises:
        ValueError: not a 2bit file, a later version, truncated, or two records of one name.
    """
    size = path.stat().st_size
    with path.open("rb") as file:

        def read(dtype: str, count: int) -> np.ndarray:
            num_bytes = count * np.dtype(dtype).itemsize
            if (end := file.tell() + num_bytes) > size:
                raise ValueError(
                    f"{path}: truncated or damaged 2bit file: found {size} bytes, expected at least {end}; "
                    "copy or download it again"
                )
            return np.frombuffer(file.read(num_bytes), dtype)

        order = _BYTE_ORDERS.get(file.read(4))
        if order is None:
            raise ValueError(f"{path}: not a 2bit file: it does not begin with the signature 0x{_SIGNATURE:X}")
        number = order + "u4"
        version, num_records, _ = read(number, 3).tolist()
        if version not in (0, 1):
            raise ValueError(f"{path}: 2bit file of version {version}, expected 0 or 1")
        offsets: dict[str, int] = {}
        for _ in range(num_records):
            name = read("u1", int(read("u1", 1)[0])).tobytes().decode("latin-1")
            if name in offsets:
                raise ValueError(f"{path}: second record named {name!r}; rename or remove one")
            offsets[name] = int(read(order + ("u8" if version else "u4"), 1)[0])

        def blocks(offset: int) -> Iterator[bytes]:
            file.seek(offset)
            length = int(read(number, 1)[0])
            num_unknown = int(read(number, 1)[0])
            unknown_start = read(number, num_unknown).astype(np.int64)
            unknown_end = unknown_start + read(number, num_unknown)
            read(number, 2 * int(read(number, 1)[0]) + 1)  # the soft mask, and a reserved number
            step = -(-block_size // 4) * 4
            for start in range(0, length, step):
                end = min(start + step, length)
                bases = _BASES_OF_BYTE[read("u1", -(-(end - start) // 4))].reshape(-1)[: end - start]
                for run in np.flatnonzero((unknown_start < end) & (unknown_end > start)):
                    bases[max(unknown_start[run] - start, 0) : unknown_end[run] - start] = ord("N")
                yield bases.tobytes()

        for name, offset in offsets.items():
            yield name, blocks(offset)
