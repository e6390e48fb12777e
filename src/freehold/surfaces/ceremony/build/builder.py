"""Building a sealed export, in a child process of its own.

One read snapshot, unwrapped value by value into a tar that nobody stores: it flows into OpenPGP, whose ciphertext flows
into the sealing process, which writes the only file there is. Plaintext exists in this process's memory and in pipes.
The artefact's key is made here and leaves wrapped by the master key; while no row holds it, the file is noise.

    this process: snapshot, tar  ->  OpenPGP  ->  sealing process: file, read again
"""

import asyncio
import fcntl
import gc
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import msgspec

from freehold.domain.tenants.directory import TenantDirectory
from freehold.kernel import vault
from freehold.kernel.clock import Clock, SystemClock, iso
from freehold.kernel.crypto.openpgp import OpenPGPError, encrypting_to_pipe
from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.declare.registry import Registry
from freehold.kernel.memory import keep_freed_memory, keep_memory_private
from freehold.kernel.store import Snapshot, Store, open_store
from freehold.surfaces.ceremony.build.contents import Contents, Counts, InVault, count_values, estimate_bytes
from freehold.surfaces.ceremony.build.hashes import KIND as HASHES
from freehold.surfaces.ceremony.build.hashes import HashReader
from freehold.surfaces.ceremony.build.pipes import Feeder, widen
from freehold.surfaces.ceremony.build.producers import Producers, useful_count
from freehold.surfaces.ceremony.build.sealing import BuildFailed, Sealed, sealing
from freehold.surfaces.ceremony.build.tar import ExportTar
from freehold.surfaces.transfer.archive import MANIFEST, VERSION, LeftOut, Manifest, TenantFacts

SPARE_BYTES = 64 << 20
"""What must stay free on the disk beside the export."""
_OPENPGP_MAY_KNOW_WHY = frozenset({"bad_message", "interrupted"})

README = b"""This is a sealed export of a tenant of Freehold, decrypted. Whoever holds it can attack the passwords of
its users and, with the private keys, sign as the tenant. Keep it encrypted, and destroy it when it has served.

password-hashes.ndjson         one identity a line, as Auth0 exports them; a large tenant has .2, .3 ... as well
password-hashes-other.ndjson   identities whose hash is not bcrypt: custom_password_hash in place of passwordHash
mfa-secrets.ndjson             authenticator apps and recovery codes, as Auth0 exports them
mfa-factors-other.ndjson       factors for which Auth0 has no line, as Auth0 imports them
private-keys.jwks.json         private keys as a JWK set; private-keys/ has each as PKCS #8 and its certificate
write-only-secrets.ndjson      values that no API shows
vault/                         the same and everything else of these kinds, for freehold restore ARCHIVE --vault THIS
evidence/                      who asked for this, who agreed, who signed
manifest.json                  what is here: counts, SHA-256 of each file, the request's digest

docs/sealed-export-format.md describes each file.
"""


