"""A whole ceremony over HTTP, with a real file: asked for, confirmed, signed, built, fetched, decrypted, removed."""

import asyncio
import contextlib
import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from pysequoia import SignatureMode, decrypt, sign

from freehold.domain import audit
from freehold.domain.ceremonies.evidence.executives import Material, check_executives_key, enrol_executive
from freehold.domain.ceremonies.evidence.form import statement
from freehold.domain.ceremonies.evidence.recipient_key import KeyPolicy
from freehold.domain.ceremonies.verify import verify_bundle
from tests.support.administrators import Person, make_administrator
from tests.support.ceremonies import RELAXED, armored, key_of
from tests.support.in_process import Installation, started

API = "/admin/api/ceremonies"
EXECUTIVE = "cso@example.com"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with started(tmp_path_factory.mktemp("ceremony") / "data", **RELAXED) as running:
        # OpenPGP keys are made by the machine's time.
        ahead = datetime.now(UTC) + timedelta(minutes=1) - running.clock.now()
        running.advance(ahead.total_seconds())
        yield running


@pytest.fixture(scope="module")
def ada(place: Installation) -> Person:
    return make_administrator(place, "ada@example.com")


@pytest.fixture(scope="module")
def bob(place: Installation) -> Person:
    return make_administrator(place, "bob@example.com")


@pytest.fixture(scope="module")
def executive(place: Installation) -> str:
    async def enrol() -> str:
        key = await check_executives_key(
            armored(EXECUTIVE), email=EXECUTIVE, now=place.clock.now(), policy=KeyPolicy(allow_modern=True)
        )
        async with place.services.store.transaction() as tx:
            enrolled = await enrol_executive(
                tx, await place.services.tenants.by_name("main"), name="Grace Hopper", title="CSO", email=EXECUTIVE,
                material=Material(openpgp_key=msgspec.structs.replace(key, certificate=armored(EXECUTIVE))),
                actor=audit.OPERATOR,
            )  # fmt: skip
        return enrolled.id

    return place.run(enrol())


def body(executive: str, **changes: Any) -> dict[str, Any]:
    return {
        "kinds": ["password_hashes", "mfa_secrets", "private_keys"],
        "purpose": "Moving to another provider",
        "recipients": [{"key": armored("ada@example.com")}],
        "executive": executive,
        **changes,
    }


def ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


