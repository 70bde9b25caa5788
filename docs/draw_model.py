"""Draw docs/model.png, the picture of the model in the README: `python docs/draw_model.py`."""

from __future__ import annotations

from pathlib import Path

import matplotlib


matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyBboxPatch


SEQUENCE, REGIONS, FUSION, LOSS = "#cfe3f5", "#d9eed3", "#f5e6c8", "#f3d3d6"


def main() -> None:
    figure, axis = plt.subplots(figsize=(11, 5.2), layout="constrained")
    axis.set(xlim=(0, 110), ylim=(0, 52))
    axis.axis("off")

    def box(x: float, y: float, width: float, height: float, text: str, color: str) -> None:
        patch = FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.4", facecolor=color, edgecolor="#444444")
        axis.add_patch(patch)
        axis.text(x + width / 2, y + height / 2, text, ha="center", va="center", fontsize=9)

    def arrow(start: tuple[float, float], end: tuple[float, float], text: str = "") -> None:
        axis.annotate("", xy=end, xytext=start, arrowprops={"arrowstyle": "-|>", "color": "#444444", "shrinkA": 2})
        if text:
            axis.text((start[0] + end[0]) / 2, start[1] + 1, text, ha="center", fontsize=7.5, color="#444444")

    box(1, 38, 22, 10, "DNA\n[CLS] A [SEP] B [SEP]\noverlapping k-mers,\nspans of bases masked", SEQUENCE)
    box(32, 38, 20, 10, "sequence encoder\nBERT\n(any AutoModel encoder)", SEQUENCE)
    box(1, 10, 22, 16, "region matrix\n1024 motifs × 32 open regions\nof one cell type\n"
        "score, accessibility,\ndistance to the anchor", REGIONS)  # fmt: skip
    box(32, 24, 20, 6, "a projection per block\nof 32 motifs", REGIONS)
    box(32, 14, 20, 6, "Swin on the grid\nof blocks × regions", REGIONS)
    box(32, 2, 20, 8, "motif response\nsites of the own column ×\nenrichment in the others", REGIONS)
    box(62, 24, 19, 14, "cross-attention\nsequence states attend\nto region tokens", FUSION)
    box(89, 40, 20, 8, "MGM\nhidden bases", LOSS)
    box(89, 27, 20, 8, "NGSP\nis B the next open region?", LOSS)
    box(89, 14, 20, 8, "SRM\ndoes the matrix belong to A?", LOSS)
    box(62, 6, 19, 8, "tasks: per sequence,\nper base, per variant", LOSS)

    arrow((23.6, 43), (31.4, 43))
    arrow((23.6, 22), (31.4, 26))
    arrow((23.6, 13), (31.4, 7))
    arrow((42, 23.4), (42, 20.6))
    arrow((52.6, 43), (61.4, 35), "")
    axis.text(59, 41.5, "token states", fontsize=7.5, color="#444444")
    arrow((52.6, 27), (61.4, 31))
    axis.text(53, 30.5, "columns", fontsize=7.5, color="#444444")
    arrow((52.6, 17), (61.4, 27))
    axis.text(54.5, 17.5, "cells", fontsize=7.5, color="#444444")
    arrow((52.6, 6), (61.4, 9))
    arrow((81.6, 35), (88.4, 43))
    arrow((81.6, 31), (88.4, 31))
    arrow((81.6, 27), (88.4, 19))
    axis.text(79.5, 20.5, "s, r, s·r", fontsize=7.5, color="#444444")
    arrow((71.5, 23.4), (71.5, 14.8))
    figure.savefig(Path(__file__).with_name("model.png"), dpi=110)


if __name__ == "__main__":
    main()
