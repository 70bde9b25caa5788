"""Pre-train GeneBERT on ATAC-seq peaks of many cell types.

    accelerate launch examples/pretrain.py --output_dir runs/demo                      # the simulated atlas
    accelerate launch examples/pretrain.py --genome hg38.fa.gz --peaks peaks/ \
        --eval_chromosomes chr8 chr9 --eval_cell_types Mono --output_dir runs/mine     # your own peaks
    accelerate launch examples/pretrain.py --dataset_name_or_path org/atlas --output_dir runs/atlas

What happens, top to bottom: the windows are built or opened; every epoch pairs them anew (SRM and NGSP); the collator
masks (MGM); three losses train one model; the held-out split is evaluated; checkpoints, curves and results are
written. A run that was interrupted goes on with `--resume_from_checkpoint latest`, to the same weights, bit for bit.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import time
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import get_scheduler

from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.evaluation import EvaluationSettings, evaluate_pretraining
from hub_datasets.atac_seq.reader import AtacSeqSet, PreTrainingDataset
from hub_datasets.simulated_atlas import simulate_atlas
from modeling_genebert import (
    GeneBertConfig,
    GeneBertDataCollatorForPreTraining,
    GeneBertFeatureExtractor,
    GeneBertForPreTraining,
    GeneBertProcessor,
    GeneBertTokenizer,
    training_plan,
)


matplotlib.use("Agg")  # write pictures, open no window
# Tied weights are saved once; Accelerate would say so at every checkpoint.
logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)

LOSSES = ("loss", "mgm_loss", "ngsp_loss", "srm_loss")


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Pre-train GeneBERT.", formatter_class=argparse.HelpFormatter)
    data = parser.add_argument_group("data (with none of these: the simulated atlas)")
    data.add_argument("--dataset_name_or_path", help="a folder built by hub_datasets.atac_seq, or a Hub data set")
    data.add_argument("--genome", type=Path, help="FASTA, plain or gzip or bgzip; needs --peaks")
    data.add_argument("--peaks", type=Path, nargs="+", help="BED or narrowPeak files, one a cell type, or a folder")
    data.add_argument("--motifs", help="JASPAR release or motif file; default JASPAR2026, or the atlas's own")
    data.add_argument("--eval_chromosomes", nargs="+", help="held out of training, evaluated on")
    data.add_argument("--eval_cell_types", nargs="*", default=None, help="held out of training, evaluated on")
    data.add_argument("--window_stride", type=int, default=1, help="every n-th open region is an anchor")
    data.add_argument("--segment_length", type=int, default=256, help="bp of a region that enter as a segment")
    data.add_argument("--num_cpu_threads", type=int, help="on CPU, threads a process; default: all cores shared out")
    data.add_argument("--num_workers", type=int, default=0, help="processes that prepare batches")

    model = parser.add_argument_group("model")
    model.add_argument("--model_name_or_path", help="start from this checkpoint instead of a preset")
    model.add_argument("--model_preset", default="tiny", choices=["tiny", "small", "base"])
    model.add_argument("--kmer", type=int, default=6)
    model.add_argument("--stride", type=int, default=1, help="bp between k-mers")
    model.add_argument("--dropout", type=float, default=0.1, help="of the sequence encoder")

    losses = parser.add_argument_group("losses")
    losses.add_argument("--mgm_loss_weight", type=float, default=1.0)
    losses.add_argument("--ngsp_loss_weight", type=float, default=1.0)
    losses.add_argument("--srm_loss_weight", type=float, default=1.0)
    losses.add_argument("--mask_probability", type=float, default=0.15, help="share of bases")
    losses.add_argument("--hard_negative_fraction", type=float, default=0.5, help="SRM pairs of two cell types")
    losses.add_argument("--hidden_fraction", type=float, default=0.5, help="examples with A's and B's columns hidden")
    losses.add_argument("--self_tiled_fraction", type=float, default=0.1, help="matrix made of the sequence itself")

    train = parser.add_argument_group("training")
    train.add_argument("--output_dir", type=Path, required=True)
    train.add_argument("--overwrite_output_dir", action="store_true")
    train.add_argument("--max_train_steps", type=int, default=1000)
    train.add_argument("--per_device_train_batch_size", type=int, default=16)
    train.add_argument("--per_device_eval_batch_size", type=int, default=32)
    train.add_argument("--gradient_accumulation_steps", type=int, default=1)
    train.add_argument("--learning_rate", type=float, default=5e-4)
    train.add_argument("--weight_decay", type=float, default=0.01)
    train.add_argument("--warmup_steps", type=int, help="default: a tenth of all steps")
    train.add_argument("--lr_scheduler_type", default="cosine")
    train.add_argument("--max_grad_norm", type=float, default=1.0)
    train.add_argument("--mixed_precision", choices=["no", "bf16"], help="default: as `accelerate launch` says")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--logging_steps", type=int, default=10)
    train.add_argument("--eval_steps", type=int, help="default: ten evaluations a run")
    train.add_argument("--quick_eval_windows", type=int, default=200, help="windows a figure while training")
    train.add_argument("--max_eval_windows", type=int, help="windows a figure at the end; default: all")
    train.add_argument("--checkpointing_steps", type=int, help="default: ten checkpoints a run")
    train.add_argument("--save_total_limit", type=int, default=2)
    train.add_argument("--resume_from_checkpoint", help="a checkpoint folder, or 'latest'")
    args = parser.parse_args(arguments)

    if (args.genome is None) != (args.peaks is None):
        parser.error("--genome and --peaks go together")
    if args.genome and args.dataset_name_or_path:
        parser.error("give either --dataset_name_or_path or --genome and --peaks")
    if args.genome and not args.eval_chromosomes:
        parser.error("--genome needs --eval_chromosomes: the chromosomes to hold out of training")
    if args.dataset_name_or_path and (args.eval_chromosomes or args.eval_cell_types is not None):
        parser.error("a built data set has its own split: --eval_chromosomes and --eval_cell_types do not apply")
    if args.max_train_steps < 1:
        parser.error("--max_train_steps must be at least 1")
    args.warmup_steps = args.warmup_steps if args.warmup_steps is not None else args.max_train_steps // 10
    args.eval_steps = args.eval_steps or max(1, args.max_train_steps // 10)
    args.checkpointing_steps = args.checkpointing_steps or max(1, args.max_train_steps // 10)
    return args


def open_dataset(args: argparse.Namespace, accelerator: Accelerator) -> AtacSeqSet:
    """Build the set where files are given (once, by the main process), then open it."""
    name_or_path = args.dataset_name_or_path
    if name_or_path is None:
        name_or_path = args.output_dir / "dataset"
        if accelerator.is_main_process:
            sources = {"genome": args.genome, "peaks": args.peaks, "motifs": args.motifs or "JASPAR2026"}
            eval_chromosomes, eval_cell_types = args.eval_chromosomes, args.eval_cell_types or []
            if args.genome is None:
                atlas = args.output_dir / "simulated_atlas"
                if not (atlas / "simulation.json").exists():
                    simulate_atlas(atlas, seed=0)
                sources = {
                    "genome": atlas / "genome.fa",
                    "peaks": atlas / "peaks",
                    "motifs": args.motifs or atlas / "motifs.safetensors",
                }
                names = sorted(path.name.split(".")[0] for path in (atlas / "peaks").iterdir())
                eval_chromosomes = eval_chromosomes or ["chr7", "chr8"]
                eval_cell_types = names[-1:] if args.eval_cell_types is None else args.eval_cell_types
            build_atac_seq(
                **sources,
                output_dir=name_or_path,
                stride=args.window_stride,
                validation_chromosomes=eval_chromosomes,
                held_out_cell_types=eval_cell_types,
            )
        accelerator.wait_for_everyone()
    atac = AtacSeqSet.load(name_or_path)
    for split in ("train", "validation"):
        if split not in atac.splits:
            raise ValueError(f"{name_or_path} has no split {split!r}, only {list(atac.splits)}")
    return atac


def make_model(args: argparse.Namespace, atac: AtacSeqSet) -> tuple[GeneBertForPreTraining, GeneBertProcessor]:
    weights = {name: getattr(args, name) for name in ("mgm_loss_weight", "ngsp_loss_weight", "srm_loss_weight")}
    bank = atac.motif_bank
    if args.model_name_or_path:
        model = GeneBertForPreTraining.from_pretrained(args.model_name_or_path, **weights)
        model.config.check_motif_bank(bank.fingerprint, len(bank))
    else:
        config = GeneBertConfig.from_preset(
            args.model_preset,
            kmer=args.kmer,
            stride=args.stride,
            num_motifs=len(bank),
            motif_bank_fingerprint=bank.fingerprint,
            num_regions=atac.num_regions,
            **weights,
        )
        config.sequence_config.hidden_dropout_prob = args.dropout
        config.sequence_config.attention_probs_dropout_prob = args.dropout
        model = GeneBertForPreTraining(config)
    config = model.config
    tokenizer = GeneBertTokenizer(
        kmer=config.kmer,
        stride=config.stride,
        model_max_length=config.sequence_config.max_position_embeddings,
    )
    width = atac.regions.sequences.width
    extractor = GeneBertFeatureExtractor(bank, num_regions=config.num_regions, region_width=width)
    return model, GeneBertProcessor(extractor, tokenizer)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    args = parse_args(arguments)
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # else processes that torchrun starts on CPUs do not find each other
        gradient_accumulation_steps=args.gradient_accumulation_steps,
        mixed_precision=args.mixed_precision,
    )
    if accelerator.device.type == "cpu":
        # `accelerate launch` leaves a process one thread unless told otherwise.
        torch.set_num_threads(args.num_cpu_threads or max(1, (os.cpu_count() or 1) // accelerator.num_processes))
    resume_from = find_checkpoint(args)
    if accelerator.is_main_process and resume_from is None and args.overwrite_output_dir:
        for checkpoint in args.output_dir.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    atac = open_dataset(args, accelerator)
    set_seed(args.seed)
    model, processor = make_model(args, atac)
    collator = GeneBertDataCollatorForPreTraining(
        processor.feature_extractor,
        kmer=model.config.kmer,
        stride=model.config.stride,
        mask_probability=args.mask_probability,
    )
    windows, region_ids = atac.windows("train")
    global_batch = args.per_device_train_batch_size * accelerator.num_processes
    if len(windows) < global_batch:
        raise ValueError(f"the training split has {len(windows)} windows, fewer than one batch of {global_batch}")
    batches_per_epoch = len(windows) // global_batch  # the rest of an epoch, less than a batch, is left out

    def train_batches(epoch: int, first_batch: int) -> DataLoader:
        """This process's share of an epoch, from `first_batch` on; the seed alone decides pairs, order and masks."""
        rng = np.random.default_rng([args.seed, epoch])
        plan = training_plan(
            windows,
            rng,
            hard_negative_fraction=args.hard_negative_fraction,
            hidden_fraction=args.hidden_fraction,
            self_tiled_fraction=args.self_tiled_fraction,
        )
        order = rng.permutation(len(windows))[: batches_per_epoch * global_batch]
        shares = order.reshape(batches_per_epoch, accelerator.num_processes, args.per_device_train_batch_size)
        dataset = PreTrainingDataset(
            atac,
            windows,
            region_ids,
            plan.take(shares[first_batch:, accelerator.process_index].ravel()),
            seed=int(rng.integers(2**31)),
            segment_length=args.segment_length,
        )
        return DataLoader(
            dataset,
            batch_size=args.per_device_train_batch_size,
            collate_fn=collator,
            num_workers=args.num_workers,
            generator=torch.Generator(),  # else making an iterator draws from the RNG that a resumed run shares
        )

    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]  # biases and norms
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=args.learning_rate,
    )
    # Stepped by hand, once an update; Accelerate would step it once a process.
    scheduler = get_scheduler(args.lr_scheduler_type, optimizer, args.warmup_steps, args.max_train_steps)
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(scheduler)

    state: dict[str, Any] = {"step": 0, "epoch": 0, "batches_in_epoch": 0, "train_seconds": 0.0, "log_history": []}
    state["loss_sums"] = [0.0] * (len(LOSSES) + 1)  # since the last log entry; the last one counts batches
    state["data_order"] = {"seed": args.seed, "global_batch": global_batch, "windows": len(windows)}
    if resume_from is not None:
        saved = json.loads((resume_from / "trainer_state.json").read_text())
        if saved["data_order"] != state["data_order"]:
            raise ValueError(
                f"{resume_from} was trained with {saved['data_order']}, now it is {state['data_order']}: batches "
                "would be seen twice or never; resume with the same seed, data, batch size and number of processes"
            )
        accelerator.load_state(str(resume_from))
        state = saved
        accelerator.print(f"Resumed from {resume_from} at step {state['step']}")
    parameters = sum(p.numel() for p in model.parameters())
    accelerator.print(
        f"Training {parameters / 1e6:.1f} M parameters on {len(windows)} windows with "
        f"{len(np.unique(windows.anchor))} distinct anchors, {len(np.unique(windows.cell_type))} cell types, "
        f"{len(atac.motif_bank)} motifs"
    )

    def evaluate(final: bool) -> dict[str, float]:
        settings = EvaluationSettings(
            segment_length=args.segment_length,
            batch_size=args.per_device_eval_batch_size,
            max_windows=args.max_eval_windows if final else args.quick_eval_windows,
            intervals=final,
        )
        return evaluate_pretraining(
            accelerator.unwrap_model(model), collator, atac, "validation", settings, show_progress=final
        )

    progress = tqdm(
        total=args.max_train_steps,
        initial=state["step"],
        desc="Pre-training",
        unit="step",
        disable=None if accelerator.is_main_process else True,
    )
    sums = torch.tensor(state["loss_sums"], device=accelerator.device) / accelerator.num_processes
    started = time.monotonic() - state["train_seconds"]
    model.train()
    while state["step"] < args.max_train_steps:
        for batch in train_batches(state["epoch"], state["batches_in_epoch"]):
            state["batches_in_epoch"] += 1
            batch = {name: tensor.to(accelerator.device) for name, tensor in batch.items() if name != "hidden_bases"}
            with accelerator.accumulate(model):
                output = model(**batch)
                accelerator.backward(output.loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), args.max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
            sums += torch.stack([*(output[name].detach().float() for name in LOSSES), sums.new_ones(())])
            if not accelerator.sync_gradients:
                continue
            scheduler.step()
            state["step"] += 1
            state["train_seconds"] = time.monotonic() - started
            progress.update()
            step = state["step"]
            if step % args.logging_steps == 0 or step == args.max_train_steps:
                totals = accelerator.reduce(sums).tolist()
                losses = dict(zip(LOSSES, (total / totals[-1] for total in totals[:-1]), strict=True))
                sums.zero_()
                if not math.isfinite(losses["loss"]):
                    raise FloatingPointError(f"step {step}: loss {losses['loss']}; the last checkpoint is intact")
                progress.set_postfix({name.removesuffix("_loss"): f"{value:.3f}" for name, value in losses.items()})
                state["log_history"].append({"step": step, "learning_rate": scheduler.get_last_lr()[0], **losses})
            if step % args.eval_steps == 0 and step < args.max_train_steps:
                if accelerator.is_main_process:
                    figures = evaluate(final=False)
                    state["log_history"].append({"step": step, **{f"eval_{k}": v for k, v in figures.items()}})
                    progress.write(f"step {step}: " + describe(figures))
                accelerator.wait_for_everyone()
            if step % args.checkpointing_steps == 0 or step == args.max_train_steps:
                save_checkpoint(accelerator, args, {**state, "loss_sums": accelerator.reduce(sums).tolist()})
            if step == args.max_train_steps:
                break
        else:
            state["epoch"], state["batches_in_epoch"] = state["epoch"] + 1, 0
    progress.close()

    results: dict[str, Any] = {}
    if accelerator.is_main_process:
        figures = evaluate(final=True)
        state["log_history"].append({"step": state["step"], **{f"eval_{k}": v for k, v in figures.items()}})
        epochs = state["epoch"] + state["batches_in_epoch"] / batches_per_epoch
        results = {
            "train_steps": state["step"],
            "train_epochs": round(epochs, 3),
            "train_runtime": round(state["train_seconds"], 1),
            "train_examples_per_second": round(
                state["step"] * global_batch * args.gradient_accumulation_steps / max(state["train_seconds"], 1e-9), 2
            ),
            "num_parameters": parameters,
            **{f"eval_{name}": value for name, value in figures.items()},
        }
        save_outputs(args, accelerator.unwrap_model(model), processor, results, state, atac)
        print(describe(figures))
        print(f"Checkpoint, processor, motif bank, curves and results: {args.output_dir}")
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return results


