"""Fusion of the two modalities: sequence states attend to region tokens.

Shape suffixes: B batch, T tokens, S region tokens, H hidden size of the sequence encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from .configuration_genebert import GeneBertConfig
from .dropout_genebert import GeneBertDropout


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[torch.Tensor, torch.Tensor]:
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    weights = F.dropout(weights.softmax(dim=-1), p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class ResidualLinear(nn.Linear):
    """A linear layer whose output is added to a residual: it starts small, so that the states start as they were."""


class GeneBertFusionLayer(GradientCheckpointingLayer):
    """Sequence states cross-attend to region tokens; then a feed-forward block; each normalised first."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        sequence_config, hidden_size = config.sequence_config, config.hidden_size
        self.config = config
        self.head_size = hidden_size // sequence_config.num_attention_heads
        self.is_causal = False
        self.attention_norm = nn.LayerNorm(hidden_size, eps=1e-6)
        self.query = nn.Linear(hidden_size, hidden_size)
        self.key = nn.Linear(hidden_size, hidden_size)
        self.value = nn.Linear(hidden_size, hidden_size)
        self.output = ResidualLinear(hidden_size, hidden_size)
        self.mlp_norm = nn.LayerNorm(hidden_size, eps=1e-6)
        self.intermediate = nn.Linear(hidden_size, sequence_config.intermediate_size)
        self.activation = ACT2FN["gelu"]
        self.mlp_output = ResidualLinear(sequence_config.intermediate_size, hidden_size)
        self.dropout = GeneBertDropout(getattr(sequence_config, "hidden_dropout_prob", 0.0))

    def forward(self, states_BTH: torch.Tensor, tokens_BSH: torch.Tensor) -> torch.Tensor:
        batch, length, _ = states_BTH.shape
        normed = self.attention_norm(states_BTH)
        heads = [
            dense(states).view(batch, states.shape[1], -1, self.head_size).transpose(1, 2)
            for dense, states in ((self.query, normed), (self.key, tokens_BSH), (self.value, tokens_BSH))
        ]
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        # No mask: absent columns are learned vectors, and a row without regions repeats one and the same token.
        context, _ = attention(self, *heads, None, scaling=self.head_size**-0.5, dropout=0.0)
        states_BTH = states_BTH + self.dropout(self.output(context.reshape(batch, length, -1)))
        mlp = self.mlp_output(self.activation(self.intermediate(self.mlp_norm(states_BTH))))
        return states_BTH + self.dropout(mlp)
