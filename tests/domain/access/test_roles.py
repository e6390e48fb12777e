"""Roles and consents."""

import pytest

from freehold.domain.access import CONSENTS, ROLE_USERS, ROLES, consented_scopes, record_consent
from freehold.domain.access.roles import delete_role, revoke_consents_of_user
from freehold.domain.applications import CLIENTS
from freehold.kernel.declare import documents, relations
from freehold.kernel.errors import BadRequest, Conflict, NotFound
from tests.support.configuration import Configured


async def test_a_role_has_a_name_of_its_own(configured: Configured) -> None:
    made = await configured.create(ROLES, {"name": "admin"})

    assert made == {"id": made["id"], "name": "admin", "description": "", "type": "tenant"}
    with pytest.raises(Conflict, match=r"The role already exists\."):
        await configured.create(ROLES, {"name": "admin"})


async def test_deleting_a_role_answers_an_object_and_once_only(configured: Configured) -> None:
    """Recorded: 200 with `{}`, then 404 without errorCode."""
    made = await configured.create(ROLES, {"name": "admin"})
    user = await configured.user("ada")
    async with configured.store.transaction() as tx:
        await relations.relate(tx, configured.tenant, ROLE_USERS, [(made["id"], user)])

    assert await configured.call(delete_role, params={"id": made["id"]}) == {}
    with pytest.raises(NotFound) as missing:
        await configured.call(delete_role, params={"id": made["id"]})
    assert missing.value.code == ""
    assert await configured.store.all("select * from role_users") == []


async def test_consent_adds_up_and_is_revoked_by_user(configured: Configured) -> None:
    client = await configured.create(CLIENTS, {"name": "app"})
    user = await configured.user("ada")
    about = {"user_id": user, "client_id": client["client_id"], "audience": "https://api.example.com/"}
    for scopes in ({"read"}, {"write"}):
        async with configured.store.transaction() as tx:
            await record_consent(tx, configured.tenant, **about, scopes=scopes)
    assert await consented_scopes(configured.store, configured.tenant, **about) == {"read", "write"}

    await configured.call(revoke_consents_of_user, queries={"user_id": user})

    assert await consented_scopes(configured.store, configured.tenant, **about) is None


async def test_revoking_needs_to_know_whose(configured: Configured) -> None:
    with pytest.raises(BadRequest, match="user_id"):
        await configured.call(revoke_consents_of_user)


async def test_a_consent_goes_with_its_client(configured: Configured) -> None:
    client = await configured.create(CLIENTS, {"name": "app"})
    user = await configured.user("ada")
    async with configured.store.transaction() as tx:
        await record_consent(
            tx, configured.tenant, user_id=user, client_id=client["client_id"], audience="a", scopes={"read"}
        )

    await configured.delete(CLIENTS, client["client_id"])

    assert await documents.select(configured.store, configured.tenant, CONSENTS) == []
