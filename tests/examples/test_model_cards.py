"""Cards say what is so, travel without places of this machine, and have metadata that the Hub takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard, metadata_load

from examples.model_cards import (
    DataSource,
    RunCard,
    dataset_source,
    describe_run,
    figure,
    files_source,
    hub_id,
    parent_section,
    portable,
    public_name,
)
from tests.hub.repositories import check_card


RESULTS = {
    "test_mcc": 0.5,
    "test_mcc_low": 0.25,
    "test_mcc_high": 0.75,
    "test_loss": 1.0,
    "test_f1": None,
    "test_nan": float("nan"),
}


def make_card(**changes):
    data = DataSource(name="lab/promoters", hub_id="lab/promoters", revision="a" * 40)
    kind = {"task_type": "text-classification", "task_name": "promoters", "split": "test"}
    found = figure(data, RESULTS, "test_mcc", metric_type="mcc", metric_name="MCC", unit="row", **kind)
    settings = {
        "title": "A run",
        "model_name": "run",
        "auto_class": "AutoModelForSequenceClassification",
        "pipeline_tag": "text-classification",
        "summary": "It predicts.",
        "data": data,
        "hyper_parameters": {"learning_rate": 1e-4, "patience": None, "steps": 1200},
        "settings_file": "finetune_args.json",
        "figures": [found],
        "figures_note": "Of one seed.",
        "costs": describe_run(torch.device("cpu"), 2, "fp32", 7200.0),
    }
    return RunCard(**settings | changes)


def test_names_of_what_is_here_and_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    assert hub_id("lab/genebert") == public_name("lab/genebert") == "lab/genebert"
    for name in ("runs/demo", "../x/runs/demo", str(tmp_path / "runs" / "demo"), tmp_path / "runs" / "demo"):
        assert hub_id(name) is None
        assert public_name(name) == "demo"


def test_settings_that_may_travel(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").touch()
    settings = {
        "train_file": "data/train.csv",
        "peaks": [tmp_path / "a.bed", Path("b.bed")],
        "dataset_name_or_path": "lab/promoters",
        "nested": {"fsdp_config": "/home/ada/fsdp.json", "cache_dir": "/home/ada/cache"},
        "resume_from_checkpoint": "~/runs/checkpoint-3",
        "output_dir": "/home/ada/runs",
        "hub_token": "hf_secret",
        "learning_rate": 1e-4,
        "nothing": None,
        "config_overrides": '{"num_conv_layers": 1}',
    }
    assert portable(settings) == {
        "train_file": "train.csv",
        "peaks": ["a.bed", "b.bed"],
        "dataset_name_or_path": "lab/promoters",
        "nested": {"fsdp_config": "fsdp.json"},
        "resume_from_checkpoint": "checkpoint-3",
        "learning_rate": 1e-4,
        "nothing": None,
        "config_overrides": '{"num_conv_layers": 1}',
    }


def test_provenance_of_a_folder(tmp_path):
    inputs = {"genome": {"file": "hg38.fa", "sha256": "ab"}, "peaks": {"B": {"file": "B.bed", "sha256": "cd"}}}
    inputs |= {"blacklist": None, "motifs": {"source": "JASPAR2026", "num_motifs": 3, "fingerprint": "ef"}}
    info = {"builder": "atac_seq", "inputs": inputs, "options": {"held_out": ["Mono"], "genome": "/home/ada/hg38.fa"}}
    (tmp_path / "build_info.json").write_text(json.dumps(info))
    source = dataset_source(tmp_path)
    assert (source.name, source.hub_id, source.type) == (tmp_path.name, None, "local")
    assert source.inputs == [
        ("genome", "hg38.fa", "ab"),
        ("peaks: B", "B.bed", "cd"),
        ("motifs", "JASPAR2026 (3)", "ef"),
    ]
    text = source.text()
    assert "built by `hub_datasets.atac_seq`" in text
    assert "| held_out | `Mono` |" in text
    assert "| genome | `hg38.fa` |" in text
    assert "/home/ada" not in text


def test_provenance_of_own_tables(tmp_path):
    (tmp_path / "train.csv").write_text("sequence,label\n")
    text = files_source({"train": tmp_path / "train.csv"}).text()
    checksum = "818e9ab4c78ff85e77f1ea331511b5f721964922c18b49e3dd9ee56005464054"
    assert f"| train | train.csv | `{checksum}` |" in text
    assert str(tmp_path) not in text


def test_metadata(tmp_path):
    """What huggingface_hub reads back, and the Hub's own rules."""
    make_card(base_model="lab/genebert-base").write(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]
    header = metadata_load(tmp_path / "README.md")
    assert header["datasets"] == ["lab/promoters"]
    assert (header["base_model"], header["base_model_relation"]) == ("lab/genebert-base", "finetune")
    assert header["model-index"] == [
        {
            "name": "run",
            "results": [
                {
                    "task": {"type": "text-classification", "name": "promoters"},
                    "dataset": {
                        "name": "lab/promoters",
                        "type": "lab/promoters",
                        "split": "test",
                        "revision": "a" * 40,
                    },
                    "metrics": [
                        {
                            "type": "mcc",
                            "name": "MCC",
                            "value": 0.5,
                            "args": {"confidence_level": 0.95, "low": 0.25, "high": 0.75, "bootstrap_unit": "row"},
                        }
                    ],
                }
            ],
        }
    ]
    (read,) = ModelCard.load(tmp_path / "README.md").data.eval_results
    assert (read.metric_value, read.metric_args["high"]) == (0.5, 0.75)
    assert check_card((tmp_path / "README.md").read_text(), "model") == ([], [])


