"""What a run leaves: figures with intervals, predictions as tables, pictures, and a model card with the figures."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import evaluate
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.csv
from huggingface_hub import EvalResult, ModelCard, ModelCardData
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from examples.push_to_hub import push_run
from modeling_genebert.configuration_genebert import IGNORE_INDEX

from .data import LIST_SEPARATOR, MULTI_LABEL, PER_BASE, REGRESSION, SINGLE_LABEL, Split, Task


matplotlib.use("Agg")  # write pictures, open no window

logger = logging.getLogger(__name__)

METRICS_FOLDER = Path(__file__).parents[1] / "metrics"
METRIC_FILE = {
    SINGLE_LABEL: "sequence_classification",
    MULTI_LABEL: "multi_label",
    REGRESSION: "regression",
    PER_BASE: "token_classification",
}
# By which the best checkpoint is chosen.
MAIN_METRIC = {SINGLE_LABEL: "mcc", MULTI_LABEL: "auroc_macro", REGRESSION: "pearson", PER_BASE: "auprc"}
CARD_METRICS = {
    SINGLE_LABEL: ("accuracy", "f1", "mcc", "auroc", "auprc"),
    MULTI_LABEL: ("f1_macro", "mcc_macro", "auroc_macro", "auprc_macro"),
    REGRESSION: ("pearson", "spearman", "mse"),
    PER_BASE: ("f1", "mcc", "auprc", "top_k_accuracy"),
}
MAX_CURVES = 10  # in one picture


class Scorer:
    """The figures of a task, from logits: see `examples/metrics/`."""

    def __init__(self, task: Task):
        self.task = task
        self.metric = evaluate.load(str(METRICS_FOLDER / f"{METRIC_FILE[task.problem_type]}.py"), keep_in_memory=True)

    def __call__(
        self, logits: Any, labels: Any, num_bootstrap: int = 0, groups: np.ndarray | None = None
    ) -> dict[str, Any]:
        """
        Args:
            logits: as the model gives them, padded with what does not matter.
            labels: as [`Split`] has them, padded with -100.
            num_bootstrap: resamples for the intervals.
            groups: for each row the block that it is drawn with.
        """
        options: dict[str, Any] = {"num_bootstrap": num_bootstrap}
        if groups is not None:
            options["groups"] = groups
        if self.task.problem_type in (MULTI_LABEL, PER_BASE):
            options["label_names"] = self.task.label_names
        predictions, references = logits, labels
        if self.task.problem_type == REGRESSION:
            predictions = logits.reshape(len(labels))
        elif self.task.problem_type == MULTI_LABEL:
            references = labels.astype(np.int64)
        elif self.task.problem_type == PER_BASE:
            lengths = (labels != IGNORE_INDEX).sum(axis=1)
            references = [row[:length] for row, length in zip(labels, lengths, strict=True)]
            predictions = [row[:length] for row, length in zip(logits, lengths, strict=True)]
        return self.metric.compute(predictions=predictions, references=references, **options)


def evaluate_splits(
    trainer: Any, task: Task, examples: dict[str, Any], scorer: Scorer, num_bootstrap: int
) -> dict[str, Any]:
    """Figures of all splits but the training split; the main process writes predictions and pictures, too."""
    results: dict[str, Any] = {}
    output_dir = Path(trainer.args.output_dir)
    for name, dataset in examples.items():
        if name == "train":
            continue
        prefix = "eval" if name == "validation" else name
        split = task.splits[name]
        output = trainer.predict(dataset, metric_key_prefix=prefix)
        if not trainer.is_world_process_zero():
            continue
        groups = split.groups if split.groups is not None and len(np.unique(split.groups)) > 1 else None
        figures = scorer(output.predictions, output.label_ids, num_bootstrap, groups)
        if num_bootstrap:
            figures["bootstrap_unit"] = "row" if groups is None else "block of 200 kb"
        if figures["collapsed"]:
            logger.warning("%s: the model has COLLAPSED: its predictions are all alike", name)
        metrics = {**output.metrics, **{f"{prefix}_{key}": value for key, value in figures.items()}}
        results |= without_nan(metrics)
        write_json(output_dir / f"{prefix}_results.json", without_nan(metrics))
        write_predictions(output_dir / f"{name}_predictions.csv", task, split, output.predictions)
        plot_split(output_dir / f"{name}.png", task, name, split, output.predictions)
    return results


def without_nan(metrics: dict[str, Any]) -> dict[str, Any]:
    """NaN, which JSON does not have, as None."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in metrics.items()}


