"""Which motifs the atlas uses: informative, well apart from each other, from many families."""

from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np

from modeling_genebert.dna_genebert import UNKNOWN_BASE
from modeling_genebert.motifs_genebert import MotifBank


WIDTH_RANGE = (9, 14)  # bp
MAX_SCORE_RANGE = (15.0, 20.0)  # bits: rare by chance, yet not unlike real motifs
MAX_CROSSTALK = 0.8  # a consensus may reach this share of another motif's best score: no more than a site needs

# Columns A, C, G, T of a motif in the order of the base codes A=0, T=1, C=2, G=3.
COLUMNS_OF_CODES = [0, 3, 1, 2]


def consensus(log_odds: np.ndarray) -> np.ndarray:
    """The best-scoring site of a motif, as base codes of shape `(width,)`."""
    return log_odds[:, COLUMNS_OF_CODES].argmax(axis=1).astype(np.uint8)


def choose_motifs(bank: MotifBank, num_motifs: int) -> MotifBank:
    """Choose motifs that are told apart easily; the choice depends on the bank and on the number alone.

    Candidates are single human transcription factors with a motif of 9 to 14 bp and 15 to 20 bits, whose reverse
    complement is not itself a site (so that a site has a strand). Family by family, in the bank's order, and again
    until there are enough, the first candidate is taken whose consensus is no site of a chosen motif, nor the other
    way round.

    Args:
        bank: the bank to choose from.
        num_motifs: number of motifs wanted.

    Returns:
        A bank of `num_motifs` motifs in the order of `bank`.

    Raises:
        ValueError: the bank has too few such motifs.
    """
    candidates = []
    for row, (name, log_odds, max_score) in enumerate(zip(bank.names, bank.log_odds, bank.max_scores, strict=True)):
        best_site = consensus(log_odds)
        reverse_score = log_odds[::-1, ::-1][:, COLUMNS_OF_CODES][np.arange(len(best_site)), best_site].sum()
        if (
            name.isalnum()
            and name.isupper()
            and WIDTH_RANGE[0] <= len(log_odds) <= WIDTH_RANGE[1]
            and MAX_SCORE_RANGE[0] <= max_score <= MAX_SCORE_RANGE[1]
            and reverse_score < MAX_CROSSTALK * max_score
        ):
            candidates.append(row)
    if not candidates:
        raise ValueError(f"{bank.source}: no motif is fit for the simulation; use a JASPAR release such as JASPAR2026")
    pool = bank.subset([bank.ids[row] for row in candidates])

    # Unknown bases on both sides score 0, so that partly overlapping placements count as well.
    padded = np.full((len(pool), 3 * WIDTH_RANGE[1]), UNKNOWN_BASE, dtype=np.uint8)
    for row, log_odds in enumerate(pool.log_odds):
        padded[row, WIDTH_RANGE[1] : WIDTH_RANGE[1] + len(log_odds)] = consensus(log_odds)
    crosstalk = pool.score(padded)[:, :, 0]
    crosstalk = np.maximum(crosstalk, crosstalk.T)

    families = defaultdict(list)
    for row, family in enumerate(pool.families):
        families[family].append(row)
    chosen: list[int] = []
    names: set[str] = set()
    while len(chosen) < num_motifs:
        before = len(chosen)
        for rows in families.values():
            fitting = (r for r in rows if pool.names[r] not in names and (crosstalk[r, chosen] < MAX_CROSSTALK).all())
            row = next(fitting, -1)
            if row >= 0 and len(chosen) < num_motifs:
                chosen.append(row)
                names.add(pool.names[row])
        if len(chosen) == before:
            raise ValueError(f"num_motifs={num_motifs}: {bank.source} has only {len(chosen)} well-separated motifs")
    return pool.subset([pool.ids[row] for row in sorted(chosen)])


@cache
def atlas_motifs(num_motifs: int) -> MotifBank:
    """The motifs of an atlas, chosen from JASPAR2026 CORE vertebrates; kept, since reading them takes 2 seconds."""
    return choose_motifs(MotifBank.from_jaspar("JASPAR2026"), num_motifs)


def gc_content(counts: np.ndarray) -> float:
    """Share of C and G in a motif's counts (columns A, C, G, T)."""
    return float(counts[:, 1:3].sum() / counts.sum())


def draw_instances(bank: MotifBank, min_score: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Binding sites of each motif: drawn from its probabilities, kept where they reach a share of the best score.

    Args:
        bank: the motifs.
        min_score: least score of a kept site, as a share of the motif's best score.
        rng: source of randomness.

    Returns:
        For each motif uint8 base codes of shape `(n, width)`, oriented as the motif; the first is the consensus.
    """
    instances = []
    for counts, log_odds, max_score in zip(bank.counts, bank.log_odds, bank.max_scores, strict=True):
        cumulative = (counts / counts.sum(axis=1, keepdims=True))[:, COLUMNS_OF_CODES].cumsum(axis=1)[:, :3]
        sites = (rng.random((2000, len(counts), 1)) > cumulative).sum(axis=2).astype(np.uint8)
        scores = log_odds[:, COLUMNS_OF_CODES][np.arange(len(counts)), sites].sum(axis=1)
        instances.append(np.concatenate([consensus(log_odds)[None], sites[scores >= min_score * max_score]]))
    return instances
