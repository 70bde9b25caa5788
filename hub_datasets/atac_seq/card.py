"""The dataset card, and the summary that a build prints."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from huggingface_hub import DatasetCardData

from .consensus import SKIP_REASONS
from .windows import MIN_GAP_OF_N


_METHOD = """\
## How it was made

- **Regions** are a consensus over all cell types by iterative overlap removal (Corces et al. 2018, Science 362,
  eaav1898): every peak becomes {region_width} bp centred on its summit (its midpoint where the summit is unknown);
  peaks are ranked by the mid-rank of their signal within their own file; strongest first, each is kept unless it
  overlaps one kept before. At most a fraction of {max_n_fraction} of a region's bases are other than A, C, G, T.
- A region is **open** in a cell type if the summit of one of its peaks lies inside the region. Its **accessibility**
  is the mid-rank (0, 1] of the strongest such peak among all peaks of that cell type's file, before any filtering;
  0 = closed, NaN = open, but the file has no signal. A closed region may still touch the flank of a peak.
- A **window** is {num_regions} columns of open regions of one cell type round an anchor, which is in column
  {anchor_index} (counted from 0); only regions within {half_span:,} bp of the anchor, centre to centre; -1 where there
  is none. The anchors are every open region of a cell type, or every n-th with `stride` n (here {stride}).
- **next_region** is the next open region of the cell type on the chromosome, at most {max_gap:,} bp away, with no run
  of {min_gap_of_n:,} or more N between; else -1.
- **scores** are the best log-odds of each motif over both strands of the region, clipped at 0, divided by the motif's
  best possible score: {num_motifs} little-endian float16 values, `numpy.frombuffer(row["scores"], "<f2")`, in the
  order of `motifs.safetensors`.

Coordinates are 0-based, half-open.
"""

_USE = """\
## Use

```python
from datasets import load_dataset

windows = load_dataset("PATH_OR_HUB_ID")              # region_ids, anchor and next_region are row numbers of:
regions = load_dataset("PATH_OR_HUB_ID", "regions", split="train")
```
"""


_CELL_TYPES = """\
## Cell types

What became of the peaks in each file. A peak was used (its summit lies in a region) or skipped: unknown chromosome =
not in the genome; past chromosome end = the peak or its region reaches beyond it; duplicate = twice in the file; too
many N = in its region; blacklist = its region overlaps the blacklist; overlap = its region overlaps a stronger one
and its summit lies in none.
"""


def dataset_card(info: dict[str, Any]) -> str:
    """The README.md of a built set, from what is in its `build_info.json`."""
    options, inputs = info["options"], info["inputs"]
    # `load_dataset` caches a local folder by its name and by what stands in `configs`: without a version that follows
    # from the content, it would return the rows of another set in a folder of the same name.
    recipe = json.dumps([options, inputs, info["versions"]], sort_keys=True)
    version = f"1.0.{int(hashlib.sha256(recipe.encode()).hexdigest()[:8], 16)}"
    metadata = DatasetCardData(
        license="other",
        pretty_name="ATAC-seq windows for GeneBERT",
        tags=["biology", "genomics", "atac-seq", "chromatin-accessibility", "genebert"],
        size_categories=_size_category(sum(info["splits"].values())),
        configs=[
            {
                "config_name": "windows",
                "default": True,
                "version": version,
                "data_files": [{"split": split, "path": f"windows/{split}-*.parquet"} for split in info["splits"]],
            },
            {
                "config_name": "regions",
                "version": version,
                "data_files": [{"split": "train", "path": "regions/train-*.parquet"}],
            },
        ],
    )
    method = _METHOD.format(
        **options,
        anchor_index=info["anchor_index"],
        half_span=options["max_span"] // 2,
        min_gap_of_n=MIN_GAP_OF_N,
        num_motifs=inputs["motifs"]["num_motifs"],
    )
    held_out = [
        [name.replace("_", " "), ", ".join(options[name]) or "none"]
        for name in ("validation_chromosomes", "test_chromosomes", "held_out_cell_types")
    ]
    files = [["genome", inputs["genome"]["file"], f"`{inputs['genome']['sha256']}`"]]
    files += [[name, file["file"], f"`{file['sha256']}`"] for name, file in inputs["peaks"].items()]
    if inputs["blacklist"]:
        files.append(["blacklist", inputs["blacklist"]["file"], f"`{inputs['blacklist']['sha256']}`"])
    motifs = inputs["motifs"]
    files.append(["motifs", f"{motifs['source']} ({motifs['num_motifs']} motifs)", f"`{motifs['fingerprint']}`"])
    sections = [
        f"---\n{metadata.to_yaml()}\n---\n",
        "# ATAC-seq windows for GeneBERT\n",
        f"{info['num_consensus_regions']:,} consensus regions of {options['region_width']} bp, open or closed in "
        f"{len(info['cell_types'])} cell types, and the windows of open regions that GeneBERT is pre-trained on. "
        "The licence is that of the peak files it was built from.\n",
        _USE,
        _CELL_TYPES,
        _markdown(*_peak_rows(info)),
        *_more_of_cell_types(info),
        "## Splits\n\nSplits by chromosome; windows never cross from one to another.\n",
        _markdown(["split", "windows"], [[split, f"{rows:,}"] for split, rows in info["splits"].items()]),
        _markdown(["held out", "names"], held_out),
        method,
        "## Provenance\n",
        _markdown(["input", "file", "SHA-256"], files),
        _markdown(["option", "value"], [[name, f"`{value}`"] for name, value in options.items()]),
    ]
    return "\n".join(sections)


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


def _more_of_cell_types(info: dict[str, Any]) -> list[str]:
    """Sections on the public corpus, on metadata and on cell types that were left out, where there are such."""
    sections = []
    if corpus := info["corpus"]:
        names = ("name", "description", "genome_build", "citation", "licence")
        sections += ["Public corpus:\n", _markdown(["", ""], [[name, corpus[name]] for name in names])]
    if info["metadata"]:
        columns = list(dict.fromkeys(column for values in info["metadata"].values() for column in values))
        rows = [[name, *(values.get(column, "") for column in columns)] for name, values in info["metadata"].items()]
        sections.append(_markdown(["cell type", *columns], rows))
    if info["left_out"]:
        sections.append(_markdown(["left out", "why"], [list(pair) for pair in info["left_out"].items()]))
    return sections


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    steps = ["1K", "10K", "100K", "1M", "10M", "100M", "1B"]
    limits = [10**exponent for exponent in range(3, 10)]
    above = sum(rows >= limit for limit in limits)
    if above == 0:
        return "n<1K"
    return f"{steps[above - 1]}<n<{steps[above]}" if above < len(steps) else "n>1B"
