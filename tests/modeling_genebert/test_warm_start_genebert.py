"""Encoders of DNABERT's shape, other encoders and Swins warm-start GeneBERT; what does not fit is listed."""

from __future__ import annotations

import itertools
import json

import pytest
import torch
from torch.nn import functional as F
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    EsmConfig,
    EsmForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
    SwinConfig,
    SwinForImageClassification,
    ViTConfig,
    ViTModel,
)
from transformers.testing_utils import CaptureLogger
from transformers.utils import logging

from modeling_genebert import (
    GeneBertConfig,
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
    GeneBertTokenizer,
)

from .conftest import REGION, SEQUENCE, make_config, make_inputs


SHAPE = {"num_motifs": 20, "num_motif_blocks": 8, "num_regions": 8, "region_config": REGION}
SIZES = {**SEQUENCE, "initializer_range": 0.2, "pad_token_id": 0}
# What DNABERT's config.json holds beside the fields of BertConfig.
DNABERT_EXTRAS = {"do_sample": False, "eos_token_ids": 0, "finetuning_task": None, "length_penalty": 1.0}
DNABERT_EXTRAS |= {"max_length": 20, "num_beams": 1, "num_rnn_layer": 1, "output_past": True, "pruned_heads": {}}
DNABERT_EXTRAS |= {"repetition_penalty": 1.0, "rnn": "lstm", "rnn_dropout": 0.0, "split": 10, "top_k": 50}


def make_checkpoint(folder, model_class=BertForMaskedLM, kmer=3, config_class=BertConfig, **sizes):
    """A checkpoint folder with random weights, also in norms and biases, and its model."""
    torch.manual_seed(0)
    config = config_class(**{**SIZES, "vocab_size": 5 + 4**kmer, **sizes})
    model = model_class(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def make_swin(folder, **kwargs):
    torch.manual_seed(1)
    config = {"image_size": 56, "patch_size": 4, "window_size": 7, **REGION, **kwargs}
    model = SwinForImageClassification(SwinConfig(**config)).eval()
    model.save_pretrained(folder)
    return model


def write_vocabulary(folder, kmer):
    kmers = ["".join(letters) for letters in itertools.product("ATCG", repeat=kmer)]
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *kmers]) + "\n")


def warm_start(model_class, *paths, **kwargs):
    kwargs = kwargs if "config" in kwargs else {**SHAPE, **kwargs}
    return model_class.from_sequence_region_pretrained(*paths, output_loading_info=True, **kwargs)


@pytest.mark.parametrize("kmer", [3, 4, 5, 6])
def test_outputs_are_dnaberts(tmp_path, kmer):
    bert = make_checkpoint(tmp_path, kmer=kmer, type_vocab_size=2)
    write_vocabulary(tmp_path, kmer)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, **DNABERT_EXTRAS}))

    model, info = warm_start(GeneBertForMaskedLM, tmp_path)
    assert model.config.kmer == kmer
    sequences = ["ACGTTGCATGCAATCCGATTAGC", "TTGACNNACGTTACG"]
    inputs = GeneBertTokenizer(kmer=kmer)(sequences, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = bert.bert(**inputs).last_hidden_state
        found = model.genebert.get_sequence_features(**inputs).last_hidden_state
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert info["unexpected_keys"] == info["mismatched_keys"] == set()


@pytest.mark.parametrize(
    ("bert_class", "unexpected"),
    [
        (BertModel, {"pooler.dense.weight", "pooler.dense.bias"}),
        (BertForMaskedLM, set()),
        (
            BertForPreTraining,
            {
                f"{name}.{kind}"
                for name in ("bert.pooler.dense", "cls.seq_relationship")
                for kind in ("weight", "bias")
            },
        ),
    ],
)
@pytest.mark.parametrize(
    "model_class",
    [
        GeneBertModel,
        GeneBertForPreTraining,
        GeneBertForMaskedLM,
        GeneBertForSequenceClassification,
        GeneBertForTokenClassification,
        GeneBertForVariantEffect,
    ],
)
def test_every_class_and_every_bert(tmp_path, bert_class, unexpected, model_class):
    bert = make_checkpoint(tmp_path, bert_class)
    model, info = warm_start(model_class, tmp_path)
    encoder = model.base_model.sequence_encoder
    for name, weight in bert.base_model.named_parameters():
        if not name.startswith("pooler."):
            assert torch.equal(encoder.get_parameter(name), weight), name

    head = {"transform.dense.weight", "transform.dense.bias", "transform.LayerNorm.weight", "transform.LayerNorm.bias"}
    head = {f"cls.predictions.{name}" for name in head | {"bias"}}
    if bert_class is BertModel:
        head = set()
    has_head = hasattr(model, "predictions")
    assert info["unexpected_keys"] == (unexpected if has_head else unexpected | head)
    assert info["mismatched_keys"] == set()

    parameters = {name for name, _ in model.named_parameters()}
    taken = {name for name in parameters if "sequence_encoder." in name}
    if has_head and head:
        taken |= {name for name in parameters if name.startswith("predictions.")}
    assert info["missing_keys"] == parameters - taken


@pytest.mark.parametrize(
    ("mlm_class", "config_class", "sizes"),
    [
        (BertForMaskedLM, BertConfig, {}),
        (RobertaForMaskedLM, RobertaConfig, {}),
        (EsmForMaskedLM, EsmConfig, {"mask_token_id": 4, "token_dropout": False}),
        (ModernBertForMaskedLM, ModernBertConfig, {"norm_bias": True, "classifier_bias": True}),
    ],
)
def test_head_arrives(tmp_path, mlm_class, config_class, sizes):
    """With nothing between the encoder and the head, GeneBERT predicts what the checkpoint does."""
    original = make_checkpoint(tmp_path, mlm_class, config_class=config_class, **sizes)
    model, info = warm_start(GeneBertForMaskedLM, tmp_path, fusion_type="concat")
    assert not [name for name in info["missing_keys"] if name.startswith(("predictions", "genebert.sequence_encoder"))]
    assert info["unexpected_keys"] <= {"esm.contact_head.regression.weight", "esm.contact_head.regression.bias"}
    inputs = make_inputs(model.config)
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        expected = original(**inputs).logits
        found = model(**inputs).logits
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)  # the norm's epsilon differs: 1e-6 here


