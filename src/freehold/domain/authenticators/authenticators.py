"""Which authenticators a user has, enrolling a new one, and taking them away.

An authenticator is a secret in the vault; the row beside it says what happened with it. One that came with an import
has no row until it is first used, and an id that is computed from its owner and its place, so that it never changes.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec.structs import replace

from freehold.domain.users.accounts import save_user
from freehold.domain.users.documents import MFA_SECRETS, USERS
from freehold.kernel import vault
from freehold.kernel.clock import iso
from freehold.kernel.crypto.ids import new_id
from freehold.kernel.crypto.otp import normalise_code
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import Reader, Transaction
from freehold.kernel.vault import is_pending, read_secret

Type = Literal["totp", "recovery-code", "phone", "email"]

RECOVERY_SLOT = "recovery_code"
PENDING_TOTP, PENDING_RECOVERY = "pending/totp", "pending/recovery_code"
PENDING_LIFETIME = timedelta(hours=1)
# By the first part of a place in the vault; `otp` and `recovery-code` are what Auth0's MFA file brings.
_TYPES: dict[str, Type] = {
    "totp": "totp",
    "otp": "totp",
    "recovery_code": "recovery-code",
    "recovery-code": "recovery-code",
    "phone": "phone",
    "email": "email",
}
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_COLUMNS = "slot, id, name, created_at_ms, enrolled_at_ms, last_auth_at_ms, last_step, expires_at_ms"
_SELECT = f"select {_COLUMNS} from authenticators where tenant_id = :tenant_id and user_id = :user_id"  # noqa: S608
_OWNER = "select user_id from authenticators where tenant_id = :tenant_id and id = :id"
_INSERT = """
insert into authenticators (tenant_id, user_id, slot, id, name, created_at_ms, enrolled_at_ms, last_auth_at_ms,
last_step, expires_at_ms) values (:tenant_id, :user_id, :slot, :id, :name, :created, :enrolled, null, :last_step,
:expires)
"""
_DELETE = "delete from authenticators where tenant_id = :tenant_id and user_id = :user_id and slot = :slot"


class Authenticator(msgspec.Struct, frozen=True, kw_only=True):
    """One authenticator of a user; times are milliseconds, None where they are not known."""

    id: str
    user_id: str
    slot: str
    type: Type
    confirmed: bool
    name: str | None = None
    created_at_ms: int | None = None
    enrolled_at_ms: int | None = None
    last_auth_at_ms: int | None = None
    last_step: int | None = None

    @property
    def device_id(self) -> str:
        """The id without its type: what Guardian calls an enrollment."""
        return self.id.partition("|")[2]


class Factors(msgspec.Struct, frozen=True):
    """A user's authenticators by what they are good for."""

    all: tuple[Authenticator, ...] = ()

    @property
    def confirmed(self) -> tuple[Authenticator, ...]:
        """Those that count."""
        return tuple(one for one in self.all if one.confirmed)

    @property
    def totp(self) -> tuple[Authenticator, ...]:
        """The authenticator apps."""
        return tuple(one for one in self.confirmed if one.type == "totp")

    @property
    def recovery(self) -> tuple[Authenticator, ...]:
        """The recovery code; an import may have brought more than one."""
        return tuple(one for one in self.confirmed if one.type == "recovery-code")

    @property
    def pending(self) -> Authenticator | None:
        """An app that was begun with and not proved yet."""
        return next((one for one in self.all if one.slot == PENDING_TOTP), None)

    @property
    def enrolled(self) -> bool:
        """Whether there is a second factor; a recovery code alone is none."""
        return any(one.type != "recovery-code" for one in self.confirmed)


