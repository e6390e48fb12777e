"""The files of a sealed export, line by line: password hashes and factors as Auth0 writes them, and what it has no form
for in files of their own, so that a tool made for Auth0's files meets nothing else in them.

`docs/sealed-export-format.md` describes every file.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

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


class PlainPerson(msgspec.Struct, gc=False):
    """What is read of a user as most are."""

    user_id: str = ""
    identities: list[_PlainIdentity] = []
    email: str | None = None
    email_verified: bool = False
    username: str | None = None
    phone_number: str | None = None
    last_password_reset: str | None = None
    created_at: str | None = None


NOBODY = PlainPerson()
"""In place of a user where there is none; goes the long way."""


class PlainLines:
    """What becomes of a run of identities, in pieces; what is said of one that is in `others` is not true."""

    def __init__(self, hashes: list[str], sealed_part: list[str], connections: list[str], others: set[int]) -> None:
        self._hashes = hashes
        self._sealed_part = sealed_part
        self.connections = connections
        self.others = others
        """Places of those that have to go the long way."""

    def hashes(self, start: int, end: int) -> str:
        """The lines of password hashes from one place up to another."""
        return "".join(self._hashes[_HASH_PIECES * start : _HASH_PIECES * end])

    def sealed_part(self, start: int, end: int) -> str:
        """The lines of the sealed part."""
        return "".join(self._sealed_part[_SEALED_PIECES * start : _SEALED_PIECES * end])


class PlainWriter:
    """The quick way for the identities that nearly all are: an id of Auth0's form, an address, bcrypt, nothing else.

    It gives the same text as `hash_line` for thousands at a time. A line is made of pieces, and each piece of all lines
    at once; whether all identities are as they have to be is asked of all at once, and of each only when one is not.
    """

    def __init__(self, tenant: str) -> None:
        self._middles = _Middles(tenant)
        self._decode = msgspec.json.Decoder(list[PlainPerson]).decode

    def read(self, documents: str) -> list[PlainPerson]:
        """The users of documents that stand behind each other with commas between."""
        return self._decode(f"[{documents}]")

    def lines(
        self,
        owners: Sequence[str],
        names: Sequence[str],
        stored: Sequence[bytes],
        people: Sequence[PlainPerson],
    ) -> PlainLines:
        """The lines of identities whose hash in use is kept under one of these names of the vault."""
        count = len(owners)
        texts = [value.decode("latin-1") for value in stored]
        emails = [person.email or "" for person in people]
        dates = [person.last_password_reset or person.created_at or "" for person in people]
        connections = [person.identities[0].connection if person.identities else "" for person in people]
        others = {
            place
            for place, person in enumerate(people)
            if person.username is not None or person.phone_number is not None or not person.identities
        }
        if not (all(emails) and all(dates)):
            others.update(place for place in range(count) if not (emails[place] and dates[place]))
        if not _needs_no_escape("".join(emails) + "".join(dates)):
            others.update(place for place in range(count) if not _needs_no_escape(emails[place] + dates[place]))
        others |= _unlike(_PLAIN_OWNER, 30, owners)
        others |= _unlike(_PLAIN_HASH, 60, texts)
        hashes = [""] * (_HASH_PIECES * count)
        hashes[0::_HASH_PIECES] = ['{"_id":{"$oid":"'] * count
        hashes[1::_HASH_PIECES] = [owner[6:] for owner in owners]
        hashes[2::_HASH_PIECES] = [_BEFORE_EMAIL[person.email_verified] for person in people]
        hashes[3::_HASH_PIECES] = emails
        hashes[4::_HASH_PIECES] = ['","passwordHash":"'] * count
        hashes[5::_HASH_PIECES] = texts
        hashes[6::_HASH_PIECES] = ['","password_set_date":{"$date":"'] * count
        hashes[7::_HASH_PIECES] = dates
        hashes[8::_HASH_PIECES] = [self._middles[connection] for connection in connections]
        hashes[9::_HASH_PIECES] = emails
        hashes[10::_HASH_PIECES] = [_AFTER_EMAIL[person.email_verified] for person in people]
        sealed_part = [""] * (_SEALED_PIECES * count)
        sealed_part[0::_SEALED_PIECES] = ['{"owner":"'] * count
        sealed_part[1::_SEALED_PIECES] = owners
        sealed_part[2::_SEALED_PIECES] = [_BEFORE_TEXT.get(name, "") for name in names]
        sealed_part[3::_SEALED_PIECES] = texts
        sealed_part[4::_SEALED_PIECES] = ['"}\n'] * count
        return PlainLines(hashes, sealed_part, connections, others)


_HASH_PIECES, _SEALED_PIECES = 11, 5
_BEFORE_EMAIL = ('"},"email_verified":false,"email":"', '"},"email_verified":true,"email":"')
_AFTER_EMAIL = ('","verified":false}]}\n', '","verified":true}]}\n')
_BEFORE_TEXT = {"": '","text":"', "imported": '","name":"imported","text":"'}


class _Middles(dict[str, str]):
    """The part of a line that all identities of a connection have in common."""

    def __init__(self, tenant: str) -> None:
        super().__init__()
        self._tenant = tenant

    def __missing__(self, connection: str) -> str:
        common = {"tenant": self._tenant, "connection": connection, "_tmp_is_unique": True}
        text = msgspec.json.encode(common).decode()[1:-1]
        middle = self[connection] = f'"}},{text},"identifiers":[{{"type":"email","value":"'
        return middle


def _needs_no_escape(text: str) -> bool:
    return text.isascii() and text.isprintable() and '"' not in text and "\\" not in text


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