class Recipient(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate, and those of its subkeys that were approved, by fingerprint."""

    certificate: str
    subkeys: tuple[str, ...]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be built. It comes through standard input; the key that opens everything stays in its file."""

    database_url: str
    master_key: str
    tenant_id: str
    ceremony_id: str
    artefact_id: str
    digest: str
    """The request's, in hexadecimal."""
    kinds: tuple[str, ...]
    connections: tuple[str, ...] = ()
    """Names; none means all."""
    recipients: tuple[Recipient, ...]
    signer: str = ""
    """The owner of the OpenPGP key among the tenant's private keys that signs; empty when none does."""
    evidence: dict[str, bytes] = {}
    """Files of the evidence bundle by name."""
    target: str


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A finished file."""

    wrapped_key: bytes
    sealed: Sealed
    counts: dict[str, Any]
    snapshot_at: str


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the child answers: a finished file, or why there is none."""

    built: Built | None = None
    reason: str = ""
    message: str = ""


def key_context(tenant_id: str, artefact_id: str) -> str:
    """What an artefact's key is wrapped for."""
    return f"artefact {tenant_id}/{artefact_id}"


def run(argument: bytes) -> bytes:
    """The child's function."""
    keep_memory_private()
    keep_freed_memory()
    # Millions of small objects without cycles; looking for cycles would cost a third.
    gc.freeze()
    gc.disable()
    order = msgspec.json.decode(argument, type=Order)
    try:
        with Producers(partial(_serve, order), useful_count()) as producers:
            outcome = Outcome(built=asyncio.run(_open_and_build(order, producers)))
    except BuildFailed as error:
        outcome = Outcome(reason=error.reason, message=error.message)
    except OpenPGPError as error:
        outcome = Outcome(reason=error.reason, message=error.message)
    return msgspec.json.encode(outcome)


class _NoEvents:
    """In place of the tenant's log, whose imports take a third of a second: this process only reads."""

    async def record(self, *_: object, **__: object) -> None:
        raise AssertionError("the process that prepares an export writes nothing into the database")


@asynccontextmanager
async def _opened(order: Order) -> AsyncIterator[tuple[Store, TenantScope, Keyring]]:
    clock = SystemClock()
    store = open_store(order.database_url, clock=clock)
    try:
        keyring = Keyring(MasterKey.load(Path(order.master_key)))
        directory = TenantDirectory(store, keyring, clock, Registry(()), _NoEvents())
        yield store, await directory.by_id(order.tenant_id), keyring
    finally:
        await store.close()


async def _open_and_build(order: Order, producers: Producers) -> Built:
    async with _opened(order) as (store, tenant, keyring):
        return await build(store, tenant, keyring, order, clock=store.clock, producers=producers)


async def _serve(order: Order, view: str, work: Callable[[HashReader], Awaitable[None]]) -> None:
    """What a process beside this one does: read the same view."""
    async with _opened(order) as (store, tenant, _), store.snapshot(like=view) as snapshot:
        await work(HashReader(snapshot, tenant, order.connections))


async def build(
    store: Store,
    tenant: TenantScope,
    keyring: Keyring,
    order: Order,
    *,
    clock: Clock,
    producers: Producers | None = None,
) -> Built:
    """Write the file that is ordered, or leave none. Raises BuildFailed, UnusableCertificate."""
    target = Path(order.target)
    approved = [fingerprint for recipient in order.recipients for fingerprint in recipient.subkeys]
    if not approved or not order.kinds:
        raise BuildFailed("nothing_ordered", "The order names no kind of data, or nobody to encrypt to.")
    key = keyring.new_data_key()
    context = key_context(tenant.id, order.artefact_id)
    if producers is not None and (not producers.count or HASHES not in order.kinds):
        producers = None
    async with store.snapshot(beside=producers.open if producers else None) as snapshot:
        in_vault = await count_values(snapshot, tenant)
        _check_space(in_vault, order)
        snapshot_at = iso(clock.now())
        certificates = [recipient.certificate for recipient in order.recipients]
        signer = await _signer(snapshot, tenant, order.signer)
        failure: BuildFailed | None = None
        with encrypting_to_pipe(certificates, subkeys=approved, signer=signer) as (plaintext, ciphertext):
            for pipe in (plaintext, ciphertext):
                widen(pipe.fileno())
            try:
                with sealing(ciphertext, target, key, context=context, approved=approved) as process:
                    ciphertext.close()
                    counts = await _feed(plaintext, snapshot, tenant, order, snapshot_at, in_vault, producers)
                    sealed = process.finish()
            except BuildFailed as error:
                if error.reason not in _OPENPGP_MAY_KNOW_WHY:
                    raise
                failure = error
        if failure is not None:
            raise failure
    return Built(
        wrapped_key=keyring.wrap(key, context=context),
        sealed=sealed,
        counts=msgspec.to_builtins(counts_of(counts)),
        snapshot_at=snapshot_at,
    )


async def _signer(snapshot: Snapshot, tenant: TenantScope, owner: str) -> str | None:
    if not owner:
        return None
    secret = await vault.open_one(snapshot, tenant, "private_keys", owner)
    if secret is None:
        raise BuildFailed("nothing_to_sign_with", "The tenant's OpenPGP key is not in the vault.")
    return secret.decode()


def counts_of(counts: Counts) -> dict[str, Any]:
    """The counts as the manifest and the audit log show them."""
    return {
        "values": counts.values,
        "lines": counts.lines,
        "password_hashes_by_connection": dict(sorted(counts.by_connection.items())),
        "password_hashes_without_user": counts.without_user,
        "left_out_by_connection": counts.left_out,
    }


async def _feed(
    plaintext: IO[bytes],
    snapshot: Snapshot,
    tenant: TenantScope,
    order: Order,
    snapshot_at: str,
    in_vault: Mapping[str, InVault],
    producers: Producers | None,
) -> Counts:
    with Feeder(plaintext) as feeder:
        tar = ExportTar(feeder.write)
        tar.add("README.txt", README)
        for name, content in sorted(order.evidence.items()):
            tar.add(f"evidence/{name}", content)
        produce = producers.produce if producers else None
        contents = Contents(snapshot, tenant, tar, connections=order.connections, produce=produce)
        await contents.write(order.kinds, {kind: found.values for kind, found in in_vault.items()})
        counts = contents.counts
        manifest = Manifest(
            format="freehold-sealed-export",
            version=VERSION,
            tenant=TenantFacts(id=tenant.id, name=tenant.name, domain=tenant.domain),
            rows=counts.values,
            members=tar.members,
            left_out=[
                LeftOut(name=f"vault/{kind}", because=f"{number} values belong to connections that were not asked for.")
                for kind, number in sorted(counts.left_out.items())
            ],
            ceremony={
                "id": order.ceremony_id,
                "digest": order.digest,
                "kinds": sorted(order.kinds),
                "connections": sorted(order.connections),
                "snapshot_at": snapshot_at,
                "counts": counts_of(counts),
            },
        )
        tar.add_unlisted(MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")
        tar.finish()
    return counts


def _check_space(in_vault: Mapping[str, InVault], order: Order) -> None:
    needed = estimate_bytes(in_vault, order.kinds) + SPARE_BYTES
    free = shutil.disk_usage(Path(order.target).parent).free
    if free < needed:
        raise BuildFailed("disk_full", f"The export needs about {needed >> 20} MiB, and {free >> 20} MiB are free.")


def target_name(artefact_id: str) -> str:
    """The file's name while it is being written."""
    return f"{artefact_id}.part"


def is_being_written(path: Path) -> bool:
    """Whether a live process is at work on the file: it holds a lock on it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
