"""The report of a built set: statistics in one pass over its Parquet files, pictures of them, and the card."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm.auto import tqdm

from modeling_genebert.motifs_genebert import MOTIFS_FILE_NAME, UNCLASSIFIED, MotifBank

from ..cards import dataset_infos
from ..files import written_whole
from .card import dataset_card
from .consensus import PERCENTILES


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


FIGURES_FOLDER = "figures"
HIT_RATES_FILE_NAME = "motif_hit_rates.tsv"
# A site is a hit if a random site scores as high with at most this probability: the default of FIMO.
HIT_P_VALUE = 1e-4
NUM_MOTIFS_SHOWN = 30
# Bits: log-odds are rounded to this for the distribution of the scores of random sites.
_SCORE_STEP = 1 / 64
_HUNDREDTHS = 101  # bins of a share, 0.00 to 1.00
_ROWS_PER_BATCH = {"regions": 1_000, "windows": 50_000}


def write_report(folder: Path, info: dict[str, Any]) -> None:
    """Describe a built set: write its `README.md` (the card), `figures/` and `motif_hit_rates.tsv`, anew if present.

    The Parquet files are read once. Memory grows with cell types × motifs, not with the number of regions; the same
    set gives the same bytes. Without the libraries of the extra `plots` the card has no pictures, and says so.

    Args:
        folder: with the Parquet files of both configs and the motif bank.
        info: what is in its `build_info.json`.
    """
    regions = region_statistics(folder, info["cell_types"], MotifBank.load(folder / MOTIFS_FILE_NAME))
    splits = {split: split_statistics(folder, split, len(info["cell_types"])) for split in info["splits"]}
    write_hit_rates(folder / HIT_RATES_FILE_NAME, regions)
    pictures = draw_pictures(folder / FIGURES_FOLDER, regions, info)
    configs = {"windows": list(info["splits"]), "regions": ["train"]}
    sizes = dataset_infos(folder, configs | ({"background": ["train"]} if info["num_background"] else {}))
    card = dataset_card(info, regions, splits, pictures, sizes)
    with written_whole(folder / "README.md") as stream:
        stream.write(card.encode())


@dataclass(frozen=True)
class RegionStatistics:
    """What is counted over the N regions, by cell type (C of them).

    Attributes:
        cell_types: names.
        motifs: the bank of M motifs.
        num_both: int64 of shape `(C, C)`, how many regions are open in both of two cell types.
        num_open_in: int64 of shape `(C + 1,)`, how many regions are open in 0, 1, ..., C cell types.
        num_only: int64 of shape `(C,)`, how many regions are open in this cell type only.
        num_touching: int64 of shape `(C,)`, how many regions are not open, but touched by a peak.
        num_not_measured: int64 of shape `(C,)`, how many open regions have no accessibility.
        gc: PERCENTILES of the share of G and C in open regions, shape `(C + 1, 5)`; the last row is of all regions.
        accessibility: PERCENTILES of it in open regions, shape `(C, 5)`; NaN where nothing is measured.
        p_value: a random site is a hit with this probability or less.
        thresholds: score of each motif, 0 to 1, from which a region has a hit; inf where no site can be one. `(M,)`.
        num_hits: int64 of shape `(C, M)`, how many open regions have a hit.
    """

    cell_types: list[str]
    motifs: MotifBank
    num_both: np.ndarray
    num_open_in: np.ndarray
    num_only: np.ndarray
    num_touching: np.ndarray
    num_not_measured: np.ndarray
    gc: np.ndarray
    accessibility: np.ndarray
    p_value: float
    thresholds: np.ndarray
    num_hits: np.ndarray

    @property
    def num_regions(self) -> int:
        return int(self.num_open_in.sum())

    @property
    def num_open(self) -> np.ndarray:
        """How many regions are open: int64 of shape `(C,)`."""
        return self.num_both.diagonal()

    @property
    def jaccard(self) -> np.ndarray:
        """Regions open in both cell types, as a share of those open in either: float of shape `(C, C)`."""
        return self.num_both / (self.num_open[:, None] + self.num_open - self.num_both)

    @property
    def hit_rates(self) -> np.ndarray:
        """Share of open regions with a hit: float of shape `(C, M)`."""
        return self.num_hits / self.num_open[:, None]

    @property
    def pooled_hit_rates(self) -> np.ndarray:
        """The same over all cell types, shape `(M,)`: a region counts once for each cell type in which it is open.

        What cell types are compared with. In all regions, each counted once, most are open in few cell types and most
        hits are fewer: against them, all cell types show the same motifs, those of promoters that are open everywhere.
        """
        return self.num_hits.sum(axis=0) / self.num_open.sum()

    @property
    def log2_enrichment(self) -> np.ndarray:
        """log2 of hit rates over pooled hit rates: float of shape `(C, M)`; 0 where a motif has no hit at all.

        With one region more that is as the pool, so that a rate of 0 is no infinite depletion.
        """
        pooled = self.pooled_hit_rates
        smoothed = (self.num_hits + pooled) / (self.num_open[:, None] + 1)
        return np.log2(np.divide(smoothed, pooled, out=np.ones_like(smoothed), where=pooled > 0))

    @cached_property
    def z_scores(self) -> np.ndarray:
        """By how many standard errors the number of hits differs from the pooled rate's: float of shape `(C, M)`."""
        expected = self.num_open[:, None] * self.pooled_hit_rates
        standard_error = np.sqrt(expected * (1 - self.pooled_hit_rates))
        surplus = self.num_hits - expected
        return np.divide(surplus, standard_error, out=np.zeros_like(surplus), where=standard_error > 0)

    def most_enriched(self, cell_type: int, number: int) -> list[int]:
        """The motifs with the largest z-scores above 0 in a cell type, at most one a family."""
        order = np.argsort(-self.z_scores[cell_type], kind="stable")
        return self._one_a_family(order[self.z_scores[cell_type][order] > 0], number)

    def most_different(self, number: int) -> list[int]:
        """The motifs whose hit rates differ most between cell types (sum of squared z-scores), one a family."""
        difference = (self.z_scores**2).sum(axis=0)
        order = np.argsort(-difference, kind="stable")
        return self._one_a_family(order[difference[order] > 0], number)

    def _one_a_family(self, motifs: np.ndarray, number: int) -> list[int]:
        """The first motif of each family; motifs of unknown family count as one family each."""
        chosen: dict[str, int] = {}
        for motif in motifs.tolist():
            family = self.motifs.families[motif]
            chosen.setdefault(self.motifs.ids[motif] if family == UNCLASSIFIED else family, motif)
        return list(chosen.values())[:number]


