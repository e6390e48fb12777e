"""Whether two administrators are two persons, as far as a server can tell.

What needs a second person is worth nothing when one person has two accounts. So an account does not count beside
another with the same address or the same factor, nor when the other made it, or took its password or factors away,
a short while ago: whoever does that could sign in as both.
"""

from datetime import timedelta
from hmac import compare_digest

from freehold.domain.administrators.passkeys import passkeys_of
from freehold.domain.administrators.people import OPERATOR, Administrator, find_administrator, owner_of
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel import vault
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Reader

LONGEST_CHAIN = 100


async def same_person(
    reader: Reader, tenant: TenantScope, a: Administrator, b: Administrator, *, min_age_h: float
) -> str | None:
    """Why these two do not count as two persons, as a sentence; None when they do. The order does not matter.

    `min_age_h`: for so many hours an account counts as whose it was made by (`ceremony_second_person_min_age_h`).
    """
    if a.id == b.id:
        return "It is the same administrator."
    if _mailbox(a.email) == _mailbox(b.email):
        return "Both have the same e-mail address."
    if await _share_authenticator(reader, tenant, a, b):
        return "Both have the same authenticator."
    if await _share_passkey(reader, tenant, a, b):
        return "Both have the same passkey."
    since_ms = tenant.clock.now_ms() - int(timedelta(hours=min_age_h).total_seconds() * 1000)
    for maker, made in ((a, b), (b, a)):
        if await _made_lately(reader, tenant, maker, made, since_ms):
            return f"{made.email} was invited by {maker.email}, or through them, less than {min_age_h:g} h ago."
        if await _reset_lately(reader, tenant, maker, made, since_ms):
            return (
                f"Password or factors of {made.email} were taken away for {maker.email} less than {min_age_h:g} h ago."
            )
    return None


def _mailbox(email: str) -> str:
    """The mailbox behind an address: most mail servers deliver `name+anything` to `name`."""
    local, _, domain = canonical_email(email).rpartition("@")
    return f"{local.partition('+')[0] or local}@{domain}"


async def _share_authenticator(reader: Reader, tenant: TenantScope, a: Administrator, b: Administrator) -> bool:
    first = await vault.open_one(reader, tenant, "mfa_secrets", owner_of(a.id), name="totp")
    second = await vault.open_one(reader, tenant, "mfa_secrets", owner_of(b.id), name="totp")
    return first is not None and second is not None and compare_digest(first, second)


async def _share_passkey(reader: Reader, tenant: TenantScope, a: Administrator, b: Administrator) -> bool:
    keys = {passkey.public_key for passkey in await passkeys_of(reader, tenant, a.id)}
    return any(passkey.public_key in keys for passkey in await passkeys_of(reader, tenant, b.id))


async def _made_lately(
    reader: Reader, tenant: TenantScope, maker: Administrator, made: Administrator, since_ms: int
) -> bool:
    """Whether `maker` made the account within the time, or made who made it, and so on."""
    person: Administrator | None = made
    for _ in range(LONGEST_CHAIN):
        if person is None:
            return True  # who made it is gone, and could have been anybody's
        if person.created_at_ms <= since_ms or person.created_by == OPERATOR:
            return False
        if person.created_by == maker.id:
            return True
        person = await find_administrator(reader, tenant, person.created_by)
    return True


async def _reset_lately(
    reader: Reader, tenant: TenantScope, maker: Administrator, made: Administrator, since_ms: int
) -> bool:
    """Whether `maker` took factors or password away within the time, or had it done by somebody they made."""
    if made.reset_by in {None, OPERATOR} or (made.reset_at_ms or 0) <= since_ms:
        return False
    if made.reset_by == maker.id:
        return True
    helper = await find_administrator(reader, tenant, str(made.reset_by))
    return helper is None or await _made_lately(reader, tenant, maker, helper, since_ms)
