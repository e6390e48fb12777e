"""Fixtures and reporting that every test may use."""

from tests.support.gnupg_homes import end_agents

pytest_plugins = [
    "pytester",
    "tests.support.configuration",
    "tests.support.databases",
    "tests.support.full_disk",
    "tests.support.mariadb",
    "tests.support.plugin",
    "tests.support.browser",
    "tests.support.node",
    "tests.support.server",
    "tests.support.in_process",
    "tests.support.people",
    "tests.support.signing_keys",
]


def pytest_sessionfinish() -> None:
    """Leave no process behind."""
    end_agents()
