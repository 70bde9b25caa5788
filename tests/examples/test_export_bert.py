"""examples/export_bert.py: the sequence encoder without GeneBERT's code. A stranger opens it in tests/hub."""

from __future__ import annotations

import json

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from examples.export_bert import check_export, export_bert
from modeling_genebert import GeneBertForPreTraining, GeneBertTokenizer
from tests.modeling_genebert.conftest import make_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    make_model(GeneBertForPreTraining).save_pretrained(folder)
    GeneBertTokenizer(kmer=3, model_max_length=40).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory):
    return export_bert(checkpoint, tmp_path_factory.mktemp("exported") / "bert")


def test_it_is_an_ordinary_bert(checkpoint, exported):
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    for name in ("config.json", "tokenizer_config.json"):
        assert "auto_map" not in json.loads((exported / name).read_text())
    model, info = BertModel.from_pretrained(exported, add_pooling_layer=False, output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    tokens = AutoTokenizer.from_pretrained(exported)("ACGTN", return_tensors="pt")
    expected = GeneBertTokenizer(kmer=3)
    assert tokens["input_ids"].tolist() == [expected.convert_tokens_to_ids(["[CLS]", "ACG", "CGT", "[UNK]", "[SEP]"])]
    own = AutoModel.from_pretrained(checkpoint).eval()
    with torch.no_grad():
        states = own.get_sequence_features(**tokens).last_hidden_state
        torch.testing.assert_close(model.eval()(**tokens).last_hidden_state, states, atol=1e-6, rtol=0)


def test_its_card(exported):
    card = ModelCard.load(exported / "README.md")
    assert (card.data.library_name, card.data.pipeline_tag) == ("transformers", "feature-extraction")
    assert "as an ordinary BertModel" in card.text
    assert "Tokens are 3-mers, 1 bp apart; at most 40 tokens" in card.text
    assert "add_pooling_layer=False" in card.text
    assert "**Open regions only.**" in card.text  # the parent's words


def test_what_differs_is_refused(checkpoint, exported):
    other = AutoModel.from_pretrained(checkpoint)
    other.get_input_embeddings().weight.data *= 2
    with pytest.raises(ValueError, match="states differ from GeneBERT's by .*, expected 1e-05 at most"):
        check_export(other.eval(), GeneBertTokenizer(kmer=3), exported, {"add_pooling_layer": False})
    shifted = GeneBertTokenizer(kmer=3, stride=2, model_max_length=40)
    with pytest.raises(ValueError, match="input_ids of the exported tokenizer differ"):
        check_export(other, shifted, exported, {"add_pooling_layer": False})


def test_another_model_is_refused(tmp_path):
    config = BertConfig(vocab_size=69, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    BertModel(config).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="model type bert, expected genebert"):
        export_bert(tmp_path, tmp_path / "bert")
