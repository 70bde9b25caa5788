from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from examples.pretrain import main, parse_args
from modeling_genebert import GeneBertForPreTraining, GeneBertProcessor
from tests.running import SMALL_RUN, run_example


def test_output_folder_is_whole(pretrained):
    expected = {
        "README.md",
        "all_results.json",
        "config.json",
        "learning_curves.png",
        "model.safetensors",
        "modeling_genebert.py",
        "motifs.safetensors",
        "processor_config.json",
        "tokenizer.json",
        "trainer_state.json",
        "training_args.json",
    }
    names = {path.name for path in pretrained.iterdir()}
    assert expected <= names
    assert not [name for name in names if name.endswith(".partial")]
    assert {"checkpoint-3", "checkpoint-6"} <= names


def test_results_hold_every_figure(pretrained):
    results = json.loads((pretrained / "all_results.json").read_text())
    assert results["train_steps"] == 6
    figures = ["seen_mgm_loss", "seen_mgm_hidden_base_accuracy", "seen_mgm_composition_accuracy"]
    figures += [f"seen_srm_other_locus_{columns}_auroc" for columns in ("visible", "hidden")]
    figures += [f"seen_srm_other_cell_type_{columns}_auroc" for columns in ("visible", "hidden")]
    for figure in figures:
        assert f"eval_{figure}" in results
    for figure in figures[1:]:
        assert results[f"eval_{figure}_low"] <= results[f"eval_{figure}_high"]
    assert any(name.startswith("eval_unseen_") for name in results)


def test_history_and_picture(pretrained):
    history = json.loads((pretrained / "trainer_state.json").read_text())["log_history"]
    assert [entry["step"] for entry in history if "mgm_loss" in entry] == [2, 4, 6]
    assert [entry["step"] for entry in history if "eval_seen_mgm_loss" in entry] == [3, 6]
    with Image.open(pretrained / "learning_curves.png") as picture:
        assert picture.size[0] > 1000


def test_card_says_what_was_held_out(pretrained):
    card = (pretrained / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "- held-out cell types: sim04" in card
    assert "- held-out chromosomes: chr3" in card
    assert "seen_srm_other_locus_visible_auroc" in card
    rows = [line for line in card.splitlines() if line.startswith(("| seen_", "| unseen_"))]
    assert len(rows) > 15
    assert [row for row in rows if not row.split("|")[-2].strip().isdigit()] == []  # blocks of 200 kb


def test_checkpoint_opens_with_its_bank(pretrained, atac):
    model = GeneBertForPreTraining.from_pretrained(pretrained)
    processor = GeneBertProcessor.from_pretrained(pretrained)
    bank = processor.feature_extractor.motif_bank
    assert bank.fingerprint == atac.motif_bank.fingerprint
    model.config.check_motif_bank(bank.fingerprint, len(bank))
    with pytest.raises(ValueError, match="32 motifs with fingerprint"):
        model.config.check_motif_bank(bank.subset(bank.ids[::-1]).fingerprint, len(bank))


@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_resuming_in_a_new_process_is_bit_equal(precision, atac_folder, tmp_path):
    arguments = ("--dataset_name_or_path", str(atac_folder), "--checkpointing_steps", "3", "--eval_steps", "2")
    # 7 steps of 4 batches: the checkpoint lies inside an epoch, and the run goes on into the next.
    arguments += ("--max_train_steps", "7", "--gradient_accumulation_steps", "2", "--mixed_precision", precision)
    arguments += ("--save_total_limit", "5", *SMALL_RUN)
    straight, resumed = tmp_path / "straight", tmp_path / "resumed"
    run_example("pretrain.py", "--output_dir", str(straight), *arguments)
    shutil.copytree(straight / "checkpoint-3", resumed / "checkpoint-3")
    run_example("pretrain.py", "--output_dir", str(resumed), "--resume_from_checkpoint", "latest", *arguments)
    expected, found = (load_file(folder / "model.safetensors") for folder in (straight, resumed))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name
    histories = [
        json.loads((folder / "trainer_state.json").read_text())["log_history"] for folder in (straight, resumed)
    ]
    assert histories[0] == histories[1]


def test_own_peaks_in_one_command(atlas_folder, tmp_path):
    output = tmp_path / "run"
    launcher = (str(Path(sys.executable).with_name("accelerate")), "launch", "--num_processes", "1")
    launcher += ("--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no")
    printed = run_example(
        "pretrain.py",
        *("--genome", str(atlas_folder / "genome.fa"), "--peaks", str(atlas_folder / "peaks")),
        *("--motifs", str(atlas_folder / "motifs.safetensors"), "--eval_chromosomes", "chr3"),
        *("--eval_cell_types", "sim04", "--output_dir", str(output), "--max_train_steps", "1", *SMALL_RUN),
        launcher=launcher,
    )
    assert "Consensus regions:" in printed
    assert "sim04 (held out)" in printed
    assert json.loads((output / "dataset" / "build_info.json").read_text())["options"]["held_out_cell_types"] == [
        "sim04"
    ]
    assert (output / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--genome", "g.fa"], "--genome and --peaks go together"),
        (["--genome", "g.fa", "--peaks", "p"], "--genome needs --eval_chromosomes"),
        (["--genome", "g.fa", "--peaks", "p", "--dataset_name_or_path", "d"], "give either"),
        (["--dataset_name_or_path", "d", "--eval_chromosomes", "chr1"], "has its own split"),
        (["--max_train_steps", "0"], "must be at least 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse_args(["--output_dir", "x", *arguments])
    assert message in capsys.readouterr().err


def test_a_finished_run_is_not_trained_over(pretrained, atac_folder):
    with pytest.raises(ValueError, match="holds checkpoints up to checkpoint-6"):
        main(["--dataset_name_or_path", str(atac_folder), "--output_dir", str(pretrained)])


def test_resuming_with_another_batch_size_is_refused(pretrained, atac_folder, tmp_path):
    shutil.copytree(pretrained / "checkpoint-3", tmp_path / "checkpoint-3")
    arguments = ["--dataset_name_or_path", str(atac_folder), "--output_dir", str(tmp_path)]
    arguments += ["--resume_from_checkpoint", "latest", "--per_device_train_batch_size", "5", "--num_cpu_threads", "1"]
    with pytest.raises(ValueError, match="'global_batch': 4.* now it is .*'global_batch': 5"):
        main(arguments)


def test_a_folder_that_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="not a checkpoint of this script"):
        main(["--output_dir", str(tmp_path / "run"), "--resume_from_checkpoint", str(tmp_path)])


def test_two_processes_are_one_run(atac_folder, tmp_path):
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    printed = run_example(
        "pretrain.py",
        *("--dataset_name_or_path", str(atac_folder), "--output_dir", str(tmp_path), "--max_train_steps", "2"),
        *SMALL_RUN,
        launcher=launcher,
    )
    assert printed.count("Training 0.5 M parameters") == 1
    state = json.loads((tmp_path / "trainer_state.json").read_text())
    assert state["data_order"]["global_batch"] == 8
    assert state["step"] == 2
