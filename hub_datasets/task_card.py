"""The cards of the downstream data sets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCardData

from .cards import dataset_infos, markdown_table, size_category
from .downloads import PublicSource


@dataclass(kw_only=True)
class TaskCard:
    """What the card of a data set says beside what is counted.

    Attributes:
        pretty_name: title.
        summary: what is in it, one paragraph of Markdown.
        task_categories: the Hub's names, such as "text-classification" or "token-classification".
        labels: label -> what it means; for regression the name of the value and its unit.
        splits: the rule by which rows came into splits.
        negatives: how negative rows were made; empty where there are none.
        licence: the Hub's identifier of a licence, such as "cc-by-4.0"; "unknown" where the user's files decide.
        tags: for the Hub, beside those that all have.
        sources: where the data come from: (name, address, licence).
        sections: further sections: title -> Markdown.
    """

    pretty_name: str
    summary: str
    task_categories: list[str]
    labels: Mapping[str, str]
    splits: str
    negatives: str = ""
    licence: str = "unknown"
    tags: Sequence[str] = ()
    sources: Sequence[tuple[str, str, str]] = ()
    sections: Mapping[str, str] = field(default_factory=dict)


def public_source(source: PublicSource) -> tuple[str, str, str]:
    """A row of `TaskCard.sources` for a declared public source."""
    unverified = f" (not verified: {source.unverified})" if source.unverified else ""
    return f"{source.description}; {source.citation}", " ".join(source.urls.values()), source.licence + unverified


def card_text(card: TaskCard, info: Mapping[str, Any], folder: Path) -> str:
    """The README.md of a data set.

    Args:
        card: what is said.
        info: what is in its `info.json`.
        folder: where its Parquet files are: their sizes go into the header.
    """
    first, *others = info["splits"]
    loads = [f'splits = load_dataset("PATH_OR_HUB_ID")  # the config {first!r}']
    loads += [f'splits = load_dataset("PATH_OR_HUB_ID", {config!r})' for config in others]
    sections = [
        f"---\n{_metadata(card, info, folder)}\n---\n",
        f"# {card.pretty_name}\n",
        f"{card.summary}\n",
        "## Use\n",
        "```python\nfrom datasets import load_dataset\n\n" + "\n".join(loads) + "\n```\n",
        "Coordinates are in bp, 0-based, half-open.\n",
        markdown_table(["label", "meaning"], [[name, meaning] for name, meaning in card.labels.items()]),
        "## Rows\n",
        markdown_table(["config", "split", "rows", "rows by label"], _rows(info)),
    ]
    if skipped := {reason: number for reason, number in info["skipped"].items() if number}:
        sections += [
            "Skipped:\n",
            markdown_table(["reason", "number"], [[reason, f"{number:,}"] for reason, number in skipped.items()]),
        ]
    sections += ["## Splits\n", f"{card.splits}\n"]
    if card.negatives:
        sections += ["## Negatives\n", f"{card.negatives}\n"]
    for title, text in card.sections.items():
        sections += [f"## {title}\n", f"{text.rstrip()}\n"]
    sections.append("## Provenance\n")
    tables = [
        (["source", "address", "licence"], [list(source) for source in card.sources]),
        (
            ["input", "file", "SHA-256"],
            [[name, file["file"], f"`{file['sha256']}`"] for name, file in info["inputs"].items()],
        ),
        (["option", "value"], [[name, f"`{value}`"] for name, value in info["options"].items()]),
        (["library", "version"], [[name, version] for name, version in info["versions"].items()]),
    ]
    return "\n".join([*sections, *(markdown_table(header, rows) for header, rows in tables if rows)])


def _metadata(card: TaskCard, info: Mapping[str, Any], folder: Path) -> str:
    """The card's YAML header."""
    # `load_dataset` caches a local folder by its name and by what stands in `configs`: without a version that follows
    # from the content, it would return the rows of another set in a folder of the same name.
    content = hashlib.sha256(json.dumps(info["files"], sort_keys=True).encode()).hexdigest()
    version = f"1.0.{int(content[:8], 16)}"
    rows = sum(count["rows"] for splits in info["splits"].values() for count in splits.values())
    metadata = DatasetCardData(
        license=card.licence,
        pretty_name=card.pretty_name,
        task_categories=card.task_categories,
        tags=["biology", "genomics", "dna", "genebert", *card.tags],
        size_categories=[size_category(rows)],
        configs=[
            {
                "config_name": config,
                **({"default": True} if index == 0 else {}),
                "version": version,
                "data_files": [{"split": split, "path": f"{config}/{split}-*.parquet"} for split in splits],
            }
            for index, (config, splits) in enumerate(info["splits"].items())
        ],
    )
    configs = {config: list(splits) for config, splits in info["splits"].items()}
    dataset_infos(folder, configs).to_dataset_card_data(metadata)
    return metadata.to_yaml()


def _rows(info: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            config,
            split,
            f"{count['rows']:,}",
            ", ".join(f"{name} {number:,}" for name, number in count.get("labels", {}).items()),
        ]
        for config, splits in info["splits"].items()
        for split, count in splits.items()
    ]
