from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from examples.finetuning.data import MULTI_LABEL, PER_BASE, REGRESSION, SINGLE_LABEL, Split, Task
from examples.finetuning.results import MAIN_METRIC, Scorer, plot_split, without_nan, write_predictions
from hub_datasets.files import write_json


LOG3 = np.log(3)
CASES = {
    SINGLE_LABEL: (
        ["no", "yes"],
        np.array([1, 0]),
        np.array([[0, LOG3], [0, 0]]),
        ["id,label,prediction,probability_no,probability_yes", "r0,yes,yes,0.25,0.75", "r1,no,no,0.5,0.5"],
    ),
    MULTI_LABEL: (
        ["CTCF", "SP1"],
        np.array([[1, -100], [0, 1]], dtype=np.float32),
        np.array([[LOG3, -LOG3], [0, LOG3]]),
        [
            "id,label,unmeasured,prediction,probability_CTCF,probability_SP1",
            "r0,CTCF,SP1,CTCF,0.75,0.25",
            "r1,SP1,,SP1,0.5,0.75",
        ],
    ),
    REGRESSION: (
        ["label"],
        np.array([0.5, -2], dtype=np.float32),
        np.array([[0.25], [1]]),
        ["id,label,prediction", "r0,0.5,0.25", "r1,-2,1"],
    ),
    PER_BASE: (
        ["n", "s"],
        [np.array([0, 1]), np.array([0])],
        np.array([[[LOG3, 0], [0, LOG3]], [[0, 0], [-100, -100]]]),
        [
            "id,position,label,prediction,probability_n,probability_s",
            "r0,0,n,n,0.75,0.25",
            "r0,1,s,s,0.25,0.75",
            "r1,0,n,n,0.5,0.5",
        ],
    ),
}


def make_task(problem_type):
    names, labels, logits, lines = CASES[problem_type]
    split = Split("test", ["AC", "G"], alt_sequences=None, labels=labels, ids=["r0", "r1"], groups=None, context=None)
    return Task(problem_type, names, {"train": split, "test": split}, None, "x.csv"), logits.astype(np.float32), lines


@pytest.mark.parametrize("problem_type", list(CASES))
def test_predictions_as_a_table(problem_type, tmp_path):
    task, logits, lines = make_task(problem_type)
    write_predictions(tmp_path / "test.csv", task, task.splits["test"], logits)
    assert (tmp_path / "test.csv").read_text().replace('"', "").splitlines() == lines
    assert [path.name for path in tmp_path.iterdir()] == ["test.csv"]


@pytest.mark.parametrize("problem_type", list(CASES))
def test_pictures(problem_type, tmp_path):
    task, logits, _ = make_task(problem_type)
    plot_split(tmp_path / "test.png", task, "test", task.splits["test"], logits)
    with Image.open(tmp_path / "test.png") as picture:
        assert picture.size == {REGRESSION: (500, 500), MULTI_LABEL: (1000, 460)}.get(problem_type, (1500, 460))


@pytest.mark.parametrize("problem_type", list(CASES))
def test_figures(problem_type):
    task, logits, _ = make_task(problem_type)
    labels = task.splits["test"].labels
    if problem_type == PER_BASE:
        labels = np.array([[0, 1], [0, -100]])
    figures = Scorer(task)(logits, labels)
    expected = {SINGLE_LABEL: 1, MULTI_LABEL: 1, REGRESSION: -1, PER_BASE: 1}[problem_type]
    assert figures[MAIN_METRIC[problem_type]] == pytest.approx(expected)
    assert figures["collapsed"] is False


def test_json_has_no_nan(tmp_path):
    write_json(tmp_path / "x.json", without_nan({"a": float("nan"), "b": 0.5, "c": "x"}))
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": 0.5, "c": "x"}
