"""The heads: scores from sequence states, and from the pooled vectors of both modalities."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F
from transformers.activations import ACT2FN

from .configuration_genebert import IGNORE_INDEX, GeneBertConfig
from .outputs_genebert import GeneBertModelOutput


class GeneBertMaskedPredictionHead(nn.Module):
    """Sequence states -> k-mer scores; the decoder shares its weights with the word embeddings."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.activation = ACT2FN["gelu"]
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-6)
        self.decoder = nn.Linear(config.hidden_size, config.vocab_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return self.decoder(self.norm(self.activation(self.dense(states))))


class GeneBertPooler(nn.Module):
    """Sequence states BTH -> one vector BH: the mean of each segment, or the state of `[CLS]`."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.pooling = config.pooling
        self.dense = nn.Linear((2 if config.pooling == "mean" else 1) * config.hidden_size, config.hidden_size)

    def forward(
        self, states_BTH: torch.Tensor, attention_mask: torch.Tensor | None, token_type_ids: torch.Tensor | None
    ) -> torch.Tensor:
        if self.pooling == "cls":
            return torch.tanh(self.dense(states_BTH[:, 0]))
        if attention_mask is None:
            attention_mask = states_BTH.new_ones(states_BTH.shape[:2])
        if token_type_ids is None:
            token_type_ids = torch.zeros_like(attention_mask)
        # A and B are averaged apart, so that the heads can compare them; an absent B is a vector of zeros.
        means = []
        for segment in (0, 1):
            weights_BT1 = (attention_mask.bool() & (token_type_ids == segment)).to(states_BTH.dtype)[..., None]
            means.append((states_BTH * weights_BT1).sum(dim=1) / weights_BT1.sum(dim=1).clamp(min=1))
        return torch.tanh(self.dense(torch.cat(means, dim=-1)))


class GeneBertPooledFeatures(nn.Module):
    """One vector BH from the pooled sequence s, the pooled regions r and (with cross-attention fusion) s·r."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.with_product = config.fusion_type == "cross_attention"
        self.dense = nn.Linear((3 if self.with_product else 2) * config.hidden_size, config.hidden_size)

    def forward(self, output: GeneBertModelOutput) -> torch.Tensor:
        s, r = output.pooler_output, output.region_pooler_output
        assert s is not None and r is not None
        return F.gelu(self.dense(torch.cat([s, r, s * r] if self.with_product else [s, r], dim=-1)))


class GeneBertPooledHead(nn.Sequential):
    """Scores `(batch_size, num_labels)` from the pooled vectors."""

    def __init__(self, config: GeneBertConfig, num_labels: int):
        super().__init__(
            GeneBertPooledFeatures(config),
            nn.Dropout(config.classifier_dropout),
            nn.Linear(config.hidden_size, num_labels),
        )


def base_states(states_BTH: torch.Tensor, attention_mask: torch.Tensor, kmer: int, stride: int) -> torch.Tensor:
    """State of each base, shape `(batch_size, num_bases, hidden_size)`: the mean over the k-mers that cover it."""
    # A k-mer is a real token that is followed by another one ([SEP] is the last) and is not [CLS].
    is_kmer_BN1 = attention_mask[:, 2:, None].to(states_BTH.dtype)
    states_BNH = states_BTH[:, 1:-1] * is_kmer_BN1
    batch, num_kmers, hidden = states_BNH.shape
    num_bases = (num_kmers - 1) * stride + kmer
    sums_BLH = states_BNH.new_zeros(batch, num_bases, hidden)
    counts_BL1 = states_BNH.new_zeros(batch, num_bases, 1)
    last = (num_kmers - 1) * stride + 1
    for offset in range(kmer):
        sums_BLH[:, offset : offset + last : stride] += states_BNH
        counts_BL1[:, offset : offset + last : stride] += is_kmer_BN1
    return sums_BLH / counts_BL1.clamp(min=1)


def mean_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean over the labels that are not -100; 0, not NaN, where a batch has none."""
    total = F.cross_entropy(logits.float(), labels, ignore_index=IGNORE_INDEX, reduction="sum")
    return total / (labels != IGNORE_INDEX).sum().clamp(min=1)
