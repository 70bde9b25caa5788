"""What each pre-training loss and modality is worth, in cell types never seen, where the truth is known.

    python -m benchmarks.ablation --work_dir WORK                  # all arms, three seeds; goes on where it stopped
    python -m benchmarks.ablation --work_dir WORK --arms all scratch --seeds 0
    python -m benchmarks.ablation --table                          # the table of what is there

All is on one simulated atlas, which is frozen: its content must have the SHA-256 `FROZEN`. Three of its twelve cell
types, and chr10 to chr12, are in no training row; chr9 is for validation. Each arm (see `ARMS`) is pre-trained without
one thing, then fine-tuned with small fixed budgets:

- **pre-training**: `{seen,unseen}_srm_{other_locus,other_cell_type}_{visible,hidden}_auroc`, `..._mgm_...`,
  `..._ngsp_...` on the test chromosomes, from `evaluate_pretraining`. `scratch` has none; without SRM or NGSP trained,
  these figures are those of an untrained head;
- **TF binding** of 8 TFs in the three unseen cell types, macro AUROC: `binding_tiles` reads the sequence and its own
  motif scores, `binding_context` also the open regions of the cell type, `binding_shuffled` those of another one,
  drawn for each row. `binding_context_share` is the share of the gap between `tiles` and the simulator's own oracle
  that `context` closes, and `binding_shuffled_share` that which `shuffled` closes; `binding_X_within` is the mean of
  the AUROCs within each cell type;
- **other tasks**, which have no cell type: `promoters_auroc` (300 bp against background of like GC), `splice_mcc`
  (donor, acceptor or decoy) and `variants_spearman` (with EFFECT, the change of the logit of accessibility).

Bounds are 95 % intervals of a bootstrap over blocks of 200 kb. Arm `oracle` is the simulator's own rule, which is
told the activities of the TFs. For SRM it knows in which cell type the anchor would be open; beside it
`srm_other_cell_type_hidden_matcher_auroc` is what a rule without training gets from the same input: the motif sites
of the anchor times the enrichment of each motif's sites in the window's other columns.

Each arm and seed writes a file of its own into `results/ablation`; what has one is not run again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv
import torch

from examples.config_overrides import merged
from examples.finetune import main as finetune
from examples.pretrain import main as pretrain
from hub_datasets.atac_seq import build_atac_seq
from hub_datasets.atac_seq.evaluation import BLOCK, EvaluationSettings, block_bootstrap, evaluate_pretraining
from hub_datasets.atac_seq.evaluation import weighted_auroc as auroc
from hub_datasets.atac_seq.reader import UNSEEN_SUFFIX, AtacSeqSet
from hub_datasets.disease_risk import build_disease_risk
from hub_datasets.files import read_line_blocks
from hub_datasets.promoters import build_promoters
from hub_datasets.simulated_atlas import AccessibilityOracle
from hub_datasets.simulated_atlas.oracle import SITE_THRESHOLD
from hub_datasets.splice_sites import build_splice_sites
from modeling_genebert import GeneBertDataCollatorForPreTraining, GeneBertForPreTraining, GeneBertProcessor
from modeling_genebert.pairing_genebert import other_cell_type_partners

from .gue import read_results, write_text
from .report import RESULTS, describe_commit, describe_machine, write_report
from .simulated_binding import Simulated, macro_auroc, simulate
from .unseen_cell_types import NUM_REGIONS, stored
from .unseen_cell_types import SIMULATED_HELD_OUT as HELD_OUT
from .unseen_cell_types import SIMULATED_TEST as TEST
from .unseen_cell_types import SIMULATED_VALIDATION as VALIDATION
from .unseen_cell_types import SIMULATION as BINDING_SIMULATION


NAME = "ablation"
SIMULATION: dict[str, Any] = {**BINDING_SIMULATION, "num_variants": 2000, "seed": 0}
FROZEN = "7d2096f4e76dad9f1cb6bfff5a1dc0e464d5d12c15cb4d0d8da392cc8416c5f3"
BLOOD_JACCARD = (0.24, 0.31, 0.72)  # lowest, median, highest of 13 blood cell types on chr20


@dataclass(frozen=True)
class Arm:
    """
    Args:
        label: in the table.
        pretraining: options of `examples/pretrain.py`; None = no pre-training.
        model: fields of the config that differ.
        modality: `both`, or `sequence`: no region matrix anywhere.
    """

    label: str
    pretraining: tuple[str, ...] | None = ()
    model: dict[str, Any] = field(default_factory=dict)
    modality: str = "both"


ARMS = {
    "all": Arm("all losses"),
    "no_mgm": Arm("without MGM", ("--mgm_loss_weight", "0")),
    "no_ngsp": Arm("without NGSP", ("--ngsp_loss_weight", "0")),
    "no_srm": Arm("without SRM", ("--srm_loss_weight", "0")),
    "no_hard_negatives": Arm("SRM without hard negatives", ("--hard_negative_fraction", "0")),
    "no_regions": Arm("regions off (sequence only)", ("--modality", "sequence"), modality="sequence"),
    "plain": Arm(
        "plain composition (patches, concatenated)", model={"region_embedding": "patch", "fusion_type": "concat"}
    ),
    "scratch": Arm("no pre-training", None),
}
ORACLE = "oracle"

MODEL: dict[str, Any] = {
    "kmer": 4,
    "stride": 2,
    "num_regions": NUM_REGIONS,
    "num_conv_layers": 1,
    "conv_kernel_size": 9,
    "conv_pool_size": 8,
    "pooling": "mean",  # with "max", SRM had not begun to be learned after 300 steps
    "num_fusion_layers": 1,
    "classifier_dropout": 0.0,
    "sequence_config": {
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "intermediate_size": 128,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "attn_implementation": "eager",  # faster than sdpa on a CPU at these sizes, and the same
}
# Chosen by the loss of SRM on the training split, one seed of arm `all`: 0.61 after 600 steps; with the default shares
# of NGSP and hard negatives 0.64 after 400, 0.63 after 725 at 4e-3, and 0.67 after 400 at 8e-4.
PRETRAINING: dict[str, Any] = {
    "max_train_steps": 700,
    "per_device_train_batch_size": 64,
    "learning_rate": 2.5e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 20,
    "ngsp_fraction": 0.1,  # in this simulation nothing makes one open region follow another
    "hard_negative_fraction": 0.3,
    "hidden_fraction": 0.25,
    "mgm_loss_weight": 0.25,  # of the arms that have it
    "max_eval_windows": 20,  # its own evaluation is not used
}
FINETUNING: dict[str, Any] = {
    "per_device_train_batch_size": 32,
    "per_device_eval_batch_size": 128,
    "learning_rate": 4e-3,  # chosen on validation: TF binding with regions, from scratch, has less at 2e-3
    "lr_scheduler_type": "cosine",
    "warmup_steps": 20,
    "weight_decay": 0.01,
    "eval_strategy": "no",
    "save_strategy": "no",
    "num_bootstrap": 0,
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
}
BINDING = {"max_steps": 600, "reverse_complement_augmentation": True}
MAX_EVAL_WINDOWS = 400  # a figure; each is shown as positive and negative


@dataclass(frozen=True)
class Task:
    """A downstream task without cell types.

    Args:
        label: in the table.
        config: of the data set.
        metric: of `examples/finetune.py`.
        options: of it.
        model: fields of the config that differ.
    """

    label: str
    config: str
    metric: str
    options: dict[str, Any]
    model: dict[str, Any] = field(default_factory=dict)


TASKS = {
    "promoters": Task("promoters, AUROC", "300_all", "auroc", {"max_steps": 100}),
    "splice": Task(  # the site is in the middle of 400 bp, which a mean over all of them does not tell
        "splice sites, MCC",
        "sequences",
        "mcc",
        {"max_steps": 300, "learning_rate": 2e-3},
        {"pooling": "max", "num_pooling_bins": 25},
    ),
    "variants": Task(
        "variants, Spearman", "variants", "spearman", {"max_steps": 200, "reverse_complement_augmentation": True}
    ),
}

# Of the table: figure -> heading.
PRETRAINING_COLUMNS = {
    "unseen_srm_other_locus_visible_auroc": "SRM other locus, visible",
    "unseen_srm_other_locus_hidden_auroc": "SRM other locus, hidden",
    "unseen_srm_other_cell_type_visible_auroc": "SRM other cell type, visible",
    "unseen_srm_other_cell_type_hidden_auroc": "SRM other cell type, hidden",
    "unseen_ngsp_hidden_auroc": "NGSP, hidden",
    "unseen_mgm_hidden_base_accuracy": "MGM accuracy",
    "unseen_mgm_composition_accuracy": "base composition",
}
DOWNSTREAM_COLUMNS = {
    "binding_tiles_auroc": "binding, sequence only",
    "binding_context_auroc": "with the cell type's regions",
    "binding_shuffled_auroc": "with another's",
    "binding_context_share": "share of the gap closed",
    "binding_shuffled_share": "with another's",
    **{f"{name}_{task.metric}": task.label for name, task in TASKS.items()},
}


# Data


@dataclass
class Data:
    """All data sets of the atlas.

    Attributes:
        work_dir: holds `atac_seq`, `promoters`, `splice` and `variants`.
        binding: the tables of TF binding.
        overlap: lowest, median and highest Jaccard overlap of the open sets of two cell types.
        sha256: of the atlas.
    """

    work_dir: Path
    binding: Simulated
    overlap: tuple[float, float, float]
    sha256: str


def make_data(work_dir: Path) -> Data:
    """Simulate, check that it is the frozen atlas, and build what is not there yet."""
    binding = simulate(work_dir, SIMULATION, NUM_REGIONS, HELD_OUT, VALIDATION, TEST)
    atlas = binding.atlas
    if (sha256 := content_hash(atlas)) != FROZEN:
        raise ValueError(
            f"{atlas}: the simulated atlas has SHA-256 {sha256}, expected {FROZEN}: the simulator, the motifs or the "
            "folder changed, and figures would not compare"
        )
    low, median, high = overlap = jaccard_overlaps(atlas)
    print(
        f"Jaccard overlap of the open regions of two simulated cell types: {low:.2f} to {high:.2f}, median "
        f"{median:.2f} (blood: {BLOOD_JACCARD[0]} to {BLOOD_JACCARD[2]}, median {BLOOD_JACCARD[1]})",
        flush=True,
    )
    genome = atlas / "genome.fa"
    chromosomes: dict[str, Any] = {"validation_chromosomes": VALIDATION, "test_chromosomes": TEST}
    build_atac_seq(  # leaves alone what is there
        genome=genome,
        peaks=atlas / "peaks",
        motifs=binding.motifs,
        output_dir=work_dir / "atac_seq",
        held_out_cell_types=HELD_OUT,
        **chromosomes,
    )
    if not (folder := work_dir / "promoters").exists():
        promoters: dict[str, Any] = {"promoters": atlas / "promoters.bed", "tss_position": "centre"}
        build_promoters(genome=genome, output_dir=folder, **promoters, **chromosomes)
    if not (folder := work_dir / "splice").exists():
        build_splice_sites(gtf=atlas / "genes.gtf", genome=genome, output_dir=folder, **chromosomes)
    if not (folder := work_dir / "variants").exists():
        build_disease_risk(
            vcf=atlas / "variants.vcf",
            genome=genome,
            output_dir=folder,
            label_field="EFFECT",
            regression=True,
            **chromosomes,
        )
    return Data(work_dir, binding, overlap, sha256)


def content_hash(atlas: Path) -> str:
    """SHA-256 of all files, decompressed, with their names; of all but the card, whose words may change."""
    digest = hashlib.sha256()
    for path in sorted(path for path in atlas.rglob("*") if path.is_file() and path.name != "README.md"):
        digest.update(f"{path.relative_to(atlas).as_posix()}\n".encode())
        for block in read_line_blocks(path):
            digest.update(block)
    return digest.hexdigest()


def jaccard_overlaps(atlas: Path) -> tuple[float, float, float]:
    """Lowest, median and highest Jaccard overlap of the open sets of two cell types."""
    options = pyarrow.csv.ParseOptions(delimiter="\t")
    table = pyarrow.csv.read_csv(atlas / "truth" / "regions.tsv", parse_options=options)
    is_open = [table[name].to_numpy() == 1 for name in table.column_names if name.startswith("open_")]
    found = [(a & b).sum() / (a | b).sum() for a, b in combinations(is_open, 2)]
    return float(np.min(found)), float(np.median(found)), float(np.max(found))


# Runs


def run_arm(name: str, seed: int, data: Data, run_dir: Path, budget: Mapping[str, Any]) -> dict[str, Any]:
    """Pre-train, evaluate, fine-tune on all tasks: figures, and seconds of each part."""
    arm = ARMS[name]
    figures: dict[str, float] = {}
    seconds: dict[str, float] = {}
    start = time.perf_counter()

    def lap(part: str) -> None:
        nonlocal start
        now = time.perf_counter()
        seconds[part], start = round(now - start, 1), now

    if arm.pretraining is None:
        model = merged(MODEL, arm.model)
        origin: dict[str, Any] = {"model_preset": "tiny", "motifs": data.binding.motifs}
    else:
        checkpoint = run_dir / "pretrained"
        options = {**PRETRAINING, **budget["pretraining"], "seed": seed}
        pretrain(
            as_words({"dataset_name_or_path": data.work_dir / "atac_seq", "output_dir": checkpoint, **options})
            + as_words({"model_preset": "tiny", "config_overrides": json.dumps(merged(MODEL, arm.model))})
            + as_words({"mixed_precision": "no"})
            + as_words({"resume_from_checkpoint": "latest", "eval_steps": options["max_train_steps"]})
            + as_words({"num_cpu_threads": torch.get_num_threads(), "save_total_limit": 1})
            + list(arm.pretraining)
        )
        model, origin = {"attn_implementation": MODEL["attn_implementation"]}, {"model_name_or_path": checkpoint}
        lap("pretraining")
        figures |= pretraining_figures(checkpoint, data, arm.modality, budget["max_eval_windows"])
        lap("evaluation")

    def fine_tuned(
        folder: Path, config: str, output_dir: Path, options: Mapping[str, Any], of_task: dict[str, Any]
    ) -> dict[str, Any]:
        return finetune(
            as_words({"dataset_name_or_path": folder, "dataset_config_name": config, "output_dir": output_dir})
            + as_words({"config_overrides": json.dumps(merged(model, of_task))})
            + as_words({**origin, **FINETUNING, **options, **budget["finetuning"], "seed": seed})
            + as_words({"modality": arm.modality, "cache_dir": data.work_dir / "cache"})
        )

    scores = {}
    for config in ("tiles",) if arm.modality == "sequence" else ("tiles", "context", "shuffled"):
        output_dir = run_dir / f"binding_{config}"
        results = fine_tuned(data.binding.folder, config, output_dir, BINDING, {})
        scores[config] = read_probabilities(output_dir / "test_predictions.csv")
        lap(f"binding_{config}")
    figures |= binding_figures(data.binding, scores)
    for task_name, task in TASKS.items():
        found = fine_tuned(data.work_dir / task_name, task.config, run_dir / task_name, task.options, task.model)
        value = found[f"test_{task.metric}"]
        if value is not None:  # it is where all predictions are equal
            figures[f"{task_name}_{task.metric}"] = value
        lap(task_name)
    return {"figures": figures, "num_parameters": results["num_parameters"], "seconds": seconds}


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Options as a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def pretraining_figures(checkpoint: Path, data: Data, modality: str, max_windows: int) -> dict[str, float]:
    """All figures of the test chromosomes."""
    model = GeneBertForPreTraining.from_pretrained(checkpoint, attn_implementation="eager").eval()
    collator = GeneBertDataCollatorForPreTraining(
        GeneBertProcessor.from_pretrained(checkpoint).feature_extractor,
        kmer=model.config.kmer,
        stride=model.config.stride,
        with_regions=modality == "both",
    )
    settings = EvaluationSettings(batch_size=64, max_windows=max_windows, by_cell_type=False)
    atac = AtacSeqSet.load(data.work_dir / "atac_seq")
    return evaluate_pretraining(model, collator, atac, "test", settings, show_progress=False)


def read_probabilities(path: Path) -> np.ndarray:
    """The probabilities of all labels in a file of predictions, `(rows, labels)`."""
    table = pyarrow.csv.read_csv(path)
    names = [name for name in table.column_names if name.startswith("probability_")]
    return np.column_stack([table[name].to_numpy() for name in names])


def binding_figures(binding: Simulated, scores: Mapping[str, np.ndarray]) -> dict[str, float]:
    """
    AUROCs of TF binding, and shares of the gap to the oracle that is closed.

    Args:
        scores: config (or `oracle`) -> score of each row of the test and TF, `(rows, TFs)`.
    """
    rows, labels = binding.rows("context", "test"), binding.labels("test")
    blocks = np.array([f"{chrom}:{start // BLOCK}" for chrom, start in zip(rows["chrom"], rows["start"], strict=True)])
    cell_types, ones = np.array(rows["cell_type"]), np.ones(len(rows))
    figures: dict[str, float] = {}

    def add(name: str, metric: Any, *values: np.ndarray) -> None:
        low, high = block_bootstrap(blocks, metric, *values, labels, rng=np.random.default_rng(0))
        figures.update({name: metric(ones, *values, labels), f"{name}_low": low, f"{name}_high": high})

    for config, found in scores.items():
        add(f"binding_{config}_auroc", macro_auroc, found)
        within = [macro_auroc(ones[here], found[here], labels[here]) for here in by_value(cell_types)]
        figures[f"binding_{config}_within"] = float(np.mean(within))
    if "context" in scores:
        oracle = binding.oracle_scores()
        for config in ("context", "shuffled"):
            add(f"binding_{config}_share", share_closed, scores["tiles"], scores[config], oracle)
    return figures


def by_value(values: np.ndarray) -> list[np.ndarray]:
    """Rows of each value."""
    return [np.flatnonzero(values == value) for value in np.unique(values)]


def share_closed(
    weights: np.ndarray, lower: np.ndarray, scores: np.ndarray, upper: np.ndarray, labels: np.ndarray
) -> float:
    """The share of the gap in macro AUROC between `lower` and `upper` scores that `scores` closes."""
    low, own, high = (macro_auroc(weights, each, labels) for each in (lower, scores, upper))
    return (own - low) / (high - low) if high > low else float("nan")


def run_oracle(data: Data) -> dict[str, Any]:
    """What the simulator's own rule reaches, in TF binding and SRM; and SRM's matcher."""
    figures = binding_figures(data.binding, {ORACLE: data.binding.oracle_scores()})
    atac, oracle = AtacSeqSet.load(data.work_dir / "atac_seq"), AccessibilityOracle.load(data.binding.atlas)
    windows, region_ids = atac.windows("test", f"test{UNSEEN_SUFFIX}")
    partner = other_cell_type_partners(windows, np.random.default_rng(0))
    unseen = np.isin(windows.cell_type, [atac.cell_types.index(name) for name in HELD_OUT])
    rows = np.flatnonzero((partner >= 0) & (unseen | unseen[partner]))
    anchors, region_of_anchor = np.unique(windows.anchor[rows], return_inverse=True)
    letters = [bytes(atac.regions.sequences.row(int(anchor))).decode() for anchor in anchors]
    logits = oracle.logits(letters)[region_of_anchor]
    column = np.array([oracle.cell_types.index(name) for name in atac.cell_types])[windows.cell_type]
    scores = atac.regions.scores.take(np.arange(len(atac.regions.start))).astype(np.float32)
    sites = np.clip(scores - SITE_THRESHOLD, 0, None)  # the simulator has a site from here on
    sites -= sites.mean(axis=0)

    def enrichment(row: Any) -> np.ndarray:
        """Mean strength of each motif's sites over the columns of a window that are not hidden."""
        ids = region_ids.row(int(row))
        hidden = [windows.anchor[row], windows.next_region[row]]
        return sites[ids[(ids >= 0) & ~np.isin(ids, hidden)]].mean(axis=0)

    found: dict[str, list[np.ndarray]] = {"oracle": [], "matcher": []}
    for matrix_row in (rows, partner[rows]):
        found["oracle"].append(logits[np.arange(len(rows)), column[matrix_row]])
        enriched = np.stack([enrichment(row) for row in matrix_row])
        found["matcher"].append((enriched * sites[windows.anchor[rows]]).sum(axis=1))
    centre = windows.region_centre[windows.anchor[rows]].astype(np.int64)
    blocks = np.tile(windows.chrom[rows].astype(np.int64) << 40 | centre // BLOCK, 2)
    label = np.repeat([1, 0], len(rows))
    for name, (positive, negative) in found.items():
        score, key = np.concatenate([positive, negative]), f"srm_other_cell_type_hidden_{name}_auroc"
        low, high = block_bootstrap(blocks, auroc, score, label, rng=np.random.default_rng(0))
        figures |= {key: auroc(np.ones(len(score)), score, label), f"{key}_low": low, f"{key}_high": high}
    return {"figures": figures}


# Results


def make_figures(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """`{arm}_{figure}`: the mean over seeds; `_spread` the standard deviation, and `{arm}_seeds` their number."""
    figures: dict[str, float] = {}
    for arm in (*ARMS, ORACLE):
        runs = [run["figures"] for run in results if run["arm"] == arm]
        if runs:
            figures[f"{arm}_seeds"] = len(runs)
        for key in dict.fromkeys(key for run in runs for key in run):
            values = [run[key] for run in runs if key in run]
            figures[f"{arm}_{key}"] = statistics.mean(values)
            if len(values) > 1 and not key.endswith(("_low", "_high")):
                figures[f"{arm}_{key}_spread"] = statistics.stdev(values)
    return figures


def make_table(results: Sequence[Mapping[str, Any]], seeds: Sequence[int]) -> str:
    """Markdown: a row for each arm; and which cells are missing."""
    figures = make_figures(results)
    there = {(run["arm"], run["seed"]) for run in results}
    missing = [f"{arm} {seed}" for seed in seeds for arm in ARMS if (arm, seed) not in there]
    lines = [
        "# What each loss and modality is worth, on the simulated atlas",
        "",
        "Unseen cell types, held-out chromosomes; mean over seeds ± standard deviation (of one seed with the 95 %",
        "bootstrap interval over blocks of 200 kb where there is one). `benchmarks/ablation.py` says what is what.",
        "",
    ]
    for columns in (PRETRAINING_COLUMNS, DOWNSTREAM_COLUMNS):
        lines += [f"| arm | seeds | {' | '.join(columns.values())} |", f"|{'---|' * (len(columns) + 2)}"]
        for name, arm in ARMS.items():
            if f"{name}_seeds" in figures:
                cells = [cell(figures, f"{name}_{key}") for key in columns]
                lines.append(f"| {arm.label} | {figures[f'{name}_seeds']} | {' | '.join(cells)} |")
        lines.append("")
    for key, said in (
        ("binding_oracle_auroc", "TF binding, the simulator's own rule"),
        ("srm_other_cell_type_hidden_oracle_auroc", "SRM other cell type, hidden: the simulator's own rule"),
        ("srm_other_cell_type_hidden_matcher_auroc", "… motif enrichment, without training"),
    ):
        if f"{ORACLE}_{key}" in figures:
            lines.append(f"- {said}: {cell(figures, f'{ORACLE}_{key}')}")
    lines += ["", f"Missing (arm, seed): {', '.join(missing) or 'none'}.", ""]
    return "\n".join(lines)


def cell(figures: Mapping[str, float], key: str) -> str:
    if key not in figures:
        return "–"
    if f"{key}_spread" in figures:
        return f"{figures[key]:.3f} ± {figures[f'{key}_spread']:.3f}"
    if f"{key}_low" in figures:
        return f"{figures[key]:.3f} ({figures[f'{key}_low']:.3f} to {figures[f'{key}_high']:.3f})"
    return f"{figures[key]:.3f}"


def check_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` where a result was made with other settings: means over both would say nothing."""
    for path in sorted(folder.glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))["settings"]
        if different := [name for name in settings if found.get(name) != json.loads(json.dumps(settings[name]))]:
            raise ValueError(f"{path}: was made with another {different[0]}; give another --output_dir, or remove it")


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{NAME}", description=__doc__.split("\n")[0])
    parser.add_argument("--work_dir", type=Path, help="for data sets, checkpoints and motif scores")
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--pretraining_steps", type=int, default=PRETRAINING["max_train_steps"])
    parser.add_argument("--finetuning_steps", type=int, help="of each task; default: see BINDING and TASKS")
    parser.add_argument("--max_eval_windows", type=int, default=MAX_EVAL_WINDOWS)
    parser.add_argument("--table", action="store_true", help="train nothing, only write the table and the report")
    parser.add_argument("--output_dir", type=Path, default=RESULTS, help="results go to its folder ablation")
    args = parser.parse_args(arguments)
    folder = args.output_dir / NAME
    if args.work_dir is None and not args.table:
        parser.error("--work_dir is needed: a folder for data sets and checkpoints")

    settings: dict[str, Any] = {
        "simulation": SIMULATION,
        "held_out_cell_types": HELD_OUT,
        "validation_chromosomes": VALIDATION,
        "test_chromosomes": TEST,
        "model": MODEL,
        "pretraining": {**PRETRAINING, "max_train_steps": args.pretraining_steps},
        "finetuning": FINETUNING,
        "binding": BINDING,
        "tasks": {name: {**task.options, **task.model} for name, task in TASKS.items()},
        "finetuning_steps": args.finetuning_steps,
        "max_eval_windows": args.max_eval_windows,
    }
    if not args.table:
        check_settings(folder, settings)
        data = make_data(args.work_dir.resolve())
        settings |= {"simulation_sha256": data.sha256, "simulation_jaccard": data.overlap}
        budget = {
            "pretraining": {"max_train_steps": args.pretraining_steps},
            "finetuning": {} if args.finetuning_steps is None else {"max_steps": args.finetuning_steps},
            "max_eval_windows": args.max_eval_windows,
        }
        about = {"settings": settings, "machine": describe_machine(), "commit": describe_commit()}

        def finished(result: dict[str, Any]) -> dict[str, Any]:
            return {**result, "date": datetime.now(timezone.utc).isoformat(timespec="seconds")}

        stored(folder / f"{ORACLE}.json", {"arm": ORACLE, "seed": 0, **about}, lambda: finished(run_oracle(data)))
        for seed in args.seeds:
            for arm in args.arms:
                run_dir = args.work_dir / "runs" / f"{arm}_{seed}"
                stored(
                    folder / f"{arm}_{seed}.json",
                    {"arm": arm, "seed": seed, **about},
                    lambda: finished(run_arm(arm, seed, data, run_dir, budget)),  # noqa: B023
                )
    results = read_results(folder)
    if not results:
        raise ValueError(f"{folder}: no results yet; run without --table first")
    table = make_table(results, args.seeds)
    write_text(folder / "README.md", table)
    print(table)
    return write_report(NAME, make_figures(results), results[0]["settings"], args.output_dir)


if __name__ == "__main__":
    main()
