"""The promoter data set as a `datasets` builder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import datasets

from ..task_tables import TaskBuilder, TaskConfig
from .build import build_promoters
from .options import PromoterOptions


@dataclass
class PromotersConfig(TaskConfig, PromoterOptions):
    """What [`Promoters`] takes: the arguments of `build_promoters`, with the fields of [`PromoterOptions`]."""

    PATHS: ClassVar[tuple[str, ...]] = ("gue_dir", "genome", "promoters", "source_dir")

    gue_dir: str | Path | None = None
    genome: str | Path | None = None
    promoters: str | Path | None = None
    source_dir: str | Path | None = None

    def __post_init__(self) -> None:
        datasets.BuilderConfig.__post_init__(self)
        PromoterOptions.__post_init__(self)


class Promoters(TaskBuilder):
    """Promoters or not, from GUE's files or from TSSs + genome, in the cache of `datasets`.

    Configs: `core_all`, `core_tata`, `core_notata`, `300_all`, `300_tata`, `300_notata`; of other folders in GUE's
    layout their names.

    Example:

    ```python
    builder = Promoters(config_name="core_all", genome="hg38.fa", promoters="tss.bed", validation_chromosomes=["chr2"])
    builder.download_and_prepare()
    tables = builder.as_dataset()
    ```
    """

    BUILDER_CONFIG_CLASS = PromotersConfig
    BUILDER_CONFIGS = [
        PromotersConfig(name=f"{width}_{subset}") for width in ("core", "300") for subset in ("all", "tata", "notata")
    ]
    DEFAULT_CONFIG_NAME = "core_all"
    build = staticmethod(build_promoters)
