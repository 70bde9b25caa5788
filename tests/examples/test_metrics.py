from __future__ import annotations

import math
import multiprocessing
import time
from pathlib import Path

import evaluate
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn import metrics as sklearn_metrics

from examples.metrics import resampling


METRICS = Path(__file__).parents[2] / "examples" / "metrics"


def load(name, **options):
    return evaluate.load(str(METRICS / f"{name}.py"), keep_in_memory=options.get("num_process", 1) == 1, **options)


@pytest.fixture(scope="module")
def metric():
    return {
        name: load(name) for name in ("sequence_classification", "multi_label", "regression", "token_classification")
    }


# Single-label classification

BINARY = [[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0]], [0, 1, 1, 0]


def test_binary(metric):
    figures = metric["sequence_classification"].compute(predictions=BINARY[0], references=BINARY[1])
    # Predicted 0 1 0 0: one of two positives found, nothing else called positive.
    assert figures == {
        "accuracy": 0.75,
        "f1": pytest.approx(2 / 3),
        "mcc": pytest.approx(1 / math.sqrt(3)),
        "auroc": 0.75,  # 3 of 4 pairs
        "auprc": pytest.approx((1 + 2 / 3) / 2),
        "collapsed": False,
        "absent_classes": [],
    }


def test_equal_scores_count_half(metric):
    figures = metric["sequence_classification"].compute(predictions=[[0.0, 1.0]] * 4, references=[0, 1, 1, 1])
    assert (figures["auroc"], figures["auprc"], figures["mcc"]) == (0.5, 0.75, 0.0)
    assert figures["collapsed"] is True


def test_scores_that_softmax_would_round_to_1_keep_their_order(metric):
    logits = [[0.0, 50.0], [0.0, 60.0], [0.0, 70.0]]
    assert metric["sequence_classification"].compute(predictions=logits, references=[0, 1, 1])["auroc"] == 1.0


def test_an_absent_class_is_nan_and_said(metric, caplog):
    figures = metric["sequence_classification"].compute(predictions=[[1.0, 0.0], [0.0, 1.0]], references=[0, 0])
    assert figures["accuracy"] == 0.5
    assert all(math.isnan(figures[name]) for name in ("f1", "mcc", "auroc", "auprc"))
    assert figures["absent_classes"] == [1]
    assert "no example is of class 1" in caplog.text
    only_positives = metric["sequence_classification"].compute(predictions=[[1.0, 0.0], [0.0, 1.0]], references=[1, 1])
    assert math.isnan(only_positives["auprc"])  # not 1
    assert only_positives["absent_classes"] == [0]


