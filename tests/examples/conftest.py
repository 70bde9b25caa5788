"""A checkpoint that examples/pretrain.py made in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


def run_example(script: str, *arguments: str, launcher: tuple[str, ...] = (sys.executable,)) -> str:
    """Run an example as a user does, in a new process; returns what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*launcher, str(ROOT / "examples" / script), *arguments]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{finished.stdout[-3000:]}\n{finished.stderr[-5000:]}")
    return finished.stdout


SMALL_RUN = (
    "--num_cpu_threads",
    "1",
    "--per_device_train_batch_size",
    "4",
    "--max_eval_windows",
    "8",
    "--quick_eval_windows",
    "4",
)


@pytest.fixture(scope="session")
def pretrained(atac_folder, tmp_path_factory):
    """Output folder of six steps on the tiny set, with checkpoints at 3 and 6."""
    output = tmp_path_factory.mktemp("pretrained") / "run"
    run_example(
        "pretrain.py",
        *("--dataset_name_or_path", str(atac_folder), "--output_dir", str(output), "--max_train_steps", "6"),
        *("--checkpointing_steps", "3", "--eval_steps", "3", "--logging_steps", "2", *SMALL_RUN),
    )
    return output