def write_json(path: Path, value: Any) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
    partial.rename(path)


# Predictions


def probabilities_of(problem_type: str, logits: np.ndarray) -> np.ndarray:
    """Probabilities of the classes (softmax) or of the labels (logistic), float32 like `logits`."""
    logits = logits.astype(np.float64)
    if problem_type == MULTI_LABEL:
        return (1 / (1 + np.exp(-logits))).astype(np.float32)
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return (exponents / exponents.sum(axis=-1, keepdims=True)).astype(np.float32)


def write_predictions(path: Path, task: Task, split: Split, logits: np.ndarray) -> None:
    """A CSV file with a row for each example (or base): `id`, `label`, `prediction` and probabilities.

    Without ids of their own, rows are numbered from 0, as are bases (`position`).
    """
    names, labels = task.label_names, split.labels
    ids = np.array(split.ids if split.ids is not None else np.arange(len(split)))
    columns: dict[str, Any] = {"id": ids}
    if task.problem_type == REGRESSION:
        columns |= {"label": labels, "prediction": logits.reshape(len(split)).astype(np.float32)}
    elif task.problem_type == MULTI_LABEL:
        probabilities = probabilities_of(task.problem_type, logits)
        for column, holds in (("label", labels == 1), ("unmeasured", labels < 0), ("prediction", logits > 0)):
            columns[column] = [
                LIST_SEPARATOR.join(name for name, value in zip(names, row, strict=True) if value) for row in holds
            ]
    else:
        if task.problem_type == PER_BASE:
            lengths = np.array([len(row) for row in labels])
            logits = np.concatenate([row[:length] for row, length in zip(logits, lengths, strict=True)])
            labels = np.concatenate(labels)
            columns = {"id": np.repeat(ids, lengths), "position": np.concatenate([np.arange(n) for n in lengths])}
        probabilities = probabilities_of(task.problem_type, logits)
        columns |= {"label": np.array(names)[labels], "prediction": np.array(names)[logits.argmax(axis=1)]}
    if task.problem_type != REGRESSION:
        columns |= {f"probability_{name}": probabilities[:, index] for index, name in enumerate(names)}
    partial = path.with_name(f".{path.name}.partial")
    pyarrow.csv.write_csv(pa.table(columns), partial, pyarrow.csv.WriteOptions(quoting_style="needed"))
    partial.rename(path)


# Pictures


def plot_split(path: Path, task: Task, title: str, split: Split, logits: np.ndarray) -> None:
    """ROC and precision-recall curves and the confusion matrix of a split; of values a scatter plot; as one PNG."""
    if task.problem_type == REGRESSION:
        figure, axis = plt.subplots(figsize=(5, 5), layout="constrained")
        axis.scatter(split.labels, logits.reshape(len(split)), s=8, alpha=0.5)
        axis.axline((float(split.labels.mean()),) * 2, slope=1, color="grey", linewidth=0.8, linestyle=":")
        axis.set(xlabel=f"measured {task.label_names[0]}", ylabel="predicted", title=title)
    else:
        labels = split.labels
        if task.problem_type == PER_BASE:
            logits = np.concatenate([row[: len(own)] for row, own in zip(logits, labels, strict=True)])
            labels = np.concatenate(labels)
        num_panels = 2 if task.problem_type == MULTI_LABEL else 3
        figure, axes = plt.subplots(1, num_panels, figsize=(5 * num_panels, 4.6), layout="constrained")
        plot_curves(axes[0], axes[1], task, labels, probabilities_of(task.problem_type, logits))
        if num_panels == 3:
            plot_confusion(axes[2], task.label_names, labels, logits.argmax(axis=1))
        figure.suptitle(title)
    partial = path.with_name(f".{path.name}")
    figure.savefig(partial, dpi=100, format="png")
    plt.close(figure)
    partial.rename(path)


