from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from accelerate import Accelerator
from huggingface_hub import ModelCard
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from examples.pretrain import main, parse_args
from examples.pretraining.data import TrainingData
from hub_datasets.atac_seq.reader import AtacSeqSet
from modeling_genebert import GeneBertForPreTraining, GeneBertProcessor
from tests.running import SMALL_RUN, run_example

from .running_pretrain import pretrain


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


def test_card_says_what_was_held_out(pretrained, atac_folder):
    """And with what, at what cost; its figures stand in the metadata with their intervals."""
    card = ModelCard.load(pretrained / "README.md")
    results = json.loads((pretrained / "all_results.json").read_text())
    assert "| validation_unseen_cell_types | 19 | chr3; sim04 |" in card.text
    assert "| train | 76 | chr1, chr2; sim01, sim02, sim03 |" in card.text
    assert "| held_out_cell_types | `sim04` |" in card.text
    peaks = json.loads((atac_folder / "build_info.json").read_text())["inputs"]["peaks"]["sim01"]
    assert f"| peaks: sim01 | sim01.narrowPeak.gz | `{peaks['sha256']}` |" in card.text
    for line in ("| learning_rate | 0.0005 |", "| processes | 1 |", "| precision | fp32 |", "| examples seen | 24 |"):
        assert line in card.text.splitlines()
    found = {(r.dataset_config, r.metric_name): r for r in card.data.eval_results}
    for group in ("seen", "unseen"):
        figure = found[f"{group} cell types", "SRM other locus visible AUROC"]
        name = f"eval_{group}_srm_other_locus_visible_auroc"
        assert (figure.dataset_type, figure.dataset_split, figure.metric_type) == ("local", "validation", "auroc")
        assert figure.metric_value == pytest.approx(results[name], abs=1e-6)
        assert figure.metric_args["low"] == pytest.approx(results[f"{name}_low"], abs=1e-6)
        assert figure.metric_args["high"] == pytest.approx(results[f"{name}_high"], abs=1e-6)
        assert figure.metric_args["bootstrap_unit"] == "block of 200 kb (1)"
    assert found["seen cell types", "MGM hidden base accuracy"].task_type == "fill-mask"
    assert "| validation, seen cell types | MGM composition accuracy |" in card.text  # an opponent's
    assert not [name for _, name in found if "composition accuracy" in name]


def test_checkpoint_opens_with_its_bank(pretrained, atac):
    model = GeneBertForPreTraining.from_pretrained(pretrained)
    processor = GeneBertProcessor.from_pretrained(pretrained)
    bank = processor.feature_extractor.motif_bank
    assert bank.fingerprint == atac.motif_bank.fingerprint
    model.config.check_motif_bank(bank.fingerprint, len(bank))
    with pytest.raises(ValueError, match="32 motifs with fingerprint"):
        model.config.check_motif_bank(bank.subset(bank.ids[::-1]).fingerprint, len(bank))


