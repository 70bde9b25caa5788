"""Tokens per second on one core: GeneBertTokenizer and the collators, beside what transformers has for the same.

    python -m benchmarks.tokenizer

Results are compared first, then timed in turns, on one core and one thread, in CPU time, which other programs disturb
less. Tokens are those of the model's input, special tokens included. Each `..._per_second` is the median of the
rounds, each `..._per_second_best` the fastest one.

- `tokens_per_second`: `tokenizer(batch, return_tensors="pt")`, 256 sequences of 512 bp, k=6.
- `bert_fast_tokens_per_second`: `BertTokenizerFast` (another name of `BertTokenizer` since transformers 5) with
  DNABERT's vocabulary, called alike on k-mers that were split by spaces beforehand; `bert_fast_with_splitting_...`
  counts the splitting too.
- `ratio_to_bert_fast`: ours to `BertTokenizerFast` *without* the splitting, the peer's better figure;
  `ratio_to_bert_fast_with_splitting`: with it.
- `rust_pipeline_tokens_per_second`: the saved `tokenizer.json` alone, as `PreTrainedTokenizerFast`.
- `ids_tokens_per_second`: k-mer ids from base codes, the array arithmetic alone.
- `collator_tokens_per_second_N`: the sequence part of `GeneBertDataCollatorForPreTraining` (masks, ids, labels, token
  types), pairs of 256-bp segments in batches of N; `collator_tokens_per_second` is the slowest of them.
- `masked_lm_collator_...`: `GeneBertDataCollatorForMaskedLM` on raw DNA; `language_modeling_collator_...`:
  transformers' `DataCollatorForLanguageModeling` on rows that were tokenized beforehand; `ratio_to_language_modeling`:
  `collator_tokens_per_second` to that.
- `collator_matrices_per_second`: the region part of the collator, matrices of 1019 motifs × 32 regions, batches of 32.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import BertTokenizer, DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from modeling_genebert import (
    GeneBertDataCollatorForMaskedLM,
    GeneBertDataCollatorForPreTraining,
    GeneBertFeatureExtractor,
    GeneBertTokenizer,
    MotifBank,
    decode_dna,
    encode_dna,
)
from modeling_genebert.masking_genebert import UNK_ID, kmer_ids

from .report import RESULTS, time_in_turns, write_report


KMER = 6
SEGMENT_LENGTH = 256
COLLATOR_BATCH_SIZES = (32, 64, 128, 256)
MATRIX_BATCH_SIZE, NUM_MOTIFS, NUM_REGIONS = 32, 1019, 32


def use_one_core() -> None:
    """One thread in PyTorch and `tokenizers`, and, where the system lets us, one core for the whole process."""
    torch.set_num_threads(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def random_sequences(count: int, length: int, rng: np.random.Generator) -> list[str]:
    """Random DNA; each 16th sequence has a run of ten Ns."""
    codes = rng.integers(4, size=(count, length), dtype=np.uint8)
    codes[::16, length // 2 : length // 2 + 10] = 4
    return [decode_dna(row) for row in codes]


def split_kmers(sequence: str) -> str:
    """The k-mers of a sequence with spaces between them, which is what DNABERT asks of its users."""
    return " ".join(sequence[start : start + KMER] for start in range(len(sequence) - KMER + 1))


def load_pipeline(tokenizer: GeneBertTokenizer) -> PreTrainedTokenizerFast:
    """The tokenizer's `tokenizer.json` and nothing else of it."""
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return PreTrainedTokenizerFast(
            tokenizer_file=str(Path(folder) / "tokenizer.json"),
            pad_token=tokenizer.pad_token,
            model_input_names=tokenizer.model_input_names,
        )


