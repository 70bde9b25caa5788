"""The rows of the two configs, `regions` and `windows`, as Arrow tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from datasets import ClassLabel, Features, List, Value

from modeling_genebert.dna_genebert import UNKNOWN_BASE, encode_dna
from modeling_genebert.motifs_genebert import MotifBank

from ..genome import Genome
from .consensus import Consensus
from .windows import AtacSeqOptions, make_windows


# So many are made at once: bounds the memory. The rows do not depend on it.
_REGIONS_PER_BLOCK = 256
_WINDOWS_PER_BLOCK = 50_000


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
            "touching": List(Value("bool"), length=len(cell_types)),
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


def region_table(consensus: Consensus, genome: Genome, motifs: MotifBank, first: int, last: int) -> pa.Table:
    """The rows `first` to `last` (exclusive) of the `regions` table: each region is read and scored.

    `scores` holds the M scores of `MotifBank.score` as little-endian float16; `gc` is the share of G and C among the
    known bases.
    """
    width = consensus.region_width
    chrom = [consensus.chromosomes[index] for index in consensus.chrom[first:last]]
    start = consensus.start[first:last]
    sequences = [genome.fetch(name, at, at + width) for name, at in zip(chrom, start.tolist(), strict=True)]
    codes = encode_dna("".join(sequences)).reshape(-1, width)
    known = (codes != UNKNOWN_BASE).sum(axis=1)
    gc = ((codes == 2) | (codes == 3)).sum(axis=1) / np.maximum(known, 1)
    scores = [
        motifs.score(codes[block : block + _REGIONS_PER_BLOCK])[:, :, 0].astype("<f2")
        for block in range(0, len(codes), _REGIONS_PER_BLOCK)
    ]
    columns = {
        "region_id": np.arange(first, last),
        "chrom": chrom,
        "start": start,
        "end": start + width,
        "gc": gc.astype(np.float32),
        "sequence": sequences,
        "scores": [row.tobytes() for block in scores for row in block],
        "accessibility": _fixed_lists(consensus.accessibility_of(first, last)),
        "touching": _fixed_lists(consensus.touching_of(first, last)),
    }
    return _table(columns, region_features(consensus.cell_types))


def background_features() -> Features:
    """Columns of the `background` config."""
    return Features(
        {"chrom": Value("string"), "start": Value("int32"), "end": Value("int32"), "sequence": Value("string")}
    )


def background_table(genome: Genome, chrom: np.ndarray, start: np.ndarray, width: int) -> pa.Table:
    """The rows of the `background` table: chrom (numbers of chromosomes) and start as from `choose_background`."""
    names = [list(genome.chromosomes)[index] for index in chrom]
    sequences = [genome.fetch(name, at, at + width) for name, at in zip(names, start.tolist(), strict=True)]
    columns = {"chrom": names, "start": start, "end": start + width, "sequence": sequences}
    return _table(columns, background_features())


def window_table(
    consensus: Consensus, options: AtacSeqOptions, split: str, rows_of_cell_types: list[int], first: int, last: int
) -> pa.Table:
    """The rows `first` to `last` (exclusive) of a split of the `windows` table: cell type after cell type.

    Args:
        consensus: the regions.
        options: what a window is.
        split: its name.
        rows_of_cell_types: number of windows of each cell type in the split, as from `count_windows`.
        first, last: row numbers within the split.
    """
    tables = []
    ends = np.cumsum(rows_of_cell_types)
    for cell_type, (count, end) in enumerate(zip(rows_of_cell_types, ends.tolist(), strict=True)):
        begin = end - count
        for block in range(max(first, begin), min(last, end), _WINDOWS_PER_BLOCK):
            rows = slice(block - begin, min(block + _WINDOWS_PER_BLOCK, last, end) - begin)
            tables.append(_window_rows(consensus, options, split, cell_type, rows))
    return pa.concat_tables(tables)


def _window_rows(consensus: Consensus, options: AtacSeqOptions, split: str, cell_type: int, rows: slice) -> pa.Table:
    windows = make_windows(consensus, options, split, cell_type, rows)
    present = windows.region_ids >= 0
    first = np.take_along_axis(windows.region_ids, present.argmax(axis=1)[:, None], axis=1)[:, 0]
    last = windows.region_ids.max(axis=1)
    columns = {
        "chrom": pa.array(consensus.chromosomes).take(pa.array(consensus.chrom[windows.anchor])),
        "start": consensus.start[first],
        "end": consensus.start[last] + consensus.region_width,
        "cell_type": np.full(len(windows), windows.cell_type),
        "anchor": windows.anchor,
        "region_ids": _fixed_lists(windows.region_ids),
        "next_region": windows.next_region,
    }
    return _table(columns, window_features(consensus.cell_types, options.num_regions))


def _table(columns: dict, features: Features) -> pa.Table:
    schema = features.arrow_schema
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, type=schema.field(name).type)
        for name, column in columns.items()
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _fixed_lists(values: np.ndarray) -> pa.Array:
    # from_pandas=False: NaN is a value (open, not measured), not a missing one.
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), from_pandas=False), values.shape[1])
