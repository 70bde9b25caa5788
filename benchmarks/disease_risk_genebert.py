"""GeneBERT on the effects of variants: what of it `benchmarks/disease_risk.py` uses.

The checkpoints are trained on other tasks, such as binding sites, and stay as they are. What differs between their
pooled features of the two alleles, and between the alleles' motif scores, are the inputs of the effect's head:
[`GeneBertForVariantEffect`] with frozen encoders, whose head is linear without bias, plus a linear path from the
squared motif scores ("wide and deep", Cheng et al. 2016). There are few elements to learn from, and a linear head has
a closed form, ridge regression, with one setting: its penalty.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig

from hub_datasets.files import sha256_of
from modeling_genebert import GeneBertForSequenceClassification, GeneBertModel, GeneBertProcessor


ROWS_AT_ONCE = 256
WINDOW = 61  # bp
WIDE_WINDOW = 31  # bp
DEEP_SCALE = 3.0  # standard deviation of the pooled features' changes, where that of the motif scores' is 1
PENALTIES = [1e4, 3e4, 1e5]


class Encoder:
    """A checkpoint that turns DNA into features: frozen, mean of both strands.

    Args:
        name_or_path: folder or Hub id of a GeneBERT. Of one fine-tuned to classify sequences, the features are those
            of its head, and there are log-odds; of any other, the pooled vectors of sequence and regions.
    """

    model: Any

    def __init__(self, name_or_path: str):
        self.processor = GeneBertProcessor.from_pretrained(name_or_path)
        self.is_classifier = is_classifier(name_or_path)
        model_class = GeneBertForSequenceClassification if self.is_classifier else GeneBertModel
        self.model = model_class.from_pretrained(name_or_path).eval()

    @torch.no_grad()
    def __call__(self, sequences: list[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """Features, float32 `(N, F)`, and the mean log-odds of the labels, `(N,)`, None without a classifier."""
        features, log_odds = [], []
        for begin in range(0, len(sequences), ROWS_AT_ONCE):
            rows = sequences[begin : begin + ROWS_AT_ONCE]
            given, opposite = (
                self._encode(self.processor(rows, reverse_complement=turned, padding=True, return_tensors="pt"))
                for turned in (False, True)
            )
            features.append((given[0] + opposite[0]).numpy() / 2)
            if given[1] is not None and opposite[1] is not None:
                log_odds.append((given[1] + opposite[1]).numpy() / 2)
        return np.concatenate(features), np.concatenate(log_odds) if log_odds else None

    def _encode(self, inputs: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
        if not self.is_classifier:
            output = self.model(**inputs, return_dict=True)
            return torch.cat([output.pooler_output, output.region_pooler_output], dim=1), None
        pooled = self.model.classifier[0](self.model.genebert(**inputs, return_dict=True))
        logits = self.model.classifier[-1](pooled)
        if self.model.config.problem_type == "single_label_classification":
            logits = logits[:, 1:] - logits[:, :1]  # against the first class
        return pooled, logits.mean(dim=1)


def is_classifier(name_or_path: str) -> bool:
    """Whether a checkpoint classifies sequences."""
    return "GeneBertForSequenceClassification" in (AutoConfig.from_pretrained(name_or_path).architectures or [])


def encode(
    checkpoints: list[str], sequences: list[str], reference: np.ndarray, alternate: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    What differs between two alleles, by all checkpoints.

    Args:
        checkpoints: folders or Hub ids.
        sequences: distinct windows.
        reference, alternate: number of each variant's windows.

    Returns:
        Changes of the features, side by side, each checkpoint's with standard deviation 1: `(num_variants, F)`; and
        what they say without any training on effects, `(num_variants,)`: the mean change of the log-odds (each
        checkpoint's with standard deviation 1, too), or of checkpoints that classify nothing, the size of the change
        of the features.
    """
    changes, votes = [], []
    for checkpoint in checkpoints:
        features, log_odds = Encoder(checkpoint)(sequences)
        change = features[alternate] - features[reference]
        changes.append(change / change.std())
        if log_odds is not None:
            vote = log_odds[alternate] - log_odds[reference]
            votes.append(vote / vote.std())
    joined = np.concatenate(changes, axis=1)
    return joined, np.mean(votes, axis=0) if votes else np.linalg.norm(joined, axis=1)


def checksum(checkpoint: str) -> str:
    """SHA-256 of a checkpoint's weights; of one on the Hub its id."""
    weights = Path(checkpoint, "model.safetensors")
    return sha256_of(weights) if weights.is_file() else checkpoint