async def factors_of(reader: Reader, tenant: TenantScope, user_id: str) -> Factors:
    """Everything a user has, oldest place first; a pending one only as long as it may still be confirmed."""
    slots = await vault.names_of(reader, tenant, MFA_SECRETS.name, user_id)
    if not slots:
        return Factors()
    rows = {row[0]: row for row in await reader.all(_SELECT, tenant_id=tenant.id, user_id=user_id)}
    now = tenant.clock.now_ms()
    found = []
    for slot in slots:
        type_ = type_of(slot)
        row = rows.get(slot)
        if type_ is None or (is_pending(slot) and (row is None or row[7] is None or row[7] <= now)):
            continue
        if row is None:
            found.append(
                Authenticator(
                    id=f"{type_}|{_imported_id(user_id, slot)}", user_id=user_id, slot=slot, type=type_, confirmed=True
                )
            )
            continue
        _, id_, name, created, enrolled, last_auth, last_step, _ = row
        found.append(
            Authenticator(
                id=id_,
                user_id=user_id,
                slot=slot,
                type=type_,
                confirmed=not is_pending(slot),
                name=name,
                created_at_ms=created,
                enrolled_at_ms=enrolled,
                last_auth_at_ms=last_auth,
                last_step=last_step,
            )
        )
    return Factors(tuple(found))


async def owner_of(reader: Reader, tenant: TenantScope, id_: str) -> str | None:
    """Whose authenticator this is, None for one that was never used here."""
    row = await reader.one(_OWNER, tenant_id=tenant.id, id=id_)
    return None if row is None else row[0]


def type_of(slot: str) -> Type | None:
    """What lies at a place of the vault, pending or not."""
    return _TYPES.get(slot.removeprefix("pending/").partition("/")[0])


# --- enrolling ---------------------------------------------------------------------------------------------------


async def begin_totp(
    tx: Transaction, tenant: TenantScope, user_id: str, *, secret: str, recovery_hash: str | None = None
) -> Authenticator:
    """Put a secret down as pending, in the place of one that was pending; it counts once it is confirmed."""
    await _drop(tx, tenant, user_id, [PENDING_TOTP, PENDING_RECOVERY])
    await vault.put(tx, tenant, MFA_SECRETS.name, user_id, _totp_content(secret), name=PENDING_TOTP)
    expires = tenant.clock.now_ms() + int(PENDING_LIFETIME.total_seconds() * 1000)
    begun = await _insert(tx, tenant, user_id, PENDING_TOTP, expires=expires)
    if recovery_hash is not None:
        await vault.put(tx, tenant, MFA_SECRETS.name, user_id, recovery_hash.encode(), name=PENDING_RECOVERY)
        await _insert(tx, tenant, user_id, PENDING_RECOVERY, expires=expires)
    return begun


async def confirm_totp(tx: Transaction, tenant: TenantScope, pending: Authenticator, *, step: int) -> Authenticator:
    """Make a pending authenticator count, with the recovery code that was made beside it; `step` is used up.

    Raises UniqueViolation when another one was confirmed at the same moment.
    """
    user_id = pending.user_id
    secret = await open_secret(tx, tenant, pending)
    recovery = await vault.open_one(tx, tenant, MFA_SECRETS.name, user_id, name=PENDING_RECOVERY)
    await _drop(tx, tenant, user_id, [PENDING_TOTP, PENDING_RECOVERY])
    if recovery is not None:
        await replace_recovery(tx, tenant, user_id, recovery.decode())
    return await add_totp(tx, tenant, user_id, secret=secret, step=step, id_=pending.id, name=pending.name)


async def add_totp(
    tx: Transaction,
    tenant: TenantScope,
    user_id: str,
    *,
    secret: str,
    step: int | None = None,
    name: str | None = None,
    id_: str | None = None,
) -> Authenticator:
    """Store a confirmed authenticator app. `step` is the code that proved it, which is used up by that."""
    slot = await _free_slot(tx, tenant, user_id, "totp")
    await vault.put(tx, tenant, MFA_SECRETS.name, user_id, _totp_content(secret), name=slot)
    made = await _insert(tx, tenant, user_id, slot, id_=id_, name=name, last_step=step, enrolled=True)
    await note_factors(tx, tenant, user_id)
    return made


