"""The machine's limits, timed beside each round: what an operation cannot cost less than."""

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import asyncpg
import bcrypt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench.load import cpu_seconds_with_children

# What the machine takes on which the targets were set.
RSA_US = 260.0
BCRYPT_MS = 59.5
BARE_US = 12.0

COST = 10
BATCH = 2000
_DOCUMENT_FILLER = "x" * 380


@dataclass
class Limits:
    """What this machine takes at this moment, and how figures translate to the machine of the targets."""

    rsa_us: float
    bcrypt_ms: float
    bare_us: float | None = None
    """An HTTP answer of prepared bytes."""

    @classmethod
    def measure(cls) -> "Limits":
        """Time the two that need no server."""
        return cls(rsa_sign_us(), bcrypt_ms())

    def request_at_target(self, cpu_us: float, signatures: int) -> float:
        """Signatures at their own speed, and the rest at that of the nearest in kind: the bare HTTP answer."""
        assert self.bare_us is not None
        return signatures * RSA_US + max(0.0, cpu_us - signatures * self.rsa_us) * BARE_US / self.bare_us

    @property
    def speed(self) -> float:
        """How fast this machine computes, by bcrypt, against that of the targets."""
        return BCRYPT_MS / self.bcrypt_ms


def rsa_sign_us(rounds: int = 200) -> float:
    """CPU microseconds of one RSA-2048 signature (RS256)."""
    key, data = _key(), b"x" * 400
    key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    began = time.process_time()
    for _ in range(rounds):
        key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return (time.process_time() - began) / rounds * 1e6


def bcrypt_ms(rounds: int = 3) -> float:
    """CPU milliseconds of one bcrypt check of cost 10 with the published library."""
    hashed = _hash()
    began = time.process_time()
    for _ in range(rounds):
        bcrypt.checkpw(b"password", hashed)
    return (time.process_time() - began) / rounds * 1e3


def sqlite_inserts_per_s(folder: Path, rows: int) -> float:
    """Rows of 500 bytes per CPU second into SQLite with a primary key and a unique index, in batches of 2,000."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma cache_size = -131072")
    connection.execute("create table users (tenant text, id text, email text, document text, primary key (tenant, id))")
    connection.execute("create unique index users_email on users (tenant, email)")
    spent = 0.0
    for batch in _batches(rows):
        began = time.process_time()
        connection.execute("begin")
        connection.executemany("insert into users values (?, ?, ?, ?)", batch)
        connection.execute("commit")
        spent += time.process_time() - began
    connection.close()
    (folder / "raw.db").unlink()
    return rows / spent


def postgresql_inserts_per_s(url: str, pid: int, rows: int) -> float:
    """The same by COPY into PostgreSQL, whose CPU time is counted with ours."""

    async def run() -> float:
        connection = await asyncpg.connect(url)
        await connection.execute(
            "create table raw_users (tenant text, id text, email text, document text, primary key (tenant, id))"
        )
        await connection.execute("create unique index on raw_users (tenant, email)")
        spent, before = 0.0, cpu_seconds_with_children(pid)
        for batch in _batches(rows):
            began = time.process_time()
            await connection.copy_records_to_table("raw_users", records=batch)
            spent += time.process_time() - began
        spent += cpu_seconds_with_children(pid) - before
        await connection.execute("drop table raw_users")
        await connection.close()
        return rows / spent

    return asyncio.run(run())


def _batches(rows: int) -> Iterator[list[tuple[str, str, str, str]]]:
    for start in range(0, rows, BATCH):
        yield [
            (
                "t", f"auth0|{n:024x}", f"user{n}@example.com",
                json.dumps({"email": f"user{n}@example.com", "f": _DOCUMENT_FILLER}),
            )
            for n in range(start, min(start + BATCH, rows))
        ]  # fmt: skip


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@cache
def _hash() -> bytes:
    return bcrypt.hashpw(b"password", bcrypt.gensalt(COST))
