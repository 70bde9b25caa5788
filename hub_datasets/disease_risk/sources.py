"""Public files of variants and their significance."""

from __future__ import annotations

from ..downloads import PublicSource


_CLINVAR = "https://ftp.ncbi.nlm.nih.gov/pub/clinvar"

SOURCES = {
    source.name: source
    for source in [
        PublicSource(
            name=f"clinvar_{build.lower()}",
            description=f"ClinVar: all variants in {build} coordinates, as they were on the day of the download",
            genome_build=build,
            citation="Landrum et al. (2018), ClinVar: improving access to variant interpretations and supporting "
            "evidence, Nucleic Acids Research 46, D1062-D1067",
            licence="public domain, as a work of the United States government; not for direct diagnostic use: "
            "https://www.ncbi.nlm.nih.gov/clinvar/docs/maintenance_use/",
            licence_link="https://www.ncbi.nlm.nih.gov/clinvar/docs/maintenance_use/",
            folder=f"clinvar_{build.lower()}",
            urls={f"clinvar_{build}.vcf.gz": f"{_CLINVAR}/vcf_{build}/clinvar.vcf.gz"},
            unverified="the files were never downloaded here, and the terms of use were not read at the source",
        )
        for build in ("GRCh38", "GRCh37")
    ]
}
