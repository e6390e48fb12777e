"""Second factors after a move to another installation: the same app works, and a code that was used does not."""

from pathlib import Path
from typing import Any

from freehold.domain.authenticators import factors_of, is_remembered, remember_browser, verify_totp
from freehold.domain.authenticators.policies import GUARDIAN, Guardian
from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.store import migrate, open_store
from freehold.registry import REGISTRY
from freehold.surfaces.transfer.archive import TenantFacts
from freehold.surfaces.transfer.exporting import export_tenant
from freehold.surfaces.transfer.restoring import restore_tenant
from freehold.surfaces.transfer.sealed import export_vault
from tests.support.full_tenant import directory
from tests.support.people import TenantUnderTest
from tests.support.second_factors import App

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


async def test_a_code_used_before_a_move_is_not_valid_behind_it(people: TenantUnderTest, tmp_path: Path) -> None:
    user_id = (await people.add_user())["user_id"]
    body = {"type": "totp", "totp_secret": SECRET}
    assert (await people.api("POST", f"users/{user_id}/authentication-methods", body)).status == 201
    assert (await people.api("PUT", "guardian/policies", ["all-applications"])).status == 200
    used, now = App(SECRET).code(people.clock.now()), people.clock.now()
    async with people.store.transaction() as tx:
        assert await verify_totp(tx, people.tenant, user_id, used, facts={})
        value = await remember_browser(tx, people.tenant, user_id, value=None, guardian=Guardian())
    archive, sealed = tmp_path / "tenant.tar.gz", tmp_path / "vault.tar.gz"
    with archive.open("wb") as file:
        await export_tenant(people.store, people.tenant, REGISTRY, file)
    with sealed.open("wb") as file:
        await export_vault(people.store, people.tenant, REGISTRY, file)

    for name, vault_path in (("with", sealed), ("without", None)):
        store = open_store(f"sqlite:///{tmp_path / f'{name}.db'}", clock=FakeClock(now))
        await migrate(store)
        tenants = directory(store, REGISTRY, MasterKey([bytes([7]) * 32]))

        async def adopt(tx: Any, facts: TenantFacts, tenants: Any = tenants) -> TenantScope:
            adopted: TenantScope = await tenants.adopt(tx, facts.id, facts.name, facts.domain)
            return adopted

        await restore_tenant(store, REGISTRY, archive, adopt=adopt, vault_path=vault_path)
        moved = await tenants.by_name("acme")
        assert (await documents.singleton(store, moved, GUARDIAN)).policies == ["all-applications"]
        assert await is_remembered(store, moved, user_id, value, guardian=Guardian())
        assert bool((await factors_of(store, moved, user_id)).totp) == (vault_path is not None)
        if vault_path is not None:
            async with store.transaction() as tx:
                assert await verify_totp(tx, moved, user_id, used, facts={}) is None
                later = App(SECRET).code(people.clock.now().replace(second=59))
                assert await verify_totp(tx, moved, user_id, later, facts={})
        await store.close()
