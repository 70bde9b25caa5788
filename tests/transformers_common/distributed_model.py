"""The model of the FSDP and tensor-parallel tests, whose processes import it from here."""

from __future__ import annotations

import math
from typing import Any

import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_outputs import MaskedLMOutput

from modeling_genebert import GeneBertConfig, GeneBertForMaskedLM


class MaskedLMWithRegions(GeneBertForMaskedLM):
    """Takes the batches of these tests, ids alone, and adds a region matrix, so that every weight has a gradient."""

    _auto_class = None

    def __init__(self, config: GeneBertConfig):
        super().__init__(config)
        for name, module in self.named_modules():
            # Softmax does not see their bias: its gradient is a rounding error, and Adam's step as large as any other.
            if name.endswith((".key", ".k_proj")):
                module.register_parameter("bias", None)

    def forward(self, input_ids: torch.LongTensor, **kwargs: Any) -> MaskedLMOutput:
        shape = (4, self.config.num_motif_rows, self.config.num_regions)
        row = torch.linspace(0, 1, math.prod(shape), device=input_ids.device).reshape(shape)
        region_values: Any = row.expand(len(input_ids), *shape)
        return super().forward(input_ids, region_values=region_values, **kwargs)


def register() -> None:
    """Tell the Auto class of language models, the only one that the FSDP tests know, about the model."""
    AutoModelForCausalLM.register(GeneBertConfig, MaskedLMWithRegions, exist_ok=True)


class RegisteringConfig:
    """Stands for GeneBertConfig where a process of the FSDP tests reads the config."""

    @staticmethod
    def from_dict(config: dict[str, Any]) -> GeneBertConfig:
        register()
        return GeneBertConfig.from_dict(config)
