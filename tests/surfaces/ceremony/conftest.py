"""What tests of the ceremony's file need: a tenant with everything in it, a recipient, and a way to build."""

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from freehold.kernel.crypto.chunks import HEADER_BYTES, ChunkOpener
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.store import Store
from freehold.registry import REGISTRY
from freehold.surfaces.ceremony.build.builder import Built, Order, build, key_context
from freehold.surfaces.ceremony.build.builder import Recipient as OrderedRecipient
from tests.support.confined import prepared_readers
from tests.support.full_tenant import make_full_tenant
from tests.surfaces.ceremony.keys import Recipient, new_recipient

__all__ = ["prepared_readers"]
KINDS = ("mfa_secrets", "password_hashes", "private_keys", "write_only_secrets")
MASTER = MasterKey([bytes(range(32))])
Build = Callable[..., Awaitable[Built]]


@pytest.fixture(autouse=True)
def readers(prepared_readers: None) -> None:
    """What people hand in is read as quickly as tests allow."""


@pytest.fixture(scope="session")
def recipient(tmp_path_factory: pytest.TempPathFactory) -> Recipient:
    if shutil.which("gpg") is None:
        pytest.skip("GnuPG is not installed")
    return new_recipient(tmp_path_factory.mktemp("g"))


@pytest.fixture
def keyring() -> Keyring:
    return Keyring(MASTER)


@pytest.fixture
async def tenant(store: Store) -> TenantScope:
    return await make_full_tenant(store, REGISTRY)


@pytest.fixture
def order(tmp_path: Path, recipient: Recipient, tenant: TenantScope) -> Callable[..., Order]:
    def make(**changes: Any) -> Order:
        given: dict[str, Any] = {
            "database_url": "",
            "master_key": "",
            "tenant_id": tenant.id,
            "ceremony_id": "cer_1",
            "artefact_id": "art_1",
            "digest": "ab" * 32,
            "kinds": KINDS,
            "recipients": (OrderedRecipient(certificate=recipient.certificate, subkeys=recipient.subkeys),),
            "evidence": {"request.json": b"{}"},
            "target": str(tmp_path / "art_1.part"),
        }
        return Order(**{**given, **changes})

    return make


@pytest.fixture
def built(store: Store, tenant: TenantScope, keyring: Keyring, order: Callable[..., Order]) -> Build:
    """Builds in this process; the file is where the order says."""

    async def make(**changes: Any) -> Built:
        return await build(store, tenant, keyring, order(**changes), clock=store.clock)

    return make


def message_of(sealed: Path, wrapped_key: bytes, tenant_id: str, artefact_id: str = "art_1") -> bytes:
    """The OpenPGP message inside a sealed file."""
    context = key_context(tenant_id, artefact_id)
    key = Keyring(MASTER).unwrap(wrapped_key, context=context)
    content = sealed.read_bytes()
    opener = ChunkOpener(key, content[:HEADER_BYTES], len(content), context=context)
    return b"".join(opener.open_run(HEADER_BYTES, content[HEADER_BYTES:]))
