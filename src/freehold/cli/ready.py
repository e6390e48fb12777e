"""The ready-file: what a script needs to know of a running server, in JSON."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from freehold.domain.administrators.links import issue_first_invitation
from freehold.domain.tenants import management_client
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store

DATABASE_CONNECTION = "Username-Password-Authentication"


async def ready_facts(store: Store, tenant: TenantScope, settings: Settings) -> dict[str, Any]:
    """Base URL, certificate authority, management credentials, where mail can be read, and the dashboard."""
    known = await management_client.credentials(store, tenant)
    own_certificate = settings.tls_certificate is not None
    return {
        "base_url": tenant.issuer.rstrip("/"),
        "issuer": tenant.issuer,
        "ca_file": None if own_certificate else str((settings.data.authority / "ca.pem").resolve()),
        "tenant": tenant.name,
        "management": {
            "client_id": known.client_id if known else None,
            "client_secret": known.client_secret if known else None,
            "audience": tenant.management_audience,
        },
        "database": {"connection": DATABASE_CONNECTION},
        "outbox_url": f"{tenant.issuer}outbox",
        "dashboard": {
            "url": f"{tenant.issuer}admin",
            "invitation_url": await _first_invitation(store, tenant, settings),
        },
    }


async def _first_invitation(store: Store, tenant: TenantScope, settings: Settings) -> str | None:
    """The link for the first administrator, made anew each time; None once there is one."""
    async with store.transaction() as tx:
        return await issue_first_invitation(tx, tenant, lifetime=timedelta(hours=settings.admin_invitation_hours))


def write_ready_file(path: Path, facts: dict[str, Any]) -> None:
    """Write the file whole or not at all, readable by its owner only, because it holds a secret."""
    partial = path.with_name(path.name + ".partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(facts, file, indent=2)
        file.write("\n")
    partial.replace(path)
