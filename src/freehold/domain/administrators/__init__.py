"""Tenant administrators: the people who may sign in to a tenant's dashboard."""

from freehold.domain.administrators.access import (
    COOKIE,
    CSRF_FIELD,
    CSRF_HEADER,
    Acting,
    FreshAuthenticationNeeded,
    RoleTooLow,
    SecondFactorNeeded,
    SignInNeeded,
    has_second_factor,
    lifetimes,
    require_admin,
    session_of,
)
from freehold.domain.administrators.mail import TOPIC_FORGOTTEN, answer_forgotten
from freehold.domain.administrators.passkeys import (
    Assertion,
    Passkey,
    PasskeyRefused,
    assertion_options,
    find_passkey,
    passkeys_of,
    verify_assertion,
)
from freehold.domain.administrators.people import (
    OPERATOR,
    ROLES,
    Administrator,
    LastAdministrator,
    Role,
    UnknownAdministrator,
    add_administrator,
    change_role,
    find_administrator,
    find_by_email,
    get_administrator,
    list_administrators,
    owner_of,
    remove_administrator,
    role_of,
    set_blocked,
)
from freehold.domain.administrators.second_person import same_person
from freehold.domain.administrators.sessions import (
    AdminSession,
    Lifetimes,
    Proof,
    begin_session,
    end_session,
    end_sessions_of,
    renew_session,
    sessions_of,
)
from freehold.domain.administrators.sign_in import TOPIC_FAILED, record_failure
from freehold.domain.administrators.tables import TABLES
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="administrators", declarations=TABLES, jobs={TOPIC_FORGOTTEN: answer_forgotten, TOPIC_FAILED: record_failure}
)

__all__ = [
    "COOKIE",
    "CSRF_FIELD",
    "CSRF_HEADER",
    "OPERATOR",
    "PACKAGE",
    "ROLES",
    "Acting",
    "AdminSession",
    "Administrator",
    "Assertion",
    "FreshAuthenticationNeeded",
    "LastAdministrator",
    "Lifetimes",
    "Passkey",
    "PasskeyRefused",
    "Proof",
    "Role",
    "RoleTooLow",
    "SecondFactorNeeded",
    "SignInNeeded",
    "UnknownAdministrator",
    "add_administrator",
    "assertion_options",
    "begin_session",
    "change_role",
    "end_session",
    "end_sessions_of",
    "find_administrator",
    "find_by_email",
    "find_passkey",
    "get_administrator",
    "has_second_factor",
    "lifetimes",
    "list_administrators",
    "owner_of",
    "passkeys_of",
    "remove_administrator",
    "renew_session",
    "require_admin",
    "role_of",
    "same_person",
    "session_of",
    "sessions_of",
    "set_blocked",
    "verify_assertion",
]
