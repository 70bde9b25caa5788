"""What commands share: how they end."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Bad input ends a command with one line and status 1, Ctrl-C with 130. `python -X dev` shows the traceback."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        if sys.flags.dev_mode:
            raise
        sys.exit(f"error: {' '.join(str(error).split())}")
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell has it for a command that Ctrl-C ended


def run_build(build: Callable[..., Any], parser: ArgumentParser, arguments: list[str] | None) -> None:
    """Call `build` with what `parser` reads."""
    with one_line_errors():
        build(**vars(parser.parse_args(arguments)))
