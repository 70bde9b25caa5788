"""Read a built set (a folder or a Hub data set) and turn its windows into pre-training examples.

Regions and windows are memory-mapped: `datasets` downloads the Parquet files and turns them into local Arrow files,
once; all processes of a machine share what is mapped, and a row is copied when an example needs it. Held in memory is
what pairs are drawn from, 22 bytes a window. The partner of a window may lie anywhere in the set, which is therefore
not read as a stream; `load_dataset(..., "windows", streaming=True)` gives the windows without partners as one.
"""

from __future__ import annotations

import warnings
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from huggingface_hub import hf_hub_download
from torch.utils.data import Dataset

from modeling_genebert.dna_genebert import encode_dna, reverse_complement
from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, MotifBank
from modeling_genebert.pairing_genebert import IGNORE, NO_REGION, PairingPlan, WindowTable

from .windows import UNSEEN_SUFFIX


# Rows that lie together in a memory-mapped file: so many that most windows find all their regions in one place.
ROWS_PER_CHUNK = 1000


class MappedRows:
    """
    The rows of a memory-mapped column as arrays, each read when it is asked for.

    Args:
        dataset (`datasets.Dataset`): with its rows in the order of its files.
        column (`str`): of strings, bytes or lists, all of one length.
        dtype (`str`): NumPy's name for the type of the values in a row.

    Raises:
        ValueError: if the rows differ in length.
    """

    def __init__(self, dataset: datasets.Dataset, column: str, dtype: str):
        self.dataset, self.column, self.dtype = dataset, column, np.dtype(dtype)
        values = dataset.data.table[column]
        if not pa.types.is_fixed_size_list(values.type):
            lengths = pc.min_max(pc.binary_length(values)).as_py()
            if lengths["min"] != lengths["max"]:
                raise ValueError(
                    f"column {column!r} has rows of {lengths['min']} to {lengths['max']} bytes, expected one length: "
                    "the set is damaged, build it again"
                )
        self.chunks = [_mapped_rows(chunk, self.dtype) for chunk in values.chunks if len(chunk)]
        self.starts = np.cumsum([0, *(len(chunk) for chunk in self.chunks)])
        self._starts = self.starts.tolist()  # faster to bisect
        self.width = self.chunks[0].shape[1]

    def __reduce__(self) -> tuple:
        return MappedRows, (self.dataset, self.column, self.dtype.str)  # where the rows are, not the rows

    def __len__(self) -> int:
        return len(self.dataset)

    def row(self, index: int) -> np.ndarray:
        """The row of shape `(width,)` where it is mapped; it cannot be written to."""
        chunk = bisect_right(self._starts, index) - 1
        return self.chunks[chunk][index - self._starts[chunk]]

    def take(self, indices: np.ndarray) -> np.ndarray:
        """Copies of the rows with these numbers, as an array of shape `(len(indices), width)`."""
        chunk_of = np.searchsorted(self.starts, indices, side="right") - 1
        index_in_chunk = indices - self.starts[chunk_of]
        first, *others = set(chunk_of.tolist())
        if not others:  # mostly so, as the regions of a window lie near each other
            return self.chunks[first][index_in_chunk]
        taken = np.empty((len(indices), self.width), dtype=self.dtype)
        for chunk in (first, *others):
            here = chunk_of == chunk
            taken[here] = self.chunks[chunk][index_in_chunk[here]]
        return taken


def _mapped_rows(chunk: pa.Array, dtype: np.dtype) -> np.ndarray:
    """The equally long values of an Arrow array as a view of shape `(len(chunk), width)`."""
    if pa.types.is_fixed_size_list(chunk.type):
        return chunk.flatten().to_numpy().reshape(len(chunk), -1)
    _, offsets, values = chunk.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    return np.frombuffer(values, dtype=np.uint8)[ends[0] : ends[-1]].view(dtype).reshape(len(chunk), -1)