def pretraining_examples(count: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Pairs of segments and columns of windows, as `PreTrainingDataset` makes them."""
    return [
        {
            "segment_a": rng.integers(4, size=SEGMENT_LENGTH, dtype=np.uint8),
            "segment_b": rng.integers(4, size=SEGMENT_LENGTH, dtype=np.uint8),
            "tiled_segment": None,
            "scores": rng.random((NUM_REGIONS, NUM_MOTIFS), dtype=np.float32).astype(np.float16),
            "accessibility": rng.random(NUM_REGIONS, dtype=np.float32),
            "distances": np.sort(rng.integers(-100_000, 100_000, NUM_REGIONS)),
            "region_mask": rng.random(NUM_REGIONS) < 0.9,
            "ngsp_label": 1,
            "srm_label": 1,
            "seed": (0, number),
        }
        for number in range(count)
    ]


def pretraining_collator() -> GeneBertDataCollatorForPreTraining:
    """With a bank of as many motifs as JASPAR2026 CORE vertebrates has; what they look like does not matter here."""
    names = [f"motif{number}" for number in range(NUM_MOTIFS)]
    bank = MotifBank(names, names, ["family"] * NUM_MOTIFS, [np.eye(4)] * NUM_MOTIFS)
    return GeneBertDataCollatorForPreTraining(GeneBertFeatureExtractor(bank, num_regions=NUM_REGIONS), kmer=KMER)


def check_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], peer: str) -> None:
    for name in ("input_ids", "token_type_ids", "attention_mask"):
        if not torch.equal(found[name], expected[name]):
            raise AssertionError(f"{name} of GeneBertTokenizer and of {peer} differ")
    print(f"same input as {peer}: {found['input_ids'].numel()} tokens", flush=True)


def measure_tokenizers(sequences: list[str], repeats: int) -> dict[str, float]:
    """Figures of `GeneBertTokenizer` and its peers."""
    tokenizer = GeneBertTokenizer(kmer=KMER, model_max_length=len(sequences[0]))
    pipeline = load_pipeline(tokenizer)
    bert = BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=False)
    split = [split_kmers(sequence) for sequence in sequences]
    codes = np.stack([encode_dna(sequence) for sequence in sequences])

    ours = tokenizer(sequences, return_tensors="pt")
    check_equal(ours, pipeline(sequences, return_tensors="pt"), "the tokenizers pipeline")
    check_equal(ours, bert(split, return_tensors="pt"), "BertTokenizerFast")
    ids = kmer_ids(codes, KMER)
    if not np.array_equal(ids, ours["input_ids"][:, 1:-1]):
        raise AssertionError("ids of GeneBertTokenizer and of kmer_ids differ")

    figures = per_second(
        {
            "tokens_per_second": lambda: tokenizer(sequences, return_tensors="pt"),
            "bert_fast_tokens_per_second": lambda: bert(split, return_tensors="pt"),
            "bert_fast_with_splitting_tokens_per_second": lambda: bert(
                [split_kmers(sequence) for sequence in sequences], return_tensors="pt"
            ),
            "rust_pipeline_tokens_per_second": lambda: pipeline(sequences, return_tensors="pt"),
        },
        count=ours["input_ids"].numel(),
        repeats=repeats,
    )
    figures |= per_second(
        {"ids_tokens_per_second": lambda: kmer_ids(codes, KMER)}, count=ids.size, repeats=3 * repeats
    )
    for peer in ("bert_fast", "bert_fast_with_splitting"):
        figures[f"ratio_to_{peer}"] = figures["tokens_per_second"] / figures[f"{peer}_tokens_per_second"]
    return figures


def measure_collators(sequences: list[str], repeats: int) -> dict[str, float]:
    """Figures of the collators, and of transformers' own for text."""
    tokenizer = GeneBertTokenizer(kmer=KMER, model_max_length=len(sequences[0]))
    tokenized = [tokenizer(sequence) for sequence in sequences]
    raw = [{"sequence": sequence} for sequence in sequences]
    masked_lm, language_modeling = (
        GeneBertDataCollatorForMaskedLM(tokenizer),
        DataCollatorForLanguageModeling(tokenizer),
    )
    batch, true_ids = masked_lm(raw), torch.tensor([row["input_ids"] for row in tokenized])
    found = torch.where(batch["labels"] != -100, batch["labels"], batch["input_ids"])
    # A k-mer with an N has no label, and is [MASK] where a span begins beside the N.
    if not torch.equal(found[true_ids != UNK_ID], true_ids[true_ids != UNK_ID]):
        raise AssertionError("labels and unmasked ids of GeneBertDataCollatorForMaskedLM are not the tokenizer's ids")
    print(f"true labels, other ids unchanged: {found.numel()} tokens", flush=True)
    figures = per_second(
        {
            "masked_lm_collator_tokens_per_second": lambda: masked_lm(raw),
            "language_modeling_collator_tokens_per_second": lambda: language_modeling(tokenized),
        },
        count=true_ids.numel(),
        repeats=repeats,
    )

    collator = pretraining_collator()
    examples = pretraining_examples(max(COLLATOR_BATCH_SIZES), np.random.default_rng(1))
    for size in COLLATOR_BATCH_SIZES:
        figures |= per_second(
            {f"collator_tokens_per_second_{size}": partial(collator._sequences, examples[:size])},
            count=collator._sequences(examples[:size])[0]["input_ids"].size,
            repeats=3 * repeats,
        )
    rates = [figures[f"collator_tokens_per_second_{size}"] for size in COLLATOR_BATCH_SIZES]
    figures["collator_tokens_per_second"] = min(rates)
    figures["ratio_to_language_modeling"] = min(rates) / figures["language_modeling_collator_tokens_per_second"]

    windows = examples[:MATRIX_BATCH_SIZE]
    visible = collator._sequences(windows)[1]
    figures |= per_second(
        {"collator_matrices_per_second": lambda: collator._regions(windows, visible)},
        count=len(windows),
        repeats=3 * repeats,
    )
    return figures


def per_second(runs: dict[str, Callable[[], object]], *, count: int, repeats: int) -> dict[str, float]:
    """Rates of functions that each do `count` things: the median of the rounds, and the fastest as `..._best`."""
    figures = {}
    for name, seconds in time_in_turns(runs, repeats=repeats, clock=time.process_time).items():
        figures[name], figures[f"{name}_best"] = count / float(np.median(seconds)), count / min(seconds)
        print(f"{name}: {figures[name]:,.0f} ({count / max(seconds):,.0f} to {count / min(seconds):,.0f})", flush=True)
    return figures


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--num_sequences", type=int, default=256)
    parser.add_argument("--length", type=int, default=512, help="of a sequence in bp")
    parser.add_argument("--repeats", type=int, default=11, help="rounds; three times as many for the collators")
    parser.add_argument("--output_dir", default=RESULTS)
    options = parser.parse_args(arguments)
    use_one_core()
    sequences = random_sequences(options.num_sequences, options.length, np.random.default_rng(0))
    figures = measure_tokenizers(sequences, options.repeats) | measure_collators(sequences, options.repeats)
    settings = {
        "num_sequences": options.num_sequences,
        "length": options.length,
        "kmer": KMER,
        "repeats": options.repeats,
        "clock": "CPU time",
        "segment_length": SEGMENT_LENGTH,
        "collator_batch_sizes": COLLATOR_BATCH_SIZES,
        "matrix_batch_size": MATRIX_BATCH_SIZE,
    }
    write_report("tokenizer", figures, settings, options.output_dir)


if __name__ == "__main__":
    main()
