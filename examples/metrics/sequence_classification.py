"""Metric for single-label sequence classification, from logits: a local `evaluate` module."""

import datasets
import evaluate
import numpy as np

from .resampling import (
    Confusion,
    Ranking,
    accuracy,
    auprc,
    auroc,
    check_groups,
    check_logits,
    f1,
    log_odds,
    mcc,
    mean_of_defined,
    with_intervals,
)


_DESCRIPTION = """\
Accuracy, F1, Matthews correlation coefficient (MCC), AUROC and AUPRC (average precision) of single-label sequence
classification, from the model's logits. Of two classes, F1, AUROC and AUPRC are those of class 1; of more they are the
mean over the classes (macro), each against all others (one-vs-rest).
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: logits, one row of C >= 2 numbers an example.
    references: class ids, 0 to C - 1.
    num_bootstrap (`int`, defaults to 0): resamples of the bootstrap; 0 = no intervals.
    seed (`int`, defaults to 0): of the bootstrap.
    groups: for each row the group it belongs to, such as its chromosome or 200-kb block; whole groups are then drawn.
        Where several processes add rows, load the metric with `config_name="grouped"` and pass groups (strings) to
        `add_batch`, too.
Returns:
    accuracy, f1, mcc, auroc, auprc: each also as `_low` and `_high`, the 95 % percentile interval, with a bootstrap.
    collapsed (`bool`): all predictions are one class. MCC is then 0.
    absent_classes (`list[int]`): classes without an example in the references. They are left out of macro means; what
        is not defined without them (of two classes, nearly all) is NaN.
Examples:

    >>> metric = evaluate.load("examples/metrics/sequence_classification.py")
    >>> figures = metric.compute(predictions=[[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.0]], references=[0, 1, 1, 0])
    >>> figures["accuracy"], figures["auroc"]
    (0.75, 0.75)
"""

_CITATION = """\
@article{gorodkin2004comparing,
  title={Comparing two K-category assignments by a K-category correlation coefficient},
  author={Gorodkin, Jan},
  journal={Computational Biology and Chemistry},
  volume={28},
  pages={367--374},
  year={2004}
}
"""

logger = evaluate.logging.get_logger(__name__)


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class SequenceClassification(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": datasets.List(datasets.Value("float32")), "references": datasets.Value("int64")}
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
        predictions: list[list[float]],
        references: list[int],
        num_bootstrap: int = 0,
        seed: int = 0,
        groups: list | None = None,
    ) -> dict[str, float | bool | list[int]]:
        check_groups(self, groups)
        logits, labels = stack_logits(predictions), np.array(references)
        num_classes = logits.shape[1]
        if ((labels < 0) | (labels >= num_classes)).any():
            row = int(np.argmax((labels < 0) | (labels >= num_classes)))
            raise ValueError(
                f"references: row {row} (0-based) is of class {labels[row]}, expected 0 to {num_classes - 1}: the "
                f"model has {num_classes} classes"
            )
        predicted, scores = logits.argmax(axis=1), log_odds(logits)
        classes = range(num_classes) if num_classes > 2 else [1]
        confusion = Confusion(labels, predicted, num_classes, len(labels))
        rankings = [Ranking(scores[:, label], labels == label) for label in classes]

        def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
            confused = confusion.counts(weights)
            counts = [ranking.counts(weights) for ranking in rankings]
            return {
                "accuracy": accuracy(confused),
                "f1": mean_of_defined([f1(confused, label) for label in classes]),
                "mcc": mcc(confused),
                "auroc": mean_of_defined([auroc(count) for count in counts]),
                "auprc": mean_of_defined([auprc(count) for count in counts]),
            }

        results = with_intervals(figures, len(labels), num_bootstrap=num_bootstrap, seed=seed, groups=groups)
        collapsed = len(np.unique(predicted)) == 1
        if collapsed:
            logger.warning(f"the predictions have collapsed: all {len(labels)} are class {predicted[0]}")
        absent = [label for label in range(num_classes) if label not in labels]
        if absent:
            logger.warning(f"no example is of class {', '.join(map(str, absent))}: what needs them is NaN or left out")
        return {**results, "collapsed": collapsed, "absent_classes": absent}


def stack_logits(predictions: list[list[float]]) -> np.ndarray:
    """Logits as a float64 array of shape `(N, C)`.

    Raises:
        ValueError: rows of different lengths, fewer than two classes, or numbers that are not finite.
    """
    lengths = sorted({len(row) for row in predictions})
    if len(lengths) != 1 or lengths[0] < 2:
        raise ValueError(f"predictions: found rows of {lengths} numbers, expected one length: C >= 2 logits a row")
    logits = np.array(predictions, dtype=np.float64)
    check_logits(logits)
    return logits
