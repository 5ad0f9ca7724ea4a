"""Shared settings of the tests."""

import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# A kernel's first call compiles it, which no per-example deadline survives.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With all extras installed (make test-all) a module skipped for a missing one is a failure."""
    report = yield
    if report.outcome == "skipped" and os.environ.get("ENTROPIC_ALL_EXTRAS"):
        report.outcome = "failed"
    return report
