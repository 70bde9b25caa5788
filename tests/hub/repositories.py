"""What the test server in `server.py` keeps: files by content, commits with parents, branches."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any

import yaml


MAX_REGULAR_SIZE = 10_000_000  # bytes; what is larger goes to the large file storage
# As in the .gitattributes that the Hub writes into a new repository.
LFS_PATTERNS = [
    *("*.7z", "*.arrow", "*.bin", "*.bz2", "*.ckpt", "*.ftz", "*.gz", "*.h5", "*.joblib", "*.mlmodel", "*.model"),
    *("*.msgpack", "*.npy", "*.npz", "*.onnx", "*.ot", "*.parquet", "*.pb", "*.pickle", "*.pkl", "*.pt", "*.pth"),
    *("*.rar", "*.safetensors", "*.tar", "*.tflite", "*.tgz", "*.wasm", "*.xz", "*.zip", "*.zst", "*tfevents*"),
]
LICENCES = ["apache-2.0", "mit", "cc-by-4.0", "cc-by-sa-4.0", "cc0-1.0", "bsd-3-clause", "gpl-3.0", "other", "unknown"]
LISTS_OF_STRINGS = ("tags", "datasets", "metrics", "task_categories", "size_categories", "base_model", "language")
# As the Hub knows them: what is not among them brings a warning.
TASK_CATEGORIES = ["text-classification", "token-classification", "fill-mask", "feature-extraction", "other"]
_STEPS = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
SIZE_CATEGORIES = ["n<1K", *(f"{low}<n<{high}" for low, high in zip(_STEPS, _STEPS[1:], strict=False)), "n>1T"]
HUB_ID = re.compile(r"(?:[\w-]+/)?[\w.-]+")  # what the Hub demands of names of models and data sets: no path fits


class HubError(Exception):
    """What the server answers with instead of a result.

    Args:
        status: HTTP status.
        message: goes into the body, and into `X-Error-Message`.
        code: `X-Error-Code`, by which clients tell what happened.
        body: more of the body.
    """

    def __init__(self, status: int, message: str, code: str | None = None, body: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body or {}


@dataclass(frozen=True)
class Blob:
    """One version of a file."""

    sha256: str
    size: int
    is_lfs: bool
    git_oid: str  # SHA-1 as git has it; of a large file that of its pointer

    @classmethod
    def of(cls, content: bytes, is_lfs: bool) -> Blob:
        sha256 = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(content)}\n".encode()
        in_git = pointer if is_lfs else content
        git_oid = hashlib.sha1(b"blob %d\0" % len(in_git) + in_git).hexdigest()
        return cls(sha256, len(content), is_lfs, git_oid)

    @property
    def etag(self) -> str:
        return self.sha256 if self.is_lfs else self.git_oid

    def describe(self, path: str) -> dict[str, Any]:
        """An entry of the answers about trees and paths."""
        entry = {"type": "file", "path": path, "size": self.size, "oid": self.git_oid}
        if self.is_lfs:
            entry["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": 134}
        return entry


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, Blob]


@dataclass
class Repository:
    """A model or data set; `objects` is the storage that all repositories share, SHA-256 -> content."""

    repo_type: str
    repo_id: str
    private: bool
    objects: dict[str, bytes]
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def __post_init__(self) -> None:
        attributes = "".join(f"{name} filter=lfs diff=lfs merge=lfs -text\n" for name in LFS_PATTERNS)
        self._add_commit("main", None, "initial commit", {".gitattributes": self._store(attributes.encode(), False)})

    def commit_of(self, revision: str) -> Commit:
        """The commit that a branch or an oid names."""
        oid = self.branches.get(revision, revision)
        if oid not in self.commits:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, revision: str) -> list[Commit]:
        """The commits that lead to a revision, newest first."""
        commits = [self.commit_of(revision)]
        while (parent := commits[-1].parent) is not None:
            commits.append(self.commits[parent])
        return commits

    def blob(self, revision: str, path: str) -> tuple[Commit, Blob]:
        commit = self.commit_of(revision)
        if path not in commit.files:
            raise HubError(404, "Entry not found", "EntryNotFound", {"commit": commit.oid})
        return commit, commit.files[path]

    def content(self, path: str, revision: str = "main") -> bytes:
        return self.objects[self.blob(revision, path)[1].sha256]

    def describe(self, commit: Commit, path: str) -> dict[str, Any] | None:
        """Entry of a file or folder; None where there is none."""
        if path in commit.files:
            return commit.files[path].describe(path)
        if any(name.startswith(f"{path}/") for name in commit.files):
            return {"type": "directory", "path": path, "size": 0, "oid": hashlib.sha1(path.encode()).hexdigest()}
        return None

    def tree(self, revision: str, folder: str, recursive: bool) -> list[dict[str, Any]]:
        commit = self.commit_of(revision)
        prefix = f"{folder}/" if folder else ""
        below = [name for name in commit.files if name.startswith(prefix)]
        if folder and not below:
            raise HubError(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        parents = {str(parent) for name in below for parent in PurePosixPath(name).parents}
        folders = {name for name in parents if name != "." and name.startswith(prefix)}
        paths = sorted({*below, *folders})
        if not recursive:
            paths = [path for path in paths if "/" not in path.removeprefix(prefix)]
        return [entry for path in paths if (entry := self.describe(commit, path)) is not None]

    def card_data(self, revision: str) -> dict[str, Any]:
        if "README.md" not in self.commit_of(revision).files:
            return {}
        return read_card(self.content("README.md", revision).decode())

    def info(self, revision: str) -> dict[str, Any]:
        commit, card = self.commit_of(revision), self.card_data(revision)
        return {
            "_id": hashlib.sha1(self.repo_id.encode()).hexdigest()[:24],
            "id": self.repo_id,
            "author": self.repo_id.split("/")[0],
            "sha": commit.oid,
            "private": self.private,
            "gated": False,
            "disabled": False,
            "downloads": 0,
            "likes": 0,
            "lastModified": "2026-01-01T00:00:00.000Z",
            "createdAt": "2026-01-01T00:00:00.000Z",
            "tags": [*card.get("tags", []), *(f"license:{card[k]}" for k in ("license",) if k in card)],
            "pipeline_tag": card.get("pipeline_tag"),
            "library_name": card.get("library_name"),
            "cardData": card,
            "model-index": card.get("model-index"),
            "siblings": [{"rfilename": path} for path in sorted(commit.files)],
        }

    def upload_mode(self, path: str, size: int, sample: bytes) -> str:
        name = PurePosixPath(path).name
        is_lfs = size > MAX_REGULAR_SIZE or b"\0" in sample or any(fnmatch(name, p) for p in LFS_PATTERNS)
        return "lfs" if is_lfs else "regular"

    def remote_oid(self, path: str, revision: str) -> str | None:
        """What a client compares with a file of its own, to leave out what has not changed."""
        blob = self.commit_of(revision).files.get(path)
        return None if blob is None else blob.etag

    def commit(self, revision: str, operations: Iterable[dict[str, Any]]) -> Commit:
        """Apply the lines of a commit request; all or nothing."""
        if revision not in self.branches:
            raise HubError(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        head = self.commit_of(revision)
        files, title = dict(head.files), None
        for operation in operations:
            key, value = operation["key"], operation["value"]
            if key == "header":
                title = value["summary"]
                if value.get("parentCommit") not in (None, head.oid):
                    raise HubError(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                content = base64.b64decode(value["content"])
                if value["path"] == "README.md":
                    errors, _ = check_card(content.decode(), self.repo_type)
                    if errors:
                        raise HubError(400, f'Invalid metadata in "README.md": {errors[0]}', body={"errors": errors})
                files[value["path"]] = self._store(content, False)
            elif key == "lfsFile":
                if value["oid"] not in self.objects:
                    raise HubError(400, f"{value['path']}: the LFS object {value['oid']} was never uploaded")
                files[value["path"]] = Blob.of(self.objects[value["oid"]], True)
            elif key in ("deletedFile", "deletedFolder"):
                path = value["path"].rstrip("/")
                gone = [name for name in files if name == path or name.startswith(f"{path}/")]
                if not gone:
                    raise HubError(404, "A file with this name doesn't exist", "EntryNotFound")
                for name in gone:
                    del files[name]
            else:
                raise HubError(400, f"unknown operation {key!r}")
        if not title:
            raise HubError(400, "a commit needs a header with a summary")
        return self._add_commit(revision, head.oid, title, files)

    def _store(self, content: bytes, is_lfs: bool) -> Blob:
        blob = Blob.of(content, is_lfs)
        self.objects[blob.sha256] = content
        return blob

    def _add_commit(self, branch: str, parent: str | None, title: str, files: dict[str, Blob]) -> Commit:
        listing = sorted((path, blob.git_oid) for path, blob in files.items())
        oid = hashlib.sha1(json.dumps([parent, title, listing, len(self.commits)]).encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, files)
        self.branches[branch] = oid
        return self.commits[oid]


# Cards


def read_card(text: str) -> dict[str, Any]:
    """The metadata at the head of a card; empty where there is none.

    Raises:
        yaml.YAMLError: what stands there is not YAML.
    """
    if not text.startswith("---\n") or "\n---" not in text[4:]:
        return {}
    return yaml.safe_load(text[4:].split("\n---", 1)[0]) or {}


def check_card(text: str, repo_type: str) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """Errors and warnings about a card's metadata, by the rules of the Hub that matter to GeneBERT."""
    try:
        card = read_card(text)
    except yaml.YAMLError as error:
        return [{"message": f"YAML: {error}"}], []
    if not isinstance(card, dict):
        return [{"message": "the metadata must be a mapping"}], []
    if not card:
        return [], [{"message": "empty or missing yaml metadata in repo card"}]
    errors = []
    if "license" in card and card["license"] not in LICENCES:
        errors.append(f'"license" must be one of [{", ".join(LICENCES)}]')
    for name in LISTS_OF_STRINGS:
        values = card.get(name, [])
        if not isinstance(values, str) and not (
            isinstance(values, list) and all(isinstance(value, str) for value in values)
        ):
            errors.append(f'"{name}" must be a string or an array of strings')
            continue
        if name in ("base_model", "datasets"):
            ids = [values] if isinstance(values, str) else values
            errors += [f'"{name}" with value {value!r} is not an id' for value in ids if not HUB_ID.fullmatch(value)]
    for number, model in enumerate(card.get("model-index", []) or []):
        errors += _check_model_index(f"model-index[{number}]", model)
    if repo_type == "dataset" and any("config_name" not in config for config in card.get("configs", [])):
        errors.append('"configs[0].config_name" is required')
    warnings = [
        f'"{name}" must be some of [{", ".join(known)}]'
        for name, known in (("task_categories", TASK_CATEGORIES), ("size_categories", SIZE_CATEGORIES))
        if not set(card.get(name, [])) <= set(known)
    ]
    return [{"message": message} for message in errors], [{"message": message} for message in warnings]


def _check_model_index(where: str, model: dict[str, Any]) -> list[str]:
    errors = [] if isinstance(model.get("name"), str) and model["name"] else [f'"{where}.name" is required']
    for number, result in enumerate(model.get("results", [])):
        here = f"{where}.results[{number}]"
        if "type" not in result.get("task", {}):
            errors.append(f'"{here}.task.type" is required')
        dataset = result.get("dataset", {})
        errors += [f'"{here}.dataset.{name}" is required' for name in ("type", "name") if name not in dataset]
        if not isinstance(dataset.get("config", ""), str):
            errors.append(f'"{here}.dataset.config" must be a string')
        if not HUB_ID.fullmatch(str(dataset.get("type", "x"))):
            errors.append(f'"{here}.dataset.type" with value {dataset["type"]!r} fails to match the required pattern')
        for place, metric in enumerate(result.get("metrics", [])):
            errors += [
                f'"{here}.metrics[{place}].{name}" is required'
                for name in ("type", "value")
                if metric.get(name) is None
            ]
    return errors
