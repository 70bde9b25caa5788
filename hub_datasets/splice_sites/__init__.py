"""Splice sites: GTF + genome, or GUE's files -> donors, acceptors and decoys, and labels for each base."""

try:
    import datasets  # noqa: F401
except ImportError as error:
    raise ImportError(
        "hub_datasets.splice_sites needs the datasets library: pip install genebert[datasets]"
    ) from error

from .build import build_splice_sites
from .builder import SpliceSites, SpliceSitesConfig
from .options import SpliceSiteOptions


__all__ = ["SpliceSiteOptions", "SpliceSites", "SpliceSitesConfig", "build_splice_sites"]
