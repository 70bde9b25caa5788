"""What all GeneBERT models share: initial weights, and checkpoints that every Auto class opens."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init

from .configuration_genebert import NUM_SPECIAL_TOKENS, GeneBertConfig
from .fusion_genebert import ResidualLinear
from .heads_genebert import GeneBertMotifResponse
from .region_encoder_genebert import GeneBertMotifProjection, GeneBertRegionEncoder, GeneBertScoreNorm
from .warm_start_genebert import warm_start


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
RESIDUAL_GAIN = 0.16  # what BERT's 0.02 gives a layer of 64


class GeneBertPreTrainedModel(PreTrainedModel):
    config: GeneBertConfig
    config_class = GeneBertConfig
    base_model_prefix = "genebert"
    main_input_name = "input_ids"
    input_modalities = ["text", "image"]
    supports_gradient_checkpointing = True
    # The losses are means over their own labels: Trainer must do the averaging over accumulation steps itself.
    accepts_loss_kwargs = False
    # The heads of pre-training and, where nothing is pooled, the poolers: left behind without a word.
    _keys_to_ignore_on_load_unexpected = [
        r"^(predictions|ngsp_head|srm_head)\.",
        r"^(genebert\.)?(region_encoder\.)?(pooler|pooling_query)\.",
    ]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True
    _no_split_modules = ["BertLayer", "SwinStage", "GeneBertFusionLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, ResidualLinear):
            init.normal_(module.weight, std=RESIDUAL_GAIN * module.in_features**-0.5)
        elif isinstance(module, nn.Linear):
            # Unit gain. BERT's 0.02 shrinks what differs between inputs at each of the layers on the way to the
            # product s·r, and matching (which no single modality hints at) was still at chance after 300 steps.
            init.normal_(module.weight, std=module.in_features**-0.5)
        elif isinstance(module, nn.Conv1d):
            init.normal_(module.weight, std=(module.in_channels * module.kernel_size[0]) ** -0.5)
        elif isinstance(module, (GeneBertMotifProjection, GeneBertMotifResponse, GeneBertScoreNorm)):
            module.init_weights()
        elif isinstance(module, GeneBertRegionEncoder):
            if module.block_projection is not None:
                init.normal_(module.column_positions, std=self.config.initializer_range)
                init.normal_(module.mask_column, std=self.config.initializer_range)
            init.normal_(module.mask_value, std=self.config.initializer_range)
            init.normal_(module.no_region, std=self.config.initializer_range)

    def enable_input_require_grads(self) -> None:
        """As in transformers, but that Swin's embeddings return a tuple: states and grid."""

        def require_grads(module: nn.Module, inputs: Any, output: Any) -> None:
            (output[0] if isinstance(output, tuple) else output).requires_grad_(True)

        base: Any = self.base_model
        embeddings: list[nn.Module] = [self.get_input_embeddings(), base.region_encoder.swin.embeddings]
        self._require_grads_hooks = [module.register_forward_hook(require_grads) for module in embeddings]
        self._require_grads_hook = self._require_grads_hooks[0]

    @classmethod
    def maybe_distribute_model(cls, model: Any, distributed_config: Any, *args: Any) -> Any:
        """As in transformers, but weights are tied before they are sharded: vocabularies are odd, and of a parameter
        that does not divide by the number of processes, FSDP2 keeps a padded copy for each module that it shards."""
        if distributed_config is not None and getattr(distributed_config, "fsdp_size", 1) > 1:
            model.tie_weights()
        return super().maybe_distribute_model(model, distributed_config, *args)

    @classmethod
    def from_pretrained(cls, *args: Any, use_safetensors: bool | None = None, **kwargs: Any) -> Any:
        """
        As in transformers, but weights are read from safetensors only: a pickle can run what somebody put into it.

        Raises:
            OSError: a checkpoint without safetensors.
            ValueError: `use_safetensors=False`.
        """
        if use_safetensors is False:
            raise ValueError("use_safetensors=False: GeneBERT reads weights from safetensors only; convert them first")
        return super().from_pretrained(*args, use_safetensors=True, **kwargs)

    @classmethod
    def from_sequence_region_pretrained(
        cls,
        sequence_model_name_or_path: str | os.PathLike | None = None,
        region_model_name_or_path: str | os.PathLike | None = None,
        *,
        config: GeneBertConfig | None = None,
        output_loading_info: bool = False,
        **kwargs: Any,
    ) -> Any:
        """
        Warm start: a new model whose encoders take over the weights of other models, as far as they fit by name and
        shape. All others are newly initialised, except that the outputs of the fusion layers start at zero (after a
        sequence checkpoint), so that the pre-trained states reach the heads as they are. What did not fit is logged.

        Args:
            sequence_model_name_or_path (`str` or `os.PathLike`, *optional*):
                Folder or Hub id of the sequence encoder: DNABERT (k = 3 to 6), or any encoder that `AutoModel` knows
                whose vocabulary is GeneBERT's; with a masked-LM head like BERT's, RoBERTa's or ModernBERT's, that
                too, where the class predicts k-mers. Safetensors only.
            region_model_name_or_path (`str` or `os.PathLike`, *optional*):
                Folder or Hub id of a Swin. Its blocks fit; what depends on its image, patch and window size does not
                where GeneBERT's are others. Safetensors only.
            config (`GeneBertConfig`, *optional*):
                Default: the sequence checkpoint's own config with k told from the size of its vocabulary, the sizes
                of the region checkpoint's layers, and the defaults of `GeneBertConfig`.
            output_loading_info (`bool`, defaults to `False`): whether to return the loading info too.
            kwargs (*optional*): `attn_implementation` and `dtype` of the new model (default: float32); `cache_dir`,
                `force_download`, `local_files_only`, `revision`, `subfolder` and `token` of a checkpoint, with
                `sequence_` or `region_` before the name; without `config`, also fields of `GeneBertConfig`.

        Returns:
            The model in evaluation mode; with `output_loading_info=True` a pair of the model and a dict of sets:
            `missing_keys` (newly initialised weights), `unexpected_keys` (the checkpoints' weights that have no
            place) and `mismatched_keys` (tuples of name, shape in the checkpoint, shape here; newly initialised).

        Raises:
            ValueError: a checkpoint of which nothing fits, of another model type than the config says, or without
                safetensors; a vocabulary of another size (where no config is given) or in another order.

        Example:

        ```python
        >>> from modeling_genebert import GeneBertForSequenceClassification

        >>> model = GeneBertForSequenceClassification.from_sequence_region_pretrained("dnabert-6", num_labels=2)
        ```"""
        model, loading_info = warm_start(cls, sequence_model_name_or_path, region_model_name_or_path, config, **kwargs)
        return (model, loading_info) if output_loading_info else model

    def save_pretrained(self, save_directory: Any, *args: Any, **kwargs: Any) -> None:
        """
        As in transformers; the saved config names every GeneBERT class, so that any Auto class opens the folder.

        Weights keep the names that they have in the model. By default transformers writes Swin's by their old names,
        which `Trainer` does not find when it resumes or loads the best checkpoint.
        """
        if self._auto_class is not None:
            self.config.auto_map = dict(AUTO_MAP)
        super().save_pretrained(save_directory, *args, **{"save_original_format": False, **kwargs})


def with_shared_bases(embeddings: torch.Tensor, kmer: int) -> torch.Tensor:
    """Make each k-mer's vector of three equal parts: its bases, its bases by position, and one of its own."""
    std, hidden = embeddings[NUM_SPECIAL_TOKENS:].std() / 3**0.5, embeddings.shape[1]
    by_base, by_position = embeddings.new_empty(4, hidden).normal_(), embeddings.new_empty(kmer, 4, hidden).normal_()
    sums = embeddings.new_zeros(1, hidden)
    for vectors in (by_base + by_position) * std / kmer**0.5:  # as in the vocabulary, the last base runs fastest
        sums = (sums[:, None] + vectors).reshape(-1, hidden)
    result = embeddings.clone()
    kmers = result[NUM_SPECIAL_TOKENS : NUM_SPECIAL_TOKENS + 4**kmer]  # fewer where the vocabulary was resized
    kmers.mul_(3**-0.5).add_(sums[: len(kmers)])
    return result


__all__ = ["GeneBertPreTrainedModel"]
