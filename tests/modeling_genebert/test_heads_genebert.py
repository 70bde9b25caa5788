from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from modeling_genebert import (
    GeneBertConfig,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertModel,
)
from modeling_genebert.heads_genebert import GeneBertMotifResponse, GeneBertPooler, mean_binary_cross_entropy

from .conftest import make_config, make_inputs, make_model


def test_labels_that_were_not_measured_count_in_no_loss():
    logits = torch.tensor([[0.0, 5.0], [math.log(3), -1.0]], requires_grad=True)
    labels = torch.tensor([[1.0, -100.0], [0.0, -100.0]])
    loss = mean_binary_cross_entropy(logits, labels)
    assert loss.item() == pytest.approx((math.log(2) + math.log(4)) / 2)
    loss.backward()
    torch.testing.assert_close(logits.grad, torch.tensor([[-0.25, 0.0], [0.375, 0.0]]))
    assert mean_binary_cross_entropy(logits, torch.full((2, 2), -100.0)).item() == 0


def test_positive_weights_are_those_of_labels_that_hold():
    loss = mean_binary_cross_entropy(torch.zeros(2, 1), torch.tensor([[1.0], [0.0]]), torch.tensor([3.0]))
    assert loss.item() == pytest.approx(2 * math.log(2))


def test_a_model_of_several_labels_leaves_out_those_not_measured():
    settings = {"problem_type": "multi_label_classification", "num_labels": 3}
    model, inputs = make_model(GeneBertForSequenceClassification, **settings), make_inputs(make_config())
    labels = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
    output = model(**inputs, labels=labels)
    losses = torch.nn.functional.binary_cross_entropy_with_logits(output.logits, labels, reduction="none")
    torch.testing.assert_close(output.loss, losses.mean())
    labels[:, 1] = -100
    torch.testing.assert_close(model(**inputs, labels=labels).loss, losses[:, [0, 2]].mean())


def test_what_ngsp_matches_is_segment_b_with_the_next_column():
    """As SRM matches segment A with the anchor's column, and by the same weights."""
    model = make_model(GeneBertForPreTraining)
    genebert, inputs = model.genebert, make_inputs(model.config)
    output = genebert(**inputs)
    is_b = (inputs["token_type_ids"] == 1) & inputs["attention_mask"].bool()
    assert is_b.any(dim=1).all()
    alone, _ = genebert.pooler(output.last_hidden_state, inputs["input_ids"], is_b, None)
    torch.testing.assert_close(output.next_pooler_output, alone)
    assert (output.next_pooler_output - output.pooler_output).abs().max() > 0.01
    tokens = output.region_hidden_state.clone()
    anchor = tokens.shape[1] - model.config.num_regions + model.config.anchor_index
    tokens[:, [anchor, anchor + 1]] = tokens[:, [anchor + 1, anchor]]
    exchanged = genebert.region_encoder._pool(tokens, tokens[:, anchor])
    torch.testing.assert_close(output.next_region_pooler_output, exchanged)
    assert (output.next_region_pooler_output - output.region_pooler_output).abs().max() > 0.01
    before = model.ngsp_head(output), model.srm_head(output)
    output.next_pooler_output = -output.next_pooler_output
    assert (model.ngsp_head(output) - before[0]).abs().max() > 0.001
    torch.testing.assert_close(model.srm_head(output), before[1], atol=0, rtol=0)


def test_a_segment_b_that_is_not_there_is_pooled_as_zeros():
    model = make_model(GeneBertForPreTraining)
    inputs = make_inputs(model.config)
    inputs["token_type_ids"][1] = 0
    without = model.genebert(**inputs).next_pooler_output[1]
    torch.testing.assert_close(without, torch.tanh(model.genebert.pooler.dense.bias))
    inputs.pop("token_type_ids")
    torch.testing.assert_close(
        model.genebert(**inputs).next_pooler_output, without.expand(len(inputs["input_ids"]), -1)
    )


