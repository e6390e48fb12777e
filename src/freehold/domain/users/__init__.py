"""Users: profiles, identities, passwords, and what protocols do with them."""

from freehold.domain.connections.connections import TOPIC_DELETED
from freehold.domain.users import blocks
from freehold.domain.users.accounts import PreparedPassword, create_user, delete_user, prepare_password, set_password
from freehold.domain.users.credentials import Verification
from freehold.domain.users.custom import Checked, adopt, check_sign_in
from freehold.domain.users.custom_changes import (
    change_password_elsewhere,
    create_elsewhere,
    find_elsewhere,
    profile_of,
    verify_elsewhere,
)
from freehold.domain.users.databases import Database, database_of, find_database, find_database_by_id, get_database
from freehold.domain.users.documents import MFA_SECRETS, PASSWORD_HASHES, USERS, User
from freehold.domain.users.federated import arrive
from freehold.domain.users.linked import LINKED_IDENTITIES
from freehold.domain.users.operations import OPERATIONS
from freehold.domain.users.orphans import remove_users
from freehold.domain.users.password_policy import PasswordRefused
from freehold.domain.users.profiles import Profile, claims_for, find_profile
from freehold.domain.users.sign_in import (
    SignIn,
    attempt_subject,
    find_for_login,
    keep_rehash,
    record_login,
    record_return,
    sign_up,
    verify_password,
)
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="users",
    declarations=(USERS, LINKED_IDENTITIES, PASSWORD_HASHES, MFA_SECRETS),
    operations=(*OPERATIONS, *blocks.OPERATIONS),
    jobs={TOPIC_DELETED: remove_users},
)

__all__ = [
    "MFA_SECRETS",
    "PACKAGE",
    "PASSWORD_HASHES",
    "USERS",
    "Checked",
    "Database",
    "PasswordRefused",
    "PreparedPassword",
    "Profile",
    "SignIn",
    "User",
    "Verification",
    "adopt",
    "arrive",
    "attempt_subject",
    "change_password_elsewhere",
    "check_sign_in",
    "claims_for",
    "create_elsewhere",
    "create_user",
    "database_of",
    "delete_user",
    "find_database",
    "find_database_by_id",
    "find_elsewhere",
    "find_for_login",
    "find_profile",
    "get_database",
    "keep_rehash",
    "prepare_password",
    "profile_of",
    "record_login",
    "record_return",
    "set_password",
    "sign_up",
    "verify_elsewhere",
    "verify_password",
]
