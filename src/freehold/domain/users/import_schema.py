"""A row of Auth0's user import: its schema, the codes of what can be wrong with it, and the user it becomes.

The codes are Auth0's. One row is read and turned into a user in a few microseconds, because a million of them may come.
"""

import re
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from freehold.domain.users.arrivals import Arrival
from freehold.domain.users.databases import Database
from freehold.domain.users.documents import DATABASE, User
from freehold.domain.users.factors import stored_factors
from freehold.domain.users.identifiers import fold_case, is_email, is_username
from freehold.domain.users.profiles import database_identity, fill_user
from freehold.kernel.crypto.ids import new_object_id
from freehold.kernel.crypto.passwords import BadHash, parse_bcrypt, parse_custom_hash
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.strict_json import decode_json

RESERVED_METADATA = frozenset(
    {
        "__tenant", "_id", "blocked", "clientID", "created_at", "email_verified", "email", "globalClientID",
        "global_client_id", "identities", "lastIP", "lastLogin", "loginsCount", "metadata",
        "multifactor_last_modified", "multifactor", "updated_at", "user_id",
    }
)  # fmt: skip
PROFILE = (
    "email_verified",
    "given_name",
    "family_name",
    "name",
    "nickname",
    "picture",
    "user_metadata",
    "app_metadata",
)
"""What an upsert replaces."""
MASK = "*****"
SUSPICIOUS_BRACKETS = 64
"""A row with more may be nested deeper than anything that reads it later."""

MOST_FACTORS = 10

Phone = Annotated[str, Meta(pattern=r"^\+[0-9]{1,15}$")]


class Totp(msgspec.Struct, forbid_unknown_fields=True):
    """A secret of time-based codes: SHA-1, 6 digits, 30 seconds."""

    secret: Annotated[str, Meta(pattern="^[A-Z2-7]+$", max_length=1024)]


class PhoneFactor(msgspec.Struct, forbid_unknown_fields=True):
    """A number that codes are sent to."""

    value: Phone


class EmailFactor(msgspec.Struct, forbid_unknown_fields=True):
    """An address that codes are sent to."""

    value: Annotated[str, Meta(max_length=320)]


class Factor(msgspec.Struct, forbid_unknown_fields=True):
    """One factor: exactly one of the three."""

    totp: Totp | UnsetType = UNSET
    phone: PhoneFactor | UnsetType = UNSET
    email: EmailFactor | UnsetType = UNSET


class ImportRow(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One user of an import file."""

    email: str | UnsetType = UNSET
    email_verified: bool | UnsetType = UNSET
    phone_number: Phone | UnsetType = UNSET
    phone_verified: bool | UnsetType = UNSET
    user_id: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^\S*$")] | UnsetType = UNSET
    username: Annotated[str, Meta(min_length=1, max_length=128)] | UnsetType = UNSET
    given_name: str | UnsetType = UNSET
    family_name: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    nickname: str | UnsetType = UNSET
    picture: str | UnsetType = UNSET
    blocked: bool | UnsetType = UNSET
    password_hash: str | UnsetType = UNSET
    custom_password_hash: dict[str, Any] | UnsetType = UNSET
    app_metadata: dict[str, Any] | UnsetType = UNSET
    user_metadata: dict[str, Any] | UnsetType = UNSET
    mfa_factors: Annotated[list[Factor], Meta(min_length=1, max_length=MOST_FACTORS)] | UnsetType = UNSET


class BadRow(Exception):
    """What is wrong with a row, as the errors of a job show it."""

    def __init__(self, code: str, message: str, path: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path

    def shown(self) -> dict[str, str]:
        """The entry in the row's `errors`."""
        entry = {"code": self.code, "message": self.message}
        return {**entry, "path": self.path} if self.path else entry


_decode = msgspec.json.Decoder(ImportRow).decode
_HASH = re.compile(r"\$2[ab]\$10\$[./A-Za-z0-9]{53}")
_NO_HASH = r"Error in passwordHash property - String does not match pattern ^\$2[ab]?\$10+\$[./A-Za-z0-9]{53}$"
_AT = re.compile(r"(?P<message>.*?)(?: - at `\$\.?(?P<path>.*)`)?", re.DOTALL)
_REASONS = (
    (re.compile(r"Object missing required field `(.+)`"), "OBJECT_REQUIRED", "Missing required property: {}"),
    (re.compile(r"Object contains unknown field `(.+)`"), "NOT_PASSED", "Additional properties not allowed: {}"),
    (re.compile(r"Expected `str` of length >= (\d+)"), "MIN_LENGTH", "String is too short, minimum {}"),
    (re.compile(r"Expected `str` of length <= (\d+)"), "MAX_LENGTH", "String is too long, maximum {}"),
    (re.compile(r"Expected `array` of length >= (\d+)"), "ARRAY_LENGTH_SHORT", "Array is too short, minimum {}"),
    (re.compile(r"Expected `array` of length <= (\d+)"), "ARRAY_LENGTH_LONG", "Array is too long, maximum {}"),
    (re.compile(r"Expected `(?:int|float)` >= (.+)"), "MINIMUM", "Value is less than minimum {}"),
    (re.compile(r"Expected `(?:int|float)` <= (.+)"), "MAXIMUM", "Value is greater than maximum {}"),
    (re.compile(r"Expected `str` matching regex '(.*)'", re.DOTALL), "PATTERN", "String does not match pattern {}"),
    (re.compile(r"Invalid enum value (.+)"), "ENUM_MISMATCH", "No enum match for: {}"),
)
_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "object": "object", "array": "array"}


