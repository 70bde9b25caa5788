"""Build the promoter set: `python -m hub_datasets.promoters --output_dir FOLDER` with `--gue_dir FOLDER`, or with
`--genome FASTA --promoters BED`."""

from __future__ import annotations

from transformers import HfArgumentParser

from ..command_line import run_build
from .build import build_promoters
from .options import PromoterOptions
from .public_sources import PUBLIC_PROMOTERS


def main(arguments: list[str] | None = None) -> None:
    parser = HfArgumentParser(
        PromoterOptions,  # type: ignore[arg-type]  # annotated as a type of transformers' own, takes any dataclass
        prog="python -m hub_datasets.promoters",
        description=__doc__,
    )
    parser.add_argument("--gue_dir", help="Folder with train.csv, dev.csv and test.csv, or with such folders.")
    parser.add_argument("--genome", help="FASTA file (plain, gzip or bgzip) or 2bit file.")
    parser.add_argument("--promoters", help=f"BED file of 6 or more columns, or one of {', '.join(PUBLIC_PROMOTERS)}.")
    parser.add_argument("--source_dir", help="Folder with the file of the public source: nothing is downloaded.")
    parser.add_argument("--output_dir", required=True, help="The folder to write.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a set that was built before.")
    run_build(build_promoters, parser, arguments)


if __name__ == "__main__":
    main()
