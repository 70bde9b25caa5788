"""
transformers' FeatureExtractionSavingTestMixin on GeneBertFeatureExtractor, without and with a motif bank.

The SequenceFeatureExtractionTestMixin does not fit: it pads one-dimensional signals that have a sampling rate.
"""

from __future__ import annotations

import json
import unittest
from typing import Any

import numpy as np

from modeling_genebert import GeneBertFeatureExtractor, MotifBank

from .transformers_tests.test_feature_extraction_common import FeatureExtractionSavingTestMixin


def make_bank() -> MotifBank:
    """Three motifs of 4 bp."""
    counts = [np.eye(4, dtype=np.float32) + shift for shift in range(1, 4)]
    return MotifBank(["MX0.1", "MX1.1", "MX2.1"], ["TF0", "TF1", "TF2"], ["family"] * 3, counts)


class GeneBertFeatureExtractionTest(FeatureExtractionSavingTestMixin, unittest.TestCase):
    feature_extraction_class = GeneBertFeatureExtractor
    feat_extract_dict: dict[str, Any] = {"num_regions": 8, "anchor_index": 2, "region_width": 200}


class GeneBertFeatureExtractionWithBankTest(GeneBertFeatureExtractionTest):
    feat_extract_dict = {**GeneBertFeatureExtractionTest.feat_extract_dict, "motif_bank": make_bank()}

    def test_feat_extract_to_json_string(self) -> None:
        # Overridden: the bank is in a file of its own, motifs.safetensors; the configuration names its fingerprint.
        extractor = self.feature_extraction_class(**self.feat_extract_dict)
        configuration = json.loads(extractor.to_json_string())
        expected = {**self.feat_extract_dict, "motif_bank_fingerprint": make_bank().fingerprint}
        del expected["motif_bank"]
        self.assertEqual({name: configuration[name] for name in expected}, expected)
        self.assertNotIn("motif_bank", configuration)
