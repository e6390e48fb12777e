"""What only the operator's configuration allows, and its price: an administrator alone, and a signature on paper."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from webauthn import base64url_to_bytes

from freehold.domain import audit, ceremonies
from freehold.domain.administrators import Administrator, RoleTooLow, passkeys, set_blocked
from freehold.domain.ceremonies import Ceremony, WrongState
from freehold.domain.ceremonies.bundle import write_bundle
from freehold.domain.ceremonies.evidence.executives import Material, check_executives_key, enrol_executive
from freehold.domain.ceremonies.evidence.material import check_certificate
from freehold.domain.ceremonies.evidence.recipient_key import KeyPolicy
from freehold.domain.ceremonies.people import NotASecondPerson
from freehold.domain.ceremonies.pieces import of_kind, pieces_of
from freehold.domain.ceremonies.proofs import CodeRefused, PasskeyNeeded
from freehold.domain.ceremonies.verify import verify_bundle
from freehold.kernel.errors import FreeholdError
from tests.support.ceremonies import Hall, armored
from tests.support.signers import Authority, SoftPasskey, sign_cms
from tests.support.signers import Person as Signer

pytestmark = pytest.mark.parametrize("database", ["sqlite"], scope="session")
DAY_S = 86_400
GRACE = "grace@acme.test"


class Alone:
    """The only administrator of a tenant, with a passkey beside the authenticator."""

    def __init__(self, hall: Hall, ada: Administrator, signer: Signer) -> None:
        self.hall, self.ada, self.signer = hall, ada, signer
        self.passkey = SoftPasskey(passkeys.rp_id(hall.tenant), passkeys.origin(hall.tenant))

    async def set_up(self) -> None:
        hall = self.hall
        async with hall.store.transaction() as tx:
            await passkeys.register_passkey(
                tx, hall.tenant, self.ada, challenge=b"a challenge", response=self.passkey.register(b"a challenge")
            )
        certificate = await check_certificate(self.signer.pem, use="person", now=hall.clock.now())
        key = await check_executives_key(
            armored(GRACE), email=GRACE, now=hall.clock.now(), policy=KeyPolicy(allow_modern=True)
        )
        # The test's key signs with a subkey, which the checked part of a key leaves out.
        whole = msgspec.structs.replace(key, certificate=armored(GRACE))
        async with hall.store.transaction() as tx:
            enrolled = await enrol_executive(
                tx, hall.tenant, name="Grace Hopper", title="CSO", email=GRACE,
                material=Material(certificates=(certificate,), openpgp_key=whole), actor=audit.OPERATOR,
            )  # fmt: skip
        hall.executive = enrolled.id

    async def response(self, ceremony: Ceremony, decision: Any = "authorize") -> dict[str, Any]:
        asked = await ceremonies.ask_to_decide(await self.hall.attempt(self.ada), ceremony.id, decision)
        return self.passkey.sign(base64url_to_bytes(asked["challenge"]))

    async def authorize(self, ceremony: Ceremony, **factors: Any) -> Ceremony:
        return await ceremonies.authorize(
            await self.hall.attempt(self.ada), ceremony.id, tenant_name="acme",
            text=ceremonies.authorization_text(ceremony.request),
            digest_groups=ceremonies.groups(bytes.fromhex(ceremony.digest)), **factors,
        )  # fmt: skip

    async def authorized(self) -> Ceremony:
        ceremony = await self.hall.at("authorize", self.ada, self.ada)
        response = await self.response(ceremony)
        return await self.authorize(ceremony, response=response, code=self.hall.code(self.ada))

    async def sign(self, ceremony: Ceremony) -> Ceremony:
        (form,) = of_kind(await pieces_of(self.hall.store, self.hall.tenant, ceremony), "form")
        signed = sign_cms(form.content, self.signer)
        return await ceremonies.upload_form(await self.hall.attempt(self.ada), ceremony.id, "cms", signed)


@pytest.fixture
async def alone(hall: Hall, ada: Administrator) -> Alone:
    hall.configure(
        ceremony_sole_administrator=True, ceremony_waiting_for=("sole_administrator",), ceremony_waiting_h=72
    )
    made = Alone(hall, ada, Authority(datetime.now(UTC)).issue(email=GRACE))
    await made.set_up()
    return made


class TestOneAdministratorAlone:
    """Threats: two factors of different kinds, 72 hours with daily notices, a signature by certificate or passkey."""

    async def test_both_factors_are_needed_and_each_for_this(self, hall: Hall, alone: Alone) -> None:
        ceremony = await hall.at("authorize", alone.ada, alone.ada)
        with pytest.raises(PasskeyNeeded):
            await alone.authorize(ceremony, code=hall.code(alone.ada))
        with pytest.raises(CodeRefused):
            await alone.authorize(ceremony, response=await alone.response(ceremony))
        for_something_else = await alone.response(ceremony, "approve")
        with pytest.raises(passkeys.PasskeyRefused):
            await alone.authorize(ceremony, response=for_something_else, code=hall.code(alone.ada))
        assert of_kind(await pieces_of(hall.store, hall.tenant, ceremony), "authorization") == []

    async def test_it_waits_three_days_tells_daily_and_its_receipt_holds(self, hall: Hall, alone: Alone) -> None:
        ceremony = await alone.authorized()
        with pytest.raises(FreeholdError) as refused:
            await ceremonies.upload_form(
                await hall.attempt(alone.ada), ceremony.id, "openpgp", await hall.signed(ceremony, GRACE)
            )
        assert refused.value.code == "weak_signature"
        waiting = await alone.sign(ceremony)
        details = [msgspec.json.decode(e.details) for e in await hall.log(waiting) if e.action == "ceremony.wait"]
        assert (waiting.state, details[0]["reasons"]) == ("waiting", ["sole_administrator"])
        assert "sole_administrator" in waiting.request.policy["relaxed"]
        for _ in range(2):
            hall.clock.advance(seconds=DAY_S)
            await hall.reconcile()
        assert (await hall.actions(waiting)).count("ceremony.reminder") == 2
        hall.clock.advance(seconds=DAY_S - 600)
        await hall.reconcile()
        assert (await hall.get(waiting)).state == "waiting"
        hall.clock.advance(seconds=600)
        await hall.reconcile()
        ready = await hall.build(await hall.get(waiting))
        assert ready.state == "ready"
        assert (await verify_bundle(await write_bundle(hall.store, hall.tenant, ready))).complete

    async def test_whoever_is_not_alone_any_more_needs_the_other(self, hall: Hall, alone: Alone) -> None:
        waiting = await alone.sign(await alone.authorized())
        await hall.administrator("bob")
        await hall.reconcile()
        ended = await hall.get(waiting)
        assert (ended.state, ended.artefact) == ("failed", None)

    async def test_whoever_becomes_alone_has_shown_too_little(
        self, hall: Hall, alone: Alone, bob: Administrator
    ) -> None:
        ceremony = await alone.sign(await hall.authorize(alone.ada, await hall.at("authorize", alone.ada, bob)))
        async with hall.store.transaction() as tx:
            await set_blocked(tx, hall.tenant, bob.id, blocked=True)
        with pytest.raises(ceremonies.Incomplete) as refused:
            await ceremonies.check_complete(hall.store, hall.tenant, ceremony, hall.clock.now())
        assert refused.value.code in {"sole_administrator", "too_few_factors"}


SCAN = b"%PDF-1.4 a scan of a page with ink on it"
HASHES: dict[str, Any] = {"kinds": ("password_hashes",)}


async def hand_in(hall: Hall, ada: Administrator, ceremony: Ceremony) -> Ceremony:
    return await ceremonies.upload_form(await hall.attempt(ada), ceremony.id, "scan", SCAN)


async def confirm(hall: Hall, person: Administrator, ceremony: Ceremony, channel: str) -> Ceremony:
    return await ceremonies.confirm_scan(await hall.attempt(person), ceremony.id, channel=channel)


class TestASignatureOnPaper:
    """Weak evidence: only by policy, never for private keys by itself, and with a named person who has made sure."""

    async def test_without_the_policy_and_for_private_keys_it_is_refused(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        ceremony = await hall.at("sign", ada, bob, **HASHES)
        with pytest.raises(FreeholdError) as refused:
            await hand_in(hall, ada, ceremony)
        assert refused.value.code == "scan_not_allowed"
        await ceremonies.cancel(await hall.attempt(ada), ceremony.id)
        hall.configure(ceremony_allow_scan="without_private_keys")
        ceremony = await hall.at("sign", ada, bob)
        with pytest.raises(FreeholdError) as refused:
            await hand_in(hall, ada, ceremony)
        assert refused.value.code == "scan_not_allowed"

    async def test_it_counts_once_another_person_says_how_they_made_sure(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_allow_scan="without_private_keys")
        ceremony = await hall.at("sign", ada, bob, **HASHES)
        pending = await hand_in(hall, ada, ceremony)
        assert pending.state == "requirements_pending"
        with pytest.raises(NotASecondPerson):
            await confirm(hall, ada, pending, "I know her hand")
        with pytest.raises(WrongState):
            await confirm(hall, bob, pending, "  ")
        with pytest.raises(RoleTooLow):
            await confirm(hall, await hall.administrator("vera", "viewer"), pending, "I called her")
        done = await confirm(hall, bob, pending, "I called her on the number in the directory")
        (check,) = of_kind(await pieces_of(hall.store, hall.tenant, done), "scan_check")
        told = next(e for e in await hall.log(done) if e.action == "ceremony.confirm_scan")

        assert done.state == "preparing"
        assert check.details == {"person": bob.email, "channel": "I called her on the number in the directory"}
        assert told.actor.email == bob.email
        assert "allow_scan" in done.request.policy["relaxed"]
        ready = await hall.build(done)
        report = await verify_bundle(await write_bundle(hall.store, hall.tenant, ready))
        assert report.complete

    async def test_a_policy_that_became_strict_again_voids_it(
        self, hall: Hall, ada: Administrator, bob: Administrator
    ) -> None:
        hall.configure(ceremony_allow_scan="without_private_keys")
        pending = await hand_in(hall, ada, await hall.at("sign", ada, bob, **HASHES))
        hall.configure(ceremony_allow_scan="never")
        done = await confirm(hall, bob, pending, "I called her")
        assert done.state == "requirements_pending"
