"""Reading text files that may be compressed, naming files by their content, and writing files that are whole."""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import json
import os
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


# Every bgzip file ends with this empty block (SAM specification, section 4.1.2): without it the file was cut.
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")


def read_line_blocks(path: str | Path, block_size: int = 1 << 24) -> Iterator[bytes]:
    """Read a plain, gzip or bgzip file (told by its content, not its name) in blocks of whole lines.

    A byte order mark at its beginning, as some editors write it, is left out.

    Args:
        path: the file.
        block_size: approximate size of a block in bytes after decompression.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a folder, or its compression is damaged or cut short.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: is a folder, expected a file")
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    with path.open("rb") as raw:
        magic = raw.read(16)
        if magic[:2] == b"\x1f\x8b" and magic[12:14] == b"BC":
            raw.seek(-min(len(_BGZIP_END), path.stat().st_size), 2)
            if raw.read() != _BGZIP_END:
                raise ValueError(f"{path}: truncated bgzip file (no end marker); copy or download it again")
        raw.seek(0)
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if magic[:2] == b"\x1f\x8b" else raw
        try:
            is_first = True
            while block := stream.read(block_size):
                block += stream.readline()
                yield block.removeprefix(codecs.BOM_UTF8) if is_first else block
                is_first = False
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path}: truncated or damaged gzip file ({error}); copy or download it again") from error


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes as they lie on disk, in hex."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """A stream to write a file with, which gets its name once it is complete and on disk: no moment shows half a file.

    Until then it has another name in the same folder, that begins with a dot and is used by nobody else; it is removed
    where writing fails.

    Raises:
        OSError: it cannot be written: no space left, no permission.
    """
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with partial.open("xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
        sync_folder(path.parent)
    except OSError as error:
        if error.filename in (None, str(partial)):
            raise OSError(error.errno, f"{path}: cannot be written ({error.strerror or error})") from error
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a value as JSON, the file whole or not at all; what JSON does not know as text."""
    with written_whole(path) as stream:
        stream.write((json.dumps(value, indent=2, default=str) + "\n").encode())


def sync_folder(folder: Path) -> None:
    """Bring the names of a folder's files to disk, where the system can do that."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
