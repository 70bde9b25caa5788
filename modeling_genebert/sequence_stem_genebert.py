"""Convolutions before the sequence encoder: motif detectors, whose finds attention then relates to each other.

A k-mer of its own says little, and from some ten thousand labelled sequences attention does not learn to join
neighbouring k-mers into motifs. Convolutions do, as in Enformer (Avsec et al. 2021) and DeepSEA before it.

Shape suffixes: B batch, T tokens, P bins of `conv_pool_size` tokens, H hidden size of the sequence encoder, V
vocabulary and one more row of zeros for padding, K width of the convolution.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_genebert import GeneBertConfig


class GeneBertConvolution(nn.Module):
    """A residual layer: normalise, convolve, GELU. Padding is zeros, as what lies beyond the ends is."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        hidden_size = config.hidden_size
        self.norm = nn.LayerNorm(hidden_size, eps=1e-6)
        self.convolution = nn.Conv1d(hidden_size, hidden_size, config.conv_kernel_size, padding="same")
        self.dropout = nn.Dropout(getattr(config.sequence_config, "hidden_dropout_prob", 0.0))

    def forward(
        self,
        states_BTH: torch.Tensor,
        is_token_BT1: torch.Tensor,
        word_embeddings: nn.Module | None = None,
        input_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Given k-mers, whose embeddings the states are, the convolution is looked up where that is faster."""
        if (
            isinstance(word_embeddings, nn.Embedding)
            and input_ids is not None
            and self.can_look_up(word_embeddings, input_ids)
        ):
            convolved_BTH = self.look_up(word_embeddings, input_ids, is_token_BT1)
        else:
            convolved_BTH = self.convolution((self.norm(states_BTH) * is_token_BT1).transpose(1, 2)).transpose(1, 2)
        return states_BTH + self.dropout(F.gelu(convolved_BTH))

    def can_look_up(self, word_embeddings: nn.Embedding, input_ids: torch.Tensor) -> bool:
        """On a CPU in fp32, and in a batch of more tokens than the vocabulary has; never in a traced graph."""
        return (
            input_ids.device.type == "cpu"
            and self.convolution.weight.dtype == torch.float32
            and type(self.convolution) is nn.Conv1d  # not an adapter round it
            and input_ids.numel() > 2 * word_embeddings.num_embeddings
            and not torch.is_autocast_enabled("cpu")
            and not (torch.compiler.is_compiling() or torch.jit.is_tracing())
        )

    def look_up(
        self, word_embeddings: nn.Embedding, input_ids: torch.Tensor, is_token_BT1: torch.Tensor
    ) -> torch.Tensor:
        """
        The convolution of k-mers' embeddings, from a table of what each k-mer adds at each of the K places.

        The same sums as the convolution's, but each product of a k-mer and a weight is made once and not for each
        token: 7 times as fast at k = 4, 6,272 tokens and H = 128, forward and backward.
        """
        width, padding = self.convolution.kernel_size[0], word_embeddings.num_embeddings
        normed_VH = self.norm(word_embeddings(torch.arange(padding)))
        normed_VH = F.pad(normed_VH, (0, 0, 0, 1))
        table_KVH = torch.einsum("vh,ohk->kvo", normed_VH, self.convolution.weight)
        ids_BT = input_ids.where(is_token_BT1[..., 0] > 0, padding)
        left = (width - 1) // 2
        windows_BTK = F.pad(ids_BT, (left, width - 1 - left), value=padding).unfold(1, width, 1)
        windows_BTK = windows_BTK + torch.arange(width) * len(normed_VH)
        summed_NH = F.embedding_bag(windows_BTK.flatten(0, 1), table_KVH.flatten(0, 1), mode="sum")
        return summed_NH.unflatten(0, input_ids.shape) + self.convolution.bias


class GeneBertSequenceStem(nn.Module):
    """K-mer embeddings BTH -> states of tokens BTH, and of bins BPH, which the sequence encoder reads."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.pool_size = config.conv_pool_size
        self.layers = nn.ModuleList(GeneBertConvolution(config) for _ in range(config.num_conv_layers))

    def forward(
        self,
        word_embeddings: nn.Module,
        input_ids: torch.Tensor | None,
        attention_mask: torch.Tensor | None,
        inputs_embeds: torch.Tensor | None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """States of the tokens; those of padding are zeros. Segments are for the encoder to tell apart."""
        states_BTH = word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if attention_mask is None:
            attention_mask = states_BTH.new_ones(states_BTH.shape[:2])
        is_token_BT1 = attention_mask[..., None].to(states_BTH.dtype)
        first, *others = self.layers
        kmers = (word_embeddings, input_ids) if inputs_embeds is None else ()
        states_BTH = first(states_BTH, is_token_BT1, *kmers)
        for layer in others:
            states_BTH = layer(states_BTH, is_token_BT1)
        return states_BTH * is_token_BT1

    def pool(
        self,
        states_BTH: torch.Tensor,
        attention_mask: torch.Tensor | None,
        token_type_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, torch.Tensor | None]:
        """
        Inputs of the encoder, in place of those of the tokens: of each bin the maximum of its states. A bin counts
        where one of its tokens does, and is of the segment of its first token.
        """
        padding = -states_BTH.shape[1] % self.pool_size
        states_BHT = F.pad(states_BTH, (0, 0, 0, padding)).transpose(1, 2)
        inputs: dict[str, Any] = {"inputs_embeds": F.max_pool1d(states_BHT, self.pool_size).transpose(1, 2)}
        if attention_mask is not None:
            bins_BPT = F.pad(attention_mask, (0, padding)).unflatten(1, (-1, self.pool_size))
            inputs["attention_mask"] = bins_BPT.amax(dim=2)
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids[:, :: self.pool_size]
        return inputs

    def unpool(self, states_BPH: torch.Tensor, states_BTH: torch.Tensor) -> torch.Tensor:
        """The states of tokens, each with the state of its bin added: what the heads read."""
        repeated = states_BPH.repeat_interleave(self.pool_size, dim=1)
        return states_BTH + repeated[:, : states_BTH.shape[1]]
