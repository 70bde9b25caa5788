"""Push a finished run, or a data set, to the Hub.

    hf auth login                                                                       # once; or set HF_TOKEN
    python examples/push_to_hub.py --folder runs/promoters --repo_id org/genebert-promoters --private
    python examples/push_to_hub.py --folder data/promoters --repo_id org/promoters --dataset

Of a run go weights (safetensors only), config, processor with its motif bank, code, model card, results, predictions
and pictures. Checkpoints, optimizer states and whatever else is pickled stay here. Before anything is sent, the folder
is checked: all code there that the config names, the motif bank that the model was trained with. A second push sends
what has changed.

The token comes from `HF_TOKEN` or `hf auth login`, and is never printed.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitInfo, HfApi, get_session, get_token
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import filter_repo_objects
from transformers.dynamic_module_utils import get_relative_imports


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script, Python looks in examples/ only

from modeling_genebert import MotifBank


logger = logging.getLogger(__name__)

FILES = {
    "model": ["*.safetensors", "*.json", "*.py", "*.md", "*.csv", "*.png"],
    "dataset": ["*.parquet", "*.safetensors", "*.json", "*.md", "*.tsv", "*.png"],
}
# Neither what is hidden, half-written files and caches, nor, of a run, checkpoints and the data set that it built.
HIDDEN = [".*", "*/.*"]
LEFT_HERE = {"model": [*HIDDEN, "checkpoint-*", "dataset/*", "simulated_atlas/*"]}
SECONDS_BETWEEN_TRIES = (1, 2, 4, 8, 16)
Result = TypeVar("Result")


def push_run(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload model",
) -> CommitInfo:
    """
    Push a folder that `save_pretrained`, `pretrain.py` or `finetune.py` wrote.

    Args:
        folder (`str` or `Path`): with `config.json`, weights and `README.md`.
        repo_id (`str`): `user/name` or `organization/name`; made if it is not there.
        private (`bool`, *optional*): for a new repository; default: as the account's settings say.
        revision (`str`, *optional*): the branch, made if it is not there; default: main.
        commit_message (`str`, defaults to `"Upload model"`): the title of the commit.

    Returns:
        `CommitInfo`: with `oid`, by which the version can be pinned (`revision=`, `code_revision=`).

    Raises:
        ValueError: the folder is not complete, the motif bank is not the model's, or the card's metadata are wrong.
        PermissionError: no token, or one that may not write there.
    """
    folder = Path(folder)
    check_run(folder)
    return push_folder(folder, repo_id, private=private, revision=revision, commit_message=commit_message)


def push_dataset(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str = "Upload data set",
) -> CommitInfo:
    """Push a folder in the Hub's layout, as `python -m hub_datasets.NAME` writes it; else as [`push_run`]."""
    folder = Path(folder)
    if not (folder / "README.md").is_file() or not any(folder.rglob("*.parquet")):
        raise ValueError(f"{folder}: expected a data set in the Hub's layout, with README.md and Parquet files")
    return push_folder(
        folder, repo_id, repo_type="dataset", private=private, revision=revision, commit_message=commit_message
    )


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    repo_type: str = "model",
    path_in_repo: str | None = None,
    files: Sequence[str] | None = None,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str,
) -> CommitInfo:
    """
    Push the files of a folder that belong on the Hub, unchecked; tries again where the Hub is busy.

    Args:
        repo_type (`str`, defaults to `"model"`): `"model"` or `"dataset"`, which decides what belongs there, or
            `"space"`, with `files`.
        path_in_repo (`str`, *optional*): folder in the repository, such as `adapter`; default: its root.
        files (`list[str]`, *optional*): patterns of other files than those that belong there by default.

    The others are those of [`push_run`].
    """
    repo_id = open_repository(repo_id, repo_type=repo_type, private=private)
    api = HfApi()
    with clear_refusal(repo_id):
        if revision is not None:
            with_retries(lambda: api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True))
        return with_retries(
            lambda: api.upload_folder(
                repo_id=repo_id,
                repo_type=repo_type,
                folder_path=folder,
                path_in_repo=path_in_repo,
                revision=revision,
                allow_patterns=list(files or FILES[repo_type]),
                ignore_patterns=list(LEFT_HERE.get(repo_type, HIDDEN)),
                commit_message=commit_message,
            )
        )


def open_repository(repo_id: str, *, repo_type: str = "model", private: bool | None = None) -> str:
    """
    Make a repository if it is not there; called before a training, it tells whether there will be a place for it.

    Returns:
        `str`: its whole id, with the user's name where `repo_id` has none.

    Raises:
        PermissionError: no token, or one that may not write there.
    """
    if get_token() is None:
        raise PermissionError(f"{repo_id}: no token: log in with `hf auth login`, or set HF_TOKEN")
    space_sdk = "gradio" if repo_type == "space" else None
    with clear_refusal(repo_id):
        return with_retries(
            lambda: HfApi().create_repo(
                repo_id, repo_type=repo_type, private=private, exist_ok=True, space_sdk=space_sdk
            )
        ).repo_id


