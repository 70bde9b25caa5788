"""Splice sites as a `datasets` builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..task_tables import TaskBuilder, TaskConfig
from .build import build_splice_sites
from .options import SpliceSiteOptions


@dataclass
class SpliceSitesConfig(TaskConfig, SpliceSiteOptions):
    """What [`SpliceSites`] takes: the arguments of `build_splice_sites`, and the fields of [`SpliceSiteOptions`]."""

    PATHS: ClassVar[tuple[str, ...]] = ("gtf", "genome", "gue_dir")

    gtf: str | None = None
    genome: str | None = None
    source: str | None = None
    source_dir: str | None = None
    gue_dir: str | None = None
    split_dev: bool = False

    def __post_init__(self) -> None:
        TaskConfig.__post_init__(self)
        SpliceSiteOptions.__post_init__(self)


class SpliceSites(TaskBuilder):
    """Splice sites from raw files, in the cache of `datasets`: configs `sequences` (default) and `per_base`.

    Example:

    ```python
    builder = SpliceSites(config_name="sequences", gtf="genes.gtf", genome="genome.fa", test_chromosomes=["chr3"])
    builder.download_and_prepare()
    splits = builder.as_dataset()
    ```
    """

    BUILDER_CONFIG_CLASS = SpliceSitesConfig
    BUILDER_CONFIGS = [SpliceSitesConfig(name="sequences"), SpliceSitesConfig(name="per_base")]
    DEFAULT_CONFIG_NAME = "sequences"
    build = staticmethod(build_splice_sites)
