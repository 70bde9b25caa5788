"""A process forked from one that has torch already is what `python` would have started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from .running import quick_python


SHOW = "import os, sys; print(__name__, sys.argv, os.getcwd(), sys.path[0], os.environ['ONLY'], 'PATH' in os.environ, "
SHOW += "sys.stdin.read())"


def python(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*quick_python(), *arguments], capture_output=True, text=True, **options)


@pytest.mark.parametrize("how", ["code", "script", "module"])
def test_it_has_what_it_was_given(how, tmp_path):
    (tmp_path / "show.py").write_text(SHOW)
    words = {"code": ["-c", SHOW], "script": ["show.py"], "module": ["-m", "show"]}[how]
    name = {"code": "-c", "script": "show.py", "module": str(tmp_path / "show.py")}[how]
    path = {"code": "", "script": str(tmp_path), "module": str(tmp_path)}[how]
    done = python(*words, "a", "b c", cwd=tmp_path, env={"ONLY": "this"}, input="typed")
    assert done.stdout == f"__main__ {[name, 'a', 'b c']} {tmp_path} {path} this False typed\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_status_and_error():
    assert python("-c", "raise SystemExit(3)").returncode == 3
    done = python("-c", "1 / 0")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert python("-c", "import os; os.kill(os.getpid(), 9)").returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 7), (signal.SIGINT, -signal.SIGINT), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_signals_reach_it(number, status):
    code = "import os, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))"
    code += "; print(os.getpid(), flush=True); time.sleep(600)"
    process = subprocess.Popen([*quick_python(), "-c", code], stdout=subprocess.PIPE, text=True)
    forked = int(process.stdout.readline())
    process.send_signal(number)
    assert process.stdout.read() == ""  # it holds the other end until it ends
    assert process.wait(10) == status
    until = time.monotonic() + 10  # whoever waited for it has to see its end, too
    while is_there(forked):
        assert time.monotonic() < until
        time.sleep(0.01)


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_reads_the_hubs_variables_and_not_the_path_of_the_tests(tmp_path):
    code = "import huggingface_hub.constants as hub, sys; print(hub.HF_HOME, 'tests' in sys.modules, sys.path[1])"
    environment = {**os.environ, "HF_HOME": str(tmp_path), "PYTHONPATH": "/somewhere"}
    assert python("-c", code, env=environment).stdout == f"{tmp_path} False /somewhere\n"
    assert quick_python()[0] == sys.executable
