"""What a build of promoters is made of beside its input files."""

from __future__ import annotations

from dataclasses import dataclass, field


TSS_POSITIONS = ("auto", "thick", "centre", "start")
TATA_RULES = ("name", "motif", "none")
NEGATIVES = ("genomic", "mosaic")


@dataclass
class PromoterOptions:
    """What a build is made of beside its input files. Lengths are in bp. None of it matters to GUE's files."""

    tss_position: str = field(
        default="auto",
        metadata={
            "help": "Where a record's TSS is. thick: the first base, along the strand, of thickStart to thickEnd (as "
            "in EPDnew's BED); centre: (start + end) // 2; start: the record's first base along its strand. auto: "
            "thick where there are 8 or more columns, start where all records have 1 bp, else an error.",
            "choices": TSS_POSITIONS,
        },
    )
    tata: str = field(
        default="name",
        metadata={
            "help": "How promoters with a TATA box are told. name: names end in _TATA or _nonTATA; motif: JASPAR's "
            "TATA box 25 to 35 bp upstream of the TSS; none: they are not told.",
            "choices": TATA_RULES,
        },
    )
    negatives: str = field(
        default="genomic",
        metadata={
            "help": "genomic: windows of the same chromosome away from any TSS, matched for GC; mosaic: the promoters "
            "themselves with 12 of 20 pieces shuffled.",
            "choices": NEGATIVES,
        },
    )
    min_tss_distance: int = field(
        default=1_000, metadata={"help": "Genomic negatives are at least so far from any TSS, bp."}
    )
    max_gc_difference: float = field(
        default=0.02, metadata={"help": "Genomic negatives differ from their promoter by at most this share of GC."}
    )
    validation_chromosomes: list[str] = field(
        default_factory=list, metadata={"help": "Chromosomes held out for validation."}
    )
    test_chromosomes: list[str] = field(default_factory=list, metadata={"help": "Chromosomes held out for test."})
    seed: int = field(default=0, metadata={"help": "Of the random choices of negatives."})

    def __post_init__(self) -> None:
        self.validation_chromosomes = list(self.validation_chromosomes)
        self.test_chromosomes = list(self.test_chromosomes)
        for name, choices in [("tss_position", TSS_POSITIONS), ("tata", TATA_RULES), ("negatives", NEGATIVES)]:
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {', '.join(choices)}")
        if self.min_tss_distance < 0:
            raise ValueError(f"min_tss_distance={self.min_tss_distance}: expected at least 0")
        if not 0 <= self.max_gc_difference <= 1:
            raise ValueError(f"max_gc_difference={self.max_gc_difference}: expected 0 <= share <= 1")
