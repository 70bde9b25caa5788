"""Running the examples as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[1]
SMALL_RUN = [
    *("--num_cpu_threads", "1", "--per_device_train_batch_size", "4"),
    *("--max_eval_windows", "8", "--quick_eval_windows", "4", "--segment_length", "64"),
]


def run_example(script: str, *arguments: str, launcher: tuple[str, ...] = (sys.executable,)) -> str:
    """Run an example in a new process; returns what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*launcher, str(ROOT / "examples" / script), *arguments]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{finished.stdout[-3000:]}\n{finished.stderr[-5000:]}")
    return finished.stdout
