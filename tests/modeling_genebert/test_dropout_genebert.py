from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from modeling_genebert import GeneBertForPreTraining
from modeling_genebert.dropout_genebert import (
    GeneBertDropout,
    attention_with_cheap_dropout,
    draw_noise,
    replace_dropout,
    threshold_and_scale,
)

from .conftest import make_config


def test_noise_is_uniform():
    torch.manual_seed(0)
    noise = draw_noise(torch.Size([1001, 999])).float()
    assert noise.shape == (1001, 999)
    assert noise.mean().item() == pytest.approx(-0.5, abs=80)  # 2**16 / sqrt(12) / sqrt(10**6) = 19
    counts = torch.histc(noise, bins=16)
    assert counts.min() > 61_500 and counts.max() < 63_500  # 62,437 of each are expected


@pytest.mark.parametrize("probability", [0.1, 0.5])
def test_dropout_drops_and_scales(probability):
    torch.manual_seed(0)
    states = torch.ones(1000, 1000, requires_grad=True)
    dropped = GeneBertDropout(probability)(states)
    dropped.sum().backward()
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=2e-3)
    assert dropped.mean().item() == pytest.approx(1, abs=2e-3)
    torch.testing.assert_close(states.grad, dropped.detach())
    assert torch.equal(GeneBertDropout(probability).eval()(states), states)


def test_neighbours_are_independent():
    torch.manual_seed(0)
    kept = GeneBertDropout(0.5)(torch.ones(2_000_000)) > 0
    for distance in (1, 2, 3, 4, 8):
        both = (kept[distance:] & kept[:-distance]).float().mean().item()
        assert both == pytest.approx(0.25, abs=2e-3), distance


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_extreme_probabilities(probability):
    expected = torch.full((8,), 1 - probability)
    assert torch.equal(GeneBertDropout(probability)(torch.ones(8)), expected)


def attention_with_mask(query, key, value, bias, keep, scale):
    probabilities = (query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + bias).softmax(dim=-1)
    return (probabilities * keep * scale @ value).transpose(1, 2)


@pytest.mark.parametrize("num_tokens", [7, 300])  # 300 x 300: the heads go in two groups
@pytest.mark.parametrize("with_mask", [False, True])
def test_attention_and_its_gradients(num_tokens, with_mask):
    torch.manual_seed(0)
    shape, probability = (2, 3, num_tokens, 4), 0.25
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    mask, bias = None, torch.zeros(2, 1, 1, num_tokens, dtype=torch.float64)
    if with_mask:
        mask = torch.ones(2, 1, 1, num_tokens, dtype=torch.bool)
        mask[1, ..., -2:] = False
        bias[1, ..., -2:] = -torch.inf
        mask = mask.expand(2, 1, num_tokens, num_tokens)
    state = torch.get_rng_state()
    found, _ = attention_with_cheap_dropout(nn.Module(), *inputs, mask, dropout=probability)
    weights = torch.randn(found.shape, dtype=torch.float64)
    found_gradients = torch.autograd.grad((found * weights).sum(), inputs)

    torch.set_rng_state(state)
    threshold, scale = threshold_and_scale(probability)
    keep = draw_noise(torch.Size([2, 3, num_tokens, num_tokens])) >= threshold
    expected = attention_with_mask(*inputs, bias, keep, scale)
    torch.testing.assert_close(found, expected)
    for gradient, wanted in zip(found_gradients, torch.autograd.grad((expected * weights).sum(), inputs), strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_attention_without_dropout_is_sdpa():
    query, key, value = torch.randn(3, 1, 2, 5, 4)
    found, _ = attention_with_cheap_dropout(nn.Module(), query, key, value, None, dropout=0.0, is_causal=False)
    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value).transpose(1, 2))


def test_every_dropout_of_the_sequence_encoder_is_replaced():
    module = nn.Sequential(nn.Dropout(0.3), nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.2)))
    replace_dropout(module)
    assert [child.p for child in module.modules() if isinstance(child, GeneBertDropout)] == [0.3, 0.2]
    model = GeneBertForPreTraining(make_config())
    kinds = {type(child) for child in model.genebert.sequence_encoder.modules() if isinstance(child, nn.Dropout)}
    assert kinds == {GeneBertDropout}


def test_training_uses_it_and_gives_the_config_back(monkeypatch):
    calls = []
    import modeling_genebert.dropout_genebert as module

    monkeypatch.setattr(module._AttentionWithDropout, "apply", lambda *a: calls.append(1) or a[0].transpose(1, 2))
    config = make_config()
    model = GeneBertForPreTraining(config)
    ids = torch.randint(5, 69, (2, 12))
    model.eval()(input_ids=ids)
    assert not calls
    model.train()(input_ids=ids)
    assert len(calls) == config.sequence_config.num_hidden_layers
    assert model.genebert.sequence_encoder.config._attn_implementation == "sdpa"
