"""Prediction in cell types never seen: `python -m benchmarks.unseen_cell_types --data_dir DATA --work_dir WORK`.

Two parts, of one result file per arm, pair of held-out cell types and seed in `results/unseen_cell_types/`; what is
there is not made again, so that an interrupted run goes on. The last line is the report on all that is there.

**real**: is a consensus locus (500 bp) of blood ATAC-seq open or closed in a cell type that no training row is from,
on chromosomes that no training row is on? Training rows are all loci of the training chromosomes x the 11 other cell
types. What a model may see of the cell type is the window of 32 neighbouring loci, open and closed, with their motif
scores, accessibility and distance; never whether the locus itself is open: its own column says "not measured" and
holds its motif scores only, which follow from its sequence. Nothing is known of a cell type beyond the window.

| arm | sees |
|---|---|
| `mean` | in which share of the training cell types the locus is open: no model, and no sequence |
| `trees_sequence`, `genebert_sequence` | the locus's sequence (of it, motif scores) |
| `trees_context`, `genebert_context` | the same, and the window of the cell type |
| `trees_context_and_mean`, `genebert_context_and_mean` | the same, and the mean: of the other training cell types |

Figures are AUROCs with 95 % intervals from a bootstrap over blocks of 200 kb, and differences to `mean` on the same
draws. `known` loci are those open in one training cell type or more. The others entered the consensus because a
held-out cell type has a peak there, which the share of 0 betrays: over all loci `mean` is lower than it would be in
practice, and the arms that see it are trained and tested on known loci only.

**simulated**: which TFs bind in the consensus regions of a simulated atlas, in three cell types held out of twelve, on
held-out chromosomes. `tiles` reads the sequence and its motif scores, `context` also the open regions of the cell
type, `shuffled` those of another cell type, drawn for each row in training and test: what `context` gains over it
comes from the cell type. `trees_...` are boosted trees on the same, `oracle` is the simulator's own rule, which is
told the activities of all TFs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from benchmarks.report import RESULTS, write_report
from benchmarks.simulated_binding import Simulated, macro_auroc, simulate, write_tables
from hub_datasets.atac_seq.evaluation import BLOCK, block_bootstrap, weighted_auroc
from hub_datasets.files import written_whole
from hub_datasets.genome import Genome
from hub_datasets.task_tables import CONTEXT, REGION_FEATURES, features_of
from hub_datasets.tf_binding_sites.regions import AccessibleRegions, regions_of_peaks
from modeling_genebert import MotifBank
from modeling_genebert.dna_genebert import UNKNOWN_BASE, encode_dna


NAME = "unseen_cell_types"
PAIRS = (("Mono", "mDC"), ("CD4", "CD8"), ("HSC", "MPP"))
VALIDATION_CHROMOSOMES, TEST_CHROMOSOMES = ("chr9", "chr17"), ("chr20", "chr22")
NUM_REGIONS = 32
MAX_SPAN = 2_000_000  # bp
SEGMENT = 256  # bp of a locus's middle that the sequence encoder reads
DISTANCES = (5_000, 30_000, 200_000)  # bp, over which the trees' neighbours count less and less

REAL_ARMS = (
    "mean",
    "trees_sequence",
    "trees_context",
    "trees_context_and_mean",
    "genebert_sequence",
    "genebert_context",
    "genebert_context_and_mean",
)
SIMULATED_ARMS = ("oracle", "trees_tiles", "trees_context", "trees_shuffled", "tiles", "context", "shuffled")
SIMULATION: dict[str, Any] = {"num_chromosomes": 12, "num_cell_types": 12, "num_variants": 0}
SIMULATED_HELD_OUT = ("sim03", "sim07", "sim11")
SIMULATED_VALIDATION, SIMULATED_TEST = ("chr9",), ("chr10", "chr11", "chr12")

# One core trains an arm in three to six minutes: k-mers side by side, so that 256 bp are 42 tokens.
GENEBERT = {
    "kmer": 6,
    "stride": 6,
    "num_regions": NUM_REGIONS,
    "sequence_config": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128},
}
TRAINING: tuple[str, ...] = ("--per_device_train_batch_size", "64", "--learning_rate", "1e-3", "--warmup_steps", "50")
TRAINING += ("--weight_decay", "0.01", "--num_bootstrap", "0", "--report_to", "none", "--save_only_model", "True")
TRAINING += ("--reverse_complement_augmentation", "True", "--average_strands", "True", "--disable_tqdm", "True")


# Real: open or closed


@dataclass
class Loci:
    """The N consensus loci of all cell types, and the window of R loci round each (R = 32, its own among them).

    Attributes:
        regions: places, sequences, and accessibility `(N, C)`.
        scores: of one motif of each family, float32 `(N, M)`.
        neighbours: rows of the loci in each window, int64 `(N, R)`; the locus itself in column `OWN`.
        present: bool `(N, R)`.
        split: "train", "validation" or "test" by chromosome, `(N,)`.
        blocks: number of each locus's block of 200 kb, `(N,)`.
    """

    regions: AccessibleRegions
    scores: np.ndarray
    neighbours: np.ndarray
    present: np.ndarray
    split: np.ndarray
    blocks: np.ndarray

    @property
    def is_open(self) -> np.ndarray:
        """bool `(N, C)`."""
        return self.regions.accessibility != 0  # NaN too

    def columns(self, cell_types: tuple[str, ...]) -> list[int]:
        return [self.regions.cell_types.index(name) for name in cell_types]

    def training_columns(self, pair: tuple[str, ...]) -> list[int]:
        return [column for column, name in enumerate(self.regions.cell_types) if name not in pair]

    def mean_of_training(self, pair: tuple[str, ...], without: int | None = None) -> np.ndarray:
        """Share of the training cell types in which each locus is open, also without one of them."""
        columns = [column for column in self.training_columns(pair) if column != without]
        return self.is_open[:, columns].mean(axis=1)


OWN = NUM_REGIONS // 2 - 1


def motif_of_each_family(bank: MotifBank) -> MotifBank:
    """The motif of each family that can score most; the first of equals."""
    best: dict[str, int] = {}
    for row, family in enumerate(bank.families):
        if family not in best or bank.max_scores[row] > bank.max_scores[best[family]]:
            best[family] = row
    return bank.subset([bank.ids[row] for row in sorted(best.values())])


def read_loci(data_dir: Path, work_dir: Path, motifs: str = "JASPAR2026") -> Loci:
    """Consensus loci of the peaks in `data_dir`; writes the motif bank to `work_dir`."""
    peaks = data_dir / "blood_atac"
    cell_types = sorted(file.name.removesuffix(".narrowPeak.gz") for file in peaks.glob("*.narrowPeak.gz"))
    if not cell_types:
        raise FileNotFoundError(f"{peaks}: no files ending in .narrowPeak.gz, expected one for each cell type")
    genome = Genome(data_dir / "genome" / "hg19_pieces.fa.gz", unpacked=work_dir / "genome")
    regions = regions_of_peaks(peaks, genome, cell_types)
    bank = motif_of_each_family(MotifBank.resolve(motifs))
    bank.save(work_dir / "motifs.safetensors")
    codes = encode_dna("".join(regions.sequences)).reshape(len(regions), -1)
    return make_loci(regions, bank.score(codes)[:, :, 0], VALIDATION_CHROMOSOMES, TEST_CHROMOSOMES)


def make_loci(
    regions: AccessibleRegions, scores: np.ndarray, validation: tuple[str, ...], test: tuple[str, ...]
) -> Loci:
    """Loci with their windows, splits and blocks."""
    neighbours = np.arange(len(regions))[:, None] + np.arange(NUM_REGIONS) - OWN
    present = (neighbours >= 0) & (neighbours < len(regions))
    neighbours = np.where(present, neighbours, 0)
    present &= regions.chrom[neighbours] == regions.chrom[:, None]
    present &= 2 * np.abs(regions.start[neighbours] - regions.start[:, None]) <= MAX_SPAN
    names = regions.chrom_names
    split = np.where(np.isin(names, test), "test", np.where(np.isin(names, validation), "validation", "train"))
    blocks = regions.chrom.astype(np.int64) << 40 | regions.start // BLOCK
    return Loci(regions, scores, neighbours, present, split, blocks)


def sequence_features(loci: Loci) -> np.ndarray:
    """What the trees see of a sequence: motif scores, and shares of G and C, and of CpG: `(N, M + 2)`."""
    codes = encode_dna("".join(loci.regions.sequences)).reshape(len(loci.regions), -1)
    is_c, is_g = codes == 2, codes == 3
    known = np.maximum((codes != UNKNOWN_BASE).sum(axis=1), 1)
    cpg = (is_c[:, :-1] & is_g[:, 1:]).sum(axis=1) / known
    return np.column_stack([loci.scores, (is_c | is_g).sum(axis=1) / known, cpg])


def context_features(loci: Loci, column: int) -> np.ndarray:
    """What the trees see of a cell type: its window round each locus in numbers, without the locus's own column.

    For each of `DISTANCES` d, with weights exp(-distance / d): the sum of the weights of all loci and of the open
    ones, the share of the open ones, and their mean accessibility. Then the log10 of the distance to the nearest open
    locus on either side, and how well the locus's motif scores agree with what sets open from closed loci apart.
    """
    accessibility = np.nan_to_num(loci.regions.accessibility[:, column])
    others = loci.present.copy()
    others[:, OWN] = False
    is_open = loci.is_open[:, column][loci.neighbours] & others
    distance = loci.regions.start[loci.neighbours] - loci.regions.start[:, None]
    features = []
    for scale in DISTANCES:
        weights = np.exp(-np.abs(distance) / scale) * others
        total, open_total = weights.sum(axis=1), (weights * is_open).sum(axis=1)
        mean = (weights * is_open * accessibility[loci.neighbours]).sum(axis=1)
        features += [total, open_total, open_total / np.maximum(total, 1e-9), mean / np.maximum(total, 1e-9)]
    far = 2 * MAX_SPAN
    for side in (distance < 0, distance > 0):
        features.append(np.log10(1 + np.where(is_open & side, np.abs(distance), far).min(axis=1)))
    standard = (loci.scores - loci.scores.mean(axis=0)) / np.maximum(loci.scores.std(axis=0), 1e-6)
    is_closed = others & ~is_open
    agreement = np.empty(len(loci.regions))
    for row, neighbours in enumerate(loci.neighbours):
        opened, closed = standard[neighbours[is_open[row]]], standard[neighbours[is_closed[row]]]
        both = len(opened) > 1 and len(closed) > 1
        agreement[row] = (opened.mean(axis=0) - closed.mean(axis=0)) @ standard[row] if both else np.nan
    return np.column_stack([*features, agreement])


def mean_scores(loci: Loci, pair: tuple[str, ...]) -> dict[str, np.ndarray]:
    return {name: loci.mean_of_training(pair) for name in pair}


def tree_scores(loci: Loci, pair: tuple[str, ...], arm: str, seed: int) -> dict[str, np.ndarray]:
    """Boosted trees: cell type -> log-odds of all loci."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    with_context, with_mean = "context" in arm, "mean" in arm
    sequence = sequence_features(loci)

    def features(column: int, without: int | None) -> np.ndarray:
        parts = [sequence]
        parts += [context_features(loci, column)] if with_context else []
        parts += [loci.mean_of_training(pair, without)] if with_mean else []
        return np.column_stack(parts)

    inputs, labels = [], []
    for column in loci.training_columns(pair):
        rows = loci.split == "train"
        rows &= (loci.mean_of_training(pair, column) > 0) | (not with_mean)
        inputs.append(features(column, column)[rows])
        labels.append(loci.is_open[rows, column])
    trees = HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=100,
        l2_regularization=5.0,
        max_features=0.5,
        random_state=seed,
    )
    trees.fit(np.concatenate(inputs), np.concatenate(labels))
    return {name: trees.decision_function(features(loci.columns((name,))[0], None)) for name in pair}