@dataclass
class RegionStore:
    """
    The regions that all windows refer to, one row a region id.

    Args:
        chromosomes (`list[str]`): names.
        chrom (`np.ndarray` of shape `(num_regions,)`): index of the chromosome in `chromosomes`.
        start (`np.ndarray` of shape `(num_regions,)`): in bp, 0-based.
        centre (`np.ndarray` of shape `(num_regions,)`): in bp.
        gc (`np.ndarray` of shape `(num_regions,)`): 0 to 1.
        is_open (`np.ndarray` of shape `(num_regions, num_cell_types)`): bool.
        is_closed (`np.ndarray` of shape `(num_regions, num_cell_types)`): bool; False where a peak touches the region.
        sequences (`MappedRows` of width `region_width`): uint8 letters.
        scores (`MappedRows` of width `num_motifs`): float16, best score of each motif, 0 to 1.
        accessibility (`MappedRows` of width `num_cell_types`): float32, 0 = closed, NaN = open, not measured.
    """

    chromosomes: list[str]
    chrom: np.ndarray
    start: np.ndarray
    centre: np.ndarray
    gc: np.ndarray
    is_open: np.ndarray
    is_closed: np.ndarray
    sequences: MappedRows
    scores: MappedRows
    accessibility: MappedRows

    @classmethod
    def from_dataset(cls, regions: datasets.Dataset) -> RegionStore:
        table = regions.data.table
        chrom = table["chrom"].combine_chunks().dictionary_encode()
        start = table["start"].to_numpy()
        sequences = MappedRows(regions, "sequence", "uint8")
        accessibility = MappedRows(regions, "accessibility", "float32")
        is_open = np.concatenate([chunk != 0 for chunk in accessibility.chunks])  # NaN too
        touching = np.zeros(is_open.size, dtype=bool)
        if "touching" in regions.column_names:
            touching = table["touching"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        else:
            warnings.warn(
                "the set was built by an earlier version, which does not say what regions a peak touches: these count "
                "as closed until it is built again",
                stacklevel=2,
            )
        return cls(
            chromosomes=chrom.dictionary.to_pylist(),
            chrom=chrom.indices.to_numpy(),
            start=start,
            centre=start + sequences.width // 2,
            gc=table["gc"].to_numpy(),
            is_open=is_open,
            is_closed=~is_open & ~touching.reshape(is_open.shape),
            sequences=sequences,
            scores=MappedRows(regions, "scores", "<f2"),
            accessibility=accessibility,
        )

    def segments(self, region_ids: np.ndarray, length: int) -> np.ndarray:
        """The central `length` bp of regions as base codes: uint8 `(n, length)` for ids of shape `(n,)`."""
        return self._encode(self.sequences.take(region_ids), length)

    def segment(self, region_id: int, length: int, first: int | None = None) -> np.ndarray:
        """`length` bp of one region from its base `first` on (0-based; default: the centre), uint8 `(length,)`."""
        return self._encode(self.sequences.row(region_id), length, first)

    def _encode(self, letters: np.ndarray, length: int, first: int | None = None) -> np.ndarray:
        first = (self.sequences.width - length) // 2 if first is None else first
        segments = letters[..., first : first + length]
        return encode_dna(segments.tobytes()).reshape(segments.shape)


@dataclass
class AtacSeqSet:
    """
    A built set, memory-mapped: regions, motif bank, and the windows of each split.

    Args:
        regions (`RegionStore`): what windows refer to.
        motif_bank (`MotifBank`): the rows of the region matrix.
        cell_types (`list[str]`): names, in the order of the columns of `regions.accessibility`.
        splits (`dict[str, datasets.Dataset]`): the windows.
        background (`MappedRows` of width `region_width`, *optional*): uint8 letters of the background sequences.
    """

    regions: RegionStore
    motif_bank: MotifBank
    cell_types: list[str]
    splits: dict[str, datasets.Dataset]
    background: MappedRows | None = None

    @classmethod
    def load(
        cls, name_or_path: str | Path, *, revision: str | None = None, cache_dir: str | Path | None = None
    ) -> AtacSeqSet:
        """
        Open a folder that `build_atac_seq` wrote, or a Hub data set of that layout.

        Args:
            name_or_path: the folder, or the data set's name on the Hub.
            revision: of the Hub data set.
            cache_dir: where the memory-mapped files are written at the first call, about as large as the set without
                compression; where `datasets` keeps its files by default.

        Raises:
            FileNotFoundError: the folder is not a built set.
            ValueError: the motif bank beside the set has another number of motifs than its scores.
        """
        path = str(name_or_path)
        is_folder = Path(path).is_dir()
        if is_folder and not any(Path(path, "windows").glob("*.parquet")):
            raise FileNotFoundError(f"{path}/windows: no Parquet files, expected a folder that build_atac_seq wrote")
        options: dict[str, Any] = {
            "revision": revision,
            "cache_dir": str(cache_dir) if cache_dir else None,
            "keep_in_memory": False,
            "writer_batch_size": ROWS_PER_CHUNK,
        }
        windows = datasets.load_dataset(path, "windows", **options)
        regions = datasets.load_dataset(path, "regions", split="train", **options)
        if is_folder:
            motif_file = str(Path(path, MOTIFS_FILE_NAME))
        else:
            motif_file = hf_hub_download(path, MOTIFS_FILE_NAME, repo_type="dataset", revision=revision)
        bank = MotifBank.load(motif_file)
        store = RegionStore.from_dataset(regions)
        if store.scores.width != len(bank):
            raise ValueError(
                f"{name_or_path}: its regions hold scores of {store.scores.width} motifs, but its "
                f"{MOTIFS_FILE_NAME} has {len(bank)}: the set is damaged, build it again"
            )
        cell_types = next(iter(windows.values())).features["cell_type"].names
        background = None
        if "background" in datasets.get_dataset_config_names(path, revision=revision):
            sequences = datasets.load_dataset(path, "background", split="train", **options)
            background = MappedRows(sequences, "sequence", "uint8")
        return cls(store, bank, cell_types, dict(windows), background)

    @property
    def num_regions(self) -> int:
        """Columns of the region matrix."""
        return next(iter(self.splits.values())).features["region_ids"].length

    def windows(self, *splits: str) -> tuple[WindowTable, MappedRows]:
        """The windows of some splits (those that exist) as a table, and their region ids, rows of width R."""
        parts = [self.splits[split] for split in splits if split in self.splits]
        if not parts:
            raise ValueError(f"the set has none of the splits {list(splits)}, only {list(self.splits)}")
        windows = datasets.concatenate_datasets(parts)
        table = windows.data.table
        columns = {name: table[name].to_numpy() for name in ("start", "end", "anchor", "next_region")}
        window_table = WindowTable(
            cell_type=table["cell_type"].cast(pa.int16()).to_numpy(),
            chrom=self.regions.chrom[columns["anchor"]],
            region_centre=self.regions.centre,
            region_gc=self.regions.gc,
            region_closed=self.regions.is_closed,
            **columns,
        )
        return window_table, MappedRows(windows, "region_ids", "int32")


class PreTrainingDataset(Dataset):
    """
    Examples of a plan, as `GeneBertDataCollatorForPreTraining` takes them.

    Args:
        atac (`AtacSeqSet`): regions and windows.
        windows (`WindowTable`), region_ids (`MappedRows` of width R): from `atac.windows(...)`.
        plan (`PairingPlan`): what each example is made of.
        seed (`int`): with the window's row it decides the masks; training passes another one each epoch.
        segment_length (`int`, defaults to 256): the part of a region that enters the sequence encoder, in bp.
        random_segments (`bool`, defaults to `False`): a random part on a random strand, for training, and not the
            central part on the forward strand. The motif scores are of the whole region and of both strands.
    """

    def __init__(
        self,
        atac: AtacSeqSet,
        windows: WindowTable,
        region_ids: MappedRows,
        plan: PairingPlan,
        *,
        seed: int,
        segment_length: int = 256,
        random_segments: bool = False,
    ):
        check_segment_length(segment_length, atac.regions.sequences.width)
        self.regions, self.windows, self.region_ids = atac.regions, windows, region_ids
        self.plan, self.seed, self.segment_length, self.random_segments = plan, seed, segment_length, random_segments
        self.anchor_index = region_ids.width // 2 - 1

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Any]:
        plan, regions = self.plan, self.regions
        row, matrix_row = int(plan.row[index]), int(plan.matrix_row[index])
        segment_b, matrix_anchor = int(plan.segment_b[index]), int(self.windows.anchor[matrix_row])
        (part_a, part_b), (is_opposite_a, is_opposite_b) = self._parts_and_strands(row)
        example: dict[str, Any] = {
            "segment_a": self._segment(int(self.windows.anchor[row]), part_a, is_opposite_a),
            "segment_b": self._segment(segment_b, part_b, is_opposite_b) if segment_b != NO_REGION else None,
            "tiled_segment": None,
            "ngsp_label": int(plan.ngsp_label[index]),
            "srm_label": int(plan.srm_label[index]),
            "seed": (self.seed, row),
        }
        if plan.self_tiled[index]:
            example["tiled_segment"] = self._segment(matrix_anchor, part_a, is_opposite_a)
            return example
        ids = self.region_ids.row(matrix_row)
        mask = ids != NO_REGION
        if plan.hidden[index]:
            mask[self.anchor_index : self.anchor_index + 2] = False
        ids = np.where(mask, ids, matrix_anchor)  # any that exists
        example["region_mask"] = mask
        example["scores"] = regions.scores.take(ids)
        example["accessibility"] = regions.accessibility.take(ids)[:, self.windows.cell_type[matrix_row]]
        example["distances"] = regions.centre[ids] - regions.centre[matrix_anchor]
        return example

    def _parts_and_strands(self, row: int) -> tuple[list[int | None], list[bool]]:
        """Where segments A and B begin in their regions, and whether they are read from the opposite strand."""
        if not self.random_segments:
            return [None, None], [False, False]
        rng = np.random.default_rng([self.seed, row])
        firsts = rng.integers(self.regions.sequences.width - self.segment_length + 1, size=2)
        return firsts.tolist(), (rng.random(2) < 0.5).tolist()

    def _segment(self, region_id: int, first: int | None, is_opposite: bool) -> np.ndarray:
        segment = self.regions.segment(region_id, self.segment_length, first)
        return reverse_complement(segment) if is_opposite else segment


