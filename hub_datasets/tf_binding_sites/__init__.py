"""TF binding: GUE's files, or ChIP-seq peaks with a genome, also in the accessible regions of cell types."""

from .build import TfBindingSitesOptions, build_tf_binding_sites
from .builder import TfBindingSites, TfBindingSitesConfig


__all__ = ["TfBindingSites", "TfBindingSitesConfig", "TfBindingSitesOptions", "build_tf_binding_sites"]
