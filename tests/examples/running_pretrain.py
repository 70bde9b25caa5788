"""Running `examples/pretrain.py` in the process of the tests, which saves the time of the imports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate.state import AcceleratorState

from examples.pretrain import main
from tests.running import SMALL_RUN


def pretrain(dataset: Path, output_dir: Path, *arguments: str) -> dict[str, Any]:
    AcceleratorState._reset_state(reset_partial_state=True)  # each run chooses its own precision
    return main([*SMALL_RUN, "--dataset_name_or_path", str(dataset), "--output_dir", str(output_dir), *arguments])
