"""The common tests of the installed transformers, from its source distribution; downloaded, never committed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path


def tests_folder() -> Path:
    """Where the tests of the installed transformers are kept: one folder per version in the user's cache."""
    # Not transformers.__version__: tests/conftest.py sets what transformers reads when it is imported.
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "genebert" / f"transformers-{version('transformers')}" / "tests"


def get_tests() -> Path:
    """
    Download the source distribution of the installed transformers with pip, once, and keep its `tests/test_*.py`.

    Returns:
        The folder that holds them.

    Raises:
        OSError: the download failed (no network, or no such release).
    """
    root = tests_folder().parent
    if root.is_dir():
        return tests_folder()
    root.parent.mkdir(parents=True, exist_ok=True)
    requirement = f"transformers=={version('transformers')}"
    with tempfile.TemporaryDirectory(dir=root.parent) as temporary:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1"]
        pip += ["--no-deps", "--no-binary", "transformers", "--dest", temporary, requirement]
        result = subprocess.run(pip, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        archives = list(Path(temporary).glob("transformers-*.tar.gz"))
        if result.returncode or not archives:
            reason = (result.stderr.strip() or "no .tar.gz came").splitlines()[-1]
            raise OSError(f"the source distribution of {requirement} could not be downloaded: {reason}")
        extracted = Path(temporary) / "extracted"
        _extract_tests(archives[0], extracted)
        if not root.is_dir():  # another process may have been faster
            os.replace(extracted, root)  # whole or not at all
    return tests_folder()


def _extract_tests(archive: Path, root: Path) -> None:
    """Write the archive's `tests/test_*.py` (plain files, by their own names only) into a new folder's `tests`."""
    # Two of them execute an __init__.py: the one beside them, and that of the transformers beside their folder.
    for package in (root / "tests", root / "src" / "transformers"):
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
    with tarfile.open(archive) as tar:
        for member in tar:
            match = re.fullmatch(r"transformers-[^/]+/tests/(test_\w+\.py)", member.name)
            content = tar.extractfile(member) if match and member.isfile() else None
            if match and content is not None:
                (root / "tests" / match[1]).write_bytes(content.read())
