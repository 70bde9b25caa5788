"""What all GeneBERT models share: initial weights, and checkpoints that every Auto class opens."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .configuration_genebert import NUM_SPECIAL_TOKENS, GeneBertConfig
from .fusion_genebert import ResidualLinear
from .region_encoder_genebert import GeneBertMotifBlockProjection, GeneBertRegionEncoder


# Every class that a checkpoint of any GeneBERT model can be opened with, for trust_remote_code.
AUTO_MAP = {
    "AutoConfig": "configuration_genebert.GeneBertConfig",
    "AutoModel": "modeling_genebert.GeneBertModel",
    "AutoModelForPreTraining": "modeling_genebert.GeneBertForPreTraining",
    "AutoModelForMaskedLM": "modeling_genebert.GeneBertForMaskedLM",
    "AutoModelForSequenceClassification": "modeling_genebert.GeneBertForSequenceClassification",
    "AutoModelForTokenClassification": "modeling_genebert.GeneBertForTokenClassification",
    "AutoModelForVariantEffect": "modeling_genebert.GeneBertForVariantEffect",
}


class GeneBertPreTrainedModel(PreTrainedModel):
    config: GeneBertConfig
    config_class = GeneBertConfig
    base_model_prefix = "genebert"
    main_input_name = "input_ids"
    input_modalities = ["text", "image"]
    supports_gradient_checkpointing = True
    # The losses are means over their own labels: Trainer must do the averaging over accumulation steps itself.
    accepts_loss_kwargs = False
    # The heads of pre-training; a model for another task leaves them behind without a word.
    _keys_to_ignore_on_load_unexpected = [r"^(predictions|ngsp_head|srm_head)\."]
    _supports_sdpa = True
    _supports_attention_backend = True
    _no_split_modules = ["BertLayer", "SwinStage", "GeneBertFusionLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.Linear) and not isinstance(module, ResidualLinear):
            # Unit gain. BERT's 0.02 shrinks what differs between inputs at each of the layers on the way to the
            # product s·r, and matching (which no single modality hints at) was still at chance after 300 steps.
            init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, GeneBertMotifBlockProjection):
            module.init_weights()
        elif isinstance(module, GeneBertRegionEncoder):
            if module.block_projection is not None:
                init.normal_(module.column_positions, std=self.config.initializer_range)
            init.normal_(module.mask_value, std=self.config.initializer_range)
            init.normal_(module.no_region, std=self.config.initializer_range)

    def enable_input_require_grads(self) -> None:
        """As in transformers, but of the word embeddings only: Swin's patch embeddings return a tuple."""
        hook = self.get_input_embeddings().register_forward_hook(lambda *call: call[-1].requires_grad_(True))
        self._require_grads_hook, self._require_grads_hooks = hook, [hook]

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """As in transformers; the saved config names every GeneBERT class, so that any Auto class opens the folder."""
        if self._auto_class is not None:
            self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, **kwargs)


def with_shared_bases(embeddings: torch.Tensor, kmer: int) -> torch.Tensor:
    """Make each k-mer's vector of three equal parts: its bases, its bases by position, and one of its own."""
    std, hidden = embeddings[NUM_SPECIAL_TOKENS:].std() / 3**0.5, embeddings.shape[1]
    by_base, by_position = embeddings.new_empty(4, hidden).normal_(), embeddings.new_empty(kmer, 4, hidden).normal_()
    sums = embeddings.new_zeros(1, hidden)
    for vectors in (by_base + by_position) * std / kmer**0.5:  # as in the vocabulary, the last base runs fastest
        sums = (sums[:, None] + vectors).reshape(-1, hidden)
    result = embeddings.clone()
    result[NUM_SPECIAL_TOKENS : NUM_SPECIAL_TOKENS + 4**kmer].mul_(3**-0.5).add_(sums)
    return result


__all__ = ["GeneBertPreTrainedModel"]
