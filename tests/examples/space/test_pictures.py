from __future__ import annotations

import numpy as np
import pytest


logomaker = pytest.importorskip("logomaker", reason="the logo is drawn by logomaker: pip install genebert[space]")

from examples.space.analysis import Mutagenesis, RegionMatrix  # noqa: E402
from examples.space.pictures import draw_logo, draw_matrix  # noqa: E402


def texts(axes):
    return [label.get_text() for label in axes.get_yticklabels()]


def test_heat_map():
    matrix = RegionMatrix(
        scores=np.array([[0, 1], [0.5, 0.25], [0, 0]], dtype=np.float32),
        bits=np.array([9.51, 4, 1], dtype=np.float32),
        ids=["a", "b", "c"],
        names=["TBP", "SP1", "FOS"],
        families=["TBP-related factors", "unclassified", "F" * 80 + " related"],
        edges=np.array([0.0, 10, 20]),
    )
    figure = draw_matrix(matrix)
    axes = figure.axes[0]
    assert texts(axes) == ["TBP · TBP-related factors", "SP1", "FOS · …"]
    assert axes.get_ylim() == (3, 0)  # the first motif on top
    assert axes.collections[0].get_array().tolist() == [[0, 1], [0.5, 0.25], [0, 0]]
    assert axes.get_xlim() == (0, 20)
    assert [label.get_text() for label in axes.child_axes[0].get_yticklabels()] == ["9.5", "4.0", "1.0"]


@pytest.fixture
def logos(monkeypatch):
    """The tables that logomaker was given."""
    drawn = []
    original = logomaker.Logo

    def logo(table, **options):
        drawn.append(table)
        return original(table, **options)

    monkeypatch.setattr(logomaker, "Logo", logo)
    return drawn


def test_logo(logos):
    changes = np.array([[0, -3, -3, -3], [1.5, 1.5, 0, 0], [np.nan] * 4])
    figure = draw_logo(Mutagenesis("AGN", changes, "log-odds of yes"))
    (table,) = logos
    assert table.values.tolist() == [[3, 0, 0, 0], [0, 0, -1, 0], [0, 0, 0, 0]]
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["A", "G", "N"]
    low, high = axes.get_ylim()
    assert low < -1 and high > 3
    assert figure.get_supylabel() == "fall of the log-odds of yes"


def test_long_sequences_are_drawn_in_rows_of_one_scale(logos):
    changes = np.zeros((170, 4))
    changes[169, 1:] = -6
    figure = draw_logo(Mutagenesis("A" * 170, changes, "score"))
    assert [(table.index[0], len(table)) for table in logos] == [(0, 80), (80, 80), (160, 10)]
    assert logos[2].loc[169, "A"] == 6
    assert len({axes.get_ylim() for axes in figure.axes}) == 1


def test_a_sequence_that_does_not_matter(logos):
    figure = draw_logo(Mutagenesis("ACGT", np.zeros((4, 4)), "score"))
    assert figure.axes[0].get_ylim() == (-1, 1)
