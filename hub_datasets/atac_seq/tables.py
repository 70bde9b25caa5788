"""The rows of the two configs, `regions` and `windows`, as Arrow tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import torch
from datasets import ClassLabel, Features, List, Value
from tqdm.auto import tqdm

from modeling_genebert.dna_genebert import UNKNOWN_BASE, encode_dna
from modeling_genebert.motifs_genebert import MotifBank

from ..genome import Genome
from .consensus import Consensus
from .windows import Windows


# Regions are scored in blocks of this size, whatever the number of workers: the bytes written never depend on it.
BLOCK_SIZE = 256
# How many blocks may wait for a worker at once: bounds the memory.
BLOCKS_IN_FLIGHT = 64

ScoreBlocks = Callable[[list[np.ndarray]], Iterable[np.ndarray]]


def region_features(cell_types: list[str]) -> Features:
    """Columns of the `regions` config."""
    return Features(
        {
            "region_id": Value("int32"),
            "chrom": Value("string"),
            "start": Value("int32"),
            "end": Value("int32"),
            "gc": Value("float32"),
            "sequence": Value("string"),
            "scores": Value("binary"),
            "accessibility": List(Value("float32"), length=len(cell_types)),
        }
    )


def window_features(cell_types: list[str], num_regions: int) -> Features:
    """Columns of the `windows` config."""
    return Features(
        {
            "chrom": Value("string"),
            "start": Value("int32"),
            "end": Value("int32"),
            "cell_type": ClassLabel(names=cell_types),
            "anchor": Value("int32"),
            "region_ids": List(Value("int32"), length=num_regions),
            "next_region": Value("int32"),
        }
    )


def region_tables(consensus: Consensus, genome: Genome, motifs: MotifBank, num_workers: int = 1) -> Iterator[pa.Table]:
    """The `regions` table in blocks of up to 256 rows, in order. Each region is read and scored once.

    `scores` holds the M scores of `MotifBank.score` as little-endian float16; `gc` is the share of G and C among the
    known bases.

    Args:
        consensus: the N regions.
        genome: where their sequences are read.
        motifs: the bank of M motifs to score them with.
        num_workers: processes that score. More than one needs an importable `__main__`, as always where Python
            starts fresh processes.
    """
    schema = region_features(consensus.cell_types).arrow_schema
    width = consensus.region_width
    group_size = BLOCK_SIZE * BLOCKS_IN_FLIGHT
    with (
        _scorer(motifs, num_workers) as score_blocks,
        tqdm(total=len(consensus), desc="Scoring motifs", unit="region", disable=None) as progress,
    ):
        for group in range(0, len(consensus), group_size):
            starts = range(group, min(group + group_size, len(consensus)), BLOCK_SIZE)
            blocks = [np.arange(start, min(start + BLOCK_SIZE, len(consensus))) for start in starts]
            sequences = [_fetch(consensus, genome, ids) for ids in blocks]
            codes = [encode_dna("".join(block)).reshape(-1, width) for block in sequences]
            for ids, block, block_codes, scores in zip(blocks, sequences, codes, score_blocks(codes), strict=True):
                known = (block_codes != UNKNOWN_BASE).sum(axis=1)
                gc = ((block_codes == 2) | (block_codes == 3)).sum(axis=1) / np.maximum(known, 1)
                start = consensus.start[ids]
                columns = {
                    "region_id": ids,
                    "chrom": [consensus.chromosomes[chrom] for chrom in consensus.chrom[ids]],
                    "start": start,
                    "end": start + width,
                    "gc": gc.astype(np.float32),
                    "sequence": block,
                    "scores": [row.tobytes() for row in scores],
                    "accessibility": _fixed_lists(consensus.accessibility[ids]),
                }
                yield _table(columns, schema)
                progress.update(len(ids))


def window_table(windows: Windows, consensus: Consensus) -> pa.Table:
    """Some windows as rows of the `windows` table."""
    present = windows.region_ids >= 0
    first = np.take_along_axis(windows.region_ids, present.argmax(axis=1)[:, None], axis=1)[:, 0]
    last = windows.region_ids.max(axis=1)
    columns = {
        "chrom": [consensus.chromosomes[chrom] for chrom in consensus.chrom[windows.anchor]],
        "start": consensus.start[first],
        "end": consensus.start[last] + consensus.region_width,
        "cell_type": np.full(len(windows), windows.cell_type),
        "anchor": windows.anchor,
        "region_ids": _fixed_lists(windows.region_ids.astype(np.int32)),
        "next_region": windows.next_region,
    }
    features = window_features(consensus.cell_types, windows.region_ids.shape[1])
    return _table(columns, features.arrow_schema)


def _fetch(consensus: Consensus, genome: Genome, ids: np.ndarray) -> list[str]:
    starts = consensus.start[ids].tolist()
    names = [consensus.chromosomes[chrom] for chrom in consensus.chrom[ids]]
    return [
        genome.fetch(name, start, start + consensus.region_width) for name, start in zip(names, starts, strict=True)
    ]


def _table(columns: dict, schema: pa.Schema) -> pa.Table:
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=schema.field(name).type)
        for name, column in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _fixed_lists(values: np.ndarray) -> pa.Array:
    # from_pandas=False: NaN is a value (open, not measured), not a missing one.
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), from_pandas=False), values.shape[1])


def _score(motifs: MotifBank, codes: np.ndarray) -> np.ndarray:
    return motifs.score(codes)[:, :, 0].astype("<f2")


@contextmanager
def _scorer(motifs: MotifBank, num_workers: int) -> Iterator[ScoreBlocks]:
    if num_workers < 1:
        raise ValueError(f"num_workers={num_workers}: expected at least 1")
    if num_workers == 1:
        yield lambda blocks: (_score(motifs, codes) for codes in blocks)
        return
    # Fresh processes, because a fork of one in which torch has started threads can hang.
    with ProcessPoolExecutor(
        num_workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(motifs,)
    ) as pool:
        yield lambda blocks: pool.map(_score_in_worker, blocks)


_worker_motifs: MotifBank


def _start_worker(motifs: MotifBank) -> None:
    global _worker_motifs
    _worker_motifs = motifs
    torch.set_num_threads(1)


def _score_in_worker(codes: np.ndarray) -> np.ndarray:
    return _score(_worker_motifs, codes)
