"""The folder in which a set grows beside its final place, and from which a build that was killed goes on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..files import sync_folder, written_whole


_PLAN = "plan.json"
_LOCK = "lock"
_NOTE = "READ_ME.txt"


class WorkFolder:
    """`.NAME.partial` beside the folder NAME that is to be built.

    Args:
        output_dir: the folder NAME.

    Attributes:
        path: the work folder.
        set_folder: the folder in it that becomes `output_dir` in the end.
    """

    def __init__(self, output_dir: Path):
        self.output_dir = output_dir
        self.path = output_dir.with_name(f".{output_dir.name}.partial")
        self.set_folder = self.path / "set"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Make the folder and keep other builds out of it; the system frees the lock of a process that is killed.

        Raises:
            OSError: it cannot be made.
            ValueError: another process works in it.
        """
        lock = FileLock(self.path / _LOCK, timeout=0)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except Timeout:
            raise ValueError(
                f"{self.output_dir}: is being built by another process; wait for it, or give another output_dir"
            ) from None
        except OSError as error:
            raise OSError(
                error.errno, f"{self.path}: cannot be written ({error.strerror}); give another output_dir"
            ) from error
        try:
            yield
        finally:
            with suppress(OSError):
                if [file.name for file in self.path.iterdir()] == [_LOCK]:
                    Path(self.path, _LOCK).unlink()
            lock.release()
            with suppress(OSError):  # it is not empty
                self.path.rmdir()

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Note what the work is. The folder counts as begun from here on."""
        note = (
            f"An unfinished build of {self.output_dir.name}. Start the same build again, and it goes on from what is\n"
            "here; or delete this folder to give it up.\n"
        )
        (self.path / _NOTE).write_text(note, encoding="utf-8")
        with written_whole(self.path / _PLAN) as stream:
            stream.write(json.dumps(plan, indent=2).encode())

    def read_plan(self) -> dict[str, Any] | None:
        """What `write_plan` was given; None where no work has begun."""
        with suppress(FileNotFoundError):
            return json.loads((self.path / _PLAN).read_text(encoding="utf-8"))
        return None

    def remove_partial_files(self) -> None:
        """Remove the half-written files that killed processes left in the set."""
        for file in [*self.set_folder.glob(".*"), *self.set_folder.glob("*/.*")]:
            file.unlink(missing_ok=True)

    def move_into_place(self) -> None:
        """Let the finished set take the place of `output_dir`, and clean up."""
        self.remove_partial_files()
        if self.output_dir.exists():
            self.output_dir.rename(self.path / "replaced")
        self.set_folder.rename(self.output_dir)
        sync_folder(self.output_dir.parent)
        self.clear()

    def remove_if_finished(self) -> None:
        """Clean up after a build that was killed when its set was already in place."""
        if self.path.exists() and not self.set_folder.exists():
            with suppress(OSError, ValueError), self.locked():
                self.clear()

    def clear(self) -> None:
        """Remove all but the lock. The plan goes first: without it, what is left counts for nothing."""
        (self.path / _PLAN).unlink(missing_ok=True)
        for file in self.path.iterdir():
            if file.is_dir():
                shutil.rmtree(file)
            elif file.name != _LOCK:
                file.unlink()