async def add_other(
    tx: Transaction,
    tenant: TenantScope,
    user_id: str,
    type_: Literal["phone", "email"],
    value: str,
    *,
    name: str | None,
    preferred: str = "sms",
) -> Authenticator:
    """Store a number or an address for codes, which an administrator vouches for."""
    slot = await _free_slot(tx, tenant, user_id, type_)
    content = {"value": value} if preferred == "sms" else {"value": value, "preferred": preferred}
    await vault.put(tx, tenant, MFA_SECRETS.name, user_id, msgspec.json.encode(content), name=slot)
    made = await _insert(tx, tenant, user_id, slot, name=name, enrolled=True)
    await note_factors(tx, tenant, user_id)
    return made


async def replace_recovery(tx: Transaction, tenant: TenantScope, user_id: str, stored: str) -> Authenticator:
    """Make this hash the user's one recovery code; what an import brought is gone with it."""
    known = await factors_of(tx, tenant, user_id)
    older = [one.last_step or 0 for one in known.recovery]
    await _drop(tx, tenant, user_id, [RECOVERY_SLOT, *(one.slot for one in known.recovery)])
    await vault.put(tx, tenant, MFA_SECRETS.name, user_id, stored.encode(), name=RECOVERY_SLOT)
    return await _insert(tx, tenant, user_id, RECOVERY_SLOT, last_step=max(older, default=0) + 1, enrolled=True)


async def rename(tx: Transaction, tenant: TenantScope, one: Authenticator, name: str | None) -> Authenticator:
    """Give an authenticator another name."""
    await ensure_row(tx, tenant, one)
    await tx.run(
        "update authenticators set name = :name where tenant_id = :tenant_id and user_id = :user_id and slot = :slot",
        name=name,
        tenant_id=tenant.id,
        user_id=one.user_id,
        slot=one.slot,
    )
    return replace(one, name=name)


async def prefer(tx: Transaction, tenant: TenantScope, one: Authenticator, way: str) -> None:
    """Say how codes should reach a phone."""
    content = {"value": await open_secret(tx, tenant, one), "preferred": way}
    await vault.put(tx, tenant, MFA_SECRETS.name, one.user_id, msgspec.json.encode(content), name=one.slot)


async def open_preference(reader: Reader, tenant: TenantScope, one: Authenticator) -> str:
    """How codes should reach a phone: `sms` or `voice`."""
    content = await vault.open_one(reader, tenant, MFA_SECRETS.name, one.user_id, name=one.slot)
    known = msgspec.json.decode(content, type=dict[str, str]) if content and content.startswith(b"{") else {}
    return known.get("preferred", "sms")


# --- taking away -------------------------------------------------------------------------------------------------


async def remove(tx: Transaction, tenant: TenantScope, gone: Sequence[Authenticator]) -> None:
    """Take authenticators of one user away, and what was remembered because of them. The last app's recovery code
    goes along."""
    if not gone:
        return
    user_id = gone[0].user_id
    await _drop(tx, tenant, user_id, [one.slot for one in gone])
    left = await factors_of(tx, tenant, user_id)
    if not left.enrolled:
        await _drop(tx, tenant, user_id, [one.slot for one in left.all])
        await forget_browsers(tx, tenant, user_id)
    await note_factors(tx, tenant, user_id)
    await tenant.events.record(
        tx, tenant, "gd_unenroll", user_id=user_id, description="; ".join(one.type for one in gone)
    )


async def remove_all(tx: Transaction, tenant: TenantScope, user_id: str) -> bool:
    """Reset a user: no factor, no recovery code, no remembered browser. Answers whether there was anything."""
    slots = await vault.names_of(tx, tenant, MFA_SECRETS.name, user_id)
    await _drop(tx, tenant, user_id, slots)
    await forget_browsers(tx, tenant, user_id)
    await note_factors(tx, tenant, user_id)
    if slots:
        await tenant.events.record(tx, tenant, "gd_unenroll", user_id=user_id, description="All authenticators removed")
    return bool(slots)


async def forget_browsers(tx: Transaction, tenant: TenantScope, user_id: str) -> int:
    """Have every browser of a user asked for a code again; how many there were."""
    return await tx.run(
        "delete from remembered_browsers where tenant_id = :tenant_id and user_id = :user_id",
        tenant_id=tenant.id,
        user_id=user_id,
    )