def read_row(raw: bytes | msgspec.Raw) -> ImportRow:
    """One row, checked against the schema as far as it stands alone. Raises BadRow."""
    try:
        row = _decode(raw)
    except msgspec.ValidationError as error:
        raise _explained(str(error)) from None
    except (msgspec.DecodeError, RecursionError):
        raise BadRow("INVALID_TYPE", "The row is not a JSON object") from None
    text = bytes(raw)
    if b"\\u0000" in text or text.count(b"{") + text.count(b"[") > SUSPICIOUS_BRACKETS:
        _check_strictly(text)
    if row.email is not UNSET and not is_email(row.email):
        raise BadRow("FORMAT", f"Object didn't pass validation for format email: {row.email[:80]}", "email")
    if row.username is not UNSET and not is_username(row.username):
        raise BadRow("FORMAT", "Object didn't pass validation for format username", "username")
    if row.password_hash is not UNSET and row.custom_password_hash is not UNSET:
        raise BadRow("NOT_PASSED", "password_hash and custom_password_hash exclude each other", "custom_password_hash")
    if row.app_metadata is not UNSET and not RESERVED_METADATA.isdisjoint(row.app_metadata):
        name = sorted(RESERVED_METADATA & row.app_metadata.keys())[0]
        raise BadRow("NOT_PASSED", f"app_metadata must not contain {name}", f"app_metadata.{name}")
    if row.mfa_factors is not UNSET:
        _check_factors(row.mfa_factors)
    return row


def read_hash(row: ImportRow) -> tuple[str, bool] | None:
    """The storage string of the row's password hash and whether it is a foreign one; None without. Raises BadRow."""
    try:
        if row.password_hash is not UNSET:
            if not _HASH.fullmatch(row.password_hash):
                raise BadRow("PATTERN", _NO_HASH, "password_hash")
            return parse_bcrypt(row.password_hash), False
        if row.custom_password_hash is not UNSET:
            return parse_custom_hash(row.custom_password_hash), True
    except BadHash as error:
        inside = "password_hash" if row.custom_password_hash is UNSET else "custom_password_hash"
        path = f"{inside}.{error.path}" if error.path and inside != "password_hash" else inside
        raise BadRow(error.code, error.message, path) from None
    return None


