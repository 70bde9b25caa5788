"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four windows (NGSP is asked of few of them). Recorded on an x86 CPU with PyTorch 2.13. Where a
# change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3137, 8.176, 8.0365, 7.9361, 7.8306, 7.7572, 7.7031, 7.6399, 7.6389, 7.5708],
    "ngsp_loss": [0.0, 0.0686, 0.0, 0.2988, 0.4145, 0.0294, 0.0, 0.0112, 0.1882, 0.013],
    "srm_loss": [0.6974, 0.789, 0.7195, 0.7006, 0.6899, 0.6792, 0.7581, 0.6769, 0.6894, 0.7017],
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
