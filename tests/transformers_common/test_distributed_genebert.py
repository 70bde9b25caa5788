"""transformers' FSDP and tensor-parallel tests on GeneBERT: two processes on CPUs."""

from __future__ import annotations

import unittest
from typing import Any
from unittest.mock import patch

from transformers import AutoModelForCausalLM

from modeling_genebert import GeneBertConfig

from ..modeling_genebert.conftest import SEQUENCE, make_config
from .distributed_model import MaskedLMWithRegions, RegisteringConfig, register
from .model_testing import GeneBertModelTester
from .skipping import skip_tests
from .transformers_tests import test_fsdp_mixin, test_tensor_parallel_mixin
from .transformers_tests.test_fsdp_mixin import FSDPTesterMixin
from .transformers_tests.test_tensor_parallel_mixin import TensorParallelTesterMixin


SKIPPED = {
    "test_tp_generation*": "GeneBERT is an encoder and does not generate",
    "test_*expert*": "GeneBERT has no experts",
}


class DistributedModelTester(GeneBertModelTester):
    causal_lm_class = MaskedLMWithRegions

    def get_config(self) -> GeneBertConfig:
        # Dropout would differ between processes; the tests' sequences have 64 tokens.
        dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        return make_config(sequence_config={**SEQUENCE, **dropout, "max_position_embeddings": 64})


@skip_tests(SKIPPED)
class GeneBertForMaskedLMDistributedTest(FSDPTesterMixin, TensorParallelTesterMixin, unittest.TestCase):
    all_model_classes = (MaskedLMWithRegions,)
    model_tester: Any = None

    def setUp(self) -> None:
        self.model_tester = DistributedModelTester()
        # By default they run for a few models of transformers only.
        for module, models in (
            (test_fsdp_mixin, "FSDP_DISTRIBUTED_TEST_MODEL_TYPES"),
            (test_tensor_parallel_mixin, "TP_DISTRIBUTED_TEST_MODEL_TYPES"),
        ):
            patcher = patch.object(module, models, None)
            patcher.start()
            self.addCleanup(patcher.stop)
        register()
        self.addCleanup(AutoModelForCausalLM._model_mapping._extra_content.pop, GeneBertConfig)

    def _get_tiny_config(self) -> tuple[type, dict[str, Any]]:
        return RegisteringConfig, self.model_tester.get_config().to_diff_dict()

    def _has_tp_plan(self) -> bool:
        # The whole config's; the mixin looks at the sequence encoder's.
        return bool(self.model_tester.get_config().base_model_tp_plan)
