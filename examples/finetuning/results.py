"""What a run leaves: figures with intervals, predictions as tables, pictures, and a model card with the figures."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import evaluate
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pyarrow as pa
import pyarrow.csv
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from examples.model_cards import DataSource, RunCard, describe_run, figure, portable
from examples.push_to_hub import push_run
from hub_datasets.files import write_json
from modeling_genebert.configuration_genebert import IGNORE_INDEX

from .data import LIST_SEPARATOR, MULTI_LABEL, PER_BASE, REGRESSION, SINGLE_LABEL, Split, Task
from .trainer import make_adapter_portable


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
# On the card; all others are in finetune_args.json.
HYPER_PARAMETERS = (
    *("training_mode", "per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate"),
    *("lr_scheduler_type", "warmup_steps", "weight_decay", "label_smoothing_factor", "class_weights"),
    *("reverse_complement_augmentation", "average_strands", "window_overlap", "early_stopping_patience", "seed"),
)
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
        resamples = num_bootstrap if len(split) > 1 else 0  # one row is all that there is to draw
        figures = scorer(output.predictions, output.label_ids, resamples, groups)
        if resamples:
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
    data: DataSource,
    examples: dict[str, Any],
    scorer: Scorer,
    train_metrics: dict[str, float],
    settings: dict[str, Any],
) -> dict[str, Any]:
    """Evaluate all splits, save the model, and write all files of a run, none of which names a place on this machine.

    Returns:
        What `all_results.json` holds.
    """
    parameters = list(trainer.model.parameters())
    results: dict[str, Any] = {
        **without_nan(train_metrics),
        "num_parameters": sum(parameter.numel() for parameter in parameters),
        "num_trained_parameters": sum(parameter.numel() for parameter in parameters if parameter.requires_grad),
        "best_checkpoint": name_of(trainer.state.best_model_checkpoint),
        "best_metric": trainer.state.best_metric,
    }
    results |= evaluate_splits(trainer, task, examples, scorer, settings["num_bootstrap"])
    save_model(trainer)
    if trainer.is_world_process_zero():
        output_dir = Path(trainer.args.output_dir)
        state = replace(trainer.state, best_model_checkpoint=results["best_checkpoint"])
        state.save_to_json(str(output_dir / "trainer_state.json"))
        write_json(output_dir / "train_results.json", without_nan(train_metrics))
        write_json(output_dir / "all_results.json", results)
        write_json(output_dir / "finetune_args.json", portable(settings))
        repo_id = trainer.hub_model_id if trainer.args.push_to_hub else None
        write_card(output_dir, task, data, results, settings, costs_of(trainer, task, train_metrics), repo_id)
        if trainer.args.push_to_hub:
            push_run(
                output_dir,
                trainer.hub_model_id,
                private=trainer.args.hub_private_repo,
                revision=trainer.args.hub_revision,
                commit_message="End of training",
            )
    return results


def name_of(checkpoint: str | None) -> str | None:
    return None if checkpoint is None else Path(checkpoint).name


def costs_of(trainer: Any, task: Task, train_metrics: dict[str, float]) -> dict[str, Any]:
    """Hardware and cost, for the card."""
    args = trainer.args
    precision = "bf16 (mixed)" if args.bf16 else "fp16 (mixed)" if args.fp16 else "fp32"
    costs = describe_run(args.device, args.world_size, precision, train_metrics.get("train_runtime", 0))
    costs["examples seen"] = round((trainer.state.epoch or 0) * len(task.splits["train"]))
    if args.resume_from_checkpoint is not None:
        costs["wall time"] += " (since it was resumed)"
        costs["process-hours"] += " (since it was resumed)"
    return costs


def save_model(trainer: Any) -> None:
    """The model, whole, and its processor; adapters are merged into it, and beside it in the folder `adapter`."""
    if hasattr(trainer.model, "merge_and_unload"):
        if trainer.is_world_process_zero():
            adapter = Path(trainer.args.output_dir) / "adapter"
            trainer.model.save_pretrained(adapter)
            make_adapter_portable(adapter)
        trainer.model = trainer.model.merge_and_unload()
    trainer.save_model()


def write_card(
    output_dir: Path,
    task: Task,
    data: DataSource,
    results: dict[str, Any],
    settings: dict[str, Any],
    costs: dict[str, Any],
    repo_id: str | None = None,
) -> None:
    """A README.md that says what was trained on what, at what cost, and how well it does."""
    config = settings["dataset_config_name"]
    unit = next((value for name, value in results.items() if name.endswith("bootstrap_unit")), None)
    task_name = task.problem_type.replace("_", " ")
    found = [
        figure(
            data,
            results,
            f"{'eval' if split == 'validation' else split}_{metric}",
            task_type="token-classification" if task.problem_type == PER_BASE else "text-classification",
            task_name=task_name,
            metric_type=metric,
            metric_name=metric,
            split=split,
            config=config,
            unit=unit,
        )
        for split in task.splits
        if split != "train"
        for metric in CARD_METRICS[task.problem_type]
    ]
    base = settings["model_name_or_path"] or settings["sequence_model_name_or_path"]
    is_collapsed = any(value for name, value in results.items() if name.endswith("_collapsed"))
    auto_class = "AutoModelForVariantEffect" if task.is_variants else "AutoModelForSequenceClassification"
    RunCard(
        title=f"GeneBERT, fine-tuned: {data.name}{f' ({config})' if config else ''}",
        model_name=(repo_id or output_dir.resolve().name).split("/")[-1],
        auto_class="AutoModelForTokenClassification" if task.problem_type == PER_BASE else auto_class,
        pipeline_tag="token-classification" if task.problem_type == PER_BASE else "text-classification",
        tags=[task.problem_type.replace("_", "-")],
        warning="The model has collapsed: its predictions are all alike." if is_collapsed else "",
        summary=f"GeneBERT reads a DNA sequence and a matrix of transcription factors × regions. This one predicts: "
        f"{task_name}{' of variants' if task.is_variants else ''}; {describe_labels(task)}.",
        data=replace(data, splits=[(name, len(split), "") for name, split in task.splits.items()]),
        base_model=base,
        hyper_parameters={
            "parameters": results["num_parameters"],
            "of which trained": results["num_trained_parameters"],
            "epochs": results.get("epoch"),
            "it reads": settings["modality"],
            "preset of what is new": settings["model_preset"] or (None if base else "small"),
            "checkpoint chosen by": settings["metric_for_best_model"] if results["best_metric"] is not None else None,
            "lora_rank": settings["lora_rank"] if settings["training_mode"] == "lora" else None,
            **{name: settings[name] for name in HYPER_PARAMETERS},
        },
        settings_file="finetune_args.json",
        figures=[entry for entry in found if entry is not None],
        figures_note=(f"Intervals: bootstrap, drawn by {unit}. " if unit else "")
        + "Predictions: `*_predictions.csv`. Figures hold for data like these splits.",
        costs=costs,
        pictures={name: f"{name}.png" for name in task.splits if name != "train"},
        repo_id=repo_id,
    ).write(output_dir)


def describe_labels(task: Task) -> str:
    """The labels on one line, a long list cut."""
    names = ", ".join(task.label_names[:MAX_CURVES])
    if task.problem_type == REGRESSION:
        return f"value: {names}"
    return f"labels: {names}" + (f", ... ({len(task.label_names)})" if len(task.label_names) > MAX_CURVES else "")
