"""What several examples of a batch read is there once: the same outputs and gradients as with rows of their own."""

from __future__ import annotations

import pytest
import torch

from modeling_genebert import GeneBertForPreTraining, GeneBertModel

from .conftest import make_inputs, make_model
from .test_modeling_genebert import assert_close


OF_SEQUENCES = ("input_ids", "attention_mask", "token_type_ids", "labels")


@pytest.mark.parametrize("arguments", [{}, {"num_conv_layers": 1, "pooling": "max"}, {"fusion_type": "concat"}])
def test_rows_that_examples_share_are_the_same_as_rows_of_their_own(arguments):
    model = make_model(GeneBertForPreTraining, **arguments)
    inputs = make_inputs(model.config)
    inputs["labels"] = torch.where(torch.arange(21) % 4 == 1, inputs["input_ids"], -100)
    inputs["ngsp_labels"], inputs["srm_labels"] = (
        torch.tensor([1, -100, 0, -100, -100]),
        torch.tensor([1, 0, 1, 0, -100]),
    )
    rows = {"sequence_rows": torch.tensor([0, 0, 2, 2, 1]), "region_rows": torch.tensor([0, 2, 2, 0, 1])}
    own = {
        name: value
        if name in ("ngsp_labels", "srm_labels")
        else value[rows["sequence_rows" if name in OF_SEQUENCES else "region_rows"]]
        for name, value in inputs.items()
    }
    shared = model(**inputs, **rows)
    gradients = torch.autograd.grad(shared.loss, list(model.parameters()), allow_unused=True)
    expected = model(**own)
    assert len(shared.srm_logits) == 5
    assert_close(shared, expected, rows=...)
    for found, one in zip(
        gradients, torch.autograd.grad(expected.loss, list(model.parameters()), allow_unused=True), strict=True
    ):
        torch.testing.assert_close(found, one, atol=1e-5, rtol=1e-4)


def test_sequences_without_regions_are_shared_too():
    model = make_model(GeneBertModel)
    sequence = {name: value for name, value in make_inputs(model.config).items() if name in OF_SEQUENCES}
    rows = torch.tensor([2, 0, 0, 1])
    assert_close(
        model(**sequence, sequence_rows=rows), model(**{name: value[rows] for name, value in sequence.items()})
    )
