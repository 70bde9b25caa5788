"""TF binding in a simulated atlas: the tables of `benchmarks/unseen_cell_types.py`, and its opponents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from hub_datasets.atac_seq.evaluation import weighted_auroc
from hub_datasets.simulated_atlas import AccessibilityOracle, simulate_atlas
from hub_datasets.task_card import TaskCard
from hub_datasets.task_tables import CONTEXT, write_task_dataset
from hub_datasets.tf_binding_sites import build_tf_binding_sites
from modeling_genebert import MotifBank
from modeling_genebert.dna_genebert import encode_dna


@dataclass
class Simulated:
    """The simulated atlas with the tables of all arms.

    Attributes:
        folder: data set with the configs `tiles`, `context`, `shuffled` and `regions`.
        atlas: what `simulate_atlas` wrote.
    """

    folder: Path
    atlas: Path

    @property
    def motifs(self) -> Path:
        return self.atlas / "motifs.safetensors"

    def rows(self, config: str, split: str) -> Any:
        return datasets.load_dataset(str(self.folder), config, split=split)

    def labels(self, split: str) -> np.ndarray:
        """1 where a TF is bound, int64 of shape `(rows, TFs)`."""
        rows = self.rows("context", split)
        labels = np.zeros((len(rows), len(rows.features["label"].feature.names)), dtype=np.int64)
        for row, holds in enumerate(rows["label"]):
            labels[row, holds] = 1
        return labels

    def own_regions(self, split: str) -> np.ndarray:
        """The region of each row, `(rows,)`."""
        rows = self.rows("context", split)
        return np.array([ids[anchor] for ids, anchor in zip(rows["region_ids"], rows["anchor"], strict=True)])

    def oracle_scores(self) -> np.ndarray:
        """The simulator's own scores of the rows of the test, `(rows, TFs)`."""
        rows, sequences = self.rows("context", "test"), self.rows("regions", "train")["sequence"]
        oracle = AccessibilityOracle.load(self.atlas)
        logits = oracle.binding_logits([sequences[region] for region in self.own_regions("test")])
        cell_types = np.array([oracle.cell_types.index(name) for name in rows["cell_type"]])
        tfs = [oracle.tf_names.index(name) for name in rows.features["label"].feature.names]
        return logits[np.arange(len(rows))[:, None], tfs, cell_types[:, None]]

    def tree_scores(self, config: str, seed: int) -> np.ndarray:
        """Log-odds of boosted trees for the rows of the test, `(rows, TFs)`.

        For each TF they see the motif scores of the region; and of the context the region's accessibility, the number
        of the other regions, and the TF's mean score in these.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        bank = MotifBank.load(self.motifs)
        sequences = self.rows("regions", "train")["sequence"]
        scores = bank.score(encode_dna("".join(sequences)).reshape(len(sequences), -1))[:, :, 0]
        motifs = [bank.names.index(name) for name in self.rows("context", "test").features["label"].feature.names]

        def features(split: str) -> tuple[np.ndarray, np.ndarray]:
            """What the trees of all TFs see, `(rows, features)`; and the TFs' mean scores around, `(rows, TFs)`."""
            own = scores[self.own_regions(split)]
            if config == "tiles":
                return own, np.empty((len(own), 0))
            rows = self.rows(config, split)
            others = [np.delete(ids, at) for ids, at in zip(rows["region_ids"], rows["anchor"], strict=True)]
            open_here = [values[at] for values, at in zip(rows["accessibility"], rows["anchor"], strict=True)]
            around = [scores[ids][:, motifs].mean(axis=0) if len(ids) else [np.nan] * len(motifs) for ids in others]
            return np.column_stack([own, open_here, [len(ids) for ids in others]]), np.array(around)

        labels = self.labels("train")
        (train, train_around), (test, test_around) = features("train"), features("test")
        predicted = []
        for tf in range(len(motifs)):
            trees = HistGradientBoostingClassifier(max_iter=60, max_leaf_nodes=15, random_state=seed)
            trees.fit(np.column_stack([train, train_around[:, tf : tf + 1]]), labels[:, tf])
            predicted.append(trees.decision_function(np.column_stack([test, test_around[:, tf : tf + 1]])))
        return np.stack(predicted, axis=1)


