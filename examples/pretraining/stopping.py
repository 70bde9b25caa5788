"""Finish the step and write a checkpoint when told to stop."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType

import torch
from accelerate import Accelerator


class StopSignals:
    """
    Takes note of SIGTERM (Slurm and other schedulers send it before they end a job) and SIGINT (Ctrl-C) instead of
    dying of them. A context manager: outside of it signals act as they always do.

    Attributes:
        received (`int`): number of the first signal that came, 0 = none.
    """

    NUMBERS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> StopSignals:
        self._before = {number: signal.signal(number, self._take_note) for number in self.NUMBERS}
        return self

    def on_any_process(self, accelerator: Accelerator) -> int:
        """Number of a signal that any process has received, 0 = none: all processes stop after the same step."""
        flags = torch.tensor([self.received == number for number in self.NUMBERS], dtype=torch.int32)
        counts = accelerator.reduce(flags.to(accelerator.device)).tolist()
        return next((int(number) for number, count in zip(self.NUMBERS, counts, strict=True) if count), 0)

    def _take_note(self, number: int, frame: FrameType | None) -> None:
        # Under torchrun, Ctrl-C comes twice, from the terminal and from torchrun: a second one changes nothing.
        self.received = self.received or number

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
