"""Dropout that costs little on CPUs, where PyTorch's own takes up to half of the time of a training step.

PyTorch draws a 32-bit number for each element and a mask of booleans, and has no fast attention with dropout on CPUs.
Here four elements share one 64-bit number, 16 bits for each: the probability is right to 1 / 65536, and what is kept
is scaled by the probability that was used. On other devices, and while a model is compiled, PyTorch's own is used.

Shape suffixes: B batch, A attention heads, T tokens (queries and keys), D size of a head.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


SDPA_WITH_CHEAP_DROPOUT = "sdpa_with_cheap_dropout"
SCORES_AT_ONCE = 2**18  # of attention; as many as stay in a core's cache


def draw_noise(shape: torch.Size) -> torch.Tensor:
    """Uniform int16 of a shape, from PyTorch's global random generator."""
    count = shape.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    return draws.view(torch.int16)[:count].view(shape)


def threshold_and_scale(probability: float) -> tuple[int, float]:
    """Noise below the threshold drops an element; the others are scaled."""
    dropped = round(probability * 2**16)
    return dropped - 2**15, 2**16 / (2**16 - dropped)


def is_cheap(tensor: torch.Tensor, probability: float) -> bool:
    return tensor.device.type == "cpu" and 0 < probability < 1 - 2**-16 and not torch.compiler.is_compiling()


class GeneBertDropout(nn.Dropout):
    """`nn.Dropout`, faster on CPUs."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        if not self.training or not is_cheap(states, self.p):
            return super().forward(states)
        threshold, scale = threshold_and_scale(self.p)
        keep = torch.empty(states.shape, dtype=states.dtype)
        torch.ge(draw_noise(states.shape), threshold, out=keep)  # numbers, since booleans multiply slowly
        return states * keep.mul_(scale)


def replace_dropout(module: nn.Module) -> None:
    """Put [`GeneBertDropout`] in the place of each `nn.Dropout` inside a module."""
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Dropout:
                setattr(parent, name, GeneBertDropout(child.p))


class _AttentionWithDropout(torch.autograd.Function):
    """Attention a few heads at a time, so that scores and masks never leave the core's cache."""

    @staticmethod
    def forward(
        ctx: Any,
        query_BATD: torch.Tensor,
        key_BATD: torch.Tensor,
        value_BATD: torch.Tensor,
        bias_B1TT: torch.Tensor | None,
        scaling: float,
        dropout: float,
    ) -> torch.Tensor:
        (batch, heads, num_queries, _), num_keys = query_BATD.shape, key_BATD.shape[2]
        threshold, scale = threshold_and_scale(dropout)
        probabilities = query_BATD.new_empty(batch, heads, num_queries, num_keys)
        noise = draw_noise(probabilities.shape)
        context_BTAD = query_BATD.new_empty(batch, num_queries, heads, value_BATD.shape[3])
        query, value = query_BATD * scaling, value_BATD * scale
        ctx.groups = [
            (row, slice(first, first + max(1, SCORES_AT_ONCE // (num_queries * num_keys))))
            for row in range(batch)
            for first in range(0, heads, max(1, SCORES_AT_ONCE // (num_queries * num_keys)))
        ]
        for row, group in ctx.groups:
            scores = query[row, group] @ key_BATD[row, group].transpose(1, 2)
            if bias_B1TT is not None:
                scores += bias_B1TT[row]
            torch.softmax(scores, dim=-1, out=probabilities[row, group])
            keep = torch.ge(noise[row, group], threshold, out=scores)
            kept = keep.mul_(probabilities[row, group])
            context_BTAD[row, :, group] = (kept @ value[row, group]).transpose(0, 1)
        ctx.save_for_backward(query, key_BATD, value, probabilities, noise)
        ctx.threshold, ctx.scaling, ctx.scale = threshold, scaling, scale
        return context_BTAD

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_BTAD: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, probabilities, noise = ctx.saved_tensors
        grad_BATD = grad_BTAD.transpose(1, 2).contiguous()
        grad_query, grad_key, grad_value = torch.empty_like(query), torch.empty_like(key), torch.empty_like(value)
        with torch.autocast("cpu", enabled=False):
            for row, group in ctx.groups:
                grad, probability = grad_BATD[row, group], probabilities[row, group]
                keep = torch.ge(noise[row, group], ctx.threshold, out=torch.empty_like(probability))
                kept = probability * keep
                grad_value[row, group] = kept.transpose(1, 2) @ grad
                grad_kept = keep.mul_(grad @ value[row, group].transpose(1, 2))
                grad_scores = torch._softmax_backward_data(grad_kept, probability, -1, probability.dtype)
                grad_query[row, group] = grad_scores @ key[row, group]
                grad_key[row, group] = grad_scores.transpose(1, 2) @ query[row, group]
        return grad_query * ctx.scaling, grad_key, grad_value * ctx.scale, None, None, None


def attention_with_cheap_dropout(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """
    An attention function of transformers: sdpa, but for its dropout on CPUs.

    Args:
        module (`nn.Module`): the attention layer.
        query, key, value (`torch.Tensor` of shape `(batch_size, num_heads, num_tokens, head_size)`): projected states.
        attention_mask (`torch.Tensor`, *optional*): bool (True = attend) or added to the scores, of a shape that
            expands to `(batch_size, 1, num_tokens, num_tokens)`.
        dropout (`float`, defaults to 0.0): probability that an attention weight is dropped.
        scaling (`float`, *optional*): of the scores; default: `head_size ** -0.5`.

    Returns:
        Context of shape `(batch_size, num_tokens, num_heads, head_size)`, and None for the weights.
    """
    bias = attention_mask
    has_learned_bias = kwargs.get("position_bias") is not None or (bias is not None and bias.requires_grad)
    if not is_cheap(query, dropout) or has_learned_bias or key.shape[1] != query.shape[1]:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if bias is not None and bias.dtype == torch.bool:
        bias = torch.zeros(bias.shape, dtype=query.dtype).masked_fill_(~bias, torch.finfo(query.dtype).min)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    with torch.autocast("cpu", enabled=False):
        context = _AttentionWithDropout.apply(query, key, value, bias, scaling, dropout)
    return context, None


ALL_ATTENTION_FUNCTIONS.register(SDPA_WITH_CHEAP_DROPOUT, attention_with_cheap_dropout)
ALL_MASK_ATTENTION_FUNCTIONS.register(SDPA_WITH_CHEAP_DROPOUT, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
