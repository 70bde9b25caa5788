"""What the GeneBERT models return."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers.utils import ModelOutput


@dataclass
class GeneBertModelOutput(ModelOutput):
    """
    Output of [`GeneBertModel`].

    Args:
        last_hidden_state (`torch.FloatTensor` of shape `(batch_size, sequence_length, hidden_size)`):
            Sequence states after fusion with the regions.
        pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`): the sequence, pooled; where rows are
            windows of samples, `(num_samples, hidden_size)`, as is `region_pooler_output`.
        region_pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`): the regions, pooled.
        next_pooler_output, next_region_pooler_output (`torch.FloatTensor` of shape `(batch_size, hidden_size)`,
            returned with `pool_next=True`): segment B pooled as if it were segment A, and the regions pooled as if the
            column after the anchor's were the anchor's.
        region_hidden_state (`torch.FloatTensor` of shape `(batch_size, num_region_tokens, hidden_size)`):
            Region tokens: Swin's cells, then one token per column (a single "no region" token without regions).
        own_column (`torch.FloatTensor` of shape `(batch_size, num_motifs + 3)`): the sequence's own column of the
            region matrix, motif scores in units of their spread; of windows of samples, the largest of any window.
        enrichment (`torch.FloatTensor` of shape `(batch_size, num_motifs)`): z-score of each motif's mean over the
            other open regions, likewise.
        hidden_states (`tuple`, returned when `output_hidden_states=True`): the sequence encoder's.
        attentions (`tuple`, returned when `output_attentions=True`): the sequence encoder's. These, and those of the
            region encoder, have a row for each row of `input_ids` or `region_values`, whatever examples read it.
        region_hidden_states, region_attentions (`tuple`): the region encoder's, likewise.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    region_pooler_output: torch.Tensor | None = None
    next_pooler_output: torch.Tensor | None = None
    next_region_pooler_output: torch.Tensor | None = None
    region_hidden_state: torch.Tensor | None = None
    own_column: torch.Tensor | None = None
    enrichment: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    region_hidden_states: tuple[torch.Tensor, ...] | None = None
    region_attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class GeneBertForPreTrainingOutput(ModelOutput):
    """
    Output of [`GeneBertForPreTraining`].

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`): weighted sum of the losses whose labels were given.
        mgm_loss, ngsp_loss, srm_loss (`torch.FloatTensor` of shape `(1,)`): the three losses, unweighted; 0 where a
            batch has no label of that kind.
        prediction_logits (`torch.FloatTensor`): k-mer scores, of shape `(num_labelled_tokens, vocab_size)` in
            row-major order of `labels != -100` where `labels` were given, else
            `(batch_size, sequence_length, vocab_size)`.
        ngsp_logits (`torch.FloatTensor` of shape `(batch_size, 2)`): segment B is not / is the next open region.
        srm_logits (`torch.FloatTensor` of shape `(batch_size, 2)`): the matrix does not / does belong to segment A.
        hidden_states, attentions (`tuple`, *optional*): the sequence encoder's.
    """

    loss: torch.Tensor | None = None
    mgm_loss: torch.Tensor | None = None
    ngsp_loss: torch.Tensor | None = None
    srm_loss: torch.Tensor | None = None
    prediction_logits: torch.Tensor | None = None
    ngsp_logits: torch.Tensor | None = None
    srm_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class GeneBertForVariantEffectOutput(ModelOutput):
    """
    Output of [`GeneBertForVariantEffect`].

    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, returned when `labels` were given): the loss.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`): effects, or scores of classes.
        hidden_states, attentions (`tuple`, *optional*): the sequence encoder's, for the reference allele.
        alt_hidden_states, alt_attentions (`tuple`, *optional*): likewise for the alternate allele.
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    alt_hidden_states: tuple[torch.Tensor, ...] | None = None
    alt_attentions: tuple[torch.Tensor, ...] | None = None


__all__ = ["GeneBertForPreTrainingOutput", "GeneBertForVariantEffectOutput", "GeneBertModelOutput"]
