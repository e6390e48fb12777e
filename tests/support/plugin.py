"""Skips what this machine cannot run, and says at the end what was not tested and why."""

import gc
from collections.abc import Generator

import pytest
from hypothesis import settings

from freehold.kernel.collector import without_collector
from tests.support.programs import MARKERS

# No test measures time, so that a busy machine finds no bugs that are not there.
settings.register_profile("freehold", deadline=None)
settings.load_profile("freehold")


LONG = frozenset({"faults", "demo", "docs", "ceremony", "sandbox", "clients"})
"""Folders whose files hold few tests that take long."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import and collect without looking for cycles, and do not look for them in what is there from then on."""
    with without_collector():
        collected = yield
    gc.freeze()
    return collected


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests whose marker asks for something that is not here; let files come first that take long."""
    # Whoever gets one of them last would work alone while the others have nothing to do.
    items.sort(key=lambda item: not any(folder in item.path.parts for folder in LONG))
    for marker, need in MARKERS.items():
        asking = [item for item in items if item.get_closest_marker(marker)]
        if asking and need.find() is None:
            for item in asking:
                item.add_marker(pytest.mark.skip(reason=need.missing))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Name every reason for which tests were left out, so that a green run cannot hide them."""
    lines = not_tested(terminalreporter.stats.get("skipped", []), selection=config.option.markexpr)
    if lines:
        terminalreporter.section("not tested", sep="-")
        for line in lines:
            terminalreporter.write_line(line, yellow=True)


def not_tested(skipped: list[pytest.TestReport], *, selection: str) -> list[str]:
    """Return one line for each reason, most tests first."""
    tests: dict[str, int] = {}
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        tests[reason] = tests.get(reason, 0) + 1
    lines = [
        f"NOT TESTED: {count} {'test' if count == 1 else 'tests'}: {reason}"
        for reason, count in sorted(tests.items(), key=lambda entry: -entry[1])
    ]
    if selection:
        lines.append(f'NOT TESTED: what the selection "{selection}" leaves out (make test-all runs everything)')
    return lines
