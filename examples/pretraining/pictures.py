"""Pictures of a pre-training run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure


matplotlib.use("Agg")  # write pictures, open no window

NEGATIVES = {
    "other_locus": "another locus",
    "like_gc_locus": "another locus of like GC",
    "other_cell_type": "another cell type",
}
COLUMNS = ("visible", "hidden")
CHANCE = 0.5  # of an AUROC
# Prefix of the figures -> what they are of.
QUADRANTS = {
    "train_chromosomes_seen": "seen cell types, training chromosomes",
    "train_chromosomes_unseen": "unseen cell types, training chromosomes",
    "seen": "seen cell types, held-out chromosomes",
    "unseen": "unseen cell types, held-out chromosomes",
}


def plot_curves(log_history: list[dict[str, float]], path: Path) -> None:
    """Training losses, held-out accuracy and held-out AUROCs over steps, as one PNG."""
    train = [entry for entry in log_history if "mgm_loss" in entry]
    held_out = [entry for entry in log_history if "eval_seen_mgm_loss" in entry]
    figure, axes = plt.subplots(2, 2, figsize=(12, 7.5), layout="constrained")
    (mgm, pairs), (middle, right) = axes
    for axis, names in ((mgm, ["mgm_loss"]), (pairs, ["ngsp_loss", "srm_loss"])):
        for name in names:
            points = [entry for entry in train if name in entry]
            label = name.removesuffix("_loss").upper()
            axis.plot([e["step"] for e in points], [e[name] for e in points], label=label)
        axis.set(title="Training loss", xlabel="step", ylabel="cross-entropy (nats)")
    pairs.axhline(math.log(2), color="grey", linewidth=0.8, linestyle=":", label="chance")
    for name, label in {
        "hidden_base_accuracy": "GeneBERT",
        "composition_accuracy": "base composition",
        "context_model_accuracy": "two-sided context model",
    }.items():
        key = f"eval_seen_mgm_{name}"
        middle.plot([e["step"] for e in held_out], [e[key] for e in held_out], marker=".", label=label)
    middle.set(title="Hidden bases, held-out chromosomes", xlabel="step", ylabel="accuracy")
    for key in sorted({key for e in held_out for key in e if key.startswith("eval_seen") and key.endswith("_auroc")}):
        points = [e for e in held_out if key in e]
        label = key.removeprefix("eval_seen_").removesuffix("_auroc").replace("_", " ")
        right.plot([e["step"] for e in points], [e[key] for e in points], marker=".", label=label)
    right.axhline(0.5, color="grey", linewidth=0.8, linestyle=":")
    right.set(
        title="NGSP and SRM, held-out chromosomes", xlabel="step", ylabel="AUROC", ylim=(0.4, 1.3)
    )  # room for the legend
    right.set_yticks([0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])  # above is room for the legend
    for axis in axes.ravel():
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, ncols=2 if axis is right else 1)
    _save(figure, path)


def plot_matching(results: dict[str, Any], cell_types: dict[str, bool], path: Path) -> None:
    """
    The AUROC of SRM with its intervals, as one PNG: above, cell types and chromosomes seen or not in training; below,
    cell type by cell type on held-out chromosomes.

    Args:
        results (`dict`): figure -> value, as in `all_results.json`; those that are missing leave a gap.
        cell_types (`dict[str, bool]`): name -> whether it was seen in training.
        path (`Path`): the file to write.
    """
    names = sorted(cell_types, key=lambda name: not cell_types[name])  # those seen first
    width = min(max(18, 1.05 * len(cell_types)), 90)
    figure, axes = plt.subplots(2, len(NEGATIVES), figsize=(width, 9), layout="constrained", sharey=True)
    for column, (negatives, what) in enumerate(NEGATIVES.items()):
        above, below = axes[:, column]
        for number, (prefix, label) in enumerate(QUADRANTS.items()):
            keys = [f"eval_{prefix}_srm_{negatives}_{columns}_auroc" for columns in COLUMNS]
            _bars(above, results, keys, (number - 1.5) / 5, 1 / 5, label, f"C{number}")
        above.set_xticks(range(len(COLUMNS)), [f"columns {columns}" for columns in COLUMNS])
        above.set_title(f"SRM, negatives from {what}")
        for number, columns in enumerate(COLUMNS):
            keys = [f"eval_cell_type_{name}_srm_{negatives}_{columns}_auroc" for name in names]
            _bars(below, results, keys, (number - 0.5) * 0.4, 0.4, f"columns {columns}", f"C{4 + number}")
        labels = [name if cell_types[name] else f"{name} (unseen)" for name in names]
        below.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
        below.set_title(f"SRM, negatives from {what}: held-out chromosomes")
    for axis in axes.ravel():
        axis.axhline(CHANCE, color="black", linewidth=0.8)
        axis.set_ylim(0.3, 1.15)  # room for the legend
        axis.set_yticks(np.arange(0.3, 1.01, 0.1))
        axis.legend(fontsize=7, loc="upper center", ncols=2)
    for axis in axes[:, 0]:
        axis.set_ylabel("AUROC, 95 % interval")
    _save(figure, path)


def _bars(
    axis: Axes, results: dict[str, Any], keys: Sequence[str], shift: float, width: float, label: str, colour: str
) -> None:
    """A bar a figure, from chance to its value, at 0, 1, ... moved by `shift`; where there is no figure, no bar."""
    values, lows, highs = (
        np.array([results.get(f"{key}{end}", math.nan) for key in keys], dtype=float) for end in ("", "_low", "_high")
    )
    places = np.arange(len(keys)) + shift
    axis.bar(places, values - CHANCE, width, bottom=CHANCE, label=label, color=colour)
    axis.vlines(places, lows, highs, color="black", linewidth=1)


def _save(figure: Figure, path: Path) -> None:
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, dpi=120, format="png")
    plt.close(figure)
    partial.rename(path)
