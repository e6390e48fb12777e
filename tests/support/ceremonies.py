"""A tenant with administrators, an executive and a recipient's key: everything a ceremony needs but a browser.

Time is the machine's, because OpenPGP keys made a moment ago would lie in the future of any other.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from pysequoia import SignatureMode, Tsk, decrypt, sign

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import (
    Acting,
    Administrator,
    AdminSession,
    Lifetimes,
    Proof,
    Role,
    add_administrator,
    begin_session,
    get_administrator,
)
from freehold.domain.administrators.factors import accept_totp, offer_totp
from freehold.domain.audit import Witnesses, witnesses_of
from freehold.domain.ceremonies import Artefact, Attempt, Ceremony, Given, GivenRecipient
from freehold.domain.ceremonies.evidence.executives import (
    EnrolledExecutive,
    Material,
    check_executives_key,
    enrol_executive,
)
from freehold.domain.ceremonies.evidence.form import statement
from freehold.domain.ceremonies.evidence.recipient_key import KeyPolicy
from freehold.domain.ceremonies.pieces import of_kind
from freehold.domain.tenants.directory import TenantDirectory
from freehold.kernel.clock import FakeClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.otp import totp_key
from freehold.kernel.crypto.sealing import MasterKey
from freehold.kernel.declare import TenantScope
from freehold.kernel.jobs import Job, JobRunner
from freehold.kernel.store import Store, migrate, open_store
from freehold.registry import REGISTRY
from tests.support.full_tenant import directory

RELAXED: dict[str, Any] = {
    "ceremony_requester_min_age_h": 0,
    "ceremony_executive_min_age_h": 0,
    "ceremony_cool_down_h": 0,
    "ceremony_second_person_min_age_h": 0,
    "ceremony_allow_modern_keys": True,
    "ceremony_waiting_for": (),
}
EVERYTHING: tuple[ceremonies.Kind, ...] = ceremonies.KINDS


@cache
def key_of(email: str) -> Tsk:
    """A key of this address, made once."""
    return Tsk.generate(user_id=f"Somebody <{email}>", validity_seconds=400 * 86_400)


def armored(email: str) -> str:
    """Its public half."""
    return str(key_of(email).extract_certificate())


@dataclass
class Hall:
    """Where a ceremony takes place."""

    store: Store
    tenants: TenantDirectory
    tenant: TenantScope
    settings: Settings
    clock: FakeClock
    secrets: dict[str, str] = field(default_factory=dict)
    sessions: dict[str, AdminSession] = field(default_factory=dict)
    executive: str = ""

    def configure(self, **changes: Any) -> None:
        """Another policy from now on."""
        given = {name: getattr(self.settings, name) for name in self.settings.__struct_fields__}
        self.settings = Settings(**{**given, **changes})

    async def administrator(self, name: str, role: Role = "admin", *, created_by: str = "operator") -> Administrator:
        """A new administrator with an authenticator."""
        async with self.store.transaction() as tx:
            person = await add_administrator(
                tx, self.tenant, email=f"{name}@acme.test", name=name.title(), role=role, created_by=created_by
            )
            self.secrets[person.id] = await offer_totp(tx, self.tenant, person)
        async with self.store.transaction() as tx:
            assert await accept_totp(tx, self.tenant, person, self._code(person.id))
        self.clock.advance(seconds=30)
        return await get_administrator(self.store, self.tenant, person.id)

    def _code(self, administrator_id: str) -> str:
        step = int(self.clock.now().timestamp()) // 30
        key = totp_key(self.secrets[administrator_id])
        return HOTP(key, 6, SHA1(), enforce_key_length=False).generate(step).decode()

    def code(self, person: Administrator) -> str:
        """A code that was not used yet."""
        self.clock.advance(seconds=30)
        return self._code(person.id)

    async def acting(self, person: Administrator, *, mfa: bool = True) -> Acting:
        """The person, signed in a moment ago."""
        proof = Proof(amr=("pwd", "otp", "mfa") if mfa else ("pwd",), mfa=mfa)
        lifetimes = Lifetimes(idle=timedelta(minutes=30), absolute=timedelta(hours=12))
        async with self.store.transaction() as tx:
            session, _ = await begin_session(
                tx, self.tenant, person, proof=proof, lifetimes=lifetimes, via="browser", ip="192.0.2.1", user_agent="x"
            )
        person = await get_administrator(self.store, self.tenant, person.id)
        return Acting(administrator=person, session=session)

    async def attempt(self, person: Administrator, *, key: str = "", mfa: bool = True) -> Attempt:
        """An attempt by the person, signed in a moment ago."""
        return Attempt(
            store=self.store, tenant=self.tenant, settings=self.settings, acting=await self.acting(person, mfa=mfa),
            ip="192.0.2.1", key=key,
        )  # fmt: skip

    async def enrol(self, email: str = "cso@acme.test") -> EnrolledExecutive:
        """An executive who signs with OpenPGP."""
        key = await check_executives_key(
            armored(email), email=email, now=self.clock.now(), policy=KeyPolicy(allow_modern=True)
        )
        # The test's key signs with a subkey, which the checked part of a key leaves out.
        whole = msgspec.structs.replace(key, certificate=armored(email))
        async with self.store.transaction() as tx:
            enrolled = await enrol_executive(
                tx, self.tenant, name="Grace Hopper", title="CSO", email=email, material=Material(openpgp_key=whole),
                actor=audit.OPERATOR,
            )  # fmt: skip
        self.executive = enrolled.id
        return enrolled

    def given(self, requester: Administrator, **changes: Any) -> Given:
        """What a requester fills in."""
        base: dict[str, Any] = {
            "kinds": EVERYTHING,
            "purpose": "Moving to another provider",
            "recipients": (GivenRecipient(key=armored(requester.email)),),
            "executive": self.executive,
        }
        return Given(**{**base, **changes})

    async def get(self, ceremony: Ceremony) -> Ceremony:
        return await ceremonies.get_ceremony(self.store, self.tenant, ceremony.id)

    async def words(self, ceremony: Ceremony) -> list[str]:
        """The words, decrypted by the recipients."""
        pieces = of_kind(await ceremonies.pieces_of(self.store, self.tenant, ceremony), "word")
        messages = {piece.subject: piece.content for piece in pieces}
        words = []
        for recipient in ceremony.request.recipients:
            opened = decrypt(messages[recipient.fingerprint], decryptor=key_of(recipient.email).decryptor())
            assert opened.bytes is not None
            words.append(opened.bytes.decode().strip())
        return words

    async def signed(self, ceremony: Ceremony, email: str = "cso@acme.test") -> bytes:
        """The executive's signature on the form."""
        (form,) = of_kind(await ceremonies.pieces_of(self.store, self.tenant, ceremony), "form")
        text = statement(form.content, bytes.fromhex(ceremony.digest))
        return sign(key_of(email).signer(), text.encode(), mode=SignatureMode.CLEAR)

    # Steps, each with all that it needs

    async def draft(self, requester: Administrator, **changes: Any) -> Ceremony:
        return await ceremonies.draft(await self.attempt(requester), self.given(requester, **changes))

    async def submit(self, requester: Administrator, ceremony: Ceremony) -> Ceremony:
        return await ceremonies.submit(await self.attempt(requester), ceremony.id)

    async def possess(self, requester: Administrator, ceremony: Ceremony) -> Ceremony:
        return await ceremonies.possess(await self.attempt(requester), ceremony.id, await self.words(ceremony))

    async def authorize(self, requester: Administrator, ceremony: Ceremony) -> Ceremony:
        return await ceremonies.authorize(
            await self.attempt(requester), ceremony.id, tenant_name=self.tenant.name,
            text=ceremonies.authorization_text(ceremony.request),
        )  # fmt: skip

    async def approve(self, approver: Administrator, ceremony: Ceremony, **options: Any) -> Ceremony:
        attempt = await self.attempt(approver)
        code = self.code(approver)
        return await ceremonies.decide(
            attempt, ceremony.id, "approve", code=code,
            digest_groups=ceremonies.groups(bytes.fromhex(ceremony.digest)), **options,
        )  # fmt: skip

    async def sign(self, uploader: Administrator, ceremony: Ceremony) -> Ceremony:
        attempt = await self.attempt(uploader)
        return await ceremonies.upload_form(attempt, ceremony.id, "openpgp", await self.signed(ceremony))

    async def at(self, state: str, requester: Administrator, approver: Administrator, **changes: Any) -> Ceremony:
        """A ceremony that has come this far: a state, or the piece that is to be handed in next."""
        ceremony = await self.draft(requester, **changes)
        for name, step in (
            ("draft", lambda c: self.submit(requester, c)),
            ("possess", lambda c: self.possess(requester, c)),
            ("authorize", lambda c: self.authorize(requester, c)),
            ("approve", lambda c: self.approve(approver, c)),
            ("sign", lambda c: self.sign(requester, c)),
            ("preparing", self.build),
            ("ready", lambda c: self.download(requester, c)),
        ):
            if state in {name, ceremony.state}:
                return ceremony
            ceremony = await step(ceremony)
        assert ceremony.state == state
        return ceremony

    def artefact(self, ceremony: Ceremony) -> Artefact:
        """A file that is there in name only; the builder is tested elsewhere."""
        now = self.clock.now_ms()
        return Artefact(
            id="art_1", size=1234, sha256=hashlib.sha256(b"a file").hexdigest(), store_key="art_1.pgp",
            counts={"password_hashes": 2},
            recipients=tuple(subkey for r in ceremony.request.recipients for subkey in r.subkeys),
            created_at_ms=now, expires_at_ms=now + ceremony.request.retention_days * 86_400_000,
        )  # fmt: skip

    async def build(self, ceremony: Ceremony) -> Ceremony:
        async with self.store.transaction() as tx:
            current = await ceremonies.get_ceremony(tx, self.tenant, ceremony.id)
            return await ceremonies.finish_build(tx, self.tenant, current, artefact=self.artefact(current))

    async def download(self, requester: Administrator, ceremony: Ceremony) -> Ceremony:
        acting = await self.acting(requester)
        actor = audit.AuditActor(
            "administrator", requester.id, requester.email, acting.session.id, acting.session.mfa_at_ms, "192.0.2.1"
        )
        async with self.store.transaction() as tx:
            current = await ceremonies.get_ceremony(tx, self.tenant, ceremony.id)
            return await ceremonies.record_download(
                tx,
                self.tenant,
                current,
                actor=actor,
                details={"sha256": current.artefact["sha256"]},  # type: ignore[index]
            )

    async def remove(self, ceremony: Ceremony) -> Ceremony:
        async with self.store.transaction() as tx:
            current = await ceremonies.get_ceremony(tx, self.tenant, ceremony.id)
            return await ceremonies.finish_removal(tx, self.tenant, current, details={"file": True, "key": True})

    async def reconcile(self) -> None:
        await ceremonies.reconcile(self.store, self.tenant, self.settings)

    async def run_jobs(self) -> int:
        """Write the mails and the like."""

        class Services:
            store, tenants, settings = self.store, self.tenants, self.settings

        topics: dict[str, Callable[[Job], Any]] = dict(ceremonies.PACKAGE.jobs)
        return await JobRunner(self.store, self.clock, topics, services=Services()).run_due()

    async def log(self, ceremony: Ceremony) -> list[audit.Entry]:
        return await audit.entries_of(self.store, self.tenant, ceremony.id)

    async def actions(self, ceremony: Ceremony) -> list[str]:
        return [entry.action for entry in await self.log(ceremony)]

    @property
    def witness_file(self) -> Path:
        return self.settings.data.audit_file

    async def log_is_whole(self) -> bool:
        seen = await asyncio.to_thread(audit.read_file, self.witness_file, self.tenant.id)
        return (await audit.check_log(self.store, self.tenant, seen=seen)).ok