def test_the_model_knows_how_motif_scores_vary(pretrained, atac):
    norm = GeneBertForPreTraining.from_pretrained(pretrained).genebert.region_encoder.score_norm
    scores = atac.regions.scores.take(np.unique(atac.windows("train")[0].anchor)).astype(np.float64)
    np.testing.assert_allclose(norm.mean[0], scores.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(norm.std[0], np.maximum(scores.std(axis=0), 0.05), atol=1e-5)
    assert 0 < norm.mean[1].mean() < norm.mean[0].mean() - 0.05  # tiles are short and score lower


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


def test_too_few_windows_for_an_update_are_refused(atac_folder, tmp_path):
    with pytest.raises(
        ValueError, match="has 152 examples, but one update takes 160: .*size 80 × .*steps 2 × 1 processes"
    ):
        pretrain(atac_folder, tmp_path, "--per_device_train_batch_size", "80", "--gradient_accumulation_steps", "2")


def test_background_and_a_config_of_ones_own(atlas_folder, tmp_path):
    overrides = {"num_conv_layers": 1, "conv_kernel_size": 5, "sequence_config": {"hidden_size": 32}}
    run_example(
        "pretrain.py",
        *("--genome", str(atlas_folder / "genome.fa"), "--peaks", str(atlas_folder / "peaks")),
        *(
            "--motifs",
            str(atlas_folder / "motifs.safetensors"),
            "--eval_chromosomes",
            "chr3",
            "--num_background",
            "40",
        ),
        *("--background_fraction", "0.75", "--config_overrides", json.dumps(overrides), "--output_dir", str(tmp_path)),
        *("--max_train_steps", "2", *SMALL_RUN),
    )
    config = GeneBertForPreTraining.from_pretrained(tmp_path).config
    assert (config.num_conv_layers, config.conv_kernel_size, config.sequence_config.hidden_size) == (1, 5, 32)
    assert config.sequence_config.num_attention_heads == 2  # of the preset
    args = parse_args(["--output_dir", str(tmp_path), "--background_fraction", "0.75"])
    atac = AtacSeqSet.load(tmp_path / "dataset")
    data = TrainingData(args, atac, which_kind, 1, 0)
    num_windows = len(data.windows)
    assert data.num_background == 3 * 2 * num_windows
    found = np.concatenate([batch for (batch,) in data.updates(epoch=0)])
    assert len(found) == 4 * 2 * num_windows // 16 * 16
    assert abs((found == "background").sum() - 3 * 2 * num_windows) < 16  # what is left over may be of either kind


def which_kind(examples):
    """A collator: windows of the tiny set have a question or the matrix of a window."""
    is_window = [example["srm_label"] >= 0 or example["tiled_segment"] is None for example in examples]
    return np.where(is_window, "window", "background")


def what_is_shown(examples):
    """A collator: the window, and what is asked of it."""
    return [(example["seed"][1], example["srm_label"], example["ngsp_label"]) for example in examples]


def test_fours_come_in_one_batch_and_in_another_order_each_epoch(atac, tmp_path):
    options = ["--output_dir", str(tmp_path), "--per_device_train_batch_size", "8"]
    data = TrainingData(parse_args(options), atac, what_is_shown, 1, 0)
    assert data.updates_per_epoch == 19  # 76 windows, each twice
    epochs = [[batch for (batch,) in data.updates(epoch)] for epoch in (0, 1)]
    assert epochs[0] != epochs[1]
    for batch in epochs[0]:
        for four in (batch[:4], batch[4:]):
            rows = [row for row, *_ in four]
            assert rows[0] == rows[1] and rows[2] == rows[3]
            asked = {(srm, ngsp) for _, srm, ngsp in four}
            assert asked in ({(1, -100), (0, -100)}, {(-100, 1), (-100, 0)}, {(-100, -100)})
    assert [batch for (batch,) in data.updates(1, first_update=3)] == epochs[1][3:]  # a resumed run


def test_background_that_the_set_does_not_have(atac_folder, tmp_path):
    with pytest.raises(AssertionError, match="has no background sequences: build the set with --num_background"):
        run_example(
            "pretrain.py",
            *("--dataset_name_or_path", str(atac_folder), "--output_dir", str(tmp_path)),
            *("--background_fraction", "0.5"),
        )


def test_losses_and_figures_go_to_the_tracker(atac_folder, tmp_path):
    arguments = ("--report_to", "tensorboard", "--max_train_steps", "2", "--logging_steps", "1", "--eval_steps", "9")
    pretrain(atac_folder, tmp_path, *arguments)
    events = EventAccumulator(str(next(tmp_path.glob("genebert_pretraining/events*"))))
    events.Reload()
    assert {"loss", "mgm_loss", "learning_rate", "eval_seen_mgm_loss"} <= set(events.Tags()["scalars"])
    history = json.loads((tmp_path / "trainer_state.json").read_text())["log_history"]
    assert [event.value for event in events.Scalars("loss")] == pytest.approx([entry["loss"] for entry in history[:2]])


def test_decay_spares_biases_and_norms(atac_folder, tmp_path, monkeypatch):
    groups = []
    prepare = Accelerator.prepare

    def note_groups(self, *objects):
        groups.extend(objects[1].param_groups)
        return prepare(self, *objects)

    monkeypatch.setattr(Accelerator, "prepare", note_groups)
    pretrain(atac_folder, tmp_path, "--max_train_steps", "1", "--weight_decay", "0.1")
    decayed, others = groups
    assert decayed["weight_decay"] == 0.1 and min(p.ndim for p in decayed["params"]) == 2
    assert others["weight_decay"] == 0 and {p.ndim for p in others["params"]} == {1}


def test_a_model_of_sequences_alone_cannot_match_regions(atac_folder, tmp_path):
    results = pretrain(atac_folder, tmp_path, "--modality", "sequence", "--max_train_steps", "4")
    assert results["eval_seen_srm_other_locus_visible_auroc"] == 0.5  # the same score with either matrix
    assert GeneBertForPreTraining.from_pretrained(tmp_path).config.srm_loss_weight == 0
