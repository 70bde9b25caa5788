"""Effects of variants on elements never trained on: GeneBERT beside ridge regression on motif changes, and a CNN.

    python -m benchmarks.disease_risk --mpra satMutMPRA_elements.tsv.gz --model_name_or_path CHECKPOINT ...
    python -m benchmarks.disease_risk --mpra satMutMPRA_elements.tsv.gz --arms motif_ridge cnn      # without GeneBERT

Saturation-mutagenesis MPRA (Kircher et al. 2019): every base of 29 promoters and enhancers changed to each other base,
and deleted; variants with at least 10 barcodes. Elements that overlap (repeats of one element) make a group. Each of the
21 groups is left out in turn, and its signed effects (log2) are predicted by models fitted on all others. What is fitted
are the effects divided by their standard deviation in the element, clipped at 3, mean over a group's repeats: the same
for all arms.

| arm | what it is |
|---|---|
| `genebert` | pooled features of GeneBERT, frozen, for both alleles, and the changes of the squared motif scores, under one linear head: see `disease_risk_genebert.py`. GeneBERT is one or more checkpoints (`--model_name_or_path`), such as those that `benchmarks.gue` trained to tell binding sites: data that the opponents do not have |
| `deep`, `wide` | the same head on GeneBERT's features alone, and on the motif scores alone |
| `finetuned` | `GeneBertForVariantEffect`, all of it trained on the effects by `examples/finetune.py`, from the first of the checkpoints: see `disease_risk_finetuned.py` |
| `finetuned_scratch` | the same model from scratch |
| `zero_shot` | no training on effects: the mean change of the checkpoints' log-odds (of binding); of checkpoints that classify nothing, the distance between the alleles in their features, which has no sign and is compared with the effect's size |
| `motif_ridge` | ridge regression on the changes of the best scores of all JASPAR motifs in 31 bp round the variant |
| `cnn` | two convolutions on the bases of 31 bp with either allele, both strands |
| `motif_sum` | no training: the sum of the changes of all motif scores (a site that is lost lowers expression) |

Penalties of the linear arms are chosen within the training groups. The windows of 31 bp, the clipped targets and the
squares of `wide` were chosen by looking at these same elements (in four folds of groups): their lead over
`motif_ridge`, which has the same windows and targets, is optimistic by that much.

Figures: `{arm}_pearson_{element}` and `{arm}_spearman_{element}`, mean over seeds; `{arm}_pearson`, the mean over groups
(a group counts once, by the mean of its elements), with `_low` and `_high`, the 95 % interval of a bootstrap over
groups; `genebert_minus_{arm}_pearson` likewise, paired. Elements of which few variants have an effect (p < 1e-5 in fewer
than 1 %), and the correlation between repeats of an element, a ceiling, are in the settings. Each arm, group and seed
leaves a file in `benchmarks/results/disease_risk/`, and is not run again as long as data and settings stay the same.
"""  # noqa: E501 (rows of a table)

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hub_datasets.disease_risk.mpra import MpraTable, read_mpra
from hub_datasets.files import sha256_of
from hub_datasets.vcf import allele_windows
from modeling_genebert import MotifBank

from .disease_risk_finetuned import WINDOW as FINETUNED_WINDOW
from .disease_risk_finetuned import fit_finetuned, training_settings
from .disease_risk_genebert import DEEP_SCALE, PENALTIES, WIDE_WINDOW, WINDOW, checksum, encode, is_classifier
from .disease_risk_opponents import CNN, RIDGE, LeaveOneGroupOutRidge, base_codes, fit_cnn, motif_scores
from .report import RESULTS, write_report


