"""Variants and their effect as a `datasets` builder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..task_tables import TaskBuilder, TaskConfig
from .build import build_disease_risk
from .options import DiseaseRiskOptions


@dataclass
class DiseaseRiskConfig(TaskConfig, DiseaseRiskOptions):
    """What [`DiseaseRisk`] takes: the arguments of `build_disease_risk`, and the fields of [`DiseaseRiskOptions`]."""

    PATHS: ClassVar[tuple[str, ...]] = ("vcf", "genome", "mpra", "sample_labels")

    vcf: str | None = None
    genome: str | None = None
    mpra: str | None = None
    sample_labels: str | None = None
    source: str | None = None
    source_dir: str | None = None

    def __post_init__(self) -> None:
        TaskConfig.__post_init__(self)
        DiseaseRiskOptions.__post_init__(self)


class DiseaseRisk(TaskBuilder):
    """Variants from raw files, in the cache of `datasets`: configs `variants` (default), `mpra` and `persons`.

    Which of them there are depends on the inputs: see `build_disease_risk`.

    Example:

    ```python
    builder = DiseaseRisk(config_name="variants", vcf="clinvar.vcf.gz", genome="hg38.fa.gz", test_chromosomes=["chr8"])
    builder.download_and_prepare()
    splits = builder.as_dataset()
    ```
    """

    BUILDER_CONFIG_CLASS = DiseaseRiskConfig
    BUILDER_CONFIGS = [DiseaseRiskConfig(name=name) for name in ("variants", "mpra", "persons")]
    DEFAULT_CONFIG_NAME = "variants"
    build = staticmethod(build_disease_risk)