def simulate(
    work_dir: Path,
    simulation: dict[str, Any],
    num_regions: int,
    held_out: tuple[str, ...],
    validation: tuple[str, ...],
    test: tuple[str, ...],
) -> Simulated:
    """Make the atlas and the tables, unless they are there."""
    atlas, built, folder = work_dir / "atlas", work_dir / "tf_binding_sites", work_dir / "simulated"
    if not atlas.exists():
        simulate_atlas(atlas, **simulation)
    if not built.exists():
        build_tf_binding_sites(
            chip_seq=atlas / "tf_binding",
            genome=atlas / "genome.fa",
            atac_seq_peaks=atlas / "peaks",
            output_dir=built,
            num_regions=num_regions,
            validation_chromosomes=validation,
            test_chromosomes=test,
            held_out_cell_types=held_out,
        )
    if not folder.exists():
        rows: Any = datasets.load_dataset(str(built), "multi_label")
        regions: Any = datasets.load_dataset(str(built), "regions")
        # split -> its rows, and rows of other cell types in the same regions, which lend theirs
        lenders = {
            "train": (rows["train"], rows["train"]),
            "validation": (rows["validation"], rows["validation"]),
            "test": (
                rows["test_unseen_cell_types"],
                datasets.concatenate_datasets([rows["test_unseen_cell_types"], rows["test"]]),
            ),
        }
        tables: dict[str, dict[str, datasets.Dataset]] = {"tiles": {}, "context": {}, "shuffled": {}}
        for number, (split, (own, lender)) in enumerate(lenders.items()):
            tables["tiles"][split] = own.remove_columns(list(CONTEXT[1:]))
            tables["context"][split] = own
            tables["shuffled"][split] = with_borrowed_context(own, lender, np.random.default_rng(number))
        write_tables(folder, {**tables, "regions": dict(regions)}, "TF binding in unseen cell types, simulated")
    return Simulated(folder, atlas)


def with_borrowed_context(
    own: datasets.Dataset, lender: datasets.Dataset, rng: np.random.Generator
) -> datasets.Dataset:
    """`own` with the context that a random other cell type has in the same region.

    Args:
        own, lender: rows of cell type after cell type, each in the same regions; `lender` begins with all of `own`.
        rng: of the choice.
    """
    num_regions = len(own) // len(own.unique("cell_type"))
    num_cell_types = len(lender) // num_regions
    cell_type, region = np.divmod(np.arange(len(own)), num_regions)
    other = (cell_type + rng.integers(1, num_cell_types, size=len(own))) % num_cell_types
    borrowed = lender.with_format("arrow")[other * num_regions + region]
    kept = own.with_format("arrow")[:]
    columns = {name: (borrowed if name in CONTEXT[1:] else kept)[name] for name in own.column_names}
    return datasets.Dataset.from_dict(columns, own.features)


def macro_auroc(weights: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the labels that have both classes, of arrays of shape `(rows, labels)`."""
    each = [weighted_auroc(weights, scores[:, label], labels[:, label]) for label in range(labels.shape[1])]
    return float(np.nanmean(each))


def write_tables(folder: Path, tables: dict[str, dict[str, datasets.Dataset]], title: str) -> None:
    """Write tables, config -> split -> rows, as a data set."""
    card = TaskCard(
        pretty_name=title,
        summary="Made by `benchmarks/unseen_cell_types.py`, which says what it is.",
        task_categories=["text-classification"],
        labels={},
        splits="By chromosome and cell type.",
    )
    write_task_dataset(
        folder,
        tables,
        card,
        {"builder": "unseen_cell_types", "options": {}, "inputs": {}, "skipped": {}},
        overwrite=True,
    )