def plot_curves(roc: Any, pr: Any, task: Task, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """A curve for each class (of two only the second, per base not the first), on the rows where it was measured."""
    first = (
        1
        if task.problem_type == PER_BASE or (task.problem_type == SINGLE_LABEL and probabilities.shape[1] == 2)
        else 0
    )
    for index, name in list(enumerate(task.label_names))[first : first + MAX_CURVES]:
        if task.problem_type == MULTI_LABEL:
            measured = labels[:, index] >= 0
            truth, scores = labels[measured, index] == 1, probabilities[measured, index]
        else:
            truth, scores = labels == index, probabilities[:, index]
        if truth.all() or not truth.any():
            continue  # no curve
        false_positive, true_positive, _ = roc_curve(truth, scores)
        precision, recall, _ = precision_recall_curve(truth, scores, drop_intermediate=True)
        roc.plot(false_positive, true_positive, label=name)
        pr.plot(recall, precision, label=name)
    roc.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    roc.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
    pr.set(xlabel="recall", ylabel="precision", title="Precision and recall", ylim=(0, 1.02))
    for axis in (roc, pr):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize=8, title="class")


def plot_confusion(axis: Any, names: list[str], labels: np.ndarray, predicted: np.ndarray) -> None:
    """Counts of true and predicted classes, shaded by their share of the true class."""
    counts = confusion_matrix(labels, predicted, labels=np.arange(len(names)))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(names) <= MAX_CURVES:
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axis.text(column, row, f"{count}", ha="center", va="center", color=colour)
        axis.set_xticks(range(len(names)), names)
        axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="predicted", ylabel="true", title="Confusion matrix")


# The card


