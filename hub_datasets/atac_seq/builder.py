"""The ATAC-seq pre-training set as a `datasets` builder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
from datasets.builder import Key
from datasets.fingerprint import Hasher

from modeling_genebert.motifs_genebert import MotifBank

from .build import build_atac_seq, describe_inputs
from .peak_sources import PeakInputs, find_peaks
from .tables import background_features, region_features, window_features
from .windows import AtacSeqOptions, split_names


@dataclass
class AtacSeqConfig(datasets.BuilderConfig, AtacSeqOptions):
    """What [`AtacSeq`] takes beside the fields of [`AtacSeqOptions`].

    Args:
        genome: FASTA or 2bit file.
        peaks: peak files and folders of them, sample sheets, AnnData files, or a public corpus: see `find_peaks`.
        motifs: a JASPAR release by name, or a motif file.
        blacklist: BED file of intervals that no region may overlap.
        source_dir: a folder with the files of the public corpus.
        num_workers: processes that build; changes no byte of the result.
    """

    genome: str | Path | None = None
    peaks: Any = None
    motifs: str | Path = "JASPAR2026"
    blacklist: str | Path | None = None
    source_dir: str | Path | None = None
    num_workers: int = 1

    def __post_init__(self) -> None:
        datasets.BuilderConfig.__post_init__(self)
        AtacSeqOptions.__post_init__(self)

    @property
    def options(self) -> AtacSeqOptions:
        return AtacSeqOptions(**{field.name: getattr(self, field.name) for field in fields(AtacSeqOptions)})

    @cached_property
    def peak_inputs(self) -> PeakInputs:
        return find_peaks(self.peaks, self.options, self.source_dir)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """Options and checksums: all that decides what is in the set."""
        if self.genome is None or self.peaks is None:
            raise ValueError("AtacSeq needs genome=FILE and peaks=FILES_OR_FOLDER")
        inputs = describe_inputs(self.genome, self.peak_inputs, MotifBank.resolve(self.motifs), self.blacklist)
        return {**asdict(self.options), **inputs}

    def create_config_id(self, config_kwargs: dict, custom_features: datasets.Features | None = None) -> str:
        # The name of the cache folder follows from what is in the input files, not from where they lie.
        return super().create_config_id(self.recipe, custom_features)


class AtacSeq(datasets.ArrowBasedBuilder):
    """The pre-training set from raw files, in the cache of `datasets`: configs `windows` (default), `regions`,
    and with `num_background` also `background`.

    All configs are read from a folder in the cache that `build_atac_seq` writes once.

    Example:

    ```python
    builder = AtacSeq(config_name="windows", genome="genome.fa.gz", peaks="peaks/", validation_chromosomes=["chr20"])
    builder.download_and_prepare()
    windows = builder.as_dataset()
    ```
    """

    BUILDER_CONFIG_CLASS = AtacSeqConfig
    BUILDER_CONFIGS = [AtacSeqConfig(name=name) for name in ("windows", "regions", "background")]
    DEFAULT_CONFIG_NAME = "windows"

    def __init__(self, *args: Any, dataset_name: str = "atac_seq", **kwargs: Any):
        super().__init__(*args, dataset_name=dataset_name, **kwargs)

    def _info(self) -> datasets.DatasetInfo:
        cell_types = list(self.config.peak_inputs.sources)
        if self.config.name == "regions":
            features = region_features(cell_types)
        elif self.config.name == "background":
            features = background_features()
        else:
            features = window_features(cell_types, self.config.num_regions)
        return datasets.DatasetInfo(features=features)

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        config = self.config
        folder = Path(self._cache_dir_root, "atac_seq_sets", Hasher.hash(config.recipe))
        build_atac_seq(
            genome=config.genome,
            peaks=config.peaks,
            output_dir=folder,
            motifs=config.motifs,
            blacklist=config.blacklist,
            source_dir=config.source_dir,
            num_workers=config.num_workers,
            **asdict(config.options),
        )
        files: dict[str, list[Path]] = {}
        for file in sorted(Path(folder, config.name).glob("*.parquet")):
            files.setdefault(file.name.split("-")[0], []).append(file)
        splits = [split for split in split_names(config.options) if split in files]
        return [datasets.SplitGenerator(split, gen_kwargs={"files": files[split]}) for split in splits]

    def _generate_tables(self, files: list[Path]) -> Iterator[tuple[Key, pa.Table]]:
        for number, file in enumerate(files):
            with pq.ParquetFile(file) as parquet:
                for index, batch in enumerate(parquet.iter_batches()):
                    yield Key(number, index), pa.Table.from_batches([batch])
