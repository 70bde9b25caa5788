"""What holds of the card of every data set that a builder writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from datasets import load_dataset_builder
from huggingface_hub import DatasetCard

from hub_datasets.files import sha256_of
from tests.hub.checks import ABSOLUTE_PATH
from tests.hub.repositories import check_card


def check_dataset_card(folder: Path) -> DatasetCard:
    """Its metadata are valid and complete, its configs are the files there, its checksums are right; returns it."""
    card = DatasetCard.load(folder / "README.md")
    assert check_card((folder / "README.md").read_text(), "dataset") == ([], [])
    header = card.data.to_dict()
    assert {"license", "pretty_name", "task_categories", "size_categories", "tags", "configs", "dataset_info"} <= set(
        header
    )
    assert {"biology", "genomics", "dna", "genebert"} <= set(header["tags"])

    configs = {config["config_name"]: config for config in header["configs"]}
    infos = header["dataset_info"] if isinstance(header["dataset_info"], list) else [header["dataset_info"]]
    assert {info["config_name"] for info in infos} == set(configs)
    assert [config.get("default", False) for config in configs.values()].count(True) == 1
    named = {
        file for config in configs.values() for entry in config["data_files"] for file in folder.glob(entry["path"])
    }
    assert named == set(folder.rglob("*.parquet"))
    for name in configs:
        assert set(load_dataset_builder(str(folder), name).info.splits) == {
            entry["split"] for entry in configs[name]["data_files"]
        }

    info_file = next(folder / name for name in ("info.json", "build_info.json") if (folder / name).is_file())
    inputs = re.findall(r'"sha256": "([0-9a-f]{64})"', info_file.read_text())
    assert inputs
    assert [checksum for checksum in inputs if f"`{checksum}`" not in card.text] == []
    for file, checksum in json.loads(info_file.read_text())["files"].items():
        if isinstance(checksum, str):
            assert sha256_of(folder / file) == checksum
    for path in (folder / "README.md", info_file):
        assert ABSOLUTE_PATH.search(path.read_text()) is None, f"{path.name}: {ABSOLUTE_PATH.search(path.read_text())}"
    return card
