"""Evaluate a pre-trained model on held-out windows, with intervals from a bootstrap over 200-kb blocks.

Figures are named `{cell types}_{task}[_{negatives}]_{columns}_{metric}`, for example
`seen_srm_other_cell_type_hidden_auroc`: cell types that took part in training, matrices of another cell type as
negatives, columns of the anchor and the next region hidden. Negatives of SRM are `other_locus`, `like_gc_locus` (an
other locus whose anchor is of like GC) and `other_cell_type`. MGM is evaluated with these columns hidden. The AUROC of
SRM is given for each cell type, too: `cell_type_{name}_srm_{negatives}_{columns}_auroc`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from modeling_genebert.data_collator_genebert import GeneBertDataCollatorForPreTraining
from modeling_genebert.dna_genebert import UNKNOWN_BASE
from modeling_genebert.masking_genebert import hidden_base_probabilities
from modeling_genebert.pairing_genebert import (
    PairingPlan,
    WindowTable,
    mgm_evaluation_plan,
    next_region_partners,
    ngsp_evaluation_plan,
    other_cell_type_partners,
    other_locus_partners,
    srm_evaluation_plan,
)

from .reader import UNSEEN_SUFFIX, AtacSeqSet, MappedRows, PreTrainingDataset


BLOCK = 200_000  # bp
NUM_RESAMPLES = 400


@dataclass
class EvaluationSettings:
    """
    Args:
        seed (`int`): decides pairs and masks; the same seed gives the same examples.
        segment_length (`int`): in bp.
        batch_size (`int`): examples a forward pass.
        max_windows (`int`, *optional*): at most so many windows a figure; each is shown as positive and negative.
        intervals (`bool`, defaults to `True`): add `_low` and `_high`, the 95 % interval of the block bootstrap.
        tasks (`tuple[str, ...]`, defaults to all): which of `mgm`, `ngsp` and `srm`.
        by_cell_type (`bool`, defaults to `True`): add the AUROC of SRM for each cell type.
    """

    seed: int = 0
    segment_length: int = 256
    batch_size: int = 32
    max_windows: int | None = None
    intervals: bool = True
    tasks: tuple[str, ...] = ("mgm", "ngsp", "srm")
    by_cell_type: bool = True


class ContextModel:
    """
    The opponents of masked genome modelling: base composition, and a model of the bases on both sides.

    Counted on training segments: how often each base stands at a distance of `left` and `right` bp (1 to 6) from
    three given bases before and three given bases after it. A base further from what is visible falls back on the
    composition.
    """

    MAX_DISTANCE, FLANK = 6, 3

    def __init__(self, segments: np.ndarray):
        counts = np.bincount(segments.ravel(), minlength=5)[:4].astype(float)
        self.composition = counts / counts.sum()
        self.tables = {}
        flank = self._flank_codes(segments)
        length = segments.shape[1]
        for left in range(1, self.MAX_DISTANCE + 1):
            for right in range(1, self.MAX_DISTANCE + 1):
                positions = np.arange(left + self.FLANK - 1, length - right - self.FLANK + 1)
                before = flank[:, positions - left - self.FLANK + 1]
                after = flank[:, positions + right]
                base = segments[:, positions]
                known = (before >= 0) & (after >= 0) & (base != UNKNOWN_BASE)
                index = ((before << 6) | after)[known] * 4 + base[known]
                table = np.bincount(index, minlength=4**7).reshape(-1, 4) + self.composition
                self.tables[left, right] = table.argmax(axis=1)

    def _flank_codes(self, segments: np.ndarray) -> np.ndarray:
        """Code of the three bases that start at each position, -1 where one is unknown."""
        windows = np.lib.stride_tricks.sliding_window_view(segments, self.FLANK, axis=1).astype(np.int64)
        codes = windows[..., 0] << 4 | windows[..., 1] << 2 | windows[..., 2]
        return np.where((windows == UNKNOWN_BASE).any(axis=-1), -1, codes)

    def predict(self, segments: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """Most likely base at each position of `hidden` (bool, as `segments`), from the bases that are not hidden."""
        visible = np.where(hidden, UNKNOWN_BASE, segments)
        flank = self._flank_codes(visible)
        positions = np.broadcast_to(np.arange(segments.shape[1]), segments.shape)
        seen = visible != UNKNOWN_BASE
        before = np.maximum.accumulate(np.where(seen, positions, -1000), axis=1)
        after = np.minimum.accumulate(np.where(seen, positions, 10**6)[:, ::-1], axis=1)[:, ::-1]
        result = np.full(segments.shape, self.composition.argmax())
        for row, position in zip(*np.nonzero(hidden), strict=True):
            left, right = position - before[row, position], after[row, position] - position
            if (left, right) not in self.tables:
                continue
            start = position - left - self.FLANK + 1
            if start < 0 or position + right + self.FLANK > segments.shape[1]:
                continue
            codes = flank[row, start], flank[row, position + right]
            if min(codes) >= 0:
                result[row, position] = self.tables[left, right][codes[0] << 6 | codes[1]]
        return result


def evaluate_pretraining(
    model: torch.nn.Module,
    collator: GeneBertDataCollatorForPreTraining,
    atac: AtacSeqSet,
    split: str = "validation",
    settings: EvaluationSettings | None = None,
    show_progress: bool = True,
) -> dict[str, float]:
    """
    All figures of one split: MGM, NGSP and SRM, for cell types seen and (where the set has them) not seen in training.

    Negatives are made within the split. A pair of which one cell type is unseen counts as unseen, so that within
    each group every matrix is a positive as often as a negative. For the same reason the figures of one cell type are
    those of all pairs that it has a part in (where it was seen in training: with others that were).
    Where `torch.distributed` is initialised, all processes must call this: they share the examples, and each gets all
    figures.

    Args:
        model (`GeneBertForPreTraining`): its dtype and device are used as they are.
        collator (`GeneBertDataCollatorForPreTraining`): masks and lays out.
        atac (`AtacSeqSet`): the built set.
        split (`str`, defaults to `"validation"`): held-out chromosomes; `"train"`: those that were trained on.
        settings (`EvaluationSettings`, *optional*): see there.
        show_progress (`bool`, defaults to `True`): show a progress bar.

    Returns:
        figure name -> value; `_examples` and `_blocks` say on how much a figure stands.
    """
    settings = settings or EvaluationSettings()
    train_windows, _ = atac.windows("train")
    windows, region_ids = atac.windows(split, split + UNSEEN_SUFFIX)
    seen_types = np.unique(train_windows.cell_type)
    unseen_window = ~np.isin(windows.cell_type, seen_types)
    evaluation = _Evaluation(model, collator, atac, windows, region_ids, settings)

    partners = {
        ("ngsp", ""): next_region_partners(windows, evaluation.rng("ngsp")),
        ("srm", "other_locus_"): other_locus_partners(windows, evaluation.rng("other_locus")),
        ("srm", "like_gc_locus_"): other_locus_partners(windows, evaluation.rng("like_gc_locus"), like_gc=True),
        ("srm", "other_cell_type_"): other_cell_type_partners(windows, evaluation.rng("other_cell_type")),
    }
    partners = {(task, kind): partner for (task, kind), partner in partners.items() if task in settings.tasks}
    jobs: list[tuple[str, str, str, PairingPlan]] = []
    for group in ("seen", "unseen"):
        rows = np.flatnonzero(unseen_window == (group == "unseen"))
        if len(rows) and "mgm" in settings.tasks:
            in_group = _subset(windows, rows)
            plan = mgm_evaluation_plan(in_group, evaluation.rng("mgm"))
            plan.row = plan.matrix_row = rows[plan.row]
            jobs.append((group, "mgm", "", evaluation.limit(plan)))
        for (task, kind), partner in partners.items():
            pair_is_unseen = unseen_window | ((partner >= 0) & unseen_window[partner])
            rows = np.flatnonzero((partner >= 0) & (pair_is_unseen == (group == "unseen")))
            if not len(rows):
                continue
            rows = np.sort(evaluation.rng(task + kind).permutation(rows)[: settings.max_windows])
            for columns in ("visible", "hidden"):
                make_plan = ngsp_evaluation_plan if task == "ngsp" else srm_evaluation_plan
                plan = make_plan(windows, partner, hidden=columns == "hidden", rows=rows)
                jobs.append((group, task, f"{kind}{columns}", plan))

    figures: dict[str, float] = {}
    total = sum(len(plan) for *_, plan in jobs)
    with tqdm(total=total, desc="Evaluating", unit="example", disable=None if show_progress else True) as progress:
        for group, task, kind, plan in jobs:
            if task == "mgm":
                figures |= evaluation.masked_genome_modelling(f"{group}_mgm", plan, train_windows, progress)
                continue
            score = evaluation.scores(task, plan, progress)
            figures |= evaluation.pairs(f"{group}_{task}_{kind}", task, plan, score)
            if task == "srm" and settings.by_cell_type:
                partner = partners["srm", kind.removesuffix("visible").removesuffix("hidden")]
                cell_types = np.unique(windows.cell_type[unseen_window == (group == "unseen")])
                figures |= evaluation.by_cell_type(f"srm_{kind}", plan, partner, score, cell_types)
    return figures


class _Evaluation:
    def __init__(
        self,
        model: torch.nn.Module,
        collator: GeneBertDataCollatorForPreTraining,
        atac: AtacSeqSet,
        windows: WindowTable,
        region_ids: MappedRows,
        settings: EvaluationSettings,
    ):
        self.model, self.collator, self.atac = model, collator, atac
        self.windows, self.region_ids, self.settings = windows, region_ids, settings
        self.num_processes, self.process_index = 1, 0
        if dist.is_initialized():
            self.num_processes, self.process_index = dist.get_world_size(), dist.get_rank()

    def rng(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.settings.seed, *name.encode()])

    def limit(self, plan: PairingPlan) -> PairingPlan:
        limit = self.settings.max_windows
        if limit is None or len(plan) <= limit:
            return plan
        return plan.take(np.sort(self.rng("limit").permutation(len(plan))[:limit]))

    def share(self, plan: PairingPlan) -> tuple[np.ndarray, int]:
        """
        The examples of a plan that this process evaluates, and how many of them count. All processes have equally
        many, since a sharded model needs all at once: where there are not enough, the last is repeated.
        """
        size = -(-len(plan) // self.num_processes)
        first = self.process_index * size
        return np.minimum(np.arange(first, first + size), len(plan) - 1), int(np.clip(len(plan) - first, 0, size))

    def gather(self, *arrays: np.ndarray) -> list[np.ndarray]:
        """The arrays of all processes, one after the other."""
        if self.num_processes == 1:
            return list(arrays)
        shares: list[Any] = [None] * self.num_processes
        dist.all_gather_object(shares, arrays)
        return [np.concatenate(parts) for parts in zip(*shares, strict=True)]

    def batches(self, plan: PairingPlan, progress: tqdm) -> Iterator[tuple[dict[str, torch.Tensor], Any]]:
        dataset = PreTrainingDataset(
            self.atac,
            self.windows,
            self.region_ids,
            plan,
            seed=self.settings.seed,
            segment_length=self.settings.segment_length,
        )
        # A generator of its own: evaluation must not move the RNG that training draws dropout from.
        loader = DataLoader(
            dataset,
            batch_size=self.settings.batch_size,
            collate_fn=self.collator,
            generator=torch.Generator(),
        )
        device = next(self.model.parameters()).device
        was_training = self.model.training
        self.model.eval()
        with torch.no_grad():
            for batch in loader:
                batch = {name: value.to(device) for name, value in batch.items()}
                inputs = {name: value for name, value in batch.items() if name != "hidden_bases"}
                yield batch, self.model(**inputs)
                progress.update(len(batch["srm_labels"]) * self.num_processes)
        self.model.train(was_training)

    def blocks(self, plan: PairingPlan) -> np.ndarray:
        centre = self.windows.region_centre[self.windows.anchor[plan.row]].astype(np.int64)
        return self.windows.chrom[plan.row].astype(np.int64) << 40 | centre // BLOCK

    def scores(self, task: str, plan: PairingPlan, progress: tqdm) -> np.ndarray:
        """How well each pair of a plan fits, by the head of SRM or NGSP: log-odds."""
        examples, count = self.share(plan)
        scores = []
        for _, output in self.batches(plan.take(examples), progress):
            logits = output[f"{task}_logits"].float()
            scores.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
        (score,) = self.gather(np.concatenate(scores)[:count])
        return score

    def pairs(self, name: str, task: str, plan: PairingPlan, score: np.ndarray) -> dict[str, float]:
        """AUROC, accuracy and loss of SRM or NGSP."""
        label = plan.ngsp_label if task == "ngsp" else plan.srm_label
        loss = np.logaddexp(0, np.where(label == 1, -score, score)).mean()
        blocks = self.blocks(plan)
        return {
            f"{name}_loss": float(loss),
            f"{name}_examples": len(plan),
            f"{name}_blocks": len(np.unique(blocks)),
            **self.figure(f"{name}_accuracy", blocks, _mean, ((score > 0) == label).astype(float)),
            **self.figure(f"{name}_auroc", blocks, weighted_auroc, score, label),
        }

    def by_cell_type(
        self, name: str, plan: PairingPlan, partner: np.ndarray, score: np.ndarray, cell_types: np.ndarray
    ) -> dict[str, float]:
        """AUROC of SRM for each of some cell types, over the pairs that it has a part in."""
        figures: dict[str, float] = {}
        blocks = self.blocks(plan)
        of_row, of_partner = (self.windows.cell_type[rows] for rows in (plan.row, partner[plan.row]))
        for cell_type in cell_types:
            chosen = (of_row == cell_type) | (of_partner == cell_type)
            if not chosen.any():
                continue
            figure_name = f"cell_type_{self.atac.cell_types[cell_type]}_{name}"
            figures[f"{figure_name}_examples"] = int(chosen.sum())
            figures |= self.figure(
                f"{figure_name}_auroc", blocks[chosen], weighted_auroc, score[chosen], plan.srm_label[chosen]
            )
        return figures

    def masked_genome_modelling(
        self, name: str, plan: PairingPlan, train_windows: WindowTable, progress: tqdm
    ) -> dict[str, float]:
        """MGM loss, and accuracy per hidden base beside that of the opponents on the identical bases."""
        token_losses, truth, predicted, segments, opponents = [], [], [], [], []
        regions, length = self.atac.regions, self.settings.segment_length
        context_model = ContextModel(regions.segments(np.unique(train_windows.anchor), length))
        kmer, stride = self.collator.kmer, self.collator.stride
        examples, count = self.share(plan)
        segment_ids = np.stack([self.windows.anchor[plan.row], np.maximum(plan.segment_b, 0)], axis=1)
        offset = 0
        for batch, output in self.batches(plan.take(examples), progress):
            labels, hidden = (batch[name][batch["sequence_rows"]] for name in ("labels", "hidden_bases"))
            rows = examples[offset : offset + len(labels)]
            counted = np.arange(offset, offset + len(labels)) < count
            offset += len(labels)
            true_codes = regions.segments(segment_ids[rows].ravel(), length)[:, : hidden.shape[2]]
            num_kmers = (hidden.shape[2] - kmer) // stride + 1
            segment_labels = labels.new_full((len(labels), 2, num_kmers), -100)
            segment_labels[:, 0] = labels[:, 1 : 1 + num_kmers]
            if labels.shape[1] > 2 + num_kmers:
                segment_labels[:, 1] = labels[:, 2 + num_kmers : 2 + 2 * num_kmers]
            # Both are in row-major order of the labels, so predictions stay in step.
            probabilities = hidden_base_probabilities(
                output.prediction_logits, segment_labels.flatten(0, 1), hidden.shape[2], kmer=kmer, stride=stride
            )
            is_label = labels != -100
            losses = cross_entropy(output.prediction_logits.float(), labels[is_label], reduction="none")
            token_losses.append(losses.cpu().numpy()[counted[is_label.nonzero()[:, 0].cpu().numpy()]])
            is_hidden = (hidden != -100).flatten(0, 1).cpu().numpy() & np.repeat(counted, 2)[:, None]
            predicted.append(probabilities.argmax(dim=-1).cpu().numpy()[is_hidden])
            truth.append(hidden.flatten(0, 1).cpu().numpy()[is_hidden])
            segments.append(np.repeat(rows, 2)[np.nonzero(is_hidden)[0]])
            opponents.append(context_model.predict(true_codes, is_hidden)[is_hidden])
        columns = (token_losses, truth, predicted, opponents, segments)
        loss, truth_array, predicted_array, opponent_array, example_array = self.gather(
            *(np.concatenate(column) for column in columns)
        )
        blocks = self.blocks(plan)[example_array]
        correct = {
            "hidden_base_accuracy": predicted_array == truth_array,
            "composition_accuracy": truth_array == context_model.composition.argmax(),
            "context_model_accuracy": opponent_array == truth_array,
        }
        figures: dict[str, float] = {
            f"{name}_loss": float(loss.mean()) if len(loss) else 0.0,
            f"{name}_examples": len(plan),
            f"{name}_hidden_bases": len(truth_array),
            f"{name}_blocks": len(np.unique(blocks)),
        }
        for metric, values in correct.items():
            figures |= self.figure(f"{name}_{metric}", blocks, _mean, values.astype(float))
        lead = correct["hidden_base_accuracy"].astype(float) - correct["composition_accuracy"]
        return figures | self.figure(f"{name}_lead_over_composition", blocks, _mean, lead)

    def figure(self, name: str, blocks: np.ndarray, metric: Callable[..., float], *values: np.ndarray) -> dict:
        result = {name: metric(np.ones(len(blocks)), *values)}
        if self.settings.intervals:
            low, high = block_bootstrap(blocks, metric, *values, rng=self.rng("bootstrap"))
            result |= {f"{name}_low": low, f"{name}_high": high}
        return result


def block_bootstrap(
    blocks: np.ndarray, metric: Callable[..., float], *values: np.ndarray, rng: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile interval of `metric(weights, *values)` when whole blocks are drawn with replacement."""
    _, block_of = np.unique(blocks, return_inverse=True)
    count = block_of.max() + 1
    draws = [
        metric(np.bincount(rng.integers(count, size=count), minlength=count)[block_of].astype(float), *values)
        for _ in range(NUM_RESAMPLES)
    ]
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def weighted_auroc(weights: np.ndarray, score: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve of weighted examples, ties counted half; NaN where a class is absent."""
    order = np.argsort(score, kind="stable")
    score, positive = score[order], (weights * (label == 1))[order]
    negative = (weights * (label == 0))[order]
    if not positive.sum() or not negative.sum():
        return float("nan")
    _, tie = np.unique(score, return_inverse=True)
    negative_at, positive_at = np.bincount(tie, negative), np.bincount(tie, positive)
    below = np.cumsum(negative_at) - negative_at
    return float((positive_at * (below + negative_at / 2)).sum() / (positive.sum() * negative.sum()))


def _mean(weights: np.ndarray, values: np.ndarray) -> float:
    return float((weights * values).sum() / weights.sum()) if weights.sum() else float("nan")


def _subset(windows: WindowTable, rows: np.ndarray) -> WindowTable:
    per_window = ("cell_type", "chrom", "start", "end", "anchor", "next_region")
    columns = {name: getattr(windows, name)[rows] for name in per_window}
    shared = ("region_centre", "region_gc", "region_closed")
    return WindowTable(**columns, **{name: getattr(windows, name) for name in shared})


__all__ = ["ContextModel", "EvaluationSettings", "block_bootstrap", "evaluate_pretraining", "weighted_auroc"]
