"""Every snippet of the README runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from examples.finetune import parse_args as parse_finetuning_args
from examples.pretrain import parse_args
from tests.running import ROOT, quick_python


README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("#")[0].strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def test_every_command_is_known():
    known = ["make ", "python3 -m venv", "accelerate ", "python -m ", "python examples/"]
    known += [".venv/bin/python ", ".venv/bin/accelerate "]
    assert len(COMMANDS) >= 9
    assert [command for command in COMMANDS if not command.startswith(tuple(known))] == []


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("make ")])
def test_make_targets_exist(command):
    subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_pip_command_is_the_makefiles():
    makefile = (ROOT / "Makefile").read_text()
    makefile = makefile.replace("$(VENV)", ".venv").replace("$(CONSTRAINTS)", "constraints.txt")
    (command,) = [command for command in COMMANDS if "pip install" in command]
    assert command in makefile


@pytest.mark.parametrize("command", [command for command in COMMANDS if "pretrain.py" in command])
def test_pretraining_arguments_are_accepted(command):
    parse_args(shlex.split(command.split("pretrain.py")[1]))


@pytest.mark.parametrize("command", [command for command in COMMANDS if "finetune.py" in command])
def test_finetuning_arguments_are_accepted(command):
    parse_finetuning_args(shlex.split(command.split("finetune.py")[1]))


def test_downstream_commands_from_raw_files_to_predictions(atlas_folder, pretrained, tmp_path):
    build, finetune, predict = (
        next(command for command in COMMANDS if name in command)
        for name in ("hub_datasets.promoters", "examples/finetune.py", "examples/predict.py")
    )
    sequences = {"one": "ACGTTGACTCATGCAAATTAGC" * 3, "two": "CCGGCGTATAAAAGGCGGAGCT" * 3}
    (tmp_path / "candidates.fa").write_text("".join(f">{name}\n{dna}\n" for name, dna in sequences.items()))
    own = {
        "python": shlex.join(quick_python()),
        "hg38.fa.gz": str(atlas_folder / "genome.fa"),
        "epdnew_human": f"{atlas_folder / 'promoters.bed'} --tss_position centre --min_tss_distance 300",
        "motif": "none",
        "chr20": "chr3",
        **dict.fromkeys(("--test_chromosomes", "chr21", "chr22"), ""),  # the small atlas has promoters on two only
        "runs/blood": str(pretrained),
        "examples/finetune.py": str(ROOT / "examples" / "finetune.py"),
        "examples/predict.py": str(ROOT / "examples" / "predict.py"),
    }
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for command in (build, finetune + " --max_steps 2 --num_bootstrap 20 --use_cpu", predict):
        words = shlex.split(" ".join(own.get(word, word) for word in shlex.split(command)))
        subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True)
    header, *rows = (tmp_path / "candidates.csv").read_text().splitlines()
    assert header.startswith("id,")
    assert [row.split(",")[0] for row in rows] == ["one", "two"]


def test_data_command_builds_a_set(atlas_folder, tmp_path):
    (command,) = [command for command in COMMANDS if "hub_datasets.atac_seq" in command]
    own = {
        "hg38.fa.gz": str(atlas_folder / "genome.fa"),
        "peaks/": str(atlas_folder / "peaks"),
        "JASPAR2026": str(atlas_folder / "motifs.safetensors"),
        "chr8": "chr2",
        "chr9": "chr3",
        "Mono": "sim03",
        "mDC": "sim04",
        "python": shlex.join(quick_python()),
    }
    words = shlex.split(" ".join(own.get(word, word) for word in shlex.split(command)))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run(words, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert (tmp_path / "atlas" / "README.md").exists()


def save_as_published(folder: Path):
    """A tiny masked-LM model of DNABERT's kind, as a pickle."""
    vocabulary_size = 5 + 4**6
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = BertConfig(vocab_size=vocabulary_size, architectures=["BertForMaskedLM"], **sizes)
    config.save_pretrained(folder)
    torch.save(BertForMaskedLM(config).state_dict(), folder / "pytorch_model.bin")


def test_python_snippets_run_one_after_the_other(pretrained, tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "demo").symlink_to(pretrained)
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    snippets = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(snippets) == 8
    published = tmp_path / "DNA_bert_6"
    save_as_published(published)
    for number, snippet in enumerate(snippets):
        snippet = snippet.replace("zhihan1996/DNA_bert_6", str(published))
        exec(compile(snippet, f"README.md, snippet {number}", "exec"), names)
        if number == 0:
            assert names["inputs"]["input_ids"].shape == (2, 109)
            assert names["inputs"]["region_values"].shape == (2, 4, 32, 8)
            assert names["outputs"].last_hidden_state.shape == (2, 109, 64)
            assert names["outputs"].region_pooler_output.shape == (2, 64)
        if number == 1:
            assert names["inputs"]["region_mask"].tolist() == [[0, 0, 1, 1, 1, 0, 0, 0]]
    assert names["classifier"](**names["inputs"]).logits.shape == (1, 2)
    assert names["per_base"](**names["inputs"]).logits.shape == (1, 176, 3)
    assert names["effect"].shape == names["both_strands"].shape == (1, 1)
    assert names["effect"].item() != 0
    assert names["effect"].item() != names["both_strands"].item()
    assert names["windows"]["overflow_to_sample_mapping"].tolist() == [0, 0, 0, 1]
    assert names["classifier"](**names["windows"]).logits.shape == (2, 2)
    assert names["per_base"](**names["windows"]).logits.shape == (2, 1400, 3)
    assert names["long_config"].sequence_config.max_position_embeddings == 8192
    assert names["model"].config.kmer == 6
    assert {name.split(".")[0] for name in names["info"]["unexpected_keys"]} == {"cls"}
    assert "classifier.2.weight" in names["info"]["missing_keys"]
