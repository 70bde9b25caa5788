from __future__ import annotations

import pytest
import torch

from modeling_genebert import (
    GeneBertConfig,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertModel,
)
from modeling_genebert.heads_genebert import max_of_bins


POOL_SIZE = 4


def make_config(**kwargs):
    return GeneBertConfig.tiny(kmer=3, num_motifs=70, num_conv_layers=2, conv_kernel_size=5, **kwargs)


def make_ids(num_tokens=21, batch_size=2):
    torch.manual_seed(0)
    input_ids = torch.randint(5, 5 + 4**3, (batch_size, num_tokens))
    input_ids[:, 0], input_ids[:, -1] = 2, 3
    return input_ids


def test_no_stem_by_default():
    assert GeneBertModel(GeneBertConfig.tiny()).stem is None


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_padding_changes_nothing(pooling):
    model = GeneBertForSequenceClassification(make_config(pooling=pooling)).eval()
    input_ids = make_ids()
    expected = model(input_ids=input_ids).logits
    padded = torch.nn.functional.pad(input_ids, (0, 10))
    logits = model(input_ids=padded, attention_mask=(padded != 0).long()).logits
    torch.testing.assert_close(logits, expected, atol=1e-6, rtol=1e-5)


def test_embeddings_in_place_of_ids():
    model = GeneBertForSequenceClassification(make_config()).eval()
    input_ids = make_ids()
    embeddings = model.get_input_embeddings()(input_ids)
    torch.testing.assert_close(model(inputs_embeds=embeddings).logits, model(input_ids=input_ids).logits)


def test_bins_and_tokens():
    model = GeneBertModel(make_config()).eval()
    input_ids = make_ids(num_tokens=21)
    segments = torch.zeros_like(input_ids)
    assert model.get_sequence_features(input_ids, token_type_ids=segments).last_hidden_state.shape == (2, 6, 64)
    assert model(input_ids=input_ids, token_type_ids=segments).last_hidden_state.shape == (2, 21, 64)
    assert model.max_num_tokens == POOL_SIZE * model.config.sequence_config.max_position_embeddings


def test_bins_take_the_maximum_and_their_tokens_mask():
    stem = GeneBertModel(make_config()).stem
    states = torch.arange(6.0).view(1, 6, 1)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    inputs = stem.pool(states, attention_mask=mask, token_type_ids=torch.tensor([[0, 0, 0, 1, 1, 1]]))
    assert inputs["inputs_embeds"].flatten().tolist() == [3.0, 5.0]
    assert inputs["attention_mask"].tolist() == [[1, 0]]
    assert inputs["token_type_ids"].tolist() == [[0, 1]]
    assert stem.unpool(torch.tensor([[[10.0], [20.0]]]), states).flatten().tolist() == [10, 11, 12, 13, 24, 25]


def test_a_base_reaches_as_far_as_convolutions_see():
    stem = GeneBertModel(make_config()).stem
    states = torch.zeros(1, 31, 64)
    changed = states.clone()
    changed[0, 15] = torch.randn(64)
    mask = torch.ones(1, 31)
    difference = (stem(None, None, mask, changed) - stem(None, None, mask, states)).abs().sum(dim=2)[0]
    assert difference.nonzero().flatten().tolist() == list(range(15 - 4, 15 + 4 + 1))  # two layers of 5


def test_predictions_per_base_and_pre_training():
    input_ids = make_ids(num_tokens=21)
    assert GeneBertForTokenClassification(make_config())(input_ids=input_ids).logits.shape == (2, 21, 2)
    labels = torch.full_like(input_ids, -100)
    labels[:, 5:8] = 7
    model = GeneBertForPreTraining(make_config())
    model(input_ids=input_ids, labels=labels, token_type_ids=torch.zeros_like(input_ids)).loss.backward()
    assert all(parameter.grad is not None for parameter in model.genebert.stem.parameters())


def test_a_saved_model_predicts_the_same(tmp_path):
    model = GeneBertForSequenceClassification(make_config()).eval()
    model.save_pretrained(tmp_path)
    loaded = GeneBertForSequenceClassification.from_pretrained(tmp_path).eval()
    input_ids = make_ids()
    assert torch.equal(loaded(input_ids=input_ids).logits, model(input_ids=input_ids).logits)


@pytest.mark.parametrize("name", ["num_conv_layers", "conv_kernel_size", "conv_pool_size"])
def test_impossible_sizes(name):
    with pytest.raises(ValueError, match=name):
        GeneBertConfig.tiny(**{name: -1})


