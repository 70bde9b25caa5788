from __future__ import annotations

from tests.running import run_example


def test_it_opens_a_checkpoint_and_shows_shapes(pretrained):
    printed = run_example("use_checkpoint.py", "--model_name_or_path", str(pretrained), "--sequence", "ACGTTGCA" * 10)
    assert "GeneBertModel, 0.7 M parameters, k=6" in printed
    assert "Features of a sequence of 80 bp" in printed
    assert "input_ids              (1, 77)" in printed
    assert "region_values          (1, 4, 32, 8)" in printed
    assert "last_hidden_state      (1, 77, 64)" in printed
    assert printed.rstrip().endswith("AutoProcessor: ok")
