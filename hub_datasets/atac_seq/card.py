"""The dataset card, and the summary that a build prints."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ..cards import markdown_table, size_category
from .consensus import MIN_GAP_OF_N, PERCENTILES, SKIP_REASONS


if TYPE_CHECKING:
    from .report import RegionStatistics, SplitStatistics


_USE = """\
## Use

```python
from datasets import load_dataset

windows = load_dataset("PATH_OR_HUB_ID")              # region_ids, anchor and next_region are row numbers of:
regions = load_dataset("PATH_OR_HUB_ID", "regions", split="train")
```

Coordinates are in bp, 0-based, half-open. A row of `windows`:

| column | what |
|---|---|
| `chrom`, `start`, `end` | from the first base of the window's first region to the last base of its last |
| `cell_type` | the cell type whose open regions these are |
| `anchor` | the region round which the window lies, in column {anchor_index} of `region_ids` (counted from 0) |
| `region_ids` | {num_regions} regions in genome order; -1 where there is none |
| `next_region` | the next open region of the cell type; -1 where there is none |

A row of `regions`:

| column | what |
|---|---|
| `region_id` | number of the row |
| `chrom`, `start`, `end` | where it lies |
| `gc` | share of G and C among the known bases |
| `sequence` | its {region_width} bases |
| `scores` | {num_motifs} scores, one a motif, as bytes: `numpy.frombuffer(row["scores"], "<f2")` |
| `accessibility` | one number a cell type, in the order of `cell_type`: 0 = not open, NaN = open, not measured |
| `touching` | one bool a cell type: not open, but a peak overlaps the region. Closed = neither |

{background}\
`motifs.safetensors` holds the motifs in the order of `scores`; `build_info.json` is this card for programs.
"""

_BACKGROUND = """\
The config `background` has {num_background:,} sequences of {region_width} bp (`chrom`, `start`, `end`, `sequence`)
from all over the training chromosomes, at equal steps, open or not: for masked genome modelling alone.

"""

_METHOD = """\
## How it was made

- **Regions** are a consensus over all cell types by iterative overlap removal (Corces et al. 2018, Science 362,
  eaav1898): every peak becomes {region_width} bp centred on its summit (its midpoint where the summit is unknown);
  peaks are ranked by the mid-rank of their signal within their own file; strongest first, each is kept unless it
  overlaps one kept before. At most a fraction of {max_n_fraction} of a region's bases are other than A, C, G, T.
- A region is **open** in a cell type if the summit of one of its peaks lies inside the region. Its **accessibility**
  is the mid-rank (0, 1] of the strongest such peak among all peaks of that cell type's file, before any filtering;
  0 = not open, NaN = open, but the file has no signal.
- A region that is not open in a cell type, but overlapped by one of its peaks, is **touching**: it may be accessible
  in part. All others are **closed**; GeneBERT takes only these for negatives.
- A **window** is {num_regions} columns of open regions of one cell type round an anchor; only regions within
  {half_span:,} bp of the anchor, centre to centre. The anchors are every open region of a cell type, or every n-th
  with `stride` n (here {stride}).
- **next_region** is the next open region of the cell type on the chromosome, at most {max_gap:,} bp away, with no run
  of {min_gap_of_n:,} or more N between.
- **scores** are the best log-odds of each motif over both strands of the region, clipped at 0, divided by the motif's
  best possible score.
"""

_CELL_TYPES = """\
## Cell types

Numbers are median (5th to 95th percentile). Width: of all peaks in the file, bp; the regions are all {region_width} bp
wide. GC and accessibility: of the open regions; "not measured" are those without accessibility. "Only here": open in
no other cell type. "Touching": not open, but overlapped by a peak. "Most similar": the cell type with the largest
Jaccard index.
"""

_PEAKS = """\
### Peaks

What became of the peaks in each file. A peak was used (its summit lies in a region) or skipped: unknown chromosome =
not in the genome; past chromosome end = the peak or its region reaches beyond it; duplicate = twice in the file; too
many N = in its region; blacklist = its region overlaps the blacklist; overlap = its region overlaps a stronger one
and its summit lies in none.
"""

_MOTIFS = """\
## Motifs