def test_what_is_not_on_the_hub_is_not_in_the_metadata(tmp_path):
    make_card(base_model=str(tmp_path), data=DataSource(name="tables"), figures=[]).write(tmp_path)
    text = (tmp_path / "README.md").read_text()
    header = metadata_load(tmp_path / "README.md")
    assert not {"datasets", "base_model", "base_model_relation", "model-index"} & set(header)
    assert f"From the checkpoint `{tmp_path.name}`." in text
    assert str(tmp_path) not in text


def test_text():
    text = make_card(warning="It has collapsed.", repo_id="lab/run", limits=["Few rows."]).text()
    for line in (
        "**It has collapsed.**",
        'model = AutoModelForSequenceClassification.from_pretrained("lab/run").eval()',
        f"- lab/promoters: `lab/promoters` on the Hub, commit `{'a' * 40}`",
        "From random weights.",
        "| learning_rate | 0.0001 |",
        "| steps | 1,200 |",
        "| processes | 2 |",
        "| wall time | 120.0 min |",
        "| process-hours | 4 |",
        "| test | MCC | 0.500 | 0.250 to 0.750 | row |",
        "- Few rows.",
        "@article{mo2021genebert,",
    ):
        assert line in text.splitlines()
    assert "patience" not in text
    assert "Not for clinical decisions" in text  # the parent's words
    assert "trust_remote_code=True" in text


def test_the_class_that_transformers_does_not_have():
    text = make_card(auto_class="AutoModelForVariantEffect").loading()
    assert "from modeling_genebert import AutoModelForVariantEffect\n" in text
    assert "alt_sequences=" in text


def test_a_figure_that_is_not_there():
    kind = {"task_type": "x", "task_name": "x", "metric_type": "f1", "metric_name": "F1", "split": "test"}
    for key in ("test_f1", "test_nan", "test_auroc"):  # undefined, in either way, or not there
        assert figure(DataSource(name="tables"), RESULTS, key, **kind) is None
    assert figure(DataSource(name="tables"), RESULTS, "test_loss", **kind).metric_args is None


def test_the_parent():
    assert parent_section("Limits").startswith("- **Open regions only.**")
    with pytest.raises(ValueError, match=r"MODEL_CARD\.md: no section 'Speed'"):
        parent_section("Speed")
