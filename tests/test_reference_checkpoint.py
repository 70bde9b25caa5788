"""The checkpoint that comes with the repository: small, whole, and able to do what its card says."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel, AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoProcessor

from modeling_genebert import GeneBertDataCollatorForMaskedLM, MotifBank

from .running import ROOT


FOLDER = ROOT / "checkpoints" / "genebert-blood"
# The promoter of HBB, and its second intron (human; public sequence).
SEQUENCES = [
    "CAGGGCTGGGCATAAAAGTCAGGGCAGAGCCATCTATTGCTTACATTTGCTTCTGACACAACTGTGTTCACTAGCAACCTCAAACAGACACCATGGTGCA",
    "TGAGTCTATGGGACGCTTGATGTTTTCTTTCCCCTTCTTTTCTATGGTTAAGTTCATGTCATAGGAAGGGGATAAGTAACAGGGTACAGTTTAGAATGGG",
]


def test_it_is_small_and_holds_no_code_and_no_pickle():
    names = {path.name for path in FOLDER.iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "motifs.safetensors", "tokenizer.json"} <= names
    assert {path.suffix for path in FOLDER.iterdir()} == {".json", ".md", ".png", ".safetensors"}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 10_000_000


def test_its_motifs_are_those_of_jaspar():
    pytest.importorskip("pyjaspar")
    processor = AutoProcessor.from_pretrained(FOLDER)
    assert processor.feature_extractor.motif_bank.fingerprint == MotifBank.from_jaspar().fingerprint


def test_auto_classes_open_it():
    processor = AutoProcessor.from_pretrained(FOLDER)
    model = AutoModel.from_pretrained(FOLDER).eval()
    with torch.no_grad():
        outputs = model(**processor(SEQUENCES, padding=True, return_tensors="pt"))
    assert outputs.pooler_output.shape == (2, 128)
    assert torch.isfinite(outputs.last_hidden_state).all()
    classifier = AutoModelForSequenceClassification.from_pretrained(FOLDER, num_labels=3)
    assert classifier.config.num_labels == 3


def test_it_predicts_hidden_kmers_better_than_guessing():
    """Of 4-mers, guessing costs ln 256 = 5.55 nats."""
    processor = AutoProcessor.from_pretrained(FOLDER)
    model = AutoModelForMaskedLM.from_pretrained(FOLDER).eval()
    collator = GeneBertDataCollatorForMaskedLM(processor.tokenizer)
    torch.manual_seed(0)
    with torch.no_grad():
        losses = [float(model(**collator([{"sequence": dna} for dna in SEQUENCES])).loss) for _ in range(10)]
    assert np.mean(losses) < 4.5


def test_its_card_says_what_its_results_say():
    results = json.loads((FOLDER / "all_results.json").read_text())
    card = ModelCard.load(FOLDER / "README.md")
    found = {result.metric_value for result in card.data.eval_results}
    assert any(value == pytest.approx(results["eval_seen_mgm_hidden_base_accuracy"], abs=1e-3) for value in found)
    assert "chr20" in card.text and "Mono" in card.text
