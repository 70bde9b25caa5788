from __future__ import annotations

import json

import pytest
from transformers import BertConfig, RobertaConfig, SwinConfig

from modeling_genebert import GeneBertConfig

from .conftest import REGION, SEQUENCE, make_config


def test_base_is_bert_base_and_swin_t():
    config = GeneBertConfig()
    sequence, region = config.sequence_config, config.region_config
    assert isinstance(sequence, BertConfig) and isinstance(region, SwinConfig)
    assert (sequence.hidden_size, sequence.num_hidden_layers, sequence.num_attention_heads) == (768, 12, 12)
    assert (sequence.vocab_size, sequence.pad_token_id, sequence.max_position_embeddings) == (4101, 0, 512)
    assert (region.embed_dim, list(region.depths), list(region.num_heads)) == (96, [2, 2, 6, 2], [3, 6, 12, 24])
    assert (region.image_size, region.patch_size, region.num_channels) == ([32, 32], 1, 96)
    assert (region.window_size, region.use_absolute_embeddings) == (4, True)
    assert (config.num_motif_rows, config.motif_block_size, config.anchor_index) == (1024, 32, 15)
    assert (config.hidden_size, config.vocab_size, config.model_type) == (768, 4101, "genebert")
    assert config.get_text_config() is sequence


@pytest.mark.parametrize(
    ("preset", "hidden_size", "layers", "heads", "embed_dim", "depths", "grid"),
    [
        ("tiny", 64, 2, 2, 16, [1, 1], [8, 32]),
        ("compact", 128, 2, 4, 32, [1, 1], [16, 32]),
        ("small", 256, 4, 4, 48, [2, 2, 2], [32, 32]),
        ("base", 768, 12, 12, 96, [2, 2, 6, 2], [32, 32]),
    ],
)
def test_presets(preset, hidden_size, layers, heads, embed_dim, depths, grid):
    config = GeneBertConfig.from_preset(preset, kmer=4, num_motifs=64)
    sequence, region = config.sequence_config, config.region_config
    assert (sequence.hidden_size, sequence.num_hidden_layers, sequence.num_attention_heads) == (
        hidden_size,
        layers,
        heads,
    )
    assert (region.embed_dim, list(region.depths), region.image_size) == (embed_dim, depths, grid)
    assert region.num_channels == embed_dim
    assert (config.kmer, config.num_motifs, sequence.vocab_size) == (4, 64, 261)


def test_compact_reads_4_mers_by_convolutions():
    config = GeneBertConfig.compact()
    assert (config.kmer, config.num_conv_layers, config.conv_kernel_size, config.pooling) == (4, 1, 15, "max")


def test_a_preset_can_be_overridden():
    config = GeneBertConfig.tiny(num_motif_blocks=32, stride=6, region_config={"embed_dim": 32, "depths": [1]})
    assert config.num_motif_blocks == 32
    assert config.stride == 6
    assert (config.region_config.num_channels, config.region_config.image_size) == (32, [32, 32])


@pytest.mark.parametrize(
    ("num_motifs", "rows", "block_size"), [(1, 32, 4), (32, 32, 4), (33, 64, 8), (1019, 1024, 128)]
)
def test_motif_rows_are_padded_to_a_multiple_of_32(num_motifs, rows, block_size):
    config = make_config(num_motifs=num_motifs)
    assert (config.num_motif_rows, config.motif_block_size) == (rows, block_size)


@pytest.mark.parametrize(("kmer", "size"), [(1, 9), (3, 69), (8, 65541)])
def test_vocabulary_follows_from_kmer(kmer, size):
    config = make_config(kmer=kmer)
    assert (config.kmer_vocab_size, config.vocab_size, config.sequence_config.vocab_size) == (size, size, size)


@pytest.mark.parametrize(("num_regions", "anchor"), [(8, 3), (32, 15)])
def test_anchor_index(num_regions, anchor):
    assert make_config(num_regions=num_regions).anchor_index == anchor


def test_sub_config_dicts_get_their_shapes():
    config = make_config(num_motifs=100, num_regions=16)
    region = config.region_config
    assert (region.image_size, region.patch_size, region.num_channels) == ([8, 16], 1, 8)
    config = make_config(num_motifs=100, num_regions=16, region_embedding="patch")
    region = config.region_config
    assert (region.image_size, region.patch_size, region.num_channels) == ([128, 16], [16, 1], 4)
    assert region.use_absolute_embeddings is True
    # What a dict does say stays.
    config = make_config(region_config={**REGION, "use_absolute_embeddings": False, "window_size": 2})
    assert (config.region_config.use_absolute_embeddings, config.region_config.window_size) == (False, 2)


