"""Attention back ends give one result, `output_attentions` gives attentions with each of them, and activation
checkpointing changes no gradient."""

from __future__ import annotations

import importlib.util

import pytest
import torch

import modeling_genebert.attention_genebert as attention
from modeling_genebert import GeneBertForPreTraining, GeneBertForSequenceClassification, GeneBertModel

from .conftest import SEQUENCE, make_config, make_inputs, make_model
from .test_modeling_genebert import ALL_CLASSES, ENCODERS, assert_close, class_inputs


def implementations(model):
    config = model.config
    return [part._attn_implementation for part in (config, config.sequence_config, config.region_config)]


def padded_inputs(config):
    """Three rows, of which the first has 12 tokens only."""
    inputs = make_inputs(config)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        inputs[name][0, 12:] = 0
    return inputs


def assert_same_pooled_and_tokens(output, other, tolerance):
    """What two back ends must agree on: everything but the states of padding."""
    for name in ("pooler_output", "region_pooler_output", "region_hidden_state"):
        torch.testing.assert_close(output[name], other[name], atol=tolerance, rtol=tolerance, msg=name)
    tokens = [result.last_hidden_state for result in (output, other)]
    torch.testing.assert_close(tokens[0][0, :12], tokens[1][0, :12], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(tokens[0][1:], tokens[1][1:], atol=tolerance, rtol=tolerance)


@pytest.fixture
def said(monkeypatch):
    """What the attention module says; each message counts, not the first only."""
    messages: list[str] = []
    monkeypatch.setattr(attention.logger, "warning_once", messages.append)
    return messages


# Back ends agree


@pytest.mark.parametrize("encoder", ENCODERS)
def test_sdpa_agrees_with_eager(encoder):
    model = make_model(GeneBertModel, sequence_config=ENCODERS[encoder])
    inputs = padded_inputs(model.config)
    model.set_attn_implementation("eager")
    eager = model(**inputs)
    model.set_attn_implementation("sdpa")
    assert_same_pooled_and_tokens(model(**inputs), eager, tolerance=1e-5)


@torch.no_grad()  # on CPU flex attention has no backward pass
@torch.compiler.set_stance("force_eager")  # compiled, it takes a minute; the figures are the same
def test_flex_agrees_with_eager():
    model = make_model(GeneBertModel)
    inputs = padded_inputs(model.config)
    model.set_attn_implementation("eager")
    eager = model(**inputs)
    model.set_attn_implementation("flex_attention")
    output = model(**inputs)
    assert_same_pooled_and_tokens(output, eager, tolerance=1e-5)
    # Neither the batch nor its padding matters.
    alone = model(**{name: row[:1, :12] if row.shape == (3, 21) else row[:1] for name, row in inputs.items()})
    torch.testing.assert_close(alone.pooler_output, output.pooler_output[:1], atol=1e-5, rtol=1e-5)
    weights = model(**inputs, output_attentions=True).attentions
    assert [tuple(layer.shape) for layer in weights] == [(3, 2, 21, 21)] * 2


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is None, reason="flash_attn is not installed")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="flash attention needs a GPU")
@torch.no_grad()
def test_flash_agrees_with_eager():
    model = make_model(GeneBertModel).to("cuda", torch.bfloat16)
    inputs = {name: value.to("cuda") for name, value in padded_inputs(model.config).items()}
    model.set_attn_implementation("eager")
    eager = model(**inputs)
    model.set_attn_implementation("flash_attention_2")
    assert_same_pooled_and_tokens(model(**inputs), eager, tolerance=5e-2)


# Each part runs what it has


def test_the_region_encoder_keeps_sdpa_and_says_so(said, tmp_path):
    model = make_model(GeneBertForSequenceClassification)
    model.save_pretrained(tmp_path)
    model.set_attn_implementation("flex_attention")
    loaded = GeneBertForSequenceClassification.from_pretrained(tmp_path, attn_implementation="flex_attention")
    made = GeneBertForSequenceClassification(make_config(attn_implementation="flex_attention"))
    for each in (model, loaded, made):
        assert implementations(each) == ["flex_attention", "flex_attention", "sdpa"]
    assert set(said) == {"The region encoder (Swin) has no flex_attention: it runs with sdpa."}


def test_an_implementation_for_each_part(said):
    model = make_model(GeneBertModel)
    model.set_attn_implementation({"sequence_config": "eager"})
    assert implementations(model) == ["sdpa", "eager", "sdpa"]
    model.set_attn_implementation({"": "eager", "sequence_config": "flex_attention", "region_config": "eager"})
    assert implementations(model) == ["eager", "flex_attention", "eager"]
    assert said == []


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash_attn is installed")
@pytest.mark.skipif(importlib.util.find_spec("kernels") is not None, reason="kernels stands in for flash_attn")
def test_flash_attention_that_is_not_installed():
    model = make_model(GeneBertModel)
    with pytest.raises(ImportError, match="FlashAttention2"):
        model.set_attn_implementation("flash_attention_2")


