"""What all dataset cards need: tables in Markdown, sizes, and the columns of the files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq
from datasets import DatasetInfo, Features
from datasets.info import DatasetInfosDict
from datasets.splits import SplitDict, SplitInfo


def dataset_infos(folder: str | Path, configs: Mapping[str, Sequence[str]]) -> DatasetInfosDict:
    """Columns and sizes of configs, for the header of a card, so that `load_dataset` notices a file that is missing.

    Args:
        folder: with the files `<config>/<split>-*.parquet`.
        configs: config -> its splits.
    """
    infos = DatasetInfosDict()
    for config, splits in configs.items():
        sizes = SplitDict()
        download_size = 0
        for split in splits:
            files = sorted(Path(folder, config).glob(f"{split}-*.parquet"))
            download_size += sum(file.stat().st_size for file in files)
            parts = [pq.read_metadata(file) for file in files]
            num_bytes = sum(
                part.row_group(group).total_byte_size for part in parts for group in range(part.num_row_groups)
            )
            sizes.add(SplitInfo(split, num_bytes=num_bytes, num_examples=sum(part.num_rows for part in parts)))
        infos[config] = DatasetInfo(
            features=Features.from_arrow_schema(pq.read_schema(files[0])),
            splits=sizes,
            download_size=download_size,
            dataset_size=sum(size.num_bytes for size in sizes.values()),
        )
    return infos


def markdown_table(header: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines) + "\n"


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    steps = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    above = sum(rows >= 10**exponent for exponent in range(3, 13))
    if above == 0:
        return "n<1K"
    return f"{steps[above - 1]}<n<{steps[above]}" if above < len(steps) else "n>1T"