def arrival_of(row: ImportRow, database: Database, *, place: int, now: str) -> Arrival:
    """The new user of a row. Raises BadRow for a hash that cannot be used or a missing identifier."""
    _check_identified(row, database)
    stored = read_hash(row)
    own_id = row.user_id if row.user_id is not UNSET else new_object_id()
    user_id = f"{DATABASE}|{own_id}"
    email, phone_number = row.email, row.phone_number
    user = User(
        user_id=user_id,
        email=email if email is UNSET else fold_case(email),
        email_verified=UNSET if email is UNSET else row.email_verified is True,
        username=row.username,
        phone_number=phone_number,
        phone_verified=UNSET if phone_number is UNSET else row.phone_verified is True,
        name=row.name,
        nickname=row.nickname,
        given_name=row.given_name,
        family_name=row.family_name,
        picture=row.picture,
        user_metadata=row.user_metadata,
        app_metadata=row.app_metadata,
        blocked=row.blocked,
        identities=[database_identity(database.name, own_id)],
        created_at=now,
        updated_at=now,
    )
    fill_user(user)
    return Arrival(
        place,
        user,
        hashes=((user_id, stored[0]),) if stored else (),
        factors=factors_of(row),
        imported=stored is not None and stored[1],
    )


def factors_of(row: ImportRow) -> tuple[tuple[str, bytes], ...]:
    """Names and contents of the row's factors for the vault."""
    if row.mfa_factors is UNSET:
        return ()
    return stored_factors(msgspec.to_builtins(factor) for factor in row.mfa_factors)


def read_factor(given: Any) -> dict[str, Any]:
    """A factor of a database script, of the form that one of a row has. Raises BadRequest."""
    try:
        factor = msgspec.convert(given, Factor)
        _check_factors([factor])
    except (msgspec.ValidationError, BadRow):
        raise BadRequest("This is not a second factor") from None
    found: dict[str, Any] = msgspec.to_builtins(factor)
    return found


def masked(row: Any) -> Any:
    """A row as sent, without what is secret in it."""
    if not isinstance(row, dict):
        return row
    shown = dict(row)
    if "password_hash" in shown:
        shown["password_hash"] = MASK
    if isinstance(shown.get("custom_password_hash"), dict):
        shown["custom_password_hash"] = _masked_hash(shown["custom_password_hash"])
    if isinstance(shown.get("mfa_factors"), list):
        shown["mfa_factors"] = [
            dict.fromkeys(factor, MASK) if isinstance(factor, dict) else MASK for factor in shown["mfa_factors"]
        ]
    return shown


def _masked_hash(source: dict[str, Any]) -> dict[str, Any]:
    """The algorithm and its figures stay; every value that is a secret or part of one goes."""
    shown: dict[str, Any] = {}
    for name, value in source.items():
        if name in {"hash", "salt", "key", "password"} and isinstance(value, dict):
            shown[name] = _masked_hash(value)
        else:
            shown[name] = MASK if name in {"value", "hash", "salt", "key"} else value
    return shown


def _check_strictly(text: bytes) -> None:
    try:
        decode_json(text)
    except BadRequest as error:
        raise BadRow("FORMAT", error.message) from None


def _check_identified(row: ImportRow, database: Database) -> None:
    if row.email is not UNSET:
        return
    if row.username is not UNSET and database.takes_username and not database.takes_email:
        return
    if row.phone_number is not UNSET and database.takes_phone_number and not database.takes_email:
        return
    raise BadRow("OBJECT_REQUIRED", "Missing required property: email", "email")


def _check_factors(factors: list[Factor]) -> None:
    for number, factor in enumerate(factors):
        given = [name for name in ("totp", "phone", "email") if getattr(factor, name) is not UNSET]
        if len(given) != 1:
            code = "ANY_OF_MISSING" if not given else "NOT_PASSED"
            raise BadRow(code, "A factor has exactly one of totp, phone and email", f"mfa_factors[{number}]")
        if factor.email is not UNSET and not is_email(factor.email.value):
            raise BadRow(
                "FORMAT", "Object didn't pass validation for format email", f"mfa_factors[{number}].email.value"
            )


def _explained(text: str) -> BadRow:
    match = _AT.fullmatch(text)
    message, path = (match["message"], match["path"] or "") if match else (text, "")
    for pattern, code, words in _REASONS:
        if found := pattern.fullmatch(message):
            return BadRow(code, words.format(found[1].replace("\\\\", "\\")), path)
    if found := re.fullmatch(r"Expected `(.+)`, got `(.+)`", message):
        wanted = " or ".join(_TYPES.get(kind, kind) for kind in found[1].split(" | "))
        return BadRow("INVALID_TYPE", f"Expected type {wanted} but found type {_TYPES.get(found[2], found[2])}", path)
    return BadRow("INVALID_TYPE", message, path)
