from __future__ import annotations

import json
import subprocess

from ..running import ROOT, quick_python


def test_figures_of_a_small_run(tmp_path):
    """Also compares GeneBertTokenizer with BertTokenizerFast and the tokenizers pipeline, before it times them."""
    options = ["--num_sequences", "20", "--length", "40", "--repeats", "1", "--output_dir", str(tmp_path)]
    command = [*quick_python(), "-m", "benchmarks.tokenizer", *options]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report == json.loads((tmp_path / "tokenizer.json").read_text())
    assert report["name"] == "tokenizer" and report["settings"]["length"] == 40
    figures = report["figures"]
    assert figures["ratio_to_bert_fast"] == figures["tokens_per_second"] / figures["bert_fast_tokens_per_second"]
    assert figures["collator_tokens_per_second"] == min(
        figures[f"collator_tokens_per_second_{size}"] for size in (32, 64, 128, 256)
    )
    assert all(value > 0 for value in figures.values())
    assert report["machine"]["torch_threads"] == 1
