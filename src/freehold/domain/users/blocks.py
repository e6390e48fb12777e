"""`/user-blocks`: which users brute-force protection keeps out, and letting them in again.

By an identifier it is asked about every user who goes by it, whatever the connection, and about nobody's tries as well:
protection does not tell the two apart.
"""

from collections.abc import Iterable
from typing import Any

from freehold.domain.protection import blocks_of, unblock
from freehold.domain.users.databases import find_database
from freehold.domain.users.documents import USERS
from freehold.domain.users.identifiers import canonical_email, canonical_username
from freehold.domain.users.profiles import find_profile, read_profile
from freehold.domain.users.sign_in import SignIn, attempt_subject
from freehold.kernel.declare import Operation, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.errors import BadRequest, Forbidden
from freehold.kernel.search.paging import read_boolean

_NAMED = """select id, document from users where tenant_id = :tenant_id
and (ix_email = :email or ix_username = :username or ix_phone_number = :typed)"""


async def of_identifier(call: Call) -> dict[str, Any]:
    """GET user-blocks."""
    return await _shown(call, await _subjects_of(call, _identifier(call)))


async def of_user(call: Call) -> dict[str, Any]:
    """GET user-blocks/{id}. Raises NotFound."""
    return await _shown(call, [await _subject_of(call)])


async def unblock_identifier(call: Call) -> None:
    """DELETE user-blocks."""
    for subject in await _subjects_of(call, _identifier(call)):
        await unblock(call.tx, call.tenant, subject)


async def unblock_user(call: Call) -> None:
    """DELETE user-blocks/{id}. Raises NotFound."""
    await unblock(call.tx, call.tenant, await _subject_of(call))


async def _shown(call: Call, subjects: Iterable[str]) -> dict[str, Any]:
    """The blocks; with `consider_brute_force_enablement` only where protection is still on."""
    only_guarded = read_boolean(call.query, "consider_brute_force_enablement", default=False)
    blocked = []
    for subject in subjects:
        for block in await blocks_of(call.reader, call.tenant, subject):
            if only_guarded:
                database = await find_database(call.store, call.tenant, block.connection)
                if database is None or not database.is_guarded:
                    continue
            blocked.append({"identifier": block.subject, "ip": block.ip, "connection": block.connection})
    return {"blocked_for": blocked}


async def _subjects_of(call: Call, identifier: str) -> list[str]:
    typed = identifier.strip()
    rows = await call.reader.all(
        _NAMED, tenant_id=call.tenant.id, email=canonical_email(typed), username=canonical_username(typed), typed=typed
    )
    users = [attempt_subject(SignIn(read_profile(document), id_), typed) for id_, document in rows]
    return list(dict.fromkeys([attempt_subject(None, typed), *users]))


async def _subject_of(call: Call) -> str:
    user_id = call.params["id"]
    if call.actor.kind == "user" and call.actor.id != user_id:
        raise Forbidden("User to be acted on does not match subject in bearer token.", code="insufficient_scope")
    user = await find_profile(call.reader, call.tenant, user_id)
    if user is None:
        raise documents.missing(USERS)
    return attempt_subject(SignIn(user, user_id), "")


def _identifier(call: Call) -> str:
    identifier = call.query("identifier")
    if not identifier:
        raise BadRequest(
            "Query validation error: 'Missing required property: identifier'.", code="invalid_query_string"
        )  # fmt: skip
    return identifier


OPERATIONS = (
    Operation(
        method="GET", path="user-blocks", scopes=("read:users",), handler=of_identifier,
        name="user_blocks.list_by_identifier",
    ),
    Operation(
        method="DELETE", path="user-blocks", scopes=("update:users",), handler=unblock_identifier, status=204,
        name="user_blocks.delete_by_identifier", audit="Unblock a user",
    ),
    Operation(method="GET", path="user-blocks/{id}", scopes=("read:users",), handler=of_user, name="user_blocks.list"),
    Operation(
        method="DELETE", path="user-blocks/{id}", scopes=("update:users",), handler=unblock_user, status=204,
        name="user_blocks.delete", audit="Unblock a user",
    ),
)  # fmt: skip
