"""A run that is interrupted goes on to the same weights, bit for bit; a step that is not finite does no harm."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import examples.pretrain
from examples.pretrain import main
from examples.pretraining.checkpoints import list_checkpoints, remove_checkpoint
from tests.running import ROOT, SMALL_RUN, quick_python

from .running_pretrain import pretrain


# 9 updates of 2 batches on 76 windows: the run goes on into a second epoch.
STEPS = ("--max_train_steps", "12", "--gradient_accumulation_steps", "2", "--checkpointing_steps", "2")
STEPS += ("--eval_steps", "4", "--logging_steps", "3", "--save_total_limit", "2")


@pytest.fixture(scope="module")
def straight(atac_folder, tmp_path_factory):
    """Runs that nothing interrupted, by precision."""
    folders = {}
    for precision in ("no", "bf16"):
        folders[precision] = tmp_path_factory.mktemp("straight") / precision
        pretrain(atac_folder, folders[precision], *STEPS, "--mixed_precision", precision)
    return folders


@pytest.mark.parametrize(
    ("signal_number", "precision", "status"),
    [
        (signal.SIGTERM, "no", 128 + signal.SIGTERM),
        (signal.SIGINT, "bf16", 128 + signal.SIGINT),
        (signal.SIGKILL, "no", -signal.SIGKILL),
    ],
)
def test_interrupted_and_resumed_is_bit_equal(signal_number, precision, status, straight, atac_folder, tmp_path):
    output = tmp_path / "run"
    arguments = [*SMALL_RUN, *STEPS, "--dataset_name_or_path", str(atac_folder), "--mixed_precision", precision]
    command = [*quick_python(), str(ROOT / "examples" / "pretrain.py"), *arguments, "--output_dir", str(output)]
    command += ["--num_workers", "1"]  # it gets the signal too, and must not die of it
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    wait_for(lambda: (output / "checkpoint-2").exists(), process)
    os.killpg(process.pid, signal_number)  # as a terminal and Slurm do: all processes of the run
    printed, _ = process.communicate(timeout=120)
    assert process.returncode == status

    checkpoints = list_checkpoints(output)
    assert 2 <= int(checkpoints[-1].name.split("-")[1]) < 12
    if signal_number != signal.SIGKILL:
        assert f"Stopped by signal {int(signal_number)}: {checkpoints[-1].name.replace('-', ' of step ')}" in printed
    pretrain(atac_folder, output, *STEPS, "--mixed_precision", precision, "--resume_from_checkpoint", "latest")
    assert_equal_runs(straight[precision], output)


def wait_for(condition, process):
    started = time.monotonic()
    while not condition():
        assert process.poll() is None, "the run ended before it was interrupted"
        assert time.monotonic() - started < 120
        time.sleep(0.02)


def assert_equal_runs(expected: Path, found: Path) -> None:
    weights, resumed = (load_file(folder / "model.safetensors") for folder in (expected, found))
    assert weights.keys() == resumed.keys()
    for name, value in weights.items():
        assert torch.equal(value, resumed[name]), name
    histories = [
        json.loads((folder / "trainer_state.json").read_text())["log_history"] for folder in (expected, found)
    ]
    assert histories[0] == histories[1]
    assert [entry["step"] for entry in histories[0] if "loss" in entry] == [3, 6, 9, 12]
    assert [entry["step"] for entry in histories[0] if "eval_seen_mgm_loss" in entry] == [4, 8, 12]


def test_rotation_keeps_the_newest(straight):
    assert [path.name for path in list_checkpoints(straight["no"])] == ["checkpoint-10", "checkpoint-12"]


def test_half_written_and_half_removed_checkpoints_are_not_taken(straight, tmp_path, monkeypatch):
    newest = straight["no"] / "checkpoint-12"
    shutil.copytree(newest, tmp_path / "checkpoint-12")
    shutil.copytree(newest, tmp_path / ".checkpoint-14.partial")
    shutil.copytree(newest, tmp_path / "checkpoint-9")
    (tmp_path / "checkpoint-notes").mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-12"]

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        remove_checkpoint(tmp_path / "checkpoint-9")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-12"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (("--per_device_train_batch_size", "5"), "per_device_train_batch_size=4, now it is 5: windows would be seen"),
        (
            ("--seed", "1", "--mask_probability", "0.2"),
            "seed=0, now it is 1; with mask_probability=0.15, now it is 0.2",
        ),
    ],
)
def test_resuming_another_run_is_refused(changed, message, straight, atac_folder, tmp_path):
    checkpoint = straight["no"] / "checkpoint-12"
    with pytest.raises(ValueError, match=f"checkpoint-12 was trained with .*{message}"):
        pretrain(atac_folder, tmp_path, *STEPS, "--resume_from_checkpoint", str(checkpoint), *changed)


@pytest.fixture
def poisoned(monkeypatch):
    """Gradients of the third update are not finite."""
    update, calls = examples.pretrain.update_weights, []

    def poison(accelerator, model, optimizer, batches, **kwargs):
        calls.append(1)
        weight = accelerator.unwrap_model(model).srm_head[-1].weight
        hook = weight.register_hook(lambda gradient: gradient * float("nan")) if len(calls) == 3 else None
        result = update(accelerator, model, optimizer, batches, **kwargs)
        if hook is not None:
            hook.remove()
        return result

    monkeypatch.setattr(examples.pretrain, "update_weights", poison)


def test_a_step_that_is_not_finite_stops_the_run(poisoned, atac_folder, tmp_path):
    message = r"step 3 is not finite: gradient norm nan, mgm_loss \d.*, learning rate 0.00025; last good checkpoint: "
    with pytest.raises(FloatingPointError, match=message + ".*checkpoint-2; resume with a lower --learning_rate"):
        pretrain(atac_folder, tmp_path, "--max_train_steps", "4", "--checkpointing_steps", "2", "--eval_steps", "9")
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-2"]


def test_a_step_that_is_not_finite_is_left_out_where_asked(poisoned, atac_folder, tmp_path, capsys):
    arguments = ("--max_train_steps", "4", "--eval_steps", "9", "--logging_steps", "1", "--skip_nonfinite_steps", "1")
    results = pretrain(atac_folder, tmp_path, *arguments)
    assert results["skipped_steps"] == 1
    assert "Left out: step 3 is not finite" in capsys.readouterr().out
    assert all(value.isfinite().all() for value in load_file(tmp_path / "model.safetensors").values())
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in history if "loss" in entry] == [1, 2, 4]


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a checkpoint of this script"):
        main(["--output_dir", str(tmp_path / "run"), "--resume_from_checkpoint", str(tmp_path)])