def refused(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["errorCode"]


def with_evidence(ada: Person, bob: Person, executive: str) -> dict[str, Any]:
    """A ceremony whose file is being prepared."""
    with contextlib.closing(ada.api()) as http:
        made = ok(http.post(API, json=body(executive)), 201)
        path = f"{API}/{made['id']}"
        assert ok(http.post(f"{path}/submit"))["state"] == "requirements_pending"
        shown = ok(http.get(path))
        (message,) = shown["messages"].values()
        opened = decrypt(message.encode(), decryptor=key_of("ada@example.com").decryptor()).bytes
        assert opened is not None
        ok(http.post(f"{path}/possess", json={"words": [opened.decode()]}))
        ok(http.post(f"{path}/authorize", json={"tenant": "main", "text": shown["authorization_text"]}))
    with contextlib.closing(bob.api()) as http:
        ok(http.post(f"{path}/decision", json={"decision": "approve", "code": bob.code(), "digest": made["groups"]}))
    with contextlib.closing(ada.api()) as http:
        form = http.get(f"{path}/form")
        assert form.headers["content-type"] == "application/pdf"
        text = statement(form.content, bytes.fromhex(made["digest"]))
        signed = sign(key_of(EXECUTIVE).signer(), text.encode(), mode=SignatureMode.CLEAR)
        return ok(http.post(f"{path}/signature", params={"kind": "openpgp"}, content=signed))


def test_the_whole_ceremony(place: Installation, ada: Person, bob: Person, executive: str) -> None:
    made = with_evidence(ada, bob, executive)
    path = f"{API}/{made['id']}"
    assert made["state"] in {"preparing", "ready"}
    for _ in range(100):
        place.work()
        with contextlib.closing(ada.api()) as http:
            ready = ok(http.get(path))
        if ready["state"] == "ready":
            break
        place.run(asyncio.sleep(0.2))
    assert ready["state"] == "ready", ready["reason"]

    with contextlib.closing(bob.api()) as http:
        assert http.post(f"{path}/tickets").status_code == 410, "the file is the requester's"
    with contextlib.closing(ada.api()) as http:
        ticket = ok(http.post(f"{path}/tickets"), 201)
        file = http.get(f"{path}/file", params={"ticket": ticket["ticket"]})
        assert file.status_code == 200, file.text
        assert http.get(f"{path}/file", params={"ticket": ticket["ticket"]}).status_code == 410
    opened = decrypt(file.content, decryptor=key_of("ada@example.com").decryptor())
    assert opened.bytes is not None
    with tarfile.open(fileobj=io.BytesIO(opened.bytes)) as tar:
        names = tar.getnames()
    assert "manifest.json" in names
    assert "private-keys.jwks.json" in names
    assert any(name.startswith("evidence/") for name in names)

    with contextlib.closing(ada.api()) as http:
        assert ok(http.get(path))["state"] == "downloaded"
        before = place.run(verify_bundle(http.get(f"{path}/receipt").content))
    place.advance(8 * 86_400)
    for _ in range(3):
        place.work()
    with contextlib.closing(ada.api()) as http:
        assert ok(http.get(path))["state"] == "destroyed"
        assert http.post(f"{path}/tickets").status_code == 410
        keys = ok(http.get("/.well-known/freehold-audit-keys"))["keys"]
        assert http.get("/.well-known/freehold-export-keys").text == ""  # this operator has nothing signed
        after = place.run(verify_bundle(http.get(f"{path}/receipt").content, audit_key=keys[0]["kid"]))
    assert (before.state, before.complete, after.state, after.destroyed) == ("downloaded", True, "destroyed", True)
    assert after.file_sha256 == ticket["sha256"]


def test_a_machine_reads_states_and_nothing_else(place: Installation, ada: Person, bob: Person, executive: str) -> None:
    with contextlib.closing(ada.api()) as http:
        made = ok(http.post(API, json=body(executive)), 201)
    with place.management() as machine:
        token = machine.headers["authorization"]
    with place.client(headers={"authorization": token}) as http:
        listed = ok(http.get(API))
        assert set(listed[0]) == {"id", "state", "created_at", "state_since"}  # type: ignore[index]
        assert set(ok(http.get(f"{API}/{made['id']}"))) == {"id", "state", "created_at", "state_since"}
        assert http.post(API, json=body(executive)).status_code == 401
        for method, path, json in (
            ("PUT", "", body(executive)), ("GET", "/form", None), ("GET", "/receipt", None), ("POST", "/submit", {}),
            ("POST", "/words", {}), ("POST", "/possess", {"words": []}), ("POST", "/authorize", {}),
            ("POST", "/challenge", {"decision": "approve"}), ("POST", "/decision", {"decision": "approve"}),
            ("POST", "/signature", {}), ("POST", "/scan", {}), ("POST", "/cancel", {}), ("POST", "/tickets", {}),
            ("GET", "/file", None),
        ):  # fmt: skip
            assert http.request(method, f"{API}/{made['id']}{path}", json=json).status_code == 401, path
    with contextlib.closing(ada.api()) as http:
        assert ok(http.get(f"{API}/{made['id']}"))["state"] == "draft"


def test_a_call_that_is_repeated_has_no_further_effect(place: Installation, ada: Person, executive: str) -> None:
    with contextlib.closing(ada.api()) as http:
        http.headers["idempotency-key"] = "once"
        first = ok(http.post(API, json=body(executive)), 201)
        again = ok(http.post(API, json=body(executive)), 201)
        other = http.post(API, json=body(executive, purpose="Something else entirely"))
    assert first == again
    assert refused(other) == (409, "idempotency_key_reused")


def test_an_old_sign_in_is_not_enough(place: Installation, ada: Person, executive: str) -> None:
    with contextlib.closing(ada.api()) as http:
        place.advance(301)
        assert refused(http.post(API, json=body(executive))) == (403, "fresh_authentication_required")


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"kinds": []}, "no_kinds"),
        ({"kinds": ["everything"]}, "invalid_body"),
        ({"purpose": "short"}, "bad_purpose"),
        ({"needed_by": "2020-01-01"}, "bad_date"),
        ({"needed_by": "tomorrow"}, "bad_date"),
        ({"recipients": []}, "bad_recipients"),
        ({"recipients": [{"key": "x"}]}, "not_a_public_key"),
        ({"executive": "exe_nobody"}, "unknown_executive"),
        ({"language": "../x"}, "bad_language"),
        ({"threshold": 0}, "invalid_body"),
    ],
)
def test_what_cannot_be_asked_for(
    place: Installation, ada: Person, executive: str, changes: dict[str, Any], code: str
) -> None:
    with contextlib.closing(ada.api()) as http:
        assert refused(http.post(API, json={**body(executive), **changes}))[1] == code
