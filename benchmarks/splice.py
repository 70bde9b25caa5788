"""Splice sites from GTF + genome: GeneBERT beside position weights, on chromosomes that neither was trained on.

    python -m benchmarks.splice --gtf genes.gtf.gz --genome genome.fa.gz               # all arms, three seeds
    python -m benchmarks.splice --gtf ... --genome ... --arms weight_matrix markov     # the opponents alone, 2 minutes

Tests on `--test_chromosomes` and trains on all others that the annotation has genes on. Two questions:

- `sequences`: is the GT (or AG) in the middle of 400 bp a donor (an acceptor), or one in the same gene that no
  transcript uses? One such decoy a site.
- `per_base`: which bases of 512 bp begin an intron (donor), and which end one (acceptor)? As many windows without a
  site as with one.

The arms:

- `weight_matrix` sums log-odds of each base from 3 bp of exon to 6 bp of intron (donor), and from 20 bp of intron to
  3 bp of exon (acceptor): what MaxEntScan reads (Yeo and Burge 2004). Counted on sites against decoys, and for
  `per_base` on sites against all other bases.
- `markov` likewise, each base given the one before it: the first-order Markov model that Yeo and Burge compare with.
- `genebert` is trained on `sequences`, `genebert_per_base` on `per_base`, by `examples/finetune.py`, from scratch or
  from `--model_name_or_path`. The latter answers `sequences`, too: by the base in the middle.

Figures are named `{arm}_{question}_{donor or acceptor}_{auroc, auprc or top_k}`. top_k: of k true sites, the share
among the k candidates that score highest. `sequences` ranks the sites of a kind among the decoys drawn for them,
`per_base` among all bases. Of several seeds the mean, and `_spread`, their standard deviation.

Each arm and seed leaves a file in `benchmarks/results/splice/`, with 95 % intervals from a bootstrap over blocks of
200 kb (`_low`, `_high`). As long as data and settings stay the same it is not run again, and a training that was
interrupted goes on where it was. Options that are not known here go to `examples/finetune.py`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import torch
from datasets import Dataset, load_dataset

from examples.metrics.resampling import Ranking, auprc, auroc, top_k_accuracy, with_intervals
from hub_datasets.splice_sites import build_splice_sites
from hub_datasets.task_tables import INFO_FILE_NAME, describe_file, read_info
from modeling_genebert import GeneBertForTokenClassification, GeneBertProcessor
from modeling_genebert.dna_genebert import UNKNOWN_BASE, encode_dna

from .report import RESULTS, write_report


OPPONENTS = {"weight_matrix": 0, "markov": 1}  # arm -> order of the Markov model
QUESTIONS = {"genebert": "sequences", "genebert_per_base": "per_base"}
KINDS = {"donor": (3, 6), "acceptor": (20, 3)}  # bp before the border of exon and intron, and behind it
METRICS = {"auroc": auroc, "auprc": auprc, "top_k": top_k_accuracy}
TEST_CHROMOSOMES = ["chr2", "chr3", "chr9", "chr17", "chr20", "chr22", "chrX"]
BLOCK = 200_000  # bp
NUM_RESAMPLES = 400
BATCH_SIZE = 64
# There is no validation split, and nothing here was tuned. One model before this one, without convolutions, did worse
# on a part of the test after two epochs; convolutions were taken because they learn from few rows on GUE.
CONVOLUTIONS = {"kmer": 3, "num_conv_layers": 2, "conv_kernel_size": 15, "num_fusion_layers": 1}
SEQUENCE_CONFIG = {
    **{"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 256},
    "max_position_embeddings": 514,  # [CLS], 512 bp, [SEP]
    "attention_probs_dropout_prob": 0.0,  # it would take a third of the time
}
MODELS: dict[str, dict[str, Any]] = {
    # Where a base stands matters, which one maximum or mean over the sequence would not show.
    "genebert": {**CONVOLUTIONS, "pooling": "max", "num_pooling_bins": 8, "sequence_config": SEQUENCE_CONFIG},
    "genebert_per_base": {**CONVOLUTIONS, "sequence_config": SEQUENCE_CONFIG},
}
TRAINING = {
    "genebert": ["--num_train_epochs", "3", "--learning_rate", "5e-4", "--per_device_train_batch_size", "32"],
    "genebert_per_base": ["--num_train_epochs", "3", "--learning_rate", "1e-3", "--per_device_train_batch_size", "16"],
}
COMMON = ["--warmup_steps", "0.1", "--weight_decay", "0.01", "--num_bootstrap", "0", "--report_to", "none"]


@dataclass
class SiteModel:
    """
    Log-odds of the bases round a site against those round other places, position by position.

    Args:
        log_odds (`np.ndarray` of shape `(width, 5, 5)`):
            bits, by position, base before and base; 0 where the base is unknown.
        site_index (`int`): the site's own base among the positions.
        order (`int`): 0: each base for itself; 1: given the base before it.
    """

    log_odds: np.ndarray
    site_index: int
    order: int

    @classmethod
    def fit(cls, sites: np.ndarray, others: np.ndarray, site_index: int, order: int) -> SiteModel:
        """Count base codes `(num_sites, width)` and `(num_others, width)`, with a pseudocount of 1 for each base."""
        log_odds = np.zeros((sites.shape[1], 5, 5))
        for position in range(sites.shape[1]):
            shares = []
            for codes in (sites, others):
                before = np.full(len(codes), UNKNOWN_BASE)
                if order and position:
                    before = codes[:, position - 1].astype(np.int64)
                counts = np.bincount(before * 5 + codes[:, position], minlength=25).reshape(5, 5)[:, :4] + 1.0
                shares.append(counts / counts.sum(axis=1, keepdims=True))
            log_odds[position, :, :4] = np.log2(shares[0] / shares[1])
        return cls(log_odds, site_index, order)

    def score(self, codes: np.ndarray) -> np.ndarray:
        """Bits for each base of `(num_rows, length)` as a site; what lies past a row's ends counts for nothing."""
        width, length = len(self.log_odds), codes.shape[1]
        padding = (self.site_index, width - 1 - self.site_index)
        padded = np.pad(codes, ((0, 0), padding), constant_values=UNKNOWN_BASE)
        scores = np.zeros(codes.shape)
        for position in range(width):
            before: Any = UNKNOWN_BASE
            if self.order and position:
                before = padded[:, position - 1 : position - 1 + length]
            scores += self.log_odds[position, before, padded[:, position : position + length]]
        return scores


