"""Skipping single tests of transformers' mixins, each with its reason."""

from __future__ import annotations

import unittest
from collections.abc import Callable, Mapping
from fnmatch import fnmatch


def skip_tests(reasons: Mapping[str, str]) -> Callable[[type], type]:
    """
    Class decorator that skips the tests named.

    Args:
        reasons: name of a test, in which `*` stands for anything -> why it is not run. Names that the class has not
            (the mixins differ from release to release) do nothing.
    """

    def skip(test_class: type) -> type:
        tests = [test for test in dir(test_class) if test.startswith("test_") and callable(getattr(test_class, test))]
        for test in tests:
            for name, reason in reasons.items():
                if fnmatch(test, name):
                    setattr(test_class, test, unittest.skip(reason)(getattr(test_class, test)))
        return test_class

    return skip