def region_statistics(folder: Path, cell_types: list[str], motifs: MotifBank) -> RegionStatistics:
    """Count over the `regions` of a set, in one pass."""
    num_groups = len(cell_types) + 1  # the open regions of each cell type, and all regions
    thresholds = hit_thresholds(motifs, HIT_P_VALUE)
    together = np.zeros((num_groups, num_groups), dtype=np.int64)
    gc = np.zeros((num_groups, _HUNDREDTHS), dtype=np.int64)
    hits = np.zeros((len(cell_types), len(motifs)), dtype=np.int64)
    accessibility = np.zeros((len(cell_types), _HUNDREDTHS), dtype=np.int64)
    num_open_in = np.zeros(num_groups, dtype=np.int64)
    num_only = np.zeros(len(cell_types), dtype=np.int64)
    num_touching = np.zeros(len(cell_types), dtype=np.int64)
    for batch in _batches(folder, "regions", "train", ["gc", "scores", "accessibility", "touching"]):
        values = _fixed_size_rows(batch["accessibility"])
        is_open = values != 0  # NaN, open but not measured, is not 0
        num_cell_types = is_open.sum(axis=1)
        num_open_in += np.bincount(num_cell_types, minlength=num_groups)
        num_only += is_open[num_cell_types == 1].sum(axis=0)
        num_touching += _fixed_size_rows(batch["touching"]).sum(axis=0)
        cell_type, row = np.nonzero(values.T > 0)
        hundredths = _hundredths(values[row, cell_type])
        accessibility += _count(cell_type * _HUNDREDTHS + hundredths, accessibility.shape)

        # Products of zeros and ones: float32 holds the counts of a batch exactly, and is fast.
        member = np.column_stack([is_open, np.ones(len(is_open))]).astype(np.float32)
        scores = np.frombuffer(b"".join(batch["scores"].to_pylist()), "<f2").reshape(len(member), -1)
        # Thresholds are rounded as the scores were, so that a score that just reaches one still does.
        is_hit = (scores >= thresholds.astype(np.float16)).astype(np.float32)
        gc_bins = np.eye(_HUNDREDTHS, dtype=np.float32)[_hundredths(batch["gc"].to_numpy())]
        together += (member.T @ member).astype(np.int64)
        hits += (member[:, :-1].T @ is_hit).astype(np.int64)
        gc += (member.T @ gc_bins).astype(np.int64)
    num_both = together[:-1, :-1]
    return RegionStatistics(
        cell_types=cell_types,
        motifs=motifs,
        num_both=num_both,
        num_open_in=num_open_in,
        num_only=num_only,
        num_touching=num_touching,
        num_not_measured=num_both.diagonal() - accessibility.sum(axis=1),
        gc=_percentiles(gc),
        accessibility=_percentiles(accessibility),
        p_value=HIT_P_VALUE,
        thresholds=thresholds,
        num_hits=hits,
    )


