"""Build a data set of variants as a folder in the Hub's Parquet layout."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from datasets import ClassLabel, Features, List, Value

from ..downloads import fetch_source
from ..genome import Genome, name_some
from ..splits import SPLITS, drop_straddling_duplicates, split_by_chromosome
from ..task_card import TaskCard, public_source
from ..task_tables import describe_file, features_of, read_info, summary, write_task_dataset
from ..vcf import VcfCounts, allele_windows, read_vcf, vcf_samples
from .mpra import MpraTable, read_mpra
from .options import DiseaseRiskOptions
from .persons import CASE, CONTROL, match_samples, read_sample_labels
from .sources import SOURCES
from .variants import read_labelled_variants, variant_columns


Tables = dict[str, datasets.Dataset]
PLACED = ("alt_sequence", "chrom", "start", "end", "id")

_WINDOWS = (
    "Both windows begin at the same base of the genome and are of one length: after an insertion the alternate one "
    "ends earlier, after a deletion it is filled up on the right. `start` and `end` place the reference window. "
)


def build_disease_risk(
    *,
    output_dir: str | Path,
    vcf: str | Path | None = None,
    genome: str | Path | None = None,
    mpra: str | Path | None = None,
    sample_labels: str | Path | None = None,
    source: str | None = None,
    source_dir: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Build a data set of variants: from VCF + genome, from an MPRA effect table, or from persons' genotypes.

    | inputs | configs |
    |---|---|
    | `vcf`, `genome` | `variants`: both alleles' windows and a label from the INFO column |
    | `mpra` | `mpra`: both alleles' windows and the measured effect, log2 |
    | `vcf`, `genome`, `sample_labels` | `persons`: case or control, and genotypes; `variants`: the windows, no label |

    The folder appears whole or not at all. The same inputs always give the same bytes.

    Args:
        output_dir: the folder to write.
        vcf: VCF file (plain, gzip or bgzip).
        genome: FASTA file (plain, gzip or bgzip) or 2bit file: the one the variants were called on.
        mpra: effect table instead: see `read_mpra`.
        sample_labels: CSV with the columns `sample` and `label` (case or control): the VCF has genotypes of persons.
        source: name of a public VCF in `SOURCES` instead, downloaded into the cache of `datasets`; needs `genome` too.
        source_dir: a folder with the files of the public source; nothing is downloaded then.
        overwrite: replace a data set of variants.
        options: fields of [`DiseaseRiskOptions`].

    Returns:
        What is in `info.json`: options, checksums of the inputs, rows by split and label, what was skipped and why.

    Raises:
        ConnectionError: the public source cannot be downloaded.
        FileNotFoundError: an input does not exist.
        ValueError: bad input or options; `output_dir` holds something else.
    """
    settings = DiseaseRiskOptions(**options)
    given = {"vcf": vcf, "source": source, "mpra": mpra}
    if sum(value is not None for value in given.values()) != 1 or (mpra is None) != (genome is not None):
        raise ValueError(
            f"expected vcf and genome, source and genome, or mpra alone; found "
            f"{', '.join(name for name, value in {**given, 'genome': genome}.items() if value is not None) or 'none'}"
        )
    if sample_labels is not None and mpra is not None:
        raise ValueError("sample_labels belong to the genotypes of a vcf, found them with mpra")
    sources = []
    if source is not None:
        if source not in SOURCES:
            raise ValueError(f"source: no {source!r}; there is {', '.join(SOURCES)}")
        (vcf,) = fetch_source(SOURCES[source], source_dir).values()
        sources.append(public_source(SOURCES[source]))
    if mpra is not None:
        tables, card, info = _from_mpra(mpra, settings)
    else:
        assert vcf is not None and genome is not None
        if sample_labels is not None:
            tables, card, info = _from_persons(vcf, genome, sample_labels, settings)
        else:
            tables, card, info = _from_vcf(vcf, genome, settings)
    card.sources = sources
    info = {"builder": "disease_risk", "options": asdict(settings), **info}
    folder = write_task_dataset(output_dir, tables, card, info, overwrite)
    info = read_info(folder)
    print(summary(info))
    return info


