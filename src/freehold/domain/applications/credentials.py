"""Client credentials: public keys, certificates and certificate names by which a client proves itself.

They are objects of their own below the client, and its authentication methods name them by id; a request that creates
a client may hold them in full. `kid` is the thumbprint of the key (RFC 7638) when none is given, `thumbprint_sha256`
that of the certificate (RFC 8705 section 3.1).
"""

import binascii
from datetime import UTC
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import UNSET

from freehold.domain.access import check_may_grant, management_scopes_of
from freehold.domain.applications.documents import Client, ClientCredential, CredentialEntry
from freehold.kernel.clock import iso, parse_iso
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.crypto.jose import b64u_encode, jwk_thumbprint
from freehold.kernel.declare import Change, Child, Scopes, TenantScope, Text, documents
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import Conflict
from freehold.kernel.store import Reader

SHORTEST_KEY_BITS = 2048
USES = ("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth")


async def prepare(change: Change) -> None:
    """Derive what the key or certificate says about itself."""
    credential: ClientCredential = change.document
    if credential.expires_at is not None:
        credential.expires_at = _normal_time(credential.expires_at)
    if change.previous is not None:
        return
    if credential.credential_type == "public_key":
        _fill_public_key(credential)
    elif credential.credential_type == "x509_cert":
        certificate = _certificate(credential.pem)
        credential.thumbprint_sha256 = b64u_encode(certificate.fingerprint(hashes.SHA256())).decode()
        credential.expires_at = iso(certificate.not_valid_after_utc)
        _refuse(credential, "subject_dn", "alg", "kid")
    elif credential.subject_dn is UNSET:
        credential.subject_dn = _subject_dn(_certificate(credential.pem))
    credential.parse_expiry_from_cert = UNSET


async def check(change: Change) -> None:
    """Refuse to gain a client that can do more than the caller."""
    if change.document is not None:
        await check_may_become(change, change.parent)


async def delete_credential(call: Call) -> None:
    """DELETE clients/{client_id}/credentials/{credential_id}: not while the client uses it."""
    client_id, id_ = call.params.values()
    client = await documents.get(call.tx, call.tenant, call.tenant.registry.collection("clients"), client_id)
    if id_ in {entry.id for _, entries in _lists(client) for entry in entries}:
        raise Conflict("The credential is in use. Remove it from the client's authentication methods first.")
    await documents.delete(call.tx, call.tenant, CLIENT_CREDENTIALS, id_, actor=call.actor, parent=client_id)


async def check_may_become(change: Change, client_id: str) -> None:
    """Refuse to give a client a secret or key of the caller's when it holds scopes that the caller lacks."""
    if change.actor.kind in {"api", "user"}:
        held = await management_scopes_of(change.tx, change.tenant, client_id)
        check_may_grant(change.actor, change.tenant, change.tenant.management_audience, held)


async def settle(change: Change) -> None:
    """Turn the credentials that a request holds in full into objects, and check those it names."""
    client: Client = change.document
    creating = change.previous is None
    made: dict[str, dict[str, Any]] = {}
    for path, entries in _lists(client):
        for index, entry in enumerate(entries):
            where = f"{path}[{index}]"
            if entry.id is UNSET:
                if not creating:
                    raise InvalidBody(f"Payload validation error: 'Missing required property: id' on property {where}.")
                record = await _make(change, entry, where)
                made[record.id] = {key: value for key, value in record.document.items() if key != "pem"}
                entries[index] = CredentialEntry(id=record.id)
            elif msgspec.to_builtins(entry).keys() != {"id"}:
                raise InvalidBody(f"Payload validation error: 'Additional properties not allowed' on property {where}.")
            elif not await _exists(change, entry.id):
                raise InvalidBody(f"The credential {entry.id} does not exist.")
    if made:
        _show_in_full(change, made)


async def credentials_of(reader: Reader, tenant: TenantScope, client: Client, use: str) -> list[ClientCredential]:
    """The credentials by which a client may authenticate in this way; expired ones are the caller's to refuse."""
    methods = client.client_authentication_methods
    chosen = getattr(methods, use, UNSET) if methods else UNSET
    if chosen is UNSET:
        return []
    wanted = {entry.id for entry in chosen.credentials}
    found = await documents.find_all(reader, tenant, CLIENT_CREDENTIALS, parent=client.client_id)
    return [credential for credential in found if credential.id in wanted]


