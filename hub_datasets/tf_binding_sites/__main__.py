"""`python -m hub_datasets.tf_binding_sites --chip_seq FILES --genome FASTA --output_dir FOLDER`: build the set."""

from __future__ import annotations

import warnings

from transformers import HfArgumentParser

from ..command_line import run_build
from .build import TfBindingSitesOptions, build_tf_binding_sites
from .experiments import PUBLIC_CHIP_SEQ


def main(arguments: list[str] | None = None) -> None:
    parser = HfArgumentParser(
        TfBindingSitesOptions,  # type: ignore[arg-type]  # annotated as a type of transformers' own
        prog="python -m hub_datasets.tf_binding_sites",
        description=__doc__,
    )
    parser.add_argument("--output_dir", required=True, help="The folder to write.")
    parser.add_argument("--gue_dir", help="Folder in the layout of the GUE benchmark.")
    parser.add_argument(
        "--chip_seq",
        nargs="+",
        help="Peak files TF.CELLTYPE.narrowPeak, folders of them, a sample sheet (.csv); or "
        f"{' or '.join(PUBLIC_CHIP_SEQ)}.",
    )
    parser.add_argument("--genome", help="FASTA file (plain, gzip or bgzip) or 2bit file.")
    parser.add_argument("--atac_seq_dir", help="A set that hub_datasets.atac_seq built.")
    parser.add_argument(
        "--atac_seq_peaks", nargs="+", help="ATAC-seq peaks, one file a cell type, or folders of them."
    )
    parser.add_argument("--source_dir", help="Folder with the files of the public source: nothing is downloaded.")
    parser.add_argument("--overwrite", action="store_true", help="Replace a set that is there.")
    run_build(build_tf_binding_sites, parser, arguments)


if __name__ == "__main__":
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    main()