FINETUNED, FINETUNED_SCRATCH = "finetuned", "finetuned_scratch"
ARMS = ("genebert", "deep", "wide", FINETUNED, FINETUNED_SCRATCH, "zero_shot", "motif_ridge", "cnn", "motif_sum")
NEEDS_CHECKPOINT = {"genebert", "deep", "zero_shot", FINETUNED}
SEEDED = {"cnn", FINETUNED, FINETUNED_SCRATCH}
METRICS = ("pearson", "spearman")
MIN_BARCODES = 10
LARGEST_TARGET = 3.0  # standard deviations of an element's effects
NUM_RESAMPLES = 10_000
SIGNIFICANT, LITTLE_SIGNAL = 1e-5, 0.01  # p-value; share of an element's variants


@dataclass
class Variants:
    """The distinct variants of a table: repeats of an element have the same ones.

    Args:
        table: where they are from.
        first (`np.ndarray` of shape `(num_variants,)`): row of the table in which each comes first.
        variant_of_row (`np.ndarray` of shape `(num_rows,)`): number of the variant in each row.
        group (`np.ndarray` of shape `(num_variants,)`): str.
        target (`np.ndarray` of shape `(num_variants,)`): what is trained on, float32.
    """

    table: MpraTable
    first: np.ndarray
    variant_of_row: np.ndarray
    group: np.ndarray
    target: np.ndarray

    @classmethod
    def of(cls, table: MpraTable) -> Variants:
        group = table.group
        scaled = table.effect.copy()
        for element in table.elements:
            rows = table.element == element
            scaled[rows] /= table.effect[rows].std() or 1.0
        keys = list(zip(group, table.position.tolist(), table.ref, table.alt, strict=True))
        numbers: dict[Any, int] = {}
        variant_of_row = np.array([numbers.setdefault(key, len(numbers)) for key in keys])
        first = np.unique(variant_of_row, return_index=True)[1]
        target = np.bincount(variant_of_row, scaled) / np.bincount(variant_of_row)
        target = np.clip(target, -LARGEST_TARGET, LARGEST_TARGET).astype(np.float32)
        return cls(table, first, variant_of_row, group[first], target)

    def __len__(self) -> int:
        return len(self.first)

    def windows(self, width: int) -> Windows:
        """Windows of `width` bp round the variants, cut where their element ends."""
        wanted = set(self.first.tolist())
        pairs = [
            allele_windows(self.table, variant, width)[:2]
            for row, variant in enumerate(self.table.variants())
            if row in wanted
        ]
        numbers: dict[str, int] = {}
        places = [[numbers.setdefault(sequence, len(numbers)) for sequence in pair] for pair in pairs]
        reference, alternate = np.array(places).T
        return Windows(list(numbers), reference, alternate)


@dataclass
class Windows:
    """Distinct sequences, and of each variant the numbers of its reference and its alternate window among them."""

    sequences: list[str]
    reference: np.ndarray
    alternate: np.ndarray


def figures_of(variants: Variants, group: str, predicted: np.ndarray, unsigned: bool = False) -> dict[str, float]:
    """Correlation of effect and prediction in each element of a group.

    Args:
        variants: all of them.
        group: the group that was left out.
        predicted: of its variants, in their order.
        unsigned: compare with the size of the effect.
    """
    table = variants.table
    of_variant = np.full(len(variants), np.nan)
    of_variant[variants.group == group] = predicted
    figures: dict[str, float] = {}
    for element in sorted(name for name, each in table.elements.items() if each.group == group):
        rows = table.element == element
        effect = np.abs(table.effect[rows]) if unsigned else table.effect[rows]
        found = correlations(of_variant[variants.variant_of_row[rows]], effect)
        figures |= {f"{name}_{element}": value for name, value in found.items()}
    return figures


