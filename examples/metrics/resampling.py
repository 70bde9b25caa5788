"""What the metrics share: figures of weighted rows, and their intervals from a bootstrap.

A resample of N rows is a vector of N weights: how often each row was drawn. All figures here take many resamples at
once, as weights of shape `(num_resamples, num_rows)`, so that 1,000 of them take seconds and not minutes; weights of 1
give the figure itself. They equal those of scikit-learn and scipy on the drawn rows; where a figure is not defined,
such as the AUROC of rows of one class, they are NaN and never 0.

Shape suffixes: B resamples, N rows, V values (one a row, or several), T ranks, C classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


WEIGHTS_AT_ONCE = 1_000_000  # bounds the memory: 8 MB an array, which the caches of a processor like, too


def with_intervals(
    figures: Callable[[np.ndarray], dict[str, np.ndarray]],
    num_rows: int,
    *,
    num_bootstrap: int = 0,
    seed: int = 0,
    groups: Sequence | np.ndarray | None = None,
    num_values: int | None = None,
) -> dict[str, float]:
    """
    The figures of all rows, each with its 95 % percentile interval.

    Args:
        figures: weights `(B, N)` -> figures by name, each `(B,)`.
        num_rows: N.
        num_bootstrap: number of resamples; 0 = no intervals.
        seed: of the resamples.
        groups: for each row the group that it belongs to; whole groups are then drawn, as many as there are (a block
            bootstrap, for rows that are not independent of each other). Default: each row is a group.
        num_values: values that a figure looks at, for the bound of memory; default: `num_rows`.

    Returns:
        `{name: value, ...}` and with a bootstrap also `{name}_low` and `{name}_high`. Resamples in which a figure is
        not defined are left out of its interval; the interval is NaN where the figure is.

    Raises:
        ValueError: no rows, not one group a row, or fewer than two groups.
    """
    if num_rows == 0:
        raise ValueError("no rows to evaluate: add predictions and references first")
    if num_bootstrap < 0:
        raise ValueError(f"num_bootstrap={num_bootstrap}, expected 0 (no intervals) or more")
    values = {name: float(value[0]) for name, value in figures(np.ones((1, num_rows))).items()}
    if num_bootstrap == 0:
        return values
    group_N = np.arange(num_rows) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if group_N.shape != (num_rows,):
        raise ValueError(f"groups has shape {group_N.shape}, expected one group for each of the {num_rows} rows")
    num_groups = int(group_N.max()) + 1
    if num_groups < 2:
        raise ValueError("a bootstrap needs at least 2 groups of rows, found 1: leave num_bootstrap at 0")
    rng = np.random.default_rng(seed)
    at_once = max(1, WEIGHTS_AT_ONCE // (num_values or num_rows))
    draws: dict[str, list[np.ndarray]] = {name: [] for name in values}
    for first in range(0, num_bootstrap, at_once):
        size = (min(at_once, num_bootstrap - first), num_groups)
        drawn_groups = np.arange(size[0])[:, None] * num_groups + rng.integers(num_groups, size=size)
        counts = np.bincount(drawn_groups.ravel(), minlength=size[0] * num_groups).reshape(size).astype(float)
        for name, value in figures(counts[:, group_N]).items():
            draws[name].append(value)
    results: dict[str, float] = {}
    for name, figure in values.items():
        drawn = np.concatenate(draws[name])
        drawn = drawn[~np.isnan(drawn)]
        has_interval = len(drawn) > 0 and not np.isnan(figure)
        interval = np.percentile(drawn, [2.5, 97.5]).tolist() if has_interval else [np.nan, np.nan]
        results |= dict(zip((name, f"{name}_low", f"{name}_high"), (figure, *interval), strict=True))
    return results


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Their quotient; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(denominator), np.nan), where=denominator != 0)


def mean_of_defined(figures: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over several figures of shape `(B,)`, of those that are defined; NaN where none is."""
    stacked = np.stack(figures)
    return ratio(np.nansum(stacked, axis=0), (~np.isnan(stacked)).sum(axis=0))


# Figures of a ranking


class RankCounts(NamedTuple):
    """Drawn rows at each rank that has positive ones, from the highest score down.

    Attributes:
        positive: positive rows of the rank, `(B, T)`.
        rows: all rows of the rank, `(B, T)`.
        through: all rows down to this rank, it included, `(B, T)`.
        total: all rows, `(B, 1)`.
    """

    positive: np.ndarray
    rows: np.ndarray
    through: np.ndarray
    total: np.ndarray


