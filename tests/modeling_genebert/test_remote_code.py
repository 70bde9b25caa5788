"""A saved folder opens in a process that has never seen this package, and with no flag where it is imported."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoProcessor,
    AutoTokenizer,
)

import modeling_genebert
from modeling_genebert import (
    AutoModelForVariantEffect,
    GeneBertFeatureExtractor,
    GeneBertForPreTraining,
    GeneBertForSequenceClassification,
    GeneBertForTokenClassification,
    GeneBertForVariantEffect,
    GeneBertProcessor,
    GeneBertTokenizer,
)
from tests.running import quick_python

from .conftest import make_model


SEQUENCES = ["ACGTACGTTACGATCAGCTAGCAT", "acgtnacgttuacgg"]
MODELS = {
    "AutoModel": "pretrained",
    "AutoModelForPreTraining": "pretrained",
    "AutoModelForMaskedLM": "pretrained",
    "AutoModelForSequenceClassification": "sequences",
    "AutoModelForTokenClassification": "bases",
}


def open_all(root, models, sequences, **options):
    """Run in both processes: open the saved folders by every Auto class. Inputs and outputs, and class names."""
    import torch
    import transformers

    results, names = {}, {}
    for auto_class, name in models.items():
        folder = f"{root}/{name}"
        model = getattr(transformers, auto_class).from_pretrained(folder, **options).eval()
        processor = transformers.AutoProcessor.from_pretrained(folder, **options)
        names[auto_class] = type(model).__name__
        inputs = processor(sequences, padding=True, return_tensors="pt")
        with torch.no_grad():
            output = model(**inputs)
        results |= {f"{auto_class}.{name}": value.numpy() for name, value in output.items()}
        results |= {f"{auto_class}.inputs.{name}": value.numpy() for name, value in inputs.items()}
    for auto_class in ("AutoConfig", "AutoTokenizer", "AutoFeatureExtractor", "AutoProcessor"):
        names[auto_class] = type(getattr(transformers, auto_class).from_pretrained(folder, **options)).__name__
    return results, names


@pytest.fixture(scope="module")
def saved(bank, tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    processor = GeneBertProcessor(GeneBertFeatureExtractor(bank, num_regions=8), GeneBertTokenizer(kmer=3))
    classes = {
        "pretrained": GeneBertForPreTraining,
        "sequences": GeneBertForSequenceClassification,
        "bases": GeneBertForTokenClassification,
        "variants": GeneBertForVariantEffect,
    }
    for name, model_class in classes.items():
        model = make_model(model_class, num_labels=3, motif_bank_fingerprint=bank.fingerprint)
        model.save_pretrained(root / name)
        processor.save_pretrained(root / name)
    return root


NAMES = {
    "AutoModel": "GeneBertModel",
    "AutoModelForPreTraining": "GeneBertForPreTraining",
    "AutoModelForMaskedLM": "GeneBertForMaskedLM",
    "AutoModelForSequenceClassification": "GeneBertForSequenceClassification",
    "AutoModelForTokenClassification": "GeneBertForTokenClassification",
    "AutoConfig": "GeneBertConfig",
    "AutoTokenizer": "GeneBertTokenizer",
    "AutoFeatureExtractor": "GeneBertFeatureExtractor",
    "AutoProcessor": "GeneBertProcessor",
}


def test_a_folder_holds_all_it_needs(saved):
    for name in ("pretrained", "variants"):
        files = {path.name for path in (saved / name).iterdir()}
        code = {path.name for path in Path(modeling_genebert.__file__).parent.glob("*.py")}
        travels = {file for file in files if file.endswith(".py")}
        assert travels <= code
        assert {"modeling_genebert.py", "configuration_genebert.py", "tokenization_genebert.py"} <= travels
        weights = {"config.json", "model.safetensors", "motifs.safetensors"}
        assert weights | {"processor_config.json", "tokenizer.json", "tokenizer_config.json"} <= files
    auto_map = json.loads((saved / "pretrained" / "config.json").read_text())["auto_map"]
    assert set(auto_map) >= {*MODELS, "AutoConfig", "AutoModelForVariantEffect"}


def test_where_the_package_is_imported_no_flag_is_needed(saved):
    results, names = open_all(saved, MODELS, SEQUENCES)
    assert names == NAMES
    model = AutoModelForPreTraining.from_pretrained(saved / "pretrained")
    assert type(model) is GeneBertForPreTraining
    assert type(AutoConfig.from_pretrained(saved / "pretrained")) is modeling_genebert.GeneBertConfig
    assert type(AutoModel.from_config(model.config)) is modeling_genebert.GeneBertModel
    assert type(AutoTokenizer.from_pretrained(saved / "bases")) is GeneBertTokenizer
    assert type(AutoProcessor.from_pretrained(saved / "bases")) is GeneBertProcessor
    assert type(AutoFeatureExtractor.from_pretrained(saved / "bases")) is GeneBertFeatureExtractor
    assert type(AutoModelForMaskedLM.from_pretrained(saved / "pretrained")) is modeling_genebert.GeneBertForMaskedLM
    for auto_class, model_class, folder in (
        (AutoModelForSequenceClassification, GeneBertForSequenceClassification, "sequences"),
        (AutoModelForTokenClassification, GeneBertForTokenClassification, "bases"),
        (AutoModelForVariantEffect, GeneBertForVariantEffect, "variants"),
    ):
        assert type(auto_class.from_pretrained(saved / folder)) is model_class
    assert results["AutoModelForMaskedLM.logits"].shape == (2, 24, 69)
    assert results["AutoModelForTokenClassification.logits"].shape == (2, 24, 3)
    assert results["AutoModelForSequenceClassification.logits"].shape == (2, 3)


SCRIPT = """
import json, sys
sys.modules["modeling_genebert"] = None  # importing the package fails
import numpy as np
import torch, transformers
root, again, output = sys.argv[1:4]
models, sequences = json.loads(sys.argv[4])
results, names = open_all(root, models, sequences, trust_remote_code=True)

