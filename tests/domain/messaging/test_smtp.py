"""Mail leaves through a real SMTP server, the tenant's or the operator's; what cannot leave stays or is told."""

import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, Session
from msgspec import structs

from freehold.domain.messaging import latest
from freehold.kernel.crypto.x509 import LocalAuthority
from tests.support.people import TenantUnderTest

pytestmark = pytest.mark.quick_on("sqlite")

USER, PASSWORD = "mailer", "Postal-Secret-7"


class Receiver:
    """What the server is told, and what it answers to a message."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self.logins: list[tuple[str, str]] = []
        self.over_tls: list[bool] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _server: Any, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's
        message = message_from_bytes(envelope.original_content or b"", policy=default)
        self.messages.append(message)
        self.over_tls.append(session.ssl is not None)
        return self.answer

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode())
        self.logins.append(given)
        return AuthResult(success=given == (USER, PASSWORD))


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """The server's certificate for localhost, which the program trusts."""
    now = datetime.now(UTC)
    authority = LocalAuthority.load_or_create(tmp_path / "authority", now)
    issued = authority.server_certificate(["localhost"], now=now)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate_file, issued.key_file)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate_file))
    return context


@pytest.fixture
def plain(receiver: Receiver) -> Iterator[int]:
    """A server without TLS; its port."""
    with_server = Controller(receiver, hostname="127.0.0.1", port=free_port(), auth_require_tls=False,
                             authenticator=receiver.authenticate)  # fmt: skip
    yield from _running(with_server)


