"""Password hashes by ranges: whatever the ranges and whoever the owners are, the lines are those of one at a time."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store, Transaction
from freehold.surfaces.ceremony.build import formats, hashes
from freehold.surfaces.ceremony.build.hashes import HashReader
from freehold.surfaces.transfer.sealed import vault_line

MAIN, OTHER = "Username-Password-Authentication", "second"
BCRYPT = ["$2b$10$" + letter * 53 for letter in "abcdefghijklmnopqrstuvwxyz"]
ARGON = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHRzb21l$" + "A" * 43
_USER = """
insert into users (tenant_id, id, version, created_at, updated_at, document)
values (:tenant_id, :id, 1, 0, 0, :document)
"""
_LINK = "insert into linked_identities (tenant_id, identity, user_id, realm) values (:tenant_id, :id, :user_id, 'x')"


def oid(number: int) -> str:
    return f"auth0|{number:024x}"


class Crowd:
    """Users and hashes, and the lines that are to come of them."""

    def __init__(self, tenant: TenantScope, tx: Transaction) -> None:
        self.tenant, self._tx = tenant, tx
        self.hashes: list[bytes] = []
        self.others: list[bytes] = []
        self.sealed_part: list[bytes] = []

    async def user(self, owner: str, *, connection: str = MAIN, linked: str = "", **members: Any) -> formats.Person:
        identities = [{"connection": connection, "provider": "auth0", "user_id": owner.partition("|")[2]}]
        if linked:
            profile = {"email": f"{linked[-3:]}@linked.example"}
            identity = {"connection": OTHER, "provider": "auth0", "user_id": linked.partition("|")[2]}
            identities.append({**identity, "profileData": profile})  # type: ignore[dict-item]
        document = {"user_id": owner, "email": f"{owner[-3:]}@example.com", "email_verified": owner.endswith("1")}
        document |= {
            "user_metadata": {"email": "x"},
            "identities": identities,
            "created_at": "2024-01-01T00:00:00.000Z",
        }
        text = msgspec.json.encode({**document, **members}).decode()
        await self._tx.run(_USER, tenant_id=self.tenant.id, id=owner, document=text)
        if linked:
            await self._tx.run(_LINK, tenant_id=self.tenant.id, id=linked, user_id=owner)
        return formats.read_person(text)

    async def values(self, owner: str, values: dict[str, str], person: formats.Person | None) -> None:
        for name, stored in sorted(values.items()):
            await vault.put(self._tx, self.tenant, hashes.KIND, owner, stored.encode(), name=name)
            self.sealed_part.append(vault_line(owner, name, stored.encode()))
        if person is None:
            return
        stored = values["imported"] if "imported" in values else values[""]
        connection = person.identities[0].connection
        line = formats.hash_line(owner, stored, person, connection=connection, tenant=self.tenant.name)
        text = msgspec.json.encode(line) + b"\n"
        (self.others if line.password_hash is msgspec.UNSET else self.hashes).append(text)


@pytest.fixture
async def crowd(store: Store, tenant: TenantScope) -> Crowd:
    """Owners come in the order of their ids."""
    async with store.transaction() as tx:
        await tx.run("delete from vault where kind = :kind", kind=hashes.KIND)
        made = Crowd(tenant, tx)
        await _fill(made)
    return made


async def _fill(made: Crowd) -> None:
    await made.values("admin|adm_1", {"": BCRYPT[0]}, None)
    for number in range(12):
        await made.values(oid(number), {"imported": BCRYPT[number]}, await made.user(oid(number)))
    many = {"": BCRYPT[1], "history/1": BCRYPT[2], "history/2": BCRYPT[3], "history/3": BCRYPT[4]}
    await made.values(oid(12), many, await made.user(oid(12)))
    await made.values(oid(13), {"": BCRYPT[5], "imported": BCRYPT[6]}, await made.user(oid(13)))
    await made.values(oid(14), {"": ARGON}, await made.user(oid(14)))
    await made.values(oid(15), {"": BCRYPT[7]}, await made.user(oid(15), username="ada", connection=OTHER))
    for number in range(16, 50):
        await made.user(oid(number))  # without a password
    await made.values(oid(50), {"": BCRYPT[8]}, await made.user(oid(50), email='o"dd@example.com'))
    first = await made.user(oid(51), linked=oid(53))
    await made.values(oid(51), {"": BCRYPT[9]}, first)
    await made.values(oid(52), {"": BCRYPT[10]}, None)  # whose user is gone
    await made.values(oid(53), {"": BCRYPT[11]}, first.as_linked(first.identities[1]))
    await made.values("auth0|named", {"": BCRYPT[12]}, await made.user("auth0|named"))


async def read(store: Store, crowd: Crowd, connections: Sequence[str] = ()) -> tuple[list[bytes], list[hashes.Counted]]:
    texts, counted = [b"", b"", b""], []
    async with store.snapshot() as snapshot:
        reader = HashReader(snapshot, crowd.tenant, connections)
        after: str | None = ""
        while after is not None:
            values = await reader.fetch(after)
            produced = await reader.produce(values)
            counted.append(produced.counted)
            texts = [text + bytes(more) for text, more in zip(texts, produced[1:], strict=True)]
            after = values.end
    return texts, counted


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_the_lines_are_the_same_whatever_the_ranges(
    store: Store, crowd: Crowd, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "RANGE_VALUES", size)
    texts, counted = await read(store, crowd)
    assert texts == [b"".join(lines) for lines in (crowd.hashes, crowd.others, crowd.sealed_part)]
    assert sum(one.hashes for one in counted) == len(crowd.hashes)
    assert sum(one.others for one in counted) == len(crowd.others) == 1
    assert sum(one.sealed_part for one in counted) == len(crowd.sealed_part)
    assert sum(one.without_user for one in counted) == 1
    by_connection = [sum(one.by_connection.get(name, 0) for one in counted) for name in (MAIN, OTHER)]
    assert by_connection == [len(crowd.hashes) + 1 - 2, 2]


@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_chosen_connections_get_their_users_alone(
    store: Store, crowd: Crowd, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashes, "RANGE_VALUES", size)
    (lines, others, sealed_part), counted = await read(store, crowd, [OTHER])
    owners = [msgspec.json.decode(line)["owner"] for line in sealed_part.splitlines()]
    assert owners == [oid(15), oid(51), oid(53)]
    assert lines.count(b"\n") == 3
    assert others == b""
    assert sum(one.left_out for one in counted) == len(crowd.sealed_part) - 3
