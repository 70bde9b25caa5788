"""Checkpoints that a run goes on from: whole or not there, and only where the run is the same."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from accelerate import Accelerator

from examples.push_to_hub import push_folder
from modeling_genebert import GeneBertForPreTraining, GeneBertProcessor


STATE_FILE = "trainer_state.json"


@dataclass
class TrainingState:
    """
    How far a run is, beside the weights, the optimizer and the random generators.

    Args:
        data (`dict`): what the data order follows from, see `TrainingData.identity`.
        step (`int`): updates done.
        epoch, updates_in_epoch (`int`): the place in the data.
        skipped_steps (`int`): updates left out because loss or gradients were not finite.
        train_seconds (`float`): time spent so far.
        loss_sums (`list[float]`): sum of each loss over the updates since the last entry of the log, and how many of
            these asked for it.
        log_history (`list[dict]`): training losses and held-out figures by step.
    """

    data: dict[str, Any]
    step: int = 0
    epoch: int = 0
    updates_in_epoch: int = 0
    skipped_steps: int = 0
    train_seconds: float = 0.0
    loss_sums: list[float] = field(default_factory=list)
    log_history: list[dict[str, float]] = field(default_factory=list)


def list_checkpoints(output_dir: Path) -> list[Path]:
    """The checkpoints of a run, oldest first; each is whole, since it gets its name when it is."""
    paths = [path for path in output_dir.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]
    return sorted(paths, key=lambda path: int(path.name.split("-")[1]))


def find_checkpoint(output_dir: Path, resume_from: str | None, overwrite: bool) -> Path | None:
    """
    The checkpoint to resume from; refuses to train over a finished or half-finished run unasked.

    Args:
        output_dir (`Path`): of the run.
        resume_from (`str`, *optional*): a checkpoint folder, or `"latest"`: the newest of `output_dir`, if any.
        overwrite (`bool`): whether a run that is not resumed may replace what `output_dir` holds.

    Raises:
        FileNotFoundError: `resume_from` is no checkpoint.
        ValueError: `output_dir` holds checkpoints, and neither resuming nor overwriting was asked for.
    """
    checkpoints = list_checkpoints(output_dir)
    if resume_from == "latest":
        return checkpoints[-1] if checkpoints else None
    if resume_from:
        path = Path(resume_from)
        if not (path / STATE_FILE).is_file():
            raise FileNotFoundError(f"{path}: not a checkpoint of this script (it has no {STATE_FILE})")
        return path
    if checkpoints and not overwrite:
        raise ValueError(
            f"{output_dir} holds checkpoints up to {checkpoints[-1].name}: "
            "pass --resume_from_checkpoint latest to go on, or --overwrite_output_dir to start again"
        )
    return None


def save_checkpoint(accelerator: Accelerator, output_dir: Path, state: TrainingState, save_total_limit: int) -> None:
    """Write all that a resumed run needs into `checkpoint-<step>`, which appears whole or not at all."""
    final = output_dir / f"checkpoint-{state.step}"
    partial = output_dir / f".{final.name}.partial"
    if accelerator.is_main_process and partial.exists():
        shutil.rmtree(partial)  # a run that was killed here left it
    accelerator.wait_for_everyone()
    accelerator.save_state(str(partial))
    accelerator.wait_for_everyone()  # each process writes its own random state
    if accelerator.is_main_process:
        (partial / STATE_FILE).write_text(json.dumps(asdict(state)))
        for path in partial.rglob("*"):
            _flush_to_disk(path)
        if final.exists():
            remove_checkpoint(final)
        partial.rename(final)
        _flush_to_disk(output_dir)
        for path in list_checkpoints(output_dir)[:-save_total_limit]:
            remove_checkpoint(path)
    accelerator.wait_for_everyone()


def load_checkpoint(accelerator: Accelerator, path: Path, state: TrainingState) -> TrainingState:
    """
    Load weights, optimizer, schedule and random states, and return how far the run was.

    Args:
        accelerator (`Accelerator`): with model and optimizer prepared.
        path (`Path`): the checkpoint.
        state (`TrainingState`): of the new run, whose data must be the checkpoint's.

    Raises:
        ValueError: the run has other data, another batch size or another number of processes.
    """
    saved = TrainingState(**json.loads((path / STATE_FILE).read_text()))
    differing = [
        f"{name}={saved.data.get(name)}, now it is {value}"
        for name, value in state.data.items()
        if saved.data.get(name) != value
    ]
    if differing:
        raise ValueError(
            f"{path} was trained with {'; with '.join(differing)}: windows would be seen twice or never; resume with "
            "the same data, settings and number of processes"
        )
    accelerator.load_state(str(path))
    return saved


def save_model(accelerator: Accelerator, model: torch.nn.Module, processor: GeneBertProcessor, folder: Path) -> None:
    """Write the whole model and its processor as `from_pretrained` reads them; all processes must call this."""
    weights = accelerator.get_state_dict(model)  # under FSDP, each process holds a part of them
    if accelerator.is_main_process:
        whole_model = GeneBertForPreTraining(accelerator.unwrap_model(model).config)
        whole_model.load_state_dict(weights)
        whole_model.save_pretrained(folder)
        processor.save_pretrained(folder)


def push_unfinished(
    accelerator: Accelerator, model: torch.nn.Module, processor: GeneBertProcessor, repo_id: str, step: int
) -> None:
    """Push the model as it is now, for others to open; where that fails, training goes on. All processes call this."""
    with TemporaryDirectory() as folder:
        save_model(accelerator, model, processor, Path(folder))
        if accelerator.is_main_process:
            try:
                push_folder(folder, repo_id, commit_message=f"Training in progress, step {step}")
            except OSError as error:  # what the Hub answers is one, too
                accelerator.print(f"Step {step} was not pushed, the next checkpoint will be: {error}")
    accelerator.wait_for_everyone()


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint so that a half-removed one is not taken for a whole one."""
    partial = path.with_name(f".{path.name}.partial")
    path.rename(partial)
    shutil.rmtree(partial)


def _flush_to_disk(path: Path) -> None:
    """What is written is on the disk before the checkpoint gets its name, should the machine fail."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