@pytest.fixture
def upgrading(receiver: Receiver, tls: ssl.SSLContext) -> Iterator[int]:
    """A server with STARTTLS; its port."""
    yield from _running(
        Controller(
            receiver, hostname="127.0.0.1", port=free_port(), tls_context=tls, auth_require_tls=True,
            authenticator=receiver.authenticate,
        )
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _running(controller: Controller) -> Iterator[int]:
    controller.start()
    yield controller.port
    controller.stop()


def configure_operator(people: TenantUnderTest, **changes: Any) -> None:
    people.services.settings = structs.replace(people.services.settings, **changes)


async def configure_tenant(people: TenantUnderTest, port: int, **more: Any) -> None:
    provider = {
        "name": "smtp", "default_from_address": "Shop <shop@example.com>",
        "credentials": {"smtp_host": "localhost", "smtp_port": port, **more},
    }  # fmt: skip
    reply = await people.api("POST", "emails/provider", provider)
    assert reply.status == 201, reply.body


async def kept(people: TenantUnderTest) -> list[str]:
    return [mail.template for mail in await latest(people.store, people.tenant)]


async def test_without_a_server_mail_stays_in_the_outbox(people: TenantUnderTest) -> None:
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()

    assert await kept(people) == ["verify_email"]


async def test_mail_goes_through_the_operators_server(people: TenantUnderTest, plain: int, receiver: Receiver) -> None:
    configure_operator(people, smtp_url=f"smtp://{USER}:{PASSWORD}@127.0.0.1:{plain}", mail_from="idp@example.com")
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()

    (message,) = receiver.messages
    assert message["To"] == "ada@example.com"
    assert "idp@example.com" in message["From"]
    assert message["Message-ID"]
    assert message["Auto-Submitted"] == "auto-generated"
    html = message.get_body(("html",))
    text = message.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "/u/email-verification?ticket=" in html.get_content()
    assert "/u/email-verification?ticket=" in text.get_content()
    assert receiver.logins == [(USER, PASSWORD)]
    assert await kept(people) == []


async def test_a_tenants_own_server_comes_first_and_gets_its_password_over_tls(
    people: TenantUnderTest, upgrading: int, plain: int, receiver: Receiver
) -> None:
    configure_operator(people, smtp_url=f"smtp://127.0.0.1:{plain}", outbound_allow=(f"localhost:{upgrading}",))
    await configure_tenant(people, upgrading, smtp_user=USER, smtp_pass=PASSWORD)
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()

    assert receiver.over_tls == [True]
    assert receiver.logins == [(USER, PASSWORD)]
    assert "shop@example.com" in receiver.messages[0]["From"]


async def test_a_tenant_cannot_reach_into_the_operators_network(
    people: TenantUnderTest, plain: int, receiver: Receiver
) -> None:
    await configure_tenant(people, plain)
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()

    assert receiver.messages == []
    assert await kept(people) == ["verify_email"]


async def test_a_password_is_not_sent_without_tls(people: TenantUnderTest, plain: int, receiver: Receiver) -> None:
    configure_operator(people, outbound_allow=(f"localhost:{plain}",))
    await configure_tenant(people, plain, smtp_user=USER, smtp_pass=PASSWORD)
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()

    assert (receiver.messages, receiver.logins) == ([], [])
    assert "fn" in await people.log_types()


async def test_a_certificate_that_nobody_vouches_for_ends_it(
    people: TenantUnderTest, upgrading: int, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    configure_operator(people, smtp_url=f"smtp://{USER}:{PASSWORD}@127.0.0.1:{upgrading}")
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()

    assert (receiver.messages, receiver.logins) == ([], [])
    assert await kept(people) == ["verify_email"]


async def test_what_is_refused_for_good_is_told_and_what_is_not_comes_again(
    people: TenantUnderTest, plain: int, receiver: Receiver
) -> None:
    configure_operator(people, smtp_url=f"smtp://127.0.0.1:{plain}")
    receiver.answer = "451 later"
    await people.add_user("ada@example.com", verify_email=True)
    await people.run_jobs()
    assert await kept(people) == ["verify_email"]

    receiver.answer = "250 OK"
    people.clock.advance(seconds=60)
    await people.run_jobs()
    assert await kept(people) == []
    assert receiver.messages[0]["Message-ID"] == receiver.messages[1]["Message-ID"]
    assert "fn" not in await people.log_types()

    receiver.answer = "550 no such person"
    await people.add_user("bob@example.com", verify_email=True)
    await people.run_jobs()
    assert await kept(people) == []
    assert "fn" in await people.log_types()


async def test_the_provider_comes_back_as_recorded_without_its_password(people: TenantUnderTest) -> None:
    unknown = await people.api("GET", "emails/provider")
    assert (unknown.status, unknown.json()["errorCode"]) == (404, "inexistent_email_provider")
    assert (await people.api("PATCH", "emails/provider", {"enabled": False})).status == 404

    shown = {"smtp_host": "smtp.example.com", "smtp_port": 587, "smtp_user": "user"}
    body = {"name": "smtp", "enabled": True, "default_from_address": "no-reply@example.com",
            "credentials": {**shown, "smtp_pass": "pass"}}  # fmt: skip
    made = await people.api("POST", "emails/provider", body)
    assert (made.status, made.json()) == (201, {**body, "credentials": shown})
    assert (await people.api("POST", "emails/provider", body)).status == 409

    change = {"name": "smtp", "enabled": False, "default_from_address": "info@example.com", "credentials": shown,
              "settings": {}}  # fmt: skip
    changed = await people.api("PATCH", "emails/provider", change)
    assert (changed.status, changed.json()) == (200, change)
    assert (await people.api("GET", "emails/provider")).json() == change
    partly = await people.api("GET", "emails/provider", fields="name,credentials", include_fields="true")
    assert partly.json() == {"name": "smtp", "credentials": shown}

    assert (await people.api("DELETE", "emails/provider")).status == 204
    assert (await people.api("DELETE", "emails/provider")).status == 204
    assert (await people.api("GET", "emails/provider")).status == 404
    row = await people.store.one("select count(*) from vault where owner like 'email_provider%'")
    assert row == (0,)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "smtp"},
        {"credentials": {"smtp_host": "smtp.example.com"}},
        {"name": "smtp", "credentials": {"smtp_user": "x"}},
        {"name": "pigeon", "credentials": {}},
        {"name": "smtp", "credentials": {"smtp_host": "h", "smtp_port": 0}},
        {"name": "smtp", "credentials": {"smtp_host": "h", "colour": "red"}},
    ],
)
async def test_what_is_no_provider_is_refused(people: TenantUnderTest, body: dict[str, Any]) -> None:
    assert (await people.api("POST", "emails/provider", body)).status == 400
    assert (await people.api("GET", "emails/provider")).status == 404
