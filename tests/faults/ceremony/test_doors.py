"""Links, browsers, machines and guesses at the doors of a ceremony; places that are full, and clocks that are set.

Each attempt is refused over HTTP, nothing leaves by it, and the audit log shows it.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from freehold.domain import ceremonies
from freehold.domain.audit import FileSink, witnesses
from freehold.surfaces.ceremony.refusals import STRANGERS_PER_MINUTE
from tests.faults.ceremony.conftest import REQUESTER, Place
from tests.support import ceremony_by_http as steps
from tests.support.administrators import PASSWORD
from tests.support.ceremony_by_http import API, ok, refused
from tests.support.signers import sign_cms

# --- links, browsers, guesses ---------------------------------------------------------------------------------------


@pytest.fixture(scope="class")
def ready(everything: Place) -> Iterator[tuple[Place, str]]:
    yield everything, everything.ready()
    everything.end()


class TestAFileThatIsReady:
    """It waits for its requester, and for nobody else."""

    def test_a_link_opens_nothing_for_anybody_else(self, ready: tuple[Place, str]) -> None:
        place, one = ready
        file = f"{API}/{one}/file"
        with place.http() as http, place.http() as second, place.http(place.bob) as bob:
            ticket = {"ticket": ok(http.post(f"{API}/{one}/tickets"), 201)["ticket"]}
            with place.refusing() as codes:
                assert refused(bob.get(file, params=ticket)) == (403, "foreign_ticket"), "forwarded"
                assert refused(second.get(file, params=ticket)) == (403, "foreign_ticket"), "the same person elsewhere"
                codes.extend(["foreign_ticket"] * 2)
                for guess in ("x", ticket["ticket"][:-1] + "x", ticket["ticket"][::-1]):
                    assert refused(http.get(file, params={"ticket": guess})) == (410, "ticket_unknown")
                    codes.append("ticket_unknown")
                for header in ({"purpose": "prefetch"}, {"sec-purpose": "prefetch;prerender"}, {"x-moz": "prefetch"}):
                    assert refused(http.get(file, params=ticket, headers=header)) == (400, "no_prefetch")
                    codes.append("no_prefetch")
                assert refused(bob.post(f"{API}/{one}/tickets"))[0] == 410, "the file is the requester's"
                codes.append("not_the_requester")
            with place.refusing("anonymous") as codes, place.installation.client() as anybody:
                assert anybody.get(file, params=ticket).status_code == 401
                assert anybody.post(f"{API}/{one}/tickets").status_code == 401
                codes.extend(["sign_in_required"] * 2)
            given = place.given_out()
            for _ in range(3):
                head = http.head(file, params=ticket)
                assert (head.status_code, head.content) == (200, b"")
            assert place.given_out() == given, "looking uses nothing up"
            got = http.get(file, params=ticket)
            assert got.status_code == 200
            assert "attachment" in got.headers["content-disposition"]
            assert "no-store" in got.headers["cache-control"]
            with place.refusing() as codes:
                assert refused(http.get(file, params=ticket)) == (410, "ticket_used"), "a second time"
                codes.append("ticket_used")

    def test_a_machine_with_every_scope_opens_nothing(self, ready: tuple[Place, str]) -> None:
        place, one = ready
        with place.installation.management() as api:
            token = api.headers["authorization"]
        with place.installation.client(headers={"authorization": token}) as machine, place.refusing("machine") as codes:
            for method, rest in (
                ("GET", "/file?ticket=x"), ("GET", "/form"), ("GET", "/receipt"), ("POST", "/tickets"),
                ("POST", "/cancel"), ("POST", "/decision"), ("POST", "/signature"), ("POST", "/possess"),
                ("POST", "/authorize"), ("POST", "/words"), ("POST", "/submit"), ("POST", "/scan"),
                ("POST", "/challenge"), ("PUT", ""),
            ):  # fmt: skip
                answer = machine.request(method, f"{API}/{one}{rest}", json={})
                assert answer.status_code == 401, (rest, answer.text)
                codes.append(refused(answer)[1])
            answer = machine.post(API, json=place.asked())
            codes.append(refused(answer)[1])
        place.installation.advance(60)

    def test_a_clock_that_was_set_back_makes_nothing_last_longer(self, ready: tuple[Place, str]) -> None:
        """Neither the sign-in of a moment ago, which lies in the future now, nor the minute of a ticket."""
        place, one = ready
        with place.http() as http:
            ticket = ok(http.post(f"{API}/{one}/tickets"), 201)["ticket"]
            place.installation.clock.jump(seconds=-7200)
            try:
                with place.refusing() as codes:
                    for answer in (
                        http.post(f"{API}/{one}/tickets"), http.post(API, json=place.asked()),
                        http.get(f"{API}/{one}/file", params={"ticket": ticket}),
                    ):  # fmt: skip
                        assert answer.status_code in {403, 410}, answer.text
                        codes.append(refused(answer)[1])
                assert codes == ["fresh_authentication_required"] * 2 + ["ticket_expired"]
            finally:
                place.installation.clock.jump(seconds=7200)
                # A round may have looked meanwhile.
                place.installation.run(
                    ceremonies.confirm_clock(place.installation.services.store, place.installation.tenant)
                )
            assert http.get(f"{API}/{one}/file", params={"ticket": ticket}).status_code == 200


def test_strangers_cannot_fill_the_audit_log(place: Place) -> None:
    one = place.draft()
    before = place.count("audit_entries where action = 'ceremony.refused'")
    with place.installation.client() as anybody:
        for _ in range(STRANGERS_PER_MINUTE + 5):
            assert anybody.post(f"{API}/{one}/cancel", json={}).status_code == 401
        assert place.count("audit_entries where action = 'ceremony.refused'") == before + STRANGERS_PER_MINUTE
        place.installation.advance(60)
        anybody.post(f"{API}/{one}/cancel", json={})
    (details,) = place.rows("select details from audit_entries order by seq desc limit 1")
    assert details == ('{"code":"sign_in_required","step":"cancel","untold_before":5}',)
    place.installation.advance(60)


def test_ids_that_are_guessed_are_not_there(place: Place) -> None:
    guesses = ("cer_1", "../sessions", "cer_" + "0" * 22, "cer_1' or '1'='1")
    with place.http() as http, place.refusing() as codes:
        for guess in guesses:
            for method, rest in (
                ("GET", ""), ("GET", "/form"), ("GET", "/receipt"), ("POST", "/submit"), ("POST", "/cancel"),
                ("POST", "/tickets"), ("POST", "/signature"), ("POST", "/decision"),
            ):  # fmt: skip
                answer = http.request(method, f"{API}/{guess.replace('/', '%2F')}{rest}", json={"decision": "reject"})
                assert answer.status_code == 404, (guess, rest, answer.text)
                codes.append(refused(answer)[1])
        assert http.get(f"{API}/%00").status_code in {400, 404}


def test_links_of_executives_cannot_be_guessed(place: Place) -> None:
    with place.refusing("anonymous") as codes, place.installation.client() as anybody:
        for path in ("sign", "passkey", "form"):
            assert anybody.get(f"/admin/executive/{path}", params={"token": "x" * 43}).status_code == 410
            codes.append("link_over")


def test_a_browsers_cookie_alone_does_nothing(place: Place) -> None:
    """A page elsewhere can make a browser send its cookie, and nothing else."""
    one = place.draft()
    browser, _ = place.ada.sign_in()
    with place.refusing() as codes:
        for method, path, body in (
            ("POST", API, place.asked()), ("PUT", f"{API}/{one}", place.asked()), ("POST", f"{API}/{one}/submit", {}),
            ("POST", f"{API}/{one}/cancel", {}), ("POST", f"{API}/{one}/tickets", {}),
            ("POST", f"{API}/{one}/decision", {"decision": "reject"}),
        ):  # fmt: skip
            for headers in ({}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
                answer = browser.http.request(method, path, json=body, headers=headers)
                assert refused(answer) == (403, "cross_site_request"), (path, headers)
                codes.append("cross_site_request")


def test_a_form_that_another_site_sends_does_nothing(place: Place) -> None:
    one = place.draft()
    browser, _ = place.ada.sign_in()
    with place.refusing() as codes:
        for step in ("submit", "cancel", "decision", "download", "signature"):
            answer = browser.http.post(
                f"/admin/exports/{one}/{step}", data={"version": "1"}, headers={"origin": "https://evil.example"}
            )
            assert answer.status_code == 403, step
            codes.append("cross_site_request")


def test_no_answer_can_be_framed_or_kept(place: Place) -> None:
    """Framing shows itself to the browser alone, so no log can tell of it."""
    one = place.draft()
    browser, _ = place.ada.sign_in()
    with place.http() as http:
        for client, path in (
            (http, API), (http, f"{API}/{one}"), (http, f"{API}/{one}/receipt"), (browser.http, "/admin"),
            (browser.http, "/admin/exports"), (browser.http, f"/admin/exports/{one}"),
            (browser.http, "/admin/authenticate"),
        ):  # fmt: skip
            headers = client.get(path).headers
            assert "no-store" in headers.get("cache-control", ""), path
            assert headers["x-content-type-options"] == "nosniff", path
            if headers.get("content-type", "").startswith("text/html"):
                assert "frame-ancestors 'none'" in headers["content-security-policy"], path
                assert headers["x-frame-options"] == "DENY", path


# --- places, room, time ----------------------------------------------------------------------------------------------


@contextmanager
def only_place(place: Place, sink: Any) -> Iterator[None]:
    """Have this alone take audit entries beside the database."""
    witness: Any = place.installation.services.tenants.witness
    sinks, witness.sinks = witness.sinks, [sink]
    try:
        yield
    finally:
        witness.sinks = sinks
        witness._away_until.clear()


class Silent:
    """A place that never answers."""

    name = "silent"

    def __init__(self) -> None:
        self.asked = 0

    async def write(self, lines: object) -> None:
        self.asked += 1
        await asyncio.sleep(3600)


def test_without_a_place_for_the_audit_log_nothing_happens_and_people_sign_in(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A place may be full, as the kernel says it of this file at every write, or not answer at all."""
    one = place.to_be_signed()
    before = place.given_out(), place.count("audit_entries where action like 'ceremony.%'")
    silent = Silent()
    with place.http() as http:
        signed = sign_cms(steps.form(http, one), place.signer)
        for sink, patience_s in ((FileSink(Path("/dev/full")), 60), (silent, 0.2)):
            monkeypatch.setattr(witnesses, "TIMEOUT_S", patience_s)
            with only_place(place, sink):
                answers = [
                    http.post(API, json=place.asked()),
                    http.put(f"{API}/{one}", json=place.asked()),
                    steps.upload(http, one, signed, "cms"),
                    http.post(f"{API}/{one}/cancel", json={}),
                ]
                signing_in = {"email": REQUESTER, "password": PASSWORD, "otp": place.ada.code()}
                session = http.post("/admin/api/sessions", json=signing_in)
                with place.installation.management() as api:
                    users = api.get("/users")
            assert [refused(answer) for answer in answers] == [(503, "audit_unavailable")] * 4
            assert (session.status_code, users.status_code) == (201, 200)
            assert (place.given_out(), place.count("audit_entries where action like 'ceremony.%'")) == before
    assert silent.asked == 1, "nobody waits for it twice"