def test_macro_means_leave_an_absent_class_out(metric):
    logits = np.random.default_rng(0).normal(size=(40, 3))
    labels = np.arange(40) % 2
    figures = metric["sequence_classification"].compute(predictions=logits, references=labels)
    others = np.logaddexp(np.delete(logits, 0, 1)[:, 0], np.delete(logits, 0, 1)[:, 1])
    scores = [logits[:, 0] - others, logits[:, 1] - np.logaddexp(logits[:, 0], logits[:, 2])]
    expected = np.mean([sklearn_metrics.roc_auc_score(labels == c, scores[c]) for c in (0, 1)])
    assert figures["auroc"] == pytest.approx(expected, abs=1e-6)
    assert figures["absent_classes"] == [2]


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_three_classes_as_scikit_learn_has_them(metric, data):
    size = data.draw(st.integers(6, 30))
    # Of few values, so that there are ties.
    logits = data.draw(arrays(np.float64, (size, 3), elements=st.integers(-3, 3).map(float)))
    labels = np.concatenate([[0, 1, 2], data.draw(arrays(np.int64, size - 3, elements=st.integers(0, 2)))])
    figures = metric["sequence_classification"].compute(predictions=logits, references=labels)
    predicted = logits.argmax(axis=1)
    scores = resampling.log_odds(logits).T
    assert figures["accuracy"] == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert figures["f1"] == pytest.approx(sklearn_metrics.f1_score(labels, predicted, average="macro"))
    assert figures["mcc"] == pytest.approx(sklearn_metrics.matthews_corrcoef(labels, predicted), abs=1e-9)
    for name, function in (
        ("auroc", sklearn_metrics.roc_auc_score),
        ("auprc", sklearn_metrics.average_precision_score),
    ):
        assert figures[name] == pytest.approx(np.mean([function(labels == c, scores[c]) for c in range(3)])), name


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([[1.0], [2.0]], [0, 1], r"found rows of \[1\] numbers, expected one length: C >= 2"),
        ([[1.0, 2.0], [2.0, 1.0, 3.0]], [0, 1], r"found rows of \[2, 3\] numbers"),
        ([[1.0, 2.0], [float("nan"), 1.0]], [0, 1], r"predictions: row 1 \(0-based\) holds \[nan, 1.0\].*diverged"),
        ([[1.0, 2.0], [2.0, 1.0]], [0, 2], r"row 1 \(0-based\) is of class 2, expected 0 to 1"),
        ([[1.0, 2.0], [2.0, 1.0]], [0, -100], r"row 1 \(0-based\) is of class -100"),
    ],
)
def test_bad_input(metric, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        metric["sequence_classification"].compute(predictions=predictions, references=references)


# Intervals


def test_intervals_are_those_of_resampled_rows(metric):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    logits = rng.normal(size=(60, 2)).astype(np.float32) + labels[:, None] * np.array([0, 1], np.float32)
    options = {"num_bootstrap": 60, "seed": 3}
    figures = metric["sequence_classification"].compute(predictions=logits, references=labels, **options)
    draws = np.random.default_rng(3).integers(60, size=(60, 60))
    score, predicted = logits[:, 1].astype(float) - logits[:, 0], logits.argmax(axis=1)
    for name, function, values in (
        ("auroc", sklearn_metrics.roc_auc_score, score),
        ("auprc", sklearn_metrics.average_precision_score, score),
        ("mcc", sklearn_metrics.matthews_corrcoef, predicted),
        ("f1", sklearn_metrics.f1_score, predicted),
    ):
        expected = np.percentile([function(labels[rows], values[rows]) for rows in draws], [2.5, 97.5])
        assert [figures[f"{name}_low"], figures[f"{name}_high"]] == pytest.approx(expected.tolist(), abs=1e-9), name
        assert figures[f"{name}_low"] < figures[name] < figures[f"{name}_high"]


def test_whole_groups_are_drawn(metric):
    # Two groups, one all right and one all wrong: accuracies of 0, 1/2 and 1 and nothing between.
    logits, labels = [[0.0, 1.0]] * 100, [1] * 50 + [0] * 50
    compute = metric["sequence_classification"].compute
    grouped = compute(predictions=logits, references=labels, num_bootstrap=200, groups=["chr1"] * 50 + ["chr2"] * 50)
    assert (grouped["accuracy_low"], grouped["accuracy"], grouped["accuracy_high"]) == (0.0, 0.5, 1.0)
    by_row = compute(predictions=logits, references=labels, num_bootstrap=200)
    assert 0.35 < by_row["accuracy_low"] < 0.45
    with pytest.raises(ValueError, match="at least 2 groups of rows, found 1"):
        compute(predictions=logits, references=labels, num_bootstrap=10, groups=["chr1"] * 100)
    with pytest.raises(ValueError, match=r"groups has shape \(3,\), expected one group for each of the 100 rows"):
        compute(predictions=logits, references=labels, num_bootstrap=10, groups=[1, 2, 3])


def test_the_seed_decides(metric):
    rng = np.random.default_rng(0)
    rows = {"predictions": rng.normal(size=(50, 2)), "references": rng.integers(0, 2, 50), "num_bootstrap": 50}
    compute = metric["sequence_classification"].compute
    assert compute(**rows, seed=1) == compute(**rows, seed=1) != compute(**rows, seed=2)


def test_memory_is_bounded_by_parts_of_one_result(metric, monkeypatch):
    rng = np.random.default_rng(0)
    score, labels = rng.normal(size=30), rng.integers(0, 2, 30)
    ranking = resampling.Ranking(score, labels == 1)

    def figures(weights):
        return {"auroc": resampling.auroc(ranking.counts(weights))}

    whole = resampling.with_intervals(figures, 30, num_bootstrap=100)
    monkeypatch.setattr(resampling, "WEIGHTS_AT_ONCE", 100)
    assert resampling.with_intervals(figures, 30, num_bootstrap=100) == whole


def test_a_resample_without_a_class_is_left_out_of_the_interval(metric):
    logits = [[0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]
    figures = metric["sequence_classification"].compute(predictions=logits, references=[1, 0, 0], num_bootstrap=100)
    assert (figures["auroc_low"], figures["auroc"], figures["auroc_high"]) == (1.0, 1.0, 1.0)


def test_a_thousand_resamples_of_six_thousand_rows_take_seconds(metric):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 6000)
    started = time.process_time()
    metric["sequence_classification"].compute(
        predictions=rng.normal(size=(6000, 2)), references=labels, num_bootstrap=1000
    )
    assert time.process_time() - started < 5


# Several labels


def test_several_labels(metric):
    logits = [[2.0, -1.0], [-3.0, -1.0], [1.0, 0.5], [-1.0, 3.0]]
    labels = [[1, 0], [0, 1], [0, 1], [1, -100]]
    figures = metric["multi_label"].compute(
        predictions=logits, references=labels, label_names=["CTCF", "GATA1"], num_bootstrap=20
    )
    assert figures["auroc_CTCF"] == 0.75
    assert figures["auroc_GATA1"] == 0.75  # the last row is not measured
    assert figures["auroc_macro"] == 0.75
    assert figures["f1_CTCF"] == 0.5
    assert figures["f1_GATA1"] == pytest.approx(2 / 3)
    assert figures["accuracy"] == pytest.approx(4 / 7)
    truth, score = [1, 0, 0, 1, 0, 1, 1], [2.0, -3.0, 1.0, -1.0, -1.0, -1.0, 0.5]
    assert figures["auroc_micro"] == pytest.approx(sklearn_metrics.roc_auc_score(truth, score))
    assert figures["auprc_micro"] == pytest.approx(sklearn_metrics.average_precision_score(truth, score))
    assert figures["mcc_micro"] == pytest.approx(
        sklearn_metrics.matthews_corrcoef(truth, [value > 0 for value in score])
    )
    assert figures["auroc_macro_low"] <= figures["auroc_macro"] <= figures["auroc_macro_high"]
    assert (figures["collapsed"], figures["collapsed_labels"], figures["absent_labels"]) == (False, [], [])
    as_nan = [[math.nan if value == -100 else value for value in row] for row in labels]
    again = metric["multi_label"].compute(
        predictions=logits, references=as_nan, label_names=["CTCF", "GATA1"], num_bootstrap=20
    )
    assert again == figures


def test_a_label_that_never_holds_or_is_never_measured(metric):
    logits = [[2.0, -1.0, 0.0], [-3.0, -1.0, 0.0]]
    figures = metric["multi_label"].compute(predictions=logits, references=[[1, 0, -100], [0, 0, -100]])
    assert figures["auroc_macro"] == 1.0
    assert math.isnan(figures["auroc_1"])
    assert math.isnan(figures["auroc_2"])
    assert figures["absent_labels"] == ["1", "2"]
    assert figures["collapsed_labels"] == ["1", "2"]
    assert figures["collapsed"] is False


def test_all_labels_collapsed(metric):
    figures = metric["multi_label"].compute(predictions=[[1.0, -1.0]] * 2, references=[[1, 0], [0, 1]])
    assert figures["collapsed"] is True
    assert figures["mcc_macro"] == 0.0


def test_bad_labels(metric):
    with pytest.raises(ValueError, match=r"row 1 \(0-based\) holds \[1, 3\], expected 1"):
        metric["multi_label"].compute(predictions=[[1.0, 0.0]] * 2, references=[[0, 1], [1, 3]])
    with pytest.raises(ValueError, match="label_names has 1 names, expected 2"):
        metric["multi_label"].compute(predictions=[[1.0, 0.0]], references=[[0, 1]], label_names=["a"])


# Values


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_values_as_scipy_has_them(metric, data):
    size = data.draw(st.integers(3, 30))
    values = st.one_of(st.integers(-3, 3).map(float), st.floats(-5, 5, width=16))
    x, y = (data.draw(arrays(np.float64, size, elements=values)) for _ in range(2))
    figures = metric["regression"].compute(predictions=x, references=y, num_bootstrap=5)
    assert figures["mse"] == pytest.approx(sklearn_metrics.mean_squared_error(y, x))
    if len(np.unique(x)) == 1 or len(np.unique(y)) == 1:
        assert math.isnan(figures["pearson"])
        assert math.isnan(figures["spearman_high"])
    else:
        assert figures["pearson"] == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-6)
        assert figures["spearman"] == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-9)
    assert figures["collapsed"] == (len(np.unique(x)) == 1)


