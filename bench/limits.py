"""The machine's limits, timed beside each round: what an operation cannot cost less than."""

import json
import sqlite3
import time
from pathlib import Path

import bcrypt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa


def rsa_sign_us(rounds: int = 400) -> float:
    """CPU microseconds of one RSA-2048 signature (RS256)."""
    key = rsa.generate_private_key(65537, 2048)
    data = b"x" * 400
    key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    began = time.process_time()
    for _ in range(rounds):
        key.sign(data, padding.PKCS1v15(), hashes.SHA256())
    return (time.process_time() - began) / rounds * 1e6


def bcrypt_ms(rounds: int = 4, cost: int = 10) -> float:
    """CPU milliseconds of one bcrypt check with the published library."""
    hashed = bcrypt.hashpw(b"password", bcrypt.gensalt(cost))
    began = time.process_time()
    for _ in range(rounds):
        bcrypt.checkpw(b"password", hashed)
    return (time.process_time() - began) / rounds * 1e3


def raw_insert_per_s(folder: Path, rows: int = 100_000) -> float:
    """Rows of 500 bytes per CPU second into SQLite with a primary key and a unique index, in batches of 2,000."""
    connection = sqlite3.connect(folder / "raw.db", isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma cache_size = -131072")
    connection.execute("create table users (tenant text, id text, email text, document text, primary key (tenant, id))")
    connection.execute("create unique index users_email on users (tenant, email)")
    filler = "x" * 380
    values = [
        ("t", f"auth0|{n:024x}", f"user{n}@example.com", json.dumps({"email": f"user{n}@example.com", "f": filler}))
        for n in range(rows)
    ]
    began = time.process_time()
    for start in range(0, rows, 2000):
        connection.execute("begin")
        connection.executemany("insert into users values (?, ?, ?, ?)", values[start : start + 2000])
        connection.execute("commit")
    spent = time.process_time() - began
    connection.close()
    return rows / spent
