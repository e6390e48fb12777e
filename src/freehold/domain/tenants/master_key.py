"""Putting every wrapped key under the newest master key, after a new one was added to the file.

A wrapped key changes by compare-and-set, row by row in one transaction for each table: whatever is interrupted has
happened for a table or has not, every key in the file still opens, and doing it again finishes it.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from freehold.kernel.crypto.sealing import Keyring
from freehold.kernel.store import Reader, Store


class WrappedKeys(msgspec.Struct, frozen=True):
    """A table whose column `wrapped` holds keys under the master key. `context` is what a row's key is wrapped for."""

    table: str
    key: tuple[str, ...]
    context: Callable[..., str]


DATA_KEYS = WrappedKeys("data_keys", ("tenant_id",), lambda _tenant_id: "")


async def count_outdated(reader: Reader, keyring: Keyring, tables: Sequence[WrappedKeys]) -> int:
    """How many keys an older master key wraps."""
    return sum([len(await _outdated(reader, keyring, wrapped)) for wrapped in tables])


async def rewrap(store: Store, keyring: Keyring, tables: Sequence[WrappedKeys]) -> int:
    """Wrap every key anew that an older master key wraps; how many there were. Raises CannotOpen."""
    done = 0
    for wrapped in tables:
        places = " and ".join(f"{name} = :{name}" for name in wrapped.key)
        update = f"update {wrapped.table} set wrapped = :new where {places} and wrapped = :old"  # noqa: S608 - declared
        async with store.transaction(limit_s=None) as tx:
            for row in await _outdated(tx, keyring, wrapped):
                where, old = dict(zip(wrapped.key, row, strict=False)), bytes(row[-1])
                context = wrapped.context(*row[:-1])
                new = keyring.wrap(keyring.unwrap(old, context=context), context=context)
                done += await tx.run(update, new=new, old=old, **where)
    return done


async def _outdated(reader: Reader, keyring: Keyring, wrapped: WrappedKeys) -> list[tuple[Any, ...]]:
    columns = ", ".join((*wrapped.key, "wrapped"))
    rows = await reader.all(f"select {columns} from {wrapped.table} order by {columns}")  # noqa: S608 - declared
    # What was destroyed is zeros, and wraps nothing.
    return [tuple(row) for row in rows if any(row[-1]) and keyring.needs_rewrap(bytes(row[-1]))]
