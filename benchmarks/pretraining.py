"""Training throughput of GeneBERT beside the stock composition of transformers' own parts.

    python -m benchmarks.pretraining
    python -m benchmarks.pretraining --cpu_time --threads 1      # beside other programs

Both train on the same examples, at one size (BERT of 4 layers x 768, 8 x 512 tokens; Swin of the `small` preset on
1019 motifs x 32 regions), in one precision and with one dropout; a step is collator, forward, backward and AdamW. They
take turns. Examples come in fours, as `examples/pretrain.py` deals them out (see `training_plan`): two windows, each
with its own matrix and with the other's; or, in 3 of 10, each with its own next region and with the other's.

- stock: `BertForPreTraining` as shipped, `SwinModel`, a linear matching head on their pooled vectors side by side, and
  `DataCollatorForLanguageModeling`.
- genebert: `GeneBertForPreTraining` of the same parts (`fusion_type="concat"`, `region_embedding="patch"`) with its
  own collator, which hides spans of bases and so asks for more than twice as many tokens, and lets examples share
  what they read, so that it passes its encoder once. The stock parts have no way to.
- apart: the same, each example with rows of its own: what sharing is worth.
- default: GeneBERT as it is by default, with block projections and cross-attention: more model, nothing to compare.

First it is checked that with the same weights and masks both have the same loss and the same region states.

Figures: `ratio_to_stock_PRECISION` (tokens a second, dropout 0.1 in both) and `..._no_dropout` (0 in both), with
`_apart` for that side; a token counts for each example that reads it;
`tokens_per_second_MODEL_PRECISION`; `share_of_matmul_PRECISION`: floating-point operations a second of GeneBERT's
matrix products as a share of what a product of two 2048 x 2048 matrices reaches in the same run (which takes long in
bf16 on a CPU without instructions for it). On a GPU, the `base` preset in bf16 instead: `mfu` (the same share) and
`sequences_per_gpu_hour`.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertForPreTraining, DataCollatorForLanguageModeling, SwinModel

from modeling_genebert import (
    GeneBertConfig,
    GeneBertDataCollatorForPreTraining,
    GeneBertFeatureExtractor,
    GeneBertForPreTraining,
    GeneBertTokenizer,
    MotifBank,
)
from modeling_genebert.dna_genebert import decode_dna
from modeling_genebert.region_values_genebert import expand_region_values

from .report import RESULTS, time_in_turns, write_report


KMER, NUM_MOTIFS, NUM_REGIONS = 6, 1019, 32
NUM_FOURS, NUM_NGSP_FOURS = 20, 6
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class StockComposition(nn.Module):
    """What transformers has, put together as the paper describes it."""

    def __init__(self, config: GeneBertConfig):
        super().__init__()
        self.bert = BertForPreTraining(config.sequence_config)
        self.swin = SwinModel(config.region_config)
        width = config.sequence_config.hidden_size + config.region_config.hidden_size
        self.matching_head = nn.Linear(width, 2)

    def forward(self, region_values: torch.Tensor, srm_labels: torch.Tensor, **inputs: torch.Tensor) -> torch.Tensor:
        output = self.bert(**inputs, output_hidden_states=True)
        pooler: Any = self.bert.bert.pooler
        pooled = pooler(output.hidden_states[-1])
        regions = self.swin(region_values).pooler_output
        matching = self.matching_head(torch.cat([pooled, regions], dim=-1))
        return output.loss + F.cross_entropy(matching, srm_labels)


class Data:
    """Fours of random segments and region matrices, and the batches that each side's collator makes of them."""

    def __init__(self, options: argparse.Namespace):
        rng = np.random.default_rng(0)
        self.segment_length = (options.num_tokens - 3) // 2 + KMER - 1
        names = [f"motif{number}" for number in range(NUM_MOTIFS)]
        bank = MotifBank(names, names, ["family"] * NUM_MOTIFS, [np.eye(4)] * NUM_MOTIFS)
        self.collator = GeneBertDataCollatorForPreTraining(
            GeneBertFeatureExtractor(bank, num_regions=NUM_REGIONS), kmer=KMER
        )
        self.tokenizer = GeneBertTokenizer(kmer=KMER, model_max_length=options.num_tokens)
        self.stock_collator = DataCollatorForLanguageModeling(self.tokenizer, mlm_probability=0.15)
        is_ngsp = rng.permutation(NUM_FOURS) < NUM_NGSP_FOURS
        examples = [example for four in range(NUM_FOURS) for example in self._four(rng, four, bool(is_ngsp[four]))]
        size = options.batch_size
        self.batches = [examples[start : start + size] for start in range(0, len(examples) - size + 1, size)]

    def _four(self, rng: np.random.Generator, number: int, is_ngsp: bool) -> list[dict[str, Any]]:
        def window(row: int) -> dict[str, Any]:
            return {
                "segment_a": rng.integers(4, size=self.segment_length, dtype=np.uint8),
                "segment_b": rng.integers(4, size=self.segment_length, dtype=np.uint8),
                "tiled_segment": None,
                "scores": rng.random((NUM_REGIONS, NUM_MOTIFS), dtype=np.float32).astype(np.float16),
                "accessibility": rng.random(NUM_REGIONS, dtype=np.float32),
                "distances": np.sort(rng.integers(-100_000, 100_000, NUM_REGIONS)),
                "region_mask": np.ones(NUM_REGIONS, dtype=bool),
                "seed": (0, row),
            }

        p, q = window(2 * number), window(2 * number + 1)
        exchanged = ("segment_b",) if is_ngsp else ("scores", "accessibility", "distances", "region_mask")
        asked, other = ("ngsp_label", "srm_label") if is_ngsp else ("srm_label", "ngsp_label")
        return [
            {**of, **{name: shown[name] for name in exchanged}, asked: int(of is shown), other: -100}
            for of, shown in ((p, p), (p, q), (q, q), (q, p))
        ]

    def next_batches(self) -> Iterator[list[dict[str, Any]]]:
        return itertools.cycle(self.batches)

    def genebert_batch(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.collator(examples)
        del batch["hidden_bases"]
        return batch

    def apart_batch(self, examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        batch = self.genebert_batch(examples)
        sequence_rows, region_rows = batch.pop("sequence_rows"), batch.pop("region_rows")
        for name in ("input_ids", "attention_mask", "token_type_ids", "labels"):
            batch[name] = batch[name][sequence_rows]
        for name in ("region_values", "region_mask", "region_context_ids"):
            batch[name] = batch[name][region_rows]
        return batch

    def stock_batch(self, examples: list[dict[str, Any]], num_motif_rows: int) -> dict[str, torch.Tensor]:
        """Its matrices are the same values; laid out by the same code, since transformers has none."""
        ours = self.collator._regions(examples, np.zeros((0, 0)))
        values = torch.from_numpy(ours["region_values"][ours["region_rows"]]).float()
        for example in examples:
            if "tokens" not in example:  # tokenized beforehand, as for stock training
                segments = (decode_dna(example[name]) for name in ("segment_a", "segment_b"))
                example["tokens"] = dict(self.tokenizer(*segments))
        return {
            **self.stock_collator([example["tokens"] for example in examples]),
            "next_sentence_label": torch.tensor([example["ngsp_label"] for example in examples]),
            "region_values": expand_region_values(values, num_motif_rows),
            "srm_labels": torch.tensor([example["srm_label"] for example in examples]),
        }


def make_config(options: argparse.Namespace, dropout: float, plain: bool) -> GeneBertConfig:
    """GeneBERT's config: of the same parts as the stock composition (`plain`), or of the default parts."""
    sequence = {
        "hidden_size": options.hidden_size,
        "num_hidden_layers": options.num_layers,
        "num_attention_heads": max(1, options.hidden_size // 64),
        "intermediate_size": 4 * options.hidden_size,
        "max_position_embeddings": options.num_tokens,
        "hidden_dropout_prob": dropout,
        "attention_probs_dropout_prob": dropout,
    }
    composition: dict[str, Any] = {"fusion_type": "concat", "region_embedding": "patch"} if plain else {}
    return GeneBertConfig.small(
        sequence_config=sequence,
        num_motifs=NUM_MOTIFS,
        num_regions=NUM_REGIONS,
        classifier_dropout=dropout,
        **composition,
    )


def check_equal_losses(options: argparse.Namespace, data: Data) -> float:
    """Largest difference of loss and region states, of both sides with the same weights, ids and masks."""
    config = make_config(options, 0.0, plain=True)
    torch.manual_seed(0)
    ours, stock = GeneBertForPreTraining(config).eval(), StockComposition(config).eval()
    stock.bert.bert.load_state_dict(ours.genebert.sequence_encoder.state_dict(), strict=False)
    stock.swin.load_state_dict(ours.genebert.region_encoder.swin.state_dict(), strict=False)
    head = stock.bert.cls.predictions
    head.transform.dense.load_state_dict(ours.predictions.dense.state_dict())
    head.transform.LayerNorm.load_state_dict(ours.predictions.norm.state_dict())
    head.transform.LayerNorm.eps = ours.predictions.norm.eps
    head.decoder.load_state_dict(ours.predictions.decoder.state_dict())
    batch, apart = data.genebert_batch(data.batches[0]), data.apart_batch(data.batches[0])
    values = expand_region_values(apart["region_values"].float(), config.num_motif_rows)
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.inference_mode():
        found = ours(**batch)
        logits = stock.bert(**{name: apart[name] for name in names}).prediction_logits
        expected = F.cross_entropy(logits.flatten(0, 1), apart["labels"].flatten())
        regions = ours.genebert.region_encoder.swin(values).last_hidden_state - stock.swin(values).last_hidden_state
    difference = max(abs(float(found.mgm_loss - expected)), float(regions.abs().max()))
    if difference > 1e-4:
        raise AssertionError(
            f"losses or region states of GeneBERT and of the stock composition differ by {difference}"
        )
    print(f"same weights and masks, same loss: {float(found.mgm_loss):.5f} and {float(expected):.5f}", flush=True)
    return difference


def training_step(
    model: nn.Module,
    batches: Iterator[dict[str, torch.Tensor]],
    loss_of: Callable[[Any], torch.Tensor],
    precision: str,
) -> Callable[[], None]:
    """A function that trains for one step, until its last result is there."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model.train()
    device = next(model.parameters()).device

    def step() -> None:
        batch = {name: tensor.to(device) for name, tensor in next(batches).items()}
        with torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext():
            loss = loss_of(model(**batch))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        float(loss.detach())  # waits for a GPU

    return step


def matmul_rate(size: int, precision: str, device: torch.device, clock: Callable[[], float]) -> float:
    """Floating-point operations a second of a product of two large square matrices."""
    a, b = torch.randn(2, size, size, device=device, dtype=DTYPES[precision])
    repeats = 10 if device.type == "cpu" else 1000

    def products() -> None:
        for _ in range(repeats):
            result = a @ b
        float(result[0, 0])  # waits for a GPU

    seconds = time_in_turns({"products": products}, repeats=5, warm_up=1, clock=clock)["products"]
    return 2 * size**3 * repeats / statistics.median(seconds)


def step_operations(model: GeneBertForPreTraining, batch: dict[str, torch.Tensor]) -> float:
    """Floating-point operations of the matrix products of a step: those of the forward pass, three times."""
    model.config._attn_implementation = "eager"  # whose products are counted one by one
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval()(**batch)
    model.config._attn_implementation = "sdpa"
    return 3.0 * counter.get_total_flops()


def measure_on_cpu(options: argparse.Namespace) -> dict[str, float]:
    """All figures of a CPU."""
    clock = time.process_time if options.cpu_time else time.perf_counter
    data = Data(options)
    figures: dict[str, float] = {"largest_difference_of_losses": check_equal_losses(options, data)}
    tokens = options.batch_size * (3 + 2 * (data.segment_length - KMER + 1))
    for precision in options.precisions:
        rate = matmul_rate(options.matmul_size, precision, torch.device("cpu"), clock)
        figures[f"matmul_gflops_{precision}"] = rate / 1e9
        for dropout, suffix in ((0.1, ""), (0.0, "_no_dropout")):
            plain, default = (make_config(options, dropout, plain=plain) for plain in (True, False))
            models = {name: GeneBertForPreTraining(plain) for name in ("genebert", "apart")}
            models["default"] = GeneBertForPreTraining(default)
            make_batch = {"genebert": data.genebert_batch, "apart": data.apart_batch, "default": data.genebert_batch}
            steps = {
                name: training_step(model, map(make_batch[name], data.next_batches()), lambda out: out.loss, precision)
                for name, model in models.items()
            }
            stock_batch = partial(data.stock_batch, num_motif_rows=plain.num_motif_rows)
            stock_batches = map(stock_batch, data.next_batches())
            steps["stock"] = training_step(StockComposition(plain), stock_batches, lambda loss: loss, precision)
            seconds = time_in_turns(steps, repeats=options.repeats, warm_up=1, clock=clock)
            for name, times in seconds.items():
                figures[f"tokens_per_second_{name}_{precision}{suffix}"] = tokens / statistics.mean(times)
            for name, ending in (("genebert", ""), ("apart", "_apart")):
                ratio = sum(seconds["stock"]) / sum(seconds[name])  # of the same batches, which differ in cost
                figures[f"ratio_to_stock_{precision}{suffix}{ending}"] = ratio
            timed = itertools.islice(data.next_batches(), 1, 1 + options.repeats)
            operations = sum(step_operations(models["genebert"], data.genebert_batch(batch)) for batch in timed)
            share = operations / sum(seconds["genebert"]) / rate
            figures[f"share_of_matmul_{precision}{suffix}"] = share
            print(
                f"{precision}, dropout {dropout}: {figures[f'ratio_to_stock_{precision}{suffix}']:.2f} times stock, "
                f"{100 * share:.0f} % of a matmul of {rate / 1e9:.0f} GFLOP/s",
                flush=True,
            )
    return figures


def measure_on_gpu(options: argparse.Namespace) -> dict[str, float]:
    """Figures of the `base` preset in bf16 on a GPU, with batches that lie ready."""
    device = torch.device("cuda")
    data = Data(options)
    model: Any = GeneBertForPreTraining(GeneBertConfig.base(num_motifs=NUM_MOTIFS, num_regions=NUM_REGIONS))
    model.to(device)
    batch = {name: tensor.to(device) for name, tensor in data.genebert_batch(data.batches[0]).items()}
    operations = step_operations(model, batch)
    step = training_step(model, itertools.repeat(batch), lambda output: output.loss, "bf16")
    seconds = statistics.median(time_in_turns({"step": step}, repeats=20, warm_up=5)["step"])
    return {
        "mfu": operations / seconds / matmul_rate(options.matmul_size, "bf16", device, time.perf_counter),
        "sequences_per_gpu_hour": 3600 * options.batch_size / seconds,
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch_size", type=int, default=8)
    parser.add_argument("--num_tokens", type=int, default=512)
    parser.add_argument("--hidden_size", type=int, default=768)
    parser.add_argument("--num_layers", type=int, default=4)
    parser.add_argument(
        "--matmul_size", type=int, default=2048, help="rows and columns of what a step is compared with"
    )
    parser.add_argument("--precisions", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=10, help="steps that count")
    parser.add_argument("--threads", type=int, help="default: as PyTorch chooses")
    parser.add_argument("--cpu_time", action="store_true", help="CPU time instead of time on the wall")
    parser.add_argument("--output_dir", default=RESULTS, help="where the result file goes")
    options = parser.parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    figures = measure_on_gpu(options) if torch.cuda.is_available() else measure_on_cpu(options)
    settings = {name: value for name, value in vars(options).items() if name != "output_dir"}
    return write_report("pretraining", figures, settings, options.output_dir)


if __name__ == "__main__":
    main()
