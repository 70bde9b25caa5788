"""GUE: test MCC of GeneBERT on the benchmark's human sets, beside published models and two opponents of our own.

    python -m benchmarks.gue --data_dir GUE                                     # GeneBERT on all sets, three seeds
    python -m benchmarks.gue --data_dir GUE --arms trees cnn --seeds 0          # the opponents
    python -m benchmarks.gue --data_dir GUE --sets tf_2 tf_4 --arms sequence regions both
    python -m benchmarks.gue --data_dir GUE --model_name_or_path CHECKPOINT     # pre-trained instead of from scratch
    python -m benchmarks.gue --table                                            # the table of what is there

`--data_dir` is GUE in its own layout (`prom/prom_core_all/train.csv`, `tf/0/train.csv`, ...). One model is trained for
each set, arm and seed, by `examples/finetune.py`, on that set's training file alone (GUE's sets overlap). Settings
were chosen on dev; test is only reported. Of `splice` dev alone is split 80/20 for training and selection, because its
training file is not at hand: it is not comparable with the published figures. Arms: `both` (the sequence, and the
region matrix of its tiles), `sequence`, `regions`; `trees` (gradient-boosted trees on the best score of each motif)
and `cnn`. Each run writes a file of its own into `benchmarks/results/gue`; what has one is not run again, so a
benchmark that was stopped goes on where it was.

Figures: `SET` is the mean test MCC × 100 over the seeds of the arm `both`, from scratch, `SET_low` and `SET_high` its
95 % interval (see `interval_of_mean`); `SET_spread` the standard deviation over seeds where there are several;
`tf_mean` the mean over the five TF sets where all are there.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import evaluate
import numpy as np
import pyarrow.csv
import pyarrow.parquet
import torch

from examples.config_overrides import merged
from examples.finetune import main as finetune
from hub_datasets.files import write_json
from hub_datasets.gue import gue_files, read_gue_csv
from hub_datasets.splice_sites import build_splice_sites

from .gue_opponents import CNN, TREES, fit_cnn, fit_trees
from .report import RESULTS, ROOT, describe_commit, describe_machine, is_bf16_fast, write_report


SETS = {
    "prom_core_all": "prom/prom_core_all",
    "prom_core_notata": "prom/prom_core_notata",
    "prom_core_tata": "prom/prom_core_tata",
    "prom_300_tata": "prom/prom_300_tata",
    **{f"tf_{number}": f"tf/{number}" for number in range(5)},
    "splice": "splice/reconstructed",
}
TF_SETS = [name for name in SETS if name.startswith("tf_")]
NOT_COMPARABLE = ("splice",)  # trained on 80 % of dev, not on GUE's training file
GENEBERT_ARMS = ("both", "sequence", "regions")
OPPONENT_ARMS = ("trees", "cnn")
# Secondary transcriptions of tables in the DNABERT-2 paper (arXiv 2306.15006) and in later papers.
PUBLISHED: dict[str, tuple[str, list[float]]] = {
    "DNABERT (3-mer)": ("86 M", [70.92, 69.82, 78.15, 69.83, 67.95, 70.90, 60.51, 53.03, 69.76, 84.14]),
    "DNABERT-2": ("117 M", [69.37, 68.04, 74.17, 71.59, 71.99, 76.06, 66.52, 58.54, 77.43, 84.99]),
    "VQDNA (HRQ)": ("103 M", [71.02, 70.58, 78.50, 74.52, 72.48, 76.43, 66.85, 58.92, 78.10, 89.53]),
}
PUBLISHED_NOTE = (
    "The published rows are secondary copies of tables in the DNABERT-2 paper (Zhou et al. 2023, arXiv 2306.15006) "
    "and in later papers, of one seed and without intervals: check them before you publish."
)
SPLICE_NOTE = (
    "`splice` is not comparable: published models were trained on GUE's training file, ours on 80 % of its dev "
    "(drawn with seed 0), with the rest of dev for selection. Its test is GUE's, without the "
    "32 rows whose sequence also stands in dev; one in five of those left still shares 100 bp or more with a row of "
    "dev, because neighbouring sites of a gene are in both."
)
MODEL: dict[str, Any] = {
    "kmer": 4,
    "num_conv_layers": 1,
    "conv_kernel_size": 15,
    "pooling": "max",
    "num_motif_blocks": 16,
    "num_regions": 8,
    "num_fusion_layers": 1,
    "classifier_dropout": 0.3,
    "sequence_config": {
        "hidden_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    },
    "region_config": {"embed_dim": 32, "depths": [1, 1], "num_heads": [2, 4], "drop_path_rate": 0.0},
    "attn_implementation": "eager",  # faster than sdpa on a CPU at these sizes, and the same
}
TRAINING: dict[str, Any] = {
    "per_device_train_batch_size": 64,
    "per_device_eval_batch_size": 250,
    "learning_rate": 1e-3,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,  # a share of all steps
    "weight_decay": 0.05,
    "adam_beta2": 0.98,
    "eval_strategy": "no",
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
# TF-binding sites have no strand. Promoters are read from 5' to 3' of their gene and are cut out round the start of
# transcription, so that places count: the maximum is taken over parts of some 10 to 20 bp.
BOTH_STRANDS = {"reverse_complement_augmentation": True, "average_strands": True}
MORE_DROPOUT = {"classifier_dropout": 0.5, "sequence_config": {"hidden_dropout_prob": 0.1}}
SETTINGS: dict[str, dict[str, Any]] = {
    "prom_core_all": {
        "training": {"num_train_epochs": 4, "per_device_train_batch_size": 128},
        "model": {"num_pooling_bins": 8, **MORE_DROPOUT},
    },
    "prom_core_notata": {
        "training": {"num_train_epochs": 4, "per_device_train_batch_size": 128},
        "model": {"num_pooling_bins": 8, **MORE_DROPOUT},
    },
    "prom_core_tata": {
        "training": {"num_train_epochs": 3, "per_device_train_batch_size": 128},
        "model": {"num_pooling_bins": 8, **MORE_DROPOUT},
    },
    "prom_300_tata": {"training": {"num_train_epochs": 5}, "model": {"num_pooling_bins": 16, **MORE_DROPOUT}},
    **{name: {"training": {"num_train_epochs": 5, **BOTH_STRANDS}} for name in TF_SETS},
    # The site is in the middle of 400 bp: in the middle of a part where their number is odd.
    "splice": {"training": {"num_train_epochs": 10}, "model": {"num_pooling_bins": 25, **MORE_DROPOUT}},
}


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data_dir", type=Path, help="GUE in its own layout")
    parser.add_argument(
        "--sets", nargs="+", choices=list(SETS), default=list(SETS), metavar="SET", help=", ".join(SETS)
    )
    parser.add_argument("--arms", nargs="+", choices=[*GENEBERT_ARMS, *OPPONENT_ARMS], default=["both"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--model_name_or_path", help="a GeneBERT checkpoint to start from; default: from scratch")
    parser.add_argument("--max_steps", type=int, help="stop training so early (for tests)")
    parser.add_argument("--cache_dir", help="for motif scores; default: that of datasets")
    parser.add_argument("--runs_dir", type=Path, help="keep checkpoints and predictions here; default: remove them")
    parser.add_argument("--table", action="store_true", help="train nothing, only write the table and the report")
    parser.add_argument("--output_dir", type=Path, default=RESULTS, help="results go to its folder gue")
    args = parser.parse_args(arguments)
    if args.data_dir is None and not args.table:
        parser.error("--data_dir is needed: the folder of GUE with prom/ and tf/")
    return args


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    args = parse_args(arguments)
    folder = args.output_dir / "gue"
    folder.mkdir(parents=True, exist_ok=True)
    if not args.table:
        jobs = [(name, arm, seed) for seed in args.seeds for arm in args.arms for name in args.sets]
        for number, (name, arm, seed) in enumerate(jobs, start=1):
            path = folder / f"{run_name(name, arm, seed, start_of(arm, args.model_name_or_path))}.json"
            if path.exists():
                print(f"{number}/{len(jobs)} {path.stem}: is there", flush=True)
                continue
            result = run(args, name, arm, seed)
            write_json(path, result)
            interval = f"{result['test_mcc_low']:.1f} to {result['test_mcc_high']:.1f}"
            print(
                f"{number}/{len(jobs)} {path.stem}: dev {result['dev_mcc']:.1f}, test {result['test_mcc']:.1f} "
                f"({interval}), {result['seconds']:.0f} s",
                flush=True,
            )
    results = read_results(folder)
    if not results:
        raise ValueError(f"{folder}: no results yet; run without --table first")
    table = make_table(results)
    write_text(folder / "README.md", table)
    print(table)
    return write_report(
        "gue",
        make_figures(results),
        {"runs": len(results), "model": MODEL, "training": TRAINING, "sets": SETTINGS},
        args.output_dir,
    )


def start_of(arm: str, model_name_or_path: str | None) -> str | None:
    """`scratch` or `pretrained`; opponents have no other start than their own."""
    if arm in OPPONENT_ARMS:
        return None
    return "scratch" if model_name_or_path is None else "pretrained"


def run_name(name: str, arm: str, seed: int, start: str | None) -> str:
    return "-".join(filter(None, (name, arm, start, f"seed{seed}")))


# Runs


def run(args: argparse.Namespace, name: str, arm: str, seed: int) -> dict[str, Any]:
    """Train, predict dev and test, and score: what a result file holds."""
    needed = ("validation", "test") if name == "splice" else ("train", "validation", "test")
    files = gue_files(args.data_dir / SETS[name])
    if missing := [split for split in needed if split not in files]:
        raise ValueError(f"{args.data_dir / SETS[name]}: no file for {', '.join(missing)}; expected GUE's own layout")
    with tempfile.TemporaryDirectory() as temporary:
        if name == "splice":
            files = split_dev(args.data_dir / SETS[name], Path(temporary))
        start = time.perf_counter()
        if arm in OPPONENT_ARMS:
            figures, settings = run_opponent(files, name, arm, seed)
        else:
            figures, settings = run_genebert(args, files, name, arm, seed)
        seconds = time.perf_counter() - start
    return {
        "set": name,
        "arm": arm,
        "start": start_of(arm, args.model_name_or_path),
        "seed": seed,
        **figures,
        "seconds": seconds,
        "settings": settings,
        "machine": describe_machine(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": describe_commit(),
    }


def split_dev(folder: Path, output_dir: Path) -> dict[str, Path]:
    """Files of GUE's splice sites without a training file, as `python -m hub_datasets.splice_sites` splits its dev.

    80 % of dev are trained on and the others selected on; copies of a sequence stay on one side, and test rows whose
    sequence stands in dev are left out. The same files always give the same split.

    Args:
        folder: with `dev.csv` and `test.csv`.
        output_dir: a folder for the new files.

    Returns:
        New files of `train`, `validation` and `test`.
    """
    built = output_dir / "splice_sites"
    build_splice_sites(gue_dir=folder, split_dev=True, output_dir=built)
    files = {split: output_dir / f"{split}.csv" for split in ("train", "validation", "test")}
    for split, file in files.items():
        (rows,) = (built / "sequences").glob(f"{split}-*.parquet")
        pyarrow.csv.write_csv(pyarrow.parquet.read_table(rows), file)
    return files


def run_genebert(
    args: argparse.Namespace, files: dict[str, Path], name: str, arm: str, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    options: dict[str, Any] = {
        **{f"{split}_file": files[split] for split in ("train", "validation", "test")},
        "modality": arm,
        "seed": seed,
        **TRAINING,
        **SETTINGS[name]["training"],
    }
    of_set = SETTINGS[name].get("model", {})
    if args.model_name_or_path is not None:
        options["model_name_or_path"] = args.model_name_or_path
        fields = {field: MODEL[field] for field in ("pooling", "classifier_dropout")}  # not sizes: the checkpoint's
        options["config_overrides"] = json.dumps(merged(fields, of_set))
    else:
        options["config_overrides"] = json.dumps(merged(MODEL, of_set))
    if not torch.accelerator.is_available():
        options["use_cpu"] = True  # said by name, or TrainingArguments refuses bf16
    if is_bf16_fast():
        options["bf16"] = True
    if args.max_steps is not None:
        options["max_steps"] = args.max_steps
    if args.cache_dir is not None:
        options["cache_dir"] = args.cache_dir
    with tempfile.TemporaryDirectory() as temporary:
        runs_dir = args.runs_dir or Path(temporary)
        options["output_dir"] = runs_dir / run_name(name, arm, seed, start_of(arm, args.model_name_or_path))
        found = finetune([word for key, value in options.items() for word in (f"--{key}", str(value))])
    figures = {"dev_mcc": 100 * found["eval_mcc"]}
    figures |= {f"test_mcc{suffix}": 100 * found[f"test_mcc{suffix}"] for suffix in ("", "_low", "_high")}
    figures |= {"test_auroc": found["test_auroc"], "num_parameters": found["num_parameters"]}
    for key in ("train_file", "validation_file", "test_file", "output_dir", "cache_dir"):
        options.pop(key, None)  # places on this machine
    if args.model_name_or_path is not None:
        options["model_name_or_path"] = Path(args.model_name_or_path).name
    return figures, options


def run_opponent(files: dict[str, Path], name: str, arm: str, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    rows = {split: read_gue_csv(file) for split, file in files.items()}
    sequences = {split: columns["sequence"] for split, columns in rows.items()}
    labels = {split: np.array(columns["label"]) for split, columns in rows.items()}
    metric = evaluate.load(str(ROOT / "examples" / "metrics" / "sequence_classification.py"), keep_in_memory=True)

    def score(logits: np.ndarray, split: str, num_bootstrap: int = 0) -> dict[str, Any]:
        return metric.compute(predictions=logits, references=labels[split], num_bootstrap=num_bootstrap)

    if arm == "trees":
        settings = TREES
        predictions, size = fit_trees(sequences, labels["train"], seed)
    else:
        both_strands = name in TF_SETS
        settings = {**CNN, "both_strands": both_strands}
        predictions, size = fit_cnn(
            sequences, labels["train"], seed, lambda logits: score(logits, "validation")["mcc"], both_strands
        )
    found = score(predictions["test"], "test", num_bootstrap=1000)
    figures = {f"test_mcc{suffix}": 100 * found[f"mcc{suffix}"] for suffix in ("", "_low", "_high")}
    dev = 100 * score(predictions["validation"], "validation")["mcc"]
    return {"dev_mcc": dev, **figures, "test_auroc": found["auroc"], "num_parameters": size}, dict(settings)


# Results


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def read_results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def of_arm(results: Sequence[dict[str, Any]], name: str, arm: str, start: str | None) -> list[dict[str, Any]]:
    return [run for run in results if (run["set"], run["arm"], run["start"]) == (name, arm, start)]


def make_figures(results: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean test MCC × 100 of each set, with the other arms as `SET_ARM`; see the top of the file."""
    figures: dict[str, float] = {}
    for arm, start in arms_of(results):
        suffix = "" if (arm, start) == ("both", "scratch") else "_" + "_".join(filter(None, (arm, start)))
        for name in SETS:
            values = [run["test_mcc"] for run in of_arm(results, name, arm, start)]
            if values:
                figures[name + suffix] = statistics.mean(values)
                figures[f"{name}{suffix}_seeds"] = len(values)
                low, high = interval_of_mean(of_arm(results, name, arm, start))
                figures |= {f"{name}{suffix}_low": low, f"{name}{suffix}_high": high}
            if len(values) > 1:
                figures[f"{name}{suffix}_spread"] = statistics.stdev(values)
        if all(name + suffix in figures for name in TF_SETS):
            figures[f"tf_mean{suffix}"] = statistics.mean(figures[name + suffix] for name in TF_SETS)
    return figures


