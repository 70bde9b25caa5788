"""What holds of every repository that was pushed."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from safetensors import deserialize

from tests.running import ROOT

from .repositories import Repository


# What begins with a slash, and is not the rest of an address (https://...), of a word (and/or) or of a closing tag.
ABSOLUTE_PATH = re.compile(r"(?<![\w/:.<*)\]}-])/[\w.-]+/[\w./-]+|(?<!\w)~/\w|\b[A-Z]:\\\\?\w")
PICKLED_NAMES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".tar", ".zip")


def looks_pickled(path: str, content: bytes) -> bool:
    """By its name, or by how pickles (protocol 2 and up) and torch's ZIP archives of them begin."""
    is_pickle = len(content) > 1 and content[0] == 0x80 and content[1] in range(2, 6)
    return path.endswith(PICKLED_NAMES) or is_pickle or content.startswith(b"PK\x03\x04")


def check_no_pickles(repository: Repository) -> None:
    """Of no version of the repository; and whatever says that it is safetensors can be read as such."""
    for commit in repository.commits.values():
        for path, blob in commit.files.items():
            content = repository.objects[blob.sha256]
            assert not looks_pickled(path, content), f"{path} of {repository.repo_id} holds a pickle"
            if path.endswith(".safetensors"):
                assert deserialize(content), path


def check_no_places(repository: Repository, secrets: Iterable[str] = ()) -> None:
    """No version of the repository names a place on this machine, or holds a token."""
    here = {str(ROOT) + os.sep, tempfile.gettempdir() + os.sep, str(Path.home()) + os.sep, *secrets}
    for commit in repository.commits.values():
        for path, blob in commit.files.items():
            content = repository.objects[blob.sha256]
            found = [text for text in here if text.encode() in content]
            assert not found, f"{path} of {repository.repo_id} holds {found}"
            if path.endswith((".json", ".md", ".csv", ".tsv")):
                absolute = ABSOLUTE_PATH.search(content.decode())
                assert absolute is None, f"{path} of {repository.repo_id} holds the path {absolute.group()!r}"


def changed_files(repository: Repository, number: int = 0) -> set[str]:
    """What the newest commit changed; with `number`, the commit so many before."""
    newer, older = repository.history("main")[number : number + 2]
    return {path for path in {*newer.files, *older.files} if newer.files.get(path) != older.files.get(path)}
