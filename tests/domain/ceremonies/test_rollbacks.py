"""Whether this database has the history that a signed head beside it was made for; where not, all stands still."""

from typing import Any

import msgspec
import pytest

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import Administrator
from freehold.domain.audit import TreeHead
from freehold.domain.ceremonies import rollbacks
from tests.support.ceremonies import Hall

pytestmark = pytest.mark.parametrize("database", ["sqlite"], scope="session")


async def last_head(hall: Hall) -> TreeHead:
    return audit.last_heads(hall.witness_file)[hall.tenant.id]


async def look(hall: Hall, head: TreeHead) -> bool:
    async with hall.store.transaction() as tx:
        return await rollbacks.look(tx, hall.tenant, head)


async def test_the_last_head_of_the_file_is_in_the_database(hall: Hall, ada: Administrator) -> None:
    await hall.draft(ada)
    head = await last_head(hall)
    latest = await audit.latest_head(hall.store, hall.tenant)
    assert head == latest
    assert await look(hall, head)
    await hall.draft(ada)
    assert await look(hall, head), "an earlier one is there as well"


@pytest.mark.parametrize("what", ["later", "other"])
async def test_a_head_of_another_history_stops_everything_until_it_is_accepted(
    hall: Hall, ada: Administrator, what: str
) -> None:
    await hall.draft(ada)
    head = await last_head(hall)
    changes: dict[str, Any] = {"size": head.size + 7} if what == "later" else {"root": "00" * 32}
    assert not await look(hall, msgspec.structs.replace(head, **changes))
    assert not await look(hall, head), "seen once is enough"
    with pytest.raises(rollbacks.RolledBack):
        await hall.draft(ada)
    assert not await ceremonies.confirm_clock(hall.store, hall.tenant)
    with pytest.raises(rollbacks.RolledBack):
        await hall.draft(ada)
    told = [entry.action for entry in await audit.latest_entries(hall.store, hall.tenant, limit=10)]
    assert told.count("ceremony.rolled_back") == 1
    assert told.count("ceremony.refused") == 2
    hall.witness_file.unlink()

    assert await rollbacks.accept(hall.store, hall.tenant)
    assert not await rollbacks.accept(hall.store, hall.tenant)
    assert (await hall.draft(ada)).state == "draft"
    assert await look(hall, await last_head(hall))
    assert await hall.log_is_whole()
