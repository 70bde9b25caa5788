"""Metric for regression: a local `evaluate` module."""

import datasets
import evaluate
import numpy as np

from .resampling import check_groups, check_logits, mid_ranks, pearson, ratio, with_intervals


_DESCRIPTION = """\
Pearson's and Spearman's correlation, and mean squared error (MSE), of predicted and measured values.
"""

_KWARGS_DESCRIPTION = """
Args:
    predictions: one number an example: of logits of shape (N, 1), `logits[:, 0]`.
    references: the measured values.
    num_bootstrap (`int`, defaults to 0): resamples of the bootstrap; 0 = no intervals.
    seed (`int`, defaults to 0): of the bootstrap.
    groups: for each row the group it belongs to, such as its element or 200-kb block; whole groups are then drawn.
        Where several processes add rows, load the metric with `config_name="grouped"` and pass groups (strings) to
        `add_batch`, too.
Returns:
    pearson, spearman, mse: each also as `_low` and `_high`, the 95 % percentile interval, with a bootstrap. The
    correlations are NaN where the predictions, or the references, are all one number.
    collapsed (`bool`): all predictions are one number.
Examples:

    >>> metric = evaluate.load("examples/metrics/regression.py")
    >>> metric.compute(predictions=[0.0, 1.0, 3.0], references=[0.0, 1.0, 2.0])["spearman"]
    1.0
"""

_CITATION = ""

logger = evaluate.logging.get_logger(__name__)


@evaluate.utils.file_utils.add_start_docstrings(_DESCRIPTION, _KWARGS_DESCRIPTION)
class Regression(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        features = {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
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
        predictions: list[float],
        references: list[float],
        num_bootstrap: int = 0,
        seed: int = 0,
        groups: list | None = None,
    ) -> dict[str, float | bool]:
        check_groups(self, groups)
        x, y = np.array(predictions, dtype=np.float64), np.array(references, dtype=np.float64)
        check_logits(x)
        check_logits(y, "references")
        squared_error = (x - y) ** 2

        def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
            return {
                "pearson": pearson(weights, x, y),
                "spearman": pearson(weights, mid_ranks(weights, x), mid_ranks(weights, y)),
                "mse": ratio(weights @ squared_error, weights.sum(axis=1)),
            }

        results = with_intervals(figures, len(x), num_bootstrap=num_bootstrap, seed=seed, groups=groups)
        collapsed = len(np.unique(x)) == 1
        if collapsed:
            logger.warning(f"the predictions have collapsed: all {len(x)} are {x[0]:g}; correlations are NaN")
        elif len(np.unique(y)) == 1:
            logger.warning(f"all {len(y)} references are {y[0]:g}: correlations are NaN")
        return {**results, "collapsed": collapsed}
