"""Public sets of peaks by name: where their files are."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..downloads import PublicSource


@dataclass(frozen=True, kw_only=True)
class PublicCorpus(PublicSource):
    """A public set of peaks; its `name` is what `peaks` is set to.

    Attributes:
        cell_types: file name -> cell type, where each file holds the peaks of one. Else the files are the three of a
            [`PeakMatrix`]: matrix, peaks and cell types, in this order.
        prefix: of a matrix, only cell types whose names begin so.
        metadata: cell type -> what else is known of it.
    """

    cell_types: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
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
