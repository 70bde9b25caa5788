"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four windows (NGSP is asked of few of them). Recorded on an x86 CPU with PyTorch 2.13. Where a
# change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3212, 8.2513, 8.2161, 8.1822, 8.1584, 8.1314, 8.1579, 8.1199, 8.1285, 8.1216],
    "ngsp_loss": [0.0458, 0.0, 0.0, 0.0051, 0.0023, 0.4479, 0.0407, 0.0344, 0.0969, 0.1185],
    "srm_loss": [0.6905, 0.7661, 0.7218, 0.6832, 0.7231, 0.6331, 0.806, 0.7067, 0.7058, 0.6935],
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
