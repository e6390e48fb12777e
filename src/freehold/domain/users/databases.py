"""A connection as the rules about users see it: which identifiers it takes and what its passwords must be."""

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.domain.connections import CONNECTION_CLIENTS, CONNECTIONS, Connection
from freehold.domain.users.documents import DATABASE
from freehold.kernel.declare import TenantScope, documents, relations
from freehold.kernel.errors import BadRequest
from freehold.kernel.store import Store

IDENTIFIERS = ("email", "username", "phone_number")
PASSWORDLESS = frozenset({"email", "sms"})


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that keeps users: a database, or a passwordless one."""

    id: str
    name: str
    strategy: str
    options: Mapping[str, Any]
    is_domain_connection: bool = False

    @property
    def provider(self) -> str:
        """The first part of its users' ids."""
        return self.strategy

    @property
    def has_passwords(self) -> bool:
        """Whether its users sign in with a password."""
        return self.strategy == DATABASE

    @property
    def is_custom(self) -> bool:
        """Whether scripts of the tenant keep the users elsewhere."""
        return bool(self.options.get("enabledDatabaseCustomization"))

    @property
    def imports_users(self) -> bool:
        """Whether users of a custom database come here for good when they first sign in."""
        return bool(self.options.get("import_mode"))

    @property
    def keeps_passwords(self) -> bool:
        """Whether passwords are checked here. Without import mode, nothing of them stays here at all."""
        return self.has_passwords and (self.imports_users or not self.is_custom)

    @property
    def takes_username(self) -> bool:
        """Whether its users have user names."""
        return bool(self.options.get("requires_username")) or self._attribute("username")

    @property
    def takes_phone_number(self) -> bool:
        """Whether its users sign in with phone numbers."""
        return self.strategy == "sms" or self._attribute("phone_number")

    @property
    def takes_email(self) -> bool:
        """Whether its users sign in with addresses; they do unless attributes say otherwise."""
        attributes = self.options.get("attributes")
        return self.strategy != "sms" and (not attributes or self._attribute("email") or "email" not in attributes)

    @property
    def allows_sign_up(self) -> bool:
        """Whether strangers may make accounts for themselves."""
        method = (self.options.get("authentication_methods") or {}).get("password") or {}
        closed = self.options.get("disable_signup") or method.get("signup_behavior") == "block"
        return self.has_passwords and not closed

    @property
    def offers_reset(self) -> bool:
        """Whether the pages lead to the mail for a forgotten password."""
        return self.has_passwords and self.options.get("disable_self_service_change_password") is not True

    @property
    def is_guarded(self) -> bool:
        """Whether brute-force protection is on."""
        return self.options.get("brute_force_protection") is not False

    @property
    def required_identifiers(self) -> tuple[str, ...]:
        """What a sign-up must give. Where attributes require nothing, any one of them will do."""
        if not self.options.get("attributes"):
            return ("email", "username") if self.takes_username else ("email",)
        return tuple(name for name in IDENTIFIERS if self._sign_up_status(name) == "required")

    @property
    def optional_identifiers(self) -> tuple[str, ...]:
        """What a sign-up may give besides."""
        if not self.options.get("attributes"):
            return ()
        return tuple(name for name in IDENTIFIERS if self._sign_up_status(name) == "optional")

    @property
    def username_bounds(self) -> tuple[int, int]:
        """The least and greatest length of a user name."""
        attributes = self.options.get("attributes") or {}
        validation = (attributes.get("username") or {}).get("validation") or {}
        if validation:
            return int(validation.get("min_length") or 1), int(validation.get("max_length") or 128)
        legacy = (self.options.get("validation") or {}).get("username") or {}
        return int(legacy.get("min") or 1), int(legacy.get("max") or 128)

    def _sign_up_status(self, name: str) -> str:
        attribute = (self.options.get("attributes") or {}).get(name) or {}
        stated = (attribute.get("signup") or {}).get("status")
        return stated or ("optional" if self._attribute(name) else "inactive")

    def _attribute(self, name: str) -> bool:
        attribute = (self.options.get("attributes") or {}).get(name) or {}
        return bool((attribute.get("identifier") or {}).get("active"))


def database_of(connection: Connection) -> Database:
    """A connection as the rules about users see it."""
    return Database(
        id=connection.id,
        name=connection.name,
        strategy=connection.strategy,
        options=connection.options or {},
        is_domain_connection=bool(connection.is_domain_connection),
    )


async def find_database(store: Store, tenant: TenantScope, name: str) -> Database | None:
    """The connection of this name, whatever its strategy, or None."""
    connection = await documents.cached_by(store, tenant, CONNECTIONS, name=name)
    return None if connection is None else database_of(connection)


async def find_database_by_id(store: Store, tenant: TenantScope, id_: str) -> Database | None:
    """The connection with this id, or None."""
    connection = await documents.cached(store, tenant, CONNECTIONS, id_)
    return None if connection is None else database_of(connection)


async def is_enabled(store: Store, tenant: TenantScope, database: Database) -> bool:
    """Whether any application may use the connection."""
    if database.is_domain_connection:
        return True
    return bool(await relations.related_ids(store, tenant, CONNECTION_CLIENTS, database.id))


async def get_database(store: Store, tenant: TenantScope, name: str) -> Database:
    """The connection of this name, if users can be made in it. Raises BadRequest in Auth0's words."""
    database = await find_database(store, tenant, name)
    if database is None:
        raise BadRequest("Connection does not exist.", code="inexistent_connection")
    if database.strategy != DATABASE and database.strategy not in PASSWORDLESS:
        raise BadRequest(
            "Connection does not support user creation through the API. "
            "It must either be a database or passwordless connection.",
            code="operation_not_supported",
        )
    return database