def write_locus_tables(loci: Loci, pair: tuple[str, ...], folder: Path) -> None:
    """The rows of the GeneBERT arms as a data set: `sequence`, `context`, `context_and_mean`, and `regions`."""
    regions = loci.regions
    first = (regions.width - min(SEGMENT, regions.width)) // 2
    segments = [sequence[first : first + SEGMENT] for sequence in regions.sequences]
    tables: dict[str, dict[str, datasets.Dataset]] = {}
    for config in ("sequence", "context", "context_and_mean"):
        optional = ["chrom", "start", "end", *(("cell_type",) if config == "sequence" else CONTEXT)]
        features = features_of("single_label_classification", ["closed", "open"], optional)
        tables[config] = {}
        for split in ("train", "validation", "test"):
            parts = []
            for column in loci.columns(pair) if split == "test" else loci.training_columns(pair):
                mean = loci.mean_of_training(pair, column)  # a held-out cell type is not among them anyway
                rows = np.flatnonzero((loci.split == split) & ((mean > 0) | (config != "context_and_mean")))
                accessibility = regions.accessibility[:, column][loci.neighbours[rows]]
                accessibility[:, OWN] = mean[rows] if config == "context_and_mean" else np.nan
                present = loci.present[rows]
                offsets = pa.array(np.concatenate([[0], present.sum(axis=1).cumsum()]), pa.int32())
                values = pa.array(accessibility[present].astype(np.float32), from_pandas=False)
                ids = pa.array(loci.neighbours[rows][present].astype(np.int32))
                columns: dict[str, Any] = {
                    "sequence": [segments[row] for row in rows.tolist()],
                    "label": pa.array(loci.is_open[rows, column].astype(np.int64)),
                    "chrom": pa.array(regions.chrom_names[rows]),
                    "start": pa.array(regions.start[rows] + first),
                    "end": pa.array(regions.start[rows] + first + SEGMENT),
                    "cell_type": [regions.cell_types[column]] * len(rows),
                }
                if config != "sequence":
                    columns |= {
                        "region_ids": pa.ListArray.from_arrays(offsets, ids),
                        "accessibility": pa.ListArray.from_arrays(offsets, values),
                        "anchor": pa.array(present[:, :OWN].sum(axis=1)),
                    }
                parts.append(datasets.Dataset.from_dict(columns, features))
            tables[config][split] = datasets.concatenate_datasets(parts)
    places = {
        "chrom": pa.array(regions.chrom_names),
        "start": pa.array(regions.start),
        "end": pa.array(regions.start + regions.width),
        "sequence": regions.sequences,
    }
    tables["regions"] = {"train": datasets.Dataset.from_dict(places, REGION_FEATURES)}
    write_tables(folder, tables, f"Open or closed loci; {' and '.join(pair)} held out")


