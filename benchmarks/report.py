"""What all benchmarks share: runs timed in turns, and the report that each ends with."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from examples.model_cards import cpu_model


ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results")
LIBRARIES = ("torch", "transformers", "tokenizers", "datasets", "accelerate", "numpy")


def time_in_turns(
    runs: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    warm_up: int = 2,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """
    Time several functions, one after the other in each round, so that a busy machine slows all of them alike.

    Args:
        runs (`Mapping[str, Callable]`): functions without arguments, by name.
        repeats (`int`): rounds that count.
        warm_up (`int`, defaults to 2): rounds before, which do not count.
        clock (`Callable`, defaults to `time.perf_counter`, the time on the wall): `time.process_time` counts the CPU
            time of all threads instead, which fits work on one thread beside other programs.

    Returns:
        Seconds of each round, by name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(warm_up + repeats):
        for name, run in runs.items():
            start = clock()
            run()
            if number >= warm_up:
                seconds[name].append(clock() - start)
    return seconds


def write_report(
    name: str, figures: Mapping[str, float], settings: Mapping[str, Any], output_dir: str | Path = RESULTS
) -> dict[str, Any]:
    """
    Print a benchmark's result as one line of JSON, the last that it prints, and write it to `output_dir/NAME.json`.

    Args:
        name (`str`): as in `python -m benchmarks.NAME`.
        figures (`Mapping[str, float]`): what was measured; finite numbers.
        settings (`Mapping[str, Any]`): what it was measured with.
        output_dir (`str` or `Path`, defaults to `benchmarks/results`): made where it does not exist.

    Returns:
        The report: `name`, `figures`, `settings`, `machine`, `date` (UTC) and `commit`.

    Raises:
        ValueError: if a figure is not a finite number.
    """
    for key, value in figures.items():
        if not math.isfinite(value):
            raise ValueError(f"figure {key} is {value}, expected a finite number")
    report = {
        "name": name,
        "figures": {key: value if isinstance(value, int) else float(value) for key, value in figures.items()},
        "settings": dict(settings),
        "machine": describe_machine(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": describe_commit(),
    }
    line = json.dumps(report)
    path = Path(output_dir) / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(path)
    print(line, flush=True)
    return report


def describe_machine() -> dict[str, Any]:
    """CPU, cores that this process may use, PyTorch's threads, GPU, and versions."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_used": usable,
        "torch_threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{library: _version(library) for library in LIBRARIES},
    }


def is_bf16_fast() -> bool:
    """Whether the processor multiplies bfloat16 itself. Others emulate it, at up to 200 times the time of fp32."""
    return torch.accelerator.is_available() or torch.cpu._is_avx512_bf16_supported()


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def describe_commit(root: Path = ROOT) -> str:
    """Commit of a checkout, followed by `-dirty` where files other than results differ from it; else "unknown"."""
    if not (root / ".git").exists():
        return "unknown"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "status", "--porcelain", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}-dirty" if changes else commit


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    ).stdout.strip()
