"""Several processes: they train as one, stop as one, and may cut the model up among them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from safetensors.torch import load_file

from examples.pretraining.checkpoints import list_checkpoints
from modeling_genebert import GeneBertForPreTraining
from tests.running import ROOT, SMALL_RUN, quick_python

from .running_pretrain import pretrain


CONFIGS = sorted((ROOT / "examples" / "accelerate_configs").glob("*.yaml"))
# Batches of unequal numbers of labels, in two batches an update; dropout would differ between processes.
STEPS = ["--max_train_steps", "10", "--gradient_accumulation_steps", "2", "--dropout", "0", "--logging_steps", "1"]
STEPS += ["--eval_steps", "5", "--checkpointing_steps", "4"]


def start_two(script: str, dataset: Path, output: Path, *arguments: str) -> subprocess.Popen:
    """Two processes with two windows a batch: together as many as one process takes in these tests."""
    command = [*quick_python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "--no-python"]
    command += [*quick_python(), str(ROOT / script), *SMALL_RUN, *STEPS, "--per_device_train_batch_size", "2"]
    command += ["--dataset_name_or_path", str(dataset), "--output_dir", str(output), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


def history(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "trainer_state.json").read_text())["log_history"]


def assert_same_history(expected: Path, found: Path) -> None:
    assert len(history(expected)) == len(history(found)) == 12  # ten losses, two evaluations
    for one, other in zip(history(expected), history(found), strict=True):
        assert one == pytest.approx(other, abs=2e-5, nan_ok=True)


@pytest.fixture(scope="module")
def one_process(atac_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one") / "run"
    pretrain(atac_folder, folder, *STEPS)
    return folder


def test_two_processes_stopped_and_resumed_equal_one(one_process, atac_folder, tmp_path):
    output = tmp_path / "run"
    process = start_two("examples/pretrain.py", atac_folder, output)
    started = time.monotonic()
    while not (output / "checkpoint-4").exists():
        assert process.poll() is None and time.monotonic() - started < 240
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)  # torchrun passes it on to its processes
    printed, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert printed.count("Stopped by signal 15") == 1, printed
    step = int(list_checkpoints(output)[-1].name.split("-")[1])
    assert 4 <= step < 10

    process = start_two("examples/pretrain.py", atac_folder, output, "--resume_from_checkpoint", "latest")
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    assert f"at step {step}" in printed
    assert printed.count("Training 0.8 M parameters") == 1
    assert_same_history(one_process, output)
    with pytest.raises(ValueError, match="was trained with num_processes=2, now it is 1; with per_device_train_batch"):
        pretrain(atac_folder, output, *STEPS, "--resume_from_checkpoint", "latest")


def test_two_processes_equal_one_for_50_steps(atac_folder, tmp_path):
    """Beyond the warm-up, through two epochs: differences of rounding stay small."""
    steps = ["--max_train_steps", "50", "--eval_steps", "1000", "--checkpointing_steps", "1000"]
    process = start_two("examples/pretrain.py", atac_folder, tmp_path / "two", *steps)
    pretrain(atac_folder, tmp_path / "one", *STEPS, *steps)
    printed, _ = process.communicate(timeout=600)
    assert process.returncode == 0, printed
    one, two = ([entry for entry in history(tmp_path / name) if "mgm_loss" in entry] for name in ("one", "two"))
    assert [entry["step"] for entry in one] == [entry["step"] for entry in two] == list(range(1, 51))
    # Not every step asks for NGSP, or for SRM.
    names = [[name for name in entry if name.endswith("_loss")] for entry in one]
    assert [[name for name in entry if name.endswith("_loss")] for entry in two] == names
    assert {name for asked in names for name in asked} == {"mgm_loss", "ngsp_loss", "srm_loss"}
    differences = [abs(a[name] - b[name]) for a, b, asked in zip(one, two, names, strict=True) for name in asked]
    print(f"largest difference of a loss: {max(differences):.1e} nats")
    assert max(differences) < 2e-5


def test_fsdp2_trains_saves_and_loads(one_process, atac_folder, tmp_path):
    output = tmp_path / "run"
    script = "tests/examples/pretrain_with_fsdp.py"
    process = start_two(script, atac_folder, output, "--save_total_limit", "3")
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    assert (output / "checkpoint-4" / "pytorch_model_fsdp_0").is_dir()  # cut up
    assert_same_history(one_process, output)
    model = GeneBertForPreTraining.from_pretrained(output)
    assert type(model).__name__ == "GeneBertForPreTraining"
    assert not list(output.glob("_fsdp*"))  # code of the classes that FSDP makes

    process = start_two(script, atac_folder, tmp_path / "on", "--resume_from_checkpoint", str(output / "checkpoint-4"))
    printed, _ = process.communicate(timeout=240)
    assert process.returncode == 0, printed
    expected, found = (load_file(folder / "model.safetensors") for folder in (output, tmp_path / "on"))
    assert expected.keys() == found.keys()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_activation_checkpointing_changes_no_loss(one_process, atac_folder, tmp_path):
    pretrain(atac_folder, tmp_path / "run", *STEPS, "--gradient_checkpointing")
    assert_same_history(one_process, tmp_path / "run")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_accelerate_takes_the_config(path):
    config = load_config_from_file(str(path))
    assert {name: getattr(config, name) for name in ("num_machines", "num_processes")} == {
        name: yaml.safe_load(path.read_text())[name] for name in ("num_machines", "num_processes")
    }
    arguments = launch_command_parser().parse_args(["--config_file", str(path), "examples/pretrain.py"])
    arguments, *_ = _validate_launch_command(arguments)
    assert arguments.use_fsdp == (path.stem == "fsdp")
    assert arguments.multi_gpu == (path.stem in ("one_node", "many_nodes"))


def test_there_is_a_config_for_each_kind_of_machine():
    assert [path.stem for path in CONFIGS] == ["cpu", "fsdp", "many_nodes", "one_gpu", "one_node"]
