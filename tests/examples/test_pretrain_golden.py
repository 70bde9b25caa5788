"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four examples (three times none of them asks for NGSP). Recorded on an x86 CPU with PyTorch
# 2.13. Where a change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3179, 8.2802, 8.2478, 8.2005, 8.2136, 8.1716, 8.1784, 8.1769, 8.162, 8.1449],
    "ngsp_loss": [0.8267, 0.6952, 0.7828, 0.6961, 0.6772, 0.7302, 0.7149],
    "srm_loss": [0.7121, 0.7131, 0.6787, 0.6958, 0.6661, 0.6552, 0.6801, 0.6582, 0.6686, 0.6176],
}
# Another order of additions (other CPUs, other numbers of threads) changes the last digits, which training amplifies.
TOLERANCE = {"mgm_loss": 0.002, "ngsp_loss": 0.01, "srm_loss": 0.005}  # nats; other initial weights: 0.02


def test_loss_curve_is_as_recorded(atac_folder, tmp_path):
    arguments = ("--max_train_steps", "200", "--logging_steps", "20", "--eval_steps", "1000", "--dropout", "0")
    arguments += ("--checkpointing_steps", "1000", "--learning_rate", "1e-3", "--mixed_precision", "no")
    arguments += ("--segment_length", "256")
    pretrain(atac_folder, tmp_path, *arguments)
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    for name, golden in GOLDEN.items():
        found = [entry[name] for entry in history if name in entry]
        np.testing.assert_allclose(found, golden, rtol=0, atol=TOLERANCE[name], err_msg=name)