def write_outputs(
    trainer: Any,
    task: Task,
    examples: dict[str, Any],
    scorer: Scorer,
    train_metrics: dict[str, float],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Evaluate all splits, save the model, and write all files of a run.

    Returns:
        What `all_results.json` holds.
    """
    parameters = list(trainer.model.parameters())
    results: dict[str, Any] = {
        **without_nan(train_metrics),
        "num_parameters": sum(parameter.numel() for parameter in parameters),
        "num_trained_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "best_checkpoint": trainer.state.best_model_checkpoint,
        "best_metric": trainer.state.best_metric,
    }
    results |= evaluate_splits(trainer, task, examples, scorer, settings["num_bootstrap"])
    save_model(trainer)
    if trainer.is_world_process_zero():
        output_dir = Path(trainer.args.output_dir)
        trainer.state.save_to_json(str(output_dir / "trainer_state.json"))
        write_json(output_dir / "train_results.json", without_nan(train_metrics))
        write_json(output_dir / "all_results.json", results)
        write_json(output_dir / "finetune_args.json", settings)
        write_card(output_dir, task, results, settings)
        if trainer.args.push_to_hub:
            push_run(
                output_dir,
                trainer.hub_model_id,
                private=trainer.args.hub_private_repo,
                revision=trainer.args.hub_revision,
                commit_message="End of training",
            )
    return results


def save_model(trainer: Any) -> None:
    """The model, whole, and its processor; adapters are merged into it, and beside it in the folder `adapter`."""
    if hasattr(trainer.model, "merge_and_unload"):
        if trainer.is_world_process_zero():
            trainer.model.save_pretrained(Path(trainer.args.output_dir) / "adapter")
        trainer.model = trainer.model.merge_and_unload()
    trainer.save_model()


def write_card(output_dir: Path, task: Task, results: dict[str, Any], settings: dict[str, Any]) -> None:
    """A README.md that says what was trained on what and how well it does; the figures are in its metadata, too."""
    dataset = Path(task.source).name if settings["dataset_name_or_path"] else "a table of the user's own"
    config = settings["dataset_config_name"]
    is_on_the_hub = bool(settings["dataset_name_or_path"]) and not Path(task.source).exists()
    found, rows = [], []
    for name in task.splits:
        prefix = "eval" if name == "validation" else name
        for metric in CARD_METRICS[task.problem_type]:
            value = results.get(f"{prefix}_{metric}")
            if name == "train" or value is None:
                continue
            low, high = results.get(f"{prefix}_{metric}_low"), results.get(f"{prefix}_{metric}_high")
            interval = "" if low is None or high is None else f"{low:.3f} to {high:.3f}"
            rows.append(f"| {name} | {metric} | {value:.3f} | {interval} |")
            found.append(
                EvalResult(
                    task_type="token-classification" if task.problem_type == PER_BASE else "text-classification",
                    task_name=task.problem_type.replace("_", " "),
                    dataset_type=task.source if is_on_the_hub else "local",
                    dataset_name=dataset,
                    dataset_config=config,
                    dataset_split=name,
                    metric_type=metric,
                    metric_value=round(value, 6),
                )
            )
    base = settings["model_name_or_path"] or settings["sequence_model_name_or_path"]
    data = ModelCardData(
        library_name="transformers",
        license="apache-2.0",
        tags=["biology", "genomics", "dna", "genebert", task.problem_type.replace("_", "-")],
        model_name=output_dir.resolve().name,
        eval_results=found,
    )
    start = f"from `{base}`" if base else f"from scratch (`{settings['model_preset'] or 'small'}`)"
    counts = "; ".join(f"{name}: {len(split)}" for name, split in task.splits.items())
    unit = next((value for name, value in results.items() if name.endswith("bootstrap_unit")), None)
    collapsed = [name for name, value in results.items() if name.endswith("_collapsed") and value]
    warning = "**The model has collapsed: its predictions are all alike.**\n\n" if collapsed else ""
    text = f"""---
{data.to_yaml()}
---

# GeneBERT, fine-tuned: {dataset}{f" ({config})" if config else ""}

{warning}GeneBERT reads a DNA sequence and a matrix of transcription factors × regions (arXiv 2110.05231).

- task: {task.problem_type.replace("_", " ")}{" of variants" if task.is_variants else ""}; {describe_labels(task)}
- rows: {counts}
- {start}; trained: {settings["training_mode"]}; it reads: {settings["modality"]}
- {results["num_parameters"] / 1e6:.1f} M parameters, {results.get("epoch", 0):.1f} epochs, \
{results.get("train_runtime", 0) / 60:.1f} minutes, seed {settings["seed"]}; all settings: `finetune_args.json`
{f"- chosen on validation by {settings['metric_for_best_model']}" if results["best_metric"] is not None else ""}

| split | metric | value | 95 % interval |
|---|---|---|---|
{chr(10).join(rows)}

{f"Intervals: bootstrap, drawn by {unit}." if unit else ""} Predictions: `*_predictions.csv`.

{" ".join(f"![{name}]({name}.png)" for name in task.splits if name != "train")}

## Limits

A research model: not validated for clinical use. Figures hold for data like the splits above.
"""
    ModelCard(text).save(output_dir / "README.md")


def describe_labels(task: Task) -> str:
    """The labels on one line, a long list cut."""
    names = ", ".join(task.label_names[:MAX_CURVES])
    if task.problem_type == REGRESSION:
        return f"value: {names}"
    return f"labels: {names}" + (f", ... ({len(task.label_names)})" if len(task.label_names) > MAX_CURVES else "")
