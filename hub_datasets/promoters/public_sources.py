"""Public sets of promoters by name: where their files are."""

from __future__ import annotations

from ..downloads import PublicSource


def _epdnew_human(name: str, assembly: str, genome_build: str) -> PublicSource:
    file = f"Hs_EPDnew_006_{assembly}.bed"
    return PublicSource(
        name=name,
        description="Human promoters of EPDnew, version 006",
        genome_build=genome_build,
        citation="Dreos et al. (2013), EPD and EPDnew, high-quality promoter resources in the next-generation "
        "sequencing era, Nucleic Acids Research 41, D157-D164",
        licence="not verified: see https://epd.expasy.org",
        folder="epdnew_human",
        urls={file: f"https://epd.expasy.org/ftp/epdnew/H_sapiens/006/{file}"},
        unverified="that the server still has the file at this address, and the terms of use",
    )


PUBLIC_PROMOTERS = {
    source.name: source
    for source in [
        _epdnew_human("epdnew_human", "hg38", "hg38 / GRCh38"),
        _epdnew_human("epdnew_human_hg19", "hg19", "hg19 / GRCh37"),
    ]
}
