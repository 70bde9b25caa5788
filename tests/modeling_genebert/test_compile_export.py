"""Models as one graph: `torch.compile(fullgraph=True)` and `torch.export` give what eager mode gives.

The back ends `eager` and `aot_eager` prove the graph without the minutes that code generation takes.
"""

from __future__ import annotations

import pytest
import torch
from packaging.version import Version
from torch.export import Dim

from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
)

from .conftest import make_config, make_inputs, make_model
from .test_modeling_genebert import ALL_CLASSES, ENCODERS, class_inputs


def small_model(model_class, encoder="bert"):
    """One layer of each kind and no dropout: what a graph needs, and no more."""
    without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0} if encoder == "bert" else {}
    return make_model(
        model_class,
        sequence_config={**ENCODERS[encoder], **without_dropout, "num_hidden_layers": 1},
        num_fusion_layers=1,
        classifier_dropout=0.0,
    )


def make_batch(model_class, config, batch_size=3, num_kmers=9):
    """What the processor writes for a class: padded rows and regions."""
    inputs = class_inputs(model_class, config, batch_size=batch_size, num_kmers=num_kmers)
    inputs["attention_mask"][-1, -4:] = 0
    if model_class is GeneBertForTokenClassification:
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    return inputs


def make_labels(model_class, inputs):
    classes = torch.arange(len(inputs["input_ids"])) % 2
    tokens = torch.where(torch.arange(inputs["input_ids"].shape[1]) % 3 == 0, inputs["input_ids"], -100)
    return {
        GeneBertModel: {},
        GeneBertForPreTraining: {"labels": tokens, "ngsp_labels": classes, "srm_labels": classes},
        GeneBertForMaskedLM: {"labels": tokens},
        GeneBertForSequenceClassification: {"labels": classes},
        GeneBertForTokenClassification: {"labels": classes[:, None].expand(-1, 11)},
        GeneBertForVariantEffect: {"labels": classes},
    }[model_class]


def assert_same(output, other):
    assert list(output) == list(other)
    for name, value in output.items():
        torch.testing.assert_close(value, other[name], atol=1e-5, rtol=1e-5, msg=name)


def gradients(model, output):
    model.zero_grad()
    (output.loss if "loss" in output else output.last_hidden_state.square().mean()).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


compiles = pytest.mark.skipif(
    Version(torch.__version__) < Version("2.7"),
    reason="torch 2.6 cannot trace the decorators that transformers puts on every model's forward",
)
# aot_eager traces the backward pass too; the others' gradients come from autograd through their graph.
BACKENDS = {GeneBertForPreTraining: "aot_eager"}


@compiles
@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_training_is_one_graph(model_class):
    torch._dynamo.reset()
    model = small_model(model_class).train()
    inputs = make_batch(model_class, model.config)
    inputs |= make_labels(model_class, inputs)
    compiled = torch.compile(model, fullgraph=True, backend=BACKENDS.get(model_class, "eager"))
    # Masking picks the labelled tokens, whose number depends on the data; newer versions of torch set this themselves.
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        output = compiled(**inputs)
    expected = model(**inputs)
    assert_same(output, expected)
    compiled_gradients, eager_gradients = gradients(model, output), gradients(model, expected)
    for name, gradient in eager_gradients.items():
        torch.testing.assert_close(compiled_gradients[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


@compiles
@pytest.mark.parametrize("encoder", ["roberta", "modernbert"])
@torch.no_grad()
def test_another_encoder_and_no_regions_are_one_graph(encoder):
    torch._dynamo.reset()
    model = small_model(GeneBertModel, encoder)
    inputs = make_batch(GeneBertModel, model.config)
    sequence = {name: value for name, value in inputs.items() if not name.startswith("region")}
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert_same(compiled(**sequence), model(**sequence))


def dynamic_axes(inputs):
    """Every batch size, and every length of the sequences; the region matrix has one shape."""
    rows, tokens = {0: Dim.DYNAMIC}, {0: Dim.DYNAMIC, 1: Dim.DYNAMIC}
    return {name: rows if name.startswith("region") else tokens for name in inputs}


@pytest.mark.parametrize(
    ("model_class", "with_regions"), [(GeneBertModel, False), (GeneBertForSequenceClassification, True)]
)
@torch.no_grad()
def test_an_exported_program_takes_any_batch_and_length(model_class, with_regions):
    model = small_model(model_class)

    def make(**sizes):
        inputs = make_batch(model_class, model.config, **sizes)
        return {name: value for name, value in inputs.items() if with_regions or not name.startswith("region")}

    inputs = make()
    program = torch.export.export(model, (), inputs, dynamic_shapes=dynamic_axes(inputs), strict=False).module()
    for batch_size, num_kmers in ((1, 2), (3, 9), (5, 18)):
        other = make(batch_size=batch_size, num_kmers=num_kmers)
        assert_same(program(**other), model(**other))


@torch.no_grad()
def test_the_sequence_encoder_alone_is_exported():
    encoder = small_model(GeneBertModel).sequence_encoder
    names = ("input_ids", "attention_mask", "token_type_ids")
    inputs, other = (
        {name: make_inputs(make_config(), batch_size, num_kmers)[name] for name in names}
        for batch_size, num_kmers in ((3, 9), (2, 4))
    )
    program = torch.export.export(encoder, (), inputs, dynamic_shapes=dynamic_axes(inputs), strict=False).module()
    assert_same(program(**other), encoder(**other))
