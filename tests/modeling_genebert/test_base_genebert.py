"""Initial weights, what is pooled, and what a model for another task leaves behind."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
)

from .conftest import make_config, make_inputs, make_model


def share_of_bases(model):
    """How alike are the embeddings of k-mers that differ in one base (1 = equal, 0 = as any two)."""
    vectors = model.get_input_embeddings().weight[5:69].detach().reshape(4, 4, 4, -1)
    return torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=-1).mean().item()


def test_kmers_share_bases_however_the_model_is_made():
    config = make_config()
    assert share_of_bases(GeneBertModel(config)) > 0.3
    assert share_of_bases(GeneBertForMaskedLM(config)) > 0.3
    assert share_of_bases(GeneBertForMaskedLM.from_pretrained(None, config=config, state_dict={})) > 0.3
    assert abs(share_of_bases(GeneBertModel(config).sequence_encoder.__class__(config.sequence_config))) < 0.2


def test_loading_keeps_the_embeddings(tmp_path):
    model = make_model(GeneBertForMaskedLM)
    with torch.no_grad():
        model.get_input_embeddings().weight[5:] = 1.0
    model.save_pretrained(tmp_path)
    assert (GeneBertModel.from_pretrained(tmp_path).get_input_embeddings().weight[5:] == 1.0).all()


@pytest.mark.parametrize("model_class", [GeneBertForMaskedLM, GeneBertForTokenClassification])
def test_nothing_is_pooled_where_nothing_reads_it(model_class):
    model = make_model(model_class).train()
    inputs = {**make_inputs(model.config), "token_type_ids": None}
    model(**inputs, labels=inputs["input_ids"] % 2).loss.backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
    assert model.genebert(**inputs).pooler_output is None


def test_poolers_are_left_behind_and_made_anew(tmp_path, caplog):
    make_model(GeneBertForPreTraining).save_pretrained(tmp_path / "pretrained")
    model, info = GeneBertForMaskedLM.from_pretrained(tmp_path / "pretrained", output_loading_info=True)
    assert not any(info[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    model.save_pretrained(tmp_path / "masked")
    _, info = GeneBertForSequenceClassification.from_pretrained(tmp_path / "masked", output_loading_info=True)
    poolers = {
        "pooler.kmer_embeddings.weight",
        "pooler.composition_norm.bias",
        "pooler.composition_norm.weight",
        "pooler.dense.bias",
        "pooler.dense.weight",
        "region_encoder.pooler.bias",
        "region_encoder.pooler.weight",
    }
    poolers |= {"region_encoder.pooling_query.bias", "region_encoder.pooling_query.weight"}
    assert {name for name in info["missing_keys"] if name.startswith("genebert.")} == {
        f"genebert.{name}" for name in poolers
    }


def test_variant_effect_gives_the_states_of_both_alleles():
    model = make_model(GeneBertForVariantEffect, num_labels=1)
    reference, alternate = (make_inputs(model.config, seed=seed)["input_ids"] for seed in (0, 1))
    output = model(input_ids=reference, alt_input_ids=alternate, output_hidden_states=True, output_attentions=True)
    swapped = model(input_ids=alternate, alt_input_ids=reference, output_hidden_states=True)
    assert len(output.hidden_states) == len(output.alt_hidden_states) == 3
    assert len(output.attentions) == len(output.alt_attentions) == 2
    torch.testing.assert_close(output.alt_hidden_states[-1], swapped.hidden_states[-1])


def test_vocab_size_is_the_sequence_encoders():
    config = make_config()
    config.vocab_size = 80
    assert config.sequence_config.vocab_size == config.vocab_size == 80
    assert GeneBertModel(config).get_input_embeddings().num_embeddings == 80


def test_saved_weights_have_the_names_that_trainer_looks_for(tmp_path):
    model = make_model(GeneBertModel)
    model.save_pretrained(tmp_path)
    saved = load_file(tmp_path / "model.safetensors")
    assert saved.keys() == model.state_dict().keys()
    other = make_model(GeneBertModel, seed=1)
    other.load_state_dict(saved)  # strict
    assert all(torch.equal(value, saved[name]) for name, value in other.state_dict().items())


def test_weights_are_read_from_safetensors_only(tmp_path):
    model = make_model(GeneBertModel)
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    for model_class in (GeneBertModel, AutoModel):
        with pytest.raises(OSError, match=r"model\.safetensors"):
            model_class.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="use_safetensors=False: GeneBERT reads weights from safetensors only"):
        GeneBertModel.from_pretrained(tmp_path, use_safetensors=False)
