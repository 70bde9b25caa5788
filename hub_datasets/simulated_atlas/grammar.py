"""Who acts in which cell type, who works with whom, and regions composed accordingly."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modeling_genebert.dna_genebert import encode_dna, reverse_complement
from modeling_genebert.motifs_genebert import MotifBank

from .genome import REGION_WIDTH, markov_sequences
from .motifs import draw_instances
from .oracle import PairRule, on_grid


REGION_KINDS = ("promoter", "enhancer", "decoy")
KIND_PROBABILITIES = (0.08, 0.72, 0.2)
KIND_GC = {"promoter": (0.62, 0.04), "enhancer": (0.52, 0.05), "decoy": (0.52, 0.05)}  # mean, standard deviation
KIND_CPG = {"promoter": 0.9, "enhancer": 0.4, "decoy": 0.4}  # CpG observed / expected
ANCESTOR_DEVIATION = 0.6  # of a TF's value at an inner node of the lineage tree, against 1 at a leaf
PLANTED_SCORE = 0.85  # least share of the best score of a planted site
CORE_WIDTH = 240  # bp in the middle of a region that hold the planted sites of enhancers and decoys
PROMOTER_SITES = (20, 210)  # bp from the region's 5' end that hold a promoter's TF sites: upstream of TATA box and TSS
TSS_OFFSET = REGION_WIDTH // 2  # of a promoter region, read along its strand
TATA_SHARE = 0.3
TATA_BOX, TATA_OFFSET = "TATAWAWR", -31  # bp from the TSS
INITIATOR, INITIATOR_OFFSET = "YYANWYY", -2
ORDERED_PAIR_SHARE = 0.7  # of enhancers whose pair follows its rule; in the others its sites lie anywhere

_IUPAC = {"A": "A", "C": "C", "G": "G", "T": "T", "W": "AT", "Y": "CT", "R": "AG", "N": "ACGT"}


class Site(NamedTuple):
    """A planted site: the motif's row in the bank, its start in its region (bp), its strand, its rule (-1 = none)."""

    motif: int
    start: int
    strand: int
    rule: int


class Region(NamedTuple):
    """A composed region: its kind, strand (promoters; else "."), whether it has a TATA box, sequence and sites."""

    kind: str
    strand: str
    has_tata: bool
    codes: np.ndarray
    sites: list[Site]


class Unit(NamedTuple):
    """Sites that are placed together: one alone, or a pair at its spacing. Starts count from the unit's left end."""

    width: int
    sites: list[Site]


