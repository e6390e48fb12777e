"""Who may sign: enrolled by an administrator, recorded, settled; passkeys by a link that works once."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding
from pysequoia import Tsk
from webauthn import base64url_to_bytes

from freehold.domain import audit
from freehold.domain.audit import AuditActor
from freehold.domain.ceremonies.evidence import executive_links as links
from freehold.domain.ceremonies.evidence import executives
from freehold.domain.ceremonies.evidence.executives import EnrolledExecutive, Material, NotSettled, UnknownExecutive
from freehold.domain.ceremonies.evidence.material import MaterialRefused, check_certificate, check_crls
from freehold.domain.ceremonies.evidence.recipient_key import KeyPolicy, KeyRefused
from freehold.domain.ceremonies.evidence.signatories import SignaturePolicy
from freehold.domain.ceremonies.evidence.signed_form import verify_signed_form
from freehold.kernel.clock import FakeClock
from freehold.kernel.errors import BadRequest, Conflict, NotFound
from tests.support.openpgp_keys import now
from tests.support.people import TenantUnderTest
from tests.support.signers import DIGEST, Authority, SoftPasskey, issued_form

pytestmark = pytest.mark.quick_on("sqlite")

ADA = AuditActor("administrator", "adm_1", "ada@example.com")
NOW = now()
AUTHORITY = Authority(NOW)
DAY = timedelta(days=1)


async def enrol(people: TenantUnderTest, email: str = "grace@example.com", **more: Any) -> EnrolledExecutive:
    async with people.store.transaction() as tx:
        return await executives.enrol_executive(
            tx, people.tenant, name=" Grace  Hopper ", title="CISO", email=email, actor=ADA, **more
        )


async def actions(people: TenantUnderTest) -> list[str]:
    entries = await audit.latest_entries(people.store, people.tenant, limit=50)
    return [entry.action for entry in entries]


@pytest.mark.quick_on("sqlite", "postgresql")
async def test_who_is_enrolled_is_recorded_and_found(people: TenantUnderTest) -> None:
    person = AUTHORITY.issue()
    certificate = await check_certificate(person.pem, use="person", now=NOW)
    grace = await enrol(people, material=Material(certificates=(certificate,)))

    assert (grace.name, grace.enrolled_by) == ("Grace Hopper", "adm_1")
    assert grace.signatory.certificates == (person.fingerprint,)
    assert await executives.get_executive(people.store, people.tenant, grace.id) == grace
    assert await executives.list_executives(people.store, people.tenant) == [grace]
    assert "executive.enrolled" in await actions(people)


async def test_one_address_is_one_executive(people: TenantUnderTest) -> None:
    await enrol(people)

    with pytest.raises(Conflict):
        await enrol(people, "GRACE@example.com")
    for bad in ("grace", "", "a@b\u202e", "x" * 201 + "@example.com"):
        with pytest.raises(BadRequest):
            await enrol(people, bad)


async def test_who_was_enrolled_or_changed_lately_does_not_count_yet(people: TenantUnderTest, clock: FakeClock) -> None:
    grace = await enrol(people)

    def check(executive: EnrolledExecutive, anchors: list[Any] | None = None) -> None:
        executives.check_settled(executive, anchors or [], now=clock.now(), minimum_age=3 * DAY)

    with pytest.raises(NotSettled):
        check(grace)
    clock.advance(seconds=3 * 86_400)
    check(grace)
    async with people.store.transaction() as tx:
        changed = await executives.change_material(tx, people.tenant, grace.id, material=Material(), actor=ADA)
        certificate = await check_certificate(AUTHORITY.anchor().certificate, use="authority", now=NOW)
        anchor = await executives.enrol_anchor(tx, people.tenant, name="CA", certificate=certificate, actor=ADA)
    with pytest.raises(NotSettled):
        check(changed)
    with pytest.raises(NotSettled):
        check(grace, [anchor])
    clock.advance(seconds=3 * 86_400)
    check(changed, [anchor])


async def test_who_is_removed_is_gone_with_their_links(people: TenantUnderTest) -> None:
    grace = await enrol(people)
    async with people.store.transaction() as tx:
        value = await links.issue_executive_link(tx, people.tenant, grace.id, purpose="passkey", issued_by="adm_1")
        await executives.remove_executive(tx, people.tenant, grace.id, actor=ADA)

    assert await executives.find_executive(people.store, people.tenant, grace.id) is None
    assert (await links.find_executive_link(people.store, people.tenant, value, "passkey"))[0] == "unknown"
    with pytest.raises(UnknownExecutive):
        await executives.get_executive(people.store, people.tenant, grace.id)
    assert "executive.removed" in await actions(people)


async def test_authorities_come_with_their_lists_and_go(people: TenantUnderTest) -> None:
    pem = AUTHORITY.anchor().certificate
    certificate = await check_certificate(pem, use="authority", now=NOW)
    crls = await check_crls([AUTHORITY.crl().decode()], certificate=pem, now=NOW)
    async with people.store.transaction() as tx:
        anchor = await executives.enrol_anchor(tx, people.tenant, name="CA", certificate=certificate, actor=ADA)
    with pytest.raises(Conflict):
        async with people.store.transaction() as tx:
            await executives.enrol_anchor(tx, people.tenant, name="CA", certificate=certificate, actor=ADA)
    async with people.store.transaction() as tx:
        await executives.put_crls(tx, people.tenant, anchor.id, crls, actor=ADA)
    (found,) = await executives.anchors_of(people.store, people.tenant)
    assert (found.certificate, found.crls) == (certificate.certificate, crls)
    async with people.store.transaction() as tx:
        await executives.remove_anchor(tx, people.tenant, anchor.id, actor=ADA)
    assert await executives.anchors_of(people.store, people.tenant) == ()
    with pytest.raises(NotFound):
        await executives.get_anchor(people.store, people.tenant, anchor.id)


async def test_material_that_is_not_good_is_not_enrolled() -> None:
    person, root = AUTHORITY.issue(), AUTHORITY.anchor().certificate
    secret = person.key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    cases = [
        (root, "person", "wrong_use"), (person.pem, "authority", "wrong_use"), ("Grace", "person", "not_readable"),
        (person.pem * 2, "person", "several"), (person.pem + secret.decode(), "person", "private_key"),
        (AUTHORITY.issue(lasts=timedelta(days=5)).pem, "person", "expired"), ("x" * 70_000, "person", "too_long"),
    ]  # fmt: skip
    for pem, use, code in cases:
        with pytest.raises(MaterialRefused) as refused:
            await check_certificate(pem, use=use, now=NOW)  # type: ignore[arg-type]
        assert refused.value.code == code
    for crl, code in (
        (Authority(NOW).crl(), "other_authority"), (AUTHORITY.crl(age=timedelta(days=30)), "expired"),
        (b"junk", "not_readable"),
    ):  # fmt: skip
        with pytest.raises(MaterialRefused) as refused:
            await check_crls([crl.decode()], certificate=root, now=NOW)
        assert refused.value.code == code


async def test_an_executives_openpgp_key_keeps_the_rules_for_recipients() -> None:
    key = str(Tsk.generate(user_id="Grace <grace@example.com>", validity_seconds=10**7).extract_certificate())
    modern = KeyPolicy(allow_modern=True)

    with pytest.raises(KeyRefused):
        await executives.check_executives_key(key, email="grace@example.com", now=now(), policy=KeyPolicy())
    with pytest.raises(KeyRefused):
        await executives.check_executives_key(key, email="eve@example.com", now=now(), policy=modern)
    checked = await executives.check_executives_key(key, email="grace@example.com", now=now(), policy=modern)
    assert "BEGIN PGP PUBLIC KEY" in checked.certificate


async def test_a_signature_by_the_enrolled_openpgp_key_holds_against_what_is_stored(people: TenantUnderTest) -> None:
    from pysequoia import SignatureMode, sign

    from freehold.domain.ceremonies.evidence.form import statement

    grace_key = Tsk.generate(user_id="Grace <grace@example.com>", validity_seconds=10**7)
    checked = await executives.check_executives_key(
        str(grace_key.extract_certificate()), email="grace@example.com", now=now(), policy=KeyPolicy(allow_modern=True)
    )
    grace = await enrol(people, material=Material(openpgp_key=checked))
    upload = sign(grace_key.signer(), statement(issued_form(), DIGEST).encode(), mode=SignatureMode.CLEAR)

    result = await verify_signed_form(
        upload, kind="openpgp", issued=issued_form(), digest=DIGEST, executive=grace.signatory, anchors=[], now=now(),
        policy=SignaturePolicy(allow_modern_keys=True),
    )  # fmt: skip
    assert result.signer == "Grace Hopper"


async def test_a_passkey_is_enrolled_by_a_link_once_and_signs(people: TenantUnderTest) -> None:
    tenant = people.tenant
    grace = await enrol(people)
    async with people.store.transaction() as tx:
        value = await links.issue_executive_link(tx, tenant, grace.id, purpose="passkey", issued_by="adm_1")
    state, link = await links.find_executive_link(people.store, tenant, value, "passkey")
    assert (state, (await links.find_executive_link(people.store, tenant, value, "sign"))[0]) == ("open", "unknown")
    assert link is not None
    options = links.enrolment_options(tenant, link, value)
    passkey = SoftPasskey(links.rp_id(tenant), links.origin(tenant))
    answer = passkey.register(base64url_to_bytes(options["challenge"]))

    with pytest.raises(BadRequest):
        async with people.store.transaction() as tx:
            await links.enrol_passkey(tx, tenant, value, passkey.register(b"another challenge"))
    async with people.store.transaction() as tx:
        grace = await links.enrol_passkey(tx, tenant, value, answer)
    with pytest.raises(links.ExecutiveLinkOver):
        async with people.store.transaction() as tx:
            await links.enrol_passkey(tx, tenant, value, answer)
    (enrolled,) = grace.signatory.passkeys
    assert enrolled.public_key == passkey.public.public_key
    assert "executive.passkeys" in await actions(people)

    asked = links.signing_options(tenant, grace, issued_form())
    signed = json.dumps(passkey.sign(base64url_to_bytes(asked["challenge"]))).encode()
    pages = SignaturePolicy(rp_id=links.rp_id(tenant), origins=(links.origin(tenant),))
    result = await verify_signed_form(
        signed, kind="webauthn", issued=issued_form(), digest=DIGEST, executive=grace.signatory, anchors=[], now=NOW,
        policy=pages,
    )  # fmt: skip
    assert result.signer == "Grace Hopper"


async def test_links_end_and_earlier_ones_are_void(people: TenantUnderTest, clock: FakeClock) -> None:
    tenant = people.tenant
    grace = await enrol(people)
    async with people.store.transaction() as tx:
        old = await links.issue_executive_link(tx, tenant, grace.id, purpose="sign", issued_by="adm_1", ceremony_id="c")
        new = await links.issue_executive_link(tx, tenant, grace.id, purpose="sign", issued_by="adm_1", ceremony_id="c")
    assert (await links.find_executive_link(people.store, tenant, old, "sign"))[0] == "unknown"
    assert (await links.find_executive_link(people.store, tenant, new, "sign"))[0] == "open"
    for junk in (None, "", "x" * 1000, "é"):
        assert (await links.find_executive_link(people.store, tenant, junk, "sign"))[0] == "unknown"
    clock.advance(seconds=links.LIFETIME.total_seconds())
    assert (await links.find_executive_link(people.store, tenant, new, "sign"))[0] == "expired"
    with pytest.raises(links.ExecutiveLinkOver):
        async with people.store.transaction() as tx:
            await links.use_executive_link(tx, tenant, new, "sign")
