"""Examples per second on two cores: windows of an ATAC-seq set turned into batches for `GeneBertForPreTraining`.

    python -m benchmarks.reader

A set of random regions, scores and windows is written, opened with `AtacSeqSet.load`, and read as
`examples/pretrain.py` reads it: `training_plan`, `PreTrainingDataset`, `GeneBertDataCollatorForPreTraining` and a
`DataLoader`, in random order, with the 1019 motifs of JASPAR2026 CORE vertebrates, 32 regions a window, and a tenth of
the examples self-tiled. Needs `genebert[motifs]`. An example counts when the main process has it.

- `examples_per_second`: with 2 workers and the largest batch size, in CPU time: what two cores deliver that do nothing
  else, 2 / (CPU seconds of all processes for an example). On a machine at work the clock on the wall shows less.
- `examples_per_second_B_batch_N_workers`, and `..._wall`: the same for batches of B and N workers (0: the main process
  itself, on one core), in CPU time and on the wall. The start of the workers is counted. Medians of the rounds.
- `bytes_per_example`: of all tensors of a batch.
- `microseconds_...`: CPU time of the parts for an example, in the main process, and `share_of_...`: their shares.
  `rows`: reading what the windows refer to; `sequences`: masks, ids and labels; `tiles`: scoring what is self-tiled,
  spread over all examples; `matrix`: writing the region matrices.
- `bytes_per_window`: what is held in memory of a window, and `bytes_per_window_while_planning`: at most, while an
  epoch's pairs are drawn; `plan_seconds_per_million_windows`: CPU time of that.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from huggingface_hub import DatasetCard
from torch.utils.data import DataLoader

from hub_datasets.atac_seq.reader import AtacSeqSet, PreTrainingDataset
from hub_datasets.atac_seq.tables import region_features, window_features
from modeling_genebert import GeneBertDataCollatorForPreTraining, GeneBertFeatureExtractor, MotifBank
from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME
from modeling_genebert.pairing_genebert import NO_REGION, PairingPlan, WindowTable, training_plan

from .report import RESULTS, time_in_turns, write_report


CELL_TYPES = [f"cell type {number}" for number in range(13)]
OPEN_SHARE = 0.35  # of the regions in a cell type
NUM_CHROMOSOMES, SPACING = 20, 3_000  # bp between neighbouring regions
REGION_WIDTH, NUM_REGIONS, ANCHOR = 500, 32, 15
ROWS_PER_GROUP = 1_000
CARD = """---
configs:
- config_name: windows
  data_files: [{split: train, path: windows/*.parquet}]
- config_name: regions
  data_files: [{split: train, path: regions/*.parquet}]
---
"""


def write_random_set(folder: Path, bank: MotifBank, num_regions: int) -> None:
    """A set as `build_atac_seq` lays it out, with random bases and scores."""
    rng = np.random.default_rng(0)
    per_chromosome = -(-num_regions // NUM_CHROMOSOMES)
    chrom = np.arange(num_regions) // per_chromosome
    names = np.array([f"chr{number + 1}" for number in range(NUM_CHROMOSOMES)])[chrom]
    start = (np.arange(num_regions) % per_chromosome) * SPACING
    is_open = rng.random((num_regions, len(CELL_TYPES))) < OPEN_SHARE
    (folder / "regions").mkdir()
    (folder / "windows").mkdir()
    bank.save(folder / MOTIFS_FILE_NAME)
    DatasetCard(CARD).save(folder / "README.md")

    schema = region_features(CELL_TYPES).arrow_schema
    with pq.ParquetWriter(folder / "regions" / "train.parquet", schema, compression="zstd") as writer:
        for begin in range(0, num_regions, ROWS_PER_GROUP):
            rows = np.arange(begin, min(begin + ROWS_PER_GROUP, num_regions))
            bases = np.frombuffer(b"ACGT", dtype="S1")[rng.integers(4, size=(len(rows), REGION_WIDTH))]
            scores = rng.normal(0.65, 0.15, (len(rows), len(bank))).clip(0, 1).astype("<f2")
            accessibility = np.where(is_open[rows], rng.random((len(rows), len(CELL_TYPES))), 0)
            columns = {
                "region_id": rows,
                "chrom": names[rows],
                "start": start[rows],
                "end": start[rows] + REGION_WIDTH,
                "gc": rng.random(len(rows)),
                "sequence": bases.view(f"S{REGION_WIDTH}").ravel().astype(str),
                "scores": [row.tobytes() for row in scores],
                "accessibility": accessibility.tolist(),
                "touching": np.zeros(accessibility.shape, dtype=bool).tolist(),
            }
            writer.write_table(pa.table(columns, schema=schema))

    schema = window_features(CELL_TYPES, NUM_REGIONS).arrow_schema
    with pq.ParquetWriter(folder / "windows" / "train.parquet", schema, compression="zstd") as writer:
        for cell_type in range(len(CELL_TYPES)):
            open_ids = np.flatnonzero(is_open[:, cell_type])
            places = np.arange(len(open_ids))[:, None] + np.arange(NUM_REGIONS) - ANCHOR
            columns_of = np.clip(places, 0, len(open_ids) - 1)
            present = (places == columns_of) & (chrom[open_ids[columns_of]] == chrom[open_ids][:, None])
            region_ids = np.where(present, open_ids[columns_of], NO_REGION)
            first = np.where(present, region_ids, num_regions).min(axis=1)
            columns = {
                "chrom": names[open_ids],
                "start": start[first],
                "end": start[region_ids.max(axis=1)] + REGION_WIDTH,
                "cell_type": np.full(len(open_ids), cell_type),
                "anchor": open_ids,
                "region_ids": region_ids.tolist(),
                "next_region": region_ids[:, ANCHOR + 1],
            }
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROWS_PER_GROUP)


def cpu_seconds() -> float:
    """CPU time of this process and of those that it started and that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def measure_loaders(
    dataset: PreTrainingDataset,
    collator: GeneBertDataCollatorForPreTraining,
    batch_sizes: list[int],
    num_workers: list[int],
    repeats: int,
) -> dict[str, float]:
    """Examples a second of a `DataLoader`."""
    figures = {}
    for batch_size in batch_sizes:
        for workers in num_workers:
            rates, wall_rates = [], []
            for number in range(repeats + 1):
                wall, cpu = time.perf_counter(), cpu_seconds()
                loader = DataLoader(dataset, batch_size, collate_fn=collator, num_workers=workers)
                count = sum(len(batch["srm_labels"]) for batch in loader)
                wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
                if number:  # the first round warms up
                    rates.append(count / cpu * (2 if workers > 1 else 1))
                    wall_rates.append(count / wall)
            name = f"examples_per_second_{batch_size}_batch_{workers}_workers"
            figures[name], figures[f"{name}_wall"] = float(np.median(rates)), float(np.median(wall_rates))
            print(f"{name}: {figures[name]:,.0f} (on the wall {figures[f'{name}_wall']:,.0f})", flush=True)
    return figures


def measure_parts(
    dataset: PreTrainingDataset, collator: GeneBertDataCollatorForPreTraining, batch_size: int, repeats: int
) -> dict[str, float]:
    """CPU time of the parts for an example, and bytes of an example."""
    batch_size = min(batch_size, len(dataset))
    examples = [dataset[index] for index in range(batch_size)]
    visible = collator._sequences(examples)[1]
    segments = [example["tiled_segment"] for example in examples if example["tiled_segment"] is not None]
    if not segments:
        raise ValueError(f"none of {batch_size} examples is self-tiled: take a larger batch size")
    extractor = collator.feature_extractor
    tiles = extractor.tile_columns(np.stack(segments))

    def lay_matrices() -> None:
        with mock.patch.object(extractor, "tile_columns", return_value=tiles):
            collator._regions(examples, visible)

    seconds = time_in_turns(
        {
            "rows": lambda: [dataset[index] for index in range(batch_size)],
            "sequences": lambda: collator._sequences(examples),
            "tiles": lambda: extractor.tile_columns(np.stack(segments)),
            "matrix": lay_matrices,
        },
        repeats=repeats,
        clock=time.process_time,
    )
    microseconds = {name: float(np.median(values)) / batch_size * 1e6 for name, values in seconds.items()}
    total = sum(microseconds.values())
    for name, value in microseconds.items():
        print(f"{name}: {value:.0f} µs an example, {value / total:.0%}", flush=True)
    batch = collator(examples)
    return {
        "bytes_per_example": sum(tensor.nbytes for tensor in batch.values()) / batch_size,
        **{f"microseconds_{name}": value for name, value in microseconds.items()},
        **{f"share_of_{name}": value / total for name, value in microseconds.items()},
    }


def measure_plan(windows: WindowTable) -> tuple[PairingPlan, dict[str, float]]:
    """An epoch's plan, and what it costs."""
    columns = (windows.cell_type, windows.chrom, windows.start, windows.end, windows.anchor, windows.next_region)
    held = sum(column.nbytes for column in columns)
    start = time.process_time()
    plan = training_plan(windows, np.random.default_rng(0))
    seconds = time.process_time() - start
    tracemalloc.start()
    training_plan(windows, np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures = {
        "bytes_per_window": (held + sum(column.nbytes for column in vars(plan).values())) / len(windows),
        "bytes_per_window_while_planning": (held + peak) / len(windows),
        "plan_seconds_per_million_windows": seconds / len(windows) * 1e6,
    }
    for name, value in figures.items():
        print(f"{name}: {value:.3g}", flush=True)
    return plan, figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motifs", default="JASPAR2026", help="JASPAR release or motif file")
    parser.add_argument("--num_regions", type=int, default=60_000, help="of the set; 4.5 times as many windows")
    parser.add_argument("--num_examples", type=int, default=8_192, help="that a loader reads in a round")
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=[32, 256])
    parser.add_argument("--num_workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=3, help="rounds that count")
    parser.add_argument("--output_dir", default=RESULTS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    bank = MotifBank.resolve(options.motifs)
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder, "random_set")).mkdir()
        write_random_set(path, bank, options.num_regions)
        atac = AtacSeqSet.load(path, cache_dir=Path(folder, "cache"))
        windows, region_ids = atac.windows("train")
        plan, figures = measure_plan(windows)
        plan = plan.take(np.random.default_rng(1).permutation(len(plan))[: options.num_examples])
        dataset = PreTrainingDataset(atac, windows, region_ids, plan, seed=0)
        collator = GeneBertDataCollatorForPreTraining(GeneBertFeatureExtractor(bank, num_regions=NUM_REGIONS))
        figures |= measure_parts(dataset, collator, max(options.batch_sizes), 5 * options.repeats)
        figures |= measure_loaders(dataset, collator, options.batch_sizes, options.num_workers, options.repeats)
    most = f"{max(options.batch_sizes)}_batch_{max(options.num_workers)}_workers"
    figures["examples_per_second"] = figures[f"examples_per_second_{most}"]
    settings: dict[str, Any] = {
        "motifs": bank.source,
        "num_motifs": len(bank),
        "num_regions_of_a_window": NUM_REGIONS,
        "num_regions": options.num_regions,
        "num_windows": len(windows),
        "num_examples": len(dataset),
        "self_tiled_share": float(plan.self_tiled.mean()),
        "batch_sizes": options.batch_sizes,
        "num_workers": options.num_workers,
        "repeats": options.repeats,
        "clock": "CPU time",
    }
    write_report("reader", figures, settings, options.output_dir)


if __name__ == "__main__":
    main()
