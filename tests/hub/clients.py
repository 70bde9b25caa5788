"""Processes that use a Hub as people do: each with a home (caches, remote code) of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.running import ROOT, quick_python

from .server import HubServer


PACKAGES = ("modeling_genebert", "hub_datasets", "examples", "benchmarks", "tests")
# A process that has torch, transformers and all else that is installed, but none of these packages, installed or not:
# whatever of GeneBERT runs then comes from the Hub. At its end it is looked whether that is so.
WITHOUT_PACKAGES = f"""
import atexit, os, sys
sys.path[:] = [path for path in sys.path if os.path.realpath(path or ".") != {str(ROOT)!r}]
sys.meta_path[:] = [finder for finder in sys.meta_path if "__editable__" not in getattr(finder, "__module__", "")]
for name in {PACKAGES!r}:
    sys.modules[name] = None

def nothing_came_from_the_checkout(folders={tuple(str(ROOT / name) + os.sep for name in PACKAGES)!r}):
    files = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
    found = [file for file in files if os.path.realpath(file).startswith(folders)]
    if found:
        print("imported from the checkout:", *found, file=sys.stderr, flush=True)
        os._exit(1)

atexit.register(nothing_came_from_the_checkout)
"""
OF_THE_PARENT = ("HF_", "HUGGING", "TRANSFORMERS_", "PYTHONPATH", "PYTEST")


@dataclass
class Hub:
    """The Hub that the tests use.

    Attributes:
        endpoint: its address.
        namespace: user or organization, in which the tests make repositories.
        token: may write there.
        server: the test server itself, to look into; None where the Hub is a real one.
    """

    endpoint: str
    namespace: str
    token: str = field(repr=False)
    server: HubServer | None


@dataclass
class Client:
    """
    Args:
        hub: the Hub that it uses.
        home: its folder, with its caches; also its working directory.
        token: what it has in `HF_TOKEN`; None for nobody.
        variables: more of its environment.
    """

    hub: Hub
    home: Path
    token: str | None
    variables: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        own = {
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "agg",
            **({} if self.token is None else {"HF_TOKEN": self.token}),
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_PARENT)}
        return {**inherited, **own, **self.variables}

    def start(self, *command: str, with_packages: bool) -> subprocess.CompletedProcess[str]:
        self.home.mkdir(parents=True, exist_ok=True)
        environment = self.environment()
        if with_packages:
            environment["PYTHONPATH"] = str(ROOT)
        return subprocess.run(
            [*quick_python(), *command], cwd=self.home, env=environment, capture_output=True, text=True, timeout=900
        )

    def run(self, code: str, *arguments: object, with_packages: bool = False) -> str:
        """Run Python code, by default as one who has never seen this package; returns what it printed."""
        code = code if with_packages else WITHOUT_PACKAGES + code
        return succeeded(self.start("-c", code, *map(str, arguments), with_packages=with_packages))

    def run_example(self, script: str, *arguments: object) -> str:
        """Run one of the examples; returns what it printed."""
        path = str(ROOT / "examples" / script)
        return succeeded(self.start(path, *map(str, arguments), with_packages=True))

    def fail(self, code: str, *arguments: object) -> str:
        """Run Python code that must fail; returns all that it printed."""
        return failed(self.start("-c", WITHOUT_PACKAGES + code, *map(str, arguments), with_packages=False))

    def fail_example(self, script: str, *arguments: object) -> str:
        path = str(ROOT / "examples" / script)
        return failed(self.start(path, *map(str, arguments), with_packages=True))


def succeeded(finished: subprocess.CompletedProcess[str]) -> str:
    if finished.returncode:
        raise AssertionError(
            f"exit status {finished.returncode}\n{finished.stdout[-3000:]}\n{finished.stderr[-6000:]}"
        )
    return finished.stdout


def failed(finished: subprocess.CompletedProcess[str]) -> str:
    assert finished.returncode != 0, f"expected a failure, but:\n{finished.stdout[-3000:]}"
    return finished.stdout + finished.stderr
