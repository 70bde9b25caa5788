import json

import pytest
import torch

from benchmarks import long_sequences
from modeling_genebert import GeneBertForSequenceClassification


def test_growth_exponent():
    assert long_sequences.growth_exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2)
    assert long_sequences.growth_exponent([2048, 4096], [5.0, 10.0]) == pytest.approx(1)


@pytest.mark.parametrize(("model", "encoder"), [("bert", "bert"), ("modernbert", "modernbert"), ("windows", "bert")])
def test_models_of_equal_width_and_depth(model, encoder):
    config = long_sequences.make_config(model, 8192)
    sequence = config.sequence_config
    assert (sequence.model_type, sequence.hidden_size, sequence.num_hidden_layers) == (encoder, 256, 4)
    assert sequence.max_position_embeddings == (512 if model == "windows" else 8192)
    inputs = long_sequences.make_inputs(config, model, 2048)
    assert inputs["input_ids"].shape == ((4, 512) if model == "windows" else (1, 2048))


def test_windows_give_one_prediction():
    config = long_sequences.make_config("windows", 1024)
    with torch.no_grad():
        logits = (
            GeneBertForSequenceClassification(config)
            .eval()(**long_sequences.make_inputs(config, "windows", 1024))
            .logits
        )
    assert logits.shape == (1, 2)


def test_figures(monkeypatch):
    def measure(model, num_tokens):
        seconds = {"bert": num_tokens**2, "modernbert": num_tokens**1.5, "windows": num_tokens}[model]
        figures = {f"{model}_{step}_seconds_{num_tokens}": seconds for step in ("forward", "train")}
        return {**figures, **{f"{model}_{step}_peak_mb_{num_tokens}": num_tokens for step in ("forward", "train")}}

    monkeypatch.setattr(long_sequences, "measure_in_fresh_process", measure)
    figures = long_sequences.run([512, 2048, 4096, 8192])
    assert len(figures) == 3 * 2 * (2 * 4 + 2)
    assert figures["bert_train_time_exponent"] == pytest.approx(2)
    assert figures["modernbert_forward_time_exponent"] == pytest.approx(1.5)
    assert figures["windows_forward_memory_exponent"] == pytest.approx(1)


def test_report(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(long_sequences, "MODELS", ("modernbert",))
    long_sequences.main(["--lengths", "64", "--output_dir", str(tmp_path)])
    report = json.loads((tmp_path / "long_sequences.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report
    assert report["name"] == "long_sequences"
    assert list(report["figures"]) == [
        f"modernbert_{step}_{kind}_64" for step in ("forward", "train") for kind in ("seconds", "peak_mb")
    ]
    assert report["figures"]["modernbert_train_seconds_64"] > report["figures"]["modernbert_forward_seconds_64"] > 0
