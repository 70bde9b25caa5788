"""`python -m hub_datasets.splice_sites --gtf GTF --genome FASTA --output_dir FOLDER`: build the set."""

from __future__ import annotations

from transformers import HfArgumentParser

from ..command_line import run_build
from .build import build_splice_sites
from .options import SpliceSiteOptions
from .sources import SOURCES


def main(arguments: list[str] | None = None) -> None:
    parser = HfArgumentParser(
        SpliceSiteOptions,  # type: ignore[arg-type]  # annotated as a type of transformers' own, takes any dataclass
        prog="python -m hub_datasets.splice_sites",
        description=__doc__,
    )
    parser.add_argument("--gtf", help="Annotation with exons: GTF, plain, gzip or bgzip. Needs --genome.")
    parser.add_argument("--genome", help="FASTA file (plain, gzip or bgzip) or 2bit file.")
    parser.add_argument("--source", choices=list(SOURCES), help="A public annotation with its genome, downloaded.")
    parser.add_argument("--source_dir", help="Folder with the files of the public source: nothing is downloaded.")
    parser.add_argument("--gue_dir", help="Folder with GUE's train.csv, dev.csv and test.csv instead.")
    parser.add_argument(
        "--split_dev", action="store_true", help="GUE without train.csv: train on 80 %% of dev, validate on 20 %%."
    )
    parser.add_argument("--output_dir", required=True, help="The folder to write.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a set of splice sites.")
    run_build(build_splice_sites, parser, arguments)


if __name__ == "__main__":
    main()
