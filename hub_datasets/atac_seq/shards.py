"""The work of a build in independent pieces: each writes one Parquet file, wherever it runs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import active_children, get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm.auto import tqdm

from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, MotifBank

from ..files import written_whole
from ..genome import Genome
from .consensus import Consensus
from .tables import background_table, region_table, window_table
from .windows import AtacSeqOptions
from .work_folder import WorkFolder


ROWS_PER_SHARD = {"regions": 10_000, "windows": 500_000, "background": 100_000}
BACKGROUND_FILE_NAME = "background.npy"
ROWS_PER_GROUP = 1_000
# On a network file system, a file that another machine wrote may show up a minute late.
_SECONDS_TO_APPEAR = 120.0


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a set: the rows `first` to `last` (exclusive) of a config's split."""

    config: str
    split: str
    first: int
    last: int
    file: str  # relative to the set

    def __len__(self) -> int:
        return self.last - self.first


def cut(config: str, split: str, num_rows: int) -> list[Shard]:
    """The shards of a split: a fixed number of rows each, the last one fewer."""
    size = ROWS_PER_SHARD[config]
    firsts = range(0, num_rows, size)
    return [
        Shard(
            config, split, first, min(first + size, num_rows), f"{config}/{split}-{n:05d}-of-{len(firsts):05d}.parquet"
        )
        for n, first in enumerate(firsts)
    ]


def write_shard(output_dir: str, shard: Shard) -> None:
    """Make one file of a set. It depends on nothing but the shard and what the plan put into the work folder.

    Args:
        output_dir: the folder that is built, as an absolute path.
        shard: which file.

    Raises:
        FileNotFoundError: there is no planned work: this machine does not share the folder with the one that builds.
        OSError: the file cannot be written.
    """
    work = WorkFolder(Path(output_dir))
    plan = work.read_plan()
    if plan is None:
        raise FileNotFoundError(
            f"{work.path}: no work is planned there; "
            "workers on other machines must see output_dir under the same path (a shared file system)"
        )
    consensus = Consensus.load(work.path)
    if shard.config == "background":
        genome = Genome(plan["genome"], unpacked=work.path / "genome")
        chrom, start = np.load(work.path / BACKGROUND_FILE_NAME)[:, shard.first : shard.last]
        table = background_table(genome, chrom, start, consensus.region_width)
    elif shard.config == "regions":
        genome = Genome(plan["genome"], unpacked=work.path / "genome")
        bank = _load_bank(str(work.path / MOTIFS_FILE_NAME), plan["inputs"]["motifs"]["fingerprint"])
        table = region_table(consensus, genome, bank, shard.first, shard.last)
    else:
        options = AtacSeqOptions(**plan["options"])
        rows_of_cell_types = plan["windows"][shard.split]
        table = window_table(consensus, options, shard.split, rows_of_cell_types, shard.first, shard.last)
    with written_whole(work.set_folder / shard.file) as stream:
        pq.write_table(table, stream, compression="zstd", row_group_size=ROWS_PER_GROUP)


@lru_cache(maxsize=1)
def _load_bank(file: str, fingerprint: str) -> MotifBank:
    """The bank, kept from shard to shard; its fingerprint, because another build may use the same folder later."""
    return MotifBank.load(file)


def write_shards(work: WorkFolder, shards: Sequence[Shard], executor: Executor | None, **progress: str) -> None:
    """Write those of the shards that are not there yet.

    Args:
        work: the folder, planned.
        shards: which files.
        executor: what runs them; without one, this process.
        progress: `desc` and `unit` of the progress bar.

    Raises:
        ChildProcessError: a worker process of a pool died.
        FileNotFoundError: workers wrote a file that this machine does not see.
    """
    missing = [shard for shard in shards if not (work.set_folder / shard.file).exists()]
    num_rows, num_missing = (sum(len(shard) for shard in some) for some in (shards, missing))
    with tqdm(total=num_rows, initial=num_rows - num_missing, disable=None, smoothing=0.05, **progress) as bar:
        for shard in _run(missing, str(work.output_dir), executor):
            bar.update(len(shard))
    deadline = time.monotonic() + _SECONDS_TO_APPEAR
    for shard in missing:
        while not (work.set_folder / shard.file).exists():
            if time.monotonic() > deadline:
                raise FileNotFoundError(
                    f"{work.set_folder / shard.file}: a worker wrote it, but it is not here; "
                    "workers on other machines must see output_dir under the same path (a shared file system)"
                )
            time.sleep(1)


def _run(shards: Sequence[Shard], output_dir: str, executor: Executor | None) -> Iterator[Shard]:
    """Write shards; each is given back once it is written."""
    if executor is None:
        for shard in shards:
            write_shard(output_dir, shard)
            yield shard
        return
    futures: dict[Future[None], Shard] = {}
    workers: list[BaseProcess] = []
    try:
        for shard in shards:
            futures[executor.submit(write_shard, output_dir, shard)] = shard
        workers += active_children()
        for future in as_completed(futures):
            future.result()
            yield futures[future]
    except BrokenExecutor as error:
        # Ctrl-C reaches the workers too, and their end can be noticed before it.
        if any(worker.exitcode == -signal.SIGINT for worker in workers):
            raise KeyboardInterrupt from None
        raise ChildProcessError(
            "a worker process died: it was killed, perhaps because memory ran out; "
            "start the same build again, with fewer workers if it was memory"
        ) from error
    finally:
        for future in futures:
            future.cancel()


@contextmanager
def process_pool(num_workers: int) -> Iterator[Executor | None]:
    """A pool of processes on this machine; None, which stands for this process, where one worker is enough."""
    if num_workers < 1:
        raise ValueError(f"num_workers={num_workers}: expected at least 1")
    if num_workers == 1:
        yield None
        return
    # Fresh processes, because a fork of one in which torch has started threads can hang.
    pool = ProcessPoolExecutor(num_workers, mp_context=get_context("spawn"), initializer=_start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # Ctrl-C ends it without a word; the main process says what happened
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A pool's processes wait for work for ever if the main process is killed."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)
