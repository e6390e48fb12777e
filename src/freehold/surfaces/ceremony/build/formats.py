"""The files of a sealed export, line by line: password hashes and factors as Auth0 writes them, and what it has no form
for in files of their own, so that a tool made for Auth0's files meets nothing else in them.

`docs/sealed-export-format.md` describes every file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, Raw, UnsetType

from freehold.kernel.crypto.passwords.leaving import custom_hash_of, is_plain_bcrypt
from freehold.kernel.vault import is_pending, read_secret

HASHES, OTHER_HASHES = "password-hashes", "password-hashes-other"
FACTORS, OTHER_FACTORS = "mfa-secrets", "mfa-factors-other"
SECRETS = "write-only-secrets"

_HEX = frozenset("0123456789abcdef")
_PLAIN_OWNER = re.compile(r"(?:auth0\|[0-9a-f]{24}\n)*")
_PLAIN_HASH = re.compile(r"(?:\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}\n)*")
_NEEDS_NO_ESCAPE = re.compile(r"[ !#-\[\]-~]*").fullmatch


class _ObjectId(msgspec.Struct, frozen=True):
    oid: str = msgspec.field(name="$oid")


class _Date(msgspec.Struct, frozen=True):
    date: str = msgspec.field(name="$date")


class _Identifier(msgspec.Struct, frozen=True):
    type: str
    value: str
    verified: bool


class HashLine(msgspec.Struct, kw_only=True):
    """One line of the password hashes. The members come in this order."""

    own_id: _ObjectId = msgspec.field(name="_id")
    email_verified: bool | UnsetType = UNSET
    email: str | UnsetType = UNSET
    username: str | UnsetType = UNSET
    password_hash: str | UnsetType = msgspec.field(name="passwordHash", default=UNSET)
    custom_password_hash: dict[str, Any] | UnsetType = UNSET
    password_set_date: _Date | UnsetType = UNSET
    tenant: str
    connection: str
    is_unique: bool = msgspec.field(name="_tmp_is_unique")
    identifiers: list[_Identifier]
    alt_id: str | UnsetType = UNSET


class OtpLine(msgspec.Struct, kw_only=True):
    """One authenticator app in the MFA secrets."""

    user_id: str
    tenant: str
    type: str = "otp"
    otp_secret: str


class RecoveryLine(msgspec.Struct, kw_only=True):
    """One recovery code in the MFA secrets, as the bcrypt hash that it is kept as."""

    user_id: str
    tenant: str
    type: str = "recovery-code"
    recovery_code: str


class OtherFactorLine(msgspec.Struct, kw_only=True):
    """Factors for which Auth0's file has no line, in the form in which Auth0 imports them."""

    user_id: str
    tenant: str
    mfa_factors: list[dict[str, Raw]]


class SecretLine(msgspec.Struct, kw_only=True):
    """One write-only secret."""

    owner: str
    name: str
    text: str | UnsetType = UNSET
    base64: str | UnsetType = UNSET


class Identity(msgspec.Struct):
    """What is read of one of a user's identities."""

    connection: str = ""
    provider: str = ""
    user_id: str | int = ""
    profile: dict[str, Any] = msgspec.field(name="profileData", default={})


class Person(msgspec.Struct):
    """What is read of a user."""

    identities: list[Identity] = []
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    phone_verified: bool = False
    last_password_reset: str | None = None
    created_at: str | None = None

    def as_linked(self, identity: Identity) -> "Person":
        """The same human under a linked identity, which has its own address and name."""
        profile = identity.profile
        return Person(
            identities=[identity],
            email=profile.get("email"),
            email_verified=bool(profile.get("email_verified")),
            username=profile.get("username"),
            phone_number=profile.get("phone_number"),
            phone_verified=bool(profile.get("phone_verified")),
            created_at=self.created_at,
        )


read_person = msgspec.json.Decoder(Person).decode


def hash_line(owner: str, stored: str, person: Person, *, connection: str, tenant: str) -> HashLine:
    """The line of one identity. `owner` is the full id with the provider; the line has it without."""
    own_id = owner.partition("|")[2] or owner
    is_object_id = len(own_id) == 24 and _HEX.issuperset(own_id)
    set_at = person.last_password_reset or person.created_at
    line = HashLine(
        own_id=_ObjectId(own_id if is_object_id else made_up_object_id(owner)),
        tenant=tenant,
        connection=connection,
        is_unique=True,
        identifiers=list(_identifiers(person)),
        alt_id=UNSET if is_object_id else own_id,
    )
    if person.email is not None:
        line.email, line.email_verified = person.email, person.email_verified
    if person.username is not None:
        line.username = person.username
    if set_at is not None:
        line.password_set_date = _Date(set_at)
    if is_plain_bcrypt(stored):
        line.password_hash = stored
    else:
        line.custom_password_hash = custom_hash_of(stored)
    return line


class _PlainIdentity(msgspec.Struct, gc=False):
    connection: str = ""


class _PlainPerson(msgspec.Struct, gc=False):
    """What is read of a user as most are."""

    identities: list[_PlainIdentity] = []
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    last_password_reset: str | None = None
    created_at: str | None = None