@dataclass(frozen=True)
class SplitStatistics:
    """What is counted over the windows of a split.

    Attributes:
        num_windows: rows.
        num_anchors: distinct anchor regions.
        num_cell_types: cell types with windows.
        chromosomes: with windows, in file order.
        mean_regions: columns that hold a region, mean over the windows.
        mean_span: from the first base of a window to its last, bp.
        share_with_next: of the windows, those that have a next region.
    """

    num_windows: int
    num_anchors: int
    num_cell_types: int
    chromosomes: list[str]
    mean_regions: float
    mean_span: float
    share_with_next: float


def split_statistics(folder: Path, split: str, num_cell_types: int) -> SplitStatistics:
    """Count over the `windows` of a split, in one pass."""
    windows = np.zeros(num_cell_types, dtype=np.int64)
    is_anchor = np.zeros(0, dtype=bool)
    chromosomes: dict[str, None] = {}
    num_regions = span = num_with_next = 0
    for batch in _batches(folder, "windows", split, None):
        windows += np.bincount(batch["cell_type"].to_numpy(), minlength=num_cell_types)
        anchors = batch["anchor"].to_numpy()
        is_anchor = np.pad(is_anchor, (0, max(0, int(anchors.max()) + 1 - len(is_anchor))))
        is_anchor[anchors] = True
        chromosomes |= dict.fromkeys(batch["chrom"].unique().to_pylist())
        num_regions += int((_fixed_size_rows(batch["region_ids"]) >= 0).sum())
        span += int((batch["end"].to_numpy().astype(np.int64) - batch["start"].to_numpy()).sum())
        num_with_next += int((batch["next_region"].to_numpy() >= 0).sum())
    num_windows = int(windows.sum())
    return SplitStatistics(
        num_windows=num_windows,
        num_anchors=int(is_anchor.sum()),
        num_cell_types=int((windows > 0).sum()),
        chromosomes=list(chromosomes),
        mean_regions=num_regions / num_windows,
        mean_span=span / num_windows,
        share_with_next=num_with_next / num_windows,
    )


def hit_thresholds(motifs: MotifBank, p_value: float) -> np.ndarray:
    """The score of each motif that a random site reaches with probability `p_value` or less.

    A random site has independent bases of the bank's background. The distribution of its score is computed position
    by position (Staden 1989, Comput. Appl. Biosci. 5, 89-96), with log-odds rounded to 1/64 bit.

    Returns:
        float array of shape `(M,)`, as a share of the motif's best possible score, as in [`~MotifBank.score`]; inf
        where even the best site is more probable than that.
    """
    thresholds = np.full(len(motifs), np.inf)
    for index, log_odds in enumerate(motifs.log_odds):
        steps = np.rint(log_odds / _SCORE_STEP).astype(np.int64)
        above_worst = steps - steps.min(axis=1, keepdims=True)
        probability = np.ones(1)  # of each score so far, in steps above the worst
        for position in above_worst:
            longer = np.zeros(len(probability) + position.max())
            for shift, share in zip(position, motifs.background, strict=True):
                longer[shift : shift + len(probability)] += share * probability
            probability = longer
        at_least = probability[::-1].cumsum()[::-1]
        # A relative tolerance, because sums of many small numbers are not exact.
        rare = np.flatnonzero((at_least <= p_value * (1 + 1e-9)) & (probability > 0))
        if len(rare):
            lowest = (rare[0] + steps.min(axis=1).sum()) * _SCORE_STEP
            thresholds[index] = lowest / motifs.max_scores[index]
    # Rounding may move the best site's score past its own maximum.
    return np.where(thresholds < np.inf, np.minimum(thresholds, 1.0), thresholds)


def write_hit_rates(file: Path, regions: RegionStatistics) -> None:
    """The share of regions with a hit of each motif, in the open regions of each cell type and of all of them."""
    text = io.StringIO(newline="")
    table = csv.writer(text, delimiter="\t", lineterminator="\n")
    table.writerow(["id", "name", "family", "threshold", "all cell types", *regions.cell_types])
    bank = regions.motifs
    numbers = np.vstack([regions.thresholds, regions.pooled_hit_rates, regions.hit_rates])
    for names, row in zip(zip(bank.ids, bank.names, bank.families, strict=True), numbers.T, strict=True):
        table.writerow([*names, *(f"{number:.4f}" for number in row)])
    with written_whole(file) as stream:
        stream.write(text.getvalue().encode())


