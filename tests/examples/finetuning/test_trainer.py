from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import TrainingArguments

from examples.finetuning.data import MULTI_LABEL, PER_BASE, REGRESSION, SINGLE_LABEL, Split
from examples.finetuning.trainer import FineTuningTrainer, StrandsOfEpoch, balanced_weights, turned_round


def make_split(labels):
    return Split("train", ["A"] * len(labels), alt_sequences=None, labels=labels, ids=None, groups=None, context=None)


@pytest.mark.parametrize(
    ("problem_type", "labels", "weights"),
    [
        (SINGLE_LABEL, np.array([0, 0, 0, 1, 3, 3]), [2 / 3, 2, 1, 1]),  # no row is of class 2
        (PER_BASE, [np.array([0, 0, 0]), np.array([1])], [2 / 3, 2, 1, 1]),
        (MULTI_LABEL, np.array([[1, 0], [0, 0], [0, -100], [0, 1]], dtype=np.float32), [3, 2]),
    ],
)
def test_balanced_weights(problem_type, labels, weights):
    found = balanced_weights(make_split(labels), problem_type, len(weights))
    torch.testing.assert_close(found, torch.tensor(weights, dtype=torch.float32))


def test_values_have_no_classes_to_balance():
    with pytest.raises(ValueError, match="the labels are values"):
        balanced_weights(make_split(np.array([0.5, 1.0])), REGRESSION, 1)


class Given(torch.nn.Module):
    """A model that returns the logits it is given."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, logits, labels=None):
        loss = None if labels is None else torch.nn.functional.cross_entropy(logits.flatten(0, -2), labels.flatten())
        return {"loss": loss, "logits": logits + self.weight}


def make_trainer(tmp_path, problem_type, weights=None):
    arguments = TrainingArguments(str(tmp_path), use_cpu=True, report_to="none", label_names=["labels"])
    weights = None if weights is None else torch.tensor(weights)
    return FineTuningTrainer(model=Given(), args=arguments, problem_type=problem_type, class_weights=weights)


def test_class_weights_weigh_the_loss(tmp_path):
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0]])
    inputs = {"logits": logits, "labels": torch.tensor([0, 1, 1])}
    trainer = make_trainer(tmp_path, SINGLE_LABEL, [1.5, 0.75])
    expected = (1.5 * math.log(2) + 0.75 * math.log(4) + 0.75 * math.log(2)) / 3
    assert trainer.compute_loss(trainer.model, inputs).item() == pytest.approx(expected)


def test_class_weights_per_base_leave_out_padding(tmp_path):
    inputs = {"logits": torch.zeros(2, 4, 2), "labels": torch.tensor([[0, 1, -100], [1, -100, -100]])}
    trainer = make_trainer(tmp_path, PER_BASE, [1.0, 2.0])
    assert trainer.compute_loss(trainer.model, inputs).item() == pytest.approx(5 / 3 * math.log(2))


def test_logits_of_both_strands_are_averaged(tmp_path):
    trainer = make_trainer(tmp_path, SINGLE_LABEL)
    inputs = {"logits": torch.tensor([[2.0, 0.0]]), "labels": torch.tensor([0])}
    opposite = {"logits": torch.tensor([[0.0, 1.0]])}
    loss, logits, labels = trainer.prediction_step(trainer.model, {**inputs, "opposite_strand": opposite}, False)
    assert logits.tolist() == [[1.0, 0.5]]
    assert labels.tolist() == [0]
    assert loss.item() == pytest.approx((math.log(1 + math.exp(-2)) + math.log(1 + math.e)) / 2)


def test_bases_of_the_opposite_strand_are_turned_round_within_their_sequence(tmp_path):
    trainer = make_trainer(tmp_path, PER_BASE)
    labels = torch.tensor([[0, 1, 1], [0, 1, -100]])
    given = torch.arange(12.0).reshape(2, 3, 2)
    opposite = turned_round(given, torch.tensor([3, 2]))
    assert opposite[1].tolist() == [[8.0, 9.0], [6.0, 7.0], [10.0, 11.0]]
    inputs = {"logits": given, "labels": labels, "opposite_strand": {"logits": opposite}}
    _, logits, _ = trainer.prediction_step(trainer.model, inputs, False)
    torch.testing.assert_close(logits, given)


def test_strands_follow_the_epoch():
    told = []
    callback = StrandsOfEpoch(SimpleNamespace(set_epoch=told.append))
    for epoch in (None, 0.75, 1.0):
        callback.on_epoch_begin(None, SimpleNamespace(epoch=epoch), None)
    assert told == [0, 0, 1]
