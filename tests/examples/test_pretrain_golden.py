"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four examples (three times none of them asks for NGSP). Recorded on an x86 CPU with PyTorch
# 2.13. Where a change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3215, 8.2729, 8.2423, 8.1952, 8.2016, 8.1571, 8.1701, 8.1693, 8.1471, 8.1355],
    "ngsp_loss": [0.7516, 0.8193, 0.7921, 0.6924, 0.6942, 0.6936, 0.6948],
    "srm_loss": [0.6993, 0.6981, 0.6952, 0.6936, 0.6956, 0.6923, 0.6931, 0.6931, 0.6936, 0.6929],
}
# Another order of additions (other CPUs, other numbers of threads) changes the last digits, which training amplifies.
TOLERANCE = {"mgm_loss": 0.002, "ngsp_loss": 0.01, "srm_loss": 0.005}  # nats; other initial weights: 0.02


def test_loss_curve_is_as_recorded(atac_folder, tmp_path):
    arguments = ("--max_train_steps", "200", "--logging_steps", "20", "--eval_steps", "1000", "--dropout", "0")
    arguments += ("--checkpointing_steps", "1000", "--learning_rate", "1e-3", "--mixed_precision", "no")
    pretrain(atac_folder, tmp_path, *arguments)
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    for name, golden in GOLDEN.items():
        found = [entry[name] for entry in history if name in entry]
        np.testing.assert_allclose(found, golden, rtol=0, atol=TOLERANCE[name], err_msg=name)
