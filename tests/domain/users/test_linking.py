"""Linking accounts: one user with several identities, each of which signs in."""

from datetime import timedelta

from freehold.domain.keys import signing_key
from freehold.domain.users import SignIn, find_for_login, verify_password
from freehold.domain.users.linked import rebuild
from freehold.kernel.crypto.jose import sign_jwt
from tests.support.people import DATABASE, PASSWORD, TenantUnderTest


async def found(people: TenantUnderTest, identifier: str) -> SignIn | None:
    return await find_for_login(people.store, people.tenant, await people.database(), identifier)


async def link(people: TenantUnderTest, primary: str, secondary: str) -> None:
    reply = await people.api("POST", f"users/{primary}/identities", {"provider": "auth0", "user_id": secondary})
    assert reply.status == 201, reply.body


async def test_linking_answers_as_recorded(people: TenantUnderTest) -> None:
    ada = await people.add_user("ada@example.com", given_name="Ada")
    bob = await people.add_user("bob@example.com", given_name="Bob", email_verified=True)
    database = await people.database()

    reply = await people.api(
        "POST", f"users/{ada['user_id']}/identities",
        {"connection_id": database.id, "user_id": bob["user_id"], "provider": "auth0"},
    )  # fmt: skip

    assert reply.status == 201
    first, second = reply.json()
    assert first["profileData"]["email"] == "ada@example.com"
    assert second["profileData"]["given_name"] == "Bob"
    assert (second["provider"], second["connection"], second["isSocial"]) == ("auth0", DATABASE, False)
    assert f"auth0|{second['user_id']}" == bob["user_id"]
    identities = (await people.api("GET", f"users/{ada['user_id']}")).json()["identities"]
    assert [("profileData" in identity) for identity in identities] == [False, True]
    assert (await people.api("GET", f"users/{bob['user_id']}")).status == 404


async def test_a_linked_identity_signs_in_as_the_primary_user(people: TenantUnderTest) -> None:
    ada = await people.add_user("ada@example.com")
    bob = await people.add_user("bob@example.com", password="Bobs-Own-Horse-1")
    await link(people, ada["user_id"], bob["user_id"])

    who = await found(people, "BOB@example.com")

    assert who is not None
    assert (who.user.user_id, who.identity_id) == (ada["user_id"], bob["user_id"])
    pool = people.services.passwords
    assert (await verify_password(people.store, people.tenant, pool, who, "Bobs-Own-Horse-1")).ok
    assert not (await verify_password(people.store, people.tenant, pool, who, PASSWORD)).ok


async def test_identifiers_of_linked_identities_stay_taken(people: TenantUnderTest) -> None:
    ada = await people.add_user("ada@example.com")
    bob = await people.add_user("bob@example.com")
    await link(people, ada["user_id"], bob["user_id"])

    body = {"connection": DATABASE, "email": "bob@example.com", "password": PASSWORD}
    assert (await people.api("POST", "users", body)).status == 409
    body = {"connection": DATABASE, "email": "new@example.com", "password": PASSWORD, "user_id": bob["user_id"][6:]}
    assert (await people.api("POST", "users", body)).status == 409


async def test_unlinking_makes_the_identity_a_user_again(people: TenantUnderTest) -> None:
    ada = await people.add_user("ada@example.com")
    bob = await people.add_user("bob@example.com", given_name="Bob", user_metadata={"lost": 1})
    await link(people, ada["user_id"], bob["user_id"])

    reply = await people.api("DELETE", f"users/{ada['user_id']}/identities/{bob['user_id'].replace('|', '/')}")

    assert reply.status == 200
    assert [identity["profileData"]["email"] for identity in reply.json()] == ["ada@example.com"]
    alone = (await people.api("GET", f"users/{bob['user_id']}")).json()
    assert (alone["email"], alone["given_name"], "user_metadata" in alone) == ("bob@example.com", "Bob", False)
    who = await found(people, "bob@example.com")
    assert who is not None
    assert who.user.user_id == bob["user_id"]


