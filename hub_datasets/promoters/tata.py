"""Which promoters have a TATA box."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from modeling_genebert.dna_genebert import encode_dna
from modeling_genebert.motifs_genebert import MotifBank

from ..genome import Genome
from .tss import Promoter, fetch


# JASPAR's POL012.1 is the matrix of Bucher (1990), J. Mol. Biol. 212, 563: 15 bp, the second of which is the first T
# of TATA. Of the promoters in GUE's core_tata and core_notata (EPDnew's own split), 89 % and 1.5 % reach 4 bits with a
# box that lies within their 70 bp.
TATA_MATRIX, TATA_RELEASE = "POL012.1", "JASPAR2020:POLII:all"
TATA_THRESHOLD = 4.0  # bits
# The first T of TATA lies so many bp upstream of the TSS.
NEAREST, FURTHEST = 25, 35


def tata_by_name(promoters: Sequence[Promoter]) -> list[bool]:
    """Whether each promoter has a TATA box by its name, which ends in `_TATA` or `_nonTATA` (any case, `-` or `_`).

    Raises:
        ValueError: a name has neither ending.
    """
    told = []
    for promoter in promoters:
        found = re.search(r"[-_](no_?|non[-_]?)?tata$", promoter.id, flags=re.IGNORECASE)
        if not found:
            raise ValueError(
                f"promoter {promoter.id!r}: expected a name that ends in _TATA or _nonTATA; give tata: motif or none"
            )
        told.append(found[1] is None)
    return told


def tata_by_motif(promoters: Sequence[Promoter], genome: Genome) -> list[bool]:
    """Whether each promoter has a TATA box by its sequence.

    It has one where JASPAR's POL012.1 (uniform background) reaches 4 bits on the promoter's strand, with the first T
    of TATA 25 to 35 bp upstream of the TSS.
    """
    bank = MotifBank.resolve(TATA_RELEASE).subset([TATA_MATRIX])
    log_odds = bank.log_odds[0]
    width = len(log_odds)
    # Columns A, C, G, T in the order of the base codes: A, T, C, G and the unknown base, with which there is no box.
    by_code = np.column_stack([log_odds[:, [0, 3, 1, 2]], np.full(width, -np.inf)])
    told = []
    for promoter in promoters:
        # The matrix begins one base before the first T.
        codes = encode_dna(fetch(promoter, genome, FURTHEST + 1, width - NEAREST - 2))
        sites = np.lib.stride_tricks.sliding_window_view(codes, width)
        told.append(bool(by_code[np.arange(width), sites].sum(axis=1).max() >= TATA_THRESHOLD))
    return told
