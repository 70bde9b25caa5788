"""What a data set of variants is made of beside its input files."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class DiseaseRiskOptions:
    """Options of a build. Lengths are in bp."""

    window_width: int = field(
        default=256, metadata={"help": "Length of the windows round a variant, bp: the variant is in the middle."}
    )
    label_field: str = field(default="CLNSIG", metadata={"help": "VCF: the INFO field with the label."})
    label_values: list[str] = field(
        default_factory=list,
        metadata={
            "help": "VCF: labels of the field's values as VALUE=LABEL, for example 0=control 1=case; all other values "
            "are left out and counted. Not needed for CLNSIG, whose values are known."
        },
    )
    regression: bool = field(default=False, metadata={"help": "VCF: the INFO field is a number to be predicted."})
    release: str = field(default="GRCh37", metadata={"help": "MPRA: the genome build whose rows are read."})
    min_barcodes: int = field(default=10, metadata={"help": "MPRA: variants with fewer barcodes are left out."})
    validation_chromosomes: list[str] = field(
        default_factory=list, metadata={"help": "VCF: chromosomes held out for validation."}
    )
    test_chromosomes: list[str] = field(default_factory=list, metadata={"help": "VCF: chromosomes held out for test."})
    validation_elements: list[str] = field(
        default_factory=list,
        metadata={"help": "MPRA: elements held out for validation, each with all elements that overlap it."},
    )
    test_elements: list[str] = field(
        default_factory=list,
        metadata={"help": "MPRA: elements held out for test, each with all elements that overlap it."},
    )

    def __post_init__(self) -> None:
        for name in (
            *("label_values", "validation_chromosomes", "test_chromosomes"),
            *("validation_elements", "test_elements"),
        ):
            setattr(self, name, list(getattr(self, name)))
        if self.window_width < 2:
            raise ValueError(f"window_width={self.window_width}: expected at least 2 bp")
        if self.min_barcodes < 0:
            raise ValueError(f"min_barcodes={self.min_barcodes}: expected at least 0")
        if self.regression and self.label_values:
            raise ValueError("regression and label_values: a field is a number or has labels, give one of the two")
        _ = self.label_of_value

    @property
    def label_of_value(self) -> dict[str, str]:
        """Value of the INFO field -> label, from `label_values`."""
        labels: dict[str, str] = {}
        for pair in self.label_values:
            value, equals, label = pair.rpartition("=")
            if not (value and equals and label):
                raise ValueError(f"label_values: found {pair!r}, expected VALUE=LABEL, for example 1=case")
            if labels.setdefault(value, label) != label:
                raise ValueError(f"label_values: {value!r} is given the labels {labels[value]!r} and {label!r}")
        if labels and len(set(labels.values())) < 2:
            raise ValueError(f"label_values: found only the label {label!r}, expected two or more labels")
        return labels
