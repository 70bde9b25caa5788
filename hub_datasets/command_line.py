"""What the builders' commands share: how they end."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any


def run_build(build: Callable[..., Any], parser: ArgumentParser, arguments: list[str] | None) -> None:
    """Call `build` with what `parser` reads; bad input ends it with one line and status 1, Ctrl-C with 130."""
    try:
        build(**vars(parser.parse_args(arguments)))
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell has it for a command that Ctrl-C ended
