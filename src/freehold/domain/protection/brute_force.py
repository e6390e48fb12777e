"""Brute-force protection: whoever fails to sign in ten times in a row from one place has to stop there.

A place is a user and a network address (for IPv6 a /64, which one person has to themselves). It makes no difference
whether there is such a user. The first try of a place that has no failures costs nothing; otherwise a place among the
ten is taken before the password is looked at, so that tries sent at once gain nothing: beyond the limit come at most as
many as there are server processes.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from freehold.domain.protection.counters import count_of, forget, give_back, note_once, take_place
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import TooManyRequests
from freehold.kernel.store import Store, Transaction

MAX_FAILURES = 10
REMEMBERED = timedelta(days=30)
"""After so long without a failure a block is over."""
RETRY_AFTER_S = 3600


class TooManyAttempts(TooManyRequests):
    """The place is blocked, whatever the password."""

    code = "too_many_attempts"

    def __init__(self) -> None:
        super().__init__(
            "Your account has been blocked after multiple consecutive login attempts. "
            "We've sent you a notification via your preferred contact method with instructions on how to unblock it.",
            retry_after_s=RETRY_AFTER_S,
        )


@dataclass(slots=True)
class Attempt:
    """One try, which must be told how it went."""

    tenant: TenantScope
    purpose: str
    subject: str
    ip: str
    failures: int
    counted: bool = False
    decided: bool = False
    guarded: bool = True

    async def failed(self, tx: Transaction) -> bool:
        """The password was wrong. True for the one failure that brings the block about."""
        self.decided = True
        if not self.guarded:
            return False
        where = (tx, self.tenant, self.purpose, self.subject, self.ip)
        if not self.counted:
            await take_place(*where, limit=MAX_FAILURES, lasts=REMEMBERED)
        return await note_once(*where, limit=MAX_FAILURES)

    async def succeeded(self, tx: Transaction) -> None:
        """The password was right: failures no longer count."""
        self.decided = True
        if self.guarded and (self.counted or self.failures):
            await forget(tx, self.tenant, self.purpose, self.subject, self.ip)


class LoginGuard:
    """Admits tries to sign in. One per process: it knows which are being looked at here."""

    def __init__(self) -> None:
        self._under_way: Counter[tuple[str, str, str, str]] = Counter()

    @asynccontextmanager
    async def attempt(
        self, store: Store, tenant: TenantScope, *, connection: str, subject: str, ip: str, enabled: bool = True
    ) -> AsyncIterator[Attempt]:
        """A try to sign in to a connection as `subject`, a canonical identifier. Raises TooManyAttempts."""
        attempt = Attempt(tenant, purpose_of(connection), subject, network_of(ip), 0, guarded=enabled)
        if not enabled:
            yield attempt
            return
        attempt.failures = await count_of(store, tenant, attempt.purpose, subject, attempt.ip)
        if attempt.failures >= MAX_FAILURES:
            raise TooManyAttempts
        key = (tenant.id, attempt.purpose, subject, attempt.ip)
        attempt.counted = bool(attempt.failures or self._under_way[key])
        self._under_way[key] += 1
        try:
            if attempt.counted:
                await self._take_place(store, attempt)
            yield attempt
            if attempt.counted and not attempt.decided:
                await self._give_back(store, attempt)
        except TooManyRequests:
            if attempt.counted and not attempt.decided:
                await self._give_back(store, attempt)
            raise
        finally:
            self._under_way[key] -= 1
            if not self._under_way[key]:
                del self._under_way[key]

    async def _take_place(self, store: Store, attempt: Attempt) -> None:
        async with store.transaction() as tx:
            taken = await take_place(
                tx, attempt.tenant, attempt.purpose, attempt.subject, attempt.ip, limit=MAX_FAILURES, lasts=REMEMBERED
            )
        if not taken:
            attempt.decided = True
            raise TooManyAttempts

    async def _give_back(self, store: Store, attempt: Attempt) -> None:
        async with store.transaction() as tx:
            await give_back(tx, attempt.tenant, attempt.purpose, attempt.subject, attempt.ip)


def purpose_of(connection: str) -> str:
    """What tries to sign in to a connection are counted under."""
    return f"sign-in {connection}"


def network_of(ip: str) -> str:
    """The address, or the /64 of an IPv6 address."""
    try:
        address = ip_address(ip)
    except ValueError:
        return ""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)
