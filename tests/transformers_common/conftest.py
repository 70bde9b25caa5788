"""The common tests run only where their folder or a file of it is named, so that plain `pytest` needs no network."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from .source import tests_folder


collect_ignore = ["transformers_tests"]  # stand-ins and transformers' own files: imported, not collected
# The marks of transformers' test suite.
MARKS = (
    *("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "generate", "order", "slow"),
    *("torch_compile_test", "torch_export_test", "is_agent_test", "is_expert_parallel_test", "is_fsdp_test"),
    *("is_pipeline_test", "is_staging_test", "is_tensor_parallel_test", "is_training_test", "run_first"),
)


def is_asked_for(config: pytest.Config) -> bool:
    return any("transformers_common" in str(argument) for argument in config.args)


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", f"{mark}: a mark of transformers' own tests")
    if is_asked_for(config) and not tests_folder().is_dir():
        raise pytest.UsageError(f"{tests_folder()} does not exist: run python -m tests.transformers_common once")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return None if is_asked_for(config) else True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Counts per class, and every test that was skipped with its reason."""
    if not is_asked_for(config):
        terminalreporter.write_line("transformers' common tests: not run; python -m tests.transformers_common does")
        return
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    skipped: dict[str, dict[str, None]] = defaultdict(dict)
    for outcome in ("passed", "skipped", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            *_, test_class, test = report.nodeid.split("::")
            if type(report) is pytest.TestReport:  # not a sub-test
                counts[test_class][outcome] += 1
            if outcome == "skipped":
                skipped[report.longrepr[2].removeprefix("Skipped: ")][test] = None
    terminalreporter.section("transformers' common tests")
    for test_class, count in sorted(counts.items()):
        line = f"{test_class}: {count['passed']} passed, {count['skipped']} skipped, {count['failed']} failed"
        terminalreporter.write_line(line)
    for reason, tests in sorted(skipped.items()):
        terminalreporter.write_line(f"skipped, {reason}: {', '.join(tests)}")