def fit_site_model(codes: np.ndarray, is_site: np.ndarray, is_other: np.ndarray, kind: str, order: int) -> SiteModel:
    """The model of a kind of site, from base codes and which bases are sites, and others: `(num_rows, length)`."""
    before, behind = KINDS[kind]
    site_index = before if kind == "donor" else before - 1
    padding = (site_index, before + behind - 1 - site_index)
    padded = np.pad(codes, ((0, 0), padding), constant_values=UNKNOWN_BASE)
    kmers = np.lib.stride_tricks.sliding_window_view(padded, before + behind, axis=1)
    return SiteModel.fit(kmers[is_site], kmers[is_other], site_index, order)


def blocks_of(table: Dataset) -> np.ndarray:
    """The block of 200 kb that each row starts in."""
    return np.array([f"{row['chrom']}:{row['start'] // BLOCK}" for row in table.select_columns(["chrom", "start"])])


def codes_of(table: Dataset) -> np.ndarray:
    return np.stack([encode_dna(sequence) for sequence in table["sequence"]])


def figures_of(scores: np.ndarray, is_site: np.ndarray, row_of: np.ndarray, blocks: np.ndarray) -> dict[str, float]:
    """AUROC, AUPRC and top-k with intervals, of values that belong to rows, which belong to blocks."""
    ranking = Ranking(scores, is_site, row_of)

    def figures(weights: np.ndarray) -> dict[str, np.ndarray]:
        counts = ranking.counts(weights)
        return {name: metric(counts) for name, metric in METRICS.items()}

    return with_intervals(figures, len(blocks), num_bootstrap=NUM_RESAMPLES, groups=blocks, num_values=len(scores))


