"""What GeneBERT has to beat on GUE besides published models: boosted trees on motif scores, and a small CNN.

Both are trained and judged on the same files as GeneBERT, and by the same command: see `benchmarks/gue.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import nn
from torch.nn import functional as F

from modeling_genebert import MotifBank, encode_dna
from modeling_genebert.dna_genebert import UNKNOWN_BASE


ROWS_AT_ONCE = 256
TREES = {"max_iter": 300, "learning_rate": 0.08, "max_leaf_nodes": 15, "l2_regularization": 1.0, "max_features": 0.1}
CNN = {"filters": 128, "kernel_size": 13, "dropout": 0.3, "epochs": 8, "batch_size": 64, "learning_rate": 1e-3}


def base_codes(sequences: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Base codes, uint8 `(N, L)`, padded at the end with unknown bases; and lengths in bp."""
    lengths = np.array([len(sequence) for sequence in sequences])
    codes = np.full((len(sequences), lengths.max()), UNKNOWN_BASE, dtype=np.uint8)
    for row, sequence in zip(codes, sequences, strict=True):
        row[: len(sequence)] = encode_dna(sequence)
    return codes, lengths


def fit_trees(
    sequences: dict[str, list[str]], labels: np.ndarray, seed: int, settings: dict[str, Any] = TREES
) -> tuple[dict[str, np.ndarray], int]:
    """
    Gradient-boosted trees on the best score of each JASPAR motif in each sequence.

    Args:
        sequences: DNA of each split; `train` is trained on.
        labels: class ids of `train`.
        seed: of the features that a split may use.
        settings: of scikit-learn's `HistGradientBoostingClassifier`.

    Returns:
        Log-probabilities of the other splits, each of shape `(N, num_classes)`; and the number of leaves.
    """
    bank = MotifBank.from_jaspar()
    scores = {}
    for split, rows in sequences.items():
        codes, lengths = base_codes(rows)
        blocks = range(0, len(codes), ROWS_AT_ONCE)
        scores[split] = np.concatenate(
            [bank.score(codes[i : i + ROWS_AT_ONCE], lengths[i : i + ROWS_AT_ONCE])[:, :, 0] for i in blocks]
        )
    model = HistGradientBoostingClassifier(**settings, early_stopping=False, random_state=seed)
    model.fit(scores["train"], labels)
    num_leaves = sum(tree.get_n_leaf_nodes() for trees in model._predictors for tree in trees)
    predictions = {split: model.predict_proba(scores[split]) for split in scores if split != "train"}
    return {split: np.log(np.maximum(rows, 1e-9)) for split, rows in predictions.items()}, num_leaves


class ConvolutionalNetwork(nn.Sequential):
    """One-hot bases -> two convolutions, each with pooling -> the best place of each filter -> classes."""

    def __init__(self, num_labels: int, filters: int, kernel_size: int, dropout: float):
        super().__init__(
            nn.Conv1d(4, filters, kernel_size, padding="same"),
            nn.BatchNorm1d(filters),
            nn.ReLU(),
            nn.MaxPool1d(4, ceil_mode=True),
            nn.Dropout(dropout),
            nn.Conv1d(filters, filters, kernel_size // 2, padding="same"),
            nn.BatchNorm1d(filters),
            nn.ReLU(),
            nn.AdaptiveMaxPool1d(4),  # quarters: where in the sequence, roughly
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(4 * filters, filters),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(filters, num_labels),
        )


def fit_cnn(
    sequences: dict[str, list[str]],
    labels: np.ndarray,
    seed: int,
    dev_score: Callable[[np.ndarray], float],
    both_strands: bool,
    settings: dict[str, Any] = CNN,
) -> tuple[dict[str, np.ndarray], int]:
    """
    A CNN of two layers on the bases; of its epochs the best on dev is kept.

    Args:
        sequences, labels, seed: as in [`fit_trees`].
        dev_score: log-probabilities of dev -> what is best when highest.
        both_strands: the labels are those of both strands: train on either, and average over them.
        settings: see `CNN`.

    Returns:
        Log-probabilities of the other splits, each of shape `(N, num_classes)`; and the number of parameters.
    """
    torch.manual_seed(seed)
    # One row a base, A, T, C, G; zeros for an unknown one.
    table = torch.eye(UNKNOWN_BASE + 1)[:, :UNKNOWN_BASE]
    codes = {split: torch.from_numpy(base_codes(rows)[0]).long() for split, rows in sequences.items()}
    targets = torch.from_numpy(labels)
    num_labels = int(targets.max()) + 1
    model = ConvolutionalNetwork(num_labels, settings["filters"], settings["kernel_size"], settings["dropout"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], weight_decay=0.01)
    size = settings["batch_size"]
    num_steps = settings["epochs"] * -(-len(targets) // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["learning_rate"], total_steps=num_steps)

    def one_hot(rows: torch.Tensor) -> torch.Tensor:
        return table[rows].transpose(1, 2)

    def predict(rows: torch.Tensor) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            strands = (rows, opposite_strand(rows)) if both_strands else (rows,)
            logits = [torch.cat([model(one_hot(some)) for some in strand.split(512)]) for strand in strands]
        return torch.stack(logits).mean(dim=0).log_softmax(dim=1).numpy()

    best: tuple[float, dict[str, np.ndarray]] = (-np.inf, {})
    for _ in range(settings["epochs"]):
        model.train()
        for batch in torch.randperm(len(targets)).split(size):
            rows = codes["train"][batch]
            if both_strands:
                is_opposite = torch.rand(len(rows)) < 0.5
                rows = torch.where(is_opposite[:, None], opposite_strand(rows), rows)
            loss = F.cross_entropy(model(one_hot(rows)), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        predictions = {split: predict(rows) for split, rows in codes.items() if split != "train"}
        score = dev_score(predictions["validation"])
        if score > best[0]:
            best = score, predictions
    return best[1], sum(parameter.numel() for parameter in model.parameters())


def opposite_strand(codes: torch.Tensor) -> torch.Tensor:
    """Reverse complements of rows of base codes: in the order A, T, C, G complements differ in the last bit."""
    return torch.where(codes == UNKNOWN_BASE, codes, codes ^ 1).flip(1)
