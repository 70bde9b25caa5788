"""What GeneBERT has to beat on the effects of variants: ridge regression on the changes of motif scores, and a CNN.

See `benchmarks/disease_risk.py`. Both are trained on the same variants and targets as GeneBERT.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.linalg import cho_factor, cho_solve
from torch import nn

from modeling_genebert import MotifBank, encode_dna, reverse_complement
from modeling_genebert.dna_genebert import UNKNOWN_BASE


ROWS_AT_ONCE = 1024
RIDGE: dict[str, Any] = {"window": 31, "penalties": [1e4, 3e4, 1e5]}
CNN: dict[str, float] = {"width": 31, "filters": 32, "kernel_size": 11, "dropout": 0.3, "epochs": 2, "batch_size": 256}
CNN |= {"learning_rate": 2e-3, "weight_decay": 1e-2}


def base_codes(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Base codes, uint8 `(N, longest)`, padded at the end with unknown bases; and lengths in bp."""
    lengths = np.array([len(sequence) for sequence in sequences])
    codes = np.full((len(sequences), lengths.max()), UNKNOWN_BASE, dtype=np.uint8)
    for row, sequence in zip(codes, sequences, strict=True):
        row[: len(sequence)] = encode_dna(sequence)
    return codes, lengths


def motif_scores(sequences: list[str], bank: MotifBank) -> np.ndarray:
    """Best score of each motif in each sequence: float32 `(N, num_motifs)`."""
    codes, lengths = base_codes(sequences)
    blocks = range(0, len(codes), ROWS_AT_ONCE)
    scores = [bank.score(codes[i : i + ROWS_AT_ONCE], lengths[i : i + ROWS_AT_ONCE])[:, :, 0] for i in blocks]
    return np.concatenate(scores)


class LeaveOneGroupOutRidge:
    """
    Ridge regression without intercept (no change, no effect), on all groups but one.

    The penalty is chosen within the training groups: each of them is left out in turn, too, and the penalty with the
    highest mean of their correlations is taken.

    Args:
        features (`np.ndarray` of shape `(num_rows, num_features)`)
        target (`np.ndarray` of shape `(num_rows,)`)
        group (`np.ndarray` of shape `(num_rows,)`)
        penalties (`list[float]`): to choose from.
    """

    def __init__(self, features: np.ndarray, target: np.ndarray, group: np.ndarray, penalties: list[float]):
        self.features = np.ascontiguousarray(features, dtype=np.float32)
        self.target, self.penalties = target.astype(np.float32), penalties
        self.rows = {name: np.flatnonzero(group == name) for name in np.unique(group).tolist()}
        parts = [(self.features[rows], self.target[rows]) for rows in self.rows.values()]
        self.products = {name: x.T @ x for name, (x, _) in zip(self.rows, parts, strict=True)}
        self.targets = {name: x.T @ y for name, (x, y) in zip(self.rows, parts, strict=True)}
        self.product = sum(self.products.values())
        self.inner: dict[tuple[frozenset[str], float], np.ndarray] = {}

    def weights(self, left_out: frozenset[str], penalty: float) -> np.ndarray:
        """Weights of the features, fitted on all groups but `left_out`."""
        key = (left_out, penalty)
        if key not in self.inner:
            product = self.product - sum(self.products[name] for name in left_out)
            target = sum(self.targets[name] for name in self.rows if name not in left_out)
            penalised = product + penalty * np.eye(len(target), dtype=np.float32)
            self.inner[key] = cho_solve(cho_factor(penalised, overwrite_a=True, check_finite=False), target)
        return self.inner[key]

    def predict(self, group: str) -> tuple[np.ndarray, float]:
        """Predictions for a group from all others; and the penalty that was chosen."""
        means = []
        for penalty in self.penalties:
            correlations = []
            for other, rows in self.rows.items():
                if other != group:
                    inner = self.features[rows] @ self.weights(frozenset({group, other}), penalty)
                    correlations.append(np.corrcoef(inner, self.target[rows])[0, 1])
            means.append(np.nanmean(correlations))
        penalty = self.penalties[int(np.argmax(means))]
        return self.features[self.rows[group]] @ self.weights(frozenset({group}), penalty), penalty


class Cnn(nn.Module):
    """Two convolutions, the mean and the maximum over the positions, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        filters, width = int(CNN["filters"]), int(CNN["kernel_size"])
        self.layers = nn.Sequential(
            nn.Conv1d(4, filters, width, padding=width // 2),
            nn.GELU(),
            nn.Conv1d(filters, filters, 5, padding=2),
            nn.GELU(),
        )
        self.head = nn.Sequential(nn.Dropout(CNN["dropout"]), nn.Linear(2 * filters, 1, bias=False))

    def forward(self, bases: torch.Tensor) -> torch.Tensor:
        states = self.layers(bases)
        return self.head(torch.cat([states.mean(dim=2), states.amax(dim=2)], dim=1)).squeeze(1)


def one_hot(codes: np.ndarray) -> torch.Tensor:
    """Float `(N, 4, L)`; an unknown base is 0 in all four."""
    return torch.nn.functional.one_hot(torch.from_numpy(codes).long(), 5)[..., :4].permute(0, 2, 1).float()


def fit_cnn(
    codes: np.ndarray,
    reference: np.ndarray,
    alternate: np.ndarray,
    target: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    seed: int,
) -> np.ndarray:
    """
    Train the CNN on some variants, with either strand by chance, and predict others from both strands.

    Args:
        codes: base codes of the windows, `(num_windows, L)`.
        reference, alternate: numbers of each variant's windows.
        target: of each variant.
        train, test: numbers of variants.
        seed: of weights, order and strands.

    Returns:
        Effects of `test`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    strands = (codes, reverse_complement(codes))
    model = Cnn()
    steps = int(CNN["epochs"]) * (len(train) // int(CNN["batch_size"]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=CNN["learning_rate"], weight_decay=CNN["weight_decay"])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, CNN["learning_rate"], total_steps=steps + 1)
    model.train()
    for _ in range(int(CNN["epochs"])):
        order = rng.permutation(train)
        for begin in range(0, len(order) - int(CNN["batch_size"]) + 1, int(CNN["batch_size"])):
            rows = order[begin : begin + int(CNN["batch_size"])]
            bases = strands[rng.integers(2)]
            effect = model(one_hot(bases[alternate[rows]])) - model(one_hot(bases[reference[rows]]))
            loss = nn.functional.mse_loss(effect, torch.from_numpy(target[rows]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    model.eval()
    with torch.no_grad():
        blocks = np.array_split(test, max(1, len(test) // ROWS_AT_ONCE))
        effects = [
            sum(model(one_hot(bases[alternate[rows]])) - model(one_hot(bases[reference[rows]])) for bases in strands)
            for rows in blocks
        ]
    return torch.cat(effects).numpy() / 2
