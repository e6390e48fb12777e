"""What a tenant's signing keys are: certificates as documents, private keys in the vault."""

from typing import Annotated

from msgspec import UNSET, UnsetType

from freehold.kernel.declare import Collection, Document, Scopes, ServerSet, Text, VaultKind


class SigningKey(Document, kw_only=True):
    """One RSA key pair that signs, signed or is about to sign this tenant's tokens."""

    kid: Annotated[str, ServerSet()]
    cert: Annotated[str, ServerSet()]
    pkcs7: Annotated[str, ServerSet()]
    current: Annotated[bool, ServerSet()] = False
    next: Annotated[bool, ServerSet()] = False
    previous: Annotated[bool, ServerSet()] = False
    current_since: Annotated[str | UnsetType, ServerSet()] = UNSET
    current_until: Annotated[str | UnsetType, ServerSet()] = UNSET
    fingerprint: Annotated[str, ServerSet()]
    thumbprint: Annotated[str, ServerSet()]
    revoked: Annotated[bool, ServerSet()] = False
    revoked_at: Annotated[str | UnsetType, ServerSet()] = UNSET


SIGNING_KEYS = Collection(
    document=SigningKey,
    path="keys/signing",
    table="signing_keys",
    key="kid",
    scopes=Scopes(("read:signing_keys",), ("create:signing_keys",), ("update:signing_keys",)),
    operations=frozenset(),
    not_found=Text("Signing key not found."),
)

PRIVATE_KEYS = VaultKind(
    name="private_keys",
    description="The private halves of the tenant's signing keys (PKCS #8 PEM), owned by their kid.",
)
