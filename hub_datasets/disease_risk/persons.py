"""Risk of persons: their genotypes, and the burden of the predicted effects of their variants."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..atac_seq.evaluation import block_bootstrap, weighted_auroc
from ..files import read_line_blocks, written_whole
from ..genome import Genome, name_some
from ..vcf import VcfCounts, read_vcf, vcf_samples


CONTROL, CASE = "control", "case"
LABELS = {CONTROL: 0, CASE: 1, "0": 0, "1": 1}

NOT_IN_VCF = "sample of the label table that the VCF does not have"
NOT_IN_LABELS = "sample of the VCF that the label table does not have"


def read_sample_labels(path: str | Path) -> dict[str, int]:
    """Read a table of persons: CSV with the columns `sample` and `label` (case or control, or 1 or 0).

    Returns:
        Sample -> 1 for a case, 0 for a control.

    Raises:
        ValueError: a column is missing, a label is unknown, a sample comes twice, or there is only one class.
    """
    labels: dict[str, int] = {}
    for number, row in read_csv(path, ("sample", "label")):
        label = LABELS.get(row["label"].strip().lower())
        if label is None:
            raise ValueError(f"{path}:{number}: found label {row['label']!r}, expected case or control (or 1 or 0)")
        if row["sample"] in labels:
            raise ValueError(f"{path}:{number}: sample {row['sample']!r} comes twice, expected each once")
        labels[row["sample"]] = label
    if len(set(labels.values())) < 2:
        raise ValueError(f"{path}: found {len(labels)} samples of one class, expected cases and controls")
    return labels


def read_csv(path: str | Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header, each with its line (from 1).

    Raises:
        ValueError: columns are missing (those found are named), or a row has another number of cells.
    """
    text = b"".join(read_line_blocks(path)).decode("utf-8", errors="replace")
    reader = csv.reader(text.splitlines())
    header = next(reader, [])
    if missing := [name for name in needed if name not in header]:
        raise ValueError(f"{path}:1: no column {', '.join(missing)}; found {name_some(header, 12) or 'an empty file'}")
    rows = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(header):
            raise ValueError(f"{path}:{reader.line_num}: found {len(cells)} cells, expected {len(header)}")
        rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    return rows


def match_samples(vcf: str | Path, labels: dict[str, int], path: str | Path) -> tuple[list[str], Counter[str]]:
    """The VCF's samples that have a label, in the VCF's order; and the number of samples that only one side has.

    Raises:
        ValueError: no sample has a label.
    """
    samples = vcf_samples(vcf)
    both = [sample for sample in samples if sample in labels]
    if not both:
        raise ValueError(f"{path}: none of its samples ({name_some(labels)}) is in {vcf} ({name_some(samples)})")
    only = {NOT_IN_VCF: len(labels) - len(both), NOT_IN_LABELS: len(samples) - len(both)}
    return both, Counter({reason: number for reason, number in only.items() if number})


@dataclass
class Burdens:
    """What [`person_burdens`] returns; arrays have one value a person, in the VCF's order.

    Attributes:
        sample: names.
        burden: sum of the predicted effects over a person's alternate alleles (homozygous ones count twice), float64.
        alleles: how many alternate alleles are in that sum, int64.
        not_called: variants with a prediction for which the person has no genotype, int64.
        label: 1 = case, 0 = control, -1 = not in the label table; None without one.
        auroc: area under the ROC curve of the burden for cases against controls, and the ends of its 95 % interval
            from a bootstrap over persons; None without labels.
        counts: variants, and what became of them.
    """

    sample: list[str]
    burden: np.ndarray
    alleles: np.ndarray
    not_called: np.ndarray
    label: np.ndarray | None
    auroc: tuple[float, float, float] | None
    counts: dict[str, Any]

    def save(self, path: str | Path) -> None:
        """Write the table as CSV: sample, burden, alleles, not_called and, with labels, label."""
        columns: dict[str, Any] = {"sample": self.sample, "burden": self.burden, "alleles": self.alleles}
        columns["not_called"] = self.not_called
        if self.label is not None:
            columns["label"] = [{0: CONTROL, 1: CASE}.get(int(label), "") for label in self.label]
        with written_whole(Path(path)) as stream:
            lines = [",".join(columns), *(",".join(map(_cell, row)) for row in zip(*columns.values(), strict=True))]
            stream.write(("\n".join(lines) + "\n").encode())


