"""
transformers' TokenizerTesterMixin and TokenizersBackendTesterMixin on GeneBertTokenizer.

The mixins write English: with k=3 nearly all of it is `[UNK]`, with k=1 the letters A, C, G, T, U of the words are
known, so both are run. In the `AgainstPipeline` classes every call that a test makes is made a second time by the
`tokenizers` pipeline, and what comes back must be the same.
"""

from __future__ import annotations

import inspect
import tempfile
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from transformers import TokenizersBackend
from transformers.tokenization_utils_base import BatchEncoding

from modeling_genebert import GeneBertTokenizer

from .skipping import skip_tests
from .transformers_tests import test_tokenization_common
from .transformers_tests.test_tokenization_common import TokenizerTesterMixin
from .transformers_tests.test_tokenizers_backend_mixin import TokenizersBackendTesterMixin


OUR_TESTS = "tests/modeling_genebert/test_tokenization_genebert.py"
SKIPPED = {
    "test_pretokenized_inputs": "takes words, and the same words with white space between them, for one input; in DNA "
    f"white space is an unknown base. DNA in pieces is tested in {OUR_TESTS}",
    "test_alignment_methods": "takes what stands between white space for the words; here each k-mer is a word. The "
    f"same methods are tested with DNA in {OUR_TESTS}",
    "test_training_new_tokenizer": "the vocabulary is all k-mers, there is nothing to train: NotImplementedError, "
    f"tested in {OUR_TESTS}",
    "test_training_new_tokenizer_with_special_tokens_change": "see test_training_new_tokenizer",
    "test_integration_from_extractor": "rebuilds the tokenizer from the scored or merged vocabulary of a Unigram, BPE "
    "or WordPiece model; k-mers are a WordLevel model",
    "test_chat_template_save_loading": "asks for a chat_template argument of the tokenizer; DNA is no chat",
}

encode_plus = GeneBertTokenizer._encode_plus


def encode_both_ways(
    tokenizer: GeneBertTokenizer, text: Any, text_pair: Any = None, return_tensors: Any = None, **options: Any
) -> BatchEncoding:
    """`GeneBertTokenizer._encode_plus`, and the proof that the pipeline gives the same."""
    encoding = encode_plus(tokenizer, text, text_pair, return_tensors=return_tensors, **options)
    piped = TokenizersBackend._encode_plus(tokenizer, text, text_pair, return_tensors=return_tensors, **options)
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    ours, pipelines = (
        {name: (type(value), getattr(value, "tolist", lambda value=value: value)()) for name, value in data.items()}
        for data in (encoding, piped)
    )
    if tokenizer.kmer > 1:  # the pipeline's offsets do not overlap
        ours.pop("offset_mapping", None), pipelines.pop("offset_mapping", None)
    assert ours == pipelines, (text, text_pair, options)
    return encoding


class SavedTokenizer:
    """A folder with a saved tokenizer, where the mixins look for one on the Hub."""

    tokenizer_class = GeneBertTokenizer
    kmer = 3

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        GeneBertTokenizer(kmer=cls.kmer).save_pretrained(folder.name)
        cls.from_pretrained_id = [folder.name]
        # A text that the mixin reads at the start; it is not in the source distribution.
        Path(folder.name, "fixtures").mkdir()
        Path(folder.name, "fixtures", "sample_text.txt").write_text("ACGT")
        with mock.patch.object(test_tokenization_common, "get_tests_dir", return_value=folder.name):
            super().setUpClass()

    def get_clean_sequence(
        self, tokenizer: GeneBertTokenizer, with_prefix_space: bool = False, max_length: int = 20, min_length: int = 5
    ) -> tuple[str, list[int]]:
        """DNA of `max_length` tokens, and its ids."""
        text = "ATTGCGACCATGTTACGGCATCAATGC"[: tokenizer.num_bases(max_length)]
        return text, tokenizer.encode(text, add_special_tokens=False)


@skip_tests(SKIPPED)
class GeneBertTokenizationTest(SavedTokenizer, TokenizerTesterMixin, unittest.TestCase):
    test_conversion_reversible = inspect.unwrap(TokenizerTesterMixin.test_conversion_reversible)  # not slow with 4**3

    # In the order of product("ATCG"): AAA 5, AAT 6, ...; C and G are 2 and 3.
    integration_test_input_string = "ATtuCAANCCG"
    integration_expected_tokens = ["ATT", "TTT", "TTC", "TCA", "CAA", "[UNK]", "[UNK]", "[UNK]", "CCG"]
    integration_expected_token_ids = [10, 26, 27, 29, 37, 1, 1, 1, 48]
    integration_expected_decoded_text = "ATTTCAANCCG"


class GeneBertSingleBaseTokenizationTest(GeneBertTokenizationTest):
    kmer = 1
    integration_expected_tokens = ["A", "T", "T", "T", "C", "A", "A", "[UNK]", "C", "C", "G"]
    integration_expected_token_ids = [5, 6, 6, 6, 7, 5, 5, 1, 7, 7, 8]


class AgainstPipeline:
    def setUp(self) -> None:
        patch = mock.patch.object(GeneBertTokenizer, "_encode_plus", encode_both_ways)
        patch.start()
        self.addCleanup(patch.stop)


class GeneBertAgainstPipelineTest(AgainstPipeline, GeneBertTokenizationTest):
    pass


class GeneBertSingleBaseAgainstPipelineTest(AgainstPipeline, GeneBertSingleBaseTokenizationTest):
    pass


@skip_tests(SKIPPED)
class GeneBertTokenizersBackendTest(SavedTokenizer, TokenizersBackendTesterMixin, unittest.TestCase):
    pass
