"""Addresses that try too much: sign-ups are admitted, and blocks are shown and lifted (`anomaly/blocks/ips/{id}`)."""

from ipaddress import ip_address
from typing import Any

from freehold.domain.protection.brute_force import ADDRESS, AddressThrottled, network_of
from freehold.domain.protection.counters import counts_of, forget, is_full, note_used_up, use_one
from freehold.domain.protection.settings import AddressLimit, address_limit
from freehold.kernel.declare import Operation, TenantScope
from freehold.kernel.declare.call import Call
from freehold.kernel.declare.validation import InvalidBody
from freehold.kernel.errors import NotFound
from freehold.kernel.store import Store

SIGN_UPS = "sign-ups of an address"


async def admit_sign_up(services: Any, tenant: TenantScope, ip: str) -> None:
    """Count one sign-up of this address, and record the first it has too many. Raises AddressThrottled."""
    store: Store = services.store
    limit = await address_limit(store, tenant, ip, "pre_user_registration")
    if limit is None:
        return
    network = network_of(ip)
    async with store.transaction() as tx:
        admitted = await use_one(tx, tenant, SIGN_UPS, network, most=limit.attempts, rate_ms=limit.rate_ms)
        first = not admitted and await note_used_up(
            tx, tenant, SIGN_UPS, network, most=limit.attempts, rate_ms=limit.rate_ms
        )
        if first:
            await tenant.events.record(tx, tenant, "limit_mu", ip=ip, description="Too many sign-ups from one address")
    if not admitted and limit.blocks:
        raise AddressThrottled


async def check_address(call: Call) -> None:
    """GET anomaly/blocks/ips/{id}: answers 200 for an address that is blocked. Raises NotFound."""
    if not await _is_blocked(call.store, call.tenant, _address(call)):
        raise NotFound("IP address specified is not currently blocked.")


async def unblock_address(call: Call) -> None:
    """DELETE anomaly/blocks/ips/{id}."""
    network = network_of(_address(call))
    for purpose in (ADDRESS, SIGN_UPS):
        await forget(call.tx, call.tenant, purpose, "", network)


async def _is_blocked(store: Store, tenant: TenantScope, ip: str) -> bool:
    network, now = network_of(ip), tenant.clock.now_ms()
    counts = await counts_of(store, tenant, (ADDRESS, "", network), (SIGN_UPS, "", network))
    limits: dict[str, AddressLimit | None] = {
        ADDRESS: await address_limit(store, tenant, ip, "pre_login"),
        SIGN_UPS: await address_limit(store, tenant, ip, "pre_user_registration"),
    }
    return any(
        limit is not None
        and limit.blocks
        and is_full(now, counts.get(purpose, (0, 0))[1], most=limit.attempts, rate_ms=limit.rate_ms)
        for purpose, limit in limits.items()
    )


def _address(call: Call) -> str:
    given = call.params["id"]
    try:
        return str(ip_address(given))
    except ValueError:
        raise InvalidBody(
            f"Path validation error: 'Object didn't pass validation for format anomaly-ip-format: {given}' "
            "on property id (The IP address to check)."
        ) from None


OPERATIONS = (
    Operation(
        method="GET", path="anomaly/blocks/ips/{id}", scopes=("read:anomaly_blocks",), handler=check_address,
        name="anomaly.check_ip",
    ),
    Operation(
        method="DELETE", path="anomaly/blocks/ips/{id}", scopes=("delete:anomaly_blocks",), handler=unblock_address,
        status=204, name="anomaly.unblock_ip", audit="Unblock an IP address",
    ),
)  # fmt: skip
