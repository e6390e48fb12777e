"""Users on the way in, made into rows: once, before anything is written, so that writing is nothing but inserts.

A batch holds what has to be looked up of its users too, and can be put aside as bytes until its turn comes. It holds no
secret in clear: what goes into the vault is sealed as soon as it is here.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
from msgspec import UNSET

from freehold.domain.users import linked
from freehold.domain.users.credentials import CURRENT, IMPORTED
from freehold.domain.users.documents import LOGIN_PROVIDERS, MFA_SECRETS, PASSWORD_HASHES, USERS, User
from freehold.domain.users.documents import realm as realm_of
from freehold.domain.users.identifiers import canonical_email, canonical_username, is_email, is_phone_number
from freehold.domain.users.usual import UserRow, UserRows
from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.declare.compile import table_of

assert {column.name for column in table_of(USERS).columns} == {*UserRows.__struct_fields__, "tenant_id", "version"}, (
    "the users table changed: write its rows here too"
)
LINKED_COLUMNS = tuple(column.name for column in linked.TABLE.columns if column.name != "tenant_id")
LinkedRow = tuple[str, str, str, str | None, str | None, str | None]

Key = tuple[str, str, str]
"""An identifier: kind, canonical value, realm."""
Keys = tuple[list[Key], list[Key]]
"""The identifiers a user signs in with, and those that nobody else may have."""

_encode = msgspec.json.Encoder().encode
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class Arrival(msgspec.Struct, gc=False):
    """One user on the way in, validated: the profile as it will stand, and what goes into the vault."""

    place: int
    """Line or position in the source, for reports."""
    user: User
    hashes: tuple[tuple[str, str], ...] = ()
    """Full identity id and storage string of the hash, for each identity with a password."""
    factors: tuple[tuple[str, bytes], ...] = ()
    """Name and content of each factor, as they stand in the vault."""
    imported: bool = False
    """The hash is to be replaced by one of ours at the first sign-in, whatever its kind."""


class Sealed(msgspec.Struct, array_like=True, gc=False):
    """Vault rows of one kind and name: whose they are (as a number in the batch), and owner and value."""

    kind: str
    name: str
    numbers: list[int]
    owners: list[str]
    values: list[bytes]

    def only(self, chosen: Sequence[int], numbers: list[int]) -> "Sealed":
        """The rows in these places, of users who have these numbers by now."""
        owners, values = [self.owners[place] for place in chosen], [self.values[place] for place in chosen]
        return Sealed(self.kind, self.name, numbers, owners, values)


class Batch(msgspec.Struct, array_like=True, gc=False):
    """Users as rows, to be written together."""

    places: list[int] = []
    users: UserRows = msgspec.field(default_factory=UserRows)
    sealed: list[Sealed] = []
    linked: list[LinkedRow] = []
    """Identities beside the first one."""
    unusual: dict[int, Keys] = {}
    """The identifiers of those who have others than an e-mail address, by their number in the batch."""

    def __len__(self) -> int:
        return len(self.places)

    def add(self, tenant: TenantScope, arrivals: Iterable[Arrival]) -> None:
        """Append users of any form."""
        for arrival in arrivals:
            number = len(self)
            user = arrival.user
            self.places.append(arrival.place)
            self.users.append(_row(user))
            if not _has_only_email(user):
                self.unusual[number] = identifiers_of(user)
            if len(user.identities) > 1:
                for row in linked.rows_of(tenant, user.user_id, user.identities):
                    self.linked.append(tuple(row[column] for column in LINKED_COLUMNS))
            for identity, stored in arrival.hashes:
                self.add_hashes(tenant, [number], [identity], [stored], imported=arrival.imported)
            for name, content in arrival.factors:
                self._seal(tenant, MFA_SECRETS.name, name, [number], [user.user_id], [content])

    def add_rows(self, places: Iterable[int], rows: UserRows) -> None:
        """Append users who are rows already and have one identity; their hashes and factors are added apart."""
        self.places += places
        self.users.extend(rows)

    def add_hashes(
        self,
        tenant: TenantScope,
        numbers: Sequence[int],
        identities: Sequence[str],
        stored: Sequence[str],
        *,
        imported: bool,
    ) -> None:
        """Seal password hashes of users that are in the batch."""
        name = IMPORTED if imported else CURRENT
        self._seal(tenant, PASSWORD_HASHES.name, name, numbers, identities, [text.encode() for text in stored])

    def add_factor(self, tenant: TenantScope, number: int, name: str, content: bytes) -> None:
        """Seal a factor of a user who is in the batch."""
        self._seal(tenant, MFA_SECRETS.name, name, [number], [self.users.id[number]], [content])

    def keys(self, number: int) -> Keys:
        """The identifiers of a user."""
        found = self.unusual.get(number)
        if found is None:
            email, realm = self.users.ix_email[number], self.users.ix_realm[number]
            if email is None:
                return [], []
            mail = ("email", email, realm)
            found = [mail], [mail, ("username", email, realm)]
        return found

    def linked_ids(self) -> dict[str, list[str]]:
        """The ids of the identities beside the first, by user."""
        found: dict[str, list[str]] = {}
        for identity, user_id, *_ in self.linked:
            found.setdefault(user_id, []).append(identity)
        return found

    def only(self, chosen: Sequence[int]) -> "Batch":
        """The users with these numbers, in this order."""
        moved = {number: place for place, number in enumerate(chosen)}
        users = self.users.only(chosen)
        ids = set(users.id)
        batch = Batch(
            places=[self.places[number] for number in chosen],
            users=users,
            linked=[row for row in self.linked if row[1] in ids],
            unusual={moved[number]: keys for number, keys in self.unusual.items() if number in moved},
        )
        for sealed in self.sealed:
            kept = [place for place, number in enumerate(sealed.numbers) if number in moved]
            if kept:
                batch.sealed.append(sealed.only(kept, [moved[sealed.numbers[place]] for place in kept]))
        return batch

    def _seal(
        self,
        tenant: TenantScope,
        kind: str,
        name: str,
        numbers: Sequence[int],
        owners: Sequence[str],
        values: Sequence[bytes],
    ) -> None:
        secrets = vault.seal_all(tenant, kind, name, owners, values)
        for sealed in self.sealed:
            if sealed.kind == kind and sealed.name == name:
                sealed.numbers += numbers
                sealed.owners += owners
                sealed.values += secrets
                return
        self.sealed.append(Sealed(kind, name, list(numbers), list(owners), secrets))


def prepare(tenant: TenantScope, arrivals: Iterable[Arrival]) -> Batch:
    """A batch of users of any form."""
    batch = Batch()
    batch.add(tenant, arrivals)
    return batch


def _row(user: User) -> UserRow:
    first = user.identities[0]
    connection, provider = first["connection"], first["provider"]
    last_login, last_ip, logins_count = user.last_login, user.last_ip, user.logins_count
    user.last_login = user.last_ip = user.logins_count = UNSET
    document = _encode(user).decode()
    user.last_login, user.last_ip, user.logins_count = last_login, last_ip, logins_count
    return (
        user.user_id,
        _ms(user.created_at),
        _ms(user.updated_at),
        document,
        None if last_login is UNSET else last_login,
        None if last_ip is UNSET else last_ip,
        None if logins_count is UNSET else logins_count,
        None if user.email is UNSET else canonical_email(user.email),
        None if user.username is UNSET else canonical_username(user.username),
        None if user.phone_number is UNSET else user.phone_number,
        connection,
        connection if provider in LOGIN_PROVIDERS else f"{provider}|{first['user_id']}",
    )


def _ms(moment: str) -> int:
    """Milliseconds since the epoch; times without an offset are taken as UTC."""
    found = datetime.fromisoformat(moment)
    return ((found if found.tzinfo else found.replace(tzinfo=UTC)) - _EPOCH) // _MILLISECOND


def _has_only_email(user: User) -> bool:
    """Whether the address in the row says what the user can be found by."""
    if user.username is not UNSET or user.phone_number is not UNSET or len(user.identities) > 1:
        return False
    return user.email is UNSET or user.email.isascii()


def identifiers_of(user: User) -> Keys:
    """The identifiers a user signs in with as (kind, canonical value, realm), and those no other may have."""
    own: list[Key] = []
    clashing: list[Key] = []
    realm = realm_of(user.identities[0])
    if user.email is not UNSET:
        own.append(("email", canonical_email(user.email), realm))
        clashing += [own[-1], ("username", canonical_username(user.email), realm)]
    if user.username is not UNSET:
        own.append(("username", canonical_username(user.username), realm))
        clashing.append(own[-1])
        if is_email(user.username):
            clashing.append(("email", canonical_email(user.username), realm))
        if is_phone_number(user.username):
            clashing.append(("phone_number", user.username, realm))
    if user.phone_number is not UNSET:
        own.append(("phone_number", user.phone_number, realm))
        clashing += [own[-1], ("username", user.phone_number, realm)]
    for identity in user.identities[1:]:
        profile = identity.get("profileData") or {}
        place = realm_of(identity)
        if profile.get("email"):
            own.append(("email", canonical_email(profile["email"]), place))
        if profile.get("username"):
            own.append(("username", canonical_username(profile["username"]), place))
        if profile.get("phone_number"):
            own.append(("phone_number", profile["phone_number"], place))
    return own, clashing
