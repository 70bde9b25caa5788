"""Push the page to a Hugging Face Space.

    python examples/space/push.py --repo_id my-lab/try-genebert --private

A Space has nothing of GeneBERT but what is pushed to it: this folder goes there with the packages that it imports,
each file where it is here, and `README.md` and `requirements.txt` on top, where Spaces look for them.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from huggingface_hub import CommitInfo


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # run as a script, Python looks in this folder only

from examples.push_to_hub import push_folder


ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("examples/space", "examples/prediction", "hub_datasets", "modeling_genebert")
ON_TOP = ("README.md", "requirements.txt")


def lay_out(folder: Path) -> list[str]:
    """Fill a folder with the files of the Space, and list them."""
    paths = [ROOT / "examples" / "__init__.py"]
    paths += [path for name in FOLDERS for path in sorted((ROOT / name).rglob("*.py"))]
    copies = {str(path.relative_to(ROOT)): path for path in paths}
    copies |= {name: ROOT / "examples" / "space" / name for name in ON_TOP}
    for name, path in copies.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name)
    return sorted(copies)


def push(repo_id: str, *, private: bool | None = None) -> CommitInfo:
    """Push the page; the errors are those of `push_to_hub.py`."""
    with tempfile.TemporaryDirectory() as folder:
        files = lay_out(Path(folder))
        return push_folder(
            folder, repo_id, repo_type="space", files=files, private=private, commit_message="Upload page"
        )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Push the page to a Hugging Face Space.")
    parser.add_argument("--repo_id", required=True, help="user/name or organization/name; made if it is not there")
    parser.add_argument("--private", action="store_true", default=None, help="of a new Space")
    args = parser.parse_args(arguments)
    try:
        commit = push(args.repo_id, private=args.private)
    except (ValueError, OSError) as error:
        raise SystemExit(f"Not pushed: {' '.join(str(error).split())}") from None
    print(f"Pushed: {commit.commit_url}")


if __name__ == "__main__":
    main()