class Ranking:
    """
    Values ranked by their score, highest first; equal scores share a rank.

    Args:
        scores: shape `(V,)`.
        is_positive: bool of shape `(V,)`.
        row_of: the row that each value belongs to (its weight is that of the row), `(V,)`; default: values are rows.
    """

    def __init__(self, scores: np.ndarray, is_positive: np.ndarray, row_of: np.ndarray | None = None):
        order = np.argsort(-scores, kind="stable")
        self.row_of = order if row_of is None else row_of[order]
        positives = np.flatnonzero(is_positive[order])
        ranked = -scores[order]
        first = np.searchsorted(ranked, ranked[positives], side="left")
        self.first, self.first_positive = np.unique(first, return_index=True)
        self.last = np.searchsorted(ranked, ranked[self.first], side="right") - 1
        self.positive_row_of = self.row_of[positives]

    def counts(self, weights_BN: np.ndarray) -> RankCounts:
        ranked_BV = np.take(weights_BN, self.row_of, axis=1)
        total_B1 = ranked_BV.sum(axis=1, keepdims=True)
        before_BT = ranked_BV[:, self.first]
        through_BV = np.cumsum(ranked_BV, axis=1, out=ranked_BV)
        before_BT, through_BT = through_BV[:, self.first] - before_BT, through_BV[:, self.last]
        positive_BT = np.take(weights_BN, self.positive_row_of, axis=1)
        if len(self.first) < len(self.positive_row_of):
            positive_BT = np.add.reduceat(positive_BT, self.first_positive, axis=1)
        return RankCounts(positive_BT, through_BT - before_BT, through_BT, total_B1)


def auroc(counts: RankCounts) -> np.ndarray:
    """Area under the ROC curve: the share of pairs in which the positive row ranks first, ties count half."""
    num_positive_B1 = counts.positive.sum(axis=1, keepdims=True)
    positive_below_BT = num_positive_B1 - counts.positive.cumsum(axis=1)
    negative_below_BT = counts.total - counts.through - positive_below_BT
    first_BT = counts.positive * (negative_below_BT + (counts.rows - counts.positive) / 2)
    return ratio(first_BT.sum(axis=1), (num_positive_B1 * (counts.total - num_positive_B1))[:, 0])


def auprc(counts: RankCounts) -> np.ndarray:
    """Area under the precision-recall curve, as scikit-learn's `average_precision_score`: without interpolation.

    NaN where there are no positives, and where there are only positives: then it would be 1 whatever the scores.
    """
    precision_BT = counts.positive.cumsum(axis=1) / np.maximum(counts.through, 1)
    return _per_positive(counts.positive * precision_BT, counts)


def top_k_accuracy(counts: RankCounts) -> np.ndarray:
    """Share of positives among the k highest scores, where k is the number of positives (Jaganathan et al. 2019).

    Of rows with the very score at which the k are full, each counts with the same share. NaN as for `auprc`.
    """
    room_BT = counts.positive.sum(axis=1, keepdims=True) - (counts.through - counts.rows)
    return _per_positive(counts.positive * np.clip(room_BT / np.maximum(counts.rows, 1), 0, 1), counts)


def _per_positive(values_BT: np.ndarray, counts: RankCounts) -> np.ndarray:
    """Sum over the ranks divided by the number of positives; NaN where there are no positives or no negatives."""
    num_positive = counts.positive.sum(axis=1)
    return np.where(num_positive < counts.total[:, 0], ratio(values_BT.sum(axis=1), num_positive), np.nan)


# Figures of classes


def log_odds(logits: np.ndarray) -> np.ndarray:
    """Logarithm of p / (1 - p) of each class, where p is its softmax probability: for logits of shape `(N, C)`.

    It ranks rows as p does, but two rows never tie because both round to 0 or 1.
    """
    others = [np.logaddexp.reduce(np.delete(logits, label, axis=1), axis=1) for label in range(logits.shape[1])]
    return logits - np.stack(others, axis=1)


def check_groups(metric: Any, groups: Any) -> None:
    """Raise ValueError for groups given to `compute` where rows come from several processes, in no order it knows."""
    if groups is not None and metric.num_process > 1 and metric.config_name != "grouped":
        raise ValueError(
            'groups must come with the rows of each process: load the metric with config_name="grouped" and pass them '
            "to add_batch"
        )


