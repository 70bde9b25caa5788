"""Metric for classes per base (splice sites), from logits: a local `evaluate` module."""

import datasets
import evaluate
import numpy as np

from .resampling import (
    Confusion,
    Ranking,
    accuracy,
    auprc,
    check_groups,
    check_logits,
    f1,
    log_odds,
    mcc,
    mean_of_defined,
    top_k_accuracy,
    with_intervals,
)


_DESCRIPTION = """\
Figures of one class per base, such as splice donor, acceptor or neither, from the model's logits: AUPRC (average
precision) and top-k accuracy of each class but the background, their means over those classes, and accuracy, F1 and
Matthews correlation coefficient (MCC). Top-k accuracy is SpliceAI's: of a class with k true bases, the share of them
among the k bases that score highest.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: logits, for each sequence one row of C >= 2 numbers a base.
    references: for each sequence class ids, 0 to C - 1, one a base; -100 = a base that is not counted (padding). A
        sequence may have more rows of logits than references: what lies past its end is left out.
    label_names (`list[str]`, *optional*): names of the classes for the results; default: their numbers.
    background (`int`, *optional*, defaults to 0): the class of bases that are no site: left out of F1, AUPRC and top-k
        accuracy. None = there is none.
    num_bootstrap (`int`, defaults to 0): resamples of the bootstrap; 0 = no intervals. Whole sequences are drawn.
    seed (`int`, defaults to 0): of the bootstrap.
    groups: for each sequence the group it belongs to, such as its gene; whole groups are then drawn. Where several
        processes add rows, load the metric with `config_name="grouped"` and pass groups (strings) to `add_batch`, too.
Returns:
    auprc_{class}, top_k_accuracy_{class} for each class but the background, their means auprc and top_k_accuracy,
    f1 (mean over the same classes), accuracy and mcc: each also as `_low` and `_high`, the 95 % percentile interval,
    with a bootstrap.
    collapsed (`bool`): all bases are predicted as one class. MCC is then 0.
    absent_classes (`list[str]`): classes without a base in the references. What is not defined for them is NaN, and
        left out of means.
Examples:

    >>> metric = evaluate.load("examples/metrics/token_classification.py")
    >>> logits = [[[3.0, 0.0], [0.0, 2.0], [2.0, 0.0]], [[0.0, 1.0], [1.0, 1.5]]]
    >>> metric.compute(predictions=logits, references=[[0, 1, 0], [0, 1]])["top_k_accuracy"]
    0.5
"""

_CITATION = """\
@article{jaganathan2019predicting,
  title={Predicting splicing from primary sequence with deep learning},
  author={Jaganathan, Kishore and others},
  journal={Cell},
  volume={176},
  pages={535--548},
  year={2019}
}
"""

logger = evaluate.logging.get_logger(__name__)


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class TokenClassification(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = {
            "predictions": datasets.List(datasets.List(datasets.Value("float32"))),
            "references": datasets.List(datasets.Value("int64")),
        }
        if self.config_name == "grouped":
            features["groups"] = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features(features),
        )

    def _compute(
        self,
        predictions: list[list[list[float]]],
        references: list[list[int]],
        label_names: list[str] | None = None,
        background: int | None = 0,
        num_bootstrap: int = 0,
        seed: int = 0,
        groups: list | None = None,
    ) -> dict[str, float | bool | list[str]]:
        check_groups(self, groups)
        logits, labels, sequence_of = _bases(predictions, references)
        num_classes = logits.shape[1]
        names = [str(label) for label in range(num_classes)] if label_names is None else list(label_names)
        if len(names) != num_classes:
            raise ValueError(f"label_names has {len(names)} names, expected {num_classes}: one for each class")
        predicted, scores = logits.argmax(axis=1), log_odds(logits)
        sites = [label for label in range(num_classes) if label != background]
        confusion = Confusion(labels, predicted, num_classes, len(references), sequence_of)
        rankings = {label: Ranking(scores[:, label], labels == label, sequence_of) for label in sites}

        def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
            confused = confusion.counts(weights)
            counts = {label: ranking.counts(weights) for label, ranking in rankings.items()}
            results = {
                "accuracy": accuracy(confused),
                "f1": mean_of_defined([f1(confused, label) for label in sites]),
                "mcc": mcc(confused),
            }
            for name, metric in (("auprc", auprc), ("top_k_accuracy", top_k_accuracy)):
                by_class = {label: metric(counts[label]) for label in sites}
                results[name] = mean_of_defined(list(by_class.values()))
                results |= {f"{name}_{names[label]}": value for label, value in by_class.items()}
            return results

        results = with_intervals(
            figures, len(references), num_bootstrap=num_bootstrap, seed=seed, groups=groups, num_values=len(labels)
        )
        collapsed = len(np.unique(predicted)) == 1
        if collapsed:
            logger.warning(f"the predictions have collapsed: all {len(labels)} bases are {names[predicted[0]]!r}")
        absent = [names[label] for label in range(num_classes) if label not in labels]
        if absent:
            logger.warning(f"no base is of class {', '.join(absent)}: what needs them is NaN or left out")
        return {**results, "collapsed": collapsed, "absent_classes": absent}


def _bases(
    predictions: list[list[list[float]]], references: list[list[int]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits `(num_bases, C)`, class ids and sequence numbers, both `(num_bases,)`, of the bases that are counted."""
    logits: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    sequence_of: list[np.ndarray] = []
    for number, (scores, truth) in enumerate(zip(predictions, references, strict=True)):
        if len(scores) < len(truth):
            raise ValueError(
                f"sequence {number} (0-based) has {len(truth)} references and logits of {len(scores)} bases, expected "
                "logits for each: it was truncated; cut it into windows instead"
            )
        row, label = np.array(scores[: len(truth)], dtype=np.float64), np.array(truth, dtype=np.int64)
        counted = label != -100
        if not counted.any():
            continue
        if row.ndim != 2 or row.shape[1] < 2:
            raise ValueError(f"sequence {number} (0-based): logits of shape {row.shape}, expected (bases, C >= 2)")
        if logits and row.shape[1] != logits[0].shape[1]:
            raise ValueError(
                f"sequence {number} (0-based): {row.shape[1]} logits a base, the first has {logits[0].shape[1]}"
            )
        if (label[counted] < 0).any() or (label[counted] >= row.shape[1]).any():
            raise ValueError(
                f"sequence {number} (0-based): class ids {np.unique(label[counted]).tolist()}, expected 0 to "
                f"{row.shape[1] - 1}, or -100 for bases that are not counted"
            )
        check_logits(row[counted], f"predictions of sequence {number} (0-based)")
        logits.append(row[counted])
        labels.append(label[counted])
        sequence_of.append(np.full(int(counted.sum()), number))
    if not logits:
        raise ValueError("no base to evaluate: add predictions and references first; -100 is not counted")
    return np.concatenate(logits), np.concatenate(labels), np.concatenate(sequence_of)