def genebert_probabilities(
    folder: Path, config: str, motifs: Path, run_dir: Path, metric: str, epochs: float, seed: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """Fine-tune a new GeneBERT: what it predicts for the split `test`, `(rows, labels)`, and all results."""
    from examples.finetune import main as finetune

    results = finetune(
        ["--dataset_name_or_path", str(folder), "--dataset_config_name", config, "--output_dir", str(run_dir)]
        + ["--model_preset", "tiny", "--config_overrides", json.dumps(GENEBERT), "--motifs", str(motifs)]
        + ["--metric_for_best_model", metric, "--num_train_epochs", str(epochs), "--seed", str(seed), *TRAINING]
        + ["--cache_dir", str(run_dir.parent / "cache"), "--resume_from_checkpoint", "latest"]
    )
    with (run_dir / "test_predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name.startswith("probability_")]
    return np.array([[float(row[name]) for name in names] for row in rows]), results


def real_figures(
    loci: Loci, pair: tuple[str, ...], scores: dict[str, np.ndarray], only_known: bool
) -> dict[str, float]:
    """AUROC of each held-out cell type on the test chromosomes, and its difference to the mean of the training types.

    Args:
        scores: cell type -> score of each locus `(N,)`, of which those of the test chromosomes count.
        only_known: leave out the figures over all loci.
    """
    mean = loci.mean_of_training(pair)
    figures: dict[str, float] = {}
    for name, column in zip(pair, loci.columns(pair), strict=True):
        for kind in ("known",) if only_known else ("all", "known"):
            rows = np.flatnonzero((loci.split == "test") & ((mean > 0) | (kind == "all")))
            values = scores[name][rows], mean[rows], loci.is_open[rows, column].astype(np.int64)
            for figure, metric in (("auroc", _auroc), ("gain_over_mean", _gain)):
                rng = np.random.default_rng(0)  # the same draws for all arms
                low, high = block_bootstrap(loci.blocks[rows], metric, *values, rng=rng)
                key = f"{name}_{kind}_{figure}"
                figures |= {key: metric(np.ones(len(rows)), *values), f"{key}_low": low, f"{key}_high": high}
    return figures


def _auroc(weights: np.ndarray, score: np.ndarray, mean: np.ndarray, label: np.ndarray) -> float:
    return weighted_auroc(weights, score, label)


def _gain(weights: np.ndarray, score: np.ndarray, mean: np.ndarray, label: np.ndarray) -> float:
    return weighted_auroc(weights, score, label) - weighted_auroc(weights, mean, label)


def run_real(arm: str, loci: Loci, pair: tuple[str, ...], seed: int, work_dir: Path, epochs: float) -> dict[str, Any]:
    """Figures of one arm, and for GeneBERT what else its run says."""
    about: dict[str, Any] = {}
    if arm == "mean":
        scores = mean_scores(loci, pair)
    elif arm.startswith("trees"):
        scores = tree_scores(loci, pair, arm, seed)
    else:
        folder = work_dir / "_".join(("real", *pair))
        if not folder.exists():
            write_locus_tables(loci, pair, folder)
        config = arm.removeprefix("genebert_")
        run_dir = work_dir / "_".join((arm, *pair, str(seed)))
        predicted, results = genebert_probabilities(
            folder, config, work_dir / "motifs.safetensors", run_dir, "auroc", epochs, seed
        )
        about = {name: results[name] for name in ("num_parameters", "epoch", "best_metric", "train_runtime")}
        about["epochs"] = epochs
        rows = np.flatnonzero((loci.split == "test") & ((loci.mean_of_training(pair) > 0) | ("mean" not in arm)))
        scores = {name: np.zeros(len(loci.regions)) for name in pair}
        for name, values in zip(pair, predicted[:, 1].reshape(len(pair), len(rows)), strict=True):
            scores[name][rows] = values
    return {"figures": real_figures(loci, pair, scores, only_known=arm.endswith("and_mean")), **about}


# Simulated: which TFs are bound


def run_simulated(arm: str, data: Simulated, seed: int, work_dir: Path, epochs: float) -> dict[str, Any]:
    """Macro AUROC over the TFs, each over the rows of all unseen cell types on the test chromosomes."""
    rows = data.rows("context", "test")
    about: dict[str, Any] = {}
    if arm == "oracle":
        scores = data.oracle_scores()
    elif arm.startswith("trees_"):
        scores = data.tree_scores(arm.removeprefix("trees_"), seed)
    else:
        run_dir = work_dir / f"{arm}_{seed}"
        scores, results = genebert_probabilities(data.folder, arm, data.motifs, run_dir, "auroc_macro", epochs, seed)
        about = {name: results[name] for name in ("num_parameters", "epoch", "best_metric", "train_runtime")}
        about["epochs"] = epochs
    labels = data.labels("test")
    blocks = np.array([f"{chrom}:{start // BLOCK}" for chrom, start in zip(rows["chrom"], rows["start"], strict=True)])
    figures: dict[str, float] = {"auroc": macro_auroc(np.ones(len(rows)), scores, labels)}
    low, high = block_bootstrap(blocks, macro_auroc, scores, labels, rng=np.random.default_rng(0))
    return {"figures": figures | {"auroc_low": low, "auroc_high": high}, **about}


# All arms


def stored(path: Path, about: dict[str, Any], run: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in a file; where there is none yet, the arm is run first."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        result = {**about, **run()}
        with written_whole(path) as stream:
            stream.write((json.dumps(result, indent=1) + "\n").encode())
        print(f"{path.stem}: {shown(result['figures'])}", flush=True)
    return json.loads(path.read_text(encoding="utf-8"))


def shown(figures: dict[str, float]) -> str:
    """The figures on one line, without their intervals."""
    return ", ".join(f"{key} {value:.3f}" for key, value in figures.items() if not key.endswith(("_low", "_high")))


def summarise(results: list[dict[str, Any]]) -> dict[str, float]:
    """Mean of each figure over seeds, with the mean of its bounds, and where there are several seeds their spread.

    Returns:
        `{part}_{arm}_{figure}` -> value; `_spread` is the standard deviation over seeds.
    """
    values: dict[str, list[float]] = {}
    for result in results:
        for key, value in result["figures"].items():
            values.setdefault(f"{result['part']}_{result['arm']}_{key}", []).append(value)
    figures: dict[str, float] = {}
    for key, found in sorted(values.items()):
        figures[key] = float(np.mean(found))
        if len(found) > 1 and not key.endswith(("_low", "_high")):
            figures[f"{key}_spread"] = float(np.std(found, ddof=1))
    return figures


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.unseen_cell_types", description=__doc__.split("\n")[0])
    parser.add_argument(
        "--data_dir", type=Path, help="with blood_atac/ and genome/hg19_pieces.fa.gz; else no real part"
    )
    parser.add_argument("--work_dir", type=Path, required=True, help="for data sets, checkpoints and motif scores")
    parser.add_argument("--real_arms", nargs="*", default=REAL_ARMS, choices=REAL_ARMS)
    parser.add_argument("--simulated_arms", nargs="*", default=SIMULATED_ARMS, choices=SIMULATED_ARMS)
    parser.add_argument(
        "--pairs", nargs="*", default=["+".join(pair) for pair in PAIRS], help="held out, like Mono+mDC"
    )
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="of what is trained")
    parser.add_argument("--epochs", type=float, default=2.0, help="of GeneBERT")
    parser.add_argument(
        "--results_dir", type=Path, default=RESULTS, help="where the report and the folder of results go"
    )
    options = parser.parse_args(arguments)
    options.work_dir.mkdir(parents=True, exist_ok=True)
    folder = options.results_dir / NAME

    if options.data_dir is not None and options.real_arms:
        loci = read_loci(options.data_dir, options.work_dir)
        for pair in (tuple(pair.split("+")) for pair in options.pairs):
            for arm in options.real_arms:
                for seed in options.seeds if arm != "mean" else [0]:
                    about = {"part": "real", "arm": arm, "cell_types": pair, "seed": seed}
                    path = folder / f"real_{arm}_{'_'.join(pair)}_{seed}.json"
                    stored(path, about, lambda: run_real(arm, loci, pair, seed, options.work_dir, options.epochs))  # noqa: B023
    if options.simulated_arms:
        held_out = SIMULATED_HELD_OUT, SIMULATED_VALIDATION, SIMULATED_TEST
        for arm in options.simulated_arms:
            for seed in options.seeds if arm != "oracle" else [0]:
                about = {"part": "simulated", "arm": arm, "cell_types": SIMULATED_HELD_OUT, "seed": seed}
                path = folder / f"simulated_{arm}_{seed}.json"

                def run() -> dict[str, Any]:
                    data = simulate(options.work_dir, SIMULATION, NUM_REGIONS, *held_out)
                    return run_simulated(arm, data, seed, options.work_dir, options.epochs)  # noqa: B023

                stored(path, about, run)

    results = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    settings = {
        "validation_chromosomes": VALIDATION_CHROMOSOMES,
        "test_chromosomes": TEST_CHROMOSOMES,
        "num_regions": NUM_REGIONS,
        "genebert": GENEBERT,
        "training": TRAINING,
        "simulation": SIMULATION,
        "simulated_held_out": SIMULATED_HELD_OUT,
        "runs": [{key: value for key, value in result.items() if key != "figures"} for result in results],
    }
    return write_report(NAME, summarise(results), settings, options.results_dir)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
