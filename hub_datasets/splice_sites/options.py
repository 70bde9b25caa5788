"""What a data set of splice sites is made of beside its input files."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SpliceSiteOptions:
    """Options of a build from GTF + genome. Lengths are in bp."""

    window_size: int = field(
        default=400,
        metadata={"help": "Config `sequences`: their length, bp; the end of the exon is in the middle."},
    )
    base_window_size: int = field(default=512, metadata={"help": "Config `per_base`: length of the sequences, bp."})
    decoy_ratio: float = field(
        default=1.0,
        metadata={"help": "Config `sequences`: decoys (unannotated GT or AG in the same gene) for each site."},
    )
    empty_ratio: float = field(
        default=1.0,
        metadata={"help": "Config `per_base`: windows without a site for each one with a site; inf for all of them."},
    )
    keep_noncanonical: bool = field(
        default=False, metadata={"help": "Keep sites whose intron does not begin with GT or end with AG."}
    )
    min_intron_length: int = field(
        default=30, metadata={"help": "A shorter gap between two exons of a transcript is no intron, bp."}
    )
    validation_chromosomes: list[str] = field(
        default_factory=list, metadata={"help": "Chromosomes held out for validation."}
    )
    test_chromosomes: list[str] = field(default_factory=list, metadata={"help": "Chromosomes held out for test."})
    seed: int = field(default=0, metadata={"help": "Of the draw of decoys and of windows without a site."})

    def __post_init__(self) -> None:
        self.validation_chromosomes = list(self.validation_chromosomes)
        self.test_chromosomes = list(self.test_chromosomes)
        if self.window_size < 4 or self.window_size % 2:
            raise ValueError(f"window_size={self.window_size}: expected an even number of at least 4 bp")
        for name, smallest in [
            ("base_window_size", 1),
            ("decoy_ratio", 0),
            ("empty_ratio", 0),
            ("min_intron_length", 4),
            ("seed", 0),
        ]:
            if not getattr(self, name) >= smallest:
                raise ValueError(f"{name}={getattr(self, name)}: expected at least {smallest}")
        if self.decoy_ratio == float("inf"):
            raise ValueError("decoy_ratio=inf: expected a finite number")
