"""The ATAC-seq pre-training set as a `datasets` builder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
from datasets.builder import Key

from modeling_genebert.motifs_genebert import MotifBank

from .build import describe_inputs, prepare
from .peak_sources import PeakInputs, find_peaks
from .tables import region_features, region_tables, window_features, window_table
from .windows import AtacSeqOptions, make_windows, split_names


@dataclass
class AtacSeqConfig(datasets.BuilderConfig, AtacSeqOptions):
    """What [`AtacSeq`] takes beside the fields of [`AtacSeqOptions`].

    Args:
        genome: FASTA or 2bit file.
        peaks: peak files and folders of them, sample sheets, AnnData files, or a public corpus: see `find_peaks`.
        motifs: a JASPAR release by name, or a motif file.
        blacklist: BED file of intervals that no region may overlap.
        source_dir: a folder with the files of the public corpus.
    """

    genome: str | Path | None = None
    peaks: Any = None
    motifs: str | Path = "JASPAR2026"
    blacklist: str | Path | None = None
    source_dir: str | Path | None = None

    def __post_init__(self) -> None:
        datasets.BuilderConfig.__post_init__(self)
        AtacSeqOptions.__post_init__(self)

    @property
    def options(self) -> AtacSeqOptions:
        return AtacSeqOptions(**{field.name: getattr(self, field.name) for field in fields(AtacSeqOptions)})

    @property
    def peak_inputs(self) -> PeakInputs:
        return find_peaks(self.peaks, self.options, self.source_dir)

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        # The name of the cache folder follows from what is in the input files, not from where they lie.
        if self.genome is None or self.peaks is None:
            raise ValueError("AtacSeq needs genome=FILE and peaks=FILES_OR_FOLDER")
        recipe = {field.name: getattr(self.options, field.name) for field in fields(AtacSeqOptions)}
        recipe |= describe_inputs(self.genome, self.peak_inputs, MotifBank.resolve(self.motifs), self.blacklist)
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
        cell_types = list(self.config.peak_inputs.sources)
        if self.config.name == "regions":
            features = region_features(cell_types)
        else:
            features = window_features(cell_types, self.config.num_regions)
        return datasets.DatasetInfo(features=features)

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        options = self.config.options
        genome, axis, consensus = prepare(self.config.genome, self.config.peak_inputs, options, self.config.blacklist)
        tables: dict[str, Callable[[], Iterator[pa.Table]]]
        if self.config.name == "regions":
            tables = {"train": partial(region_tables, consensus, genome, MotifBank.resolve(self.config.motifs))}
        else:

            def window_tables(split: str) -> Iterator[pa.Table]:
                return (window_table(windows, consensus) for windows in make_windows(consensus, axis, options, split))

            present = [split for split in split_names(options) if any(make_windows(consensus, axis, options, split))]
            tables = {split: partial(window_tables, split) for split in present}
        return [datasets.SplitGenerator(split, gen_kwargs={"tables": table}) for split, table in tables.items()]

    def _generate_tables(self, tables: Any) -> Iterator[tuple[Key, pa.Table]]:
        for index, table in enumerate(tables()):
            yield Key(0, index), table