class NoRoom:
    """A place that takes no audit entries."""

    name = "full"

    async def write(self, lines: object) -> None:
        raise OSError(28, "No space left on device")


def fill_up(hall: Hall) -> None:
    """From now on no place besides the database takes audit entries."""
    assert isinstance(hall.tenant.witness, Witnesses)
    hall.tenant.witness.sinks = [NoRoom()]


async def make_hall(store: Store, clock: FakeClock, folder: Path) -> Hall:
    """A tenant with a relaxed policy, so that tests need not wait for a week."""
    settings = Settings(data_dir=folder, **RELAXED)
    master = MasterKey.load_or_create(settings.data.master_key)
    tenants = directory(store, REGISTRY, master)
    tenants.witness = witnesses_of(settings)
    tenant = await tenants.create("acme", "acme.test")
    made = Hall(store, tenants, tenant, settings, clock)
    await made.enrol()
    return made


@asynccontextmanager
async def open_hall(folder: Path) -> AsyncIterator[Hall]:
    """The same with a database of its own, for tests that are not coroutines."""
    clock = _a_clock()
    store = open_store(f"sqlite:///{folder / 'freehold.db'}", clock=clock)
    try:
        await migrate(store)
        yield await make_hall(store, clock, folder)
    finally:
        await store.close()


def _a_clock() -> FakeClock:
    return FakeClock(datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5))


@pytest.fixture
def clock() -> FakeClock:
    return _a_clock()


@pytest.fixture
async def hall(store: Store, clock: FakeClock, tmp_path: Path) -> Hall:
    return await make_hall(store, clock, tmp_path)


@pytest.fixture
async def ada(hall: Hall) -> Administrator:
    return await hall.administrator("ada")


@pytest.fixture
async def bob(hall: Hall) -> Administrator:
    return await hall.administrator("bob")