def test_ranks_of_a_resample_are_those_of_its_rows():
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 8, 40).astype(float), rng.normal(size=40)
    rows = rng.integers(40, size=40)
    weights = np.bincount(rows, minlength=40).astype(float)[None]
    found = resampling.pearson(weights, resampling.mid_ranks(weights, x), resampling.mid_ranks(weights, y))
    assert found[0] == pytest.approx(scipy.stats.spearmanr(x[rows], y[rows]).statistic)


# Bases


def test_bases(metric):
    # Donor scores (log-odds) from the top: base 1 (a donor), base 4 (none), base 0 (none), base 3 (a donor), base 2.
    logits = [[[0.0, 1.0], [0.0, 5.0], [0.0, -3.0], [9.0, 9.0]], [[0.0, -1.0], [0.0, 2.0]]]
    labels = [[0, 1, 0], [1, 0]]  # the first sequence has padding
    figures = metric["token_classification"].compute(
        predictions=logits, references=labels, label_names=["neither", "donor"]
    )
    assert figures == {
        "accuracy": pytest.approx(2 / 5),
        "f1": pytest.approx(2 / 5),
        "mcc": pytest.approx(sklearn_metrics.matthews_corrcoef([0, 1, 0, 1, 0], [1, 1, 0, 0, 1])),
        "auprc": pytest.approx((1 + 2 / 4) / 2),
        "auprc_donor": pytest.approx((1 + 2 / 4) / 2),
        "top_k_accuracy": 0.5,  # k = 2: bases 1 and 4
        "top_k_accuracy_donor": 0.5,
        "collapsed": False,
        "absent_classes": [],
    }
    ignored = metric["token_classification"].compute(
        predictions=logits, references=[[-100, 1, 0, -100], [1, -100]], label_names=["neither", "donor"]
    )
    assert ignored["top_k_accuracy"] == 1.0


