"""Accessible regions × cell types: which TFs are bound, and the cell type's open regions round each."""

from __future__ import annotations

from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from ..atac_seq.windows import UNSEEN_SUFFIX
from ..genome import name_some
from ..splits import SPLITS, drop_straddling_duplicates, split_by_chromosome
from ..task_tables import CONTEXT, REGION_FEATURES, features_of
from .experiments import Experiment
from .regions import AccessibleRegions, contexts
from .window_tables import LABELS, Tables, columns_of, label_columns, leave_out_one_class


def region_tables(
    experiments: list[Experiment],
    regions: AccessibleRegions,
    num_regions: int,
    max_span: int,
    validation_chromosomes: list[str],
    test_chromosomes: list[str],
    held_out_cell_types: list[str],
) -> tuple[Tables, dict[str, Any]]:
    """The tables of each config, and what is reported beside them: see the card, which says how they are made."""
    cell_types = regions.cell_types
    if missing := [name for name in held_out_cell_types if name not in cell_types]:
        raise ValueError(f"held_out_cell_types: no {missing[0]!r}; ChIP-seq is given for {name_some(cell_types)}")
    if set(held_out_cell_types) == set(cell_types):
        raise ValueError(f"held_out_cell_types: all of {name_some(cell_types)}; keep at least one to train on")
    splits = split_by_chromosome(regions.chrom_names, validation_chromosomes, test_chromosomes)
    keep, dropped = drop_straddling_duplicates(regions.sequences, splits)
    rows_of_split = {split: np.flatnonzero(keep & (splits == split)) for split in SPLITS if split in splits}

    bound = np.zeros((len(regions), len(experiments)), dtype=bool)
    peak_counts = {}
    for column, experiment in enumerate(experiments):
        peaks = experiment.read()
        row = regions.holding(peaks)
        bound[row[row >= 0], column] = True
        peak_counts[experiment.name] = {"read": len(peaks), "used": int((row >= 0).sum())}
    if not bound.any():
        raise ValueError(
            f"{experiments[0].file} and others: none of the summits of {len(experiments)} ChIP-seq files lies in an "
            "accessible region; are they of the same genome build, with the same names of chromosomes?"
        )

    places = {
        "sequence": pa.array(regions.sequences),
        "chrom": pa.array(regions.chrom_names),
        "start": pa.array(regions.start, pa.int32()),
        "end": pa.array(regions.start + regions.width, pa.int32()),
    }
    tfs = list(dict.fromkeys(experiment.tf for experiment in experiments))
    parts: dict[str, dict[str, list[datasets.Dataset]]] = {}
    configs = [*(["multi_label"] if len(tfs) > 1 else []), *(f"single_{tf}" for tf in tfs)]
    optional = ["chrom", "start", "end", *CONTEXT]
    features = {config: features_of("single_label_classification", LABELS, optional) for config in configs}
    if len(tfs) > 1:
        features["multi_label"] = features_of("multi_label_classification", tfs, ["unmeasured", *optional])
    # The cell types seen first, so that `train`, `validation` and `test` come first in the card.
    for cell_type in sorted(cell_types, key=lambda name: name in held_out_cell_types):
        suffix = UNSEEN_SUFFIX if cell_type in held_out_cell_types else ""
        columns = columns_of(experiments, cell_type, tfs)
        for split, rows in rows_of_split.items():
            at = 0
            for context in contexts(regions, cell_type, rows, num_regions, max_span):
                block = rows[at : at + len(context["anchor"])]
                at += len(block)
                shared = {name: column.take(pa.array(block)) for name, column in places.items()}
                shared |= {**context, "cell_type": pa.array([cell_type] * len(block))}
                labels = {
                    f"single_{tf}": {"label": pa.array(bound[block, column].astype(np.int64))}
                    for tf, column in zip(tfs, columns, strict=True)
                    if column >= 0
                }
                labels |= {"multi_label": label_columns(bound[block], columns)} if len(tfs) > 1 else {}
                for config, its_labels in labels.items():
                    table = datasets.Dataset.from_dict({**shared, **its_labels}, features[config])
                    parts.setdefault(config, {}).setdefault(split + suffix, []).append(table)
    skipped = {f"regions: {reason}": number for reason, number in dropped.items()}
    tables = {
        config: {split: datasets.concatenate_datasets(pieces) for split, pieces in parts[config].items()}
        for config in configs
    }
    skipped |= leave_out_one_class(tables)
    tables["regions"] = {"train": datasets.Dataset.from_dict(places, REGION_FEATURES)}
    outside = sum(counts["read"] - counts["used"] for counts in peak_counts.values())
    skipped["ChIP-seq peaks: summit outside of the accessible regions"] = outside
    return tables, {"skipped": skipped, "peaks": peak_counts}
