"""What a run leaves beside its weights: results, curves, and a model card."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from hub_datasets.atac_seq.reader import AtacSeqSet

from .checkpoints import STATE_FILE, TrainingState


matplotlib.use("Agg")  # write pictures, open no window


def write_report(args: argparse.Namespace, results: dict[str, Any], state: TrainingState, atac: AtacSeqSet) -> None:
    """Results, log, settings, curves and card, into `output_dir`."""
    write_json(args.output_dir / "all_results.json", results)
    write_json(args.output_dir / STATE_FILE, asdict(state))
    write_json(args.output_dir / "training_args.json", {name: str(value) for name, value in vars(args).items()})
    plot_curves(state.log_history, args.output_dir / "learning_curves.png")
    write_model_card(args, results, atac)


def write_json(path: Path, value: Any) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=2) + "\n")
    partial.rename(path)


def describe(figures: dict[str, float]) -> str:
    """The figures that matter most, on one line."""
    wanted = {
        "MGM loss": "seen_mgm_loss",
        "hidden-base accuracy": "seen_mgm_hidden_base_accuracy",
        "(composition": "seen_mgm_composition_accuracy",
        "context model)": "seen_mgm_context_model_accuracy",
        "NGSP AUROC hidden": "seen_ngsp_hidden_auroc",
        "SRM AUROC other locus, visible": "seen_srm_other_locus_visible_auroc",
        "hidden": "seen_srm_other_locus_hidden_auroc",
        "SRM AUROC other cell type, visible": "seen_srm_other_cell_type_visible_auroc",
        "hidden ": "seen_srm_other_cell_type_hidden_auroc",
    }
    return ", ".join(f"{text.strip()} {figures[name]:.3f}" for text, name in wanted.items() if name in figures)


def plot_curves(log_history: list[dict[str, float]], path: Path) -> None:
    """Training losses, held-out accuracy and held-out AUROCs over steps, as one PNG."""
    train = [entry for entry in log_history if "mgm_loss" in entry]
    held_out = [entry for entry in log_history if "eval_seen_mgm_loss" in entry]
    figure, axes = plt.subplots(2, 2, figsize=(12, 7.5), layout="constrained")
    (mgm, pairs), (middle, right) = axes
    for axis, names in ((mgm, ["mgm_loss"]), (pairs, ["ngsp_loss", "srm_loss"])):
        for name in names:
            axis.plot([e["step"] for e in train], [e[name] for e in train], label=name.removesuffix("_loss").upper())
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
    right.set(title="NGSP and SRM, held-out chromosomes", xlabel="step", ylabel="AUROC", ylim=(0.4, 1.0))
    for axis in axes.ravel():
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, dpi=120, format="png")
    plt.close(figure)
    partial.rename(path)


def write_model_card(args: argparse.Namespace, results: dict[str, Any], atac: AtacSeqSet) -> None:
    """A README.md that says what was trained on what, how it was split, and how well it does."""
    block_counts = {key.removesuffix("blocks"): n for key, n in results.items() if key.endswith("_blocks")}
    rows = []
    for name, value in results.items():
        if name.startswith("eval_") and name.endswith(("_auroc", "_accuracy", "_mgm_loss", "_lead_over_composition")):
            interval = ""
            if f"{name}_low" in results:
                interval = f"{results[f'{name}_low']:.3f} to {results[f'{name}_high']:.3f}"
            blocks = next((n for key, n in block_counts.items() if name.startswith(key)), "")
            rows.append(f"| {name.removeprefix('eval_')} | {value:.3f} | {interval} | {blocks} |")
    windows, _ = atac.windows("train")
    seen = [atac.cell_types[index] for index in np.unique(windows.cell_type)]
    unseen = [name for name in atac.cell_types if name not in seen]
    held_out, _ = atac.windows("validation")
    chromosomes = sorted(atac.regions.chromosomes[index] for index in np.unique(held_out.chrom))
    data = args.dataset_name_or_path or (args.genome.name if args.genome else "the simulated atlas (no real data)")
    card = f"""---
library_name: transformers
license: apache-2.0
tags: [biology, genomics, dna, regulatory-genomics, atac-seq, genebert]
---

# GeneBERT, pre-trained ({args.model_preset if not args.model_name_or_path else args.model_name_or_path})

GeneBERT reads a DNA sequence and the matrix of transcription factors × open regions round it (arXiv 2110.05231).

- data: {data}
- motifs: {len(atac.motif_bank)}, {atac.motif_bank.source}
- cell types in training: {", ".join(seen)}
- held-out cell types: {", ".join(unseen) or "none"}
- held-out chromosomes: {", ".join(chromosomes)}
- {results["num_parameters"] / 1e6:.1f} M parameters, {results["train_steps"]} steps, \
{results["train_epochs"]} epochs, {results["train_runtime"] / 60:.1f} minutes; all settings: `training_args.json`

```python
from transformers import AutoModel, AutoProcessor

processor = AutoProcessor.from_pretrained("PATH", trust_remote_code=True)
model = AutoModel.from_pretrained("PATH", trust_remote_code=True)
outputs = model(**processor(["ACGTACGTTTGCATCG"], return_tensors="pt"))
```

## Held-out figures

95 % intervals from a bootstrap over 200-kb blocks. `hidden`: the columns of the segments themselves are hidden.
Figures of unseen cell types are on held-out chromosomes too.

| figure | value | 95 % interval | blocks |
|---|---|---|---|
{chr(10).join(rows)}

![learning curves](learning_curves.png)

## Limits

A research model: not validated for clinical use. Trained on open regions only; what it says of other sequence is
extrapolation. Coordinates and sequence come from the genome build that the peaks were called on.
"""
    (args.output_dir / "README.md").write_text(card)
