from __future__ import annotations

import json

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from examples.pretraining.pictures import plot_matching


def test_results_of_each_cell_type_and_of_training_chromosomes(pretrained):
    results = json.loads((pretrained / "all_results.json").read_text())
    for figure in (
        "cell_type_sim01_srm_other_locus_visible_auroc",
        "cell_type_sim02_srm_other_cell_type_hidden_auroc",
        "cell_type_sim04_srm_other_locus_hidden_auroc",
        "train_chromosomes_seen_srm_other_locus_visible_auroc",
        "train_chromosomes_unseen_srm_other_locus_hidden_auroc",
    ):
        low, value, high = (results[f"eval_{figure}{end}"] for end in ("_low", "", "_high"))
        assert 0 <= low <= value <= high <= 1
    assert results["eval_train_chromosomes_seen_srm_other_locus_visible_examples"] == 16  # 8 windows, twice each
    assert not [name for name in results if "train_chromosomes" in name and ("mgm" in name or "cell_type_sim" in name)]
    # While training, figures of single cell types would stand on too few windows.
    history = json.loads((pretrained / "trainer_state.json").read_text())["log_history"]
    evaluations = [entry for entry in history if "eval_seen_mgm_loss" in entry]
    assert [any("cell_type_sim01" in name for name in entry) for entry in evaluations] == [False, True]
    with Image.open(pretrained / "matching.png") as picture:
        assert picture.size[0] > 1000
    card = (pretrained / "README.md").read_text()
    assert "(matching.png)" in card
    assert "seen cell types, training chromosomes" in card and "cell type sim01" in card


def test_bars_stand_on_chance_and_carry_their_intervals(tmp_path, monkeypatch):
    results = {}
    for key, value in (("unseen", 0.8), ("cell_type_b", 0.4)):
        name = f"eval_{key}_srm_other_locus_hidden_auroc"
        results |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.15}
    figures = []
    monkeypatch.setattr(plt, "close", figures.append)
    plot_matching(results, {"b": False, "a": True}, tmp_path / "matching.png")
    monkeypatch.undo()
    (above, *_), (below, *_) = np.array(figures[0].axes).reshape(2, 3)
    for axis, value, place in ((above, 0.8, 1.3), (below, 0.4, 1.2)):  # hidden is second; and b, after a
        (bar,) = [patch for patch in axis.patches if np.isfinite(patch.get_height())]
        assert bar.get_y() == 0.5 and bar.get_height() == pytest.approx(value - 0.5)
        assert bar.get_x() + bar.get_width() / 2 == pytest.approx(place)
        spans = [path.vertices for lines in axis.collections for path in lines.get_paths()]
        (span,) = [span for span in spans if np.isfinite(span).all()]
        np.testing.assert_allclose(span, [[place, value - 0.1], [place, value + 0.15]])
    assert [label.get_text() for label in below.get_xticklabels()] == ["a", "b (unseen)"]
    plt.close(figures[0])
