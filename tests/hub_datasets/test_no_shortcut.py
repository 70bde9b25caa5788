"""No shortcut in the pre-training pairs: the label of SRM and NGSP is told by the fit of two things, never by one.

Readers of the sequence alone, of the matrix alone and of side features learn from the training plans of some
chromosomes and are asked about those of others. Labels are drawn afresh for each example and epoch, so that the
standard error of a reader's AUROC is that of coins: sqrt((P + N + 1) / (12 P N)). Of many figures one in twenty lies
outside of two standard errors by chance: it is asked again about pairs drawn anew, where chance does not repeat.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.evaluation import weighted_auroc
from hub_datasets.atac_seq.reader import AtacSeqSet, PreTrainingDataset
from hub_datasets.simulated_atlas import simulate_atlas
from modeling_genebert import GeneBertDataCollatorForPreTraining, GeneBertFeatureExtractor, training_plan
from modeling_genebert.dna_genebert import UNKNOWN_BASE, kmer_codes
from modeling_genebert.pairing_genebert import (
    next_region_partners,
    ngsp_evaluation_plan,
    other_cell_type_partners,
    other_locus_partners,
    srm_evaluation_plan,
)


EPOCHS = 5
ANCHOR = 15  # column of the anchor among 32
# Which examples a task asks about.
TASKS = {
    "srm": lambda data: data["srm_label"] >= 0,
    "srm other locus": lambda data: (data["srm_label"] >= 0) & data["has_b"],
    "srm other cell type": lambda data: (data["srm_label"] >= 0) & data["hard"],
    "srm self-tiled": lambda data: (data["srm_label"] >= 0) & data["tiled"],
    "ngsp": lambda data: data["ngsp_label"] >= 0,
}
VIEWS = ("segment A", "segment B", "matrix", "side")


@pytest.fixture(scope="module")
def atac(tmp_path_factory):
    folder = tmp_path_factory.mktemp("no_shortcut")
    atlas = simulate_atlas(
        folder / "atlas",
        num_chromosomes=16,
        chromosome_length=500_000,
        num_cell_types=6,
        num_motifs=32,
        num_variants=0,
    )
    build_atac_seq(
        genome=atlas / "genome.fa",
        peaks=atlas / "peaks",
        motifs=atlas / "motifs.safetensors",
        output_dir=folder / "set",
        validation_chromosomes=[f"chr{number}" for number in range(9, 17)],
    )
    return AtacSeqSet.load(folder / "set")


def shown(atac, split, plans):
    """What the model is shown of each example, as features of each view; and the labels."""
    windows, region_ids = atac.windows(split)
    collator = GeneBertDataCollatorForPreTraining(GeneBertFeatureExtractor(atac.motif_bank))
    parts = []
    for seed, plan in enumerate(plans):
        dataset = PreTrainingDataset(atac, windows, region_ids, plan, seed=seed)
        for start in range(0, len(plan), 256):
            examples = [dataset[index] for index in range(start, min(start + 256, len(plan)))]
            batch = as_examples_read_it({name: value.numpy() for name, value in collator(examples).items()})
            parts.append(batch_features(atac, examples, batch))
            parts[-1]["row"] = plan.row[start : start + 256]
            cell_type = windows.cell_type[plan.matrix_row[start : start + 256]]
            parts[-1]["side"] = np.column_stack([parts[-1]["side"], np.eye(len(atac.cell_types))[cell_type]])
    data = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    data["hard"] = ~data["has_b"] & ~data["tiled"] & (windows.next_region[data["row"]] >= 0)
    return data


def as_examples_read_it(batch):
    """What examples share is there for each of them."""
    of_sequences = ("input_ids", "attention_mask", "token_type_ids", "labels", "hidden_bases")
    rows = {name: batch["sequence_rows" if name in of_sequences else "region_rows"] for name in batch}
    of_examples = ("sequence_rows", "region_rows", "ngsp_labels", "srm_labels")
    return {name: value if name in of_examples else value[rows[name]] for name, value in batch.items()}


def batch_features(atac, examples, batch):
    values, mask = batch["region_values"].astype(np.float32), batch["region_mask"]
    has_b = (batch["token_type_ids"] == 1).any(axis=1)
    present = mask.sum(axis=1)
    scores, (accessibility, known, distance) = values[:, :-3], values[:, -3:].transpose(1, 0, 2)
    matrix = [
        scores.sum(axis=2) / present[:, None],
        scores.max(axis=2),
        scores[:, :, ANCHOR],
        scores[:, :, ANCHOR + 1],
        scores.mean(axis=1),
        accessibility,
        known,
        distance,
    ]
    segments = np.stack([example["segment_a"] for example in examples])
    seconds = np.stack([example["segment_a" if example["segment_b"] is None else "segment_b"] for example in examples])
    unknown = np.column_stack([(segments == UNKNOWN_BASE).sum(axis=1), (seconds == UNKNOWN_BASE).sum(axis=1)])
    hidden = np.column_stack(
        [(batch["labels"] != -100).sum(axis=1), (batch["hidden_bases"][:, 0] != -100).sum(axis=1)]
    )
    tokens = batch["attention_mask"].sum(axis=1)
    kind = np.column_stack([has_b, batch["region_context_ids"], present, tokens])
    return {
        "segment A": sequence_features(segments),
        "segment B": sequence_features(seconds),
        "matrix": np.column_stack(matrix),
        "side": np.column_stack([kind, mask, unknown, hidden, has_b[:, None] * mask[:, ANCHOR : ANCHOR + 4]]),
        "agreement": agreement(atac.motif_bank.score(segments)[:, :, 0], scores[:, :, ANCHOR]),
        "agreement of B": agreement(atac.motif_bank.score(seconds)[:, :, 0], scores[:, :, ANCHOR + 1]),
        "visible": mask[:, ANCHOR] == 1,
        "has_b": has_b,
        "tiled": batch["region_context_ids"] == 1,
        "srm_label": batch["srm_labels"],
        "ngsp_label": batch["ngsp_labels"],
    }


def sequence_features(codes):
    """Shares of the 3-mers, and of G and C."""
    ranks = kmer_codes(codes, 3)
    counts = np.stack([np.bincount(row[row >= 0], minlength=64) for row in ranks]) / ranks.shape[1]
    return np.column_stack([counts, (codes >= 2).mean(axis=1)])


def agreement(own, column):
    """Correlation of two profiles over the motifs, example by example."""
    own, column = (profile - profile.mean(axis=1, keepdims=True) for profile in (own, column))
    norm = np.sqrt((own**2).sum(axis=1) * (column**2).sum(axis=1))
    return (own * column).sum(axis=1) / np.maximum(norm, 1e-9)


def epochs_of(atac, split, seed, change=lambda plan, windows: plan):
    windows, _ = atac.windows(split)
    rngs = [np.random.default_rng([seed, epoch]) for epoch in range(EPOCHS)]
    return [change(training_plan(windows, rng, self_tiled_fraction=0.3), windows) for rng in rngs]


@pytest.fixture(scope="module")
def train(atac):
    return shown(atac, "train", epochs_of(atac, "train", seed=1))


@pytest.fixture(scope="module")
def held_out(atac):
    """Draws of the plans of the held-out chromosomes, by number."""
    return cache(lambda draw: shown(atac, "validation", epochs_of(atac, "validation", seed=2 + draw)))


def fit(train, task, view):
    """A linear reader and one of trees, as functions of features."""
    known = TASKS[task](train)
    labels = train["ngsp_label" if task == "ngsp" else "srm_label"][known]
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=200))
    trees = HistGradientBoostingClassifier(max_iter=40, max_leaf_nodes=15, random_state=0)
    return {
        "linear": linear.fit(train[view][known], labels).decision_function,
        "trees": trees.fit(train[view][known], labels).decision_function,
    }


def auroc_of(score, data, task, view):
    """AUROC of a reader, and its standard error if the label is a coin."""
    asked = TASKS[task](data)
    truth = data["ngsp_label" if task == "ngsp" else "srm_label"][asked]
    positives, negatives = (truth == 1).sum(), (truth == 0).sum()
    auroc = weighted_auroc(np.ones(len(truth)), score(data[view][asked]), truth)
    return auroc, np.sqrt((positives + negatives + 1) / (12 * positives * negatives))


FIGURES = [
    (task, view)
    for task in TASKS
    for view in VIEWS
    if view != "segment B" or task in ("ngsp", "srm other locus")  # elsewhere there is none
]


@pytest.mark.parametrize(("task", "view"), FIGURES)
def test_no_reader_of_one_thing_knows_the_label(train, held_out, task, view):
    for name, score in fit(train, task, view).items():
        auroc, error = auroc_of(score, held_out(0), task, view)
        print(f"{task}, {view}, {name}: AUROC {auroc:.4f}, standard error {error:.4f}")
        assert error < 0.01
        if abs(auroc - 0.5) >= 2 * error:
            auroc, error = auroc_of(score, held_out(1), task, view)
            print(f"{task}, {view}, {name}, asked again: AUROC {auroc:.4f}, standard error {error:.4f}")
        assert abs(auroc - 0.5) < 2 * error, name


def test_who_sees_sequence_and_matrix_knows(held_out):
    """The agreement of a segment's own motif scores with its column (A's with the anchor's, B's with the next one's),
    nothing learned."""
    data = held_out(0)
    for task, view in (
        ("srm other locus", "agreement"),
        ("srm other cell type", "agreement"),
        ("ngsp", "agreement of B"),
    ):
        for visible, low, high in ((True, 0.9, 1.0), (False, 0.45, 0.55)):
            chosen = {name: values[data["visible"] == visible] for name, values in data.items()}
            auroc, _ = auroc_of(lambda agreement: agreement, chosen, task, view)
            print(f"{task}, visible={visible}: AUROC {auroc:.4f}")
            assert low < auroc <= high


def negatives_of_their_own_making(plan, windows):
    """Pairs made without care: negatives come from where GC is high."""
    rng = np.random.default_rng(0)
    gc = windows.region_gc[windows.anchor]
    rich = rng.choice(np.flatnonzero(gc > np.median(gc)), size=len(plan))
    plan.matrix_row = np.where(plan.srm_label == 0, rich, plan.row)
    plan.segment_b = np.where(plan.ngsp_label == 0, windows.anchor[rich], plan.segment_b)
    return plan


def test_the_readers_would_notice(atac):
    train, held_out = (
        shown(atac, split, epochs_of(atac, split, seed, negatives_of_their_own_making)[:3])
        for split, seed in (("train", 1), ("validation", 2))
    )
    for task, view in (("srm other locus", "matrix"), ("srm self-tiled", "matrix"), ("ngsp", "segment B")):
        for name, score in fit(train, task, view).items():
            auroc, error = auroc_of(score, held_out, task, view)
            print(f"{task}, {view}, {name}: AUROC {auroc:.4f}, standard error {error:.4f}")
            assert auroc > 0.5 + 4 * error


@pytest.mark.parametrize("match", [other_locus_partners, other_cell_type_partners])
def test_in_evaluation_every_sequence_and_matrix_is_as_often_right_as_wrong(atac, match):
    windows, _ = atac.windows("validation")
    plan = srm_evaluation_plan(windows, match(windows, np.random.default_rng(0)), hidden=False)
    assert len(plan) > 1000
    rng = np.random.default_rng(0)
    for row in (plan.row, plan.matrix_row):
        any_score = rng.normal(size=len(windows))[row]
        assert weighted_auroc(np.ones(len(plan)), any_score, plan.srm_label) == pytest.approx(0.5, abs=1e-9)


def test_in_evaluation_every_next_region_is_as_often_right_as_wrong(atac):
    windows, _ = atac.windows("validation")
    plan = ngsp_evaluation_plan(windows, next_region_partners(windows, np.random.default_rng(0)), hidden=False)
    assert len(plan) > 1000
    rng = np.random.default_rng(0)
    for any_score in (
        rng.normal(size=len(windows))[plan.row],
        rng.normal(size=len(windows.region_gc))[plan.segment_b],
    ):
        assert weighted_auroc(np.ones(len(plan)), any_score, plan.ngsp_label) == pytest.approx(0.5, abs=1e-9)