def test_top_k_shares_the_last_places_among_equals(metric):
    logits = [[[0.0, 2.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]]
    # k = 2: the first base, and one of three equal ones of which one is a site.
    figures = metric["token_classification"].compute(predictions=logits, references=[[1, 1, 0, 0, 0]])
    assert figures["top_k_accuracy"] == pytest.approx((1 + 1 / 3) / 2)


def test_sequences_are_drawn_as_a_whole(metric):
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 30, size=20)
    labels = [rng.integers(0, 3, length) for length in lengths]
    logits = [rng.normal(size=(length, 3)).astype(np.float32) for length in lengths]
    figures = metric["token_classification"].compute(
        predictions=logits, references=labels, num_bootstrap=50, seed=7, background=None
    )
    draws = np.random.default_rng(7).integers(20, size=(50, 20))
    others = [np.delete(row.astype(float), 2, axis=1) for row in logits]
    scores = [row[:, 2] - np.logaddexp(rest[:, 0], rest[:, 1]) for row, rest in zip(logits, others, strict=True)]
    expected = [
        sklearn_metrics.average_precision_score(
            np.concatenate([labels[row] for row in rows]) == 2, np.concatenate([scores[row] for row in rows])
        )
        for rows in draws
    ]
    found = [figures["auprc_2_low"], figures["auprc_2_high"]]
    assert found == pytest.approx(np.percentile(expected, [2.5, 97.5]).tolist(), abs=1e-9)
    assert figures["auprc"] == pytest.approx(np.mean([figures[f"auprc_{label}"] for label in range(3)]))


