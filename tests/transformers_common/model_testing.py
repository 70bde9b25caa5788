"""What the common tests of the six GeneBERT models share: a tiny model, its inputs and labels."""

from __future__ import annotations

import copy
from typing import Any
from unittest.mock import patch

import torch
from transformers.models.auto import modeling_auto

from modeling_genebert import GeneBertConfig

from ..modeling_genebert.conftest import make_config, make_inputs
from .transformers_tests.test_configuration_common import ConfigTester
from .transformers_tests.test_modeling_common import ModelTesterMixin
from .transformers_tests.test_training_mixin import TrainingTesterMixin


NUM_KMERS = 9
# The common tests tell what a model is for from transformers' own tables of class names.
AUTO_CLASS_TABLES = {
    "MODEL_MAPPING_NAMES": "GeneBertModel",
    "MODEL_FOR_PRETRAINING_MAPPING_NAMES": "GeneBertForPreTraining",
    "MODEL_FOR_MASKED_LM_MAPPING_NAMES": "GeneBertForMaskedLM",
    "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES": "GeneBertForSequenceClassification",
    "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES": "GeneBertForTokenClassification",
}


class GeneBertModelTester:
    """A tiny model of every part: BERT 2 layers × 32, Swin 2 stages × 8, two cross-attention layers."""

    batch_size = 7  # the common tests cut batches to 7, and fill smaller ones up with ids that are out of range
    seq_length = 3 + 2 * NUM_KMERS  # [CLS] A [SEP] B [SEP]
    hidden_size = 32
    num_hidden_layers = 2
    num_attention_heads = 2
    is_training = True

    num_hidden_states_types = 1

    def get_config(self) -> GeneBertConfig:
        return make_config()

    def prepare_config_and_inputs_for_common(self) -> tuple[GeneBertConfig, dict[str, torch.Tensor]]:
        config = self.get_config()
        return config, make_inputs(config, self.batch_size, NUM_KMERS)


class GeneBertCommonTests(ModelTesterMixin, TrainingTesterMixin):
    all_model_classes: tuple[type, ...] = ()
    additional_model_inputs = ["token_type_ids", "region_values", "region_mask", "region_context_ids"]
    num_hidden_states_types = 1  # fields of the output that output_hidden_states=True fills
    _is_composite = True
    test_can_init_all_missing_weights_before_2023 = True  # our files carry no year
    training_overfit_learning_rate = 3e-3  # the batches are random k-mers, harder to learn than the mixin's own
    training_overfit_steps = 150
    model_tester: Any = None

    def setUp(self) -> None:
        self.model_tester = GeneBertModelTester()
        self.model_tester.num_hidden_states_types = self.num_hidden_states_types
        self.config_tester = ConfigTester(self, config_class=GeneBertConfig)
        for table, name in AUTO_CLASS_TABLES.items():
            patcher = patch.dict(getattr(modeling_auto, table), {"genebert": name})
            patcher.start()
            self.addCleanup(patcher.stop)

    def test_reverse_loading_mapping(self) -> None:
        # GeneBERT's weights are saved by the names that they have in the model: see GeneBertPreTrainedModel.
        super().test_reverse_loading_mapping(check_keys_were_modified=False)

    def make_labels(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {}

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: type, return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = copy.deepcopy(inputs_dict)
        return {**inputs, **(self.make_labels(inputs) if return_labels else {})}

    def _create_text_training_batch(self, batch_size: int, **sizes: int) -> dict[str, torch.Tensor]:
        """For `test_training_overfit`: instead of token ids alone, all that the model reads, and its labels."""
        _, inputs = self.model_tester.prepare_config_and_inputs_for_common()
        rows = {name: values[:batch_size] for name, values in inputs.items()}
        return self._prepare_for_class(rows, self.all_model_classes[0], return_labels=True)

    def test_tp_plan_matches_params(self) -> None:
        if "embed_tokens" in (self.model_tester.get_config().base_model_tp_plan or {}):
            self.skipTest("older transformers add embed_tokens to the plan of every model with tied weights")
        super().test_tp_plan_matches_params()

    def test_sdpa_can_dispatch_composite_models(self) -> None:
        """The common test knows encoders by the attribute names of vision and language models; ours have others."""
        for implementation in ("sdpa", "eager"):
            config = self.model_tester.get_config()
            model: Any = self.all_model_classes[0]._from_config(config, attn_implementation=implementation)
            base = model.base_model
            for part in (model, base.sequence_encoder, base.region_encoder.swin, *base.fusion):
                assert part.config._attn_implementation == implementation
