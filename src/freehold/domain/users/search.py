"""What a user search can name (Auth0's user search engine v3), and where each value stands.

Values are compared exactly, except address and names, which are compared without case (names: without the case of
ASCII letters, which is what both databases can do). Metadata has no wildcards or ranges, and a term without a field
does not look into it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from freehold.domain.users.identifiers import canonical_username, fold_case
from freehold.kernel.clock import iso
from freehold.kernel.search import (
    DateField,
    DomainField,
    Field,
    FieldSet,
    JsonField,
    NumberField,
    RelatedField,
    TextField,
)
from freehold.kernel.search.fields import Bind, Bound

_FOLDED = ("name", "given_name", "family_name", "nickname")
_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}


@dataclass(frozen=True, slots=True)
class NameField(TextField):
    """A name, compared without the case of its ASCII letters."""

    folded: bool = True

    def _fold(self, text: str) -> str:
        return text.translate(_ASCII_LOWER)


@dataclass(frozen=True, slots=True)
class AddressField(TextField):
    """An e-mail address in its canonical form."""

    folded: bool = True

    def _fold(self, text: str) -> str:
        return fold_case(text)


@dataclass(frozen=True, slots=True)
class IsoDateField(DateField):
    """A time that is kept as ISO 8601 text, which sorts as the times do."""

    def equals(self, text: str, bind: Bind) -> str:
        """Within the stretch that the text names."""
        start_ms, end_ms = self._span(text)
        return f"({self.sql} >= {bind(iso(start_ms))} and {self.sql} < {bind(iso(end_ms))})"

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """From one stretch to another, each inside or outside as a whole."""
        conditions = []
        if low.text is not None:
            start_ms, end_ms = self._span(low.text)
            conditions.append(f"{self.sql} >= {bind(iso(start_ms if low.inclusive else end_ms))}")
        if high.text is not None:
            start_ms, end_ms = self._span(high.text)
            conditions.append(f"{self.sql} < {bind(iso(end_ms if high.inclusive else start_ms))}")
        return f"({' and '.join(conditions)})" if conditions else self.exists(bind)


_USERNAME = TextField("json_text(document, 'username')")


@dataclass(frozen=True, slots=True)
class UserNameField(Field):
    """The user name: compared exactly, but found by the index on its canonical form."""

    def equals(self, text: str, bind: Bind) -> str:
        """The same name."""
        return f"(ix_username = {bind(canonical_username(text))} and {_USERNAME.equals(text, bind)})"

    def like(self, literals: Sequence[str], bind: Bind) -> str:
        """A name of this form."""
        return _USERNAME.like(literals, bind)

    def between(self, low: Bound, high: Bound, bind: Bind) -> str:
        """In the order of bytes."""
        return _USERNAME.between(low, high, bind)

    def exists(self, bind: Bind) -> str:
        """There is a name."""
        return "ix_username is not null"

    def order(self) -> str | None:
        """What to sort by."""
        return "ix_username"


USER_FIELDS = FieldSet(
    fields={
        "user_id": TextField("id", null=False),
        "email": AddressField("ix_email"),
        "email.raw": TextField("json_text(document, 'email')"),
        "email.domain": DomainField("ix_email"),
        "username": UserNameField(),
        "phone_number": TextField("ix_phone_number"),
        **{name: NameField(f"lower(json_text(document, '{name}'))") for name in _FOLDED},
        "email_verified": JsonField(("email_verified",)),
        "phone_verified": JsonField(("phone_verified",)),
        "blocked": JsonField(("blocked",)),
        "picture": JsonField(("picture",)),
        "identities.connection": JsonField(("identities", "connection")),
        "identities.provider": JsonField(("identities", "provider")),
        "identities.user_id": JsonField(("identities", "user_id")),
        "identities.isSocial": JsonField(("identities", "isSocial")),
        "created_at": DateField("created_at", null=False),
        "updated_at": DateField("updated_at", null=False),
        "last_login": IsoDateField("last_login"),
        "last_ip": TextField("last_ip"),
        "logins_count": NumberField("logins_count"),
        "last_password_reset": IsoDateField("json_text(document, 'last_password_reset')"),
        "multifactor": JsonField(("multifactor",)),
        "roles": RelatedField(
            "select 1 from role_users l where l.tenant_id = users.tenant_id and l.right_id = users.id",
            TextField("l.left_id"),
        ),
    },
    prefixes={
        "user_metadata": JsonField(("user_metadata",), wildcards=False, ranges=False),
        "app_metadata": JsonField(("app_metadata",)),
        "identities.profileData": JsonField(("identities", "profileData")),
    },
    bare=("email", "name", "given_name", "family_name", "nickname", "username", "user_id", "phone_number"),
    sortable=frozenset(
        {
            "user_id", "email", "username", "phone_number", "name", "given_name", "family_name", "nickname",
            "created_at", "updated_at", "last_login", "last_ip", "logins_count",
        }
    ),
)  # fmt: skip
