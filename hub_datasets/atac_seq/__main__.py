"""`python -m hub_datasets.atac_seq --genome FASTA --peaks FILES_OR_FOLDERS --output_dir FOLDER`: build the set."""

from __future__ import annotations

import warnings

from transformers import HfArgumentParser

from ..command_line import run_build
from .build import build_atac_seq
from .public_corpora import PUBLIC_CORPORA
from .windows import AtacSeqOptions


def main(arguments: list[str] | None = None) -> None:
    parser = HfArgumentParser(
        AtacSeqOptions,  # type: ignore[arg-type]  # annotated as a type of transformers' own, takes any dataclass
        prog="python -m hub_datasets.atac_seq",
        description=__doc__,
    )
    parser.add_argument("--genome", required=True, help="FASTA file (plain, gzip or bgzip) or 2bit file.")
    parser.add_argument(
        "--peaks",
        required=True,
        nargs="+",
        help="Peak files or folders of them, one file a cell type; sample sheets (.csv, .tsv); cells x peaks (.h5ad); "
        f"or one of {', '.join(PUBLIC_CORPORA)}.",
    )
    parser.add_argument("--blacklist", help="BED file of intervals that no region may overlap.")
    parser.add_argument("--source_dir", help="Folder with the files of the public corpus: nothing is downloaded.")
    parser.add_argument("--output_dir", required=True, help="The folder to write.")
    parser.add_argument(
        "--motifs", default="JASPAR2026", help="JASPAR2026, JASPAR2024:CORE:plants, ... or a motif file."
    )
    parser.add_argument("--num_workers", type=int, default=1, help="Processes on this machine.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a set that was built otherwise.")
    run_build(build_atac_seq, parser, arguments)


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    main()