def correlations(predicted: np.ndarray, effect: np.ndarray) -> dict[str, float]:
    """Pearson's and Spearman's correlation; 0 where one side is constant."""
    from scipy.stats import rankdata

    def pearson(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a - a.mean(), b - b.mean()
        norm = float(np.sqrt((a @ a) * (b @ b)))
        return float(a @ b) / norm if norm > 0 else 0.0

    return {"pearson": pearson(predicted, effect), "spearman": pearson(rankdata(predicted), rankdata(effect))}


# What the table itself says


def elements_without_signal(table: MpraTable) -> dict[str, float]:
    """Elements of which few variants have an effect, and their share."""
    shares = {
        element: float((table.p_value[table.element == element] < SIGNIFICANT).mean()) for element in table.elements
    }
    return {element: round(share, 4) for element, share in shares.items() if share < LITTLE_SIGNAL}


def replicate_ceilings(table: MpraTable) -> dict[str, float]:
    """Pearson's correlation between the effects of two elements of one group: no model can do much better."""
    keys = list(zip(table.position.tolist(), table.ref, table.alt, strict=True))
    ceilings = {}
    names = sorted(table.elements)
    for number, one in enumerate(names):
        for other in names[number + 1 :]:
            if table.elements[one].group == table.elements[other].group:
                effects = [
                    {keys[row]: table.effect[row] for row in np.flatnonzero(table.element == name)}
                    for name in (one, other)
                ]
                shared = [key for key in effects[0] if key in effects[1]]
                pair = (np.array([effect[key] for key in shared]) for effect in effects)
                ceilings[f"{one} and {other}"] = round(correlations(*pair)["pearson"], 3)
    return ceilings


# Runs and their summary


def run_once(
    name: str, settings: dict[str, Any], folder: Path, run: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Figures of an arm, group and seed: from its result file if it has the same settings, else by running it."""
    file = folder / f"{name}.json"
    settings = json.loads(json.dumps(settings))
    if file.is_file():
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["settings"] == settings:
            return result["figures"]
    start = time.perf_counter()
    figures = run()
    return write_report(name, {**figures, "seconds": time.perf_counter() - start}, settings, folder)["figures"]


def summarise(runs: dict[str, dict[str, list[dict[str, float]]]], ours: str = "genebert") -> dict[str, float]:
    """All figures of the report.

    Args:
        runs: arm -> group -> one dict of figures a seed, as `figures_of` gives them.
        ours: the arm that is compared with the others.
    """
    summary: dict[str, float] = {}
    by_group: dict[str, dict[str, np.ndarray]] = {}
    groups = list(next(iter(runs.values())))
    draws = np.random.default_rng(0).integers(len(groups), size=(NUM_RESAMPLES, len(groups)))
    for arm, of_group in runs.items():
        by_group[arm] = {}
        for metric in METRICS:
            values = []
            for group in groups:
                elements = [key for key in of_group[group][0] if key.startswith(metric)]
                means = {key: float(np.mean([figures[key] for figures in of_group[group]])) for key in elements}
                summary |= {f"{arm}_{key}": value for key, value in means.items()}
                values.append(np.mean(list(means.values())))
            by_group[arm][metric] = np.array(values)
            summary |= mean_over_groups(f"{arm}_{metric}", by_group[arm][metric], draws)
    for arm in runs:
        if arm != ours and ours in runs:
            for metric in METRICS:
                difference = by_group[ours][metric] - by_group[arm][metric]
                summary |= mean_over_groups(f"{ours}_minus_{arm}_{metric}", difference, draws)
    return summary


def mean_over_groups(name: str, values: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """Mean of one value a group, and its 95 % interval over `draws` of groups `(num_resamples, num_groups)`."""
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    return {name: float(values.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}


class Arms:
    """What the arms predict for a group that is left out. What all groups share is computed once.

    Args:
        variants ([`Variants`]): all of them.
        bank ([`MotifBank`]): the motifs.
        checkpoints (`list[str]`): GeneBERT.
        motifs (`str`): where the bank is from, for models from scratch.
    """

    def __init__(self, variants: Variants, bank: MotifBank, checkpoints: list[str], motifs: str):
        self.variants, self.bank, self.checkpoints, self.motifs = variants, bank, checkpoints, motifs

    @cached_property
    def scores(self) -> tuple[np.ndarray, np.ndarray]:
        """Motif scores of the reference and of the alternate windows, `(num_variants, num_motifs)` each."""
        windows = self.variants.windows(WIDE_WINDOW)
        scores = motif_scores(windows.sequences, self.bank)
        return scores[windows.reference], scores[windows.alternate]

    @cached_property
    def encoded(self) -> tuple[np.ndarray, np.ndarray]:
        """Changes of GeneBERT's features, `(num_variants, F)`; what it says with no training, `(num_variants,)`."""
        windows = self.variants.windows(WINDOW)
        return encode(self.checkpoints, windows.sequences, windows.reference, windows.alternate)

    @cached_property
    def motif_ridge_model(self) -> LeaveOneGroupOutRidge:
        reference, alternate = self.scores
        return self._ridge([alternate - reference], RIDGE["penalties"])

    @cached_property
    def wide_model(self) -> LeaveOneGroupOutRidge:
        reference, alternate = self.scores
        return self._ridge([alternate**2 - reference**2], PENALTIES)

    @cached_property
    def deep_model(self) -> LeaveOneGroupOutRidge:
        return self._ridge([self.encoded[0]], PENALTIES)

    @cached_property
    def genebert_model(self) -> LeaveOneGroupOutRidge:
        reference, alternate = self.scores
        return self._ridge([alternate**2 - reference**2, DEEP_SCALE * self.encoded[0]], PENALTIES)

    @cached_property
    def codes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        windows = self.variants.windows(int(CNN["width"]))
        return base_codes(windows.sequences)[0], windows.reference, windows.alternate

    @cached_property
    def finetuned_windows(self) -> Windows:
        return self.variants.windows(FINETUNED_WINDOW)

    def _ridge(self, blocks: list[np.ndarray], penalties: list[float]) -> LeaveOneGroupOutRidge:
        features = np.concatenate([blocks[0] / blocks[0].std(), *blocks[1:]], axis=1)
        return LeaveOneGroupOutRidge(features, self.variants.target, self.variants.group, penalties)

    def predict(self, arm: str, group: str, seed: int) -> tuple[np.ndarray, dict[str, float]]:
        """Predictions for the variants of a group, in their order; and the penalty, where one was chosen."""
        test = np.flatnonzero(self.variants.group == group)
        if arm == "motif_sum":
            reference, alternate = self.scores
            return (alternate[test] - reference[test]).sum(axis=1), {}
        if arm == "zero_shot":
            return self.encoded[1][test], {}
        if arm == "cnn":
            train = np.flatnonzero(self.variants.group != group)
            return fit_cnn(*self.codes, self.variants.target, train, test, seed), {}
        if arm in (FINETUNED, FINETUNED_SCRATCH):
            train = np.flatnonzero(self.variants.group != group)
            windows = self.finetuned_windows
            predicted = fit_finetuned(
                windows.sequences,
                windows.reference,
                windows.alternate,
                self.variants.target,
                train,
                test,
                seed,
                checkpoint=self.checkpoints[0] if arm == FINETUNED else None,
                motifs=self.motifs,
            )
            return predicted, {}
        predicted, penalty = getattr(self, f"{arm}_model").predict(group)
        return predicted, {"penalty": penalty}


def settings_of(arm: str) -> dict[str, Any]:
    """What decides an arm's result beside the data and the checkpoint."""
    head = {"wide_window": WIDE_WINDOW, "penalties": PENALTIES}
    return {
        "motif_sum": {"window": WIDE_WINDOW},
        "motif_ridge": RIDGE,
        "cnn": CNN,
        "wide": head,
        "deep": {"window": WINDOW, "penalties": PENALTIES},
        "genebert": {**head, "window": WINDOW, "deep_scale": DEEP_SCALE},
        "zero_shot": {"window": WINDOW},
        FINETUNED: {"window": FINETUNED_WINDOW, **training_settings(from_scratch=False)},
        FINETUNED_SCRATCH: {"window": FINETUNED_WINDOW, **training_settings(from_scratch=True)},
    }[arm]


def table_of(figures: dict[str, float], arms: list[str], elements: list[str]) -> str:
    """A Markdown table: a row for each element, then the means over groups with their intervals."""
    lines = [["element", *(f"{arm} {metric}" for arm in arms for metric in METRICS)]]
    lines.append(["---"] * len(lines[0]))
    for element in elements:
        values = [figures[f"{arm}_{metric}_{element}"] for arm in arms for metric in METRICS]
        lines.append([element, *(f"{value:.3f}" for value in values)])
    means = []
    for key in (f"{arm}_{metric}" for arm in arms for metric in METRICS):
        means.append(f"{figures[key]:.3f} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})")
    lines.append(["mean over groups", *means])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.disease_risk",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--mpra", required=True, help="effect table, as hub_datasets.disease_risk takes it")
    parser.add_argument("--release", default="GRCh37", help="genome build whose rows are used")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--groups", nargs="+", help="leave out these alone; all by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[42], help="of the CNN and of fine-tuning")
    parser.add_argument("--model_name_or_path", nargs="+", help="GeneBERT: one checkpoint, or several")
    parser.add_argument("--motifs", default="JASPAR2026", help="JASPAR release or motif file")
    parser.add_argument("--output_dir", type=Path, default=RESULTS, help="where the result files go")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    table = read_mpra(options.mpra, options.release, MIN_BARCODES)
    variants = Variants.of(table)
    groups = options.groups or sorted(set(variants.group.tolist()))
    bank = MotifBank.resolve(options.motifs)
    data = {"mpra": sha256_of(options.mpra), "release": options.release, "min_barcodes": MIN_BARCODES}
    data["motifs"] = bank.fingerprint
    needed = set(options.arms) & NEEDS_CHECKPOINT
    if needed and not options.model_name_or_path:
        parser.error(f"{' and '.join(sorted(needed))}: give --model_name_or_path, or other --arms")
    checkpoints = options.model_name_or_path if needed else []
    has_sign = any(is_classifier(checkpoint) for checkpoint in checkpoints)
    trained_on = {"checkpoints": [checksum(checkpoint) for checkpoint in checkpoints]}
    arms = Arms(variants, bank, checkpoints, options.motifs)
    runs: dict[str, dict[str, list[dict[str, float]]]] = {}
    for arm in options.arms:
        seeds = options.seeds if arm in SEEDED else [0]
        settings = {**data, **settings_of(arm), **(trained_on if arm in NEEDS_CHECKPOINT else {})}
        if arm == FINETUNED:
            settings["checkpoints"] = settings["checkpoints"][:1]
        runs[arm] = {group: [] for group in groups}
        for group in groups:
            for seed in seeds:

                def run(arm: str = arm, group: str = group, seed: int = seed) -> dict[str, float]:
                    predicted, chosen = arms.predict(arm, group, seed)
                    unsigned = arm == "zero_shot" and not has_sign
                    return {**figures_of(variants, group, predicted, unsigned), **chosen}

                name = f"{arm}_{group}_seed{seed}"
                figures = run_once(name, {**settings, "seed": seed}, options.output_dir / "disease_risk", run)
                runs[arm][group].append(figures)
    summary = summarise(runs)
    elements = sorted(name for name, element in table.elements.items() if element.group in groups)
    print(table_of(summary, options.arms, elements))
    settings = {
        **data,
        "arms": {arm: settings_of(arm) for arm in options.arms},
        "seeds": options.seeds,
        "groups": len(groups),
        "variants": len(variants),
        **trained_on,
        "elements_without_signal": elements_without_signal(table),
        "replicate_ceilings": replicate_ceilings(table),
    }
    write_report("disease_risk", summary, settings, options.output_dir)


if __name__ == "__main__":
    main()
