"""Read a built set (a folder or a Hub data set) and turn its windows into pre-training examples."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
from huggingface_hub import hf_hub_download
from torch.utils.data import Dataset

from modeling_genebert.dna_genebert import encode_dna
from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, MotifBank
from modeling_genebert.pairing_genebert import NO_REGION, PairingPlan, WindowTable

from .windows import UNSEEN_SUFFIX


@dataclass
class RegionStore:
    """
    The regions that all windows refer to, one row a region id.

    Args:
        chrom (`np.ndarray` of shape `(num_regions,)`): chromosome names.
        start (`np.ndarray` of shape `(num_regions,)`): in bp, 0-based.
        centre (`np.ndarray` of shape `(num_regions,)`): in bp.
        gc (`np.ndarray` of shape `(num_regions,)`): 0 to 1.
        codes (`np.ndarray` of shape `(num_regions, region_width)`): uint8 base codes.
        scores (`np.ndarray` of shape `(num_regions, num_motifs)`): float16, best score of each motif, 0 to 1.
        accessibility (`np.ndarray` of shape `(num_regions, num_cell_types)`): 0 = closed, NaN = open, not measured.
    """

    chrom: np.ndarray
    start: np.ndarray
    centre: np.ndarray
    gc: np.ndarray
    codes: np.ndarray
    scores: np.ndarray
    accessibility: np.ndarray

    @classmethod
    def from_dataset(cls, regions: datasets.Dataset) -> RegionStore:
        table = regions.data.table
        start = table["start"].to_numpy()
        sequences = table["sequence"].to_pylist()
        width = len(sequences[0])
        codes = encode_dna("".join(sequences)).reshape(len(sequences), width)
        accessibility = table["accessibility"].combine_chunks()
        return cls(
            chrom=np.asarray(table["chrom"].to_pylist()),
            start=start,
            centre=start + width // 2,
            gc=table["gc"].to_numpy(),
            codes=codes,
            scores=_binary_rows(table["scores"], np.dtype("<f2")),
            accessibility=_fixed_size_rows(accessibility),
        )


@dataclass
class AtacSeqSet:
    """
    A built set in memory: regions, motif bank, and the windows of each split as a table for pairing.

    Args:
        regions (`RegionStore`): what windows refer to.
        motif_bank (`MotifBank`): the rows of the region matrix.
        cell_types (`list[str]`): names, in the order of the columns of `regions.accessibility`.
        splits (`dict[str, datasets.Dataset]`): the windows.
    """

    regions: RegionStore
    motif_bank: MotifBank
    cell_types: list[str]
    splits: dict[str, datasets.Dataset]

    @classmethod
    def load(cls, name_or_path: str | Path, *, revision: str | None = None) -> AtacSeqSet:
        """
        Open a folder that `build_atac_seq` wrote, or a Hub data set of that layout.

        Raises:
            FileNotFoundError: the folder is not a built set.
            ValueError: the motif bank beside the set has another number of motifs than its scores.
        """
        path = str(name_or_path)
        is_folder = Path(path).is_dir()
        if is_folder and not any(Path(path, "windows").glob("*.parquet")):
            raise FileNotFoundError(f"{path}/windows: no Parquet files, expected a folder that build_atac_seq wrote")
        windows = datasets.load_dataset(path, "windows", revision=revision)
        regions = datasets.load_dataset(path, "regions", split="train", revision=revision)
        if is_folder:
            motif_file = str(Path(path, MOTIFS_FILE_NAME))
        else:
            motif_file = hf_hub_download(path, MOTIFS_FILE_NAME, repo_type="dataset", revision=revision)
        bank = MotifBank.load(motif_file)
        store = RegionStore.from_dataset(regions)
        if store.scores.shape[1] != len(bank):
            raise ValueError(
                f"{name_or_path}: its regions hold scores of {store.scores.shape[1]} motifs, but its "
                f"{MOTIFS_FILE_NAME} has {len(bank)}: the set is damaged, build it again"
            )
        cell_types = next(iter(windows.values())).features["cell_type"].names
        return cls(regions=store, motif_bank=bank, cell_types=cell_types, splits=dict(windows))

    @property
    def num_regions(self) -> int:
        """Columns of the region matrix."""
        return next(iter(self.splits.values())).features["region_ids"].length

    def windows(self, *splits: str) -> tuple[WindowTable, np.ndarray]:
        """The windows of some splits (those that exist) as a table, and their region ids `(num_windows, R)`."""
        tables = [self.splits[split].data.table for split in splits if split in self.splits]
        if not tables:
            raise ValueError(f"the set has none of the splits {list(splits)}, only {list(self.splits)}")
        table = pa.concat_tables(tables)
        _, chrom = np.unique(np.asarray(table["chrom"].to_pylist()), return_inverse=True)
        columns = {name: table[name].to_numpy() for name in ("cell_type", "start", "end", "anchor", "next_region")}
        region_ids = _fixed_size_rows(table["region_ids"].combine_chunks())
        window_table = WindowTable(
            chrom=chrom,
            region_centre=self.regions.centre,
            region_gc=self.regions.gc,
            region_open=self.regions.accessibility != 0,  # NaN: open, not measured
            **columns,
        )
        return window_table, region_ids


class PreTrainingDataset(Dataset):
    """
    Examples of a plan, as `GeneBertDataCollatorForPreTraining` takes them.

    Args:
        atac (`AtacSeqSet`): regions and windows.
        windows (`WindowTable`), region_ids (`np.ndarray` of shape `(num_windows, R)`): from `atac.windows(...)`.
        plan (`PairingPlan`): what each example is made of.
        seed (`int`): with the window's row it decides the masks; training passes another one each epoch.
        segment_length (`int`, defaults to 256): the central part of a region that enters the sequence encoder, in bp.
    """

    def __init__(
        self,
        atac: AtacSeqSet,
        windows: WindowTable,
        region_ids: np.ndarray,
        plan: PairingPlan,
        *,
        seed: int,
        segment_length: int = 256,
    ):
        width = atac.regions.codes.shape[1]
        if segment_length > width:
            raise ValueError(f"segment_length={segment_length} bp is longer than the regions, {width} bp")
        first = (width - segment_length) // 2
        self.segments = atac.regions.codes[:, first : first + segment_length]
        self.regions, self.windows, self.region_ids = atac.regions, windows, region_ids
        self.plan, self.seed = plan, seed
        self.anchor_index = region_ids.shape[1] // 2 - 1

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, index: int) -> dict[str, Any]:
        plan, regions = self.plan, self.regions
        row, matrix_row = int(plan.row[index]), int(plan.matrix_row[index])
        example: dict[str, Any] = {
            "segment_a": self.segments[self.windows.anchor[row]],
            "segment_b": None,
            "tiled_segment": None,
            "ngsp_label": int(plan.ngsp_label[index]),
            "srm_label": int(plan.srm_label[index]),
            "seed": (self.seed, row),
        }
        if plan.segment_b[index] != NO_REGION:
            example["segment_b"] = self.segments[plan.segment_b[index]]
        if plan.self_tiled[index]:
            example["tiled_segment"] = self.segments[self.windows.anchor[matrix_row]]
            return example
        ids = self.region_ids[matrix_row]
        mask = ids != NO_REGION
        if plan.hidden[index]:
            mask[self.anchor_index : self.anchor_index + 2] = False
        ids = np.where(mask, ids, 0)
        example["region_mask"] = mask
        example["scores"] = regions.scores[ids]
        example["accessibility"] = regions.accessibility[ids, self.windows.cell_type[matrix_row]]
        example["distances"] = regions.centre[ids] - regions.centre[self.windows.anchor[matrix_row]]
        return example


def _binary_rows(column: pa.ChunkedArray, dtype: np.dtype) -> np.ndarray:
    """A binary column of equally long values as rows, without a copy where it is one chunk."""
    chunks = []
    for chunk in column.chunks:
        values = np.frombuffer(chunk.buffers()[2], dtype=np.uint8)
        offsets = np.frombuffer(chunk.buffers()[1], dtype=np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
        chunks.append(values[offsets[0] : offsets[-1]].view(dtype).reshape(len(chunk), -1))
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _fixed_size_rows(column: pa.Array) -> np.ndarray:
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.flatten().to_numpy(zero_copy_only=False).reshape(len(array), -1)


__all__ = ["UNSEEN_SUFFIX", "AtacSeqSet", "PreTrainingDataset", "RegionStore"]
