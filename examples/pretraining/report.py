"""What a run leaves beside its weights: results, curves, and a model card."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from huggingface_hub import EvalResult

from examples.model_cards import DataSource, RunCard, dataset_source, figure, portable, public_name
from hub_datasets.atac_seq.reader import AtacSeqSet
from hub_datasets.files import write_json
from modeling_genebert import GeneBertConfig

from .checkpoints import STATE_FILE, TrainingState
from .pictures import plot_curves, plot_matching


# On the card; all others are in training_args.json.
HYPER_PARAMETERS = (
    *("per_device_train_batch_size", "gradient_accumulation_steps", "learning_rate", "lr_scheduler_type"),
    *("warmup_steps", "weight_decay", "max_grad_norm", "dropout", "segment_length", "central_segments"),
    *("mask_probability", "hard_negative_fraction", "like_gc_fraction", "hidden_fraction", "self_tiled_fraction"),
    *("ngsp_fraction", "background_fraction"),
    *("mgm_loss_weight", "ngsp_loss_weight", "srm_loss_weight", "config_overrides", "seed"),
)
_FIGURE = re.compile(
    r"eval_(train_chromosomes_)?(?:(seen|unseen)|cell_type_(.+))_(mgm|ngsp|srm)_"
    r"((?:other_locus_|like_gc_locus_|other_cell_type_)?(?:visible_|hidden_)?)"
    r"(loss|auroc|accuracy|hidden_base_accuracy|composition_accuracy|context_model_accuracy|lead_over_composition)"
)


def write_report(
    args: argparse.Namespace,
    results: dict[str, Any],
    state: TrainingState,
    data: DataSource,
    costs: dict[str, Any],
    config: GeneBertConfig,
    cell_types: dict[str, bool],
) -> None:
    """Results, log, settings, curves and card, into `output_dir`.

    Args:
        data (`DataSource`): what was trained on.
        costs (`dict`): hardware and cost, with `examples seen`.
        config (`GeneBertConfig`): of the model.
        cell_types (`dict[str, bool]`): name -> whether it was seen in training.
    """
    write_json(args.output_dir / "all_results.json", results)
    write_json(args.output_dir / STATE_FILE, asdict(state))
    write_json(args.output_dir / "training_args.json", portable(vars(args)))
    plot_curves(state.log_history, args.output_dir / "learning_curves.png")
    plot_matching(results, cell_types, args.output_dir / "matching.png")
    write_model_card(args, results, data, costs, config)


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
        "SRM AUROC other locus of like GC, visible": "seen_srm_like_gc_locus_visible_auroc",
        " hidden": "seen_srm_like_gc_locus_hidden_auroc",
        "SRM AUROC other cell type, visible": "seen_srm_other_cell_type_visible_auroc",
        "hidden ": "seen_srm_other_cell_type_hidden_auroc",
    }
    return ", ".join(f"{text.strip()} {figures[name]:.3f}" for text, name in wanted.items() if name in figures)


def write_model_card(
    args: argparse.Namespace,
    results: dict[str, Any],
    data: DataSource,
    costs: dict[str, Any],
    config: GeneBertConfig,
) -> None:
    """A README.md that says what was trained on what, how it was split, at what cost, and how well it does."""
    start = args.model_name_or_path
    is_simulated = args.dataset_name_or_path is None and args.genome is None
    figures, others = held_out_figures(results, data)
    RunCard(
        title=f"GeneBERT, pre-trained ({public_name(start) if start else args.model_preset})",
        model_name=(args.hub_model_id or args.output_dir.resolve().name).split("/")[-1],
        auto_class="AutoModel",
        pipeline_tag="feature-extraction",
        tags=["atac-seq"],
        summary="GeneBERT reads a DNA sequence and the matrix of transcription factors × open regions round it in one "
        "cell type. Three losses trained it: masked genome modelling (MGM), next genome segment prediction (NGSP) and "
        "sequence-region matching (SRM).",
        data=data,
        base_model=start,
        hyper_parameters={
            "parameters": results["num_parameters"],
            "k-mers": f"k={config.kmer}, stride {config.stride}",
            "steps": results["train_steps"],
            "epochs": results["train_epochs"],
            "examples a step": costs["examples seen"] // results["train_steps"],
            **{name: getattr(args, name) for name in HYPER_PARAMETERS},
        },
        settings_file="training_args.json",
        figures=figures,
        other_figures=others,
        figures_note="On held-out chromosomes, where no others are named, of cell types seen and unseen in training. "
        "`hidden`: without the columns of the segments themselves. Composition and context model are opponents, "
        "scored on the same bases. Intervals: bootstrap over 200-kb blocks.",
        costs=costs,
        pictures={
            "learning curves": "learning_curves.png",
            "AUROC of SRM by cell types and chromosomes, seen and unseen, and for each cell type": "matching.png",
        },
        limits=["**Trained on simulated data**: it shows that all works, and is good for nothing else."]
        if is_simulated
        else [],
        repo_id=args.hub_model_id,
    ).write(args.output_dir)


def training_source(args: argparse.Namespace, atac: AtacSeqSet) -> DataSource:
    """What is trained and evaluated on, for the card."""
    source = dataset_source(args.dataset_name_or_path or args.output_dir / "dataset")
    name = source.name
    if args.dataset_name_or_path is None:
        name = f"peaks on {args.genome.name}" if args.genome else "the simulated atlas (no real data)"
    splits = []
    for split in atac.splits:
        windows, _ = atac.windows(split)
        chromosomes = [atac.regions.chromosomes[index] for index in np.unique(windows.chrom)]
        cell_types = [atac.cell_types[index] for index in np.unique(windows.cell_type)]
        splits.append((split, len(windows), f"{', '.join(sorted(chromosomes))}; {', '.join(cell_types)}"))
    motifs = f"motifs: {len(atac.motif_bank)}, {atac.motif_bank.source}, fingerprint `{atac.motif_bank.fingerprint}`"
    return replace(source, name=name, splits=splits, facts=[*source.facts, motifs])


def held_out_figures(results: dict[str, Any], data: DataSource) -> tuple[list[EvalResult], list[EvalResult]]:
    """The model's own figures for cell types seen and unseen in training; and those of its opponents, of single cell
    types, and of training chromosomes."""
    own: list[EvalResult] = []
    others: list[EvalResult] = []
    for key in results:
        match = _FIGURE.fullmatch(key)
        if match is None:
            continue
        trained_on, group, cell_type, task, kind, metric = match.groups()
        if metric == "loss" and task != "mgm":  # of pairs, AUROC and accuracy say more
            continue
        name = f"{task.upper()} {kind}{metric}".replace("_", " ").replace("auroc", "AUROC")
        where = ", training chromosomes" if trained_on else ""
        blocks = results.get(f"{key.removesuffix(metric)}blocks")
        found = figure(
            data,
            results,
            key,
            task_type="fill-mask" if task == "mgm" else "text-classification",
            task_name="masked genome modelling" if task == "mgm" else "next segment and sequence-region matching",
            metric_type=metric,
            metric_name=name,
            split="train" if trained_on else "validation",
            config=(f"cell type {cell_type}" if cell_type else f"{group} cell types") + where,
            unit="block of 200 kb" if blocks is None else f"block of 200 kb ({blocks})",
        )
        if found is not None:
            is_opponents = metric in ("composition_accuracy", "context_model_accuracy")
            is_own = group is not None and not trained_on and not is_opponents
            (own if is_own else others).append(found)
    return own, others
