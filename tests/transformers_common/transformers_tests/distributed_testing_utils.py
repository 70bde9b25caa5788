"""Stand-in: what the FSDP and tensor-parallel tests need to start processes; on CPUs, over gloo."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _get_distributed_device_type() -> str:
    return "cpu"


def _get_distributed_backend() -> str:
    return "gloo"


def _get_rank_device(rank: int) -> torch.device:
    return torch.device("cpu")


def _set_rank_device(rank: int) -> None:
    """A rank has no device of its own."""


def _start_rank_processes(function: Callable[..., None], args: tuple[Any, ...], nprocs: int) -> None:
    """Call `function(rank, *args)` in `nprocs` processes; raises where one of them does."""
    # Forked, they have imported all; on CPUs autograd starts no threads that they would miss.
    mp.start_processes(function, args=args, nprocs=nprocs, join=True, start_method="fork")


def run_distributed(world_size: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make of `function(rank, *args)` a function of `args` that runs it in a process group of `world_size`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        def run(*args: Any) -> None:
            with tempfile.TemporaryDirectory() as folder:
                store = Path(folder, "store").as_uri()
                _start_rank_processes(_run_in_group, (function, args, world_size, store), world_size)

        return run

    return decorate


def _run_in_group(
    rank: int, function: Callable[..., None], args: tuple[Any, ...], world_size: int, store: str
) -> None:
    torch.set_num_threads(1)
    os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)})
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
    try:
        function(rank, *args)
    finally:
        dist.destroy_process_group()
