"""What an attacker or an unlucky hour does to a ceremony over HTTP: a precise refusal, nothing kept, nothing released.

The rules themselves have tests of their own, each with many cases; here the same refusals come through the public door,
and the audit log shows them.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from freehold.domain import ceremonies
from freehold.domain.administrators import people
from tests.domain.ceremonies.evidence.test_recipient_key import REFUSED
from tests.faults.ceremony.conftest import Place, files_of
from tests.support import ceremony_by_http as steps
from tests.support import openpgp_keys, signers
from tests.support.administrators import Person, make_administrator
from tests.support.ceremony_by_http import API, ok, refused
from tests.support.signers import sign_cms, sign_pdf

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
    before = place.count("ceremonies"), place.count("ceremony_evidence")
    with place.http() as http:
        answer = http.post(API, json=place.asked(recipients=[{"key": armored}]))

    assert (answer.status_code, refused(answer)[1]) == (400, code), answer.text
    assert (place.count("ceremonies"), place.count("ceremony_evidence")) == before
    middle = armored.splitlines()[len(armored.splitlines()) // 2].encode()
    assert middle not in files_of(place.data)
    assert middle not in answer.content
    assert place.refusals()[0]["details"] == {"step": "draft", "code": code}


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


def test_a_form_that_is_not_the_executives_is_refused(place: Place) -> None:
    earlier = place.to_be_signed()
    with place.http() as http:
        of_another = sign_pdf(steps.form(http, earlier), place.signer)
        ok(http.post(f"{API}/{earlier}/cancel", json={}))
    one = place.to_be_signed()
    before = place.shown(one)
    with place.http() as http:
        form = steps.form(http, one)
        found = {name: refused(steps.upload(http, one, bend(place, form)))[1] for name, (_, bend) in FORMS.items()}
        found["signed for another request"] = refused(steps.upload(http, one, of_another))[1]
        found["a signature beside another form"] = refused(
            steps.upload(http, one, sign_cms(of_another, place.signer), "cms")
        )[1]
        found["under another name"] = refused(steps.upload(http, one, sign_pdf(form, place.signer), "scan"))[1]
    shown = [entry["details"]["code"] for entry in place.refusals()[: len(found)]]

    expected = {name: code for name, (code, _) in FORMS.items()} | {
        "signed for another request": "not_the_issued_form",
        "a signature beside another form": "changed",
        "under another name": "scan_not_allowed",
    }
    assert found == expected
    assert sorted(shown) == sorted(found.values())
    assert place.shown(one) == before
    assert place.count("ceremony_artefacts where state = 'ready'") == 0


def test_the_same_form_counts_once(place: Place) -> None:
    one = place.to_be_approved()
    with place.http() as http:
        form = steps.form(http, one)
        signed = sign_pdf(form, place.signer)
        ok(steps.upload(http, one, signed))
        again = steps.upload(http, one, signed)
    assert refused(again)[0] == 409
    assert place.state(one) == "requirements_pending"


# --- people --------------------------------------------------------------------------------------------------------


def test_two_confirmations_at_once_each_count_once(place: Place) -> None:
    carl = make_administrator(place.installation, f"carl{place.count('ceremonies')}@example.net")
    one = place.to_be_approved()
    asked = []
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
        answer = steps.upload(http, one, b"", "cms")
        assert answer.status_code in {401, 403}, answer.text
        assert http.post(f"{API}/{one}/tickets").status_code in {401, 403}
    with place.http(place.bob) as http:
        steps.sign(http, one, place.signer)
        place.installation.work()
        assert ok(http.get(f"{API}/{one}"))["state"] not in {"preparing", "ready", "downloaded"}
    assert place.count("ceremony_artefacts where state = 'ready'") == 0


@pytest.mark.parametrize("what", ["demoted", "blocked"])
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
        assert http.get(f"{API}/{one}/file", params={"ticket": ticket}).status_code in {401, 403}
        assert http.post(f"{API}/{one}/tickets").status_code in {401, 403}
    with place.http(place.bob) as http:
        assert http.get(f"{API}/{one}/file", params={"ticket": ticket}).status_code in {403, 404, 410}


# --- time, room, places --------------------------------------------------------------------------------------------


def test_a_clock_that_was_set_stops_everything_until_the_operator_has_looked(place: Place) -> None:
    one = place.to_be_approved()
    place.installation.work()
    place.installation.clock.jump(seconds=7200)
    with place.http() as ada, place.http(place.bob) as bob:
        assert refused(steps.approve(bob, one, place.bob.code())) == (409, "clock_jumped")
        assert refused(ada.post(API, json=place.asked())) == (409, "clock_jumped")
        kinds = {piece["kind"] for piece in ok(ada.get(f"{API}/{one}"))["evidence"]}
        assert kinds.isdisjoint({"approval", "signature"})
        store, tenant = place.installation.services.store, place.installation.tenant
        assert place.installation.run(ceremonies.confirm_clock(store, tenant))
        ok(ada.post(API, json=place.asked()), 201)


# --- links, browsers, guesses ---------------------------------------------------------------------------------------


def test_ids_that_are_guessed_are_not_there(place: Place) -> None:
    with place.http() as http:
        for guess in ("cer_1", "../sessions", "cer_" + "0" * 22, "%00", "cer_1' or '1'='1"):
            for method, rest in (
                ("GET", ""), ("GET", "/form"), ("GET", "/receipt"), ("POST", "/submit"), ("POST", "/cancel"),
                ("POST", "/tickets"), ("POST", "/signature"), ("POST", "/decision"),
            ):  # fmt: skip
                answer = http.request(method, f"{API}/{guess.replace('/', '%2F')}{rest}", json={"decision": "reject"})
                assert answer.status_code in {400, 404}, (guess, rest, answer.text)


def test_a_browsers_cookie_alone_does_nothing(place: Place) -> None:
    """A page elsewhere can make a browser send its cookie, and nothing else."""
    one = place.draft()
    browser, _ = place.ada.sign_in()
    before = place.shown(one)
    for method, path, body in (
        ("POST", API, place.asked()), ("PUT", f"{API}/{one}", place.asked()), ("POST", f"{API}/{one}/submit", {}),
        ("POST", f"{API}/{one}/cancel", {}), ("POST", f"{API}/{one}/tickets", {}),
        ("POST", f"{API}/{one}/decision", {"decision": "reject"}),
    ):  # fmt: skip
        for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
            answer = browser.http.request(method, path, json=body, headers=headers)
            assert answer.status_code in {401, 403}, (path, headers, answer.status_code)
    assert place.shown(one) == before


def test_no_answer_can_be_framed_or_kept(place: Place) -> None:
    one = place.draft()
    browser, _ = place.ada.sign_in()
    with place.http() as http:
        for client, path in (
            (http, API), (http, f"{API}/{one}"), (http, f"{API}/{one}/receipt"), (browser.http, "/admin"),
            (browser.http, "/admin/ceremonies"), (browser.http, f"/admin/ceremonies/{one}"),
            (browser.http, "/admin/authenticate"),
        ):  # fmt: skip
            headers = client.get(path).headers
            assert "no-store" in headers.get("cache-control", ""), path
            assert headers["x-content-type-options"] == "nosniff", path
            if headers.get("content-type", "").startswith("text/html"):
                assert "frame-ancestors 'none'" in headers["content-security-policy"], path
                assert headers["x-frame-options"] == "DENY", path
