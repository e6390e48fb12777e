"""What an attacker or an unlucky hour does to a ceremony over HTTP: a precise refusal, nothing kept, nothing released.

The rules themselves have tests of their own, each with many cases; here the same refusals come through the public door,
and the audit log shows them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from freehold.domain.administrators import people
from tests.domain.ceremonies.evidence.test_recipient_key import REFUSED
from tests.faults.ceremony.conftest import Place, files_of
from tests.support import ceremony_by_http as steps
from tests.support import openpgp_keys, signers
from tests.support.administrators import Person, make_administrator
from tests.support.ceremony_by_http import API, ok, refused
from tests.support.confined import prepared_readers
from tests.support.signers import sign_cms, sign_pdf

__all__ = ["prepared_readers"]
pytestmark = pytest.mark.usefixtures("prepared_readers")

KEYS = (
    "secret primary key",
    "secret subkey",
    "short primary key",
    "no subkey",
    "a subkey for signing only",
    "a revoked key",
    "a revoked subkey",
    "an expired key",
    "another's e-mail",
    "a binding with SHA-1",
)


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_is_not_good_is_refused_and_not_kept(place: Place, name: str) -> None:
    code, shape = REFUSED[name]
    armored = openpgp_keys.write(shape())
    with place.http() as http, place.refusing() as codes:
        answer = http.post(API, json=place.asked(recipients=[{"key": armored}]))
        codes.append(code)

    assert (answer.status_code, refused(answer)[1]) == (400, code), answer.text
    middle = armored.splitlines()[len(armored.splitlines()) // 2].encode()
    assert middle not in files_of(place.data)
    assert middle not in answer.content


# --- the signed form ---------------------------------------------------------------------------------------------

Bend = Callable[[Place, bytes], bytes]
FORMS: dict[str, tuple[str, Bend]] = {
    "not signed": ("not_signed", lambda place, form: form),
    "a typed name": ("not_pdf", lambda place, form: b"Signed: Grace Hopper, CSO"),
    "edited after signing": (
        "changed_after_signing", lambda place, form: signers.changed(sign_pdf(form, place.signer), signers.overlay)),
    "another page after signing": (
        "changed_after_signing", lambda place, form: signers.changed(sign_pdf(form, place.signer), signers.swap_page)),
    "a shadow prepared before signing": (
        "changed_before_signing", lambda place, form: sign_pdf(signers.changed(form, signers.overlay), place.signer)),
    "wrapped": ("not_covered", lambda place, form: signers.wrapped(sign_pdf(form, place.signer, reserved=20_000))),
    "a weak digest": ("weak_digest", lambda place, form: sign_pdf(form, place.signer, digest="sha1")),
    "an untrusted certificate": (
        "untrusted", lambda place, form: sign_pdf(form, signers.Authority(place.authority.now).issue())),
    "an expired certificate": (
        "certificate_expired",
        lambda place, form: sign_pdf(form, place.authority.issue(lasts=timedelta(days=9)))),
    "a revoked certificate": ("revoked", lambda place, form: sign_pdf(form, place.revoked)),
    "somebody else's certificate": (
        "other_person", lambda place, form: sign_pdf(form, place.authority.issue(email="eve@example.com"))),
}  # fmt: skip


SOME_FORMS = ("a typed name", "edited after signing", "a revoked certificate", "somebody else's certificate")
"""Of each kind of refusal one; what a reader of forms refuses is tested without a server beside it."""


@pytest.mark.parametrize(
    "names", [pytest.param(SOME_FORMS, id="some"), pytest.param(tuple(FORMS), id="all", marks=pytest.mark.slow)]
)
def test_a_form_that_is_not_the_executives_is_refused(place: Place, names: tuple[str, ...]) -> None:
    earlier = place.to_be_signed()
    with place.http() as http:
        of_another = sign_pdf(steps.form(http, earlier), place.signer)
        ok(http.post(f"{API}/{earlier}/cancel", json={}))
    one = place.to_be_signed()
    with place.http() as http, place.refusing() as codes:
        form = steps.form(http, one)
        found = {name: refused(steps.upload(http, one, FORMS[name][1](place, form)))[1] for name in names}
        found["signed for another request"] = refused(steps.upload(http, one, of_another))[1]
        found["a signature beside another form"] = refused(
            steps.upload(http, one, sign_cms(of_another, place.signer), "cms")
        )[1]
        found["under another name"] = refused(steps.upload(http, one, sign_pdf(form, place.signer), "scan"))[1]
        codes.extend(found.values())

    expected = {name: FORMS[name][0] for name in names} | {
        "signed for another request": "not_the_issued_form",
        "a signature beside another form": "changed",
        "under another name": "scan_not_allowed",
    }
    assert found == expected


def test_the_same_form_counts_once(place: Place) -> None:
    one = place.to_be_approved()
    with place.http() as http:
        form = steps.form(http, one)
        signed = sign_pdf(form, place.signer)
        ok(steps.upload(http, one, signed))
        with place.refusing() as codes:
            status, code = refused(steps.upload(http, one, signed))
            codes.append(code)
    assert status == 409


# --- people --------------------------------------------------------------------------------------------------------


def test_two_confirmations_at_once_each_count_once(place: Place) -> None:
    carl = make_administrator(place.installation, f"carl{place.count('ceremonies')}@example.net")
    one = place.to_be_approved()
    asked = []
    told = place.count("audit_entries where action = 'ceremony.refused'")
    for person in (place.bob, carl):
        asked.append((person.api(), person.code()))
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda pair: steps.approve(pair[0], one, pair[1]), asked))
    for http, _ in asked:
        http.close()
    done = [answer for answer in answers if answer.status_code == 200]
    evidence = [piece for piece in place.shown(one)["evidence"] if piece["kind"] == "approval"]

    assert len(evidence) == len(done) >= 1
    assert all(answer.status_code in {200, 409} for answer in answers)
    refusals = place.count("audit_entries where action = 'ceremony.refused'") - told
    assert refusals == len(answers) - len(done)
    assert place.state(one) == "requirements_pending"


def _change(place: Place, person: Person, what: str) -> None:
    async def run() -> None:
        tenant = await place.installation.services.tenants.by_name("main")
        async with place.installation.services.store.transaction() as tx:
            if what == "demoted":
                await people.change_role(tx, tenant, person.id, "viewer")
            elif what == "blocked":
                await people.set_blocked(tx, tenant, person.id, blocked=True)
            else:
                await people.remove_administrator(tx, tenant, person.id)

    place.installation.run(run())


@pytest.mark.parametrize("what", ["demoted", "blocked", "deleted"])
def test_a_requester_who_is_gone_midway_gets_nothing(place: Place, what: str) -> None:
    eve = make_administrator(place.installation, f"eve-{what}@example.com")
    asked = steps.asked(place.executive, eve.email)
    with place.http(eve) as http:
        one = str(ok(http.post(API, json=asked), 201)["id"])
        ok(http.post(f"{API}/{one}/submit"))
        ok(steps.possess(http, one, eve.email))
        ok(steps.authorize(http, one))
        with place.http(place.bob) as other:
            ok(steps.approve(other, one, place.bob.code()))
        _change(place, eve, what)
        # Who is blocked or deleted has no session any more, by which the log could know them.
        with place.refusing("administrator" if what == "demoted" else "anonymous") as codes:
            for answer in (steps.upload(http, one, b"", "cms"), http.post(f"{API}/{one}/tickets")):
                assert answer.status_code in {401, 403}, answer.text
                codes.append(refused(answer)[1])
    with place.http(place.bob) as http:
        steps.sign(http, one, place.signer)
        place.installation.work()
        assert ok(http.get(f"{API}/{one}"))["state"] not in {"preparing", "ready", "downloaded"}
    assert place.count("ceremony_artefacts where state = 'ready'") == 0


GONE = ["demoted", pytest.param("blocked", marks=pytest.mark.slow), pytest.param("deleted", marks=pytest.mark.slow)]


@pytest.mark.parametrize("what", GONE)
def test_a_requester_who_is_gone_when_it_is_ready_gets_nothing(place: Place, what: str) -> None:
    eve = make_administrator(place.installation, f"eve-later-{what}@example.com")
    with place.http(eve) as http:
        one = str(ok(http.post(API, json=steps.asked(place.executive, eve.email)), 201)["id"])
        ok(http.post(f"{API}/{one}/submit"))
        ok(steps.possess(http, one, eve.email))
        ok(steps.authorize(http, one))
        with place.http(place.bob) as other:
            ok(steps.approve(other, one, place.bob.code()))
        ok(steps.sign(http, one, place.signer))
        place.work_until(one, "ready")
        ticket = ok(http.post(f"{API}/{one}/tickets"), 201)["ticket"]
        _change(place, eve, what)
        with place.refusing("administrator" if what == "demoted" else "anonymous") as codes:
            for answer in (
                http.get(f"{API}/{one}/file", params={"ticket": ticket}), http.post(f"{API}/{one}/tickets")
            ):  # fmt: skip
                assert answer.status_code in {401, 403}, answer.text
                codes.append(refused(answer)[1])
    with place.http(place.bob) as http, place.refusing() as codes:
        assert refused(http.get(f"{API}/{one}/file", params={"ticket": ticket})) == (403, "foreign_ticket")
        codes.append("foreign_ticket")