def _from_vcf(
    vcf: str | Path, genome_file: str | Path, options: DiseaseRiskOptions
) -> tuple[dict[str, Tables], TaskCard, dict[str, Any]]:
    genome = Genome(genome_file)
    variants, labels, counts = read_labelled_variants(vcf, genome, options)
    columns = variant_columns(variants, genome, options.window_width, counts)
    columns["label"] = [labels[row] for row in columns.pop("row")]
    if options.regression:
        features = features_of("regression", optional=PLACED)
        meaning = {"label": f"the INFO field {options.label_field}"}
    else:
        values = options.label_of_value or {
            "Benign, Likely_benign": "benign",
            "Pathogenic, Likely_pathogenic": "pathogenic",
        }
        meaning = {
            label: f"{options.label_field} is " + ", ".join(value for value in values if values[value] == label)
            for label in dict.fromkeys(values.values())
        }
        features = features_of("single_label_classification", list(meaning), PLACED)
    splits = split_by_chromosome(columns["chrom"], options.validation_chromosomes, options.test_chromosomes)
    tables, dropped = _split(columns, splits, features)
    card = TaskCard(
        pretty_name="Variants and their effect",
        summary=f"Windows of {options.window_width} bp round the variants of a VCF, with each of the two alleles. "
        + _WINDOWS,
        task_categories=["text-classification"],
        tags=["variants"],
        labels=meaning,
        splits=_split_rule("chromosome", options.validation_chromosomes, options.test_chromosomes),
        negatives="" if options.regression else "None are made: every label is from the VCF.",
    )
    info = {
        "inputs": {"vcf": describe_file(vcf), "genome": describe_file(genome_file)},
        "skipped": {**counts.skipped, **dropped},
        "vcf": counts.as_dict(),
    }
    return {"variants": tables}, card, info


def _from_mpra(mpra: str | Path, options: DiseaseRiskOptions) -> tuple[dict[str, Tables], TaskCard, dict[str, Any]]:
    table = read_mpra(mpra, options.release, options.min_barcodes)
    validation = _groups(table, options.validation_elements, "validation_elements")
    test = _groups(table, options.test_elements, "test_elements")
    if both := sorted(set(validation) & set(test)):
        raise ValueError(
            f"validation_elements and test_elements: {both[0]} and what overlaps it is in both; choose one"
        )
    columns: dict[str, list[Any]] = {name: [] for name in ("sequence", *PLACED)}
    for variant in table.variants():
        element = table.elements[variant.chrom]
        sequence, alt_sequence, start, end = allele_windows(table, variant, options.window_width)
        place = (element.chrom, element.start + start, element.start + end)
        for name, value in zip(columns, (sequence, alt_sequence, *place, variant.id), strict=True):
            columns[name].append(value)
    groups = table.group
    group_names = sorted(set(groups.tolist()))
    columns |= {"label": table.effect.tolist(), "element": table.element.tolist(), "group": groups.tolist()}
    features = features_of("regression", optional=PLACED)
    features = Features({**features, "element": Value("string"), "group": Value("string")})
    tables, dropped = _split(columns, split_by_chromosome(groups, validation, test), features)
    card = TaskCard(
        pretty_name="Measured effects of variants on promoters and enhancers",
        summary=(
            f"Effects of variants in {len(table.elements)} elements, measured by saturation mutagenesis (Kircher et "
            f"al. 2019). Windows of {options.window_width} bp round each variant, cut where its element ends, with "
            f"each of the two alleles, of the forward strand of {options.release}. {_WINDOWS}`element` is the element "
            "that was measured, `group` the first, by alphabet, of those that overlap it: there are "
            f"{len(group_names)}."
        ),
        task_categories=["text-classification"],
        tags=["variants", "mpra"],
        labels={"label": "effect on the expression of the reporter, log2 of alternate to reference"},
        splits=_split_rule("element, each with all that overlap it", validation, test),
    )
    unknown = {name: each.sequence.count("N") for name, each in table.elements.items() if "N" in each.sequence}
    info = {
        "inputs": {"mpra": describe_file(mpra)},
        "skipped": {**table.skipped, **dropped},
        "unknown_bases": unknown,
        "groups": {group: sorted(set(table.element[groups == group].tolist())) for group in group_names},
    }
    return {"mpra": tables}, card, info