def test_a_full_disk_ends_the_ceremony_and_leaves_no_file(
    place: Place, limit_of_file_size: Callable[[int], None]
) -> None:
    one = place.to_be_signed()
    with place.http() as http:
        signed = sign_cms(steps.form(http, one), place.signer)
        limit_of_file_size(1000)
        ok(steps.upload(http, one, signed, "cms"))
    for _ in range(12):
        place.installation.work()
        if place.state(one) == "failed":
            break
        place.installation.advance(600)
    shown = place.shown(one)
    assert (shown["state"], shown["artefact"]) == ("failed", None), shown
    assert place.files == []
    assert place.count("ceremony_artefact_keys") == 0
    assert place.count(f"audit_entries where action = 'ceremony.fail' and ceremony_id = '{one}'") == 1
    with place.http() as http, place.refusing() as codes:
        assert http.post(f"{API}/{one}/tickets").status_code == 410
        codes.append("export_gone")


def test_a_clock_that_was_set_stops_everything_until_the_operator_has_looked(place: Place) -> None:
    one = place.to_be_approved()
    place.installation.work()
    place.installation.clock.jump(seconds=7200)
    with place.http() as ada, place.http(place.bob) as bob:
        with place.refusing() as codes:
            assert refused(steps.approve(bob, one, place.bob.code())) == (409, "clock_jumped")
            assert refused(ada.post(API, json=place.asked())) == (409, "clock_jumped")
            codes.extend(["clock_jumped"] * 2)
        store, tenant = place.installation.services.store, place.installation.tenant
        assert place.installation.run(ceremonies.confirm_clock(store, tenant))
        ok(ada.post(API, json=place.asked()), 201)
