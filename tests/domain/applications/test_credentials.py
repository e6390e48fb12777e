"""Client credentials: what a key or certificate says about itself, and where it is used."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from freehold.domain.access import CLIENT_GRANTS
from freehold.domain.applications import CLIENT_CREDENTIALS, CLIENTS, credentials_of
from freehold.domain.applications.credentials import delete_credential
from freehold.kernel.crypto.jose import jwk_thumbprint
from freehold.kernel.declare import Actor, documents
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict, Forbidden
from tests.support.configuration import Configured

KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
UNTIL = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)


def public_pem(key: Any = KEY) -> str:
    return key.public_key().public_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip


def certificate() -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "JP"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Client"),
            x509.NameAttribute(NameOID.COMMON_NAME, "client.example.org"),
        ]
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(UNTIL - timedelta(days=1)).not_valid_after(UNTIL)
    return builder.sign(KEY, hashes.SHA256())


def certificate_pem() -> str:
    return certificate().public_bytes(serialization.Encoding.PEM).decode()


async def client_with(configured: Configured, **methods: Any) -> dict[str, Any]:
    return await configured.create(CLIENTS, {"name": "app", "client_authentication_methods": methods})


async def test_the_kid_of_a_public_key_is_its_thumbprint(configured: Configured) -> None:
    """Recorded: `kid` is the RFC 7638 thumbprint when none is given, and `alg` RS256."""
    client = await configured.create(CLIENTS, {"name": "app"})

    made = await configured.create(
        CLIENT_CREDENTIALS,
        {"credential_type": "public_key", "name": "k", "pem": public_pem()},
        parent=client["client_id"],
    )

    assert made["id"].startswith("cred_")
    assert (made["kid"], made["alg"], made["expires_at"]) == (jwk_thumbprint(KEY.public_key()), "RS256", None)


async def test_a_certificate_gives_thumbprint_and_end(configured: Configured) -> None:
    client = await configured.create(CLIENTS, {"name": "app"})

    made = await configured.create(
        CLIENT_CREDENTIALS, {"credential_type": "x509_cert", "pem": certificate_pem()}, parent=client["client_id"]
    )

    assert len(made["thumbprint_sha256"]) == 43
    assert made["expires_at"] == "2030-05-06T07:08:09.000Z"


async def test_a_subject_is_shown_one_attribute_a_line(configured: Configured) -> None:
    client = await configured.create(CLIENTS, {"name": "app"})

    made = await configured.create(
        CLIENT_CREDENTIALS, {"credential_type": "cert_subject_dn", "pem": certificate_pem()}, parent=client["client_id"]
    )

    assert made["subject_dn"] == "C=JP\nO=Client\nCN=client.example.org"


@pytest.mark.parametrize(
    "given",
    [
        {"credential_type": "public_key"},
        {"credential_type": "public_key", "pem": "no pem"},
        {"credential_type": "public_key", "pem": public_pem(ec.generate_private_key(ec.SECP256R1()))},
        {"credential_type": "public_key", "pem": public_pem(rsa.generate_private_key(65537, 1024))},
        {"credential_type": "public_key", "pem": public_pem(), "subject_dn": "CN=x"},
        {"credential_type": "public_key", "pem": public_pem(), "kid": "short"},
        {"credential_type": "public_key", "pem": public_pem(), "expires_at": "tomorrow"},
        {"credential_type": "x509_cert", "pem": public_pem()},
        {"credential_type": "cert_subject_dn"},
    ],
)
async def test_a_key_that_proves_nothing_is_refused(configured: Configured, given: dict[str, Any]) -> None:
    client = await configured.create(CLIENTS, {"name": "app"})

    with pytest.raises(InvalidBody):
        await configured.create(CLIENT_CREDENTIALS, given, parent=client["client_id"])


async def test_only_the_end_of_a_credential_can_be_changed(configured: Configured) -> None:
    client = await configured.create(CLIENTS, {"name": "app"})
    given = {"credential_type": "public_key", "pem": public_pem()}
    made = await configured.create(CLIENT_CREDENTIALS, given, parent=client["client_id"])

    updated = await configured.update(
        CLIENT_CREDENTIALS, made["id"], {"expires_at": "2026-05-16T11:07:30.535694+02:00"}
    )

    assert updated["expires_at"] == "2026-05-16T09:07:30.535Z"
    with pytest.raises(InvalidBody, match="pem"):
        await configured.update(CLIENT_CREDENTIALS, made["id"], {"pem": public_pem()})


async def test_a_client_is_made_with_its_credentials_and_answers_them_once(configured: Configured) -> None:
    """Recorded: the answer that creates the client holds the credentials, later ones hold ids."""
    entry = {"credential_type": "public_key", "name": "k", "pem": public_pem()}

    made = await client_with(configured, private_key_jwt={"credentials": [entry]})
    stored = await configured.read(CLIENTS, made["client_id"]) or {}

    (shown,) = made["client_authentication_methods"]["private_key_jwt"]["credentials"]
    assert (shown["name"], shown["kid"]) == ("k", jwk_thumbprint(KEY.public_key()))
    assert "pem" not in shown
    assert stored["client_authentication_methods"] == {"private_key_jwt": {"credentials": [{"id": shown["id"]}]}}
    client = await documents.get(configured.store, configured.tenant, CLIENTS, made["client_id"])
    (credential,) = await credentials_of(configured.store, configured.tenant, client, "private_key_jwt")
    assert (credential.id, credential.pem) == (shown["id"], public_pem())


async def test_an_update_names_credentials_that_the_client_has(configured: Configured) -> None:
    other = await client_with(
        configured, private_key_jwt={"credentials": [{"credential_type": "public_key", "pem": public_pem()}]}
    )
    foreign = other["client_authentication_methods"]["private_key_jwt"]["credentials"][0]["id"]
    client = await configured.create(CLIENTS, {"name": "app"})

    for entry in ({"id": foreign}, {"id": "cred_" + "x" * 22}, {"credential_type": "public_key", "pem": public_pem()}):
        with pytest.raises(InvalidBody):
            await configured.update(
                CLIENTS,
                client["client_id"],
                {"client_authentication_methods": {"private_key_jwt": {"credentials": [entry]}}},
            )


async def test_a_client_has_one_method(configured: Configured) -> None:
    with pytest.raises(InvalidBody, match="maximum 1"):
        await client_with(configured, private_key_jwt={"credentials": []}, tls_client_auth={"credentials": []})


async def test_a_credential_in_use_is_not_deleted_but_goes_with_its_client(configured: Configured) -> None:
    made = await client_with(
        configured, private_key_jwt={"credentials": [{"credential_type": "public_key", "pem": public_pem()}]}
    )
    used = made["client_authentication_methods"]["private_key_jwt"]["credentials"][0]["id"]

    with pytest.raises(Conflict):
        await configured.call(delete_credential, params={"client_id": made["client_id"], "credential_id": used})
    await configured.delete(CLIENTS, made["client_id"])

    assert await configured.read(CLIENT_CREDENTIALS, used) is None


async def test_nobody_adds_a_key_to_a_client_that_can_do_more_than_they(configured: Configured) -> None:
    """Threats: a token cannot edit anything above itself (keys)."""
    powerful = await configured.create(CLIENTS, {"name": "powerful"})
    grant = {"client_id": powerful["client_id"], "audience": "https://acme.test/api/v2/", "scope": ["delete:users"]}
    await configured.create(CLIENT_GRANTS, grant)
    caller = Actor("api", scopes=frozenset({"create:client_credentials"}))

    with pytest.raises(Forbidden):
        await configured.create(
            CLIENT_CREDENTIALS,
            {"credential_type": "public_key", "pem": public_pem()},
            parent=powerful["client_id"],
            actor=caller,
        )
