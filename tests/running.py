"""Running the examples as a user does."""

from __future__ import annotations

import atexit
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


ROOT = Path(__file__).parents[1]
SMALL_RUN = [
    *("--num_cpu_threads", "1", "--per_device_train_batch_size", "4"),
    *("--max_eval_windows", "8", "--quick_eval_windows", "4", "--segment_length", "64"),
]


@functools.cache
def quick_python() -> tuple[str, ...]:
    """The words to put in the place of `python`, for a new process that starts ten seconds earlier."""
    program, folder = str(ROOT / "tests" / "quick_python.py"), tempfile.mkdtemp(prefix="quick-python-")
    path, log = Path(folder, "socket"), Path(folder, "log.txt")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}  # read when they are imported
    with log.open("w") as output:
        command = [sys.executable, program, "--serve", str(path)]
        # It ends with its standard input, and so with this process, however that ends.
        server = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=output, stderr=output)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    while not path.exists():
        assert server.poll() is None, log.read_text()
        time.sleep(0.05)
    return sys.executable, "-S", program, str(path)


def run_example(script: str, *arguments: str, launcher: tuple[str, ...] | None = None) -> str:
    """Run an example in a new process; returns what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [*(launcher or quick_python()), str(ROOT / "examples" / script), *arguments]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    if finished.returncode:
        raise AssertionError(f"{' '.join(command)} failed:\n{finished.stdout[-3000:]}\n{finished.stderr[-5000:]}")
    return finished.stdout