def _shards(folder: Path, config: str, split: str) -> list[Path]:
    return sorted((folder / config).glob(f"{split}-*.parquet"))


def _batches(folder: Path, config: str, split: str, columns: list[str] | None) -> Iterator[pa.RecordBatch]:
    files = _shards(folder, config, split)
    num_rows = sum(pq.read_metadata(file).num_rows for file in files)
    with tqdm(total=num_rows, desc=f"Report: {config} {split}", unit="row", disable=None) as progress:
        for file in files:
            with pq.ParquetFile(file) as parquet:  # an open one keeps what was read of it in memory
                for batch in parquet.iter_batches(_ROWS_PER_BATCH[config], columns=columns):
                    yield batch
                    progress.update(len(batch))


def _fixed_size_rows(column: pa.FixedSizeListArray) -> np.ndarray:
    return column.flatten().to_numpy(zero_copy_only=False).reshape(len(column), -1)


def _hundredths(shares: np.ndarray) -> np.ndarray:
    return np.rint(shares * 100).astype(np.int64)


def _count(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return np.bincount(values, minlength=shape[0] * shape[1]).reshape(shape)


def _percentiles(histogram: np.ndarray) -> np.ndarray:
    """PERCENTILES of shares that were counted in hundredths: `(rows, 101)` -> `(rows, 5)`; NaN for an empty row."""
    cumulative = histogram.cumsum(axis=1)
    total = cumulative[:, -1:]
    rank = np.ceil(total * np.array(PERCENTILES) / 100).clip(min=1)
    values = (cumulative[:, None, :] < rank[:, :, None]).sum(axis=2) / 100
    return np.where(total > 0, values, np.nan)


# Pictures


def draw_pictures(folder: Path, regions: RegionStatistics, info: dict[str, Any]) -> list[str]:
    """Draw all pictures anew; returns their file names, none where the libraries of the extra `plots` are missing."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        import matplotlib.style
        from scipy.cluster.hierarchy import leaves_list
    except ImportError:
        return []
    folder.mkdir()
    held_out = info["options"]["held_out_cell_types"]
    labels = [name + (" (held out)" if name in held_out else "") for name in regions.cell_types]
    order = list(range(len(labels)))
    pictures = []

    def save(figure: Figure, name: str) -> None:
        # Matplotlib would write its version into the file.
        with written_whole(folder / name) as stream:
            figure.savefig(stream, format="png", dpi=120, metadata={"Software": None})
        pictures.append(name)

    with matplotlib.style.context("default", after_reset=True), matplotlib.rc_context({"text.parse_math": False}):
        if len(labels) > 1:
            tree = _similarity_tree(1 - regions.jaccard)
            order = leaves_list(tree).tolist()
            save(_draw_jaccard(regions, tree, order, labels), "jaccard.png")
            if motifs := regions.most_different(NUM_MOTIFS_SHOWN):
                save(_draw_motifs(regions, motifs, order, labels), "motifs.png")
        save(_draw_cell_types(regions, order, labels, info), "cell_types.png")
        save(_draw_sharing(regions), "sharing.png")
    return pictures


def _similarity_tree(distances: np.ndarray) -> np.ndarray:
    """Average linkage, neighbouring leaves as close as possible: scipy's linkage matrix."""
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    return linkage(squareform(distances, checks=False), "average", optimal_ordering=True)


def _row_height(num_rows: int) -> float:
    """Inches: smaller where there are many rows."""
    return 0.3 if num_rows <= 40 else 0.15


def _new_figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _label_cells(axes: Axes, columns: list[str], rows: list[str]) -> None:
    size = 9 if max(len(columns), len(rows)) <= 40 else 7
    axes.set_xticks(range(len(columns)), columns, rotation=90, fontsize=size)
    axes.set_yticks(range(len(rows)), rows, fontsize=size)


def _draw_jaccard(regions: RegionStatistics, tree: np.ndarray, order: list[int], labels: list[str]) -> Figure:
    from scipy.cluster.hierarchy import dendrogram

    jaccard = regions.jaccard[np.ix_(order, order)]
    side = (0.45 if len(order) <= 40 else 0.15) * len(order)
    figure = _new_figure(side + 4, side + 2)
    left, right = figure.subplots(1, 2, width_ratios=[max(1, 0.05 * side), side])
    dendrogram(tree, ax=left, orientation="left", no_labels=True, color_threshold=0, above_threshold_color="0.3")
    left.set_ylim(10 * len(order), 0)  # scipy gives each leaf a height of 10; the first on top
    left.axis("off")

    between = jaccard[~np.eye(len(order), dtype=bool)]
    image = right.imshow(
        np.where(np.eye(len(order)), np.nan, jaccard), cmap="viridis", aspect="auto", vmin=0, vmax=between.max()
    )
    right.set_facecolor("0.9")
    names = [labels[index] for index in order]
    _label_cells(right, names, names)
    if len(order) <= 20:
        for row, column in zip(*np.nonzero(~np.eye(len(order), dtype=bool)), strict=True):
            value = jaccard[row, column]
            colour = "black" if value > 0.6 * between.max() else "white"
            right.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=8, color=colour)
    figure.colorbar(image, ax=right, label="Jaccard index", shrink=0.7)
    right.set_title("Open regions that two cell types share, of those open in either", fontsize=10)
    return figure


