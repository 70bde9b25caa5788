"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four examples (three times none of them asks for NGSP). Recorded on an x86 CPU with PyTorch
# 2.13. Where a change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3179, 8.2798, 8.2469, 8.2044, 8.2173, 8.1735, 8.1791, 8.1754, 8.1629, 8.1465],
    "ngsp_loss": [0.8267, 0.6888, 0.8107, 0.7303, 0.6764, 0.7011, 0.7243],
    "srm_loss": [0.7144, 0.7105, 0.6924, 0.7071, 0.673, 0.6432, 0.6755, 0.6288, 0.6577, 0.5769],
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