def find_checkpoint(args: argparse.Namespace) -> Path | None:
    """The checkpoint to resume from; refuses to train over a finished or half-finished run unasked."""
    checkpoints = sorted(args.output_dir.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    if args.resume_from_checkpoint == "latest":
        return checkpoints[-1] if checkpoints else None
    if args.resume_from_checkpoint:
        path = Path(args.resume_from_checkpoint)
        if not (path / "trainer_state.json").is_file():
            raise FileNotFoundError(f"{path}: not a checkpoint of this script (it has no trainer_state.json)")
        return path
    if checkpoints and not args.overwrite_output_dir:
        raise ValueError(
            f"{args.output_dir} holds checkpoints up to {checkpoints[-1].name}: "
            "pass --resume_from_checkpoint latest to go on, or --overwrite_output_dir to start again"
        )
    return None


def save_checkpoint(accelerator: Accelerator, args: argparse.Namespace, state: dict[str, Any]) -> None:
    """Write everything that a resumed run needs into `checkpoint-<step>`, which appears whole or not at all."""
    final = args.output_dir / f"checkpoint-{state['step']}"
    partial = args.output_dir / f".{final.name}.partial"
    accelerator.save_state(str(partial))
    if accelerator.is_main_process:
        (partial / "trainer_state.json").write_text(json.dumps(state))
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
        kept = sorted(args.output_dir.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
        for path in kept[: -args.save_total_limit]:
            shutil.rmtree(path)
    accelerator.wait_for_everyone()


def save_outputs(
    args: argparse.Namespace,
    model: GeneBertForPreTraining,
    processor: GeneBertProcessor,
    results: dict[str, Any],
    state: dict[str, Any],
    atac: AtacSeqSet,
) -> None:
    model.save_pretrained(args.output_dir)
    processor.save_pretrained(args.output_dir)
    write_json(args.output_dir / "all_results.json", results)
    write_json(args.output_dir / "trainer_state.json", state)
    write_json(args.output_dir / "training_args.json", {name: str(value) for name, value in vars(args).items()})
    plot_curves(state["log_history"], args.output_dir / "learning_curves.png")
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


if __name__ == "__main__":
    main()