def check_logits(logits: np.ndarray, name: str = "predictions") -> None:
    """Raise ValueError for a row with NaN or infinite numbers."""
    if not np.isfinite(logits).all():
        row = int(np.argmin(np.isfinite(logits).reshape(len(logits), -1).all(axis=1)))
        raise ValueError(
            f"{name}: row {row} (0-based) holds {np.ravel(logits[row]).tolist()[:8]}, expected finite numbers: the "
            "model has diverged; train again with a lower learning rate"
        )


class Confusion:
    """
    How many values of each class were predicted as each class.

    Args:
        references, predicted: class ids of shape `(V,)`.
        num_classes: C.
        num_rows: N.
        row_of: the row that each value belongs to, `(V,)`; default: values are rows.
    """

    def __init__(
        self,
        references: np.ndarray,
        predicted: np.ndarray,
        num_classes: int,
        num_rows: int,
        row_of: np.ndarray | None = None,
    ):
        row_of = np.arange(num_rows) if row_of is None else row_of
        cells = (row_of * num_classes + references) * num_classes + predicted
        self.num_classes = num_classes
        self.per_row = np.bincount(cells, minlength=num_rows * num_classes**2).reshape(num_rows, -1).astype(float)

    def counts(self, weights_BN: np.ndarray) -> np.ndarray:
        """The confusion matrix, `(B, C, C)`: second axis the true class, third axis the predicted one."""
        return (weights_BN @ self.per_row).reshape(-1, self.num_classes, self.num_classes)


def accuracy(confusion_BCC: np.ndarray) -> np.ndarray:
    """Share of rows whose class was predicted."""
    return ratio(np.trace(confusion_BCC, axis1=1, axis2=2), confusion_BCC.sum(axis=(1, 2)))


def f1(confusion_BCC: np.ndarray, label: int) -> np.ndarray:
    """Harmonic mean of precision and recall of a class; NaN where no row is of that class."""
    true, predicted = confusion_BCC[:, label].sum(axis=1), confusion_BCC[:, :, label].sum(axis=1)
    return np.where(true > 0, ratio(2 * confusion_BCC[:, label, label], true + predicted), np.nan)


def mcc(confusion_BCC: np.ndarray) -> np.ndarray:
    """Matthews correlation coefficient, of several classes as Gorodkin (2004) has it.

    0 where all predictions are one class, NaN where all rows are.
    """
    true_BC, predicted_BC = confusion_BCC.sum(axis=2), confusion_BCC.sum(axis=1)
    total = confusion_BCC.sum(axis=(1, 2))
    covariance = np.trace(confusion_BCC, axis1=1, axis2=2) * total - (true_BC * predicted_BC).sum(axis=1)
    spread_true = total**2 - (true_BC**2).sum(axis=1)
    spread_predicted = total**2 - (predicted_BC**2).sum(axis=1)
    coefficient = ratio(covariance, np.sqrt(spread_true * spread_predicted))
    return np.where((spread_predicted == 0) & (spread_true > 0), 0.0, coefficient)


# Figures of values


def pearson(weights_BN: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pearson's correlation of `x` and `y`, `(N,)` or `(B, N)` both; NaN where either is constant."""
    deviations = []
    for values in (x, y):
        values_BN = np.broadcast_to(values, weights_BN.shape)
        # A constant's deviations from its mean may be rounding errors instead of 0.
        highest_B1 = np.where(weights_BN > 0, values_BN, -np.inf).max(axis=1, keepdims=True)
        varies_B1 = highest_B1 > np.where(weights_BN > 0, values_BN, np.inf).min(axis=1, keepdims=True)
        mean_B1 = (weights_BN * values_BN).sum(axis=1, keepdims=True) / weights_BN.sum(axis=1, keepdims=True)
        deviations.append((values_BN - mean_B1) * varies_B1)
    x_BN, y_BN = deviations
    covariance = (weights_BN * x_BN * y_BN).sum(axis=1)
    return ratio(covariance, np.sqrt((weights_BN * x_BN**2).sum(axis=1) * (weights_BN * y_BN**2).sum(axis=1)))


def mid_ranks(weights_BN: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Rank of each row's value among the drawn rows, `(B, N)`; equal values share their mean rank."""
    _, rank_N = np.unique(values, return_inverse=True)
    order = np.argsort(rank_N, kind="stable")
    first_of_rank = np.flatnonzero(np.diff(rank_N[order], prepend=-1))
    rows_BT = np.add.reduceat(weights_BN[:, order], first_of_rank, axis=1)
    return (rows_BT.cumsum(axis=1) - rows_BT / 2)[:, rank_N]
