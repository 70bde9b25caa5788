"""GeneBERT models.

Shape suffixes: B batch, T tokens, H hidden size of the sequence encoder, S region tokens, N labelled tokens,
V vocabulary, L bases.

Data flow of `GeneBertModel`:

    input_ids     -> (convolutions ->) sequence encoder (BERT)          -> sequence states BTH
    region_values -> a projection per motif block -> Swin, and columns  -> region tokens   BSH
    sequence states cross-attend to region tokens                       -> last_hidden_state BTH
    pooled: s = the segments of last_hidden_state, r = the region tokens; the heads see s, r and s·r
"""

# No `from __future__ import annotations` here: transformers reads what `forward` takes from its annotations.

import inspect
from collections import OrderedDict
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import MODEL_MAPPING, AutoModel
from transformers import initialization as init
from transformers.modeling_outputs import MaskedLMOutput, SequenceClassifierOutput, TokenClassifierOutput
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
from transformers.processing_utils import Unpack
from transformers.utils.generic import TransformersKwargs, can_return_tuple

from .attention_genebert import run_encoder
from .base_genebert import GeneBertPreTrainedModel, with_shared_bases
from .configuration_genebert import IGNORE_INDEX, GeneBertConfig
from .dropout_genebert import replace_dropout
from .fusion_genebert import GeneBertFusionLayer
from .heads_genebert import (
    GeneBertMaskedPredictionHead,
    GeneBertPooledFeatures,
    GeneBertPooledHead,
    GeneBertPooler,
    base_states,
    mean_binary_cross_entropy,
    mean_cross_entropy,
    nearest_ids,
)
from .outputs_genebert import GeneBertForPreTrainingOutput, GeneBertForVariantEffectOutput, GeneBertModelOutput
from .pipelines_genebert import CUSTOM_PIPELINES, SEQUENCE_PIPELINES
from .region_encoder_genebert import GeneBertRegionEncoder, GeneBertRegionOutput
from .sequence_stem_genebert import GeneBertSequenceStem
from .strands_genebert import average_strands
from .windows_genebert import check_num_tokens, max_num_tokens, max_of_windows, pool_windows, stitch_windows


LABELLED_TOKENS_MULTIPLE = 256