A region has a hit of a motif if its best site scores so high that a random site (independent bases, background
{background}) would reach it with probability {p_value:g} or less; by chance, at most about {chance:.1%} of the
regions have one. {num_impossible} of the {num_motifs} motifs are too short or too weak to have hits. All hit rates and
thresholds are in `motif_hit_rates.tsv`. Below: the motifs most enriched in each cell type by z-score, one a family, as
hit rate in its open regions / in those of all cell types (a region counts once for each in which it is open).
"""

_SPLITS = """\
## Splits

By chromosome; windows never cross from one chromosome to another. Windows of held-out cell types are in splits of
their own. Regions are shared between cell types: the distinct anchors are the independent loci.
"""

# File name -> section, alternative text, caption.
_PICTURES = {
    "cell_types.png": (
        "Cell types",
        "Open regions, peak widths, GC content and accessibility of each cell type",
        "Black: median; box: middle half; line: 5th to 95th percentile. Dotted: median GC of all regions.",
    ),
    "jaccard.png": ("Overlaps", "Jaccard index of the open regions of each pair of cell types", ""),
    "sharing.png": ("Overlaps", "Number of regions by the number of cell types in which they are open", ""),
    "motifs.png": ("Motifs", "Enrichment of motifs in the open regions of each cell type", ""),
}


def dataset_card(
    info: dict[str, Any],
    regions: RegionStatistics,
    splits: dict[str, SplitStatistics],
    pictures: list[str],
    dataset_infos: DatasetInfosDict,
) -> str:
    """The README.md of a built set.

    Args:
        info: what is in its `build_info.json`.
        regions: counted over its regions.
        splits: counted over the windows of each split.
        pictures: file names in its folder `figures`; none where they could not be drawn.
        dataset_infos: columns and sizes of its configs.
    """
    options, num_motifs = info["options"], len(regions.motifs)
    numbers = {
        **options,
        "anchor_index": info["anchor_index"],
        "half_span": options["max_span"] // 2,
        "min_gap_of_n": MIN_GAP_OF_N,
        "num_motifs": num_motifs,
        "background": _BACKGROUND.format(**options | {"num_background": info["num_background"]})
        if info["num_background"]
        else "",
    }
    num_sites = 2 * options["region_width"]
    motifs_text = _MOTIFS.format(
        background=" ".join(
            f"{base} {share:g}" for base, share in zip("ACGT", regions.motifs.background, strict=True)
        ),
        p_value=regions.p_value,
        chance=1 - (1 - regions.p_value) ** num_sites,
        num_impossible=int(np.isinf(regions.thresholds).sum()),
        num_motifs=num_motifs,
    )
    corpus = info["corpus"]
    licence = f"Licence: {corpus['licence']}" if corpus else "The licence is that of the peak files it was built from"
    no_pictures = (
        [] if pictures else ["No pictures: matplotlib or scipy was missing (`pip install genebert[plots]`).\n"]
    )
    sections = [
        f"---\n{_metadata(info, dataset_infos)}\n---\n",
        "# ATAC-seq windows for GeneBERT\n",
        f"{info['num_consensus_regions']:,} consensus regions of {options['region_width']} bp, open or closed in "
        f"{len(info['cell_types'])} cell types, and the windows of open regions that GeneBERT is pre-trained on. "
        f"{licence}.\n",
        *no_pictures,
        _USE.format(**numbers),
        _CELL_TYPES.format(**numbers),
        markdown_table(*_cell_type_rows(info, regions)),
        *_shown(pictures, "Cell types"),
        *_more_of_cell_types(info),
        _PEAKS,
        markdown_table(*_peak_rows(info)),
        "## Overlaps\n",
        _sharing(regions),
        *_shown(pictures, "Overlaps"),
        motifs_text,
        markdown_table(["cell type", "enriched motifs: here / all cell types"], _motif_rows(regions)),
        *_shown(pictures, "Motifs"),
        _SPLITS,
        markdown_table(*_split_rows(splits)),
        _METHOD.format(**numbers),
        *_provenance(info),
    ]
    return "\n".join(sections)


def _metadata(info: dict[str, Any], dataset_infos: DatasetInfosDict) -> str:
    """The card's YAML header."""
    # `load_dataset` caches a local folder by its name and by what stands in `configs`: without a version that follows
    # from the content, it would return the rows of another set in a folder of the same name.
    recipe = json.dumps([info["options"], info["inputs"], info["versions"]], sort_keys=True)
    version = f"1.0.{int(hashlib.sha256(recipe.encode()).hexdigest()[:8], 16)}"
    corpus = info["corpus"]
    licence: dict[str, Any] = {"license": "unknown"}
    if corpus and corpus["licence_link"]:
        name = corpus["name"].replace("_", "-")
        licence = {"license": "other", "license_name": name, "license_link": corpus["licence_link"]}
    metadata = DatasetCardData(
        **licence,
        pretty_name="ATAC-seq windows for GeneBERT",
        task_categories=["fill-mask"],
        tags=["biology", "genomics", "dna", "atac-seq", "chromatin-accessibility", "genebert"],
        size_categories=[size_category(sum(info["splits"].values()))],
        configs=[
            {
                "config_name": "windows",
                "default": True,
                "version": version,
                "data_files": [{"split": split, "path": f"windows/{split}-*.parquet"} for split in info["splits"]],
            },
            *(
                {
                    "config_name": config,
                    "version": version,
                    "data_files": [{"split": "train", "path": f"{config}/train-*.parquet"}],
                }
                for config in ("regions", *(("background",) if info["num_background"] else ()))
            ),
        ],
    )
    dataset_infos.to_dataset_card_data(metadata)
    return metadata.to_yaml()


