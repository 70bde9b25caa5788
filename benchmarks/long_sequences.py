"""Time and peak memory of GeneBERT on sequences of 512 to 8,192 tokens: BERT, ModernBERT, and windows of 512 pooled.

    python -m benchmarks.long_sequences

All three are `GeneBertForSequenceClassification` with the region encoder of the `small` preset and a sequence encoder
of the same width and depth. `bert` has as many positions as there are tokens; `modernbert` looks at all tokens in
every third layer, else at the 128 nearest; `windows` is BERT with 512 positions, and one row a window. Each point is
measured in a process of its own, on one thread: one sequence, forward, then a training step.

Figures, by model and step (`forward`, `train`): `MODEL_STEP_seconds_TOKENS`; `MODEL_STEP_peak_mb_TOKENS`, the memory
that the step took on top of the loaded model (MB of 10**6 bytes); and `MODEL_STEP_time_exponent` and
`MODEL_STEP_memory_exponent`, the slopes of both from 2,048 tokens on in a log-log plot: 1 = linear, 2 = quadratic.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from modeling_genebert import GeneBertConfig, GeneBertForSequenceClassification

from .report import RESULTS, write_report


MODELS = ("bert", "modernbert", "windows")
STEPS = ("forward", "train")
LENGTHS = (512, 1024, 2048, 4096, 8192)
WINDOW = 512
LONG = 2048  # from here on fixed costs no longer hide how time and memory grow
MIN_SECONDS, MAX_RUNS = 2.0, 5


def make_config(model: str, num_tokens: int) -> GeneBertConfig:
    """The `small` preset with another sequence encoder."""
    sequence: dict[str, Any] = {"hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4}
    if model == "modernbert":
        sequence.update(model_type="modernbert", intermediate_size=384)  # 1.5 × hidden_size, as in ModernBERT-base
    else:
        num_positions = num_tokens if model == "bert" else WINDOW
        # Dropout of attention weights needs the whole matrix of them, which costs more than all else.
        sequence.update(
            intermediate_size=1024, max_position_embeddings=num_positions, attention_probs_dropout_prob=0.0
        )
    return GeneBertConfig.small(sequence_config=sequence)


def make_inputs(config: GeneBertConfig, model: str, num_tokens: int) -> dict[str, torch.Tensor]:
    """One sequence of random k-mers, in rows of 512 for windows, and a random region matrix for each row."""
    ids = torch.randint(5, config.kmer_vocab_size, (1, num_tokens))
    if model == "windows":
        ids = ids.view(-1, min(WINDOW, num_tokens))
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "region_values": torch.rand(len(ids), 4, config.num_motif_rows, config.num_regions),
        "labels": torch.ones(1, dtype=torch.long),
    }
    if model == "windows":
        inputs["overflow_to_sample_mapping"] = torch.zeros(len(ids), dtype=torch.long)
    return inputs


def peak_mb() -> float:
    """Most memory that this process ever held, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def best_seconds(run: Callable[[], None]) -> float:
    """CPU time (one thread) of the fastest of up to five runs; no further run starts after two seconds."""
    seconds: list[float] = []
    while len(seconds) < MAX_RUNS and sum(seconds) < MIN_SECONDS:
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def measure(model: str, num_tokens: int) -> dict[str, float]:
    """Seconds and peak memory of both steps, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = make_config(model, num_tokens)
    network = GeneBertForSequenceClassification(config)
    optimizer = torch.optim.AdamW(network.parameters())
    inputs = make_inputs(config, model, num_tokens)

    def forward() -> None:
        with torch.inference_mode():
            network.eval()(**inputs)

    def train() -> None:
        network.train()(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    before = peak_mb()
    figures = {}
    for step, run in (("forward", forward), ("train", train)):
        figures[f"{model}_{step}_seconds_{num_tokens}"] = best_seconds(run)
        figures[f"{model}_{step}_peak_mb_{num_tokens}"] = peak_mb() - before
    return figures


def measure_in_fresh_process(model: str, num_tokens: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.long_sequences", "--point", model, str(num_tokens)]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{model} at {num_tokens} tokens failed:\n{result.stderr}")
    return json.loads(result.stdout.splitlines()[-1])


def growth_exponent(lengths: list[int], values: list[float]) -> float:
    """Slope of the straight line through the points in a log-log plot."""
    return float(np.polyfit(np.log(lengths), np.log(values), 1)[0])


def run(lengths: list[int]) -> dict[str, float]:
    """All figures."""
    figures: dict[str, float] = {}
    for model in MODELS:
        for num_tokens in lengths:
            point = measure_in_fresh_process(model, num_tokens)
            figures.update(point)
            print(", ".join(f"{name} {value:.3g}" for name, value in point.items()), flush=True)
        long = [num_tokens for num_tokens in lengths if num_tokens >= LONG]
        for step in STEPS if len(long) > 1 else ():
            for kind, name in (("seconds", "time"), ("peak_mb", "memory")):
                values = [figures[f"{model}_{step}_{kind}_{num_tokens}"] for num_tokens in long]
                figures[f"{model}_{step}_{name}_exponent"] = growth_exponent(long, values)
    return figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), metavar="TOKENS")
    parser.add_argument("--output_dir", default=RESULTS, help="where the result file goes")
    parser.add_argument("--point", nargs=2, metavar=("MODEL", "TOKENS"), help="measure one point in this process only")
    options = parser.parse_args(arguments)
    if options.point:
        print(json.dumps(measure(options.point[0], int(options.point[1]))))
        return
    settings = {
        "lengths": options.lengths,
        "window": WINDOW,
        "model": "GeneBertForSequenceClassification, preset small, kmer 6, 1019 motifs, with a region matrix a row",
        "batch": "one sequence",
        "dtype": "float32",
        "attention": "sdpa, without dropout of attention weights",
        "threads": 1,
        "seconds": f"CPU time, fastest of up to {MAX_RUNS} runs",
    }
    write_report("long_sequences", run(options.lengths), settings, options.output_dir)


if __name__ == "__main__":
    main()
