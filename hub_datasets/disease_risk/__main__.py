"""`python -m hub_datasets.disease_risk --vcf VCF --genome FASTA --output_dir FOLDER`: build the set."""

from __future__ import annotations

from transformers import HfArgumentParser

from ..command_line import run_build
from .build import build_disease_risk
from .options import DiseaseRiskOptions
from .sources import SOURCES


def main(arguments: list[str] | None = None) -> None:
    parser = HfArgumentParser(
        DiseaseRiskOptions,  # type: ignore[arg-type]  # annotated as a type of transformers' own, takes any dataclass
        prog="python -m hub_datasets.disease_risk",
        description=__doc__,
    )
    parser.add_argument("--vcf", help="VCF, plain, gzip or bgzip. Needs --genome.")
    parser.add_argument("--genome", help="FASTA file (plain, gzip or bgzip) or 2bit file.")
    parser.add_argument("--source", choices=list(SOURCES), help="A public VCF, downloaded. Needs --genome.")
    parser.add_argument("--source_dir", help="Folder with the files of the public source: nothing is downloaded.")
    parser.add_argument("--sample_labels", help="CSV with the columns sample and label (case or control).")
    parser.add_argument("--mpra", help="Effect table of a saturation-mutagenesis MPRA instead.")
    parser.add_argument("--output_dir", required=True, help="The folder to write.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a set of variants.")
    run_build(build_disease_risk, parser, arguments)


if __name__ == "__main__":
    main()