def _draw_motifs(regions: RegionStatistics, motifs: list[int], order: list[int], labels: list[str]) -> Figure:
    from scipy.cluster.hierarchy import leaves_list

    values = regions.log2_enrichment[np.ix_(order, motifs)].T
    if len(motifs) > 1:
        distances = np.sqrt(((values[:, None] - values) ** 2).sum(axis=2))
        rows = leaves_list(_similarity_tree(distances)).tolist()
        values, motifs = values[rows], [motifs[row] for row in rows]
    largest = np.abs(values).max()
    width = _row_height(len(order)) * len(order)
    figure = _new_figure(width + 5, _row_height(1) * len(motifs) * 0.8 + 2)
    axes = figure.subplots()
    image = axes.imshow(values, cmap="RdBu_r", aspect="auto", vmin=-largest, vmax=largest)
    bank, pooled = regions.motifs, regions.pooled_hit_rates
    rows_text = [f"{bank.names[motif]} ({bank.ids[motif]}), {pooled[motif]:.0%}" for motif in motifs]
    _label_cells(axes, [labels[index] for index in order], rows_text)
    figure.colorbar(image, ax=axes, label="log2(hit rate / hit rate of all cell types)", shrink=0.7)
    axes.set_title("Motifs, with hit rate of all cell types, that differ most between them", fontsize=10)
    return figure


def _draw_cell_types(regions: RegionStatistics, order: list[int], labels: list[str], info: dict[str, Any]) -> Figure:
    figure = _new_figure(14, _row_height(len(order)) * len(order) + 1.5)
    first, *others = figure.subplots(1, 4, sharey=True)
    rows = np.arange(len(order))
    first.barh(rows, regions.num_open[order], color="tab:blue", label="open")
    first.barh(rows, regions.num_only[order], color="tab:orange", label="open in no other cell type")
    first.set_yticks(rows, [labels[index] for index in order], fontsize=9 if len(order) <= 40 else 7)
    first.set_ylim(len(order) - 0.5, -0.5)
    first.set_xlabel("open regions")
    figure.legend(loc="outside upper left", ncols=2, fontsize=8)
    widths = np.array([info["peaks"][name]["widths"] for name in regions.cell_types])
    titles = ["width of the peaks, bp", "GC content of open regions", "accessibility of open regions"]
    for axes, percentiles, title in zip(others, [widths, regions.gc, regions.accessibility], titles, strict=True):
        low, lower, median, upper, high = percentiles[order].T
        axes.hlines(rows, low, high, color="0.6", linewidth=1)
        axes.barh(rows, upper - lower, left=lower, height=0.5, color="tab:blue")
        axes.plot(median, rows, "|", color="black", markersize=8 if len(rows) <= 40 else 4)
        axes.set_xlabel(title)
    others[0].set_xlim(left=0)
    others[1].axvline(regions.gc[-1, 2], color="black", linestyle=":", linewidth=1)
    others[2].set_xlim(0, 1)
    return figure


def _draw_sharing(regions: RegionStatistics) -> Figure:
    from matplotlib.ticker import MaxNLocator

    figure = _new_figure(7, 3)
    axes = figure.subplots()
    num_cell_types = len(regions.cell_types)
    axes.bar(np.arange(1, num_cell_types + 1), regions.num_open_in[1:], color="tab:blue")
    axes.set_xlabel("number of cell types in which a region is open")
    axes.set_ylabel("regions")
    axes.set_xlim(0.4, num_cell_types + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return figure
