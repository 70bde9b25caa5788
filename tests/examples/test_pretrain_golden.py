"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four windows (NGSP is asked of few of them). Recorded on an x86 CPU with PyTorch 2.13. Where a
# change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3101, 8.1613, 8.0479, 7.903, 7.8076, 7.6991, 7.6624, 7.6188, 7.558, 7.5798],
    "ngsp_loss": [0.0463, 0.0, 0.0, 0.0057, 0.0028, 0.4241, 0.0291, 0.0276, 0.1002, 0.1177],
    "srm_loss": [0.6906, 0.7597, 0.7374, 0.6791, 0.7275, 0.6282, 0.8061, 0.7065, 0.7084, 0.6967],
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