def _fill_public_key(credential: ClientCredential) -> None:
    _refuse(credential, "subject_dn")
    if credential.pem is UNSET:
        raise InvalidBody("Payload validation error: 'Missing required property: pem'.")
    key, certificate = _public_key(credential.pem)
    if credential.alg is UNSET:
        credential.alg = "RS256"
    if credential.kid is UNSET:
        credential.kid = jwk_thumbprint(key)
    if credential.parse_expiry_from_cert is True and certificate is not None:
        credential.expires_at = iso(certificate.not_valid_after_utc)


def _refuse(credential: ClientCredential, *names: str) -> None:
    for name in names:
        if getattr(credential, name) is not UNSET:
            raise InvalidBody(f"Payload validation error: 'Additional properties not allowed: {name}'.")


def _public_key(pem: str) -> tuple[rsa.RSAPublicKey, x509.Certificate | None]:
    certificate = None
    try:
        if "BEGIN CERTIFICATE" in pem:
            certificate = x509.load_pem_x509_certificate(pem.encode())
            key = certificate.public_key()
        else:
            key = serialization.load_pem_public_key(pem.encode())  # type: ignore[assignment]
    except (ValueError, binascii.Error):
        raise InvalidBody("Payload validation error: 'The PEM holds no public key' on property pem.") from None
    if not isinstance(key, rsa.RSAPublicKey) or key.key_size < SHORTEST_KEY_BITS:
        raise InvalidBody(
            f"Payload validation error: 'An RSA key of at least {SHORTEST_KEY_BITS} bits is needed' on property pem."
        )
    return key, certificate


def _certificate(pem: object) -> x509.Certificate:
    if not isinstance(pem, str):
        raise InvalidBody("Payload validation error: 'Missing required property: pem'.")
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        raise InvalidBody("Payload validation error: 'The PEM holds no certificate' on property pem.") from None


def _subject_dn(certificate: x509.Certificate) -> str:
    """The subject, one attribute a line from the country down (recorded)."""
    return "\n".join(f"{attribute.rfc4514_attribute_name}={attribute.value!s}" for attribute in certificate.subject)


def _normal_time(text: str) -> str:
    try:
        return iso(parse_iso(text).astimezone(UTC))
    except (ValueError, OverflowError):
        raise InvalidBody(
            "Payload validation error: 'Object didn't pass validation for format date-time' on property expires_at."
        ) from None


def _lists(client: Client) -> list[tuple[str, list[CredentialEntry]]]:
    """Every list of credentials in a client, with its path."""
    found: list[tuple[str, list[CredentialEntry]]] = []
    methods = client.client_authentication_methods
    for use in USES:
        chosen = getattr(methods, use, UNSET) if methods else UNSET
        if chosen is not UNSET:
            found.append((f"client_authentication_methods.{use}.credentials", chosen.credentials))
    signed = client.signed_request_object
    if signed is not UNSET and signed.credentials is not UNSET:
        found.append(("signed_request_object.credentials", signed.credentials))
    if client.token_vault_privileged_access:
        found.append(("token_vault_privileged_access.credentials", client.token_vault_privileged_access.credentials))
    return found


async def _make(change: Change, entry: CredentialEntry, where: str) -> documents.Record:
    given = msgspec.to_builtins(entry)
    if "credential_type" not in given:
        raise InvalidBody(
            f"Payload validation error: 'Missing required property: credential_type' on property {where}."
        )
    return await documents.create(
        change.tx, change.tenant, CLIENT_CREDENTIALS, given, actor=change.actor, parent=change.id
    )


async def _exists(change: Change, id_: str) -> bool:
    record = await documents.read(change.tx, change.tenant, CLIENT_CREDENTIALS, id_)
    return record is not None and record.parent == change.id


def _show_in_full(change: Change, made: dict[str, dict[str, Any]]) -> None:
    """Let the answer to this request hold the new credentials instead of their ids (recorded)."""
    for name in ("client_authentication_methods", "signed_request_object", "token_vault_privileged_access"):
        value = getattr(change.document, name)
        if value:
            change.answer[name] = _replaced(msgspec.to_builtins(value), made)


def _replaced(value: Any, made: dict[str, dict[str, Any]]) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"id"} and value["id"] in made:
            return made[value["id"]]
        return {key: _replaced(member, made) for key, member in value.items()}
    return [_replaced(member, made) for member in value] if isinstance(value, list) else value


CLIENT_CREDENTIALS = Child(
    document=ClientCredential,
    path="clients/{client_id}/credentials",
    parent="clients",
    scopes=Scopes.of("client_credentials"),
    new_id=lambda: new_id("cred_", 22),
    table="client_credentials",
    list_name="credentials",
    paging=frozenset(),
    not_found=Text("Credential does not exist", "inexistent_credential"),
    prepare=prepare,
    check=check,
    overrides={"delete": delete_credential},
    audit="client credential",
)