class BackgroundDataset(Dataset):
    """
    Background sequences as examples for masked genome modelling: two of them, and no question whether these belong
    together; for regions the tiles of the first.

    Args:
        background (`MappedRows`): of an [`AtacSeqSet`].
        rows (`np.ndarray` of shape `(num_examples, 2)`): which of them are segments A and B.
        seed (`int`): with the first row it decides the masks and which parts of the sequences are taken.
        segment_length (`int`, defaults to 256): bp of a part.
    """

    def __init__(self, background: MappedRows, rows: np.ndarray, *, seed: int, segment_length: int = 256):
        check_segment_length(segment_length, background.width)
        self.background, self.rows, self.seed, self.segment_length = background, rows, seed, segment_length

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        rows = self.rows[index].tolist()
        rng = np.random.default_rng([self.seed, *rows])
        firsts = rng.integers(self.background.width - self.segment_length + 1, size=2).tolist()
        segment_a, segment_b = (
            encode_dna(self.background.row(row)[first : first + self.segment_length].tobytes())
            for row, first in zip(rows, firsts, strict=True)
        )
        return {
            "segment_a": segment_a,
            "segment_b": segment_b,
            "tiled_segment": segment_a,
            "ngsp_label": IGNORE,
            "srm_label": IGNORE,
            "seed": (self.seed, rows[0]),
        }


def check_segment_length(segment_length: int, width: int) -> None:
    if segment_length > width:
        raise ValueError(f"segment_length={segment_length} bp is longer than the regions, {width} bp")


__all__ = ["UNSEEN_SUFFIX", "AtacSeqSet", "BackgroundDataset", "MappedRows", "PreTrainingDataset", "RegionStore"]
