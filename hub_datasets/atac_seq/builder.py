"""The ATAC-seq pre-training set as a `datasets` builder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key

from modeling_genebert.motifs_genebert import MotifBank

from ..intervals import find_peak_files
from .build import describe_inputs, prepare
from .tables import region_features, region_tables, window_features, window_table
from .windows import AtacSeqOptions, make_windows, split_names


@dataclass
class AtacSeqConfig(datasets.BuilderConfig, AtacSeqOptions):
    """What [`AtacSeq`] takes beside the fields of [`AtacSeqOptions`].

    Args:
        genome: FASTA file.
        peaks: peak files and folders of them.
        motifs: a JASPAR release by name, or a motif file.
    """

    genome: str | Path | None = None
    peaks: Any = None
    motifs: str | Path = "JASPAR2026"

    def __post_init__(self):
        datasets.BuilderConfig.__post_init__(self)
        AtacSeqOptions.__post_init__(self)

    @property
    def options(self) -> AtacSeqOptions:
        return AtacSeqOptions(**{field.name: getattr(self, field.name) for field in fields(AtacSeqOptions)})

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        # The name of the cache folder follows from what is in the input files, not from where they lie.
        if self.genome is None or self.peaks is None:
            raise ValueError("AtacSeq needs genome=FILE and peaks=FILES_OR_FOLDER")
        recipe = {field.name: getattr(self.options, field.name) for field in fields(AtacSeqOptions)}
        recipe |= describe_inputs(self.genome, find_peak_files(self.peaks), MotifBank.resolve(self.motifs))
        return super().create_config_id(recipe, custom_features)


class AtacSeq(datasets.ArrowBasedBuilder):
    """The pre-training set from raw files, in the cache of `datasets`: configs `windows` (default) and `regions`.

    `build_atac_seq` writes the same rows as a folder that can go to the Hub.

    Example:

    ```python
    builder = AtacSeq(config_name="windows", genome="genome.fa.gz", peaks="peaks/", validation_chromosomes=["chr20"])
    builder.download_and_prepare()
    windows = builder.as_dataset()
    ```
    """

    BUILDER_CONFIG_CLASS = AtacSeqConfig
    BUILDER_CONFIGS = [AtacSeqConfig(name="windows"), AtacSeqConfig(name="regions")]
    DEFAULT_CONFIG_NAME = "windows"

    def __init__(self, *args: Any, dataset_name: str = "atac_seq", **kwargs: Any):
        super().__init__(*args, dataset_name=dataset_name, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        cell_types = list(find_peak_files(self.config.peaks))
        if self.config.name == "regions":
            features = region_features(cell_types)
        else:
            features = window_features(cell_types, self.config.num_regions)
        return datasets.DatasetInfo(features=features)

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        options = self.config.options
        genome, axis, consensus = prepare(self.config.genome, find_peak_files(self.config.peaks), options)
        if self.config.name == "regions":
            motifs = MotifBank.resolve(self.config.motifs)
            tables = {"train": lambda: region_tables(consensus, genome, motifs)}
        else:

            def window_tables(split: str) -> Iterator[pa.Table]:
                return (window_table(windows, consensus) for windows in make_windows(consensus, axis, options, split))

            present = [split for split in split_names(options) if any(make_windows(consensus, axis, options, split))]
            tables = {split: lambda split=split: window_tables(split) for split in present}  # type: ignore[misc]
        return [datasets.SplitGenerator(split, gen_kwargs={"tables": table}) for split, table in tables.items()]

    def _generate_tables(self, tables: Any) -> Iterator[tuple[Key, pa.Table]]:
        for index, table in enumerate(tables()):
            yield Key(0, index), table
