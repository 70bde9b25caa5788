"""transformers' ModelTesterMixin, ConfigTester and TrainingTesterMixin on every GeneBERT model class."""

from __future__ import annotations

import unittest
from typing import Any

import torch

from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
)

from .model_testing import GeneBertCommonTests
from .skipping import skip_tests


# What does not apply to any GeneBERT model. What needs hardware or packages that are not there, the mixins skip.
SKIPPED = {
    "test_causal_lm_loss_honors_shift_labels": "no causal language model: labels stand where their tokens are",
    "test_encoder_decoder_loss_no_double_shift": "no decoder",
    "test_eager_matches_batched_and_grouped_inference*": "no experts",
    "test_moe_models_record_router_logits": "no experts",
    "test_output_router_logits_from_config": "no experts",
    "test_keep_in_fp32_modules*": "no module stays in float32 when the model is loaded in a smaller type",
    "test_model_rope_*": "no rotary positions of its own; an encoder that has them is tested in transformers",
    "test_vision_axial_rope": "no rotary positions of its own; an encoder that has them is tested in transformers",
    "test_disk_offload_bin": "weights are read from safetensors only",
    "test_resize_position_vector_embeddings": "BERT cannot resize its positions in transformers either",
    "test_sdpa_can_dispatch_non_composite_models": "composite: test_sdpa_can_dispatch_composite_models is for it",
    "test_sliding_window_mask": "no sliding window",
    "test_torch_compile_for_training": "for generating models; see tests/modeling_genebert/test_compile_export.py",
}


@skip_tests({**SKIPPED, "test_training_overfit": "the bare model has no loss"})
class GeneBertModelTest(GeneBertCommonTests, unittest.TestCase):
    all_model_classes = (GeneBertModel,)
    num_hidden_states_types = 2  # the sequence's and the regions'

    def test_config(self) -> None:
        self.config_tester.run_common_tests()


@skip_tests(SKIPPED)
class GeneBertForPreTrainingTest(GeneBertCommonTests, unittest.TestCase):
    all_model_classes = (GeneBertForPreTraining,)

    def make_labels(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ids = inputs["input_ids"]
        return {"labels": ids.clone(), "ngsp_labels": ids.new_ones(len(ids)), "srm_labels": ids.new_zeros(len(ids))}


@skip_tests(SKIPPED)
class GeneBertForMaskedLMTest(GeneBertCommonTests, unittest.TestCase):
    all_model_classes = (GeneBertForMaskedLM,)

    def make_labels(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"labels": inputs["input_ids"].clone()}


@skip_tests(SKIPPED)
class GeneBertForSequenceClassificationTest(GeneBertCommonTests, unittest.TestCase):
    all_model_classes = (GeneBertForSequenceClassification,)

    def make_labels(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"labels": torch.zeros(len(inputs["input_ids"]), dtype=torch.long)}  # also valid where num_labels is 1

    def _create_text_training_batch(self, batch_size: int, **sizes: int) -> dict[str, torch.Tensor]:
        return {**super()._create_text_training_batch(batch_size), "labels": torch.arange(batch_size) % 2}


@skip_tests(SKIPPED)
class GeneBertForTokenClassificationTest(GeneBertCommonTests, unittest.TestCase):
    all_model_classes = (GeneBertForTokenClassification,)

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: type, return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        inputs["token_type_ids"] = torch.zeros_like(inputs["token_type_ids"])  # one segment
        return inputs

    def make_labels(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"labels": inputs["input_ids"] % 2}


@skip_tests({**SKIPPED, "test_inputs_embeds*": "the two alleles are taken as ids only"})
class GeneBertForVariantEffectTest(GeneBertCommonTests, unittest.TestCase):
    all_model_classes = (GeneBertForVariantEffect,)
    num_hidden_states_types = 2  # of the reference and of the alternate allele

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: type, return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels)
        inputs["alt_input_ids"] = inputs["input_ids"].roll(1, dims=0)
        return inputs

    def make_labels(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"labels": torch.arange(len(inputs["input_ids"])) % 2}
