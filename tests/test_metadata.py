"""What the package says of itself fits together: CITATION.cff, setup.py, the cards."""

from __future__ import annotations

import re
from importlib.metadata import metadata
from pathlib import Path

import pytest
import yaml
from huggingface_hub import metadata_load

from examples.model_cards import CITATION
from tests.hub.repositories import check_card


ROOT = Path(__file__).parents[1]
CITATION_FILE = yaml.safe_load((ROOT / "CITATION.cff").read_text())
SETUP = (ROOT / "setup.py").read_text()


def test_citation_file():
    """By the schema of CFF 1.2.0: the required keys, and forms of those that are there."""
    assert {"cff-version", "message", "title", "authors"} <= set(CITATION_FILE)
    assert CITATION_FILE["cff-version"] == "1.2.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", CITATION_FILE["date-released"])
    assert f'version="{CITATION_FILE["version"]}"' in SETUP
    assert f'license="{CITATION_FILE["license"]}"' in SETUP
    (paper,) = CITATION_FILE["references"]
    assert {"type", "title", "authors"} <= set(paper)


def test_the_cards_cite_the_same_paper():
    (paper,) = CITATION_FILE["references"]
    assert f"title = {{{paper['title']}}}" in CITATION
    cited = " ".join(CITATION.split())
    names = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    assert f"author = {{{names}}}" in cited
    assert paper["url"].rsplit("/", 1)[-1] == "2110.05231"
    assert "arXiv:2110.05231" in cited


@pytest.mark.parametrize(
    ("path", "kind"), [("MODEL_CARD.md", "model"), ("hub_datasets/simulated_atlas/README.md", "dataset")]
)
def test_metadata_of_the_cards_written_by_hand(path, kind):
    header = metadata_load(ROOT / path)
    assert {"license", "tags"} <= set(header)
    assert check_card((ROOT / path).read_text(), kind) == ([], [])


def test_every_package_is_installed():
    """What setup.py lists is what is there: a package that it forgets would be missing for whoever installs it."""
    folders = {str(path.parent.relative_to(ROOT)) for path in (ROOT / "hub_datasets").rglob("__init__.py")}
    listed = re.search(r"DATASETS = \(([^)]*)\)", SETUP)
    assert listed is not None
    assert folders == {"hub_datasets", *(f"hub_datasets/{name}" for name in re.findall(r'"(\w+)"', listed[1]))}


def test_what_is_installed_says_so():
    installed = metadata("genebert")
    assert installed["Requires-Python"] == ">=3.10"
    assert installed["Version"] == CITATION_FILE["version"]
    assert {"all", "pretrain", "finetune", "motifs", "datasets"} <= set(installed.get_all("Provides-Extra"))
