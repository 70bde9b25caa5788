"""
Get transformers' own common tests and run them on GeneBERT.

    python -m tests.transformers_common [--skip_if_offline] [pytest arguments]

Exit code: pytest's own; 75 where the tests could not be downloaded, or 0 with `--skip_if_offline`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .source import get_tests


NOT_DOWNLOADED = 75  # EX_TEMPFAIL: pytest uses 0 to 5


def main(arguments: list[str]) -> int:
    skip_if_offline = "--skip_if_offline" in arguments
    arguments = [argument for argument in arguments if argument != "--skip_if_offline"]
    try:
        folder = get_tests()
    except OSError as error:
        print(f"transformers' common tests were NOT run: {error}", file=sys.stderr)
        return 0 if skip_if_offline else NOT_DOWNLOADED
    print(f"transformers' common tests: {folder}")
    # Test files named in the arguments take the place of the whole folder.
    named = any(Path(argument.split("::")[0]).exists() for argument in arguments)
    return int(pytest.main(arguments if named else [str(Path(__file__).parent), *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
