"""The on-disk index that joins the pieces of an export, so that memory stays flat however many users there are.

It is SQLite's own temporary database: private to this connection, on disk only as far as it does not fit its cache, and
gone with the process, whatever ends it. Password hashes therefore never lie in a file that somebody could find later.
"""

import sqlite3

CACHE_KIB = 24 * 1024


def open_scratch() -> sqlite3.Connection:
    """An empty scratch database."""
    connection = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    connection.execute("pragma journal_mode = off")
    connection.execute("pragma synchronous = off")
    connection.execute(f"pragma cache_size = -{CACHE_KIB}")
    connection.executescript(
        """
        create table hashes (id text primary key, stored text not null, place text not null, who text not null)
            without rowid;
        create table factors (id text not null, name text not null, content blob not null, place text not null,
            primary key (id, name)) without rowid;
        create table seen (key text primary key, place integer not null) without rowid;
        """
    )
    connection.execute("begin")
    return connection