async def test_what_cannot_be_linked_or_parted(people: TenantUnderTest) -> None:
    ada = (await people.add_user("ada@example.com"))["user_id"]
    bob = (await people.add_user("bob@example.com"))["user_id"]
    cyd = (await people.add_user("cyd@example.com"))["user_id"]
    await link(people, ada, bob)
    path = f"users/{ada}/identities"

    async def post(user: str, **body: object) -> tuple[int, str]:
        reply = await people.api("POST", f"users/{user}/identities", body)
        return reply.status, reply.json()["message"]

    assert await post(ada, provider="auth0", user_id=ada) == (400, "Main identity and the new one are the same.")
    assert await post(ada, provider="auth0", user_id="nobody") == (400, "Provided secondary account not found.")
    assert await post(cyd, provider="auth0", user_id=bob) == (409, "Specified identity already exists.")
    assert (await post("auth0|nobody", provider="auth0", user_id=cyd))[0] == 404
    assert (await post(ada, user_id=cyd))[0] == 400
    parted = await people.api("DELETE", f"{path}/{ada.replace('|', '/')}")
    assert (parted.status, parted.json()["message"]) == (400, "Main identity cannot be removed.")
    assert (await people.api("DELETE", f"{path}/{cyd.replace('|', '/')}")).status == 404


async def test_a_change_can_name_the_linked_identity(people: TenantUnderTest) -> None:
    made = await people.api("POST", "connections", {"name": "second", "strategy": "auth0"})
    clients = (await people.api("GET", "clients")).json()
    assert (
        await people.api(
            "PATCH",
            f"connections/{made.json()['id']}/clients",
            [{"client_id": clients[0]["client_id"], "status": True}],
        )
    ).status == 204
    ada = (await people.add_user("ada@example.com"))["user_id"]
    bob = (await people.add_user("bob@example.com", connection="second"))["user_id"]
    await link(people, ada, bob)

    changed = await people.api("PATCH", f"users/{ada}", {"connection": "second", "email": "new@example.com"})

    assert changed.status == 200, changed.body
    assert changed.json()["email"] == "ada@example.com"
    assert changed.json()["identities"][1]["profileData"]["email"] == "new@example.com"
    who = await find_for_login(people.store, people.tenant, await people.database("second"), "new@example.com")
    assert who is not None
    assert who.user.user_id == ada


async def test_a_user_links_with_a_token_of_the_other_sign_in(people: TenantUnderTest) -> None:
    ada = (await people.add_user("ada@example.com"))["user_id"]
    bob = (await people.add_user("bob@example.com"))["user_id"]
    key = await signing_key(people.store, people.tenant)
    expires = int((people.clock.now() + timedelta(hours=1)).timestamp())
    claims = {"iss": people.tenant.issuer, "sub": bob, "exp": expires}
    own = {"update:current_user_identities"}

    async def post(token: str, subject: str = ada) -> tuple[int, str]:
        reply = await people.api(
            "POST", f"users/{ada}/identities", {"link_with": token}, scopes=own, subject=subject
        )  # fmt: skip
        return reply.status, str(reply.json()["message"]) if reply.status != 201 else ""

    assert (await post("garbage"))[0] == 400
    foreign = sign_jwt({**claims, "aud": "another-app"}, key)
    assert await post(foreign) == (
        400,
        "JWT (link_with) must have an aud claim that matches that of the calling token's azp.",
    )
    wrong_issuer = sign_jwt({**claims, "aud": ada, "iss": "https://evil/"}, key)
    assert await post(wrong_issuer) == (400, "JWT (link_with) must have the same issuer as the calling user.")
    good = sign_jwt({**claims, "aud": ada}, key)
    assert (await post(good, subject=bob))[0] in {400, 403}
    assert await post(good) == (201, "")


async def test_the_table_of_links_is_computed_from_the_users(people: TenantUnderTest) -> None:
    ada = await people.add_user("ada@example.com")
    bob = await people.add_user("bob@example.com")
    await link(people, ada["user_id"], bob["user_id"])
    before = await people.store.all("select * from linked_identities")

    async with people.store.transaction() as tx:
        await tx.run("delete from linked_identities where tenant_id = :tenant_id", tenant_id=people.tenant.id)
        await rebuild(tx, people.tenant)

    assert await people.store.all("select * from linked_identities") == before
