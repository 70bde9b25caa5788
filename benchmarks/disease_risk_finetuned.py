"""GeneBERT trained on the effects of variants, all of it: one of the arms of `benchmarks/disease_risk.py`.

[`GeneBertForVariantEffect`] reads both alleles; `examples/finetune.py` trains it, from a checkpoint or from scratch,
as a user would. Settings are small, so that a group takes one to two minutes on one core; none was tuned on effects.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import torch

from examples.finetune import main as finetune

from .gue import MODEL
from .report import is_bf16_fast


WINDOW = 31  # bp, as the other arms that are trained on effects have
TRAINING: dict[str, Any] = {
    "max_steps": 120,  # half an epoch
    "per_device_train_batch_size": 128,
    "per_device_eval_batch_size": 250,
    "lr_scheduler_type": "cosine",
    "warmup_steps": 0.1,  # a share of all steps
    "weight_decay": 0.05,
    "adam_beta2": 0.98,
    "reverse_complement_augmentation": True,
    "average_strands": True,
    "num_bootstrap": 0,
    "eval_strategy": "no",
    "save_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}
LEARNING_RATE = {"checkpoint": 3e-4, "scratch": 1e-3}


def training_settings(from_scratch: bool) -> dict[str, Any]:
    """Options of `examples/finetune.py`; of a model from scratch also its config."""
    if from_scratch:
        return {**TRAINING, "learning_rate": LEARNING_RATE["scratch"], "config_overrides": json.dumps(MODEL)}
    return {**TRAINING, "learning_rate": LEARNING_RATE["checkpoint"]}


def fit_finetuned(
    sequences: list[str],
    reference: np.ndarray,
    alternate: np.ndarray,
    target: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    seed: int,
    *,
    checkpoint: str | None = None,
    motifs: str | None = None,
) -> np.ndarray:
    """
    Effects predicted by a model trained on those of other variants.

    Args:
        sequences (`list[str]`): distinct windows.
        reference, alternate (`np.ndarray` of shape `(num_variants,)`): number of each variant's windows.
        target (`np.ndarray` of shape `(num_variants,)`): effects.
        train, test (`np.ndarray`): numbers of the variants to train on and to predict.
        seed (`int`): of the new weights, the order of the rows and their strands.
        checkpoint (`str`, *optional*): GeneBERT to start from, folder or Hub id; default: from scratch.
        motifs (`str`, *optional*): JASPAR release or motif file of a model from scratch.

    Returns:
        Effects of `test`, `(len(test),)`, mean of both strands.
    """
    options: dict[str, Any] = {**training_settings(from_scratch=checkpoint is None), "seed": seed}
    options |= {"model_name_or_path": checkpoint, "motifs": motifs if checkpoint is None else None}
    options |= {"use_cpu": not torch.accelerator.is_available(), "bf16": is_bf16_fast()}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, rows in (("train", train), ("test", test)):
            options[f"{name}_file"] = folder / f"{name}.parquet"
            columns = {
                "sequence": [sequences[number] for number in reference[rows]],
                "alt_sequence": [sequences[number] for number in alternate[rows]],
                "label": target[rows].astype(np.float32),
            }
            pyarrow.parquet.write_table(pa.table(columns), options[f"{name}_file"])
        options |= {"output_dir": folder / "run", "cache_dir": folder / "cache"}
        finetune([word for key, value in options.items() if value is not None for word in (f"--{key}", str(value))])
        predictions = pyarrow.csv.read_csv(folder / "run" / "test_predictions.csv")
    return np.asarray(predictions["prediction"], dtype=np.float64)
