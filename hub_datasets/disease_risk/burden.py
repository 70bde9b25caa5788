"""`python -m hub_datasets.disease_risk.burden --predictions CSV --vcf VCF --output_file CSV`: burden of persons."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .persons import person_burdens


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m hub_datasets.disease_risk.burden", description=__doc__)
    parser.add_argument("--predictions", required=True, help="CSV that examples/predict.py wrote for a VCF")
    parser.add_argument("--vcf", required=True, help="genotypes of persons: VCF, plain, gzip or bgzip")
    parser.add_argument("--sample_labels", help="CSV with the columns sample and label (case or control)")
    parser.add_argument("--effect_column", default="prediction", help="column that is summed (default: prediction)")
    parser.add_argument("--genome", help="FASTA or 2bit file: variants whose REF differs from it are skipped")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap for the interval")
    parser.add_argument("--output_file", required=True, help="CSV to write, one row a person")
    options = vars(parser.parse_args(arguments))
    output_file = options.pop("output_file")
    try:
        burdens = person_burdens(**options)
        burdens.save(output_file)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    counts = burdens.counts
    print(
        f"{len(burdens.sample)} persons, {counts['variants_summed']} variants summed, "
        f"{counts['variants_without_prediction']} without a prediction"
    )
    for reason, number in {**counts["skipped"], **counts.get("samples", {})}.items():
        print(f"skipped: {reason}: {number:,}")
    if burdens.auroc is not None:
        print("AUROC {:.3f} (95 % interval {:.3f} to {:.3f})".format(*burdens.auroc))


if __name__ == "__main__":
    main()