def _from_persons(
    vcf: str | Path, genome_file: str | Path, sample_labels: str | Path, options: DiseaseRiskOptions
) -> tuple[dict[str, Tables], TaskCard, dict[str, Any]]:
    if options.validation_chromosomes or options.test_chromosomes:
        raise ValueError(
            "validation_chromosomes and test_chromosomes: persons cannot be split by chromosome; leave out"
        )
    genome, counts = Genome(genome_file), VcfCounts()
    labels = read_sample_labels(sample_labels)
    samples, only = match_samples(vcf, labels, sample_labels)
    rows_of_vcf = np.flatnonzero(np.isin(vcf_samples(vcf), samples))
    found = list(read_vcf(vcf, genome, counts, genotypes=True, max_allele_length=options.window_width))
    counts.check_build(vcf, genome)
    if not found:
        raise ValueError(f"{vcf}: no variants in {counts.records} records{counts.reasons()}")
    columns = variant_columns(found, genome, options.window_width, counts)
    variants = [found[row] for row in columns.pop("row")]
    columns |= {"pos": [variant.position + 1 for variant in variants]}
    columns |= {"ref": [variant.ref for variant in variants], "alt": [variant.alt for variant in variants]}
    place = Features({"pos": Value("int32"), "ref": Value("string"), "alt": Value("string")})
    windows = features_of("regression", optional=PLACED)
    variant_features = Features({**{name: windows[name] for name in windows if name != "label"}, **place})
    copies = np.stack([variant.copies for variant in variants if variant.copies is not None])[:, rows_of_vcf]
    person_columns = {
        "id": samples,
        "label": [labels[sample] for sample in samples],
        "variant_rows": [np.flatnonzero(of_person > 0).tolist() for of_person in copies.T],
        "copies": [of_person[of_person > 0].tolist() for of_person in copies.T],
        "not_called": (copies < 0).sum(axis=0).tolist(),
    }
    person_features = Features(
        {
            "id": Value("string"),
            "label": ClassLabel(names=[CONTROL, CASE]),
            "variant_rows": List(Value("int32")),
            "copies": List(Value("int8")),
            "not_called": Value("int32"),
        }
    )
    card = TaskCard(
        pretty_name="Persons and their variants",
        summary=(
            f"{len(samples)} persons, cases and controls, with their genotypes. A row of `persons`: `variant_rows`, "
            "the rows of `variants` (from 0) of which the person has an alternate allele, `copies`, how many of each, "
            "and `not_called`, the number of variants without a genotype. `variants`: windows of "
            f"{options.window_width} bp with each of the two alleles, `pos` (1-based, as in a VCF), `ref` and `alt`. "
            + _WINDOWS
        ),
        task_categories=["text-classification"],
        tags=["variants", "genotypes"],
        labels={CONTROL: "a person without the disease", CASE: "a person with the disease"},
        splits="None: all persons and variants are in `train`. Choose by person.",
    )
    info = {
        "inputs": {
            name: describe_file(file)
            for name, file in {"vcf": vcf, "genome": genome_file, "sample_labels": sample_labels}.items()
        },
        "skipped": {**counts.skipped, **only},
        "vcf": counts.as_dict(),
    }
    persons = {"train": datasets.Dataset.from_dict(person_columns, features=person_features)}
    return (
        {
            "persons": persons,
            "variants": {"train": datasets.Dataset.from_dict(columns, features=variant_features)},
        },
        card,
        info,
    )


def _split(columns: dict[str, list[Any]], splits: np.ndarray, features: Features) -> tuple[Tables, dict[str, int]]:
    """Tables by split, of rows whose windows no two splits share; and the number of rows dropped by reason."""
    keep, dropped = drop_straddling_duplicates(
        columns["sequence"], splits, np.array(columns["chrom"]), np.array(columns["start"]), np.array(columns["end"])
    )
    table = datasets.Dataset.from_dict({name: columns[name] for name in features}, features=features)
    present = [split for split in SPLITS if (splits == split).any()]
    return {split: table.select(np.flatnonzero(keep & (splits == split))) for split in present}, dropped


def _groups(table: MpraTable, elements: list[str], option: str) -> list[str]:
    if unknown := [name for name in elements if name not in table.elements]:
        raise ValueError(f"{option}: no element {unknown[0]!r}; there is {name_some(table.elements, 40)}")
    return sorted({table.elements[name].group for name in elements})


def _split_rule(unit: str, validation: list[str], test: list[str]) -> str:
    return (
        f"By {unit}: validation {', '.join(validation) or 'none'}; test {', '.join(test) or 'none'}; training all "
        "others. A window that stands in two splits, on either strand, is left in one of them only."
    )
