"""The pictures of the page: a region matrix as a heat map, in-silico mutagenesis as a sequence logo."""

from __future__ import annotations

import textwrap

import logomaker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .analysis import BASES, Mutagenesis, RegionMatrix


NUM_MOTIFS = 20  # rows of the heat map
ROW_LENGTH = 80  # bases in a row of the logo
WIDTH = 9.0  # inches
COLOURS = {"A": "#2a9d4a", "C": "#2166ac", "G": "#e08a00", "T": "#c62828"}  # as in most logos
LONGEST_NAME = 44  # letters of a row's label


def draw_matrix(matrix: RegionMatrix) -> Figure:
    """Heat map of the motifs with the strongest sites, one a family; tiles from left to right."""
    rows = matrix.best(NUM_MOTIFS)
    figure = Figure(figsize=(WIDTH, 1.25 + 0.27 * len(rows)), layout="constrained")
    axes = figure.subplots()
    image = axes.pcolormesh(matrix.edges, np.arange(len(rows) + 1), matrix.scores[rows], cmap="GnBu", vmin=0, vmax=1)
    image.set_edgecolor("white")
    image.set_linewidth(0.3)
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(rows)) + 0.5, [_label(matrix, row) for row in rows], fontsize=9)
    axes.set_xlabel("position in the sequence (bp)")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    bits = axes.secondary_yaxis("right")
    bits.set_yticks(np.arange(len(rows)) + 0.5, [f"{matrix.bits[row]:.1f}" for row in rows], fontsize=8)
    bits.tick_params(length=0)
    bits.spines[:].set_visible(False)
    axes.annotate("best site\n(bits)", (1, 0), (4, -18), "axes fraction", "offset points", fontsize=8, va="top")
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.015, aspect=30)
    bar.set_label("site score / best possible", fontsize=9)
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=8, length=0)
    return figure


def _label(matrix: RegionMatrix, row: int) -> str:
    name, family = matrix.names[row], matrix.families[row]
    return (
        name if family == "unclassified" else textwrap.shorten(f"{name}  ·  {family}", LONGEST_NAME, placeholder=" …")
    )


def draw_logo(mutagenesis: Mutagenesis) -> Figure:
    """Letters as high as the bases are important, in rows of the same scale, with the sequence beneath."""
    importance, sequence = mutagenesis.importance, mutagenesis.sequence
    starts = range(0, len(sequence), ROW_LENGTH)
    figure = Figure(figsize=(WIDTH, 0.5 + (2.4 if len(starts) == 1 else 1.6) * len(starts)), layout="constrained")
    low, high = min(0.0, importance.min()), max(0.0, importance.max())
    margin = 0.05 * (high - low) or 1.0
    for axes, start in zip(figure.subplots(len(starts), squeeze=False)[:, 0], starts, strict=True):
        _draw_row(axes, sequence[start : start + ROW_LENGTH], importance[start : start + ROW_LENGTH], start)
        axes.set_xlim(start - 0.5, start + min(ROW_LENGTH, len(sequence)) - 0.5)
        axes.set_ylim(low - margin, high + margin)
    figure.supylabel(f"fall of the {mutagenesis.score}", fontsize=9)
    figure.supxlabel("position (bp, from 0)", fontsize=9)
    return figure


def _draw_row(axes: Axes, sequence: str, importance: np.ndarray, start: int) -> None:
    heights = pd.DataFrame(0.0, index=range(start, start + len(sequence)), columns=list(BASES))
    for position, (base, height) in enumerate(zip(sequence, importance, strict=True), start):
        if base in COLOURS:
            heights.loc[position, base] = height
    logomaker.Logo(heights, ax=axes, color_scheme=COLOURS, flip_below=False, baseline_width=0.5)
    for position, base in enumerate(sequence, start):
        colour = COLOURS.get(base, "#888888")
        place = (position, -0.04)
        axes.text(*place, base, transform=axes.get_xaxis_transform(), color=colour, fontsize=7, ha="center", va="top")
    axes.set_xticks(range(start, start + len(sequence), 10))
    axes.tick_params(axis="x", length=0, pad=15, labelsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