@contextmanager
def clear_refusal(repo_id: str) -> Iterator[None]:
    """Turns the Hub's refusal of a token into a `PermissionError` that says what is wrong."""
    try:
        yield
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403, 404):
            raise PermissionError(
                f"{repo_id}: the Hub refuses the token (status {status}): expected one with write access to "
                f"{repo_id.split('/')[0]}, see `hf auth whoami`"
            ) from None
        raise


def with_retries(send: Callable[[], Result]) -> Result:
    """What `send` returns; called again, which must do no harm, while the Hub is busy, silent or out of reach.

    huggingface_hub does so for uploads, but not where a repository is made or a commit is sent.
    """
    # Of httpx or httpx2, whichever this huggingface_hub uses: time-outs, and connections that are cut or refused.
    transport_error = import_module(type(get_session()).__module__.partition(".")[0]).TransportError
    for seconds in SECONDS_BETWEEN_TRIES:
        try:
            return send()
        except HfHubHTTPError as error:
            if error.response.status_code not in (408, 429, 500, 502, 503, 504):
                raise
            logger.warning(f"The Hub answers with status {error.response.status_code}: again in {seconds} s")
        except transport_error as error:
            logger.warning(f"No answer from the Hub ({type(error).__name__}): again in {seconds} s")
        time.sleep(seconds)
    try:
        return send()
    except transport_error as error:
        raise ConnectionError(f"no answer from the Hub ({type(error).__name__}), tried again and again") from None


def files_to_push(folder: Path, repo_type: str = "model") -> list[str]:
    """Their paths inside the folder, in order."""
    paths = (str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file())
    return list(
        filter_repo_objects(paths, allow_patterns=FILES[repo_type], ignore_patterns=LEFT_HERE.get(repo_type, HIDDEN))
    )


def check_run(folder: Path) -> None:
    """Raise `ValueError` unless all is there that the Auto classes open, and fits together."""
    for name in ("config.json", "README.md"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder}: no {name}, expected the folder of a finished run")
    if not any(folder.glob("model*.safetensors")):
        raise ValueError(f"{folder}: no model.safetensors; weights in other formats are not pushed")
    configs = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*config.json"))}
    for name, config in configs.items():
        for reference in code_references(config):
            repository, _, place = reference.rpartition("--")
            if repository:
                raise ValueError(f"{folder / name}: names code of {repository}, expected code in the folder itself")
            check_code(folder, place.split(".")[0], f"{name} names {place}")
    fingerprint = configs["config.json"].get("motif_bank_fingerprint")
    if fingerprint is not None and "processor_config.json" in configs:
        found = MotifBank.load(folder / "motifs.safetensors").fingerprint
        if found != fingerprint:
            raise ValueError(
                f"{folder / 'motifs.safetensors'}: fingerprint {found}, but the model was trained with {fingerprint}: "
                "copy the bank that belongs to it"
            )


def code_references(config: dict[str, Any]) -> list[str]:
    """What an `auto_map` or `custom_pipelines` anywhere in a config says, such as `module.Class`."""
    found: list[str] = []
    for name, value in config.items():
        if name == "auto_map":
            for entry in value.values():
                found += [one for one in (entry if isinstance(entry, list) else [entry]) if one is not None]
        elif name == "custom_pipelines":
            found += [pipeline["impl"] for pipeline in value.values()]
        elif isinstance(value, dict):
            found += code_references(value)
    return found


def check_code(folder: Path, module: str, why: str, seen: set[str] | None = None) -> None:
    """Raise `ValueError` unless a module is in the folder, and all that it imports from there."""
    seen = set() if seen is None else seen
    if module in seen:
        return
    seen.add(module)
    path = folder / f"{module}.py"
    if not path.is_file():
        raise ValueError(f"{folder}: no {path.name}, but {why}: save model and processor again, with save_pretrained")
    for imported in get_relative_imports(path):
        check_code(folder, imported, f"{path.name} imports it", seen)


def parse_args(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Push a finished run, or a data set, to the Hub.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--repo_id", required=True, help="user/name or organization/name; made if it is not there")
    parser.add_argument("--dataset", action="store_true", help="the folder is a data set")
    parser.add_argument("--private", action="store_true", default=None, help="of a new repository")
    parser.add_argument("--revision", help="branch; made if it is not there")
    parser.add_argument("--commit_message")
    parser.add_argument("--dry_run", action="store_true", help="only list the files that would be pushed")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    args = parse_args(arguments)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    try:
        if args.dry_run:
            print("\n".join(files_to_push(args.folder, "dataset" if args.dataset else "model")))
            return
        options: dict[str, Any] = {"private": args.private, "revision": args.revision}
        if args.commit_message is not None:
            options["commit_message"] = args.commit_message
        push = push_dataset if args.dataset else push_run
        commit = push(args.folder, args.repo_id, **options)
    except (ValueError, OSError) as error:
        raise SystemExit(f"Not pushed: {' '.join(str(error).split())}") from None
    print(f"Pushed: {commit.commit_url}")


if __name__ == "__main__":
    main()