def person_burdens(
    predictions: str | Path,
    vcf: str | Path,
    sample_labels: str | Path | None = None,
    *,
    effect_column: str = "prediction",
    genome: str | Path | None = None,
    seed: int = 0,
) -> Burdens:
    """The burden of each person: predicted effects of variants, summed over the person's alternate alleles.

    As the GeneBERT paper does for the non-coding variants of a person. Alleles that are not called count nothing, and
    are reported beside each sum.

    Args:
        predictions: CSV with the columns `chrom`, `pos` (1-based), `ref`, `alt` and `effect_column`, as
            `examples/predict.py` writes it for a VCF. Chromosomes may be named `chr1` here and `1` in the VCF.
        vcf: the persons' genotypes: VCF with several samples.
        sample_labels: CSV with the columns `sample` and `label`: see `read_sample_labels`.
        effect_column: column of the predictions that is summed: `prediction` of a model of values, `probability_...`
            of a model of classes.
        genome: FASTA or 2bit file: variants whose REF differs from it are skipped, and counted.
        seed: of the bootstrap.

    Raises:
        ValueError: bad input; or the VCF has none of the variants that were predicted.
    """
    effects = _read_effects(predictions, effect_column)
    labels = None if sample_labels is None else read_sample_labels(sample_labels)
    samples = vcf_samples(vcf)
    counts = VcfCounts()
    burden = np.zeros(len(samples))
    alleles, not_called = np.zeros(len(samples), dtype=np.int64), np.zeros(len(samples), dtype=np.int64)
    used: set[tuple[str, int, str, str]] = set()
    without_prediction = repeated = 0
    for variant in read_vcf(vcf, None if genome is None else Genome(genome), counts, genotypes=True):
        key = _key(variant.chrom, variant.position + 1, variant.ref, variant.alt)
        if key in used:
            repeated += 1
            continue
        if key not in effects:
            without_prediction += 1
            continue
        used.add(key)
        assert variant.copies is not None
        copies = np.maximum(variant.copies, 0)
        burden += copies * effects[key]
        alleles += copies
        not_called += variant.copies < 0
    if not used:
        raise ValueError(
            f"{vcf}: none of its {counts.variants} variants is among the {len(effects)} of {predictions}; give the "
            f"predictions that were made from this VCF{counts.reasons()}"
        )
    report = {
        **counts.as_dict(),
        "variants_summed": len(used),
        "variants_without_prediction": without_prediction,
        "variants_repeated": repeated,
        "predictions_not_in_vcf": len(effects) - len(used),
    }
    label, auroc = None, None
    if labels is not None:
        assert sample_labels is not None
        report["samples"] = dict(match_samples(vcf, labels, sample_labels)[1])
        label = np.array([labels.get(sample, -1) for sample in samples])
        auroc = _auroc(burden[label >= 0], label[label >= 0], seed, sample_labels)
    return Burdens(samples, burden, alleles, not_called, label, auroc, report)


def _auroc(burden: np.ndarray, label: np.ndarray, seed: int, path: str | Path) -> tuple[float, float, float]:
    if len(np.unique(label)) < 2:
        raise ValueError(f"{path}: the VCF has samples of one class only, expected cases and controls")
    low, high = block_bootstrap(np.arange(len(label)), weighted_auroc, burden, label, rng=np.random.default_rng(seed))
    return weighted_auroc(np.ones(len(label)), burden, label), low, high


def _read_effects(path: str | Path, effect_column: str) -> dict[tuple[str, int, str, str], float]:
    effects: dict[tuple[str, int, str, str], float] = {}
    for number, row in read_csv(path, ("chrom", "pos", "ref", "alt", effect_column)):
        try:
            key = _key(row["chrom"], int(row["pos"]), row["ref"].upper(), row["alt"].upper())
            effect = float(row[effect_column])
        except ValueError:
            raise ValueError(
                f"{path}:{number}: found pos {row['pos']!r} and {effect_column} {row[effect_column]!r}, expected a "
                "whole number and a number; of a model of classes, choose a column of probabilities"
            ) from None
        if effects.setdefault(key, effect) != effect:
            raise ValueError(f"{path}:{number}: variant {'-'.join(map(str, key))} comes with two predictions")
    return effects


def _key(chrom: str, pos: int, ref: str, alt: str) -> tuple[str, int, str, str]:
    return chrom.removeprefix("chr"), pos, ref, alt


def _cell(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