class GeneBertModel(GeneBertPreTrainedModel):
    """The bare model: sequence encoder, region encoder and their fusion.

    Args:
        config ([`GeneBertConfig`]): the configuration.
        add_pooling_layer (`bool`, defaults to `True`): without, `pooler_output` and `region_pooler_output` are None.
        pool_next (`bool`, defaults to `False`): pool segment B and the regions round its column, too.
    """

    def __init__(self, config: GeneBertConfig, add_pooling_layer: bool = True, pool_next: bool = False):
        super().__init__(config)
        self.pools_next = pool_next
        sequence_class: Any = MODEL_MAPPING[type(config.sequence_config)]
        # Pooling happens after fusion: a pooler inside the encoder would only be dead weight.
        without_pooler = "add_pooling_layer" in inspect.signature(sequence_class.__init__).parameters
        self.sequence_encoder = AutoModel.from_config(
            config.sequence_config,
            dtype=torch.get_default_dtype(),  # that of all else here, not that of the checkpoint the config is from
            **({"add_pooling_layer": False} if without_pooler else {}),
        )
        replace_dropout(self.sequence_encoder)
        self.encoder_takes_segments = "token_type_ids" in inspect.signature(sequence_class.forward).parameters
        self.stem = GeneBertSequenceStem(config) if config.num_conv_layers else None
        self.max_num_tokens = max_num_tokens(self.sequence_encoder, config.conv_pool_size if self.stem else 1)
        self.region_encoder = GeneBertRegionEncoder(config, add_pooling_layer, pool_next)
        num_layers = config.num_fusion_layers if config.fusion_type == "cross_attention" else 0
        self.fusion = nn.ModuleList(GeneBertFusionLayer(config) for _ in range(num_layers))
        self.fusion_norm = nn.LayerNorm(config.hidden_size, eps=1e-6) if num_layers else nn.Identity()
        self.pooler = GeneBertPooler(config) if add_pooling_layer else None
        self.post_init()

    def _initialize_weights(self, module: nn.Module, *args: Any, **kwargs: Any) -> None:
        """As in transformers; then, when the parts have their weights, k-mers get embeddings that share bases."""
        is_done = getattr(module, "_is_hf_initialized", False)
        super()._initialize_weights(module, *args, **kwargs)
        if module is self and not is_done:
            embeddings: Any = self.get_input_embeddings().weight
            if not getattr(embeddings, "_is_hf_initialized", False):  # else it comes from a checkpoint
                init.copy_(embeddings, with_shared_bases(embeddings, self.config.kmer))

    def get_input_embeddings(self) -> nn.Module:
        return self.sequence_encoder.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.sequence_encoder.set_input_embeddings(value)

    def get_sequence_features(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> Any:
        """
        The sequence encoder's own output, before fusion; after convolutions, one state for `conv_pool_size` tokens.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): k-mer ids.
            attention_mask (`torch.Tensor` of shape `(batch_size, sequence_length)`, *optional*): 1 = token.
            token_type_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*): 0 = segment A.
            inputs_embeds (`torch.FloatTensor` of shape `(batch_size, sequence_length, hidden_size)`, *optional*):
                embeddings in place of `input_ids`; in pooling, each counts as the k-mer that is nearest.

        Raises:
            ValueError: not exactly one of `input_ids` and `inputs_embeds`, or more tokens than the encoder has
                positions.
        """
        return self._encode_sequence(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)[0]

    def _encode_sequence(
        self, input_ids: Any, attention_mask: Any, token_type_ids: Any, inputs_embeds: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """What `get_sequence_features` returns, and the stem's states of the tokens."""
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("pass exactly one of input_ids and inputs_embeds")
        check_num_tokens((input_ids if inputs_embeds is None else inputs_embeds).shape[1], self.max_num_tokens)
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "inputs_embeds": inputs_embeds}
        if self.encoder_takes_segments:
            inputs["token_type_ids"] = token_type_ids
        if self.stem is None:
            return run_encoder(self.sequence_encoder, self.config, **inputs, **kwargs), None
        stem_BTH = self.stem(self.get_input_embeddings(), **inputs)
        inputs = self.stem.pool(stem_BTH, **inputs)
        return run_encoder(self.sequence_encoder, self.config, **inputs, **kwargs), stem_BTH

    def get_region_features(
        self,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        batch_size: int | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GeneBertRegionOutput:
        """
        The regions alone: tokens and pooled vector in the hidden size of the sequence encoder.

        Args:
            region_values (`torch.FloatTensor` of shape `(batch_size, 4, num_motif_rows, num_regions)`, *optional*):
                The region matrix, or `(batch_size, num_motifs + 3, num_regions)` (see [`compact_region_values`]);
                without one, `batch_size` rows of the learned "no region" state.
            region_mask (`torch.Tensor` of shape `(batch_size, num_regions)`, *optional*):
                1 = column present, 0 = absent or hidden. Default: all present.
            region_context_ids (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                0 = window of open regions (default), 1 = tiles of the sequence itself.
        """
        if region_values is not None:
            batch_size = region_values.shape[0]
        if batch_size is None:
            raise ValueError("get_region_features needs region_values or batch_size")
        return self.region_encoder(region_values, region_mask, region_context_ids, batch_size, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        overflow_to_sample_mapping: torch.LongTensor | None = None,
        window_starts: torch.LongTensor | None = None,
        sequence_rows: torch.LongTensor | None = None,
        region_rows: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GeneBertModelOutput:
        """
        See `get_sequence_features` and `get_region_features` for the other arguments.

        Args:
            sequence_rows, region_rows (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                For each example the row of `input_ids` and the row of `region_values` that it reads; default: row by
                row. What several examples read passes its encoder once, with one draw of dropout.
            overflow_to_sample_mapping (`torch.LongTensor` of shape `(num_windows,)`, *optional*):
                For rows that are windows, the number of the sample each is cut from: `pooler_output` and
                `region_pooler_output` are then means over the windows of each sample, one row a sample.
            window_starts: not used here (see [`GeneBertForTokenClassification`]); taken because processors write it.
        """
        sequence, stem_BTH = self._encode_sequence(input_ids, attention_mask, token_type_ids, inputs_embeds, **kwargs)
        states_BTH = sequence.last_hidden_state
        if sequence_rows is not None:
            of_rows: Any = (states_BTH, stem_BTH, input_ids, attention_mask, token_type_ids, inputs_embeds)
            of_rows = (None if tensor is None else tensor.index_select(0, sequence_rows) for tensor in of_rows)
            states_BTH, stem_BTH, input_ids, attention_mask, token_type_ids, inputs_embeds = of_rows
        regions = self.get_region_features(
            region_values, region_mask, region_context_ids, batch_size=states_BTH.shape[0], **kwargs
        )
        if region_rows is not None:
            regions = regions.take(region_rows)
        for layer in self.fusion:
            states_BTH = layer(states_BTH, regions.last_hidden_state)
        states_BTH = self.fusion_norm(states_BTH)
        states_BTH = states_BTH if self.stem is None else self.stem.unpool(states_BTH, stem_BTH)
        pooled: dict[str, Any] = {}
        if self.pooler is not None:
            table: Any = self.get_input_embeddings()
            ids: Any = input_ids if inputs_embeds is None else nearest_ids(inputs_embeds, table.weight)
            vectors = self.pooler(states_BTH, ids, attention_mask, token_type_ids, with_next=self.pools_next)
            pooled["pooler_output"], pooled["next_pooler_output"] = vectors
            pooled["region_pooler_output"] = regions.pooler_output
            pooled["next_region_pooler_output"] = regions.next_pooler_output
        of_matrix = {"own_column": regions.own_column, "enrichment": regions.enrichment}
        if overflow_to_sample_mapping is not None:
            is_token_BT = torch.ones_like(states_BTH[..., 0]) if attention_mask is None else attention_mask
            num_tokens_B = is_token_BT.sum(dim=1, dtype=torch.float32)
            pooled = {
                name: pool_windows(vectors, overflow_to_sample_mapping, num_tokens_B)
                for name, vectors in pooled.items()
                if vectors is not None
            }
            of_matrix = {
                name: max_of_windows(values, overflow_to_sample_mapping)
                for name, values in of_matrix.items()
                if values is not None
            }
        return GeneBertModelOutput(
            last_hidden_state=states_BTH,
            **pooled,
            **of_matrix,
            region_hidden_state=regions.last_hidden_state,
            hidden_states=sequence.hidden_states,
            attentions=sequence.attentions,
            region_hidden_states=regions.hidden_states,
            region_attentions=regions.attentions,
        )


class _WithMaskedPredictionHead(GeneBertPreTrainedModel):
    """What the two models that predict k-mers share."""

    _tp_plan = {"predictions.decoder": "colwise_gather_output"}  # the embeddings' weights, which are sharded too
    _tied_weights_keys = {"predictions.decoder.weight": "genebert.sequence_encoder.embeddings.word_embeddings.weight"}

    def __init__(self, config: GeneBertConfig, add_pooling_layer: bool, pool_next: bool = False):
        super().__init__(config)
        self.genebert = GeneBertModel(config, add_pooling_layer, pool_next)
        self.predictions = GeneBertMaskedPredictionHead(config)
        # The name of the embedding differs between encoders, so the tie is made for the one at hand.
        embeddings = self.get_input_embeddings()
        name = next(name for name, module in self.named_modules() if module is embeddings)
        self._tied_weights_keys = {"predictions.decoder.weight": f"{name}.weight"}

    def get_output_embeddings(self) -> nn.Module:
        return self.predictions.decoder

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.predictions.decoder = value  # type: ignore[assignment]  # transformers passes a Module that is Linear


class GeneBertForPreTraining(_WithMaskedPredictionHead):
    """GeneBERT with its three self-supervised heads: MGM, NGSP and SRM."""

    def __init__(self, config: GeneBertConfig):
        super().__init__(config, add_pooling_layer=True, pool_next=True)
        self.ngsp_head = GeneBertPooledHead(config, num_labels=2, of_next=True)
        self.srm_head = GeneBertPooledHead(config, num_labels=2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        ngsp_labels: torch.LongTensor | None = None,
        srm_labels: torch.LongTensor | None = None,
        sequence_rows: torch.LongTensor | None = None,
        region_rows: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GeneBertForPreTrainingOutput:
        """
        Args:
            labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                k-mer ids to predict, -100 = not masked. The prediction head then runs on the labelled tokens only.
            ngsp_labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                1 = segment B is the next open region after A, 0 = it is not, -100 = no segment B.
            srm_labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                1 = the region matrix belongs to segment A, 0 = it does not, -100 = no pair.
            sequence_rows, region_rows: as of [`GeneBertModel`]; `labels` are of the rows of `input_ids`.
        """
        output = self.genebert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_values,
            region_mask,
            region_context_ids,
            inputs_embeds,
            sequence_rows=sequence_rows,
            region_rows=region_rows,
            return_dict=True,
            **kwargs,
        )
        if labels is not None and sequence_rows is not None:
            labels = labels[sequence_rows]  # type: ignore[assignment]  # of another class in theory only
        if labels is None:
            prediction_logits = self.predictions(output.last_hidden_state)
        else:
            states = output.last_hidden_state[labels != IGNORE_INDEX]
            # A kernel is made for each new shape: rounding the number of tokens up leaves only a few of them.
            padded = F.pad(states, (0, 0, 0, -len(states) % LABELLED_TOKENS_MULTIPLE))
            prediction_logits = self.predictions(padded)[: len(states)]
        ngsp_logits, srm_logits = self.ngsp_head(output), self.srm_head(output)

        losses: dict[str, torch.Tensor] = {}
        if labels is not None:
            losses["mgm_loss"] = mean_cross_entropy(prediction_logits, labels[labels != IGNORE_INDEX])
        if ngsp_labels is not None:
            losses["ngsp_loss"] = mean_cross_entropy(ngsp_logits, ngsp_labels)
        if srm_labels is not None:
            losses["srm_loss"] = mean_cross_entropy(srm_logits, srm_labels)
        weighted = [getattr(self.config, f"{name}_weight") * loss for name, loss in losses.items()]
        return GeneBertForPreTrainingOutput(
            loss=torch.stack(weighted).sum() if weighted else None,
            **losses,
            prediction_logits=prediction_logits,
            ngsp_logits=ngsp_logits,
            srm_logits=srm_logits,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )


class GeneBertForMaskedLM(_WithMaskedPredictionHead):
    """GeneBERT that fills in masked k-mers."""

    def __init__(self, config: GeneBertConfig):
        super().__init__(config, add_pooling_layer=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> MaskedLMOutput:
        """
        Args:
            labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                k-mer ids to predict, -100 = not masked.
        """
        output = self.genebert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_values,
            region_mask,
            region_context_ids,
            inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        logits = self.predictions(output.last_hidden_state)
        loss = None if labels is None else mean_cross_entropy(logits.flatten(0, 1), labels.flatten())
        return MaskedLMOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states, attentions=output.attentions
        )


class GeneBertForSequenceClassification(GeneBertPreTrainedModel):
    """One prediction per sequence: promoters, TF-binding sites, splice sites; classes, several labels, or values.

    Of a sequence cut into windows (`overflow_to_sample_mapping`, see [`GeneBertModel`]) there is one prediction too.
    """

    def __init__(self, config: GeneBertConfig):
        super().__init__(config)
        self.config.custom_pipelines = deepcopy(SEQUENCE_PIPELINES)
        self.genebert = GeneBertModel(config)
        self.classifier = GeneBertPooledHead(config, num_labels=config.num_labels or 2, with_response=True)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> SequenceClassifierOutput:
        """
        Args:
            labels (`torch.Tensor`, *optional*): class ids of shape `(batch_size,)`; 0/1 floats of shape
                `(batch_size, num_labels)` for `problem_type="multi_label_classification"`, where -100 is a label that
                was not measured and counts in no loss; floats of shape
                `(batch_size,)` or `(batch_size, num_labels)` for `"regression"`. Without a `problem_type` it is
                told from `num_labels` and the dtype of the labels, as everywhere in transformers.
        """
        output = self.genebert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_values,
            region_mask,
            region_context_ids,
            inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        logits = self.classifier(output)
        loss = None
        if labels is not None and self.config.problem_type == "multi_label_classification":
            loss = mean_binary_cross_entropy(logits, labels)
        elif labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config)
        return SequenceClassifierOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states, attentions=output.attentions
        )


class GeneBertForTokenClassification(GeneBertPreTrainedModel):
    """One prediction per **base**: the mean of the states of all k-mers that cover the base, then a linear layer.

    `transformers.pipeline` needs [`GeneBertTokenClassificationPipeline`] for it.
    """

    def __init__(self, config: GeneBertConfig):
        super().__init__(config)
        self.config.custom_pipelines = deepcopy(CUSTOM_PIPELINES)
        self.genebert = GeneBertModel(config, add_pooling_layer=False)
        self.dropout = nn.Dropout(config.classifier_dropout)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels or 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        labels: torch.LongTensor | None = None,
        overflow_to_sample_mapping: torch.LongTensor | None = None,
        window_starts: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> TokenClassifierOutput:
        """
        One segment a row, as the tokenizer writes it: `[CLS]`, k-mers, `[SEP]`, padding on the right.

        Args:
            labels (`torch.LongTensor` of shape `(batch_size, num_bases)`, *optional*):
                class ids per base, -100 = no label; at most as wide as the logits. One row a sample, also of windows.
            overflow_to_sample_mapping, window_starts (`torch.LongTensor` of shape `(num_windows,)`, *optional*):
                For rows that are windows, the number of the sample each is cut from, and its start there in bp
                (0-based). The logits of the windows are then joined base by base, by their mean where they overlap.

        Returns:
            `logits` of shape `(batch_size, num_bases, num_labels)` with
            `num_bases = (sequence_length - 3) * stride + kmer`, of windows `(num_samples, longest, num_labels)`; what
            lies past a sequence's end has no meaning.
        """
        # A compiled or exported graph has no place for a check of values.
        if token_type_ids is not None and not torch.compiler.is_compiling() and bool((token_type_ids != 0).any()):
            raise ValueError("predictions per base take one segment a row, but token_type_ids holds a segment B")
        output = self.genebert(
            input_ids,
            attention_mask,
            token_type_ids,
            region_values,
            region_mask,
            region_context_ids,
            inputs_embeds,
            overflow_to_sample_mapping=overflow_to_sample_mapping,
            return_dict=True,
            **kwargs,
        )
        if attention_mask is None:
            attention_mask = torch.ones_like(output.last_hidden_state[..., 0], dtype=torch.long)
        states_BLH = base_states(output.last_hidden_state, attention_mask, self.config.kmer, self.config.stride)
        logits = self.classifier(self.dropout(states_BLH))
        if overflow_to_sample_mapping is not None:
            if window_starts is None:
                raise ValueError("predictions per base of windows need window_starts, as the processor writes it")
            num_kmers_B = attention_mask.sum(dim=1) - 2  # [CLS] and [SEP]
            num_bases_B = ((num_kmers_B - 1) * self.config.stride + self.config.kmer) * (num_kmers_B > 0)
            logits = stitch_windows(logits, num_bases_B, overflow_to_sample_mapping, window_starts)
        loss = None
        if labels is not None:
            if labels.shape[1] > logits.shape[1]:
                raise ValueError(f"labels has {labels.shape[1]} bases, but the tokens cover {logits.shape[1]}")
            loss = mean_cross_entropy(logits[:, : labels.shape[1]].flatten(0, 1), labels.flatten())
        return TokenClassifierOutput(
            loss=loss, logits=logits, hidden_states=output.hidden_states, attentions=output.attentions
        )


class GeneBertForVariantEffect(GeneBertPreTrainedModel):
    """Effect of a variant: both alleles go through one model, and the difference is the signal.

    With one label the effect is signed: equal alleles give exactly 0, exchanged ones the negative. With more labels
    (say benign / pathogenic) the classes are read from the difference of the alleles' features and its size.
    """

    def __init__(self, config: GeneBertConfig):
        super().__init__(config)
        self.genebert = GeneBertModel(config)
        self.features = GeneBertPooledFeatures(config, with_response=True)
        if config.num_labels == 1:
            self.classifier = nn.Linear(config.hidden_size, 1, bias=False)  # no bias: equal alleles give 0
        else:
            self.classifier = nn.Linear(2 * config.hidden_size, config.num_labels or 2)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        alt_input_ids: torch.LongTensor | None = None,
        alt_attention_mask: torch.Tensor | None = None,
        region_values: torch.FloatTensor | None = None,
        region_mask: torch.Tensor | None = None,
        region_context_ids: torch.LongTensor | None = None,
        alt_region_values: torch.FloatTensor | None = None,
        alt_region_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        token_type_ids: torch.LongTensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GeneBertForVariantEffectOutput:
        """
        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the reference allele.
            alt_input_ids (`torch.LongTensor` of shape `(batch_size, alt_sequence_length)`): the alternate allele.
            alt_region_values, alt_region_mask (*optional*): shaped as `region_values` and `region_mask`, the matrix
                as the alternate allele changes it; default: that of the reference.
            labels (`torch.Tensor` of shape `(batch_size,)`, *optional*): effects (floats) or class ids.
            token_type_ids: not used (each allele is one segment); taken because tokenizers write it.

        Returns:
            `logits` of shape `(batch_size, num_labels)`.
        """
        if input_ids is None or alt_input_ids is None:
            raise ValueError("a variant needs both alleles: pass input_ids (reference) and alt_input_ids (alternate)")
        shared = {"region_context_ids": region_context_ids, "return_dict": True, **kwargs}
        reference = self.genebert(
            input_ids, attention_mask, region_values=region_values, region_mask=region_mask, **shared
        )
        alternate = self.genebert(
            alt_input_ids,
            alt_attention_mask,
            region_values=region_values if alt_region_values is None else alt_region_values,
            region_mask=region_mask if alt_region_mask is None else alt_region_mask,
            **shared,
        )
        difference = self.features(alternate) - self.features(reference)
        if self.config.num_labels != 1:
            difference = torch.cat([difference, difference.abs()], dim=-1)
        logits = self.classifier(difference)
        loss = None
        if labels is not None and self.config.num_labels == 1:
            loss = F.mse_loss(logits.squeeze(-1).float(), labels.float())
        elif labels is not None:
            loss = mean_cross_entropy(logits, labels)
        return GeneBertForVariantEffectOutput(
            loss=loss,
            logits=logits,
            hidden_states=reference.hidden_states,
            attentions=reference.attentions,
            alt_hidden_states=alternate.hidden_states,
            alt_attentions=alternate.attentions,
        )


GeneBertModel.register_for_auto_class("AutoModel")
GeneBertForPreTraining.register_for_auto_class("AutoModelForPreTraining")
GeneBertForMaskedLM.register_for_auto_class("AutoModelForMaskedLM")
GeneBertForSequenceClassification.register_for_auto_class("AutoModelForSequenceClassification")
GeneBertForTokenClassification.register_for_auto_class("AutoModelForTokenClassification")


class AutoModelForVariantEffect(_BaseAutoModelClass):
    """The Auto class for pairs of alleles; transformers has none."""

    _model_mapping: Any = _LazyAutoMapping(CONFIG_MAPPING_NAMES, OrderedDict())


GeneBertForVariantEffect._auto_class = "AutoModelForVariantEffect"  # register_for_auto_class takes only its own

__all__ = [
    "AutoModelForVariantEffect",
    "GeneBertForMaskedLM",
    "GeneBertForPreTraining",
    "GeneBertForPreTrainingOutput",
    "GeneBertForSequenceClassification",
    "GeneBertForTokenClassification",
    "GeneBertForVariantEffect",
    "GeneBertForVariantEffectOutput",
    "GeneBertModel",
    "GeneBertModelOutput",
    "GeneBertPreTrainedModel",
    "average_strands",
]