def test_composition_of_each_segment():
    """The mean over its k-mers; not over special tokens, masks, padding, nor tokens that were added."""
    pooler = GeneBertPooler(GeneBertConfig.tiny(kmer=1, pooling="cls"))
    pooler.dense, pooler.composition_norm = nn.Identity(), nn.Identity()
    pooler.kmer_embeddings = nn.Embedding.from_pretrained(torch.arange(9.0)[:, None] / 10)
    states = torch.tensor([[[0.1]] * 8])
    #        [CLS] A  C  [MASK] [SEP] G  added padding
    ids = [[2, 5, 6, 4, 3, 7, 9, 0]]
    mask, segments = [[1, 1, 1, 1, 1, 1, 1, 0]], [[0, 0, 0, 0, 0, 1, 1, 1]]
    pooled, of_b = pooler(states, torch.tensor(ids), torch.tensor(mask), torch.tensor(segments), with_next=True)
    torch.testing.assert_close(pooled, torch.tensor([[0.1, 0.55, 0.7]]).tanh())
    torch.testing.assert_close(of_b, torch.tensor([[0.1, 0.7, 0.0]]).tanh())


@pytest.mark.parametrize("pooling", ["mean", "max", "cls"])
def test_embeddings_count_as_the_kmers_they_are_of(pooling):
    model, inputs = make_model(GeneBertModel, pooling=pooling), make_inputs(make_config())
    expected = model(**inputs).pooler_output
    embeddings = model.get_input_embeddings()(inputs.pop("input_ids"))
    found = model(**inputs, inputs_embeds=embeddings + 1e-4).pooler_output
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)
    other = model(**inputs, inputs_embeds=embeddings.flip(1)).pooler_output
    assert (other - expected).abs().max() > 0.05


def test_sites_pass_thresholds_and_are_scaled_by_the_enrichment_of_their_own_motif():
    response = GeneBertMotifResponse(num_motifs=2, hidden_size=9, dropout=0.0)
    response.init_weights()
    response.dense, response.norm = nn.Identity(), nn.Identity()
    column = torch.tensor([[2.5, 0.5, 7.0, 8.0, 9.0]])  # two scores; accessibility, whether it is known, distance
    found = response(column, torch.tensor([[0.0, 2.0]]))
    gate = 2 / (1 + math.exp(-2))
    # gelu(2 * (score - 0.5)), then gelu(2 * (score - 2))
    sites = [3.9998733, 0.0 * gate, 0.8413447, -0.0040497 * gate]
    torch.testing.assert_close(found, torch.tensor([[2.5, 0.5, 7.0, 8.0, 9.0, *sites]]))


def test_in_training_some_scores_and_sites_are_left_out():
    """Without that, fine-tuning on a real TF's binding sites ended with a larger loss on dev."""
    response = GeneBertMotifResponse(num_motifs=500, hidden_size=8, dropout=0.25)
    response.init_weights()
    response.dense, response.norm = nn.Identity(), nn.Identity()
    column, enrichment = torch.full((4, 503), 3.0), torch.zeros(4, 500)
    whole = response.eval()(column, enrichment)
    torch.manual_seed(0)
    found = response.train()(column, enrichment)
    left = found != 0
    assert left.float().mean().item() == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(found[left], whole[left] / 0.75)
    head = make_model(GeneBertForSequenceClassification, num_labels=2, classifier_dropout=0.5).classifier
    assert head[0].response.dropout.p == 0.5


def test_tasks_read_the_motif_response_and_pre_training_does_not():
    """So checkpoints fit whatever is read there, and matching stays a product of two poolers."""
    model = make_model(GeneBertForSequenceClassification, num_labels=2)
    inputs = {name: value for name, value in make_inputs(model.config).items() if name != "token_type_ids"}
    output = model.genebert(**inputs)
    before = model.classifier(output)
    torch.testing.assert_close(model(**inputs).logits, before)
    for name in ("own_column", "enrichment"):
        values = output[name].clone()
        output[name] = values + 1
        assert (model.classifier(output) - before).abs().max() > 1e-3
        output[name] = values
    pretraining = make_model(GeneBertForPreTraining)
    assert not [name for name, _ in pretraining.named_parameters() if "response" in name]
    plain = make_model(GeneBertForSequenceClassification, region_embedding="patch", fusion_type="concat")
    assert not [name for name, _ in plain.named_parameters() if "response" in name]
