"""Public annotations of human genes, with their genomes."""

from __future__ import annotations

from ..downloads import PublicSource


_RELEASE_47 = "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_human/release_47"

# Annotation first, then genome.
SOURCES = {
    source.name: source
    for source in [
        PublicSource(
            name="gencode_v47",
            description="GENCODE human release 47, annotation of the reference chromosomes, and its genome",
            genome_build="GRCh38 / hg38",
            citation="GENCODE, as asked for at https://www.gencodegenes.org",
            licence="open access, as GENCODE and Ensembl state it",
            folder="gencode_v47",
            urls={
                name: f"{_RELEASE_47}/{name}"
                for name in ("gencode.v47.annotation.gtf.gz", "GRCh38.primary_assembly.genome.fa.gz")
            },
            unverified="the files were never downloaded here, and the terms of use were not read at the source",
        )
    ]
}
