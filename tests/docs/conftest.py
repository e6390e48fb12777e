"""Fixtures of documentation tests."""

from collections.abc import Iterator

import pytest

from tests.support.databases import create_database, drop_database, with_database


@pytest.fixture
def own_postgresql_database(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of this test's own."""
    name = create_database(postgresql_server)
    yield with_database(postgresql_server, name)
    drop_database(postgresql_server, name)