def draw_activities(
    num_tfs: int, num_ubiquitous: int, num_active: int, num_cell_types: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw TF activities that follow a lineage tree: neighbours among the cell types share more active TFs.

    A binary tree has the cell types as its leaves. Each TF has a normal value at each node below the root (standard
    deviation 1 at the leaves, 0.6 above); the `num_active` TFs with the highest sum from root to leaf are active in a
    cell type, with an activity of 0.75 to 1.25 there. Ubiquitous TFs are active everywhere.

    Args:
        num_tfs: number of cell-type-specific TFs.
        num_ubiquitous: number of ubiquitous TFs, which come last.
        num_active: number of specific TFs active in each cell type.
        num_cell_types: number of cell types.
        rng: source of randomness.

    Returns:
        float64 array of shape `(num_tfs + num_ubiquitous, num_cell_types)`, multiples of 1/64, 0 = absent.
    """
    cell_types = np.arange(num_cell_types)
    latent = np.zeros((num_tfs, num_cell_types))
    for level in range(int(num_cell_types - 1).bit_length()):
        ancestor = cell_types >> level
        deviation = 1.0 if level == 0 else ANCESTOR_DEVIATION
        latent += rng.normal(0, deviation, size=(num_tfs, num_cell_types))[:, ancestor]
    rank = (-latent).argsort(axis=0).argsort(axis=0)
    active = np.concatenate([rank < num_active, np.ones((num_ubiquitous, num_cell_types), dtype=bool)])
    return active * on_grid(rng.uniform(0.75, 1.25, size=active.shape), bits=6)


def draw_rules(tf_names: list[str], rng: np.random.Generator) -> list[PairRule]:
    """Pair rules between cell-type-specific TFs: each TF is in two pairs (some in more if their number is odd)."""
    rules = []
    for _ in range(2):
        order = rng.permutation(len(tf_names)).tolist()
        if len(order) % 2:
            order.append(order[0])
        for first, second in zip(order[::2], order[1::2], strict=True):
            rules.append(
                PairRule(
                    tf_names[first],
                    tf_names[second],
                    same_strand=bool(rng.random() < 0.5),
                    spacing=int(rng.integers(3, 13)),
                    bonus=float(on_grid(rng.uniform(3.0, 5.0), bits=6)),
                )
            )
    return rules


class RegionComposer:
    """Writes the sequences of regions.

    Args:
        bank: all motifs of the atlas.
        specific, ubiquitous, decoys: rows in the bank of the cell-type-specific and the ubiquitous TFs, and of
            motifs whose TFs do nothing.
        rules: pair rules between the specific TFs.
        rng: source of randomness.
    """

    def __init__(
        self,
        bank: MotifBank,
        specific: list[int],
        ubiquitous: list[int],
        decoys: list[int],
        rules: list[PairRule],
        rng: np.random.Generator,
    ):
        self.specific, self.ubiquitous, self.decoys = specific, ubiquitous, decoys
        self.rules = rules
        self.rng = rng
        self.row_of_name = {name: row for row, name in enumerate(bank.names)}
        self.instances = draw_instances(bank, PLANTED_SCORE, rng)

    def compose(self, num_regions: int) -> list[Region]:
        """Draw `num_regions` regions, each independent of all others."""
        kinds = self.rng.choice(REGION_KINDS, size=num_regions, p=KIND_PROBABILITIES).tolist()
        mean, deviation = np.array([KIND_GC[kind] for kind in kinds]).reshape(-1, 2).T
        gc = self.rng.normal(mean, deviation).clip(0.35, 0.75)
        cpg = np.array([KIND_CPG[kind] for kind in kinds])
        background = markov_sequences(gc, cpg, REGION_WIDTH, self.rng)
        write = {"promoter": self._promoter, "enhancer": self._enhancer, "decoy": self._decoy}
        return [write[kind](codes) for kind, codes in zip(kinds, background, strict=True)]

    def _enhancer(self, codes: np.ndarray) -> Region:
        """A pair of specific TFs that work together, and 0 to 4 single sites, half of them of decoy motifs."""
        units = self._pair_units(int(self.rng.integers(len(self.rules))))
        for _ in range(self.rng.integers(0, 5)):
            units.append(self._single(self.specific if self.rng.random() < 0.5 else self.decoys))
        return Region("enhancer", ".", False, codes, self._place(codes, units, *_core()))

    def _decoy(self, codes: np.ndarray) -> Region:
        """Composed as an enhancer is, of 2 to 6 sites, but three quarters of them of decoy motifs: mostly closed."""
        num_sites = self.rng.integers(2, 7)
        units = [self._single(self.specific if self.rng.random() < 0.25 else self.decoys) for _ in range(num_sites)]
        return Region("decoy", ".", False, codes, self._place(codes, units, *_core()))

    def _promoter(self, codes: np.ndarray) -> Region:
        """3 to 5 sites of ubiquitous TFs upstream of an initiator, with or without a TATA box, on either strand."""
        units = [self._single(self.ubiquitous) for _ in range(self.rng.integers(3, 6))]
        sites = self._place(codes, units, *PROMOTER_SITES)
        has_tata = bool(self.rng.random() < TATA_SHARE)
        self._write_iupac(codes, TSS_OFFSET + INITIATOR_OFFSET, INITIATOR)
        if has_tata:
            self._write_iupac(codes, TSS_OFFSET + TATA_OFFSET, TATA_BOX)
        if self.rng.random() < 0.5:
            return Region("promoter", "+", has_tata, codes, sites)
        return Region("promoter", "-", has_tata, reverse_complement(codes), self._flip(sites, REGION_WIDTH))

    def _single(self, rows: list[int]) -> Unit:
        row = int(self.rng.choice(rows))
        return Unit(self._width(row), [Site(row, 0, self._strand(), -1)])

    def _pair_units(self, rule_index: int) -> list[Unit]:
        """One unit that follows the rule, on either strand; or both TFs as single sites."""
        rule = self.rules[rule_index]
        first, second = self.row_of_name[rule.first], self.row_of_name[rule.second]
        if self.rng.random() >= ORDERED_PAIR_SHARE:
            return [self._single([first]), self._single([second])]
        start = self._width(first) + rule.spacing
        width = start + self._width(second)
        sites = [Site(first, 0, 1, rule_index), Site(second, start, 1 if rule.same_strand else -1, rule_index)]
        return [Unit(width, sites if self._strand() > 0 else self._flip(sites, width))]

    def _place(self, codes: np.ndarray, units: list[Unit], begin: int, end: int) -> list[Site]:
        """Write the units into `codes[begin:end]`, in random order and at random distances, and return their sites."""
        units = [units[index] for index in self.rng.permutation(len(units))]
        room = end - begin - sum(unit.width for unit in units)
        position, placed = begin, []
        shifts = np.sort(self.rng.integers(0, room + 1, size=len(units)))
        for unit, shift in zip(units, shifts.tolist(), strict=True):
            for site in unit.sites:
                start = position + shift + site.start
                instance = self.rng.choice(self.instances[site.motif])
                codes[start : start + len(instance)] = instance if site.strand > 0 else reverse_complement(instance)
                placed.append(site._replace(start=start))
            position += unit.width
        return placed

    def _flip(self, sites: list[Site], width: int) -> list[Site]:
        """The same sites, seen from the other strand of a stretch of `width` bp."""
        return [
            site._replace(start=width - site.start - self._width(site.motif), strand=-site.strand) for site in sites
        ]

    def _write_iupac(self, codes: np.ndarray, start: int, pattern: str) -> None:
        letters = "".join(self.rng.choice(list(_IUPAC[letter])) for letter in pattern)
        codes[start : start + len(pattern)] = encode_dna(letters)

    def _width(self, row: int) -> int:
        return self.instances[row].shape[1]

    def _strand(self) -> int:
        return 1 if self.rng.random() < 0.5 else -1


def _core() -> tuple[int, int]:
    return (REGION_WIDTH - CORE_WIDTH) // 2, (REGION_WIDTH + CORE_WIDTH) // 2