def test_maximum_of_each_segment():
    model = GeneBertModel(GeneBertConfig.tiny(pooling="max")).eval()
    states = torch.tensor([[1.0, -2.0], [3.0, -4.0], [5.0, 6.0]])[None]  # the last is padding
    model.pooler.dense = model.pooler.max_norm = torch.nn.Identity()
    no_kmers = torch.zeros(1, 3, dtype=torch.long)
    pooled, _ = model.pooler(states, no_kmers, torch.tensor([[1, 1, 0]]), torch.tensor([[0, 0, 0]]))
    a, b = pooled.unflatten(1, (2, -1)).unbind(1)
    torch.testing.assert_close(a[:, :2], torch.tensor([[3.0, -2.0]]).tanh())
    assert not a[:, 2:].any() and not b.any()


def test_the_maximum_counts_by_its_pattern_and_not_by_its_size():
    """States a hundred times as large pool to the same vector, and leave tanh where it can learn."""
    torch.manual_seed(0)
    pooler = GeneBertModel(GeneBertConfig.tiny(pooling="max", num_pooling_bins=2)).eval().pooler
    ids, states = torch.zeros(1, 6, dtype=torch.long), torch.randn(1, 6, 64)
    pooled, _ = pooler(states, ids, None, None)
    large, _ = pooler(100 * states, ids, None, None)
    torch.testing.assert_close(large, pooled)
    assert 0.05 < pooled.abs().max() < 0.9


def test_maximum_of_each_part():
    states = torch.tensor([1.0, 5.0, 4.0, 2.0, 3.0, 9.0, -1.0, -2.0]).view(1, 8, 1).repeat(3, 1, 1)
    is_token = torch.tensor([[1, 1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1, 1, 1], [0] * 8]).bool()
    assert max_of_bins(states, is_token, 2).tolist() == [[[5.0], [4.0]], [[9.0], [-1.0]], [[0.0], [0.0]]]
    assert max_of_bins(states, is_token, 1).tolist() == [[[5.0]], [[9.0]], [[0.0]]]
    more_than_tokens = max_of_bins(states[1:2], is_token[1:2], 6)  # an empty part takes the token that follows
    assert more_than_tokens.flatten().tolist() == [9.0, 9.0, -1.0, -1.0, -2.0, -2.0]


def test_parts_of_a_long_sequence_do_not_depend_on_padding():
    model = GeneBertForSequenceClassification(make_config(pooling="max", num_pooling_bins=4)).eval()
    input_ids = make_ids()
    padded = torch.nn.functional.pad(input_ids, (0, 10))
    logits = model(input_ids=padded, attention_mask=(padded != 0).long()).logits
    torch.testing.assert_close(logits, model(input_ids=input_ids).logits, atol=1e-6, rtol=1e-5)


def test_parts_need_the_maximum():
    with pytest.raises(ValueError, match="num_pooling_bins"):
        GeneBertConfig.tiny(num_pooling_bins=2)


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_look_up_is_the_convolution(kernel_size, monkeypatch):
    config = make_config()
    config.conv_kernel_size = kernel_size
    model = GeneBertModel(config).eval()
    layer, embeddings = model.stem.layers[0], model.get_input_embeddings()
    input_ids = make_ids(num_tokens=60, batch_size=4)
    is_token = torch.ones(4, 60, 1)
    is_token[1, 40:] = 0
    weights = torch.randn(4, 60, 64)
    found = []
    for kmers in [(embeddings, input_ids), ()]:
        states = layer(embeddings(input_ids), is_token, *kmers)
        gradients = torch.autograd.grad((states * weights).sum(), [embeddings.weight, *layer.parameters()])
        found.append([states, *gradients])
    for looked_up, convolved in zip(*found, strict=True):
        torch.testing.assert_close(looked_up, convolved, atol=1e-4, rtol=1e-5)

    monkeypatch.setattr(layer.convolution, "forward", None)  # cannot be called
    layer(embeddings(input_ids), is_token, embeddings, input_ids)
    with pytest.raises(TypeError):
        layer(embeddings(input_ids), is_token)


def test_where_the_convolution_is_looked_up():
    model = GeneBertModel(make_config())
    layer, embeddings = model.stem.layers[0], model.get_input_embeddings()
    input_ids = make_ids(num_tokens=60, batch_size=4)  # 240 tokens, a vocabulary of 69
    assert embeddings.num_embeddings == 69
    assert layer.can_look_up(embeddings, input_ids)
    assert not layer.can_look_up(embeddings, input_ids[:2])  # 120 tokens
    with torch.autocast("cpu", torch.bfloat16):
        assert not layer.can_look_up(embeddings, input_ids)
    assert not layer.to(torch.bfloat16).can_look_up(embeddings, input_ids)
