"""Shared settings of the tests."""

import inspect
import os
from collections.abc import Generator

import pytest
from hypothesis import settings

# A kernel's first call compiles it, which no per-example deadline survives.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(autouse=True, scope="session")
def _own_store(tmp_path_factory: pytest.TempPathFactory) -> Generator[None, None, None]:
    """Results of the tests' commands stay out of the user's folder of caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENTROPIC_STORE", str(tmp_path_factory.mktemp("store")))
        yield


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """With all extras installed (make test-all) a module skipped for a missing one is a failure."""
    report = yield
    if report.outcome == "skipped" and os.environ.get("ENTROPIC_ALL_EXTRAS"):
        report.outcome = "failed"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that a missing extra skips, which make test-all runs again."""
    for item in items:
        module = getattr(item, "module", None)
        if module and "importorskip(" in inspect.getsource(module):
            item.add_marker("extras")
