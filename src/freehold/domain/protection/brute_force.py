"""Whoever fails to sign in ten times in a row from one place has to stop there, and so has an address that fails often.

A place is a user and a network address (for IPv6 a /64, which one person has to themselves), or the user alone where
the tenant wants it so. It makes no difference whether there is such a user. Failures of an address count over all
users, existing or not. The first try of a place that has no failures costs nothing; otherwise a place among the
ten is taken before the password is looked at, so that tries sent at once gain nothing: beyond the limit come at most as
many as there are server processes.
"""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

import msgspec

from freehold.domain.protection.counters import (
    counts_of,
    forget,
    give_back,
    is_full,
    note_once,
    note_used_up,
    take_place,
    use_one,
)
from freehold.domain.protection.settings import AccountLimit, AddressLimit, account_limit, address_limit
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import TooManyRequests
from freehold.kernel.store import Store, Transaction

REMEMBERED = timedelta(days=30)
"""After so long without a failure a block is over."""
RETRY_AFTER_S = 3600
ADDRESS = "sign-ins of an address"
"""What the failures of one address, over all accounts, are counted under."""


class TooManyAttempts(TooManyRequests):
    """The place is blocked, whatever the password."""

    code = "too_many_attempts"
    text = (
        "Your account has been blocked after multiple consecutive login attempts. "
        "We've sent you a notification via your preferred contact method with instructions on how to unblock it."
    )

    def __init__(self) -> None:
        super().__init__(self.text, retry_after_s=RETRY_AFTER_S)


class AddressThrottled(TooManyAttempts):
    """The address has tried too much, over all accounts."""

    text = (
        "We have detected suspicious login behavior and further attempts will be blocked. "
        "Please contact the administrator."
    )


class Limits(msgspec.Struct, frozen=True):
    """What a try is held against; None where nothing is counted."""

    account: AccountLimit | None
    address: AddressLimit | None


FIXED = Limits(AccountLimit(), None)
"""For those who sign in to the dashboard, whatever their tenant says about its users."""


@dataclass(slots=True)
class Attempt:
    """One try, which must be told how it went."""

    tenant: TenantScope
    purpose: str
    subject: str
    ip: str
    network: str
    limits: Limits
    failures: int = 0
    counted: bool = False
    decided: bool = False
    throttles: bool = False
    """Whether this failure was the last that its address had."""

    @property
    def tells(self) -> bool:
        """Whether the owner of the account hears of a block."""
        return self.limits.account is not None and self.limits.account.tells

    async def failed(self, tx: Transaction) -> bool:
        """The password was wrong. True for the one failure that brings the block of the account about."""
        self.decided = True
        address, account = self.limits.address, self.limits.account
        if address is not None:
            where = (tx, self.tenant, ADDRESS, self.network)
            await use_one(*where, most=address.attempts, rate_ms=address.rate_ms)
            self.throttles = await note_used_up(*where, most=address.attempts, rate_ms=address.rate_ms)
        if account is None:
            return False
        place = (tx, self.tenant, self.purpose, self.subject, self.ip)
        if not self.counted:
            await take_place(*place, limit=account.failures, lasts=REMEMBERED)
        return await note_once(*place, limit=account.failures)

    async def succeeded(self, tx: Transaction) -> None:
        """The password was right: failures no longer count."""
        self.decided = True
        if self.limits.account is not None and (self.counted or self.failures):
            await forget(tx, self.tenant, self.purpose, self.subject, self.ip)


class LoginGuard:
    """Admits tries to sign in. One per process: it knows which are being looked at here."""

    def __init__(self) -> None:
        self._under_way: Counter[tuple[str, str, str, str]] = Counter()

    @asynccontextmanager
    async def attempt(
        self, store: Store, tenant: TenantScope, *, connection: str, subject: str, ip: str, enabled: bool = True,
        limits: Limits | None = None,
    ) -> AsyncIterator[Attempt]:  # fmt: skip
        """A try to sign in to a connection as `subject`, a canonical identifier. Raises TooManyAttempts.

        Without `limits` the tenant's settings apply; a connection that is not `enabled` counts by address only.
        """
        network = network_of(ip)
        if limits is None:
            account = await account_limit(store, tenant, ip) if enabled else None
            limits = Limits(account, await address_limit(store, tenant, ip, "pre_login"))
        by_address = limits.account is None or limits.account.by_address
        attempt = Attempt(tenant, purpose_of(connection), subject, network if by_address else "", network, limits)
        attempt.failures = await _admit(store, attempt)
        if limits.account is None:
            yield attempt
            return
        key = (tenant.id, attempt.purpose, subject, attempt.ip)
        attempt.counted = bool(attempt.failures or self._under_way[key]) and limits.account.blocks
        self._under_way[key] += 1
        try:
            if attempt.counted:
                await self._take_place(store, attempt, limits.account)
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

    async def _take_place(self, store: Store, attempt: Attempt, limit: AccountLimit) -> None:
        async with store.transaction() as tx:
            taken = await take_place(
                tx, attempt.tenant, attempt.purpose, attempt.subject, attempt.ip, limit=limit.failures, lasts=REMEMBERED
            )
        if not taken:
            attempt.decided = True
            raise TooManyAttempts

    async def _give_back(self, store: Store, attempt: Attempt) -> None:
        async with store.transaction() as tx:
            await give_back(tx, attempt.tenant, attempt.purpose, attempt.subject, attempt.ip)


async def _admit(store: Store, attempt: Attempt) -> int:
    """How often the account failed from here. Raises TooManyAttempts, AddressThrottled."""
    account, address = attempt.limits.account, attempt.limits.address
    if account is None and address is None:
        return 0
    counts = await counts_of(
        store, attempt.tenant, (attempt.purpose, attempt.subject, attempt.ip), (ADDRESS, "", attempt.network)
    )
    if address is not None and address.blocks:
        ends = counts.get(ADDRESS, (0, 0))[1]
        if is_full(attempt.tenant.clock.now_ms(), ends, most=address.attempts, rate_ms=address.rate_ms):
            raise AddressThrottled
    failures = counts.get(attempt.purpose, (0, 0))[0]
    if account is not None and account.blocks and failures >= account.failures:
        raise TooManyAttempts
    return failures


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
