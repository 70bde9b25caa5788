"""GeneBERT configuration: one config for the sequence encoder, the region encoder and their fusion."""

# No `from __future__ import annotations` here: `strict` cannot check fields whose types are strings.

from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig, SwinConfig


NUM_SPECIAL_TOKENS = 5  # [PAD] [UNK] [CLS] [SEP] [MASK], ids 0..4
# [CLS] begins a sequence and [SEP] ends it; some encoders know them as bos and eos.
SEQUENCE_ENDS = {"cls_token_id": 2, "bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3}
IGNORE_INDEX = -100  # a label that no loss counts
REGION_CHANNELS = ("score", "accessibility", "accessibility_known", "distance")
NUM_REGION_CHANNELS = len(REGION_CHANNELS)
WINDOW_CONTEXT, SELF_TILED_CONTEXT = 0, 1  # what a matrix is of: open regions, tiles of the sequence itself
MOTIF_ROW_MULTIPLE = 32  # motif rows are padded to a multiple of this


@strict
class GeneBertConfig(PreTrainedConfig):
    r"""
    Configuration of a GeneBERT model. `GeneBertConfig()` is the `base` preset: BERT-base over 6-mers and Swin-T over
    the matrix of 1019 motifs (JASPAR2026 CORE vertebrates) × 32 regions.

    Args:
        sequence_config (`dict` or `PreTrainedConfig`, *optional*):
            The sequence encoder: any encoder that `AutoModel` knows. Default: BERT-base. A dict may leave out
            `vocab_size`, which follows from `kmer`, and the ids of special tokens. For sequences of up to 8,192
            tokens: `{"model_type": "modernbert"}` (and a tokenizer with `model_max_length=8192`).
        region_config (`dict` or `SwinConfig`, *optional*):
            The region encoder. Default: Swin-T with windows of 4 and absolute positions (the grid has one size and a
            column's place has a meaning). A dict may leave out `image_size`, `patch_size` and `num_channels`.
        kmer (`int`, defaults to 6): k-mer length in bp, 1 to 8.
        stride (`int`, defaults to 1): step between k-mers in bp, 1 (overlapping) to `kmer` (side by side).
        num_motifs (`int`, defaults to 1019): motifs in the bank the model reads.
        motif_bank_fingerprint (`str`, *optional*):
            `MotifBank.fingerprint` of that bank; a matrix made with another bank or another order is refused.
        num_motif_blocks (`int`, defaults to 32): rows of the grid that the region encoder sees. Each block of
            `num_motif_rows / num_motif_blocks` neighbouring motifs (32 in the default) has a projection of its own.
        num_regions (`int`, defaults to 32): columns of the region matrix.
        region_embedding (`str`, defaults to `"block_projection"`):
            `"block_projection"`, or `"patch"`: Swin's own shared patch projection (the plain baseline).
        fusion_type (`str`, defaults to `"cross_attention"`):
            `"cross_attention"`: sequence states attend to region tokens; `"concat"`: pooled vectors side by side
            only (the plain baseline).
        num_fusion_layers (`int`, defaults to 2): cross-attention layers.
        pooling (`str`, defaults to `"mean"`): how sequence states are pooled: `"mean"` or `"max"` of each segment, or
            `"cls"`. `"max"` finds what stands at one place of a long sequence, and suits convolutions.
        num_pooling_bins (`int`, defaults to 1): equal parts of each segment of which `"max"` takes the maximum apart.
            More than 1 where places count, as in promoters, which are cut out round the start of transcription.
        num_conv_layers (`int`, defaults to 0): convolutions over the k-mer embeddings, before the sequence encoder.
            They learn motifs from few sequences, where attention from scratch does not; 1 to 2 for small models.
        conv_kernel_size (`int`, defaults to 9): tokens that a convolution sees; with overlapping k-mers
            `kmer + conv_kernel_size - 1` bp.
        conv_pool_size (`int`, defaults to 4): tokens that the sequence encoder reads as one after the convolutions (by
            their maximum); each token gets the state of its bin, added to its own, so that predictions per base stay.
        mgm_loss_weight, ngsp_loss_weight, srm_loss_weight (`float`, default to 1.0): weights of the three
            pre-training losses.
        classifier_dropout (`float`, defaults to 0.1): dropout before the task heads, and of the motif scores and sites
            that they read.
        initializer_range (`float`, defaults to 0.02): standard deviation of the initial weights.

    Raises:
        ValueError: a combination that cannot work; the message names both values.

    Example:

    ```python
    >>> from modeling_genebert import GeneBertConfig, GeneBertModel

    >>> config = GeneBertConfig.small(kmer=6, num_motifs=1019)
    >>> model = GeneBertModel(config)
    ```"""

    model_type = "genebert"
    sub_configs = {"sequence_config": AutoConfig, "region_config": SwinConfig}
    # What a process holds a part of, for `from_pretrained(..., distributed_config=...)`.
    base_model_fsdp_plan = {
        "sequence_encoder.encoder.layer.*": "free_full_weight",
        "region_encoder": "free_full_weight",
        "fusion.*": "free_full_weight",
    }
    base_model_tp_plan = {
        "sequence_encoder.embeddings.word_embeddings": "embedding_rowwise",
        "sequence_encoder.encoder.layer.*.attention.self.query": "colwise",
        "sequence_encoder.encoder.layer.*.attention.self.key": "colwise",
        "sequence_encoder.encoder.layer.*.attention.self.value": "colwise",
        "sequence_encoder.encoder.layer.*.attention.output.dense": "rowwise",
        "sequence_encoder.encoder.layer.*.intermediate.dense": "colwise",
        "sequence_encoder.encoder.layer.*.output.dense": "rowwise",
        "fusion.*.query": "colwise",
        "fusion.*.key": "colwise",
        "fusion.*.value": "colwise",
        "fusion.*.output": "rowwise",
        "fusion.*.intermediate": "colwise",
        "fusion.*.mlp_output": "rowwise",
    }

    sequence_config: Any = None  # a dict or None on the way in, a config from then on
    region_config: Any = None
    kmer: int = 6
    stride: int = 1
    num_motifs: int = 1019
    motif_bank_fingerprint: str | None = None
    num_motif_blocks: int = 32
    num_regions: int = 32
    region_embedding: Literal["block_projection", "patch"] = "block_projection"
    fusion_type: Literal["cross_attention", "concat"] = "cross_attention"
    num_fusion_layers: int = 2
    pooling: Literal["mean", "max", "cls"] = "mean"
    num_pooling_bins: int = 1
    num_conv_layers: int = 0
    conv_kernel_size: int = 9
    conv_pool_size: int = 4
    mgm_loss_weight: float | int = 1.0
    ngsp_loss_weight: float | int = 1.0
    srm_loss_weight: float | int = 1.0
    classifier_dropout: float | int = 0.1
    initializer_range: float = 0.02
    tie_word_embeddings: bool = True
    pad_token_id: int | None = 0

    def __post_init__(self, **kwargs: Any) -> None:
        if not 1 <= self.kmer <= 8:
            raise ValueError(f"kmer must be 1 to 8, got {self.kmer}")
        if not 1 <= self.stride <= self.kmer:
            raise ValueError(f"stride must be 1 to kmer={self.kmer}, or bases would be skipped; got {self.stride}")
        if min(self.num_motifs, self.num_motif_blocks) < 1:
            raise ValueError(
                f"num_motifs and num_motif_blocks must be at least 1, got {self.num_motifs} and "
                f"{self.num_motif_blocks}"
            )
        if self.num_pooling_bins < 1 or (self.num_pooling_bins > 1 and self.pooling != "max"):
            raise ValueError(
                f"num_pooling_bins must be at least 1, and 1 unless pooling is max; got {self.num_pooling_bins} with "
                f"pooling={self.pooling!r}"
            )
        if self.num_conv_layers < 0 or min(self.conv_kernel_size, self.conv_pool_size) < 1:
            raise ValueError(
                "num_conv_layers must be at least 0, conv_kernel_size and conv_pool_size at least 1, got "
                f"{self.num_conv_layers}, {self.conv_kernel_size} and {self.conv_pool_size}"
            )
        # A sub-config given as a dict (or not at all) takes the shapes that follow from the fields above.
        if self.sequence_config is None or isinstance(self.sequence_config, dict):
            vocabulary = {"vocab_size": self.kmer_vocab_size, "pad_token_id": self.pad_token_id, **SEQUENCE_ENDS}
            sequence_config = {"model_type": "bert", **vocabulary, **(self.sequence_config or {})}
            self.sequence_config = AutoConfig.for_model(**sequence_config)
        if self.region_config is None or isinstance(self.region_config, dict):
            region_config = {"window_size": 4, "use_absolute_embeddings": True, **(self.region_config or {})}
            shapes = self._region_shapes(region_config.get("embed_dim", 96))
            self.region_config = SwinConfig(**{**shapes, **region_config})
        super().__post_init__(**kwargs)
        self._check_shapes()

    @property
    def kmer_vocab_size(self) -> int:
        """Entries of the vocabulary: five special tokens and all k-mers."""
        return NUM_SPECIAL_TOKENS + 4**self.kmer

    @property
    def num_motif_rows(self) -> int:
        """Rows of the region matrix: the motifs, padded to a multiple of 32."""
        return -(-self.num_motifs // MOTIF_ROW_MULTIPLE) * MOTIF_ROW_MULTIPLE

    @property
    def motif_block_size(self) -> int:
        """Neighbouring motifs that share one row of the region encoder's grid."""
        return self.num_motif_rows // self.num_motif_blocks

    @property
    def anchor_index(self) -> int:
        """Column of the anchor; the next open region is the column after it."""
        return self.num_regions // 2 - 1

    @property
    def hidden_size(self) -> int:
        return self.sequence_config.hidden_size

    @property
    def vocab_size(self) -> int:
        return self.sequence_config.vocab_size

    @vocab_size.setter
    def vocab_size(self, value: int) -> None:
        self.sequence_config.vocab_size = value

    @property
    def output_attentions(self) -> bool | None:
        """Attention weights are given whatever `attn_implementation` was asked for: see `run_encoder`."""
        return self._output_attentions

    @output_attentions.setter
    def output_attentions(self, value: bool | None) -> None:
        self._output_attentions = value

    def validate_output_attentions(self) -> None:
        """Nothing to refuse; elsewhere in transformers, `output_attentions` and sdpa are."""

    def get_text_config(self, *args: Any, **kwargs: Any) -> PreTrainedConfig:
        """The config that generic transformers code takes for the vocabulary: the sequence encoder's."""
        return self.sequence_config

    def check_motif_bank(self, fingerprint: str, num_motifs: int) -> None:
        """Raise `ValueError` unless a motif bank is the one this model reads."""
        if num_motifs != self.num_motifs or self.motif_bank_fingerprint not in (None, fingerprint):
            raise ValueError(
                f"the model reads a bank of {self.num_motifs} motifs with fingerprint {self.motif_bank_fingerprint}, "
                f"but got one of {num_motifs} motifs with fingerprint {fingerprint}; use the motifs.safetensors "
                "that was saved with the checkpoint"
            )

    def _region_shapes(self, embed_dim: int) -> dict[str, Any]:
        """Shapes of the Swin encoder whose input is what `region_embedding` produces."""
        if self.region_embedding == "block_projection":
            grid = [self.num_motif_blocks, self.num_regions]
            return {"image_size": grid, "patch_size": 1, "num_channels": embed_dim}
        matrix = [self.num_motif_rows, self.num_regions]
        return {"image_size": matrix, "patch_size": [self.motif_block_size, 1], "num_channels": NUM_REGION_CHANNELS}

    def _check_shapes(self) -> None:
        if self.sequence_config.vocab_size < self.kmer_vocab_size:
            raise ValueError(
                f"sequence_config.vocab_size={self.sequence_config.vocab_size} is too small for kmer={self.kmer}, "
                f"which needs {self.kmer_vocab_size}"
            )
        if self.num_regions < 2 or self.num_regions % 2:
            raise ValueError(f"num_regions must be an even number of at least 2, got {self.num_regions}")
        if self.num_motif_rows % self.num_motif_blocks:
            raise ValueError(
                f"num_motif_blocks={self.num_motif_blocks} does not divide the {self.num_motif_rows} rows of "
                f"num_motifs={self.num_motifs}"
            )
        for name, wanted in self._region_shapes(self.region_config.embed_dim).items():
            found = getattr(self.region_config, name)
            if _as_list(found) != _as_list(wanted):
                raise ValueError(
                    f"region_config.{name}={found} does not fit region_embedding={self.region_embedding!r} with "
                    f"num_motifs={self.num_motifs}, num_motif_blocks={self.num_motif_blocks}, "
                    f"num_regions={self.num_regions}: expected {wanted}"
                )
        # Swin clamps its window where the grid is smaller and cannot run afterwards, so refuse it here.
        stages = len(self.region_config.depths)
        smallest = min(self.num_motif_blocks, self.num_regions) // 2 ** (stages - 1)
        if smallest < self.region_config.window_size:
            raise ValueError(
                f"region_config.window_size={self.region_config.window_size} does not fit the last of {stages} "
                f"stages, whose grid of num_motif_blocks={self.num_motif_blocks} × num_regions={self.num_regions} "
                f"is only {smallest} wide"
            )

    @classmethod
    def tiny(cls, **kwargs: Any) -> "GeneBertConfig":
        """For tests and first steps: BERT 2 layers × 64, Swin 2 stages × 16."""
        sequence = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128}
        region = {"embed_dim": 16, "depths": [1, 1], "num_heads": [1, 2], "drop_path_rate": 0.0}
        return cls(**_with_sub_configs(kwargs, sequence, region, num_motif_blocks=8))

    @classmethod
    def compact(cls, **kwargs: Any) -> "GeneBertConfig":
        """For a CPU and some ten thousand sequences: convolutions, BERT 2 layers × 128, Swin 2 stages × 32; 4-mers."""
        sequence = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256}
        region = {"embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4], "drop_path_rate": 0.0}
        others = {"kmer": 4, "num_conv_layers": 1, "conv_kernel_size": 15, "pooling": "max"}
        others |= {"num_motif_blocks": 16, "num_fusion_layers": 1}
        return cls(**_with_sub_configs(kwargs, sequence, region, **others))

    @classmethod
    def small(cls, **kwargs: Any) -> "GeneBertConfig":
        """For two CPU cores: BERT 4 layers × 256, Swin 3 stages × 48."""
        sequence = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 1024}
        region = {"embed_dim": 48, "depths": [2, 2, 2], "num_heads": [2, 4, 8], "drop_path_rate": 0.0}
        return cls(**_with_sub_configs(kwargs, sequence, region))

    @classmethod
    def base(cls, **kwargs: Any) -> "GeneBertConfig":
        """The paper's size: BERT-base and Swin-T; the same as `GeneBertConfig(**kwargs)`."""
        return cls(**kwargs)

    @classmethod
    def from_preset(cls, name: str, **kwargs: Any) -> "GeneBertConfig":
        """
        One of the presets by name: `tiny`, `compact`, `small` or `base`.

        Of `sequence_config` and `region_config` given as dicts, each field replaces the preset's own.
        """
        presets = {"tiny": cls.tiny, "compact": cls.compact, "small": cls.small, "base": cls.base}
        if name not in presets:
            raise ValueError(f"unknown preset {name!r}, expected one of {sorted(presets)}")
        return presets[name](**kwargs)


def _with_sub_configs(
    fields: dict[str, Any], sequence: dict[str, Any], region: dict[str, Any], **others: Any
) -> dict[str, Any]:
    """A preset's fields, replaced by those given; those of sub-configs one by one."""
    preset = {"sequence_config": sequence, "region_config": region, **others}
    for name in ("sequence_config", "region_config"):
        if isinstance(fields.get(name), dict):
            fields = {**fields, name: {**preset[name], **fields[name]}}
    return {**preset, **fields}


def _as_list(size: int | list | tuple) -> list:
    return list(size) if isinstance(size, (list, tuple)) else [size]


GeneBertConfig.register_for_auto_class()

__all__ = ["GeneBertConfig"]
