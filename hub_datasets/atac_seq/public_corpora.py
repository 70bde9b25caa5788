"""Public sets of peaks by name: where their files are, and how they get here."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import datasets
from filelock import FileLock
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.file_download import http_get

from ..files import sha256_of


CHECKSUMS_FILE_NAME = "checksums.json"


@dataclass(frozen=True)
class PublicCorpus:
    """A public set of peaks.

    Attributes:
        name: what `peaks` is set to.
        description: what it is.
        genome_build: of the coordinates: the genome to give.
        citation: what to cite.
        licence: terms of use, and where they stand.
        licence_link: address of the terms, for the header of the card; empty where they are not known.
        folder: name of the folder in the cache; corpora that are made from the same files share it.
        urls: file name -> where it is downloaded.
        cell_types: file name -> cell type, where each file holds the peaks of one. Else the files are the three of a
            [`PeakMatrix`]: matrix, peaks and cell types, in this order.
        prefix: of a matrix, only cell types whose names begin so.
        metadata: cell type -> what else is known of it.
    """

    name: str
    description: str
    genome_build: str
    citation: str
    licence: str
    folder: str
    urls: dict[str, str]
    cell_types: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    licence_link: str = ""
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)


# Cell line, experiment, file: ATAC-seq peaks ("pseudoreplicated peaks", narrowPeak, GRCh38) from ENCODE. The files of
# MCF-7 and HCT116 are ATAC-seq of these cell lines; that they belong to one of ENCODE's experiments on them was not
# verified, so none is given.
_ENCODE_ATAC = [
    ("A549", "ENCSR032RGS", "ENCFF899OMR"),
    ("GM12878", "ENCSR637XSC", "ENCFF748UZH"),
    ("HCT116", "not verified", "ENCFF296ZZB"),
    ("HepG2", "ENCSR291GJU", "ENCFF439EIO"),
    ("IMR-90", "ENCSR200OML", "ENCFF243NTP"),
    ("K562", "ENCSR868FGK", "ENCFF333TAT"),
    ("MCF-7", "not verified", "ENCFF821OEF"),
]

# CATlas, README of humantissues: 1,154,611 cCREs of 400 bp (hg38, 0-based) x 222 cell types. Not verified: that the
# server still has these three files at this address (it was catlas.org/catlas_downloads until it moved), and the terms
# of use, which its README does not state.
_CATLAS = "https://decoder-genetics.wustl.edu/catlasv1/catlas_downloads/humantissues/cCRE_by_cell_type"
_CATLAS_URLS = {name: f"{_CATLAS}/{name}" for name in ("matrix.tsv.gz", "cCREs.bed.gz", "celltypes.txt.gz")}
_CATLAS_LICENCE = "not verified: the CATlas download site states none"
_ZHANG = "Zhang et al. (2021), A single-cell atlas of chromatin accessibility in the human genome, Cell 184, 5985-6001"
_DOMCKE = "Domcke et al. (2020), A human cell atlas of fetal chromatin accessibility, Science 370, eaba7612"

PUBLIC_CORPORA = {
    corpus.name: corpus
    for corpus in [
        # GEO gives the atlas itself (GSE149683) as Seurat objects in R's own format, which R alone reads. The same
        # nuclei, mapped to hg38 and clustered again, are the fetal half of CATlas, where peaks by cell type are text.
        PublicCorpus(
            name="descartes_fetal",
            description="Fetal cell types of the Descartes atlas of chromatin accessibility (GSE149683), as processed "
            "again in CATlas (hg38)",
            genome_build="hg38 / GRCh38",
            citation=f"{_DOMCKE}; {_ZHANG}",
            licence=_CATLAS_LICENCE,
            folder="catlas",
            urls=_CATLAS_URLS,
            prefix="Fetal ",
        ),
        PublicCorpus(
            name="catlas",
            description="222 adult and fetal cell types of CATlas (GSE184462 and GSE149683)",
            genome_build="hg38 / GRCh38",
            citation=f"{_ZHANG}; {_DOMCKE}",
            licence=_CATLAS_LICENCE,
            folder="catlas",
            urls=_CATLAS_URLS,
        ),
        PublicCorpus(
            name="encode_atac",
            description=f"ATAC-seq peaks of {len(_ENCODE_ATAC)} human cell lines from ENCODE",
            genome_build="hg38 / GRCh38",
            citation="ENCODE Project Consortium, with the accessions of the experiments and files, as asked for at "
            "https://www.encodeproject.org/help/citing-encode/",
            licence="free use without restrictions: https://www.encodeproject.org/help/citing-encode/",
            licence_link="https://www.encodeproject.org/help/citing-encode/",
            folder="encode_atac",
            urls={
                f"{file}.bed.gz": f"https://www.encodeproject.org/files/{file}/@@download/{file}.bed.gz"
                for _, _, file in _ENCODE_ATAC
            },
            cell_types={f"{file}.bed.gz": cell_type for cell_type, _, file in _ENCODE_ATAC},
            metadata={
                cell_type: {"experiment": experiment, "file": file} for cell_type, experiment, file in _ENCODE_ATAC
            },
        ),
    ]
}


def fetch_corpus(corpus: PublicCorpus, source_dir: str | Path | None = None) -> dict[str, Path]:
    """The files of a corpus: downloaded into the cache of `datasets`, or from a folder.

    A download that was interrupted goes on where it stopped, if the server can do that. The SHA-256 of each file is
    written to `checksums.json` beside it at the first download, and checked ever after.

    Args:
        corpus: which.
        source_dir: a folder that holds the files under the same names; nothing is downloaded then. They are checked
            against `checksums.json` there, else against that in the cache, where there is one.

    Returns:
        File name -> file.

    Raises:
        ConnectionError: a file cannot be downloaded.
        FileNotFoundError: files are missing in `source_dir`.
        ValueError: a file is not what it was at its first download.
    """
    cache = Path(datasets.config.HF_DATASETS_CACHE, "genebert_corpora", corpus.folder)
    if source_dir is not None:
        files = {name: Path(source_dir, name) for name in corpus.urls}
        if missing := [f"{name} ({corpus.urls[name]})" for name, file in files.items() if not file.is_file()]:
            raise FileNotFoundError(f"{source_dir}: has no {', '.join(missing)}; put there what is at these addresses")
        recorded = _read_checksums(Path(source_dir)) or _read_checksums(cache)
        for name, file in files.items():
            if name in recorded:
                _check(file, recorded[name], sha256_of(file))
        return files

    cache.mkdir(parents=True, exist_ok=True)
    files = {name: cache / name for name in corpus.urls}
    with FileLock(cache / ".lock"):
        recorded = _read_checksums(cache)
        for name, file in files.items():
            if not file.is_file():
                _download(corpus.urls[name], file)
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
            "try again, or put the files of this corpus into a folder and give it as source_dir"
        ) from error
    os.replace(partial, file)
