from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from hub_datasets.command_line import one_line_errors


@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (ValueError("a.csv:3: found 'x'\n\n  expected a number"), "error: a.csv:3: found 'x' expected a number"),
        (FileNotFoundError("a.csv: no such file"), "error: a.csv: no such file"),
        (ImportError("peft is needed"), "error: peft is needed"),
        (KeyboardInterrupt(), 130),
    ],
)
def test_how_commands_end(raised, code):
    with pytest.raises(SystemExit) as ended, one_line_errors():
        raise raised
    assert ended.value.code == code


def test_what_is_no_bad_input_keeps_its_traceback(monkeypatch):
    with pytest.raises(TypeError), one_line_errors():
        raise TypeError
    monkeypatch.setattr(sys, "flags", SimpleNamespace(dev_mode=True))
    with pytest.raises(ValueError), one_line_errors():
        raise ValueError