# The variant model has an Auto class of its own; its code is found by the config.
from transformers.dynamic_module_utils import get_class_from_dynamic_module
folder = f"{root}/variants"
config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
variant_class = get_class_from_dynamic_module(config.auto_map["AutoModelForVariantEffect"], folder)
names["variants"] = variant_class.__name__
processor = transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True)
inputs = processor(sequences, padding=True, return_tensors="pt")
with torch.no_grad():
    ids = inputs["input_ids"]
    results["variants.logits"] = variant_class.from_pretrained(folder).eval()(
        ids, inputs["attention_mask"], ids.flip(0), inputs["attention_mask"].flip(0)
    ).logits.numpy()

# Save what was loaded as remote code, and open that.
for name in sorted(set(models.values())):
    folder = f"{root}/{name}"
    auto_class = next(auto for auto in reversed(models) if models[auto] == name)
    if name == "pretrained":
        auto_class = "AutoModelForPreTraining"
    model = getattr(transformers, auto_class).from_pretrained(folder, trust_remote_code=True)
    model.save_pretrained(f"{again}/{name}")
    transformers.AutoProcessor.from_pretrained(folder, trust_remote_code=True).save_pretrained(f"{again}/{name}")
second, second_names = open_all(again, models, sequences, trust_remote_code=True)
assert second_names == {name: value for name, value in names.items() if name != "variants"}, second_names
assert set(second) == {name for name in results if name != "variants.logits"}
for name in second:
    assert np.array_equal(second[name], results[name]), name
try:
    import modeling_genebert
    raise SystemExit("the package was there")
except ImportError:
    pass
np.savez(output, **results)
print(json.dumps(names))
"""


def test_a_process_that_has_never_seen_the_package(saved, tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    arguments = [str(saved), str(tmp_path / "again"), str(tmp_path / "results.npz"), json.dumps([MODELS, SEQUENCES])]
    result = subprocess.run(
        [*quick_python(), "-c", inspect.getsource(open_all) + SCRIPT, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    names = json.loads(result.stdout.strip().splitlines()[-1])
    assert names == {**NAMES, "variants": "GeneBertForVariantEffect"}

    expected, _ = open_all(saved, MODELS, SEQUENCES)
    variants = GeneBertForVariantEffect.from_pretrained(saved / "variants").eval()
    inputs = GeneBertProcessor.from_pretrained(saved / "variants")(SEQUENCES, padding=True, return_tensors="pt")
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    with torch.no_grad():
        expected["variants.logits"] = variants(ids, mask, ids.flip(0), mask.flip(0)).logits.numpy()
    with np.load(tmp_path / "results.npz") as results:
        assert set(results) == set(expected)
        for name, value in expected.items():
            np.testing.assert_allclose(results[name], value, atol=1e-6, err_msg=name)


def test_without_the_flag_a_stranger_is_asked_for_it(saved, tmp_path):
    script = """
        import sys
        sys.modules["modeling_genebert"] = None
        from transformers import AutoModel
        AutoModel.from_pretrained(sys.argv[1])
    """
    result = subprocess.run(
        [*quick_python(), "-c", textwrap.dedent(script), str(saved / "pretrained")],
        cwd=tmp_path,
        env={**os.environ, "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert result.returncode != 0
    assert "trust_remote_code=True" in result.stderr
