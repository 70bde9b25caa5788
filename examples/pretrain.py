"""Pre-train GeneBERT on ATAC-seq peaks of many cell types.

    accelerate launch examples/pretrain.py --output_dir runs/demo                      # the simulated atlas
    accelerate launch examples/pretrain.py --genome hg38.fa.gz --peaks peaks/ \
        --eval_chromosomes chr8 chr9 --eval_cell_types Mono --output_dir runs/mine     # your own peaks
    accelerate launch examples/pretrain.py --dataset_name_or_path org/atlas --output_dir runs/atlas

What happens, top to bottom: the windows are built or opened; every epoch pairs them anew (SRM and NGSP); the collator
masks (MGM); three losses train one model; the held-out split is evaluated; checkpoints, curves and results are
written. A run that was interrupted goes on with `--resume_from_checkpoint latest`, to the same weights, bit for bit.
On SIGTERM and Ctrl-C the step is finished and a checkpoint written; the exit status is then 143 or 130.

Several processes: see `examples/accelerate_configs/`. A global batch has the same losses however many share it.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from tqdm.auto import tqdm
from transformers import get_scheduler


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, Python looks in examples/ only

from examples.model_cards import describe_run
from examples.pretraining.arguments import parse_args
from examples.pretraining.checkpoints import (
    TrainingState,
    find_checkpoint,
    list_checkpoints,
    load_checkpoint,
    push_unfinished,
    remove_checkpoint,
    save_checkpoint,
    save_model,
)
from examples.pretraining.data import TrainingData, make_model, open_dataset
from examples.pretraining.report import describe, training_source, write_report
from examples.pretraining.stopping import StopSignals
from examples.pretraining.update import LOSSES, update_weights
from examples.push_to_hub import open_repository, push_run
from hub_datasets.atac_seq.evaluation import EvaluationSettings, evaluate_pretraining
from modeling_genebert import GeneBertDataCollatorForPreTraining


# Tied weights are saved once; Accelerate would say so at every checkpoint.
logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)

TRAINED_ON_WINDOWS = 500  # a figure at most, on training chromosomes: only to compare with the held-out ones


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    args = parse_args(arguments)
    accelerator = Accelerator(
        cpu=not torch.accelerator.is_available(),  # else processes that torchrun starts on CPUs do not find each other
        mixed_precision=args.mixed_precision,
        log_with=None if args.report_to == "none" else args.report_to,
        project_dir=args.output_dir,
    )
    if accelerator.device.type == "cpu":
        # `accelerate launch` leaves a process one thread unless told otherwise.
        processes_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        torch.set_num_threads(args.num_cpu_threads or max(1, (os.cpu_count() or 1) // processes_here))
    resume_from = find_checkpoint(args.output_dir, args.resume_from_checkpoint, args.overwrite_output_dir)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process and resume_from is None:
        for checkpoint in list_checkpoints(args.output_dir):
            remove_checkpoint(checkpoint)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    if args.push_to_hub and accelerator.is_main_process:  # whether there is a place for it should be known by now
        args.hub_model_id = open_repository(args.hub_model_id, private=args.hub_private_repo)

    # Data and model
    atac = open_dataset(args, accelerator)
    source = training_source(args, atac)
    set_seed(args.seed)
    model, processor = make_model(args, atac)
    config = model.config
    num_parameters = sum(p.numel() for p in model.parameters())
    set_seed(args.seed + accelerator.process_index)  # each process draws dropout of its own
    collator = GeneBertDataCollatorForPreTraining(
        processor.feature_extractor,
        kmer=config.kmer,
        stride=config.stride,
        mask_probability=args.mask_probability,
        with_regions=args.modality == "both",
    )
    data = TrainingData(args, atac, collator, accelerator.num_processes, accelerator.process_index)
    if args.model_name_or_path is None:
        data.fit_score_norm(model.genebert.region_encoder.score_norm)
    if args.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    if args.torch_compile:
        model.compile()

    # Optimizer and schedule
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]  # biases and norms
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=args.learning_rate,
    )
    # Stepped by hand, once an update; Accelerate would step it once a process.
    scheduler = get_scheduler(args.lr_scheduler_type, optimizer, args.warmup_steps, args.max_train_steps)
    loss_weights = [float(getattr(config, f"{name}_weight")) for name in LOSSES]
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.register_for_checkpointing(scheduler)

    state = TrainingState(data=data.identity, loss_sums=[0.0] * (2 * len(LOSSES)))
    if resume_from is not None:
        state = load_checkpoint(accelerator, resume_from, state)
        accelerator.print(f"Resumed from {resume_from} at step {state.step}")
    if args.report_to != "none":
        accelerator.init_trackers("genebert_pretraining", {name: str(value) for name, value in vars(args).items()})
    accelerator.print(
        f"Training {num_parameters / 1e6:.1f} M parameters on {len(data.windows)} windows with "
        f"{len(np.unique(data.windows.anchor))} distinct anchors, {len(np.unique(data.windows.cell_type))} cell "
        f"types, {len(atac.motif_bank)} motifs"
    )

    def record(figures: dict[str, float]) -> None:
        state.log_history.append({"step": state.step, **figures})
        accelerator.log(figures, step=state.step)

    def evaluate(final: bool) -> dict[str, float]:
        """All processes share the work, and each gets all figures."""
        settings = EvaluationSettings(
            segment_length=args.segment_length,
            batch_size=args.per_device_eval_batch_size,
            max_windows=args.max_eval_windows if final else args.quick_eval_windows,
            intervals=final,
            by_cell_type=final,
        )
        show_progress = final and accelerator.is_main_process
        held_out = evaluate_pretraining(
            accelerator.unwrap_model(model), collator, atac, "validation", settings, show_progress=show_progress
        )
        figures = {f"eval_{name}": value for name, value in held_out.items()}
        if final:
            limit = min(args.max_eval_windows or TRAINED_ON_WINDOWS, TRAINED_ON_WINDOWS)
            settings = replace(settings, tasks=("srm",), by_cell_type=False, max_windows=limit)
            trained_on = evaluate_pretraining(
                accelerator.unwrap_model(model), collator, atac, "train", settings, show_progress=show_progress
            )
            figures |= {f"eval_train_chromosomes_{name}": value for name, value in trained_on.items()}
        record(figures)
        if accelerator.is_main_process:
            progress.write(f"step {state.step}: {describe(held_out)}")
        return figures

    def evaluate_if_due() -> None:
        # The checkpoint of a step is written before its evaluation, which a resumed run then makes up for.
        is_done = any(entry["step"] == state.step and "eval_seen_mgm_loss" in entry for entry in state.log_history)
        if state.step and state.step % args.eval_steps == 0 and state.step < args.max_train_steps and not is_done:
            evaluate(final=False)

    def mean_losses() -> dict[str, float]:
        """Each over the steps since the last call that asked for it; nothing where none did or all were left out."""
        sums, counts = accelerator.reduce(loss_sums).view(2, -1).tolist()
        loss_sums.zero_()
        losses = {name: total / n for name, total, n in zip(LOSSES, sums, counts, strict=True) if n}
        if not losses:
            return {}
        total = sum(weight * losses.get(name, 0.0) for name, weight in zip(LOSSES, loss_weights, strict=True))
        progress.set_postfix({"loss": f"{total:.3f}", **{name[:-5]: f"{loss:.3f}" for name, loss in losses.items()}})
        return {"loss": total, **losses}

    def report_nonfinite_step(losses: list[float], norm: float) -> None:
        values = ", ".join(f"{name} {value:.4g}" for name, value in zip(LOSSES, losses, strict=True))
        checkpoints = list_checkpoints(args.output_dir)
        report = (
            f"step {state.step + 1} is not finite: gradient norm {norm}, {values}, learning rate "
            f"{scheduler.get_last_lr()[0]:.3g}; last good checkpoint: {checkpoints[-1] if checkpoints else 'none yet'}"
        )
        if state.skipped_steps > args.skip_nonfinite_steps:
            raise FloatingPointError(f"{report}; resume with a lower --learning_rate, or with --skip_nonfinite_steps")
        accelerator.print(f"Left out: {report}")

    progress = tqdm(
        total=args.max_train_steps,
        initial=state.step,
        desc="Pre-training",
        unit="step",
        disable=None if accelerator.is_main_process else True,
    )
    loss_sums = torch.tensor(state.loss_sums, device=accelerator.device) / accelerator.num_processes
    started = time.monotonic() - state.train_seconds
    model.train()
    evaluate_if_due()
    with StopSignals() as stop:
        while state.step < args.max_train_steps:
            for batches in data.updates(state.epoch, state.updates_in_epoch):
                losses, asked, norm = update_weights(
                    accelerator,
                    model,
                    optimizer,
                    batches,
                    loss_weights=loss_weights,
                    max_grad_norm=args.max_grad_norm,
                )
                if math.isfinite(norm):
                    loss_sums += torch.cat([losses, asked / accelerator.num_processes])
                else:
                    state.skipped_steps += 1
                    report_nonfinite_step(accelerator.reduce(losses).tolist(), norm)
                scheduler.step()
                state.step += 1
                state.updates_in_epoch += 1
                state.train_seconds = time.monotonic() - started
                progress.update()
                is_last = state.step == args.max_train_steps
                stop_signal = stop.on_any_process(accelerator)
                if state.step % args.logging_steps == 0 or is_last:
                    record({"learning_rate": scheduler.get_last_lr()[0], **mean_losses()})
                if state.step % args.checkpointing_steps == 0 or is_last or stop_signal:
                    state.loss_sums = accelerator.reduce(loss_sums).tolist()
                    save_checkpoint(accelerator, args.output_dir, state, args.save_total_limit)
                    if args.push_to_hub and args.hub_strategy == "every_save" and not is_last:
                        push_unfinished(accelerator, model, processor, args.hub_model_id, state.step)
                if stop_signal:
                    accelerator.print(f"Stopped by signal {stop_signal}: checkpoint of step {state.step} written")
                    accelerator.end_training()
                    raise SystemExit(128 + stop_signal)  # as a shell reports it
                evaluate_if_due()
                if is_last:
                    break
            else:
                state.epoch, state.updates_in_epoch = state.epoch + 1, 0

    figures = evaluate(final=True)
    progress.close()
    epochs = state.epoch + state.updates_in_epoch / data.updates_per_epoch
    examples_per_second = state.step * data.examples_per_update / max(state.train_seconds, 1e-9)
    results = {
        "train_steps": state.step,
        "train_epochs": round(epochs, 3),
        "train_runtime": round(state.train_seconds, 1),
        "train_examples_per_second": round(examples_per_second, 2),
        "skipped_steps": state.skipped_steps,
        "num_parameters": num_parameters,
        **figures,
    }
    save_model(accelerator, model, processor, args.output_dir)
    if accelerator.is_main_process:
        precision = {"no": "fp32"}.get(accelerator.mixed_precision, f"{accelerator.mixed_precision} (mixed)")
        costs = describe_run(accelerator.device, accelerator.num_processes, precision, state.train_seconds)
        costs["examples seen"] = state.step * data.examples_per_update
        trained_types = np.unique(data.windows.cell_type)
        cell_types = {name: index in trained_types for index, name in enumerate(atac.cell_types)}
        write_report(args, results, state, source, costs, config, cell_types)
        print(f"Checkpoint, processor, motif bank, curves and results: {args.output_dir}")
        if args.push_to_hub:
            push_run(args.output_dir, args.hub_model_id, private=args.hub_private_repo)
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return results


if __name__ == "__main__":
    main()
