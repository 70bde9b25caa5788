"""Windows round the summits of ChIP-seq peaks, with negatives matched in GC content."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ..atac_seq.consensus import Consensus, GenomeAxis, build_consensus
from ..atac_seq.peak_sources import PeakSource
from ..genome import Genome
from ..intervals import concatenate_peaks
from ..negatives import gc_matched_windows
from ..splits import drop_straddling_duplicates, merge_by_chromosome, split_by_chromosome
from ..task_tables import features_of
from .experiments import Experiment


LABELS = ["not_bound", "bound"]
Tables = dict[str, dict[str, datasets.Dataset]]  # config -> split -> rows
_NO_MATCH = "bound windows without a negative of like GC content (kept)"


def window_tables(
    experiments: list[Experiment],
    genome: Genome,
    window: int,
    max_gc_difference: float,
    validation_chromosomes: list[str],
    test_chromosomes: list[str],
    seed: int,
) -> tuple[Tables, dict[str, Any]]:
    """The tables of each config, and what is reported beside them: see the card, which says how they are made."""
    axis = GenomeAxis(genome, window)
    held_out = validation_chromosomes, test_chromosomes
    tables: Tables = {}
    report: dict[str, Any] = {"skipped": Counter(), "peaks": {}}

    by_tf: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        by_tf.setdefault(experiment.tf, []).append(experiment)
    if len(by_tf) > 1:
        consensus = _places(experiments, axis, window, "multi_label", report)
        places = _Rows(consensus.chrom, consensus.start, genome, window, held_out)
        report["skipped"].update({f"multi_label: {reason}": number for reason, number in places.dropped.items()})
        tables["multi_label"] = _multi_label_tables(experiments, consensus, places, list(by_tf))
    for number, (tf, its_experiments) in enumerate(by_tf.items()):
        config = f"single_{tf}"
        consensus = _places(its_experiments, axis, window, config, report)
        chrom = np.array(consensus.chromosomes)[consensus.chrom]
        peaks = concatenate_peaks([experiment.read() for experiment in its_experiments])
        excluded = merge_by_chromosome(
            np.concatenate([peaks.chrom, chrom]),
            np.concatenate([peaks.start, consensus.start]),
            np.concatenate([peaks.end, consensus.start + window]),
        )
        negative = gc_matched_windows(
            genome,
            chrom,
            consensus.start,
            consensus.start + window,
            excluded=excluded,
            max_gc_difference=max_gc_difference,
            seed=seed + number,
        )
        matched = negative >= 0
        report["skipped"][f"{config}: {_NO_MATCH}"] = int((~matched).sum())
        rows = _Rows(
            np.concatenate([consensus.chrom, consensus.chrom[matched]]),
            np.concatenate([consensus.start, negative[matched]]),
            genome,
            window,
            held_out,
        )
        report["skipped"].update({f"{config}: {reason}": number for reason, number in rows.dropped.items()})
        label = np.repeat([1, 0], [len(negative), matched.sum()])
        features = features_of("single_label_classification", LABELS, ["chrom", "start", "end"])
        tables[config] = {
            split: datasets.Dataset.from_dict({**rows.columns(here), "label": pa.array(label[here])}, features)
            for split, here in rows.of_split.items()
        }
    report["skipped"].update(leave_out_one_class(tables))
    return tables, {**report, "skipped": dict(report["skipped"])}


def leave_out_one_class(tables: Tables) -> dict[str, int]:
    """Leave splits of one class out of `single_<TF>`, and TFs without training rows altogether, where others remain.

    A TF may well be bound nowhere in a held-out cell type; then there is nothing to tell apart.

    Returns:
        Why -> number of rows left out.
    """
    skipped = {}
    for config in [name for name in tables if name.startswith("single_")]:
        one_class = [split for split, table in tables[config].items() if len(table.unique("label")) < 2]
        if len(tables) > 1 and "train" in one_class:
            rows = sum(len(table) for table in tables.pop(config).values())
            skipped[f"{config}: left out, its training rows are of one class"] = rows
        elif len(tables) > 1:
            for split in one_class:
                skipped[f"{config}: {split} left out, its rows are of one class"] = len(tables[config].pop(split))
    return skipped


def _places(
    experiments: list[Experiment], axis: GenomeAxis, window: int, config: str, report: dict[str, Any]
) -> Consensus:
    """Windows that overlap no other; `open_regions` are those bound in each experiment."""
    sources = {experiment.name: PeakSource(str(experiment.file), experiment.read) for experiment in experiments}
    consensus = build_consensus(axis, sources, window, max_n_fraction=0.0)
    report["peaks"][config] = {name: asdict(counts) for name, counts in consensus.counts.items()}
    for counts in consensus.counts.values():
        report["skipped"].update({f"{config}: peaks: {reason}": number for reason, number in counts.skipped.items()})
    return consensus


class _Rows:
    """Places of one width in genome order of their chromosomes, which split each is in, and their sequences."""

    def __init__(
        self, chrom: np.ndarray, start: np.ndarray, genome: Genome, width: int, held_out: tuple[list[str], list[str]]
    ):
        self.chrom, self.start, self.end = np.array(list(genome.chromosomes))[chrom], start, start + width
        places = zip(self.chrom.tolist(), start.tolist(), self.end.tolist(), strict=True)
        self.sequences = [genome.fetch(*place) for place in places]
        splits = split_by_chromosome(self.chrom, *held_out)
        keep, self.dropped = drop_straddling_duplicates(self.sequences, splits, self.chrom, self.start, self.end)
        in_order = np.lexsort((start, chrom))
        self.of_split = {
            str(split): in_order[(keep & (splits == split))[in_order]]
            for split in ("train", "validation", "test")
            if split in splits
        }

    def columns(self, rows: np.ndarray) -> dict[str, pa.Array]:
        return {
            "sequence": pa.array([self.sequences[row] for row in rows.tolist()]),
            "chrom": pa.array(self.chrom[rows]),
            "start": pa.array(self.start[rows]),
            "end": pa.array(self.end[rows]),
        }


def _multi_label_tables(
    experiments: list[Experiment], consensus: Consensus, places: _Rows, tfs: list[str]
) -> dict[str, datasets.Dataset]:
    bound = np.zeros((len(consensus), len(experiments)), dtype=bool)
    for column, rows in enumerate(consensus.open_regions):
        bound[rows, column] = True
    features = features_of("multi_label_classification", tfs, ["unmeasured", "chrom", "start", "end", "cell_type"])
    tables: dict[str, list[datasets.Dataset]] = {}
    for cell_type in sorted({experiment.cell_type for experiment in experiments}):
        columns = columns_of(experiments, cell_type, tfs)
        for split, rows in places.of_split.items():
            labels = label_columns(bound[rows], columns)
            names = pa.array([cell_type] * len(rows))
            table = datasets.Dataset.from_dict({**places.columns(rows), **labels, "cell_type": names}, features)
            tables.setdefault(split, []).append(table)
    return {split: datasets.concatenate_datasets(parts) for split, parts in tables.items()}


def columns_of(experiments: list[Experiment], cell_type: str, tfs: list[str]) -> list[int]:
    """For each TF, which experiment it is in a cell type; -1 where there is none."""
    pairs = [(experiment.tf, experiment.cell_type) for experiment in experiments]
    return [pairs.index((tf, cell_type)) if (tf, cell_type) in pairs else -1 for tf in tfs]


def label_columns(bound: np.ndarray, columns: list[int]) -> dict[str, pa.Array]:
    """The columns `label` and `unmeasured` of rows in one cell type.

    Args:
        bound: bool of shape `(rows, experiments)`.
        columns: for each TF, the experiment that tells, or -1.
    """
    measured = np.array(columns) >= 0
    holds = bound[:, columns] & measured
    return {"label": _lists(holds), "unmeasured": _lists(np.broadcast_to(~measured, holds.shape))}


def _lists(holds: np.ndarray) -> pa.Array:
    """For each row the numbers of the columns that hold."""
    offsets = np.concatenate([[0], holds.sum(axis=1).cumsum()])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(np.nonzero(holds)[1], pa.int64()))
