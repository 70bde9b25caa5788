"""Metric for multi-label sequence classification, from logits: a local `evaluate` module."""

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
    mcc,
    mean_of_defined,
    with_intervals,
)


_DESCRIPTION = """\
F1, Matthews correlation coefficient (MCC), AUROC and AUPRC (average precision) of multi-label sequence classification,
from the model's logits: of each label, their mean over the labels (macro), and of all pairs of row and label together
(micro). A label is predicted where its logit is above 0, its probability above 1/2.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: logits, one row of L numbers an example.
    references: one row of L numbers an example: 1 = the label holds, 0 = it does not, NaN or -100 = it was not
        measured. A label that was not measured for an example counts in no figure.
    label_names (`list[str]`, *optional*): names of the labels for the results; default: their numbers from 0.
    num_bootstrap (`int`, defaults to 0): resamples of the bootstrap; 0 = no intervals.
    seed (`int`, defaults to 0): of the bootstrap.
    groups: for each row the group it belongs to, such as its chromosome or 200-kb block; whole groups are then drawn.
        Where several processes add rows, load the metric with `config_name="grouped"` and pass groups (strings) to
        `add_batch`, too.
Returns:
    f1_{label}, mcc_{label}, auroc_{label}, auprc_{label} for each label, f1_macro, mcc_macro, auroc_macro,
    auprc_macro, f1_micro, mcc_micro, auroc_micro, auprc_micro and accuracy (share of measured pairs of row and label):
    each also as `_low` and `_high`, the 95 % percentile interval, with a bootstrap.
    collapsed (`bool`): every label is predicted for all examples or for none; MCC is then 0.
    collapsed_labels (`list[str]`): the labels of which that is so.
    absent_labels (`list[str]`): labels that hold for none of the examples or for all. What is not defined for them is
        NaN, and left out of the macro mean.
Examples:

    >>> metric = evaluate.load("examples/metrics/multi_label.py")
    >>> logits, labels = [[2.0, -1.0], [-3.0, -1.0], [1.0, 0.5]], [[1, 0], [0, 0], [0, 1]]
    >>> metric.compute(predictions=logits, references=labels)["auroc_macro"]
    1.0
"""

_CITATION = ""

logger = evaluate.logging.get_logger(__name__)


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class MultiLabel(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = {
            "predictions": datasets.List(datasets.Value("float32")),
            "references": datasets.List(datasets.Value("float32")),
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
        predictions: list[list[float]],
        references: list[list[float]],
        label_names: list[str] | None = None,
        num_bootstrap: int = 0,
        seed: int = 0,
        groups: list | None = None,
    ) -> dict[str, float | bool | list[str]]:
        check_groups(self, groups)
        lengths = sorted({len(row) for row in (*predictions, *references)})
        if len(lengths) != 1 or lengths[0] == 0:
            raise ValueError(f"found rows of {lengths} numbers, expected L logits and L references in each row")
        logits, values = np.array(predictions, dtype=np.float64), np.array(references, dtype=np.float64)
        check_logits(logits)
        truth = np.where(np.isnan(values), -100, values).astype(np.int64)
        if not np.isin(truth, [0, 1, -100]).all():
            row = int(np.argmax((~np.isin(truth, [0, 1, -100])).any(axis=1)))
            raise ValueError(
                f"references: row {row} (0-based) holds {truth[row].tolist()}, expected 1 (holds), 0 (does not), or "
                "NaN or -100 (not measured)"
            )
        num_labels = logits.shape[1]
        names = [str(label) for label in range(num_labels)] if label_names is None else list(label_names)
        if len(names) != num_labels:
            raise ValueError(f"label_names has {len(names)} names, expected {num_labels}: one for each logit")
        predicted = (logits > 0).astype(np.int64)
        measured = truth != -100
        # Each label on the rows where it was measured, and all labels together.
        cells = {name: (np.flatnonzero(measured[:, label]), label) for label, name in enumerate(names)}
        views = {name: _View(logits, truth, predicted, *where) for name, where in cells.items()}
        together = _View(logits, truth, predicted, *np.nonzero(measured))

        def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
            by_label = {name: view.figures(weights) for name, view in views.items()}
            micro = together.figures(weights)
            results = {"accuracy": micro.pop("accuracy")}
            for metric, value in micro.items():
                results[f"{metric}_macro"] = mean_of_defined([by_label[name][metric] for name in names])
                results[f"{metric}_micro"] = value
                results |= {f"{metric}_{name}": by_label[name][metric] for name in names}
            return results

        results = with_intervals(
            figures, len(logits), num_bootstrap=num_bootstrap, seed=seed, groups=groups, num_values=measured.sum()
        )
        collapsed = [name for name, view in views.items() if len(np.unique(view.predicted)) < 2]
        if len(collapsed) == num_labels:
            logger.warning("the predictions have collapsed: each label is predicted for all examples or for none")
        absent = [name for name, view in views.items() if len(np.unique(view.truth)) < 2]
        if absent:
            logger.warning(f"labels that hold for none or all of the examples: {', '.join(absent)}; see NaN figures")
        return {
            **results,
            "collapsed": len(collapsed) == num_labels,
            "collapsed_labels": collapsed,
            "absent_labels": absent,
        }


class _View:
    """The figures of some cells of the matrices, `rows` and `labels` (both of shape `(V,)`, or one label)."""

    def __init__(
        self,
        logits: np.ndarray,
        truth: np.ndarray,
        predicted: np.ndarray,
        rows: np.ndarray,
        labels: np.ndarray | int,
    ):
        self.truth, self.predicted = truth[rows, labels], predicted[rows, labels]
        self.confusion = Confusion(self.truth, self.predicted, 2, len(logits), rows)
        self.ranking = Ranking(logits[rows, labels], self.truth == 1, rows)

    def figures(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        confused, counts = self.confusion.counts(weights), self.ranking.counts(weights)
        return {
            "accuracy": accuracy(confused),
            "f1": f1(confused, 1),
            "mcc": mcc(confused),
            "auroc": auroc(counts),
            "auprc": auprc(counts),
        }
