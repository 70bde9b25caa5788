"""`python -m hub_datasets.atac_seq --genome FASTA --peaks FILES_OR_FOLDERS --output_dir FOLDER`: build the set."""

from __future__ import annotations

import sys
import warnings

from transformers import HfArgumentParser

from .build import build_atac_seq
from .windows import AtacSeqOptions


def main(arguments: list[str] | None = None) -> None:
    parser = HfArgumentParser(
        AtacSeqOptions,  # type: ignore[arg-type]
        prog="python -m hub_datasets.atac_seq",
        description=__doc__,
    )
    parser.add_argument("--genome", required=True, help="FASTA file: plain, gzip or bgzip.")
    parser.add_argument(
        "--peaks", required=True, nargs="+", help="Peak files or folders of them, one file a cell type."
    )
    parser.add_argument("--output_dir", required=True, help="The folder to write.")
    parser.add_argument("--motifs", default="JASPAR2026", help="A JASPAR release by name, or a motif file.")
    parser.add_argument("--num_workers", type=int, default=1, help="Processes that score motifs.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a set that was built otherwise.")
    try:
        build_atac_seq(**vars(parser.parse_args(arguments)))
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    main()