# --- inside the package ------------------------------------------------------------------------------------------


async def open_secret(reader: Reader, tenant: TenantScope, one: Authenticator) -> str:
    """The secret itself: only to compare with, never to show. Empty when it is gone."""
    content = await vault.open_one(reader, tenant, MFA_SECRETS.name, one.user_id, name=one.slot)
    return "" if content is None else read_secret(content)


async def ensure_row(tx: Transaction, tenant: TenantScope, one: Authenticator) -> None:
    """Write the row of an imported authenticator that has none yet."""
    if one.created_at_ms is None:
        await tx.run(
            f"{_INSERT} on conflict (tenant_id, user_id, slot) do nothing",
            tenant_id=tenant.id,
            user_id=one.user_id,
            slot=one.slot,
            id=one.id,
            name=one.name,
            created=tenant.clock.now_ms(),
            enrolled=None,
            last_step=None,
            expires=None,
        )


async def note_factors(tx: Transaction, tenant: TenantScope, user_id: str) -> None:
    """Let the user's profile say whether there is a second factor, as Auth0's does (`multifactor: ["guardian"]`)."""
    record = await documents.read(tx, tenant, USERS, user_id)
    if record is None:
        return
    before: list[str] = record.document.get("multifactor") or []
    enrolled = (await factors_of(tx, tenant, user_id)).enrolled
    after = [*(one for one in before if one != "guardian"), *(["guardian"] if enrolled else [])]
    if before != after:
        values = {**record.document, "multifactor": after, "multifactor_last_modified": iso(tenant.clock.now_ms())}
        await save_user(tx, tenant, record, values)


async def _insert(
    tx: Transaction,
    tenant: TenantScope,
    user_id: str,
    slot: str,
    *,
    id_: str | None = None,
    name: str | None = None,
    last_step: int | None = None,
    enrolled: bool = False,
    expires: int | None = None,
) -> Authenticator:
    now = tenant.clock.now_ms()
    type_ = type_of(slot)
    assert type_ is not None  # a place of ours
    made = Authenticator(
        id=id_ or new_id(f"{type_}|dev_"), user_id=user_id, slot=slot, type=type_, confirmed=not is_pending(slot),
        name=name, created_at_ms=now, enrolled_at_ms=now if enrolled else None, last_step=last_step,
    )  # fmt: skip
    await tx.run(
        _INSERT,
        tenant_id=tenant.id,
        user_id=user_id,
        slot=slot,
        id=made.id,
        name=name,
        created=now,
        enrolled=made.enrolled_at_ms,
        last_step=last_step,
        expires=expires,
    )
    return made


async def _drop(tx: Transaction, tenant: TenantScope, user_id: str, slots: Iterable[str]) -> None:
    for slot in slots:
        await vault.drop(tx, tenant, MFA_SECRETS.name, user_id, name=slot)
        await tx.run(_DELETE, tenant_id=tenant.id, user_id=user_id, slot=slot)


async def _free_slot(tx: Transaction, tenant: TenantScope, user_id: str, name: str) -> str:
    """A place where neither a secret lies nor a row stands: a tenant may have been restored without its vault."""
    taken = set(await vault.names_of(tx, tenant, MFA_SECRETS.name, user_id))
    taken.update(row[0] for row in await tx.all(_SELECT, tenant_id=tenant.id, user_id=user_id))
    return next(slot for slot in _numbered(name) if slot not in taken)


def _numbered(name: str) -> Iterable[str]:
    yield name
    for number in range(2, 1000):
        yield f"{name}/{number}"


def _totp_content(secret: str) -> bytes:
    return msgspec.json.encode({"secret": normalise_code(secret).rstrip("=")})


def _imported_id(user_id: str, slot: str) -> str:
    number = int.from_bytes(sha256(f"{user_id}/{slot}".encode()).digest()[:12])
    digits = ""
    for _ in range(16):
        number, digit = divmod(number, 62)
        digits += _BASE62[digit]
    return f"dev_{digits}"