def test_an_unknown_implementation():
    with pytest.raises(ValueError, match='Specified `attn_implementation="flush"` is not supported'):
        make_model(GeneBertModel).set_attn_implementation("flush")


# Attentions, also where the implementation gives none


@pytest.mark.parametrize("encoder", ENCODERS)
def test_attentions_with_sdpa_are_those_of_eager_attention(encoder, said):
    model = make_model(GeneBertModel, sequence_config=ENCODERS[encoder])
    inputs = padded_inputs(model.config)
    asked = model(**inputs, output_attentions=True)
    assert [tuple(weights.shape) for weights in asked.attentions] == [(3, 2, 21, 21)] * 2
    assert [tuple(weights.shape) for weights in asked.region_attentions] == [(12, 1, 16, 16), (3, 2, 16, 16)]
    torch.testing.assert_close(asked.attentions[0].sum(dim=-1), torch.ones(3, 2, 21))
    assert implementations(model) == ["sdpa", "sdpa", "sdpa"]
    assert [message.split(":")[0] for message in said] == ["sdpa attention gives no attention weights"] * 2
    assert model(**inputs).attentions is None

    model.set_attn_implementation("eager")
    assert_close(asked, model(**inputs, output_attentions=True))
    assert len(said) == 2


@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_the_config_may_ask_for_attentions(model_class, tmp_path):
    model = make_model(model_class, output_attentions=True)
    inputs = class_inputs(model_class, model.config)
    weights = model(**inputs).attentions
    assert [tuple(layer.shape) for layer in weights] == [(3, 2, 21, 21)] * 2
    assert not model(**inputs, output_attentions=False).attentions
    model.save_pretrained(tmp_path)
    assert model_class.from_pretrained(tmp_path)(**inputs).attentions is not None
    model.config.output_attentions = False
    assert not model(**inputs).attentions


def test_the_config_may_ask_for_attentions_later():
    model = make_model(GeneBertModel)
    model.config.output_attentions = True
    output = model(**make_inputs(model.config))
    assert (len(output.attentions), len(output.region_attentions)) == (2, 2)


def test_attentions_of_one_modality():
    model = make_model(GeneBertModel)
    inputs = make_inputs(model.config)
    regions = {name: value for name, value in inputs.items() if name.startswith("region")}
    assert len(model.get_region_features(**regions, output_attentions=True).attentions) == 2
    assert len(model.get_sequence_features(inputs["input_ids"], output_attentions=True).attentions) == 2
    alone = model(inputs["input_ids"], output_attentions=True)
    assert (len(alone.attentions), alone.region_attentions) == (2, None)


def test_the_implementation_asked_for_is_in_force_after_an_error():
    model = make_model(GeneBertModel)
    inputs = make_inputs(model.config)
    with pytest.raises(IndexError):
        model(inputs["input_ids"] + 1000, output_attentions=True)
    assert implementations(model) == ["sdpa", "sdpa", "sdpa"]


# Activation checkpointing


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing_gives_the_same_gradients(implementation, use_reentrant):
    gradients, runs = [], []
    for checkpointing in (False, True):
        model = make_model(
            GeneBertForPreTraining,
            sequence_config={**SEQUENCE, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0},
            classifier_dropout=0.0,
        ).train()
        model.set_attn_implementation(implementation)
        if checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            model.enable_input_require_grads()
        ran: list[str] = []
        body = model.genebert
        for name, module in {
            "bert": body.sequence_encoder.encoder.layer[0].attention,
            "swin": body.region_encoder.swin.encoder.layers[0].blocks[0],
            "fusion": body.fusion[0].attention_norm,
        }.items():
            module.register_forward_pre_hook(lambda *call, name=name, ran=ran: ran.append(name))
        inputs = padded_inputs(model.config)
        pairs = torch.tensor([0, 1, 1])
        model(**inputs, labels=inputs["input_ids"], ngsp_labels=pairs, srm_labels=pairs).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        runs.append(ran)
    assert runs[0] == ["bert", "swin", "fusion"]
    assert all(runs[1].count(name) > 1 for name in runs[0])  # again in the backward pass
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_attentions_with_activation_checkpointing_need_eager_attention():
    model = make_model(GeneBertModel).train()
    model.gradient_checkpointing_enable()
    inputs = make_inputs(model.config)
    with pytest.raises(ValueError, match='does not work with sdpa attention: load .* attn_implementation="eager"'):
        model(**inputs, output_attentions=True)
    model.set_attn_implementation("eager")
    assert len(model(**inputs, output_attentions=True).attentions) == 2
