"""What holds of every repository that was pushed."""

from __future__ import annotations

from safetensors import deserialize

from .repositories import Repository


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


def changed_files(repository: Repository, number: int = 0) -> set[str]:
    """What the newest commit changed; with `number`, the commit so many before."""
    newer, older = repository.history("main")[number : number + 2]
    return {path for path in {*newer.files, *older.files} if newer.files.get(path) != older.files.get(path)}
