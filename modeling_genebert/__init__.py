"""GeneBERT: DNA sequence and transcription factors × regions in one model, for Hugging Face transformers.

Importing this package registers its classes, so that `AutoModel.from_pretrained(...)` and the like need no
`trust_remote_code`.
"""

from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
)

from .configuration_genebert import GeneBertConfig
from .data_collator_genebert import GeneBertDataCollatorForMaskedLM, GeneBertDataCollatorForPreTraining
from .dna_genebert import decode_dna, encode_dna, reverse_complement
from .feature_extraction_genebert import GeneBertFeatureExtractor
from .modeling_genebert import (
    AutoModelForVariantEffect,
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForPreTrainingOutput,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertForVariantEffectOutput,
    GeneBertModel,
    GeneBertModelOutput,
    GeneBertPreTrainedModel,
)
from .motifs_genebert import MotifBank
from .pairing_genebert import training_plan
from .pipelines_genebert import GeneBertSequenceClassificationPipeline, GeneBertTokenClassificationPipeline
from .processing_genebert import GeneBertProcessor
from .region_values_genebert import compact_region_values, expand_region_values
from .strands_genebert import average_strands
from .tokenization_genebert import GeneBertTokenizer


__version__ = "0.1.0"

AutoConfig.register("genebert", GeneBertConfig, exist_ok=True)
AutoModel.register(GeneBertConfig, GeneBertModel, exist_ok=True)
AutoModelForPreTraining.register(GeneBertConfig, GeneBertForPreTraining, exist_ok=True)
AutoModelForMaskedLM.register(GeneBertConfig, GeneBertForMaskedLM, exist_ok=True)
AutoModelForSequenceClassification.register(GeneBertConfig, GeneBertForSequenceClassification, exist_ok=True)
AutoModelForTokenClassification.register(GeneBertConfig, GeneBertForTokenClassification, exist_ok=True)
AutoModelForVariantEffect.register(GeneBertConfig, GeneBertForVariantEffect, exist_ok=True)
AutoTokenizer.register(GeneBertConfig, tokenizer_class=GeneBertTokenizer, exist_ok=True)
AutoFeatureExtractor.register(GeneBertConfig, GeneBertFeatureExtractor, exist_ok=True)
AutoProcessor.register(GeneBertConfig, GeneBertProcessor, exist_ok=True)

__all__ = [
    "AutoModelForVariantEffect",
    "GeneBertConfig",
    "GeneBertDataCollatorForMaskedLM",
    "GeneBertDataCollatorForPreTraining",
    "GeneBertFeatureExtractor",
    "GeneBertForMaskedLM",
    "GeneBertForPreTraining",
    "GeneBertForPreTrainingOutput",
    "GeneBertForSequenceClassification",
    "GeneBertForTokenClassification",
    "GeneBertForVariantEffect",
    "GeneBertForVariantEffectOutput",
    "GeneBertModel",
    "GeneBertModelOutput",
    "GeneBertPreTrainedModel",
    "GeneBertProcessor",
    "GeneBertSequenceClassificationPipeline",
    "GeneBertTokenClassificationPipeline",
    "GeneBertTokenizer",
    "MotifBank",
    "average_strands",
    "compact_region_values",
    "decode_dna",
    "encode_dna",
    "expand_region_values",
    "reverse_complement",
    "training_plan",
]
