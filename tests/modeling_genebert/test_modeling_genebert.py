from __future__ import annotations

import json

import pytest
import torch
from torch.nn import functional as F
from transformers import PreTrainedModel

from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
)

from .conftest import SEQUENCE, make_config, make_inputs, make_model, make_regions


ALL_CLASSES = [
    GeneBertModel,
    GeneBertForPreTraining,
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
]
ENCODERS = {
    "bert": SEQUENCE,
    "roberta": {"model_type": "roberta", **SEQUENCE},
    "modernbert": {
        "model_type": "modernbert",
        **SEQUENCE,
        **{"local_attention": 8, "global_attn_every_n_layers": 2},
        **{"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3},
    },
}


def class_inputs(model_class, config, **kwargs):
    """Inputs that a class takes: pairs for most, one segment for classification per base, two alleles."""
    inputs = make_inputs(config, **kwargs)
    if model_class in (GeneBertForTokenClassification, GeneBertForVariantEffect):
        del inputs["token_type_ids"]
    if model_class is GeneBertForVariantEffect:
        inputs["alt_input_ids"] = inputs["input_ids"].roll(1, dims=1)
    return inputs


def tensors(output):
    """All tensors of an output, those in tuples too, by name."""
    flat = {}
    for name, value in output.items():
        parts = value if isinstance(value, tuple) else (value,)
        flat |= {f"{name}.{number}": part for number, part in enumerate(parts)}
    return flat


def assert_close(output, other, rows=slice(None), tolerance=1e-5):
    first, second = tensors(output), tensors(other)
    assert list(first) == list(second)
    for name in first:
        torch.testing.assert_close(first[name], second[name][rows], atol=tolerance, rtol=tolerance, msg=name)


# Shapes


def test_model_shapes():
    model = make_model(GeneBertModel)
    output = model(**make_inputs(model.config))
    shapes = {name: tuple(value.shape) for name, value in output.items()}
    assert shapes == {
        "last_hidden_state": (3, 21, 32),
        "pooler_output": (3, 32),
        "region_pooler_output": (3, 32),
        "region_hidden_state": (3, 4 * 4 + 8, 32),  # Swin's last grid, then one token a column
        "own_column": (3, 20 + 3),
        "enrichment": (3, 20),
    }


def test_shapes_of_the_default_width_of_32_regions():
    model = make_model(GeneBertModel, num_regions=32, num_motifs=50, num_motif_blocks=16)
    output = model(**make_inputs(model.config))
    assert output.region_hidden_state.shape == (3, 8 * 16 + 32, 32)
    assert output.region_pooler_output.shape == (3, 32)


@pytest.mark.parametrize(
    ("model_class", "arguments", "shapes"),
    [
        (GeneBertForPreTraining, {}, {"prediction_logits": (3, 21, 69), "ngsp_logits": (3, 2), "srm_logits": (3, 2)}),
        (GeneBertForMaskedLM, {}, {"logits": (3, 21, 69)}),
        (GeneBertForSequenceClassification, {"num_labels": 5}, {"logits": (3, 5)}),
        (GeneBertForTokenClassification, {"num_labels": 4}, {"logits": (3, 18 + 3, 4)}),
        (GeneBertForTokenClassification, {"num_labels": 4, "stride": 2}, {"logits": (3, 18 * 2 + 3, 4)}),
        (GeneBertForVariantEffect, {"num_labels": 1}, {"logits": (3, 1)}),
        (GeneBertForVariantEffect, {"num_labels": 2}, {"logits": (3, 2)}),
    ],
)
def test_head_shapes(model_class, arguments, shapes):
    model = make_model(model_class, **arguments)
    output = model(**class_inputs(model_class, model.config))
    assert {name: tuple(value.shape) for name, value in output.items()} == shapes


def test_features_of_each_modality():
    model = make_model(GeneBertModel)
    inputs = make_inputs(model.config)
    sequence = model.get_sequence_features(inputs["input_ids"], inputs["attention_mask"], inputs["token_type_ids"])
    assert sequence.last_hidden_state.shape == (3, 21, 32)
    regions = model.get_region_features(**make_regions(model.config, 3))
    assert (regions.last_hidden_state.shape, regions.pooler_output.shape) == ((3, 24, 32), (3, 32))
    output = model(**inputs)
    torch.testing.assert_close(output.region_hidden_state, regions.last_hidden_state)
    assert model.get_region_features(batch_size=2).last_hidden_state.shape == (2, 1, 32)
    with pytest.raises(ValueError, match="needs region_values or batch_size"):
        model.get_region_features()


def test_inputs_embeds_are_the_same_as_input_ids():
    model = make_model(GeneBertModel)
    inputs = make_inputs(model.config)
    embeds = model.get_input_embeddings()(inputs["input_ids"])
    others = {name: value for name, value in inputs.items() if name != "input_ids"}
    assert_close(model(**inputs), model(inputs_embeds=embeds, **others))
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(inputs_embeds=embeds, **inputs)
    with pytest.raises(ValueError, match="exactly one of input_ids and inputs_embeds"):
        model(**others)


# What must not change a result


def vary(arguments):
    return pytest.mark.parametrize("arguments", arguments, ids=lambda kwargs: "-".join(map(str, kwargs.values())))


COMPOSITIONS = vary(
    [
        {"region_embedding": "block_projection"},
        {"region_embedding": "patch"},
        {"fusion_type": "concat"},
        {"pooling": "cls"},
        {"region_embedding": "patch", "fusion_type": "concat"},
    ]
)


@COMPOSITIONS
def test_no_regions_are_the_same_as_all_columns_absent(arguments):
    model = make_model(GeneBertForPreTraining, **arguments)
    inputs = make_inputs(model.config)
    sequence = {name: value for name, value in inputs.items() if not name.startswith("region")}
    inputs["region_mask"] = torch.zeros_like(inputs["region_mask"])
    assert_close(model(**inputs), model(**sequence))


@COMPOSITIONS
def test_content_of_absent_columns_changes_nothing(arguments):
    model = make_model(GeneBertForPreTraining, **arguments)
    inputs = make_inputs(model.config)
    output = model(**inputs)
    absent = inputs["region_mask"] == 0
    assert absent.any()
    inputs["region_values"] = torch.where(absent[:, None, None], 1e3, inputs["region_values"])
    changed = model(**inputs)
    for name, value in output.items():
        assert torch.equal(value, changed[name]), name


@COMPOSITIONS
def test_regions_that_are_present_matter(arguments):
    model = make_model(GeneBertForPreTraining, **arguments)
    inputs = make_inputs(model.config)
    before = model(**inputs)
    inputs["region_values"][0, 0, :, model.config.anchor_index] += 0.5
    after = model(**inputs)
    difference = (after.srm_logits - before.srm_logits).abs().amax(dim=1)
    assert difference[0] > 1e-4
    assert (difference[1:] == 0).all()
    token_difference = (after.prediction_logits - before.prediction_logits).abs().amax(dim=(1, 2))[0]
    # Pooled vectors side by side: the tokens know nothing of the regions.
    assert (token_difference == 0) == (arguments.get("fusion_type") == "concat")


def test_kind_of_context_matters():
    model = make_model(GeneBertForPreTraining)
    inputs = make_inputs(model.config)
    before = model(**inputs).srm_logits
    inputs["region_context_ids"] = 1 - inputs["region_context_ids"]
    assert ((model(**inputs).srm_logits - before).abs().amax(dim=1) > 1e-5).all()


def test_default_mask_and_context():
    model = make_model(GeneBertForPreTraining)
    inputs = make_inputs(model.config)
    inputs["region_mask"], inputs["region_context_ids"] = torch.ones(3, 8), torch.zeros(3, dtype=torch.long)
    given = model(**inputs)
    del inputs["region_mask"], inputs["region_context_ids"]
    assert_close(given, model(**inputs), tolerance=0)


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_sequence_alone_is_the_same_as_in_a_padded_batch(encoder, pooling):
    model = make_model(GeneBertForPreTraining, sequence_config=ENCODERS[encoder], pooling=pooling)
    inputs = make_inputs(model.config)
    short = {name: value[1:2] for name, value in inputs.items()}
    short |= {name: short[name][:, :12] for name in ("input_ids", "attention_mask", "token_type_ids")}
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        inputs[name][1, 12:] = 0
    alone, padded = model(**short), model(**inputs)
    for name in ("ngsp_logits", "srm_logits"):
        torch.testing.assert_close(alone[name][0], padded[name][1], atol=1e-5, rtol=1e-5)
    tokens = padded.prediction_logits[1, :12]
    torch.testing.assert_close(alone.prediction_logits[0], tokens, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_order_of_the_batch_changes_nothing(model_class):
    model = make_model(model_class)
    inputs = class_inputs(model_class, model.config, batch_size=4)
    order = torch.tensor([2, 0, 3, 1])
    assert_close(model(**{name: value[order] for name, value in inputs.items()}), model(**inputs), rows=order)


@pytest.mark.parametrize("model_class", [GeneBertModel, GeneBertForPreTraining])
def test_eager_and_sdpa_agree(model_class):
    model = make_model(model_class)
    inputs = make_inputs(model.config)
    inputs["attention_mask"][0, 15:] = 0
    outputs = []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        assert model.config.sequence_config._attn_implementation == implementation
        assert model.config.region_config._attn_implementation == implementation
        outputs.append(model(**inputs))
    assert_close(*outputs)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_any_sequence_encoder(encoder):
    model = make_model(GeneBertForPreTraining, sequence_config=ENCODERS[encoder])
    assert type(model.genebert.sequence_encoder).__name__.lower().startswith(encoder)
    assert model.predictions.decoder.weight is model.get_input_embeddings().weight
    inputs = make_inputs(model.config)
    output = model(**inputs, labels=inputs["input_ids"])
    assert output.prediction_logits.shape == (63, 69)
    assert output.loss.isfinite()


# Wrong input


@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_a_sequence_longer_than_the_positions(model_class):
    model = make_model(model_class)
    inputs = class_inputs(model_class, model.config, num_kmers=19)  # 41 tokens
    with pytest.raises(ValueError, match=r"41 tokens .* but the model has 40 positions: pass truncation=True"):
        model(**inputs)
    model(**class_inputs(model_class, model.config, num_kmers=18))


@pytest.mark.parametrize(
    "shape", [(3, 4, 32, 7), (3, 4, 20, 8), (3, 3, 32, 8), (3, 4, 32), (3, 1, 32, 8), (3, 4, 64, 4)]
)
def test_region_values_of_another_shape(shape):
    model = make_model(GeneBertModel)
    inputs = {**make_inputs(model.config), "region_values": torch.zeros(shape)}
    with pytest.raises(ValueError) as error:
        model(**inputs)
    assert f"region_values has shape {shape}, expected (3, 4, 32, 8)" in str(error.value)


# Losses of pre-training


@pytest.fixture
def labelled():
    """Inputs with labels of every kind; row 1 has no pair labels."""
    inputs = make_inputs(make_config(), batch_size=4)
    inputs["region_mask"][2] = 0
    labels = torch.full_like(inputs["input_ids"], -100)
    for row, token, label in [(0, 2, 9), (0, 5, 40), (2, 1, 68), (3, 3, 5), (3, 17, 30)]:
        labels[row, token] = label
    pairs = {"ngsp_labels": torch.tensor([1, -100, 0, 1]), "srm_labels": torch.tensor([0, -100, 1, 1])}
    return {**inputs, "labels": labels, **pairs}


LABELS = ("labels", "ngsp_labels", "srm_labels")


def test_losses_by_hand_and_their_weighted_sum(labelled):
    model = make_model(GeneBertForPreTraining, mgm_loss_weight=2.0, ngsp_loss_weight=0.5, srm_loss_weight=3.0)
    output = model(**labelled)
    full = model(**{name: value for name, value in labelled.items() if name not in LABELS})
    assert full.loss is None
    # The head runs on the labelled tokens only, in row-major order.
    places = [(0, 2), (0, 5), (2, 1), (3, 3), (3, 17)]
    expected = torch.stack([full.prediction_logits[place] for place in places])
    assert output.prediction_logits.shape == (5, 69)
    torch.testing.assert_close(output.prediction_logits, expected, atol=1e-5, rtol=1e-5)

    mgm = F.cross_entropy(expected, torch.tensor([9, 40, 68, 5, 30]))
    ngsp = F.cross_entropy(full.ngsp_logits[[0, 2, 3]], torch.tensor([1, 0, 1]))
    srm = F.cross_entropy(full.srm_logits[[0, 2, 3]], torch.tensor([0, 1, 1]))
    for name, value in (("mgm_loss", mgm), ("ngsp_loss", ngsp), ("srm_loss", srm)):
        torch.testing.assert_close(output[name], value, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(output.loss, 2 * mgm + 0.5 * ngsp + 3 * srm, atol=1e-4, rtol=1e-5)


def test_ignored_labels_give_zero_and_no_gradient_of_nan(labelled):
    model = make_model(GeneBertForPreTraining)
    output = model(**{**labelled, **{name: torch.full_like(labelled[name], -100) for name in LABELS}})
    assert [output[f"{task}_loss"].item() for task in ("mgm", "ngsp", "srm")] == [0, 0, 0]
    assert output.loss.item() == 0
    assert output.prediction_logits.shape == (0, 69)
    output.loss.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(("given", "loss"), [("labels", "mgm"), ("ngsp_labels", "ngsp"), ("srm_labels", "srm")])
def test_a_loss_is_there_only_where_its_labels_are(labelled, given, loss):
    model = make_model(GeneBertForPreTraining)
    output = model(**{name: value for name, value in labelled.items() if name not in LABELS or name == given})
    assert [name for name in ("mgm", "ngsp", "srm") if output.get(f"{name}_loss") is not None] == [loss]
    assert output.loss.item() == output[f"{loss}_loss"].item() > 0


def test_every_parameter_gets_a_gradient(labelled):
    model = make_model(GeneBertForPreTraining).train()
    model(**labelled).loss.backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert missing == []
    # A bias that shifts all of a softmax's inputs alike has none by nature.
    shift = ("key.bias", "pooling_query.bias")
    parameters = {name: p for name, p in model.named_parameters() if not name.endswith(shift)}
    assert [name for name, parameter in parameters.items() if not parameter.grad.abs().sum() > 0] == []


def test_bf16_autocast(labelled):
    model = make_model(GeneBertForPreTraining).train()
    exact = make_model(GeneBertForPreTraining)(**labelled).loss
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(**labelled)
    assert output.ngsp_logits.dtype == torch.bfloat16
    assert output.loss.dtype == torch.float32
    assert output.loss.item() == pytest.approx(exact.item(), rel=0.25)
    output.loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_bf16_weights():
    model = make_model(GeneBertModel).to(torch.bfloat16)
    assert model(**make_inputs(model.config)).pooler_output.dtype == torch.bfloat16


def test_gradient_checkpointing_changes_no_gradient(labelled):
    gradients = []
    for checkpointing in (False, True):
        without = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        model = make_model(GeneBertForPreTraining, sequence_config={**SEQUENCE, **without}, classifier_dropout=0.0)
        if checkpointing:
            model.gradient_checkpointing_enable()
        model.train()
        model(**labelled).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name in gradients[0]:
        torch.testing.assert_close(gradients[0][name], gradients[1][name], atol=1e-5, rtol=1e-4, msg=name)


# Hidden states, attentions, tuples


def test_hidden_states_and_attentions_of_both_encoders():
    model = make_model(GeneBertModel)
    model.set_attn_implementation("eager")
    inputs = make_inputs(model.config)
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    assert [tuple(state.shape) for state in output.hidden_states] == [(3, 21, 32)] * 3
    assert [tuple(weights.shape) for weights in output.attentions] == [(3, 2, 21, 21)] * 2
    assert [tuple(state.shape) for state in output.region_hidden_states] == [(3, 64, 8), (3, 16, 16), (3, 16, 16)]
    assert len(output.region_attentions) == 2
    plain = model(**inputs)
    assert (plain.hidden_states, plain.attentions, plain.region_hidden_states) == (None, None, None)


@pytest.mark.parametrize("model_class", [GeneBertForPreTraining, GeneBertForMaskedLM, GeneBertForTokenClassification])
def test_hidden_states_of_the_task_models(model_class):
    model = make_model(model_class)
    output = model(**class_inputs(model_class, model.config), output_hidden_states=True)
    assert [tuple(state.shape) for state in output.hidden_states] == [(3, 21, 32)] * 3


@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_return_dict_false_gives_a_tuple(model_class):
    model = make_model(model_class)
    inputs = class_inputs(model_class, model.config)
    as_dict, as_tuple = model(**inputs), model(**inputs, return_dict=False)
    assert isinstance(as_tuple, tuple)
    assert len(as_tuple) == len(as_dict.to_tuple())
    for value, other in zip(as_tuple, as_dict.to_tuple(), strict=True):
        assert torch.equal(value, other)


# Saving and loading


@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_saved_and_loaded_is_bit_equal(model_class, tmp_path):
    model = make_model(model_class, num_labels=3)
    model.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.bin")) and (tmp_path / "model.safetensors").is_file()
    loaded, info = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert [info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")] == [set(), set(), set()]
    state, loaded_state = model.state_dict(), loaded.state_dict()
    assert list(state) == list(loaded_state)
    assert all(torch.equal(state[name], loaded_state[name]) for name in state)
    inputs = class_inputs(model_class, model.config)
    output, loaded_output = tensors(model(**inputs)), tensors(loaded.eval()(**inputs))
    assert all(torch.equal(output[name], loaded_output[name]) for name in output)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == [model_class.__name__]
    assert len(config["auto_map"]) == 7
    assert {path.name for path in tmp_path.glob("*.py")} >= {"modeling_genebert.py", "configuration_genebert.py"}


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("model_class", [GeneBertForPreTraining, GeneBertForMaskedLM])
def test_tied_weights_stay_tied(model_class, encoder, tmp_path):
    make_model(model_class, sequence_config=ENCODERS[encoder]).save_pretrained(tmp_path)
    loaded = model_class.from_pretrained(tmp_path)
    assert loaded.predictions.decoder.weight is loaded.get_input_embeddings().weight
    with torch.no_grad():
        loaded.get_input_embeddings().weight[7] += 1
    assert torch.equal(loaded.predictions.decoder.weight, loaded.get_input_embeddings().weight)


def test_a_pretrained_checkpoint_starts_the_other_classes(tmp_path):
    model = make_model(GeneBertForPreTraining)
    model.save_pretrained(tmp_path)
    inputs = make_inputs(model.config)
    body = GeneBertModel.from_pretrained(tmp_path).eval()
    assert torch.equal(body(**inputs).pooler_output, model.genebert(**inputs).pooler_output)
    masked = GeneBertForMaskedLM.from_pretrained(tmp_path).eval()
    assert torch.equal(masked(**inputs).logits, model(**inputs).prediction_logits)
    classifier = GeneBertForSequenceClassification.from_pretrained(tmp_path, num_labels=4).eval()
    assert torch.equal(classifier.genebert(**inputs).pooler_output, model.genebert(**inputs).pooler_output)
    assert classifier(**inputs).logits.shape == (3, 4)
    with pytest.raises(AttributeError):
        _ = body.predictions


def test_resize_token_embeddings():
    model = make_model(GeneBertForMaskedLM)
    assert isinstance(model, PreTrainedModel)
    model.resize_token_embeddings(80)
    assert model.config.vocab_size == 80
    assert model(**make_inputs(make_config())).logits.shape == (3, 21, 80)


# Task heads


def test_masked_lm_loss_by_hand():
    model = make_model(GeneBertForMaskedLM)
    inputs = make_inputs(model.config)
    labels = torch.full_like(inputs["input_ids"], -100)
    labels[0, 2], labels[2, 7] = 11, 60
    output = model(**inputs, labels=labels)
    expected = F.cross_entropy(output.logits[[0, 2], [2, 7]], torch.tensor([11, 60]))
    torch.testing.assert_close(output.loss, expected)
    assert model(**inputs, labels=torch.full_like(labels, -100)).loss.item() == 0


PROBLEMS = [
    (3, torch.tensor([0, 2, 1]), "single_label_classification", F.cross_entropy),
    (3, torch.eye(3), "multi_label_classification", F.binary_cross_entropy_with_logits),
    (1, torch.tensor([0.5, -1.0, 2.0]), "regression", lambda logits, y: F.mse_loss(logits.squeeze(), y)),
    (2, torch.tensor([[0.5, 1], [-1.0, 0], [2.0, 3]]), "regression", F.mse_loss),
]


@pytest.mark.parametrize(
    ("num_labels", "labels", "problem_type", "loss", "told"),
    # The last is only told: several floats without a problem type are several labels.
    [(*problem, True) for problem in PROBLEMS] + [(*problem, False) for problem in PROBLEMS[:3]],
)
def test_problem_types(num_labels, labels, problem_type, loss, told):
    arguments = {"problem_type": problem_type} if told else {}
    model = make_model(GeneBertForSequenceClassification, num_labels=num_labels, **arguments)
    output = model(**make_inputs(model.config), labels=labels)
    torch.testing.assert_close(output.loss, loss(output.logits, labels))
    assert model.config.problem_type == problem_type


@pytest.mark.parametrize(("kmer", "stride"), [(3, 1), (3, 2), (3, 3), (1, 1)])
def test_logits_per_base_are_those_of_the_mean_of_the_covering_kmers(kmer, stride):
    model = make_model(GeneBertForTokenClassification, kmer=kmer, stride=stride, num_labels=2)
    lengths = [7, 4, 1]  # k-mers a row
    inputs = make_inputs(model.config, num_kmers=3)
    inputs["input_ids"], inputs["attention_mask"] = torch.zeros(3, 9).long(), torch.zeros(3, 9).long()
    del inputs["token_type_ids"]
    for row, length in enumerate(lengths):
        inputs["input_ids"][row, : length + 2] = torch.tensor([2, *(5 + number % 4 for number in range(length)), 3])
        inputs["attention_mask"][row, : length + 2] = 1
    states = model.genebert(**inputs).last_hidden_state
    logits = model(**inputs).logits
    assert logits.shape == (3, 6 * stride + kmer, 2)
    for row, length in enumerate(lengths):
        for base in range((length - 1) * stride + kmer):
            covering = [k for k in range(length) if k * stride <= base < k * stride + kmer]
            mean = sum(states[row, 1 + k] for k in covering) / len(covering)
            torch.testing.assert_close(logits[row, base], model.classifier(mean), atol=1e-5, rtol=1e-5)


def test_labels_per_base():
    model = make_model(GeneBertForTokenClassification, num_labels=3)
    inputs = class_inputs(GeneBertForTokenClassification, model.config, num_kmers=4)  # 9 k-mers, 11 bases
    labels = torch.full((3, 10), -100)
    labels[0, 0], labels[1, 9], labels[2, 4] = 2, 0, 1
    output = model(**inputs, labels=labels)
    expected = F.cross_entropy(output.logits[[0, 1, 2], [0, 9, 4]], torch.tensor([2, 0, 1]))
    torch.testing.assert_close(output.loss, expected)
    with pytest.raises(ValueError, match="labels has 12 bases, but the tokens cover 11"):
        model(**inputs, labels=torch.zeros(3, 12).long())
    with pytest.raises(ValueError, match="one segment a row, but token_type_ids holds a segment B"):
        model(**make_inputs(model.config))


def allele_inputs(config):
    inputs = make_inputs(config)
    alternate = inputs["input_ids"].clone()
    alternate[:, 4:7] = torch.tensor([10, 20, 30])
    return inputs["input_ids"], alternate, {name: inputs[name] for name in inputs if name.startswith("region")}


def test_variant_effect_is_signed():
    model = make_model(GeneBertForVariantEffect, num_labels=1)
    reference, alternate, regions = allele_inputs(model.config)
    forward = model(reference, alt_input_ids=alternate, **regions).logits
    backward = model(alternate, alt_input_ids=reference, **regions).logits
    assert (forward.abs() > 1e-4).all()
    assert torch.equal(forward, -backward)
    assert torch.equal(model(reference, alt_input_ids=reference, **regions).logits, torch.zeros(3, 1))
    loss = model(reference, alt_input_ids=alternate, labels=torch.tensor([1.0, 0, -2]), **regions).loss
    torch.testing.assert_close(loss, F.mse_loss(forward[:, 0], torch.tensor([1.0, 0, -2])))


def test_variant_effect_reads_the_matrix_that_the_allele_changes():
    model = make_model(GeneBertForVariantEffect, num_labels=1)
    reference, _, regions = allele_inputs(model.config)
    changed = regions["region_values"].clone()
    changed[:, 0, :, model.config.anchor_index] += 0.5
    effect = model(reference, alt_input_ids=reference, alt_region_values=changed, **regions).logits
    assert (effect.abs() > 1e-4).all()


def test_variant_classes():
    model = make_model(GeneBertForVariantEffect, num_labels=2)
    reference, alternate, regions = allele_inputs(model.config)
    equal = model(reference, alt_input_ids=reference, **regions).logits
    assert torch.equal(equal, model.classifier.bias.expand(3, 2))
    output = model(reference, alt_input_ids=alternate, labels=torch.tensor([0, 1, -100]), **regions)
    torch.testing.assert_close(output.loss, F.cross_entropy(output.logits[:2], torch.tensor([0, 1])))


def test_alleles_of_different_length():
    model = make_model(GeneBertForVariantEffect, num_labels=1)
    reference, _, regions = allele_inputs(model.config)
    padded = F.pad(reference, (0, 4))
    mask = (torch.arange(padded.shape[1]) < reference.shape[1]).long().expand(3, -1)
    segments = torch.zeros_like(reference)
    inputs = {"alt_input_ids": padded, "alt_attention_mask": mask, "token_type_ids": segments, **regions}
    effect = model(reference, **inputs).logits
    torch.testing.assert_close(effect, torch.zeros(3, 1), atol=1e-5, rtol=0)


def test_a_variant_needs_both_alleles():
    model = make_model(GeneBertForVariantEffect)
    with pytest.raises(ValueError, match="needs both alleles"):
        model(make_inputs(model.config)["input_ids"])


@pytest.mark.parametrize("model_class", [GeneBertModel, GeneBertForPreTraining])
def test_kmers_that_share_bases_start_alike(model_class):
    model = make_model(model_class, kmer=4, sequence_config={**SEQUENCE, "hidden_size": 512})
    kmers = F.normalize(model.get_input_embeddings().weight[5:].detach(), dim=-1)
    bases = torch.cartesian_prod(*[torch.arange(4)] * 4)  # rows in the order of the vocabulary
    shared = (bases[:, None] == bases).sum(dim=-1)
    cosine = kmers @ kmers.T
    means = [cosine[shared == number].mean().item() for number in range(5)]
    assert means[4] == pytest.approx(1)
    assert all(more - less > 0.05 for less, more in zip(means[:3], means[1:4], strict=True))
    assert (model.get_input_embeddings().weight[0] == 0).all()  # [PAD]
