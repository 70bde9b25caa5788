"""
transformers' ProcessorTesterMixin on GeneBertProcessor.

The mixin calls a processor with `text` and, for a feature extractor, `audio`; here these are sequences and regions.
So it is run twice: on the class as it is, and, for the tests that call it, on one that has the mixin's names.
"""

from __future__ import annotations

import unittest
from typing import Any
from unittest import mock

from transformers import BatchFeature

from modeling_genebert import GeneBertFeatureExtractor, GeneBertProcessor, GeneBertTokenizer

from .skipping import skip_tests
from .test_feature_extraction_genebert import make_bank
from .transformers_tests.test_processing_common import ProcessorTesterMixin


NO_CHAT = "DNA is no chat: the processor has no chat template"
NO_IMAGES = "GeneBERT reads no images and no videos"
SKIPPED = {
    "test_chat_template_*": NO_CHAT,
    "test_apply_chat_template_*": NO_CHAT,
    "test_*_images": NO_IMAGES,
    "test_*_videos": NO_IMAGES,
    "test_args_overlap_kwargs": NO_IMAGES,
    "test_processor_text_has_no_visual": NO_IMAGES,
    "test_get_num_multimodal_tokens_matches_processor_call*": "no tokens stand for another modality in the sequence",
    "test_if_input_has_mismatching_tokens_and_mm_data": "no tokens stand for another modality in the sequence",
    "test_replacement_offsets": "no tokens stand for another modality in the sequence",
    "test_call_arguments_default_none": "asks that arguments with a default stand in kwargs; `tile` and "
    "`reverse_complement` stand in the signature, where users see them, and are never saved with the processor",
    "test_subprocessor_defaults_3_audio": "gives the feature extractor one argument; regions need their positions too",
}
OTHER_NAMES = "calls the processor with text and audio: run in GeneBertProcessorCallsTest"
SKIPPED_WITH_OUR_NAMES = {
    "test_flat_kwarg_applied_when_modality_dict_lacks_it": OTHER_NAMES,
    "test_model_input_names": OTHER_NAMES,
    "test_processor_with_multiple_inputs": OTHER_NAMES,
    "test_subprocessor_defaults*": OTHER_NAMES,
    "test_*_audio": OTHER_NAMES,
}


class ProcessorComponents(ProcessorTesterMixin):
    @classmethod
    def setUpClass(cls) -> None:
        # As in transformers, whose classes do not travel as remote code; test_remote_code.py is about that.
        patch = mock.patch.object(GeneBertProcessor, "_auto_class", None)
        patch.start()
        cls.addClassCleanup(patch.stop)
        super().setUpClass()

    @classmethod
    def _setup_tokenizer(cls) -> GeneBertTokenizer:
        return GeneBertTokenizer(kmer=3)

    @classmethod
    def _setup_feature_extractor(cls) -> GeneBertFeatureExtractor:
        return GeneBertFeatureExtractor(motif_bank=make_bank(), num_regions=8)


@skip_tests({**SKIPPED_WITH_OUR_NAMES, **SKIPPED})
class GeneBertProcessorTest(ProcessorComponents, unittest.TestCase):
    processor_class = GeneBertProcessor


class RenamedProcessor(GeneBertProcessor):
    """GeneBertProcessor with the mixin's names: `text` are the sequences, `audio` the regions and their positions."""

    def __call__(self, text: Any = None, audio: dict[str, Any] | None = None, **kwargs: Any) -> BatchFeature:
        return super().__call__(text, **(audio or {}), **kwargs)


@skip_tests(SKIPPED)
class GeneBertProcessorCallsTest(ProcessorComponents, unittest.TestCase):
    processor_class = RenamedProcessor
    audio_input_name_values = "region_values"

    def prepare_text_inputs(self, batch_size: int | None = None, modalities: Any = None) -> str | list[str]:
        return "ATTGCGACC" if batch_size is None else ["ATTGCGACC", "ACGTNACG", "TT"][:batch_size]

    def prepare_audio_inputs(self, batch_size: int | None = None) -> dict[str, Any]:
        examples = batch_size or 1
        return {"regions": [["ATTGCG", "CCATTA"]] * examples, "positions": [[500, 900]] * examples}