class PlainLines(NamedTuple):
    """What becomes of a run of identities; what is said of one that is in `others` is not true."""

    hashes: list[str]
    sealed_part: list[str]
    connections: list[str]
    others: set[int]
    """Places of those that have to go the long way."""


class PlainWriter:
    """The quick way for the identities that nearly all are: an id of Auth0's form, an address, bcrypt, nothing else.

    It gives the same text as `hash_line` for many at a time. Whether all are like that is asked of all at once, and
    of each only when one is not.
    """

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._middles: dict[str, str] = {}
        self._decode = msgspec.json.Decoder(list[_PlainPerson]).decode

    def lines(
        self, owners: Sequence[str], names: Sequence[str], stored: Sequence[bytes], documents: Sequence[str | None]
    ) -> PlainLines:
        """The lines of identities whose hash in use is kept under one of these names of the vault."""
        people = self._decode("[" + ",".join([document or "{}" for document in documents]) + "]")
        texts = [value.decode("latin-1") for value in stored]
        others: set[int] = set()
        others |= _unlike(_PLAIN_OWNER, 30, owners)
        others |= _unlike(_PLAIN_HASH, 60, texts)
        hashes, sealed_part, connections, told = [], [], [], []
        for place, (owner, name, text, person) in enumerate(zip(owners, names, texts, people, strict=True)):
            email, set_at = person.email, person.last_password_reset or person.created_at
            if (
                email is None
                or set_at is None
                or person.username is not None
                or person.phone_number is not None
                or not person.identities
            ):
                others.add(place)
                email = set_at = connection = ""
            else:
                connection = person.identities[0].connection
            verified = "true" if person.email_verified else "false"
            middle = self._middles.get(connection) or self._middle(connection)
            hashes.append(
                f'{{"_id":{{"$oid":"{owner[6:]}"}},"email_verified":{verified},"email":"{email}","passwordHash":"{text}",'
                f'"password_set_date":{{"$date":"{set_at}"}},{middle},'
                f'"identifiers":[{{"type":"email","value":"{email}","verified":{verified}}}]}}\n'
            )
            if name:
                sealed_part.append(f'{{"owner":"{owner}","name":"{name}","text":"{text}"}}\n')
            else:
                sealed_part.append(f'{{"owner":"{owner}","text":"{text}"}}\n')
            connections.append(connection)
            told.append(email + set_at)
        if _NEEDS_NO_ESCAPE("".join(told)) is None:
            others.update(place for place, text in enumerate(told) if _NEEDS_NO_ESCAPE(text) is None)
        return PlainLines(hashes, sealed_part, connections, others)

    def _middle(self, connection: str) -> str:
        """The part of a line that all identities of a connection have in common."""
        common = {"tenant": self._tenant, "connection": connection, "_tmp_is_unique": True}
        middle = self._middles[connection] = msgspec.json.encode(common).decode()[1:-1]
        return middle


def _unlike(pattern: re.Pattern[str], length: int, texts: Sequence[str]) -> set[int]:
    """Places of the texts that do not match; the pattern is for lines of this length, each with its line feed."""
    together = "\n".join([*texts, ""])
    if len(together) == (length + 1) * len(texts) and pattern.fullmatch(together):
        return set()  # so long, and lines of nothing else: no text has a line feed of its own
    return {place for place, text in enumerate(texts) if len(text) != length or not pattern.fullmatch(text + "\n")}


def made_up_object_id(owner: str) -> str:
    """24 hexadecimal digits for an id that has another form; always the same for the same id, and not to be used."""
    return sha256(b"freehold object id\0" + owner.encode()).hexdigest()[:24]


def factor_lines(
    user_id: str, contents: Mapping[str, bytes], *, tenant: str
) -> Iterator[OtpLine | RecoveryLine | OtherFactorLine]:
    """The lines of one user's factors, by the name under which the vault keeps them."""
    others: list[dict[str, Raw]] = []
    for name, content in contents.items():
        kind = name.partition("/")[0]
        if is_pending(name):
            continue  # begun and never proved: no factor
        if kind in ("totp", "otp"):
            secret = read_secret(content).replace(" ", "").rstrip("=").upper()
            yield OtpLine(user_id=user_id, tenant=tenant, otp_secret=secret)
        elif kind in ("recovery_code", "recovery-code"):
            yield RecoveryLine(user_id=user_id, tenant=tenant, recovery_code=read_secret(content))
        else:
            others.append({kind: Raw(msgspec.json.encode(_json_object(content) or content))})
    if others:
        yield OtherFactorLine(user_id=user_id, tenant=tenant, mfa_factors=others)


def secret_line(owner: str, name: str, value: bytes) -> SecretLine:
    """The line of a write-only secret."""
    try:
        return SecretLine(owner=owner, name=name, text=value.decode())
    except UnicodeDecodeError:
        import base64

        return SecretLine(owner=owner, name=name, base64=base64.b64encode(value).decode())


def _identifiers(person: Person) -> Iterator[_Identifier]:
    if person.email is not None:
        yield _Identifier("email", person.email, person.email_verified)
    if person.username is not None:
        yield _Identifier("username", person.username, False)
    if person.phone_number is not None:
        yield _Identifier("phone", person.phone_number, person.phone_verified)


def _json_object(content: bytes) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return value if isinstance(value, dict) else {}
