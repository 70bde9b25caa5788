"""Public files: where they are, under which terms, and how they get here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import datasets
from filelock import FileLock
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get

from .files import sha256_of


CHECKSUMS_FILE_NAME = "checksums.json"


@dataclass(frozen=True, kw_only=True)
class PublicSource:
    """Public files that belong together, declared: nothing is downloaded before [`fetch_source`] is called.

    Attributes:
        name: what a user calls it.
        description: what it is.
        genome_build: of the coordinates: the genome to give.
        citation: what to cite.
        licence: terms of use, and where they stand.
        folder: name of the folder in the cache; sources that are made from the same files share it.
        urls: file name -> where it is downloaded.
        licence_link: address of the terms, for the header of a card; empty where they are not known.
        unverified: what of all this was not checked at the source; empty where all was.
    """

    name: str
    description: str
    genome_build: str
    citation: str
    licence: str
    folder: str
    urls: dict[str, str]
    licence_link: str = ""
    unverified: str = ""


def fetch_source(source: PublicSource, source_dir: str | Path | None = None) -> dict[str, Path]:
    """The files of a public source: downloaded into the cache of `datasets`, or from a folder.

    A download that was interrupted goes on where it stopped, if the server can do that. The SHA-256 of each file is
    written to `checksums.json` beside it at the first download, and checked ever after.

    Args:
        source: which.
        source_dir: a folder that holds the files under the same names; nothing is downloaded then. They are checked
            against `checksums.json` there, else against that in the cache, where there is one.

    Returns:
        File name -> file.

    Raises:
        ConnectionError: a file cannot be downloaded.
        FileNotFoundError: files are missing in `source_dir`.
        ValueError: a file is not what it was at its first download.
    """
    cache = Path(datasets.config.HF_DATASETS_CACHE, "genebert_corpora", source.folder)
    if source_dir is not None:
        files = {name: Path(source_dir, name) for name in source.urls}
        if missing := [f"{name} ({source.urls[name]})" for name, file in files.items() if not file.is_file()]:
            raise FileNotFoundError(f"{source_dir}: has no {', '.join(missing)}; put there what is at these addresses")
        recorded = _read_checksums(Path(source_dir)) or _read_checksums(cache)
        for name, file in files.items():
            if name in recorded:
                _check(file, recorded[name], sha256_of(file))
        return files

    cache.mkdir(parents=True, exist_ok=True)
    files = {name: cache / name for name in source.urls}
    with FileLock(cache / ".lock"):
        recorded = _read_checksums(cache)
        for name, file in files.items():
            if not file.is_file():
                _download(source.urls[name], file)
            checksum = sha256_of(file)
            _check(file, recorded.setdefault(name, checksum), checksum)
            _write_checksums(cache, recorded)
    return files


def _read_checksums(folder: Path) -> dict[str, str]:
    file = folder / CHECKSUMS_FILE_NAME
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def _write_checksums(folder: Path, checksums: dict[str, str]) -> None:
    partial = folder / f"{CHECKSUMS_FILE_NAME}.partial"
    partial.write_text(json.dumps(checksums, indent=2) + "\n", encoding="utf-8")
    os.replace(partial, folder / CHECKSUMS_FILE_NAME)


def _check(file: Path, expected: str, found: str) -> None:
    if found != expected:
        raise ValueError(
            f"{file}: SHA-256 is {found}, expected {expected} as at the first download: the file was changed or "
            f"damaged; delete it to download it again (and its entry in {CHECKSUMS_FILE_NAME} to accept a new version)"
        )


def _download(url: str, file: Path) -> None:
    partial = file.with_name(f"{file.name}.incomplete")
    try:
        with partial.open("ab") as stream:
            # What is already compressed should come as it is, or it could not be resumed.
            headers = {"Accept-Encoding": "identity"}
            http_get(url, stream, resume_size=stream.tell(), headers=headers, displayed_filename=file.name)
    except Exception as error:  # the HTTP client's own kinds, which differ between versions of huggingface_hub
        # 416: the server's file ends before what is here already; it can be no part of that file.
        if isinstance(error, HfHubHTTPError) and error.response.status_code == 416 and partial.stat().st_size:
            partial.unlink()
            return _download(url, file)
        raise ConnectionError(
            f"{url}: cannot be downloaded ({str(error).splitlines()[0]}); "
            "try again, or put these files into a folder and give it as source_dir"
        ) from error
    os.replace(partial, file)
