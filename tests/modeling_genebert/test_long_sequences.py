"""How long a sequence may be, for any encoder; and ModernBERT, which takes 8,192 tokens."""

import logging

import pytest
import torch
from transformers import AutoConfig, AutoModel

from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertModel,
    GeneBertTokenizer,
)
from modeling_genebert.windows_genebert import max_num_tokens

from .conftest import SEQUENCE, make_config, make_inputs, make_model, make_regions


MODERNBERT = {
    "model_type": "modernbert",
    "hidden_size": 32,
    "num_hidden_layers": 3,  # attention over all tokens, then twice over neighbours only
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "local_attention": 16,
}
ESM = {"model_type": "esm", "mask_token_id": 4, **SEQUENCE}


def long_inputs(config, num_tokens, batch_size=2):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(5, config.kmer_vocab_size, (batch_size, num_tokens), generator=generator)
    ids[:, 0], ids[:, -1] = 2, 3
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **make_regions(config, batch_size)}


# The longest sequence: 40 positions


@pytest.mark.parametrize(
    ("sequence_config", "limit"),
    [
        ({"model_type": "bert", **SEQUENCE}, 40),
        ({"model_type": "electra", **SEQUENCE, "embedding_size": 32}, 40),
        ({"model_type": "nystromformer", **SEQUENCE}, 40),  # makes two positions more than it is asked for
        ({**MODERNBERT, "max_position_embeddings": 40}, 40),
        # These number tokens from pad_token_id + 1.
        ({"model_type": "roberta", **SEQUENCE}, 39),
        ({"model_type": "roberta", **SEQUENCE, "pad_token_id": 1}, 38),
        ({"model_type": "xlm-roberta", **SEQUENCE}, 39),
        ({"model_type": "camembert", **SEQUENCE}, 39),
        ({**ESM, "position_embedding_type": "absolute"}, 39),
        ({**ESM, "position_embedding_type": "rotary"}, 40),
        ({"model_type": "mpnet", **SEQUENCE}, 38),  # from 2, whatever the pad_token_id
    ],
)
@pytest.mark.parametrize("as_embeddings", [False, True])
def test_the_longest_sequence(sequence_config, limit, as_embeddings):
    model = make_model(GeneBertModel, sequence_config=sequence_config)

    def run(num_tokens):
        inputs = long_inputs(model.config, num_tokens)
        if as_embeddings:
            inputs["inputs_embeds"] = model.get_input_embeddings()(inputs.pop("input_ids"))
        return model(**inputs)

    assert run(limit).last_hidden_state.isfinite().all()
    with pytest.raises(ValueError, match=rf"{limit + 1} tokens .* has {limit} positions: .* with max_length={limit}"):
        run(limit + 1)


def test_an_encoder_without_a_limit():
    encoder = AutoModel.from_config(AutoConfig.for_model("xlnet", d_model=32, n_head=2, n_layer=1, vocab_size=69))
    assert max_num_tokens(encoder) is None


# ModernBERT


def test_modernbert_as_a_dict_fits_the_vocabulary(caplog):
    logging.getLogger("transformers").addHandler(caplog.handler)
    config = make_config(sequence_config=MODERNBERT)
    logging.getLogger("transformers").removeHandler(caplog.handler)
    assert "token_id" not in caplog.text
    found, tokenizer = config.sequence_config, GeneBertTokenizer(kmer=3)
    assert (found.vocab_size, found.max_position_embeddings) == (69, 8192)
    assert found.pad_token_id == tokenizer.pad_token_id
    assert found.cls_token_id == found.bos_token_id == tokenizer.cls_token_id
    assert found.sep_token_id == found.eos_token_id == tokenizer.sep_token_id


@pytest.mark.parametrize(
    ("model_class", "labels"),
    [
        (GeneBertForPreTraining, {"labels": (1, 2000), "ngsp_labels": (1,), "srm_labels": (1,)}),
        (GeneBertForMaskedLM, {"labels": (1, 2000)}),
        (GeneBertForSequenceClassification, {"labels": (1,)}),
        (GeneBertForTokenClassification, {"labels": (1, 2000)}),
    ],
)
def test_modernbert_trains_and_predicts(model_class, labels):
    model = make_model(model_class, sequence_config=MODERNBERT)
    inputs = {
        **long_inputs(model.config, 2000, batch_size=1),
        **{name: torch.ones(shape, dtype=torch.long) for name, shape in labels.items()},
    }
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(3):
        loss = model(**inputs).loss
        loss.backward()
        encoder = model.genebert.sequence_encoder
        assert [name for name, weight in encoder.named_parameters() if not weight.grad.any()] == []
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_modernbert_at_8192_tokens():
    sequence_config = {**MODERNBERT, "hidden_size": 16, "num_hidden_layers": 1, "intermediate_size": 16}
    model = make_model(GeneBertForTokenClassification, sequence_config=sequence_config)
    with torch.no_grad():
        logits = model(**long_inputs(model.config, 8192, batch_size=1)).logits
    assert logits.shape == (1, 8192, 2)
    assert logits.isfinite().all()
    with pytest.raises(ValueError, match="8193 tokens .* has 8192 positions"):
        model(**long_inputs(model.config, 8193, batch_size=1))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_modernbert_does_not_depend_on_padding_or_batch(implementation):
    model = make_model(GeneBertModel, sequence_config=MODERNBERT)
    model.set_attn_implementation(implementation)
    inputs = make_inputs(model.config, batch_size=3, num_kmers=30)
    padded = dict(inputs)
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        padded[name] = torch.nn.functional.pad(inputs[name], (0, 37))
    with torch.no_grad():
        expected, output = model(**inputs), model(**padded)
        alone = model(**{name: tensor[:1] for name, tensor in padded.items()})
    torch.testing.assert_close(output.last_hidden_state[:, :63], expected.last_hidden_state, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(output.pooler_output, expected.pooler_output, atol=2e-5, rtol=1e-4)
    torch.testing.assert_close(alone.pooler_output, expected.pooler_output[:1], atol=2e-5, rtol=1e-4)


def test_modernbert_is_fused_with_the_regions():
    model = make_model(GeneBertModel, sequence_config=MODERNBERT)
    inputs = make_inputs(model.config)
    with torch.no_grad():
        first = model(**inputs).last_hidden_state
        inputs["region_values"] = inputs["region_values"].roll(1, dims=0)
        inputs["region_mask"] = inputs["region_mask"].roll(1, dims=0)
        assert (model(**inputs).last_hidden_state - first).abs().amax(dim=(1, 2)).min() > 0.01


def test_modernbert_comes_back_from_a_folder(tmp_path):
    model = make_model(GeneBertForMaskedLM, sequence_config=MODERNBERT)
    inputs = make_inputs(model.config)
    model.save_pretrained(tmp_path)
    loaded = GeneBertForMaskedLM.from_pretrained(tmp_path)
    assert loaded.config.sequence_config.model_type == "modernbert"
    assert loaded.predictions.decoder.weight is loaded.get_input_embeddings().weight
    with torch.no_grad():
        torch.testing.assert_close(loaded(**inputs).logits, model(**inputs).logits)
