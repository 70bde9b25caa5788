from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from benchmarks import pretraining
from benchmarks.pretraining import main
from benchmarks.report import is_bf16_fast


SMALL = ["--batch_size", "2", "--num_tokens", "65", "--hidden_size", "32", "--num_layers", "1", "--repeats", "1"]
SMALL += ["--matmul_size", "256"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="the figures of a GPU are others")
def test_figures(tmp_path, capsys):
    main([*SMALL, "--threads", "1", "--cpu_time", "--output_dir", str(tmp_path)])
    report = json.loads((tmp_path / "pretraining.json").read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == report
    figures = report["figures"]
    for precision in ("fp32", "bf16"):
        for suffix in ("", "_no_dropout"):
            assert figures[f"ratio_to_stock_{precision}{suffix}"] > 0
            for model in ("genebert", "default", "stock"):
                assert figures[f"tokens_per_second_{model}_{precision}{suffix}"] > 0
        # Both are of the same products, and so differ as the speed does.
        shares, speeds = (
            figures[f"{name}_{precision}"] / figures[f"{name}_{precision}_no_dropout"]
            for name in ("share_of_matmul", "tokens_per_second_genebert")
        )
        assert figures[f"share_of_matmul_{precision}"] > 0
        # In bf16 a CPU without instructions for it takes longer for a large product than for small ones.
        if precision == "fp32" or is_bf16_fast():
            assert max(figures[f"share_of_matmul_{precision}{suffix}"] for suffix in ("", "_no_dropout")) < 1
        assert shares == pytest.approx(speeds)
    assert figures["largest_difference_of_losses"] < 1e-4


def test_another_loss_is_noticed(tmp_path, monkeypatch):
    class Other(pretraining.StockComposition):
        def __init__(self, config):
            super().__init__(config)
            self.bert.cls.predictions.transform.transform_act_fn = nn.ReLU()

    monkeypatch.setattr(pretraining, "StockComposition", Other)
    with pytest.raises(AssertionError, match="of GeneBERT and of the stock composition differ by"):
        main([*SMALL, "--output_dir", str(tmp_path)])