@pytest.mark.parametrize(
    ("predictions", "references", "message"),
    [
        ([[[0.0, 1.0]]], [[0, 1]], r"sequence 0 \(0-based\) has 2 references and logits of 1 bases.*truncated"),
        ([[[0.0, 1.0]]], [[2]], r"class ids \[2\], expected 0 to 1"),
        ([[[0.0, 1.0]]], [[-100]], "no base to evaluate"),
        ([[[0.0, 1.0]], [[0.0, 1.0, 2.0]]], [[0], [1]], r"sequence 1 \(0-based\): 3 logits a base, the first has 2"),
        ([[[0.0, math.inf]]], [[0]], r"predictions of sequence 0 \(0-based\): row 0"),
    ],
)
def test_bad_bases(metric, predictions, references, message):
    with pytest.raises(ValueError, match=message):
        metric["token_classification"].compute(predictions=predictions, references=references)


# Several processes


def _add_and_compute(process, folder, results):
    labels = np.arange(40) % 2
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    rows = slice(0, 25) if process == 0 else slice(25, 40)
    options = {"num_process": 2, "process_id": process, "experiment_id": "test", "cache_dir": folder}
    for config_name in (None, "grouped"):
        part = load("sequence_classification", config_name=config_name, **options)
        groups = {} if config_name is None else {"groups": [f"chr{row // 10}" for row in range(40)][rows]}
        part.add_batch(predictions=logits[rows], references=labels[rows], **groups)
        figures = part.compute(num_bootstrap=30)
        results.put((process, config_name, figures))


def test_two_processes_give_the_figures_of_one(metric, tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    processes = [context.Process(target=_add_and_compute, args=(index, str(tmp_path), results)) for index in range(2)]
    for process in processes:
        process.start()
    found = {(process, config_name): figures for process, config_name, figures in (results.get() for _ in range(4))}
    for process in processes:
        process.join()
    labels = np.arange(40) % 2
    logits = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    rows = {"predictions": logits, "references": labels, "num_bootstrap": 30}
    assert found[0, None] == metric["sequence_classification"].compute(**rows)
    groups = [f"chr{row // 10}" for row in range(40)]
    assert found[0, "grouped"] == metric["sequence_classification"].compute(**rows, groups=groups)
    assert found[1, None] is None
    assert found[1, "grouped"] is None


def test_groups_of_all_processes_must_come_with_their_rows(tmp_path):
    part = load("regression", num_process=2, process_id=0, cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match='config_name="grouped"'):
        part._compute(predictions=[0.0, 1.0], references=[0.0, 1.0], num_bootstrap=5, groups=[0, 1])


@pytest.mark.parametrize("name", ["sequence_classification", "multi_label", "regression", "token_classification"])
def test_the_example_in_the_card(metric, name):
    lines = [line.strip() for line in metric[name].inputs_description.splitlines()]
    code = [line[4:] for line in lines if line.startswith(">>> ")]
    namespace = {"metric": metric[name]}
    for line in code[1:-1]:
        exec(line, namespace)
    assert repr(eval(code[-1], namespace)) == lines[lines.index(f">>> {code[-1]}") + 1]
