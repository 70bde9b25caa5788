"""Predict with a fine-tuned checkpoint: sequences, regions of a genome, or variants, into a table.

    python examples/predict.py --model_name_or_path runs/promoters --input_file promoters.fa --output_file out.csv
    python examples/predict.py --model_name_or_path runs/promoters --input_file table.csv --output_file out.parquet
    python examples/predict.py --model_name_or_path runs/binding --output_file out.tsv \
        --input_file peaks.bed --genome hg38.fa.gz --width 500 \
        --atac_seq_dir atlas --cell_type Mono                        # in one cell type, with its open regions
    python examples/predict.py --model_name_or_path runs/risk --output_file out.csv \
        --input_file variants.vcf.gz --genome hg38.fa.gz --width 512

The ending of the input says what it holds (all but Parquet also with .gz); each record gives a row that begins with

    .fa .fasta .fna .fas                id
    .csv .tsv .txt .tab .parquet        all columns of the table but those that are read: sequence, and where there are
                                        any alt_sequence and region_ids, accessibility, anchor (see --regions_file)
    .bed .narrowPeak .broadPeak         chrom, start, end, id, strand; of strand - the reverse complement is read
    .vcf                                chrom, pos (1-based), id, ref, alt: a row for each alternate allele

Then come the predictions:

    classes                             prediction, probability_{label}
    several labels                      the same; prediction lists the labels above 1/2, with ;
    values; effects of variants         prediction
    a model of sequences, two alleles   ref_{label}, alt_{label}: probabilities; effect_{label}: log-odds, alt - ref
                                        (of values: values)
    a model per base                    bases_{label} (number), max_{label} (highest probability), max_start_{label}
    --per_base sites                    start, end, prediction, probability: a row for each base of another label than
                                        the first that has at least --min_probability
    a model per base, two alleles       gain_{label}, loss_{label}: largest changes of probability; _pos: where

The file appears when it is complete. Beside it, `{output_file}.report.json` says how many records were read,
predicted and skipped, and why, with the first examples: bad records, such as a REF that differs from the genome, stop
nothing. Rows are in the order of the input; memory does not grow with it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, Python looks in examples/ only

from examples.prediction.checkpoint import open_model
from examples.prediction.context import CellTypeContext
from examples.prediction.predictor import Predictor
from examples.prediction.records import Counts, Record, open_source, read_regions
from examples.prediction.tables import check_output, open_table
from hub_datasets.command_line import one_line_errors
from hub_datasets.files import written_whole
from hub_datasets.genome import Genome


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Predict with a fine-tuned GeneBERT.")
    parser.add_argument("--model_name_or_path", required=True, help="a fine-tuned checkpoint, folder or Hub id")
    data = parser.add_argument_group("data")
    data.add_argument("--input_file", type=Path, required=True, help="FASTA, CSV, TSV, Parquet, BED or VCF")
    data.add_argument("--output_file", type=Path, required=True, help=".csv, .tsv or .parquet")
    data.add_argument("--genome", type=Path, help="FASTA (plain, gzip, bgzip) or 2bit; for BED and VCF")
    data.add_argument("--width", type=int, help="bp round the middle of a BED interval, or round a variant")
    data.add_argument("--sequence_column", default="sequence", help="of a table")
    data.add_argument("--alt_sequence_column", default="alt_sequence", help="of a table")
    data.add_argument("--window_overlap", type=int, help="cut longer sequences into windows that share so many bp")
    cells = parser.add_argument_group("cell type")
    cells.add_argument("--atac_seq_dir", help="a set built by hub_datasets.atac_seq, folder or Hub id")
    cells.add_argument("--cell_type", help="of that set: predict with its open regions round each record")
    cells.add_argument("--regions_file", type=Path, help="Parquet file or folder: what a table's region_ids count")
    output = parser.add_argument_group("predictions")
    output.add_argument(
        "--average_strands",
        action=argparse.BooleanOptionalAction,
        help="predict from both strands and average; default: as the checkpoint was evaluated",
    )
    output.add_argument("--per_base", choices=["summary", "sites"], default="summary", help="of models per base")
    output.add_argument("--min_probability", type=float, default=0.5, help="of a site")
    run = parser.add_argument_group("run")
    run.add_argument("--batch_size", type=int, default=32, help="sequences, or windows of them, a forward pass")
    run.add_argument("--device", help="cpu, cuda, mps, ...; default: the accelerator where there is one")
    run.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    args = parser.parse_args(arguments)
    if (args.atac_seq_dir is None) != (args.cell_type is None):
        parser.error("--atac_seq_dir and --cell_type go together")
    if args.atac_seq_dir and args.regions_file:
        parser.error("give either --atac_seq_dir or --regions_file")
    if args.batch_size < 1:
        parser.error("--batch_size must be at least 1")
    if args.width is not None and args.width < 1:
        parser.error("--width must be at least 1 bp")
    if not 0 < args.min_probability <= 1:
        parser.error("--min_probability must be above 0 and at most 1")
    return args


def predict(
    predictor: Predictor, records: Iterator[Record], columns: dict[str, Any], output_file: Path, batch_size: int
) -> tuple[int, int]:
    """Write the table.

    Returns:
        How many records were predicted, and how many rows written.
    """
    num_predicted = num_rows = 0
    with open_table(output_file, columns) as table, tqdm(desc="Predicting", unit=" records") as progress:
        for batch in predictor.batches(records, batch_size):
            rows = predictor.predict(batch)
            table.write(rows)
            num_predicted, num_rows = num_predicted + len(batch), num_rows + len(rows)
            progress.update(len(batch))
    return num_predicted, num_rows


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    args = parse_args(arguments)
    check_output(args.output_file)
    if args.input_file.resolve() == args.output_file.resolve():
        raise ValueError(f"{args.output_file}: is the input, too; give another --output_file")
    started = time.perf_counter()
    model, processor = open_model(args.model_name_or_path, args.device)
    config: Any = model.config
    counts = Counts()
    source = open_source(
        args.input_file,
        counts,
        genome=None if args.genome is None else Genome(args.genome),
        width=args.width,
        sequence_column=args.sequence_column,
        alt_sequence_column=args.alt_sequence_column,
        regions=None if args.regions_file is None else read_regions(args.regions_file),
    )
    average_strands = args.average_strands
    predictor = Predictor(
        model,
        processor,
        has_alleles=source.has_alleles,
        modality=getattr(config, "modality", "both"),
        average_strands=getattr(config, "average_strands", False) if average_strands is None else average_strands,
        window_overlap=getattr(config, "window_overlap", None) if args.window_overlap is None else args.window_overlap,
        per_base=args.per_base,
        min_probability=args.min_probability,
        bf16=args.bf16,
    )
    if getattr(config, "with_context", False) and args.atac_seq_dir is None and args.regions_file is None:
        raise ValueError(
            f"{args.model_name_or_path} was trained with the open regions round each sequence: pass --atac_seq_dir "
            "and --cell_type, or a table with region_ids and --regions_file"
        )
    records = source.records
    if args.atac_seq_dir is not None:
        if predictor.modality == "sequence":
            raise ValueError(f"{args.model_name_or_path} reads the sequence alone: leave --atac_seq_dir out")
        extractor = processor.feature_extractor
        context = CellTypeContext(
            args.atac_seq_dir,
            args.cell_type,
            num_regions=extractor.num_regions,
            region_width=extractor.region_width,
        )
        records = context.add_to(records)
    clash = set(source.columns) & set(predictor.columns) - {"start", "end"}  # a site's own place replaces the record's
    if clash:
        raise ValueError(f"{args.input_file}: its column {min(clash)!r} has the name of a prediction: rename it")
    print(
        f"{type(model).__name__} from {args.model_name_or_path} on {model.device}; it reads {predictor.modality}"
        + (", both strands are averaged" if predictor.average_strands else "")
        + (f", open regions of {args.cell_type}" if args.cell_type else "")
    )
    columns = {**source.columns, **predictor.columns}
    num_predicted, num_rows = predict(predictor, records, columns, args.output_file, args.batch_size)

    seconds = time.perf_counter() - started
    report = {
        "read": counts.read,
        "predicted": num_predicted,
        "rows": num_rows,
        "skipped": dict(counts.skipped),
        "examples_of_skipped": counts.examples,
        "seconds": round(seconds, 2),
        "records_per_second": round(num_predicted / seconds, 2),
        "settings": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
    }
    with written_whole(report_path(args.output_file)) as stream:
        stream.write((json.dumps(report, indent=2) + "\n").encode())
    print(summary(report, args.output_file))
    return report


def report_path(output_file: Path) -> Path:
    """Where the report of an output file is."""
    return output_file.with_name(f"{output_file.name}.report.json")


def summary(report: dict[str, Any], output_file: Path) -> str:
    """The report, for people."""
    lines = [
        f"read {report['read']:,}, predicted {report['predicted']:,}, skipped {sum(report['skipped'].values()):,} "
        f"in {report['seconds']:.1f} s ({report['records_per_second']:.1f} a second)"
    ]
    for reason, number in sorted(report["skipped"].items(), key=lambda item: -item[1]):
        lines.append(f"  {number:,} skipped: {reason}; first: {'; '.join(report['examples_of_skipped'][reason])}")
    return "\n".join([*lines, f"{output_file}: {report['rows']:,} rows; {report_path(output_file).name}: this report"])


if __name__ == "__main__":
    with one_line_errors():
        main()
