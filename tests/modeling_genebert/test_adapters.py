"""LoRA through peft: trained, saved, reloaded on a fresh base, and merged.

What to adapt: `query` and `value` are the attention of BERT and of the fusion layers, `q_proj` and `v_proj` that of
Swin; `"all-linear"` takes every linear layer of the encoders, the fusion and the poolers. A head that is new must be
trained and saved whole: peft does so for `classifier` by itself, the others are named in `modules_to_save`.
"""

from __future__ import annotations

import json

import pytest
import torch
from transformers import Trainer, TrainingArguments

from modeling_genebert import (
    GeneBertForMaskedLM,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
)

from .conftest import SEQUENCE, make_model
from .test_modeling_genebert import class_inputs


peft = pytest.importorskip("peft", reason="LoRA needs peft")

ATTENTION = ["query", "value"]
CASES = [
    (GeneBertForSequenceClassification, "SEQ_CLS", ATTENTION, None, ["classifier"]),
    (GeneBertForSequenceClassification, "SEQ_CLS", [*ATTENTION, "q_proj", "v_proj"], None, ["classifier"]),
    (GeneBertForSequenceClassification, "SEQ_CLS", "all-linear", None, ["classifier"]),
    (GeneBertForTokenClassification, "TOKEN_CLS", ATTENTION, None, ["classifier"]),
    (GeneBertForVariantEffect, None, ATTENTION, ["features", "classifier"], ["features", "classifier"]),
    (GeneBertForMaskedLM, None, ATTENTION, None, []),
]


def labelled_inputs(model):
    inputs = class_inputs(type(model), model.config)
    labels = {
        GeneBertForMaskedLM: inputs["input_ids"],
        GeneBertForTokenClassification: torch.arange(3)[:, None].expand(-1, 20) % 2,
    }
    return {**inputs, "labels": labels.get(type(model), torch.tensor([0, 1, 1]))}


def train(model, inputs, steps=2):
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(steps):
        model(**inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.mark.parametrize(("model_class", "task_type", "target_modules", "modules_to_save", "heads"), CASES)
def test_an_adapter_is_trained_saved_reloaded_and_merged(
    model_class, task_type, target_modules, modules_to_save, heads, tmp_path
):
    make_model(model_class).save_pretrained(tmp_path / "base")
    base = model_class.from_pretrained(tmp_path / "base")
    inputs = labelled_inputs(base)
    config = peft.LoraConfig(task_type=task_type, r=4, target_modules=target_modules, modules_to_save=modules_to_save)
    model = peft.get_peft_model(base, config)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert all(".lora_" in name or ".modules_to_save." in name for name in trained)
    assert {name.split(".")[2] for name in trained if ".modules_to_save." in name} == set(heads)
    for part in ("sequence_encoder", "fusion"):
        assert any(f".{part}." in name for name in trained)
    assert any(".region_encoder.swin." in name for name in trained) == (target_modules != ATTENTION)

    before = model.eval()(**inputs).logits
    train(model, inputs)
    after = model(**inputs).logits
    assert (after - before).abs().max() > 1e-3

    model.save_pretrained(tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert saved["base_model_name_or_path"] == str(tmp_path / "base")
    fresh = model_class.from_pretrained(tmp_path / "base").eval()
    reloaded = peft.PeftModel.from_pretrained(fresh, tmp_path / "adapter").eval()
    assert torch.equal(reloaded(**inputs).logits, after)

    reloaded.merge_and_unload().save_pretrained(tmp_path / "merged")
    merged = model_class.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(merged(**inputs).logits, after, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing_trains_the_adapters_of_both_encoders(use_reentrant):
    gradients = []
    for checkpointing in (False, True):
        without_dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        base = make_model(
            GeneBertForSequenceClassification,
            sequence_config={**SEQUENCE, **without_dropout},
            classifier_dropout=0.0,
        )
        config = peft.LoraConfig(task_type="SEQ_CLS", target_modules=["query", "q_proj"], init_lora_weights=False)
        torch.manual_seed(0)
        model = peft.get_peft_model(base, config).train()
        if checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": use_reentrant})
            base.enable_input_require_grads()
        model(**labelled_inputs(base)).loss.backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if ".lora_" in name})
    assert len(gradients[0]) == 12  # two matrices in each of two layers of BERT, Swin and fusion
    for name, gradient in gradients[0].items():
        assert gradient.abs().sum() > 0, name
        torch.testing.assert_close(gradients[1][name], gradient, atol=1e-6, rtol=1e-4, msg=name)


def test_a_trainer_step_and_the_auto_class(tmp_path):
    make_model(GeneBertForSequenceClassification).save_pretrained(tmp_path / "base")
    base = GeneBertForSequenceClassification.from_pretrained(tmp_path / "base")
    model = peft.get_peft_model(base, peft.LoraConfig(task_type="SEQ_CLS", target_modules=ATTENTION))
    inputs = labelled_inputs(base)
    trainer = Trainer(
        model,
        TrainingArguments(
            str(tmp_path / "run"),
            max_steps=1,
            per_device_train_batch_size=3,
            learning_rate=1e-2,
            use_cpu=True,
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=[{name: value[row] for name, value in inputs.items()} for row in range(3)],
    )
    assert trainer.label_names == ["labels"]
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    trainer.train()
    changed = {name for name, parameter in model.named_parameters() if not torch.equal(before[name], parameter)}
    assert changed
    assert all(".lora_B." in name or ".lora_A." in name or ".modules_to_save." in name for name in changed)
    checkpoint = tmp_path / "run" / "checkpoint-1"
    loaded = peft.AutoPeftModelForSequenceClassification.from_pretrained(checkpoint).eval()
    assert torch.equal(loaded(**inputs).logits, model.eval()(**inputs).logits)
