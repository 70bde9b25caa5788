from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest
import torch

from benchmarks import report
from benchmarks.report import describe_commit, describe_machine, time_in_turns, write_report


KEYS = ["name", "figures", "settings", "machine", "date", "commit"]


def test_the_last_line_is_the_report_and_the_file_holds_it(tmp_path, capsys):
    found = write_report("speed", {"rate": np.float32(1.5), "count": 3}, {"kmer": 6}, tmp_path / "results")
    assert list(found) == KEYS
    assert found["figures"] == {"rate": 1.5, "count": 3}
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == found
    assert json.loads((tmp_path / "results" / "speed.json").read_text()) == found
    assert [path.name for path in (tmp_path / "results").iterdir()] == ["speed.json"]
    assert found["date"].endswith("+00:00")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_is_a_finite_number(tmp_path, value):
    write_report("speed", {"rate": 1.0}, {}, tmp_path)
    with pytest.raises(ValueError, match="figure rate is .*, expected a finite number"):
        write_report("speed", {"rate": value}, {}, tmp_path)
    assert json.loads((tmp_path / "speed.json").read_text())["figures"] == {"rate": 1.0}


def test_an_interrupted_write_leaves_the_old_report(tmp_path, monkeypatch):
    write_report("speed", {"rate": 1.0}, {}, tmp_path)

    def no_space(*args):
        raise OSError("no space left")

    monkeypatch.setattr(report.Path, "replace", no_space)
    with pytest.raises(OSError, match="no space left"):
        write_report("speed", {"rate": 2.0}, {}, tmp_path)
    assert json.loads((tmp_path / "speed.json").read_text())["figures"] == {"rate": 1.0}


def test_the_machine_is_described():
    machine = describe_machine()
    assert machine["cpu"] and machine["cores"] >= machine["cores_used"] >= 1
    assert machine["torch_threads"] == torch.get_num_threads()
    assert torch.__version__.startswith(machine["torch"])  # which may lack the build, as in +cu124
    assert machine["numpy"] == np.__version__


def test_commit(tmp_path):
    assert describe_commit(tmp_path) == "unknown"
    identity = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    (tmp_path / "file.py").write_text("1\n")
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    commit = describe_commit(tmp_path)
    assert len(commit) == 40
    (tmp_path / "benchmarks" / "results").mkdir(parents=True)
    (tmp_path / "benchmarks" / "results" / "speed.json").write_text("{}\n")
    assert describe_commit(tmp_path) == commit
    (tmp_path / "file.py").write_text("2\n")
    assert describe_commit(tmp_path) == f"{commit}-dirty"


def test_runs_take_turns():
    order, ticks = [], iter(range(100))
    runs = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = time_in_turns(runs, repeats=2, warm_up=1, clock=lambda: next(ticks))
    assert order == ["a", "b"] * 3
    assert seconds == {"a": [1, 1], "b": [1, 1]}