def interval_of_mean(runs: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """95 % interval of the mean test MCC × 100 over seeds, for new test rows and new seeds.

    The seeds are scored on the same rows, so that more of them make the error of the rows no smaller: it is that of
    one seed, the distance from mean to bound averaged over the seeds' bootstrap intervals. The error of the seeds,
    1.96 standard errors of their mean, is independent of it and added in quadrature. Of one seed it is unknown, and
    the interval is that of its bootstrap over rows.
    """
    values = [run["test_mcc"] for run in runs]
    mean = statistics.mean(values)
    of_seeds = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    low, high = (statistics.mean(run[f"test_mcc_{end}"] for run in runs) for end in ("low", "high"))
    return mean - math.hypot(mean - low, of_seeds), mean + math.hypot(high - mean, of_seeds)


def arms_of(results: Sequence[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """Arm and start of all runs, GeneBERT's first."""
    order = [*GENEBERT_ARMS, *OPPONENT_ARMS]
    found = {(run["arm"], run["start"]) for run in results}
    return sorted(found, key=lambda pair: (order.index(pair[0]), pair[1] != "scratch"))


def make_table(results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row for each published model and each arm, a column for each set."""
    lines = [
        "# GUE, human sets: test MCC × 100",
        "",
        "Mean over seeds ± standard deviation (number of seeds) [95 % interval of the mean]. The interval of one",
        "seed is from a bootstrap over test rows. That of several: the distances from mean to bound of the seeds'",
        "bootstrap intervals, averaged (all seeds are scored on the same rows), and 1.96 standard errors of the mean",
        "over seeds, added in quadrature. Settings: chosen on dev. Written by `python -m benchmarks.gue`; beside it a",
        "file for each run.",
        "",
        f"| model | parameters | {' | '.join(map(column_name, SETS))} | tf mean |",
        f"|{'---|' * (len(SETS) + 3)}",
    ]
    for model, (size, values) in PUBLISHED.items():
        mean = statistics.mean(value for name, value in zip(SETS, values, strict=True) if name in TF_SETS)
        lines.append(f"| {model} | {size} | {' | '.join(f'{value:.1f}' for value in values)} | {mean:.1f} |")
    figures = make_figures(results)
    for arm, start in arms_of(results):
        cells, sizes = [], set()
        for name in SETS:
            runs = of_arm(results, name, arm, start)
            sizes |= {run["num_parameters"] for run in runs}
            cells.append(cell(runs))
        suffix = "" if (arm, start) == ("both", "scratch") else "_" + "_".join(filter(None, (arm, start)))
        tf_mean = figures.get(f"tf_mean{suffix}")
        names = {"trees": "motif scores + boosted trees (measured here)", "cnn": "2-layer CNN (measured here)"}
        label = names.get(arm, f"**GeneBERT**, {arm}, {start}")
        size = "" if arm == "trees" else f"{max(sizes) / 1e6:.1f} M"
        lines.append(f"| {label} | {size} | {' | '.join(cells)} | {'' if tf_mean is None else f'{tf_mean:.1f}'} |")
    lines += ["", PUBLISHED_NOTE, "", SPLICE_NOTE, "", *compare_with_published(results), ""]
    return "\n".join(lines)


def column_name(name: str) -> str:
    return f"{name} (not comparable)" if name in NOT_COMPARABLE else name


def compare_with_published(results: Sequence[dict[str, Any]]) -> list[str]:
    """Markdown: which published rows lie outside of the interval of our mean (see `interval_of_mean`)."""
    lines = ["`both`, from scratch, beside the published rows; decided only where these lie outside of our interval:"]
    for place, name in enumerate(SETS):
        runs = of_arm(results, name, "both", "scratch")
        if not runs or name in NOT_COMPARABLE:
            continue
        low, high = interval_of_mean(runs)
        beaten = [model for model, (_, values) in PUBLISHED.items() if values[place] < low]
        better = [model for model, (_, values) in PUBLISHED.items() if values[place] > high]
        others = [model for model in PUBLISHED if model not in beaten + better]
        said = [
            f"{word} {', '.join(models)}"
            for word, models in (("beats", beaten), ("undecided:", others), ("below", better))
            if models
        ]
        mean = statistics.mean(run["test_mcc"] for run in runs)
        lines.append(f"- {name}: {mean:.1f} [{low:.1f}, {high:.1f}]: {'; '.join(said)}")
    return [lines[0], "", *lines[1:]]


def cell(runs: Sequence[dict[str, Any]]) -> str:
    values = [run["test_mcc"] for run in runs]
    if not values:
        return ""
    low, high = interval_of_mean(runs)
    spread = f" ± {statistics.stdev(values):.1f} ({len(values)})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    main()
