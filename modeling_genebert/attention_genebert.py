"""Attention back ends: what the region encoder runs, and eager attention where attention weights are asked for."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel, SwinConfig, SwinModel
from transformers.utils import logging

from .configuration_genebert import GeneBertConfig
from .dropout_genebert import SDPA_WITH_CHEAP_DROPOUT


logger = logging.get_logger(__name__)


class GeneBertSwinModel(SwinModel):
    """
    Swin as the region encoder: it keeps sdpa, and says so, where the whole model is asked for an implementation that
    Swin does not have. Swin adds a position bias to its attention scores, which only eager attention and sdpa take.
    """

    def __init__(self, config: SwinConfig, **kwargs: Any):
        config._attn_implementation = self._supported(config._attn_implementation)
        super().__init__(config, **kwargs)

    def get_correct_attn_implementation(self, requested_attention: str | None, is_init_check: bool = False) -> str:
        """Called by `set_attn_implementation`."""
        return super().get_correct_attn_implementation(self._supported(requested_attention), is_init_check)

    @staticmethod
    def _supported(implementation: str | None) -> str | None:
        if implementation in (None, "eager", "sdpa"):
            return implementation
        logger.warning_once(f"The region encoder (Swin) has no {implementation}: it runs with sdpa.")
        return "sdpa"


def run_encoder(encoder: PreTrainedModel, config: GeneBertConfig, **kwargs: Any) -> Any:
    """
    Call an encoder, with eager attention for this one call where attention weights are asked for: no other
    implementation gives them. In training, sdpa is replaced by one whose dropout costs less on CPUs.

    Args:
        encoder (`PreTrainedModel`): the sequence encoder or Swin.
        config ([`GeneBertConfig`]): says whether `output_attentions` and `output_hidden_states` are wanted where
            `kwargs` do not.
        kwargs: the encoder's arguments.

    Raises:
        ValueError: attention weights are asked for while activations are checkpointed, and attention is not eager:
            the backward pass would recompute with another implementation.
    """
    for name in ("output_attentions", "output_hidden_states"):
        if kwargs.get(name) is None:
            kwargs[name] = getattr(config, name) or getattr(encoder.config, name)
    implementation = encoder.config._attn_implementation
    # Checkpointed activations are computed once more in the backward pass, when the config says what it did before.
    is_checkpointed = encoder.training and any(
        getattr(module, "gradient_checkpointing", False) for module in encoder.modules()
    )
    if not kwargs["output_attentions"]:
        on_cpu = encoder.device.type == "cpu" and not torch.compiler.is_compiling()
        if on_cpu and encoder.training and implementation == "sdpa" and not is_checkpointed:
            return _run_with(SDPA_WITH_CHEAP_DROPOUT, encoder, **kwargs)
        return encoder(**kwargs)
    if implementation == "eager":
        return encoder(**kwargs)
    if is_checkpointed:
        raise ValueError(
            f"output_attentions=True with activation checkpointing does not work with {implementation} attention: "
            'load the model with attn_implementation="eager"'
        )
    logger.warning_once(
        f"{implementation} attention gives no attention weights: {type(encoder).__name__} runs with eager attention "
        'where output_attentions=True; attn_implementation="eager" does so always.'
    )
    return _run_with("eager", encoder, **kwargs)


def _run_with(implementation: str, encoder: PreTrainedModel, **kwargs: Any) -> Any:
    """Call an encoder with another attention implementation than its config's."""
    before = encoder.config._attn_implementation
    encoder.config._attn_implementation = implementation
    try:
        return encoder(**kwargs)
    finally:
        encoder.config._attn_implementation = before
