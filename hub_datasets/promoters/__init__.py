"""Promoter classification: promoters or not, from GUE's files, or from TSSs + genome."""

try:
    import datasets  # noqa: F401
except ImportError as error:
    raise ImportError("hub_datasets.promoters needs the datasets library: pip install genebert[datasets]") from error

from .build import build_promoters
from .builder import Promoters, PromotersConfig
from .options import PromoterOptions


__all__ = ["PromoterOptions", "Promoters", "PromotersConfig", "build_promoters"]
