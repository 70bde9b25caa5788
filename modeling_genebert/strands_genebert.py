"""Averaging over the two strands of the DNA: the same prediction for a sequence and its reverse complement."""

from __future__ import annotations

from typing import Any

import torch
from transformers.modeling_outputs import MaskedLMOutput, TokenClassifierOutput
from transformers.utils import ModelOutput


@torch.no_grad()
def average_strands(model: Any, processor: Any, sequences: str | list[str], **processor_kwargs: Any) -> ModelOutput:
    """Predict from both strands of each sequence, and average.

    What is averaged is what both strands predict of the same thing:

    - [`GeneBertModel`]: `pooler_output` and `region_pooler_output`. The states of tokens are left out: where the
      stride is more than 1, or a sequence ends in a shorter token, the strands are cut into other k-mers.
    - [`GeneBertForSequenceClassification`], and [`GeneBertForVariantEffect`] with `alt_sequences=...`: `logits`. Their
      mean, not that of the probabilities, serves classes, several labels and values alike, keeps the sign of a
      variant's effect, and its cross-entropy is never above the mean cross-entropy of the two strands.
    - [`GeneBertForTokenClassification`]: `logits` per base. Those of the opposite strand are turned round within each
      sequence's own length; what lies past a sequence's end still has no meaning.

    Of the region matrix, a window of open regions stays as it is, for motif scores are the best of both strands. A
    self-tiled matrix is made of the opposite strand's sequence: the motif scores of the given strand with the tiles in
    reverse order.

    Args:
        model: a GeneBERT model; it is run without dropout and gradients, and left in the mode it was in.
        processor: its [`GeneBertProcessor`].
        sequences: DNA, one string an example; a single string is a batch of one.
        processor_kwargs: further arguments for the processor (`regions`, `alt_sequences`, `max_length`, ...).
            `padding` is True by default.

    Returns:
        The model's own output class, with the averages alone.

    Raises:
        ValueError: for truncation, which would leave other bases on the two strands, and for the models that predict
            k-mers: GeneBertForMaskedLM and GeneBertForPreTraining.
    """
    if processor_kwargs.get("truncation"):
        raise ValueError(
            "average_strands needs whole sequences, but truncation would leave other bases on the two strands: cut "
            "the sequences before the call, or pass return_overflowing_tokens=True with max_length and stride"
        )
    processor_kwargs = {"padding": True, **processor_kwargs, "return_tensors": "pt"}
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        given, opposite = (
            model(
                **processor(sequences, reverse_complement=is_opposite, **processor_kwargs).to(model.device),
                return_dict=True,
            )
            for is_opposite in (False, True)
        )
    finally:
        for module, is_training in modes:
            module.training = is_training

    if isinstance(given, MaskedLMOutput) or "prediction_logits" in given:
        raise ValueError(
            f"average_strands cannot average the k-mers that {type(model).__name__} predicts, which differ between "
            "the strands: use GeneBertModel, or a model for sequence or token classification or variant effects"
        )
    if isinstance(given, TokenClassifierOutput):
        lengths = [len(sequence) for sequence in ([sequences] if isinstance(sequences, str) else sequences)]
        for logits_LC, length in zip(opposite.logits, lengths, strict=True):
            logits_LC[:length] = logits_LC[:length].flip(0)
    names = ("logits", "pooler_output", "region_pooler_output")
    return type(given)(**{name: (given[name] + opposite[name]) / 2 for name in names if name in given})


__all__ = ["average_strands"]