def test_untied_decoder(tmp_path):
    original = make_checkpoint(tmp_path, tie_word_embeddings=False)
    model, _ = warm_start(GeneBertForMaskedLM, tmp_path)
    assert torch.equal(model.predictions.decoder.weight, original.cls.predictions.decoder.weight)
    assert torch.equal(model.get_input_embeddings().weight, original.get_input_embeddings().weight)

    model, info = warm_start(GeneBertForMaskedLM, tmp_path, config=make_config())
    assert info["unexpected_keys"] == {"cls.predictions.decoder.weight"}
    assert torch.equal(model.predictions.decoder.weight, original.get_input_embeddings().weight)


def test_states_pass_the_new_fusion_layers_unchanged(tmp_path):
    make_checkpoint(tmp_path)
    model, _ = warm_start(GeneBertModel, tmp_path)
    inputs = make_inputs(model.config)
    sequence = {name: inputs[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        states = model.get_sequence_features(**sequence).last_hidden_state
        found = model(**inputs).last_hidden_state
    assert len(model.fusion) == 2
    torch.testing.assert_close(found, F.layer_norm(states, states.shape[-1:], eps=1e-6))
    model.train()(**inputs).last_hidden_state.square().mean().backward()
    assert all(layer.output.weight.grad.abs().max() > 0 for layer in model.fusion)  # and they learn


def test_swin_of_another_image(tmp_path):
    swin = make_swin(tmp_path)
    model, info = warm_start(GeneBertModel, None, tmp_path, sequence_config=SEQUENCE, kmer=3)
    bias = (
        "region_encoder.swin.encoder.layers.{}.blocks.0.attention.relative_position_bias.relative_position_bias_table"
    )
    assert info["mismatched_keys"] == {
        ("region_encoder.swin.embeddings.patch_embeddings.projection.weight", (8, 3, 4, 4), (8, 8, 1, 1)),
        (bias.format(0), (169, 1), (49, 1)),
        (bias.format(1), (169, 2), (49, 2)),
    }
    assert info["unexpected_keys"] == {"classifier.weight", "classifier.bias"}
    missing = {name for name in info["missing_keys"] if "swin" in name}
    assert missing == {"region_encoder.swin.embeddings.position_embeddings"}
    differing = missing | {name for name, *_ in info["mismatched_keys"]}
    for name, weight in swin.swin.named_parameters():
        if f"region_encoder.swin.{name}" not in differing:
            assert torch.equal(model.region_encoder.swin.get_parameter(name), weight), name


def test_swin_whose_shapes_fit_gives_the_same_outputs(tmp_path):
    donor = GeneBertModel(make_config()).region_encoder.swin.eval()
    donor.save_pretrained(tmp_path)
    model, info = warm_start(GeneBertModel, None, tmp_path, config=make_config())
    cells = torch.rand(2, 8, 8, 8)
    with torch.no_grad():
        expected = donor(pixel_values=cells).last_hidden_state
        found = model.region_encoder.swin(pixel_values=cells).last_hidden_state
    assert torch.equal(found, expected)
    assert not [name for name in info["missing_keys"] if "swin" in name]


def test_layer_sizes_of_the_default_config_are_the_checkpoints(tmp_path):
    make_swin(tmp_path, embed_dim=16, depths=[1, 2], num_heads=[2, 4], mlp_ratio=2.0)
    shape = {name: SHAPE[name] for name in SHAPE if name != "region_config"}
    model = GeneBertModel.from_sequence_region_pretrained(
        region_model_name_or_path=tmp_path, sequence_config=SEQUENCE, kmer=3, **shape
    )
    region = model.config.region_config
    assert (region.embed_dim, region.depths, region.num_heads, region.mlp_ratio) == (16, [1, 2], [2, 4], 2.0)
    assert (region.window_size, region.patch_size, region.image_size) == (4, 1, [8, 8])


def test_saved_and_reloaded_bit_for_bit(tmp_path):
    bert, swin, saved = tmp_path / "bert", tmp_path / "swin", tmp_path / "saved"
    make_checkpoint(bert, BertForPreTraining)
    make_swin(swin)
    model, _ = warm_start(GeneBertForPreTraining, bert, swin)
    model.save_pretrained(saved)
    assert str(tmp_path) not in (saved / "config.json").read_text()
    again, info = GeneBertForPreTraining.from_pretrained(saved, output_loading_info=True)
    assert info["missing_keys"] == info["unexpected_keys"] == info["mismatched_keys"] == set()
    for name, weight in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name
    inputs = make_inputs(model.config)
    with torch.no_grad():
        assert torch.equal(again(**inputs).prediction_logits, model(**inputs).prediction_logits)
        assert torch.equal(again(**inputs).srm_logits, model(**inputs).srm_logits)


def test_shards(tmp_path):
    bert = make_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    bert.save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    model, _ = warm_start(GeneBertModel, tmp_path)
    assert torch.equal(model.get_input_embeddings().weight, bert.get_input_embeddings().weight)


def test_dtype_is_the_models_not_the_checkpoints(tmp_path):
    bert = make_checkpoint(tmp_path).bfloat16()
    bert.save_pretrained(tmp_path)
    model, _ = warm_start(GeneBertModel, tmp_path)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert torch.equal(model.get_input_embeddings().weight, bert.get_input_embeddings().weight.float())
    model, _ = warm_start(GeneBertModel, tmp_path, dtype=torch.bfloat16, attn_implementation="eager")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.sequence_encoder.config._attn_implementation == "eager"


def test_config_is_respected_and_what_differs_is_listed(tmp_path):
    make_checkpoint(tmp_path, vocab_size=100)  # no 5 + 4**k: refused without a config
    config = make_config(sequence_config={**SEQUENCE, "num_hidden_layers": 1, "num_attention_heads": 4})
    model, info = warm_start(GeneBertForMaskedLM, tmp_path, config=config)
    assert (model.config.kmer, model.config.sequence_config.num_hidden_layers) == (3, 1)
    assert info["mismatched_keys"] == {
        ("genebert.sequence_encoder.embeddings.word_embeddings.weight", (100, 32), (69, 32)),
        ("predictions.decoder.bias", (100,), (69,)),
    }
    assert {name.rsplit(".", 1)[0] for name in info["unexpected_keys"]} >= {
        "bert.encoder.layer.1.attention.self.query",
        "bert.encoder.layer.1.output.LayerNorm",
    }
    assert all(name.startswith("bert.encoder.layer.1.") for name in info["unexpected_keys"])


def test_summary_is_logged(tmp_path):
    bert, swin = tmp_path / "bert", tmp_path / "swin"
    make_checkpoint(bert, num_hidden_layers=3)
    make_swin(swin)
    config = make_config(sequence_config={**SEQUENCE, "num_attention_heads": 4})
    with CaptureLogger(logging.get_logger("modeling_genebert.warm_start_genebert")) as log:
        warm_start(GeneBertForMaskedLM, bert, swin, config=config)
    for line in (
        "Warm start of GeneBertForMaskedLM",
        f"- not as in the config of {bert}: num_hidden_layers 2 (there 3), num_attention_heads 4 (there 2)",
        f"- token order not checked: {bert} has no tokenizer.json and no vocab.txt",
        f"- 42 weights taken from {bert}; without a place here: bert.encoder.layer.2",
        f"- 40 weights taken from {swin}; without a place here: classifier",
        "- not taken, since the shape differs: genebert.region_encoder.swin.embeddings.patch_embeddings.projection."
        "weight [8, 3, 4, 4], expected [8, 8, 1, 1]\n",
        "relative_position_bias_table [169, 1], expected [49, 1] (and 1 more)\n",
        "- newly initialised, to be trained: genebert.fusion, genebert.fusion_norm, genebert.region_encoder.",
    ):
        assert line in log.out, log.out


@pytest.mark.parametrize("file", ["vocab.txt", "tokenizer.json"])
def test_token_order(tmp_path, file):
    make_checkpoint(tmp_path)
    if file == "tokenizer.json":
        GeneBertTokenizer(kmer=3).save_pretrained(tmp_path)
    else:
        write_vocabulary(tmp_path, 3)
    warm_start(GeneBertModel, tmp_path)

    swapped = (tmp_path / file).read_text()
    swapped = swapped.replace("AAC", "xxx").replace("AAT", "AAC").replace("xxx", "AAT")
    (tmp_path / file).write_text(swapped)
    with pytest.raises(ValueError, match=rf"{file}: token 6 \(0-based\) is 'AAC', expected 'AAT'"):
        warm_start(GeneBertModel, tmp_path)
    with pytest.raises(ValueError, match="token 6"):
        warm_start(GeneBertModel, tmp_path, config=make_config())


def test_short_vocabulary_file(tmp_path):
    make_checkpoint(tmp_path)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nAAA\n")
    with pytest.raises(ValueError, match="token 6 .* is None, expected 'AAT'"):
        warm_start(GeneBertModel, tmp_path)


def test_other_vocabulary_size(tmp_path):
    make_checkpoint(tmp_path, vocab_size=4096)
    with pytest.raises(ValueError, match=r"a vocabulary of 4096 tokens, expected 5 \+ 4\*\*k \(69 for k=3, .*config="):
        warm_start(GeneBertModel, tmp_path)


@pytest.mark.parametrize("as_config", [True, False])
def test_kmer_against_the_vocabulary(tmp_path, as_config):
    make_checkpoint(tmp_path, kmer=4)
    kwargs = {"kmer": 3, "sequence_config": {**SEQUENCE, "vocab_size": 261}}
    with pytest.raises(ValueError, match="has 261 tokens, which is kmer=4, but the config says kmer=3"):
        warm_start(GeneBertModel, tmp_path, **({"config": make_config(**kwargs)} if as_config else {"kmer": 3}))


def test_pickled_weights(tmp_path):
    bert = make_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(bert.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(ValueError, match="only safetensors are opened") as error:
        warm_start(GeneBertModel, tmp_path)
    # The remedy that the message names works.
    code = (
        f"AutoModelForMaskedLM.from_pretrained({str(tmp_path)!r}, use_safetensors=False).save_pretrained(new_folder)"
    )
    assert code in str(error.value)
    BertForMaskedLM.from_pretrained(tmp_path, use_safetensors=False).save_pretrained(tmp_path / "new")
    model, _ = warm_start(GeneBertModel, tmp_path / "new")
    assert torch.equal(model.get_input_embeddings().weight, bert.get_input_embeddings().weight)


def test_nothing_fits(tmp_path):
    sequence_config = {**SEQUENCE, "hidden_size": 64, "intermediate_size": 96, "max_position_embeddings": 20}
    make_checkpoint(tmp_path / "bert", BertModel, vocab_size=100)
    with pytest.raises(ValueError, match="none of its 37 weights fits GeneBERT by name and shape"):
        warm_start(GeneBertModel, tmp_path / "bert", config=make_config(sequence_config=sequence_config))


def test_other_kinds_of_checkpoints(tmp_path):
    make_checkpoint(tmp_path / "bert")
    ViTModel(ViTConfig(**{**SEQUENCE, "image_size": 8, "patch_size": 4})).save_pretrained(tmp_path / "vit")
    GeneBertModel(make_config()).save_pretrained(tmp_path / "genebert")
    with pytest.raises(ValueError, match="model type 'vit', expected 'swin'"):
        warm_start(GeneBertModel, None, tmp_path / "vit")
    with pytest.raises(ValueError, match="is a GeneBERT checkpoint: open it with from_pretrained"):
        warm_start(GeneBertModel, tmp_path / "genebert")
    roberta = make_config(sequence_config={**SEQUENCE, "model_type": "roberta"})
    with pytest.raises(ValueError, match="model type 'bert', expected 'roberta'"):
        warm_start(GeneBertModel, tmp_path / "bert", config=roberta)


def test_arguments(tmp_path):
    make_checkpoint(tmp_path)
    model = GeneBertForSequenceClassification.from_sequence_region_pretrained(
        tmp_path, num_labels=3, sequence_local_files_only=True, **SHAPE
    )
    assert isinstance(model, GeneBertForSequenceClassification)
    assert (model.config.num_labels, model.training) == (3, False)
    with pytest.raises(ValueError, match="pass sequence_model_name_or_path, region_model_name_or_path or both"):
        GeneBertModel.from_sequence_region_pretrained()
    with pytest.raises(ValueError, match="revision is not a field of GeneBertConfig; did you mean sequence_revision"):
        GeneBertModel.from_sequence_region_pretrained(tmp_path, revision="main")
    with pytest.raises(ValueError, match="got config and num_labels"):
        GeneBertModel.from_sequence_region_pretrained(tmp_path, config=GeneBertConfig.tiny(kmer=3), num_labels=3)
