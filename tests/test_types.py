"""The package is typed, and where the type checker is silenced the line says why."""

from __future__ import annotations

import re
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[1]
FOLDERS = ("modeling_genebert", "hub_datasets", "examples", "benchmarks")
SILENCED = re.compile(r"#\s*type:\s*ignore(?P<rule>\[[\w, -]+\])?(?P<reason>\s+# \w.*)?")


def unexplained(text: str) -> list[str]:
    """The comments that silence every rule, or give no reason."""
    return [match.group() for match in SILENCED.finditer(text) if not (match["rule"] and match["reason"])]


@pytest.mark.parametrize(
    ("line", "is_explained"),
    [
        ("x = f()  # type: ignore[arg-type]  # takes the class, annotated as an instance", True),
        ("x = f()  # type: ignore[arg-type]", False),
        ("x = f()  # type: ignore  # untyped", False),
        ("x = f()  #type:ignore", False),
    ],
)
def test_what_counts_as_a_reason(line, is_explained):
    assert (unexplained(line) == []) == is_explained


def test_no_type_ignore_without_a_reason():
    files = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 40
    assert {str(path): found for path in files if (found := unexplained(path.read_text(encoding="utf-8")))} == {}


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "modeling_genebert" / "py.typed").is_file()
    assert '"modeling_genebert": ["py.typed"]' in (ROOT / "setup.py").read_text(encoding="utf-8")
