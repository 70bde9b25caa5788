"""Weights in bfloat16, float16 and 8 bits: outputs stay close to those in float32."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import BitsAndBytesConfig

from modeling_genebert import (
    GeneBertConfig,
    GeneBertForMaskedLM,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
)

from .conftest import make_inputs, make_model
from .test_modeling_genebert import ALL_CLASSES, class_inputs, tensors


def assert_near(output, exact, tolerance):
    """Within a share of the largest value."""
    exact = tensors(exact)
    for name, value in tensors(output).items():
        assert value.isfinite().all(), name
        difference = (value.float() - exact[name]).abs().max()
        assert difference < tolerance * exact[name].abs().max(), f"{name}: {difference}"


def linear_layers(model, quantized):
    linear = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    return [name for name, module in linear if (module.weight.dtype == torch.int8) == quantized]


# Half precision


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.05), (torch.float16, 0.01)])
@pytest.mark.parametrize("model_class", ALL_CLASSES)
def test_half_precision(model_class, dtype, tolerance, tmp_path):
    model = make_model(model_class)
    model.save_pretrained(tmp_path)
    inputs = class_inputs(model_class, model.config)
    if model_class is GeneBertForVariantEffect:  # of alleles with the same k-mers, the effect is no more than rounding
        inputs["alt_input_ids"] = inputs["input_ids"].roll(1, dims=0)
    half = model_class.from_pretrained(tmp_path, dtype=dtype).eval()
    assert {parameter.dtype for parameter in half.parameters()} == {dtype}
    output = half(**inputs)  # region_values come as float32, as the processor writes them
    assert {value.dtype for value in tensors(output).values()} == {dtype}
    assert_near(output, model(**inputs), tolerance)


def test_a_checkpoint_in_half_precision_keeps_it_and_its_config_makes_a_model_in_float32(tmp_path):
    inputs = make_inputs(make_model(GeneBertModel).config)
    half = make_model(GeneBertModel).to(torch.bfloat16)
    half.save_pretrained(tmp_path)
    loaded = GeneBertModel.from_pretrained(tmp_path).eval()
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded(**inputs).pooler_output, half(**inputs).pooler_output)
    model = GeneBertModel(GeneBertConfig.from_pretrained(tmp_path))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model(**inputs).pooler_output.dtype == torch.float32


# 8 bits


@pytest.fixture
def load_in_8bit(tmp_path):
    pytest.importorskip("bitsandbytes", reason="8-bit weights need bitsandbytes")

    def load(model, **kwargs):
        model.save_pretrained(tmp_path)
        arguments = {name: kwargs.pop(name) for name in ("llm_int8_skip_modules",) if name in kwargs}
        config = BitsAndBytesConfig(load_in_8bit=True, **arguments)
        return type(model).from_pretrained(tmp_path, quantization_config=config, **kwargs).eval()

    return load


@pytest.mark.parametrize("model_class", [GeneBertModel, GeneBertForPreTraining, GeneBertForSequenceClassification])
def test_8_bits(model_class, load_in_8bit, tmp_path):
    model = make_model(model_class)
    inputs = class_inputs(model_class, model.config)
    quantized = load_in_8bit(model)
    # The decoder's weights are the word embeddings'; transformers takes no subclass of nn.Linear, as two layers of
    # each fusion layer are.
    kept = [name for name in linear_layers(quantized, False) if not name.startswith(("fusion", "genebert.fusion"))]
    assert kept == (["predictions.decoder"] if model_class is GeneBertForPreTraining else [])
    assert len(linear_layers(quantized, True)) >= 38
    output = quantized(**inputs)
    assert_near(output, model(**inputs), tolerance=0.05)

    quantized.save_pretrained(tmp_path / "8bit")
    reloaded = model_class.from_pretrained(tmp_path / "8bit").eval()
    for name, value in tensors(reloaded(**inputs)).items():
        assert torch.equal(value, tensors(output)[name]), name


def test_8_bits_with_the_rest_in_bfloat16(load_in_8bit):
    model = make_model(GeneBertForMaskedLM)
    inputs = make_inputs(model.config)
    quantized = load_in_8bit(model, dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in quantized.parameters()} == {torch.int8, torch.bfloat16}
    assert_near(quantized(**inputs), model(**inputs), tolerance=0.05)


def test_lora_on_8_bits(load_in_8bit):
    """The head is trained, so it stays out of the 8 bits."""
    peft = pytest.importorskip("peft", reason="LoRA needs peft")
    model = make_model(GeneBertForSequenceClassification)
    inputs = make_inputs(model.config)
    quantized = load_in_8bit(model, llm_int8_skip_modules=["classifier"])
    assert linear_layers(quantized, False)[-2:] == ["classifier.0.dense", "classifier.2"]
    quantized = peft.prepare_model_for_kbit_training(quantized)
    adapted = peft.get_peft_model(quantized, peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "value"]))
    assert_near(adapted.eval()(**inputs), model(**inputs), tolerance=0.05)
    adapted.train()(**inputs, labels=torch.tensor([0, 1, 1])).loss.backward()
    with_gradient = [name for name, p in adapted.named_parameters() if p.grad is not None and p.grad.any()]
    assert any(".sequence_encoder." in name for name in with_gradient)
    assert any(".fusion." in name for name in with_gradient)
    assert any(".modules_to_save." in name for name in with_gradient)
