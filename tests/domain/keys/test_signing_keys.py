"""Signing keys: their life from next to revoked, and what that means for tokens."""

import json
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from freehold.domain.keys import current_certificate, import_key, jwks, signing_key, verification_keys
from freehold.domain.keys.rotation import bootstrap, new_key, rotate
from freehold.kernel.crypto.jose import InvalidToken, sign_jwt, verify_jwt
from freehold.kernel.errors import BadRequest, Conflict
from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")


async def token(people: TenantUnderTest) -> str:
    key = await signing_key(people.store, people.tenant)
    claims = {"iss": people.tenant.issuer, "aud": "x", "exp": int((people.clock.now() + timedelta(days=1)).timestamp())}
    return sign_jwt(claims, key)


async def accepts(people: TenantUnderTest, text: str) -> bool:
    try:
        verify_jwt(
            text,
            keys=await verification_keys(people.store, people.tenant),
            algorithms=("RS256",),
            issuer=people.tenant.issuer,
            audience="x",
            now=people.clock.now(),
        )
    except InvalidToken:
        return False
    return True


async def published(people: TenantUnderTest) -> list[str]:
    return [key["kid"] for key in json.loads(await jwks(people.store, people.tenant))["keys"]]


async def test_a_new_tenant_has_a_current_and_a_next_key(people: TenantUnderTest) -> None:
    keys = (await people.api("GET", "keys/signing")).json()

    assert [(key["current"], key["next"], key["previous"]) for key in keys] == [
        (True, False, False),
        (False, True, False),
    ]
    assert keys[0]["cert"].startswith("-----BEGIN CERTIFICATE-----\r\n")
    assert keys[0]["pkcs7"].startswith("-----BEGIN PKCS7-----\r\n")
    assert len(keys[0]["kid"]) == 21
    assert await published(people) == [key["kid"] for key in keys]


async def test_private_keys_are_in_no_answer_and_no_document(people: TenantUnderTest) -> None:
    answers = (await people.api("GET", "keys/signing")).body + (await people.api("POST", "keys/signing/rotate")).body
    rows = await people.store.all("select document from signing_keys")

    assert b"PRIVATE" not in answers
    assert not any("PRIVATE" in row[0] or '"d"' in row[0] for row in rows)


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_rotation_lets_the_next_key_take_over_and_keeps_the_previous_one_valid(people: TenantUnderTest) -> None:
    current, following = await published(people)
    old = await token(people)

    reply = await people.api("POST", "keys/signing/rotate")

    assert reply.status == 201
    assert set(reply.json()) == {"cert", "kid"}
    assert await published(people) == [following, reply.json()["kid"], current]
    assert (await signing_key(people.store, people.tenant)).kid == following
    assert await accepts(people, old)
    assert await accepts(people, await token(people))


async def test_the_key_before_the_previous_one_is_revoked_by_a_rotation(people: TenantUnderTest) -> None:
    oldest = await token(people)
    await people.api("POST", "keys/signing/rotate")
    assert await accepts(people, oldest)

    await people.api("POST", "keys/signing/rotate")

    assert not await accepts(people, oldest)
    assert len(await published(people)) == 3


async def test_a_revoked_key_is_refused_at_once_and_its_private_half_is_gone(people: TenantUnderTest) -> None:
    kid = (await published(people))[0]
    old = await token(people)
    await people.api("POST", "keys/signing/rotate")

    reply = await people.api("PUT", f"keys/signing/{kid}/revoke")

    assert reply.status == 200
    assert reply.json()["revoked_at"] == "2026-01-01T00:00:00.000Z"
    assert not await accepts(people, old)
    assert kid not in await published(people)
    assert await people.store.one("select 1 from vault where kind = 'private_keys' and owner = :kid", kid=kid) is None


@pytest.mark.parametrize("position", [0, 1])
async def test_revoking_the_current_or_the_next_key_leaves_the_tenant_with_both(
    people: TenantUnderTest, position: int
) -> None:
    kid = (await published(people))[position]

    assert (await people.api("PUT", f"keys/signing/{kid}/revoke")).status == 200

    keys = (await people.api("GET", "keys/signing")).json()
    assert [key["kid"] for key in keys if key["current"] and not key["revoked"]] != [kid]
    assert sum(key["current"] for key in keys) == 1
    assert sum(key["next"] for key in keys) == 1
    assert await accepts(people, await token(people))


async def test_only_the_last_three_revoked_keys_are_remembered(people: TenantUnderTest) -> None:
    for _ in range(7):
        people.clock.advance(seconds=1)
        await people.api("POST", "keys/signing/rotate")

    keys = (await people.api("GET", "keys/signing")).json()

    assert sum(key["revoked"] for key in keys) == 3
    revoked = [key["revoked_at"] for key in keys if key["revoked"]]
    assert revoked == sorted(revoked, reverse=True)


async def test_an_unknown_key_is_not_found(people: TenantUnderTest) -> None:
    for reply in (await people.api("GET", "keys/signing/x"), await people.api("PUT", "keys/signing/x/revoke")):
        assert (reply.status, reply.json()["message"]) == (404, "Signing key not found.")


async def test_a_reset_keeps_the_keys(people: TenantUnderTest) -> None:
    before = await published(people)
    async with people.store.transaction() as tx:
        await bootstrap(tx, people.tenant)
    assert await published(people) == before


async def test_a_foreign_key_signs_under_its_own_kid(people: TenantUnderTest) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    before = await token(people)
    async with people.store.transaction() as tx:
        await import_key(tx, people.tenant, kid="from-auth0", private_key=pem)

    assert (await published(people))[0] == "from-auth0"
    assert await accepts(people, await token(people))
    assert await accepts(people, before)
    certificate = await current_certificate(people.store, people.tenant)
    assert certificate["subject"] == "/CN=acme.example.com"
    with pytest.raises(Conflict):
        async with people.store.transaction() as tx:
            await import_key(tx, people.tenant, kid="from-auth0", private_key=pem)


@pytest.mark.parametrize(
    "source", [b"", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", {"kty": "oct"}]
)
async def test_what_is_no_signing_key_is_not_imported(people: TenantUnderTest, source: bytes | dict[str, str]) -> None:
    with pytest.raises(BadRequest):
        async with people.store.transaction() as tx:
            await import_key(tx, people.tenant, kid="x", private_key=source)


async def test_a_short_key_is_not_imported(people: TenantUnderTest) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    with pytest.raises(BadRequest, match="2048"):
        async with people.store.transaction() as tx:
            await import_key(tx, people.tenant, kid="x", private_key=pem)


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_a_rotation_that_does_not_commit_changes_nothing(people: TenantUnderTest) -> None:
    before = await published(people)
    fresh = await new_key(people.tenant)
    with pytest.raises(RuntimeError):
        async with people.store.transaction() as tx:
            await rotate(tx, people.tenant, fresh)
            raise RuntimeError
    assert await published(people) == before
    assert await accepts(people, await token(people))