def sequence_figures(table: Dataset, scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Sites of each kind among the decoys drawn for them; `scores`: kind -> one score a row."""
    blocks = blocks_of(table)
    results: dict[str, float] = {}
    for kind in KINDS:
        rows = np.flatnonzero(of_kind(table, kind))
        is_site = np.array(table["label"])[rows] == table.features["label"].str2int(kind)
        figures = figures_of(scores[kind][rows], is_site, np.arange(len(rows)), blocks[rows])
        results |= {f"sequences_{kind}_{name}": value for name, value in figures.items()}
    return results


def of_kind(table: Dataset, kind: str) -> np.ndarray:
    """Which rows are sites of a kind, or decoys for such: as their ids say."""
    decoy = {"donor": "GT decoy", "acceptor": "AG decoy"}[kind]
    return np.array([name.rsplit(" ", 1)[0].endswith((f" {kind}", f" {decoy}")) for name in table["id"]])


def base_labels_of(table: Dataset) -> np.ndarray:
    """Labels of all bases, `(num_rows, length)`."""
    return table.with_format("numpy")["base_labels"][:]


def base_figures(table: Dataset, scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Sites of each kind among all bases; `scores`: kind -> one score a base, one row after the other."""
    labels = base_labels_of(table)
    row_of = np.repeat(np.arange(len(labels)), labels.shape[1])
    blocks = blocks_of(table)
    results: dict[str, float] = {}
    for kind in KINDS:
        is_site = labels.ravel() == table.features["base_labels"].feature.str2int(kind)
        figures = figures_of(scores[kind], is_site, row_of, blocks)
        results |= {f"per_base_{kind}_{name}": value for name, value in figures.items()}
    return results


def run_opponent(order: int, folder: Path) -> dict[str, float]:
    """Both questions, by log-odds of this order."""
    sequences, per_base = (load_dataset(str(folder), config) for config in ("sequences", "per_base"))
    train, test = (codes_of(sequences[split]) for split in ("train", "test"))
    labels = np.array(sequences["train"]["label"])
    scores = {}
    for kind in KINDS:
        base = middle_base(train.shape[1], kind)
        is_middle = np.arange(train.shape[1]) == base
        is_site = labels == sequences["train"].features["label"].str2int(kind)
        is_decoy = of_kind(sequences["train"], kind) & ~is_site
        model = fit_site_model(train, is_site[:, None] & is_middle, is_decoy[:, None] & is_middle, kind, order)
        scores[kind] = model.score(test)[:, base]
    figures = sequence_figures(sequences["test"], scores)

    train, test = (codes_of(per_base[split]) for split in ("train", "test"))
    for kind in KINDS:
        is_site = base_labels_of(per_base["train"]) == per_base["train"].features["base_labels"].feature.str2int(kind)
        scores[kind] = fit_site_model(train, is_site, ~is_site, kind, order).score(test).ravel()
    return {**figures, **base_figures(per_base["test"], scores)}


def middle_base(length: int, kind: str) -> int:
    """Where the site stands in a row of `sequences`: behind the border of exon and intron (donor), or before it."""
    return length // 2 - (kind == "acceptor")


def run_genebert(arm: str, arguments: list[str], folder: Path, output_dir: Path) -> dict[str, float]:
    """Fine-tune, and score the predictions that it leaves."""
    from examples.finetune import main as finetune

    results = finetune([*arguments, "--output_dir", str(output_dir), "--resume_from_checkpoint", "latest"])
    predictions = pyarrow.csv.read_csv(output_dir / "test_predictions.csv")
    # The ratio to `neither` ranks sites where probabilities have come close to 0 and 1, too.
    logarithm = {
        name: np.log(np.maximum(predictions[f"probability_{name}"].to_numpy().astype(np.float64), 1e-45))
        for name in (*KINDS, "neither")
    }
    scores = {kind: logarithm[kind] - logarithm["neither"] for kind in KINDS}
    tables = {config: load_dataset(str(folder), config, split="test") for config in ("sequences", "per_base")}
    if QUESTIONS[arm] == "sequences":
        figures = sequence_figures(tables["sequences"], scores)
    else:
        figures = base_figures(tables["per_base"], scores)
        figures |= sequence_figures(tables["sequences"], score_middle_bases(output_dir, tables["sequences"]))
    return {**figures, "num_parameters": results["num_parameters"], "train_seconds": results["train_runtime"]}


def score_middle_bases(checkpoint: Path, table: Dataset) -> dict[str, np.ndarray]:
    """Log-odds of sites against neither at the middle of each sequence, by a model per base."""
    model = GeneBertForTokenClassification.from_pretrained(checkpoint).eval()
    processor = GeneBertProcessor.from_pretrained(checkpoint)
    scores: dict[str, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for first in range(0, len(table), BATCH_SIZE):
        sequences = table[first : first + BATCH_SIZE]["sequence"]
        with torch.no_grad():
            logits = model(**processor(sequences=sequences, return_tensors="pt")).logits
        for kind in KINDS:
            at_site = logits[:, middle_base(len(sequences[0]), kind)]
            scores[kind].append(
                (at_site[:, model.config.label2id[kind]] - at_site[:, model.config.label2id["neither"]]).numpy()
            )
    return {kind: np.concatenate(parts) for kind, parts in scores.items()}


def prepare(options: argparse.Namespace) -> Path:
    """The data set: built, unless it is there already."""
    folder = Path(options.work_dir, "data")
    inputs = {"gtf": describe_file(options.gtf), "genome": describe_file(options.genome)}
    if (folder / INFO_FILE_NAME).is_file():
        info = read_info(folder)
        if info["inputs"] == inputs and info["options"]["test_chromosomes"] == options.test_chromosomes:
            return folder
    build_splice_sites(
        gtf=options.gtf,
        genome=options.genome,
        output_dir=folder,
        test_chromosomes=options.test_chromosomes,
        overwrite=True,
    )
    return folder


def genebert_arguments(arm: str, seed: int, model_name_or_path: str | None, extra: list[str]) -> list[str]:
    """What `examples/finetune.py` is called with, besides folders."""
    if model_name_or_path:
        model = ["--model_name_or_path", model_name_or_path]
    else:
        model = [
            "--model_preset",
            "tiny",
            "--config_overrides",
            json.dumps(MODELS[arm]),
        ]
    question = ["--dataset_config_name", QUESTIONS[arm]]
    return [*question, *model, *COMMON, *TRAINING[arm], "--seed", str(seed), *extra]


def run_once(
    name: str, settings: dict[str, Any], output_dir: Path, run: Callable[[], dict[str, float]]
) -> dict[str, float]:
    """Figures of an arm and seed: from its result file if it has the same settings, else by running it."""
    file = output_dir / "splice" / f"{name}.json"
    if file.is_file():
        result = json.loads(file.read_text(encoding="utf-8"))
        if result["settings"] == settings:
            print(f"{name}: done before", flush=True)
            return result["figures"]
    print(f"{name}: running", flush=True)
    return write_report(name, run(), settings, file.parent)["figures"]


def summarise(figures: dict[str, list[dict[str, float]]]) -> dict[str, float]:
    """`{arm}_{figure}`: mean over the seeds, and with several `_spread`; intervals stay in the arms' own files."""
    summary: dict[str, float] = {}
    for arm, runs in figures.items():
        for key in runs[0]:
            if not key.endswith(("_low", "_high")):
                values = [run[key] for run in runs]
                summary[f"{arm}_{key}"] = float(np.mean(values))
                if len(values) > 1:
                    summary[f"{arm}_{key}_spread"] = float(np.std(values, ddof=1))
    return summary


def table_of(figures: dict[str, float], arms: list[str]) -> str:
    """A Markdown table: a row for each arm and question."""
    lines = [["arm", "question", *(f"{kind} {name}" for kind in KINDS for name in METRICS)]]
    lines.append(["---"] * len(lines[0]))
    for arm in arms:
        for question in ("sequences", "per_base"):
            keys = [f"{arm}_{question}_{kind}_{name}" for kind in KINDS for name in METRICS]
            if keys[0] in figures:
                lines.append([arm, question, *(f"{figures[key]:.3f}" for key in keys)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.splice", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gtf", required=True, help="annotation with exons")
    parser.add_argument("--genome", required=True, help="FASTA or 2bit file")
    parser.add_argument("--test_chromosomes", nargs="+", default=TEST_CHROMOSOMES, help="train on all others")
    parser.add_argument("--arms", nargs="+", default=[*OPPONENTS, *QUESTIONS], choices=[*OPPONENTS, *QUESTIONS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[42, 43, 44])
    parser.add_argument("--model_name_or_path", help="a pre-trained GeneBERT; default: from scratch")
    parser.add_argument("--work_dir", default="runs/splice", help="data set and trained models")
    parser.add_argument("--output_dir", default=RESULTS, help="where the result files go")
    options, extra = parser.parse_known_args(arguments)
    folder, output_dir = prepare(options), Path(options.output_dir)
    info = read_info(folder)
    data = {"options": info["options"], "inputs": info["inputs"]}
    figures: dict[str, list[dict[str, float]]] = {arm: [] for arm in options.arms}
    for arm in options.arms:
        if arm in OPPONENTS:
            run = partial(run_opponent, OPPONENTS[arm], folder)
            figures[arm].append(run_once(arm, {**data, "order": OPPONENTS[arm]}, output_dir, run))
            continue
        for seed in options.seeds:
            given = genebert_arguments(arm, seed, options.model_name_or_path, extra)
            # Named after all that decides the result: another run does not go on from this one's checkpoints.
            content = json.dumps([given, info["files"]]).encode()
            run_dir = Path(options.work_dir, f"{arm}_seed{seed}_{hashlib.sha256(content).hexdigest()[:8]}")
            run = partial(run_genebert, arm, ["--dataset_name_or_path", str(folder), *given], folder, run_dir)
            figures[arm].append(run_once(f"{arm}_seed{seed}", {**data, "finetune": given}, output_dir, run))
    summary = summarise(figures)
    print(table_of(summary, options.arms))
    counts = {
        f"{config}_{split}_{label}": number
        for config, splits in info["splits"].items()
        for split, count in splits.items()
        for label, number in count["labels"].items()
    }
    settings = {"seeds": options.seeds, "finetune": extra}
    write_report("splice", summary, {**settings, **data, "rows": counts, "sites": info["sites"]}, output_dir)


if __name__ == "__main__":
    main()
