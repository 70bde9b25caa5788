"""Disease risk: variants (VCF, MPRA) -> windows of both alleles with labels; and the burden of persons' variants."""

try:
    import datasets  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hub_datasets.disease_risk needs the datasets library: pip install genebert[datasets]"
    ) from error

from .build import build_disease_risk
from .builder import DiseaseRisk, DiseaseRiskConfig
from .options import DiseaseRiskOptions
from .persons import Burdens, person_burdens


__all__ = [
    "Burdens",
    "DiseaseRisk",
    "DiseaseRiskConfig",
    "DiseaseRiskOptions",
    "build_disease_risk",
    "person_burdens",
]
