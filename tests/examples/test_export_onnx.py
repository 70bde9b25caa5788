from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from packaging.version import Version

from examples import export_onnx
from modeling_genebert import (
    GeneBertForSequenceClassification,
    GeneBertForVariantEffect,
    GeneBertModel,
    GeneBertProcessor,
)
from tests.running import run_example


pytest.importorskip("onnxscript", reason="the ONNX export needs onnxscript")
onnxruntime = pytest.importorskip("onnxruntime", reason="the ONNX export needs onnxruntime")
if Version(torch.__version__) < Version("2.7"):
    pytest.skip("the ONNX export needs torch 2.7", allow_module_level=True)

SEQUENCES = ["ACGTTGCA" * 10, "GATTACA" * 5]


@pytest.fixture(scope="module")
def classifier(pretrained, tmp_path_factory):
    """A classifier of three classes, as fine-tuning saves it, in bfloat16."""
    folder = tmp_path_factory.mktemp("classifier")
    model = GeneBertForSequenceClassification.from_pretrained(pretrained, num_labels=3, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    GeneBertProcessor.from_pretrained(pretrained).save_pretrained(folder)
    return folder


def predict(folder, inputs):
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value) for name, value in inputs.items()})


def test_a_classifier_with_regions(classifier, tmp_path):
    printed = run_example("export_onnx.py", "--model_name_or_path", str(classifier), "--output_dir", str(tmp_path))
    assert "GeneBertForSequenceClassification for text-classification" in printed
    assert (
        "inputs   input_ids, token_type_ids, attention_mask, region_values, region_mask, region_context_ids" in printed
    )
    assert "checked  1×9, 1×57, 1×297, 2×9, 2×57, 2×297, 5×9, 5×57, 5×297 tokens" in printed
    assert float(re.search(r"difference from PyTorch: (\S+)", printed)[1]) < 1e-4

    processor = GeneBertProcessor.from_pretrained(tmp_path)
    logits = predict(tmp_path, processor(SEQUENCES, padding=True, return_tensors="np"))
    model = GeneBertForSequenceClassification.from_pretrained(classifier, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(**processor(SEQUENCES, padding=True, return_tensors="pt")).logits
    assert expected.shape == (2, 3)
    np.testing.assert_allclose(logits[0], expected, atol=1e-4)


def test_features_of_sequences_alone(pretrained, tmp_path, capsys):
    arguments = ["--model_name_or_path", str(pretrained), "--output_dir", str(tmp_path), "--without_regions"]
    export_onnx.main(arguments)
    printed = capsys.readouterr().out
    assert "GeneBertModel for feature-extraction" in printed
    assert "inputs   input_ids, token_type_ids, attention_mask\n" in printed
    names = ["last_hidden_state", "pooler_output", "region_pooler_output", "region_hidden_state"]
    names += ["own_column", "enrichment"]
    assert f"outputs  {', '.join(names)}\n" in printed
    tokens = GeneBertProcessor.from_pretrained(tmp_path).tokenizer(SEQUENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = GeneBertModel.from_pretrained(pretrained).eval()(**tokens)
    for name, value in zip(names, predict(tmp_path, tokens), strict=True):
        np.testing.assert_allclose(value, expected[name], atol=1e-4, err_msg=name)


def test_a_file_that_differs_is_not_written(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(export_onnx, "export", lambda model, inputs, path: path.write_bytes(b"") and [])
    monkeypatch.setattr(export_onnx, "largest_difference", lambda *arguments: 0.25)
    with pytest.raises(ValueError, match="differs from PyTorch by 2.5e-01, more than the 1e-04 allowed"):
        export_onnx.main(["--model_name_or_path", str(classifier), "--output_dir", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_has_no_task(pretrained, tmp_path):
    GeneBertForVariantEffect.from_pretrained(pretrained).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="saved as GeneBertForVariantEffect, which has no ONNX task: expected one of"):
        export_onnx.main(["--model_name_or_path", str(tmp_path), "--output_dir", str(tmp_path / "onnx")])
