"""What the operator reads, and what nobody ever reads there."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from freehold.kernel import log as logs
from freehold.kernel.log import REDACTED, begin_request, bind, configure, get_logger, is_secret_name, redact

CANARY = "canary-7f3a9c"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"

log = get_logger("tests")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    written = io.StringIO()
    configure(log_format="json", level="debug", stream=written)
    yield written
    configure()


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_event_with_its_fields(stream: io.StringIO) -> None:
    log.info("refresh_token_reused", client_id="abc", count=3)

    (event,) = events(stream)
    assert datetime.fromisoformat(event.pop("time")).tzinfo is not None
    assert event == {
        "level": "info",
        "component": "tests",
        "event": "refresh_token_reused",
        "client_id": "abc",
        "count": 3,
    }


def test_levels_below_the_configured_one_are_left_out(stream: io.StringIO) -> None:
    configure(log_format="json", level="warning", stream=stream)
    for write in (log.debug, log.info, log.warning, log.error):
        write("happened")

    assert [event["level"] for event in events(stream)] == ["warning", "error"]


async def test_what_is_bound_at_the_edge_is_on_every_line_of_its_request_only(stream: io.StringIO) -> None:
    @dataclass
    class Tenant:
        name: str

    async def handle(request_id: str, client_id: str) -> None:
        begin_request(request_id)["tenant"] = Tenant("acme")
        await asyncio.sleep(0)
        bind(client_id=client_id)
        await asyncio.sleep(0)
        log.info("happened")

    bind(client_id="nowhere to bind")
    await asyncio.gather(handle("r1", "c1"), handle("r2", "c2"))
    log.info("outside")

    found = {event.get("request_id"): (event.get("tenant"), event.get("client_id")) for event in events(stream)}
    assert found == {"r1": ("acme", "c1"), "r2": ("acme", "c2"), None: (None, None)}


SECRET_NAMES = [
    "password",
    "new_password",
    "client_secret",
    "clientSecret",
    "token",
    "access_token",
    "refreshToken",
    "id_token",
    "Authorization",
    "cookie",
    "Set-Cookie",
    "code",
    "authorization_code",
    "user_code",
    "recovery_code",
    "code_verifier",
    "client_assertion",
    "assertion",
    "otp",
    "private_key",
    "signing_key",
    "api_key",
    "apikey",
    "APIKey",
    "password_hash",
    "hash_phc",
    "salt",
    "totp_seed",
    "ticket",
    "login_ticket",
    "jwt",
    "credential",
    "passphrase",
    "email",
    "body",
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_a_value_whose_name_looks_secret_is_dropped_at_any_depth(name: str, stream: io.StringIO) -> None:
    log.info("happened", **{name: CANARY})
    log.warning("happened", details={"list": [{name: CANARY}], name: {"deeper": CANARY}})

    assert CANARY not in stream.getvalue()
    assert events(stream)[0][name] == REDACTED


@pytest.mark.parametrize(
    "name",
    [
        "client_id",
        "token_type",
        "token_id",
        "status_code",
        "error_code",
        "country_code",
        "exit_code",
        "route",
        "kid",
        "client_assertion_type",
        "code_challenge_method",
        "token_endpoint",
        "password_threads_count",
        "key",
        "user_id",
    ],
)
def test_an_identifier_is_not_taken_for_a_secret(name: str) -> None:
    assert not is_secret_name(name)
    assert redact({name: "value"}) == {name: "value"}


SECRET_TEXTS = [
    JWT,
    f"failed for {JWT} at 3",
    "Authorization: Bearer canary-7f3a9c-canary",
    "Basic Y2FuYXJ5OmNhbmFyeQ==",
    "postgresql://freehold:canary-7f3a9c@db/freehold",
    "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----",
    "-----BEGIN RSA PRIVATE KEY-----\ncanary",
    "$2b$10$canarycanarycanarycanaryu3",
    "$argon2id$v=19$m=65536,t=3,p=4$canary$canary",
]


@pytest.mark.parametrize("text", SECRET_TEXTS)
def test_text_that_looks_like_a_secret_is_cut_out_wherever_it_stands(text: str, stream: io.StringIO) -> None:
    log.info("happened", detail=text, details=[{"x": text}])
    try:
        raise ValueError(text)
    except ValueError:
        log.exception("failed", note=text)
    logging.getLogger("library").error("failed: %s", text)

    written = stream.getvalue()
    assert "canary" not in written
    assert "Y2FuYXJ5" not in written
    assert "c2lnbmF0dXJl" not in written
    assert len(events(stream)) == 3


def test_an_object_is_named_and_not_shown(stream: io.StringIO) -> None:
    class User(msgspec.Struct):
        nickname: str

    class Reckless:
        def __repr__(self) -> str:
            return CANARY

        __str__ = __repr__

    log.info("happened", user=User(CANARY), other=Reckless(), raw=CANARY.encode(), many=[User(CANARY)])

    (event,) = events(stream)
    assert (event["user"], event["other"], event["raw"], event["many"]) == (
        "<User>",
        "<Reckless>",
        "<bytes>",
        ["<User>"],
    )


def test_plain_values_stay_plain(stream: io.StringIO) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    log.info("happened", at=moment, path=Path("/srv/x"), share=0.5, ok=True, nothing=None, names=("a", "b"))

    (event,) = events(stream)
    assert (event["path"], event["share"], event["ok"], event["nothing"]) == ("/srv/x", 0.5, True, None)
    assert event["names"] == ["a", "b"]


def test_nesting_and_length_are_bounded(stream: io.StringIO) -> None:
    endless: dict[str, Any] = {}
    endless["again"] = endless

    log.info("happened", endless=endless, long="x" * 100_000)

    assert len(stream.getvalue()) < 3_000


def test_a_traceback_shows_no_local_variables(stream: io.StringIO) -> None:
    def fail(password: str) -> None:
        raise RuntimeError("no luck")

    try:
        fail(CANARY)
    except RuntimeError as error:
        log.error("failed", exc_info=error)

    (event,) = events(stream)
    assert event["error"] == "RuntimeError"
    assert "no luck" in event["traceback"]
    assert "in fail" in event["traceback"]
    assert CANARY not in stream.getvalue()


def test_a_console_line_cannot_be_forged(stream: io.StringIO) -> None:
    configure(log_format="console", stream=stream)

    log.info("happened", route="x\n12:00:00 error forged: happened", words="two words", word="one", empty="")

    (line,) = stream.getvalue().splitlines()
    assert 'words="two words" word=one empty=""' in line
    assert "\\n12:00:00" in line


def test_the_form_follows_the_terminal_unless_said(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "isatty", lambda: True)
    configure(log_format="auto", stream=stream)
    log.info("on_terminal")
    monkeypatch.setattr(stream, "isatty", lambda: False)
    configure(log_format="auto", stream=stream)
    log.info("in_file")

    first, second = stream.getvalue().splitlines()
    assert not first.startswith("{")
    assert json.loads(second)["event"] == "in_file"


def test_a_librarys_broken_message_does_no_harm(stream: io.StringIO) -> None:
    broken = logging.LogRecord("library", logging.WARNING, "file", 1, "%d", ("not a number",), None)

    logs.LibraryHandler().handle(broken)

    assert [(event["component"], event["message"]) for event in events(stream)] == [("library", "%d")]


def test_what_libraries_say_below_a_warning_is_not_for_the_operator(stream: io.StringIO) -> None:
    logging.getLogger("library").info("not for us")
    logging.getLogger("uvicorn.error").warning("not for us")

    assert events(stream) == []


def test_bound_fields_can_be_asked_for() -> None:
    def in_a_request() -> dict[str, str]:
        begin_request("r9")
        return logs.bound_fields()

    assert copy_context().run(in_a_request) == {"request_id": "r9"}
    assert logs.bound_fields() == {}