def summary_table(info: dict[str, Any]) -> str:
    """What became of the peaks of each cell type, and the number of windows in each split, as text."""
    header, rows = _peak_rows(info)
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in [header, *rows]
    ]
    splits = ", ".join(f"{split} {rows:,}" for split, rows in info["splits"].items()) or "none"
    corpus = info["corpus"]
    return "\n".join(
        [
            *([f"{corpus['name']}: {corpus['description']}; licence: {corpus['licence']}"] if corpus else []),
            "Peaks (read = used + skipped by reason):",
            *lines,
            *(f"Left out: {cell_type}: {reason}" for cell_type, reason in info["left_out"].items()),
            f"Consensus regions: {info['num_consensus_regions']:,}",
            f"Windows: {splits}",
        ]
    )


def _peak_rows(info: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    header = ["cell type", "read", "used", *SKIP_REASONS, "open regions"]
    rows = []
    totals = [0] * (len(header) - 1)
    for cell_type, counts in info["peaks"].items():
        skipped = [counts["skipped"][reason] for reason in SKIP_REASONS]
        numbers = [counts["read"], counts["used"], *skipped, counts["open_regions"]]
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        held_out = " (held out)" if cell_type in info["options"]["held_out_cell_types"] else ""
        rows.append([cell_type + held_out, *(f"{number:,}" for number in numbers)])
    return header, [*rows, ["all", *(f"{total:,}" for total in totals)]]


def _cell_type_rows(info: dict[str, Any], regions: RegionStatistics) -> tuple[list[str], list[list[str]]]:
    header = ["cell type", "open regions", "only here", "touching", "width", "GC", "accessibility", "not measured"]
    header += ["most similar"]
    rows = []
    jaccard = regions.jaccard
    np.fill_diagonal(jaccard, 0)  # a cell type with itself
    for index, cell_type in enumerate(regions.cell_types):
        nearest = int(jaccard[index].argmax())
        similarity = jaccard[index, nearest]
        rows.append(
            [
                cell_type,
                f"{regions.num_open[index]:,}",
                f"{regions.num_only[index]:,}",
                f"{regions.num_touching[index]:,}",
                _spread(np.array(info["peaks"][cell_type]["widths"]), ".0f"),
                _spread(regions.gc[index], ".2f"),
                _spread(regions.accessibility[index], ".2f"),
                f"{regions.num_not_measured[index]:,}",
                f"{regions.cell_types[nearest]} ({similarity:.2f})" if similarity else "",
            ]
        )
    everything = [f"{regions.num_regions:,}", "", "", "", _spread(regions.gc[-1], ".2f"), "", "", ""]
    return header, [*rows, ["all regions", *everything]]


def _spread(percentiles: np.ndarray, form: str) -> str:
    """Median (5th to 95th percentile); empty where nothing was measured."""
    low, median, high = (percentiles[PERCENTILES.index(percent)] for percent in (5, 50, 95))
    return "" if np.isnan(median) else f"{median:{form}} ({low:{form}} to {high:{form}})"


def _sharing(regions: RegionStatistics) -> str:
    shares = regions.num_open_in / regions.num_regions
    return f"{shares[1]:.0%} of the regions are open in one cell type only, {shares[-1]:.0%} in all of them.\n"


def _motif_rows(regions: RegionStatistics) -> list[list[str]]:
    rates, pooled = regions.hit_rates, regions.pooled_hit_rates
    rows = []
    for index, cell_type in enumerate(regions.cell_types):
        motifs = [
            f"{regions.motifs.names[motif]} {rates[index, motif]:.0%} / {pooled[motif]:.0%}"
            for motif in regions.most_enriched(index, 5)
        ]
        rows.append([cell_type, ", ".join(motifs) or "none"])
    return rows


def _split_rows(splits: dict[str, SplitStatistics]) -> tuple[list[str], list[list[str]]]:
    header = ["split", "chromosomes", "cell types", "windows", "distinct anchors"]
    header += ["regions a window (mean)", "span, bp (mean)", "with next region"]
    rows = [
        [
            name,
            _first_few(split.chromosomes),
            f"{split.num_cell_types}",
            f"{split.num_windows:,}",
            f"{split.num_anchors:,}",
            f"{split.mean_regions:.1f}",
            f"{split.mean_span:,.0f}",
            f"{split.share_with_next:.1%}",
        ]
        for name, split in splits.items()
    ]
    return header, rows


def _first_few(names: list[str], limit: int = 8) -> str:
    return ", ".join(names[:limit]) + (f", ... ({len(names)})" if len(names) > limit else "")


def _shown(pictures: list[str], section: str) -> list[str]:
    """The pictures of a section, as Markdown that the Hub shows."""
    texts = []
    for file, (its_section, alternative, caption) in _PICTURES.items():
        if its_section == section and file in pictures:
            texts.append(f"![{alternative}](figures/{file})\n" + (f"\n{caption}\n" if caption else ""))
    return texts


def _more_of_cell_types(info: dict[str, Any]) -> list[str]:
    """Sections on metadata and on cell types that were left out, where there are such."""
    sections = []
    if info["metadata"]:
        columns = list(dict.fromkeys(column for values in info["metadata"].values() for column in values))
        rows = [[name, *(values.get(column, "") for column in columns)] for name, values in info["metadata"].items()]
        sections.append(markdown_table(["cell type", *columns], rows))
    if info["left_out"]:
        sections.append(markdown_table(["left out", "why"], [list(pair) for pair in info["left_out"].items()]))
    return sections


def _provenance(info: dict[str, Any]) -> list[str]:
    inputs = info["inputs"]
    sections = ["## Provenance\n"]
    if corpus := info["corpus"]:
        names = ("name", "description", "genome_build", "citation", "licence")
        sections += ["Public corpus:\n", markdown_table(["", ""], [[name, corpus[name]] for name in names])]
    files = [["genome", inputs["genome"]["file"], f"`{inputs['genome']['sha256']}`"]]
    files += [[name, file["file"], f"`{file['sha256']}`"] for name, file in inputs["peaks"].items()]
    if inputs["blacklist"]:
        files.append(["blacklist", inputs["blacklist"]["file"], f"`{inputs['blacklist']['sha256']}`"])
    motifs = inputs["motifs"]
    files.append(["motifs", f"{motifs['source']} ({motifs['num_motifs']} motifs)", f"`{motifs['fingerprint']}`"])
    return [
        *sections,
        markdown_table(["input", "file", "SHA-256"], files),
        markdown_table(["option", "value"], [[name, f"`{value}`"] for name, value in info["options"].items()]),
        markdown_table(["library", "version"], [[name, version] for name, version in info["versions"].items()]),
    ]
