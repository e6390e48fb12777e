"""A private PostgreSQL server that makes commits durable, as a real one does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.databases import PrivateServer, create_database, with_database
from tests.support.programs import find_postgres


@dataclass(frozen=True)
class Running:
    """A running server."""

    url: str
    pid: int


@contextmanager
def private_server() -> Iterator[Running]:
    """A server in a temporary folder; its first process has all others as children."""
    programs = find_postgres()
    assert programs is not None
    with PrivateServer(programs, durable=True) as server:
        yield Running(server.url, server.pid)


def database(server: Running) -> str:
    """The URL of a new, empty database."""
    return with_database(server.url, create_database(server.url))
