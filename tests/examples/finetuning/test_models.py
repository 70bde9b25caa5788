"""The model to fine-tune: what of a checkpoint may be replaced, and what may not."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from examples.config_overrides import merged, read_overrides
from examples.finetuning.data import REGRESSION, SINGLE_LABEL, Split, Task
from examples.finetuning.models import make_model
from examples.prediction.checkpoint import open_model
from modeling_genebert import GeneBertForPreTraining, GeneBertProcessor


@pytest.fixture(scope="module")
def task():
    split = Split("train", ["ACGT", "GG"], None, labels=np.array([0, 1]), ids=["a", "b"], groups=None, context=None)
    return Task(SINGLE_LABEL, ["no", "yes"], {"train": split}, None, "x.csv")


def test_only_the_head_is_new(task, pretrained):
    model, _, new = make_model(task, model_name_or_path=str(pretrained))
    assert model.config.id2label == {0: "no", 1: "yes"}
    assert {name.split(".")[0] for name in new} == {"classifier"}


def test_weights_saved_in_bf16_are_trained_in_fp32(task, pretrained, tmp_path):
    model = GeneBertForPreTraining.from_pretrained(pretrained, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path)
    GeneBertProcessor.from_pretrained(pretrained).save_pretrained(tmp_path)
    model, _, _ = make_model(task, model_name_or_path=str(tmp_path))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_another_pooling_is_new_too(task, pretrained):
    overrides = json.dumps({"pooling": "max", "num_pooling_bins": 4})
    model, _, new = make_model(task, model_name_or_path=str(pretrained), config_overrides=overrides)
    assert model.genebert.pooler.dense.weight.shape == (64, (2 * 4 + 2) * 64)
    assert {name.removeprefix("genebert.pooler.") for name in new if not name.startswith("classifier.")} == {
        "dense.weight",
        "max_norm.weight",
        "max_norm.bias",
    }


@pytest.mark.parametrize("overrides", [None, '{"classifier_dropout": 0.5}'])
def test_labels_of_the_task_take_the_place_of_the_checkpoints(overrides, pretrained):
    split = Split("train", ["ACGT"], None, labels=np.array([0.5]), ids=["a"], groups=None, context=None)
    task = Task(REGRESSION, ["score"], {"train": split}, None, "x.csv")
    model, _, _ = make_model(task, model_name_or_path=str(pretrained), config_overrides=overrides)
    assert model.config.id2label == {0: "score"} and model.config.label2id == {"score": 0}
    assert model.classifier[-1].out_features == 1 and model.config.problem_type == "regression"


def test_other_sizes_are_refused(task, pretrained):
    overrides = json.dumps({"sequence_config": {"intermediate_size": 32}})
    with pytest.raises(ValueError, match="do not fit the config; change no sizes of a checkpoint"):
        make_model(task, model_name_or_path=str(pretrained), config_overrides=overrides)


def test_overrides_replace_fields_one_by_one():
    fields = {"kmer": 6, "sequence_config": {"hidden_size": 8, "num_hidden_layers": 2}}
    overrides = read_overrides('{"stride": 2, "sequence_config": {"hidden_size": 4}}')
    assert merged(fields, overrides) == {
        "kmer": 6,
        "stride": 2,
        "sequence_config": {"hidden_size": 4, "num_hidden_layers": 2},
    }
    assert read_overrides(None) == {}


@pytest.mark.parametrize("option", ["model_name_or_path", "sequence_model_name_or_path"])
def test_a_checkpoint_that_is_nowhere_is_named(option, task):
    with pytest.raises(OSError, match="^lab/none: no checkpoint in a folder here, nor to be had from the Hub"):
        make_model(task, **{option: "lab/none"})
    with pytest.raises(OSError, match="^lab/none: no checkpoint in a folder here"):
        open_model("lab/none", "cpu")
