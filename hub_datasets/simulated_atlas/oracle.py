"""The rule of the simulated world: accessibility and binding as a function of sequence and TF activities."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from modeling_genebert.dna_genebert import UNKNOWN_BASE, encode_dna
from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, MotifBank

from .motifs import COLUMNS_OF_CODES


SITE_THRESHOLD = 0.8  # share of a motif's best score above which there is a site
SITE_WEIGHT = 2.0  # logit that a perfect site of a TF with activity 1 adds
SPACING_TOLERANCE = 1  # bp
BINDING_INTERCEPT, BINDING_SITE_WEIGHT, BINDING_ACCESS_LIMIT = -6.0, 8.0, 3.0

_SEQUENCES_PER_CHUNK = 256


def on_grid(values: np.ndarray | float, bits: int) -> np.ndarray:
    """Round to multiples of `2**-bits`: sums and products of such numbers are exact, in any order, on any machine."""
    return np.round(np.asarray(values, dtype=np.float64) * 2**bits) / 2**bits


@dataclass(frozen=True)
class PairRule:
    """A pair of TFs that work together at one spacing and orientation.

    Args:
        first, second: names of the TFs. `second` lies downstream of `first`, as `first` is oriented.
        same_strand: whether the two sites have the same strand.
        spacing: bp between the end of the first site and the start of the second (within 1 bp).
        bonus: logit added by two perfect sites of TFs with activity 1.
    """

    first: str
    second: str
    same_strand: bool
    spacing: int
    bonus: float


@dataclass(frozen=True)
class Sites:
    """The n sites found in a list of sequences, sorted by sequence, then start, then TF. All arrays have shape `(n,)`.

    Args:
        sequence: index of the sequence.
        tf: index into the oracle's `tf_names`.
        start: leftmost base in bp, 0-based, from the start of the sequence.
        strand: +1 or -1.
        strength: 0 at the threshold score, 1 at the motif's best score.
    """

    sequence: np.ndarray
    tf: np.ndarray
    start: np.ndarray
    strand: np.ndarray
    strength: np.ndarray


class AccessibilityOracle:
    """Accessibility and TF binding of any sequence in each simulated cell type: the best that any model can do.

    A site is a place where a motif scores above 0.8 of its best score (log-odds over the better strand). With r the
    share reached, its strength is s = (r - 0.8) / 0.2. For a sequence x and a cell type c with activities a

        logit(x, c) = intercept + 2 * sum over sites of s * a[tf, c]
                      + sum over pairs of sites that follow a rule of bonus * min(s1, s2) * a[first, c] * a[second, c]

        binding(x, tf, c) = -6 + 8 * best s of tf in x * a[tf, c] + clip(logit(x, c), -3, 3)

    A region is open where logit + noise > 0, and bound where the binding score, taken with the noisy logit, is > 0.

    Args:
        bank: motifs of the TFs in `tf_names`, which are names in the bank; other motifs do nothing.
        tf_names: the T TFs that act.
        cell_types: names of the C cell types.
        activities: activity of each TF in each cell type, shape `(T, C)`; 0 = absent.
        rules: the pair rules.
        intercept: logit of a sequence without sites.
    """

    def __init__(
        self,
        bank: MotifBank,
        tf_names: Sequence[str],
        cell_types: Sequence[str],
        activities: np.ndarray,
        rules: Iterable[PairRule],
        intercept: float,
    ):
        self.tf_names = list(tf_names)
        self.cell_types = list(cell_types)
        self.activities = np.asarray(activities, dtype=np.float64)
        self.rules = list(rules)
        self.intercept = float(intercept)

        rows = [bank.names.index(name) for name in self.tf_names]
        self.widths = np.array([len(bank.log_odds[row]) for row in rows])
        self._max_scores = bank.max_scores[rows].astype(np.float64)
        # Both strands of all motifs as one matrix, padded with zeros to the widest.
        weights = np.zeros((2, len(rows), int(self.widths.max()), 4), dtype=np.float32)
        for index, row in enumerate(rows):
            log_odds, width = bank.log_odds[row], self.widths[index]
            weights[0, index, :width] = log_odds[:, COLUMNS_OF_CODES]
            weights[1, index, :width] = log_odds[::-1, ::-1][:, COLUMNS_OF_CODES]
        self._weights = weights.transpose(3, 2, 0, 1).reshape(4 * weights.shape[2], -1)

    @classmethod
    def load(cls, atlas_dir: str | Path) -> AccessibilityOracle:
        """The oracle of an atlas that `simulate_atlas` wrote, from its motifs, truth tables and `simulation.json`."""
        atlas_dir = Path(atlas_dir)
        with (atlas_dir / "truth" / "tf_activities.tsv").open(newline="") as file:
            header, *rows = csv.reader(file, delimiter="\t")
        with (atlas_dir / "truth" / "grammar.tsv").open(newline="") as file:
            rules = [
                PairRule(
                    row["first"],
                    row["second"],
                    row["same_strand"] == "1",
                    int(row["spacing"]),
                    float(row["bonus"]),
                )
                for row in csv.DictReader(file, delimiter="\t")
            ]
        return cls(
            MotifBank.load(atlas_dir / MOTIFS_FILE_NAME),
            tf_names=[row[0] for row in rows],
            cell_types=header[3:],
            activities=np.array([[float(value) for value in row[3:]] for row in rows]),
            rules=rules,
            intercept=json.loads((atlas_dir / "simulation.json").read_text())["intercept"],
        )

    def find_sites(self, sequences: Sequence[str | np.ndarray]) -> Sites:
        """All sites of the acting TFs, over both strands (the better strand where both qualify).

        Args:
            sequences: N DNA strings, or arrays of base codes; lengths may differ. An unknown base scores 0.
        """
        encoded = [encode_dna(item) if isinstance(item, str) else item for item in sequences]
        max_width = int(self.widths.max())
        one_hot_of_code = np.eye(UNKNOWN_BASE + 1, 4, dtype=np.float32)
        found = []
        for begin in range(0, len(encoded), _SEQUENCES_PER_CHUNK):
            chunk = encoded[begin : begin + _SEQUENCES_PER_CHUNK]
            lengths = np.array([len(codes) for codes in chunk])
            codes = np.full((len(chunk), max(lengths.max(), 1) + max_width - 1), UNKNOWN_BASE, dtype=np.uint8)
            for row, item in enumerate(chunk):
                codes[row, : len(item)] = item
            windows = sliding_window_view(one_hot_of_code[codes], max_width, axis=1)
            num_starts = windows.shape[1]
            scores = windows.reshape(len(chunk) * num_starts, -1) @ self._weights
            strands = scores.reshape(len(chunk), num_starts, 2, -1)
            reached = strands.max(axis=2) / self._max_scores
            inside = np.arange(num_starts)[:, None] + self.widths <= lengths[:, None, None]
            sequence, start, tf = np.nonzero((reached > SITE_THRESHOLD) & inside)
            strength = on_grid((reached[sequence, start, tf] - SITE_THRESHOLD) / (1 - SITE_THRESHOLD), bits=10)
            forward = strands[sequence, start, 0, tf] >= strands[sequence, start, 1, tf]
            found.append((sequence + begin, tf, start, np.where(forward, 1, -1), strength))
        if not found:
            nothing = np.empty(0, dtype=np.int64)
            return Sites(nothing, nothing, nothing, nothing, np.empty(0))
        return Sites(*(np.concatenate(column) for column in zip(*found, strict=True)))

    def logits(self, sequences: Sequence[str | np.ndarray]) -> np.ndarray:
        """Accessibility logits of N sequences, float64 of shape `(N, C)`. A region has 500 bp; any length works."""
        return self._logits_of_sites(self.find_sites(sequences), len(sequences))

    def binding_logits(self, sequences: Sequence[str | np.ndarray]) -> np.ndarray:
        """Binding scores of N sequences, float64 of shape `(N, T, C)`: above 0 = bound."""
        sites = self.find_sites(sequences)
        return self.binding_from(
            self.best_strengths(sites, len(sequences)), self._logits_of_sites(sites, len(sequences))
        )

    def best_strengths(self, sites: Sites, num_sequences: int) -> np.ndarray:
        """Strength of the best site of each TF in each sequence, 0 where there is none, shape `(N, T)`."""
        best = np.zeros((num_sequences, len(self.tf_names)))
        np.maximum.at(best, (sites.sequence, sites.tf), sites.strength)
        return best

    def binding_from(self, best_strengths: np.ndarray, logits: np.ndarray) -> np.ndarray:
        """Binding scores `(N, T, C)` from the best site strengths `(N, T)` and accessibility logits `(N, C)`."""
        occupancy = best_strengths[:, :, None] * self.activities
        access = np.clip(logits, -BINDING_ACCESS_LIMIT, BINDING_ACCESS_LIMIT)
        return BINDING_INTERCEPT + BINDING_SITE_WEIGHT * occupancy + access[:, None, :]

    def _logits_of_sites(self, sites: Sites, num_sequences: int) -> np.ndarray:
        total_strength = np.zeros((num_sequences, len(self.tf_names)))
        np.add.at(total_strength, (sites.sequence, sites.tf), sites.strength)
        logits = self.intercept + SITE_WEIGHT * (total_strength @ self.activities)
        for rule in self.rules:
            first, second = self.tf_names.index(rule.first), self.tf_names.index(rule.second)
            for sequence, strength in self._pairs(sites, rule, first, second):
                logits[sequence] += rule.bonus * strength * self.activities[first] * self.activities[second]
        return logits

    def _pairs(self, sites: Sites, rule: PairRule, first: int, second: int) -> Iterable[tuple[int, float]]:
        """For each pair of sites that follows the rule: the index of its sequence, and the weaker strength."""
        a, b = np.flatnonzero(sites.tf == first), np.flatnonzero(sites.tf == second)
        # All combinations within one sequence: for each a, the b from first_b to last_b, which lie together.
        first_b = np.searchsorted(sites.sequence[b], sites.sequence[a], side="left")
        last_b = np.searchsorted(sites.sequence[b], sites.sequence[a], side="right")
        a = np.repeat(a, last_b - first_b)
        b = b[[index for low, high in zip(first_b, last_b, strict=True) for index in range(low, high)]]
        gap = np.where(
            sites.strand[a] > 0,
            sites.start[b] - sites.start[a] - self.widths[first],
            sites.start[a] - sites.start[b] - self.widths[second],
        )
        follows = np.abs(gap - rule.spacing) <= SPACING_TOLERANCE
        follows &= (sites.strand[a] == sites.strand[b]) == rule.same_strand
        strengths = np.minimum(sites.strength[a], sites.strength[b])
        return zip(sites.sequence[a][follows].tolist(), strengths[follows].tolist(), strict=True)