def test_sub_configs_may_be_config_objects():
    sequence = RobertaConfig(vocab_size=80, hidden_size=32, num_attention_heads=2, pad_token_id=0)
    region = SwinConfig(
        image_size=[8, 8], patch_size=1, num_channels=8, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4
    )
    config = make_config(sequence_config=sequence, region_config=region)
    assert config.sequence_config is sequence and config.region_config is region
    assert (config.vocab_size, config.kmer_vocab_size) == (80, 69)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"kmer": 0}, ["1 to 8", "got 0"]),
        ({"kmer": 9}, ["1 to 8", "got 9"]),
        ({"kmer": 3, "stride": 4}, ["kmer=3", "got 4"]),
        ({"stride": 0}, ["kmer=3", "got 0"]),
        ({"num_motifs": 0}, ["at least 1", "got 0 and 8"]),
        ({"num_motif_blocks": 0}, ["at least 1", "got 20 and 0"]),
        ({"num_regions": 7}, ["even number of at least 2", "got 7"]),
        ({"num_regions": 0}, ["even number of at least 2", "got 0"]),
        ({"num_motifs": 40, "num_motif_blocks": 24}, ["num_motif_blocks=24", "64 rows", "num_motifs=40"]),
        ({"sequence_config": {**SEQUENCE, "vocab_size": 68}}, ["vocab_size=68", "kmer=3", "69"]),
        ({"region_config": {**REGION, "num_channels": 3}}, ["num_channels=3", "expected 8"]),
        ({"region_config": {**REGION, "image_size": [8, 32]}}, ["image_size=[8, 32]", "expected [8, 8]"]),
        (
            {"region_embedding": "patch", "region_config": {**REGION, "patch_size": 4}},
            ["patch_size=4", "'patch'", "expected [4, 1]"],
        ),
        (
            {"region_config": {**REGION, "window_size": 7}},
            ["window_size=7", "last of 2 stages", "num_motif_blocks=8", "num_regions=8", "only 4 wide"],
        ),
        (
            {"num_regions": 4},
            ["window_size=4", "num_regions=4", "only 2 wide"],
        ),
    ],
)
def test_impossible_combinations_name_both_values(arguments, parts):
    with pytest.raises(ValueError) as error:
        make_config(**arguments)
    assert [part for part in parts if part not in str(error.value)] == []


@pytest.mark.parametrize(
    "arguments", [{"kmer": "six"}, {"fusion_type": "sum"}, {"pooling": "median"}, {"region_embedding": "none"}]
)
def test_wrong_types_and_names_are_refused(arguments):
    with pytest.raises(Exception, match=next(iter(arguments))):
        make_config(**arguments)


def test_unknown_preset():
    message = r"unknown preset 'large', expected one of \['base', 'compact', 'small', 'tiny'\]"
    with pytest.raises(ValueError, match=message):
        GeneBertConfig.from_preset("large")


def test_another_motif_bank_is_refused():
    config = make_config(num_motifs=20, motif_bank_fingerprint="abc")
    config.check_motif_bank("abc", 20)
    make_config(num_motifs=20).check_motif_bank("anything", 20)
    with pytest.raises(ValueError, match="20 motifs with fingerprint abc, but got one of 20 motifs with .* xyz"):
        config.check_motif_bank("xyz", 20)
    with pytest.raises(ValueError, match="reads a bank of 20 motifs .* got one of 21 motifs"):
        config.check_motif_bank("abc", 21)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"region_embedding": "patch", "fusion_type": "concat", "pooling": "cls", "stride": 3},
        {"sequence_config": {"model_type": "roberta", **SEQUENCE}, "num_labels": 3, "srm_loss_weight": 0.5},
    ],
)
def test_json_round_trip(arguments, tmp_path):
    config = make_config(**arguments)
    config.save_pretrained(tmp_path)
    loaded = GeneBertConfig.from_pretrained(tmp_path)
    assert loaded.to_dict() == config.to_dict()
    assert type(loaded.sequence_config) is type(config.sequence_config)
    assert type(loaded.region_config) is SwinConfig
    saved = json.loads((tmp_path / "config.json").read_text())
    assert saved["model_type"] == "genebert"
    assert saved["sequence_config"]["vocab_size"] == 69
    for name, value in arguments.items():
        if name not in ("sequence_config", "region_config"):
            assert getattr(loaded, name) == value


def test_fields_of_sub_configs_replace_those_of_a_preset_one_by_one():
    config = GeneBertConfig.from_preset(
        "tiny", kmer=3, sequence_config={"hidden_size": 32}, region_config={"embed_dim": 8, "drop_path_rate": 0.1}
    )
    assert (config.sequence_config.hidden_size, config.sequence_config.num_hidden_layers) == (32, 2)
    assert (config.sequence_config.intermediate_size, config.sequence_config.vocab_size) == (128, 69)
    assert (config.region_config.embed_dim, config.region_config.depths) == (8, [1, 1])
    assert config.region_config.drop_path_rate == 0.1
