"""A golden loss curve: 200 steps of the tiny model, so that no change of training goes unnoticed."""

from __future__ import annotations

import json

import numpy as np

from .running_pretrain import pretrain


# Means over 20 steps of four windows (NGSP is asked of few of them). Recorded on an x86 CPU with PyTorch 2.13. Where a
# change is meant, put here what the failing test prints.
GOLDEN = {
    "mgm_loss": [8.3137, 8.1794, 8.0377, 7.9304, 7.8291, 7.7481, 7.653, 7.6129, 7.5946, 7.6034],
    "ngsp_loss": [0.1555, 0.0908, 0.3021, 0.3173, 0.383, 0.0074, 0.1687, 0.2785, 0.2287, 0.1282],
    "srm_loss": [0.6848, 0.7547, 0.7734, 0.7156, 0.7154, 0.6983, 0.7334, 0.7137, 0.6978, 0.6744],
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
