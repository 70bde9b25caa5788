"""Data sets of TF binding as a `datasets` builder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets

from ..task_tables import TaskBuilder, TaskConfig
from .build import Inputs, TfBindingSitesOptions, build_tf_binding_sites


@dataclass
class TfBindingSitesConfig(TaskConfig, TfBindingSitesOptions):
    """What [`TfBindingSites`] takes beside the fields of [`TfBindingSitesOptions`]; see `build_tf_binding_sites`.

    Args:
        gue_dir: folder in the layout of the GUE benchmark.
        chip_seq: peak files, folders, a sample sheet, or the name of a public source.
        genome: FASTA or 2bit file.
        atac_seq_dir: a set that `build_atac_seq` wrote.
        atac_seq_peaks: ATAC-seq peaks, one file a cell type.
        source_dir: a folder with the files of the public source.
    """

    gue_dir: str | Path | None = None
    chip_seq: Any = None
    genome: str | Path | None = None
    atac_seq_dir: str | Path | None = None
    atac_seq_peaks: Any = None
    source_dir: str | Path | None = None

    def __post_init__(self) -> None:
        datasets.BuilderConfig.__post_init__(self)
        TfBindingSitesOptions.__post_init__(self)

    @cached_property
    def recipe(self) -> dict[str, Any]:
        inputs = Inputs(**{field.name: getattr(self, field.name) for field in fields(Inputs)})
        options = TfBindingSitesOptions(
            **{field.name: getattr(self, field.name) for field in fields(TfBindingSitesOptions)}
        )
        inputs.check(options)
        return {**asdict(options), **inputs.describe()}


class TfBindingSites(TaskBuilder):
    """TF binding from raw files, in the cache of `datasets`: a config of the set by its name, such as `single_CTCF`.

    Example:

    ```python
    builder = TfBindingSites(
        config_name="multi_label", chip_seq="tf_binding/", genome="genome.fa", test_chromosomes=["chr8"]
    )
    builder.download_and_prepare()
    rows = builder.as_dataset()
    ```
    """

    BUILDER_CONFIG_CLASS = TfBindingSitesConfig
    build = staticmethod(build_tf_binding_sites)
