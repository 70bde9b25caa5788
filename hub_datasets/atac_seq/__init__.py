"""The ATAC-seq pre-training set: peaks + genome + motif bank -> consensus regions and windows of open regions."""

try:
    import datasets  # noqa: F401
except ImportError as error:
    raise ImportError("hub_datasets.atac_seq needs the datasets library: pip install genebert[datasets]") from error

from .build import build_atac_seq
from .builder import AtacSeq, AtacSeqConfig
from .windows import AtacSeqOptions


__all__ = ["AtacSeq", "AtacSeqConfig", "AtacSeqOptions", "build_atac_seq"]
