"""Sending what the outbox holds: through the tenant's own SMTP server or action, or else through the operator's server.

A mail that was handed over leaves the outbox, since its links open accounts. It may arrive twice after a crash, with
the same Message-ID. The address of a tenant's server has to be public, unless the operator allows it; a password goes
over TLS only, or to the operator's own server on this machine.
"""

import asyncio
import socket
import ssl
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from freehold.domain.messaging import outbox
from freehold.domain.messaging.by_action import is_for_action, send_mail_by_action
from freehold.domain.messaging.outbox import DeliveredMail
from freehold.domain.messaging.provider import Relay, relay_of
from freehold.domain.tenants.settings import SETTINGS
from freehold.kernel.config import Settings
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import Unavailable
from freehold.kernel.jobs import GiveUp, Job
from freehold.kernel.outbound import Outbound

if TYPE_CHECKING:
    from email.message import EmailMessage

TIMEOUT_S = 30.0


async def send_mail(job: Job) -> None:
    """Hand one mail of the outbox over, if there is a server for it. Raises GiveUp, Unavailable."""
    store, settings = job.services.store, job.services.settings
    tenant: TenantScope = await job.services.tenants.by_id(job.tenant_id)
    mail = await outbox.find_mail(store, tenant, job.payload.decode())
    if mail is not None and await is_for_action(store, tenant, mail):
        await _leave_to_action(job, tenant, mail)
        return
    relay = await relay_of(store, tenant) or operators_relay(settings)
    if mail is None or relay is None:
        return
    tenant_settings = await documents.singleton(store, tenant, SETTINGS)
    name = tenant_settings.friendly_name if isinstance(tenant_settings.friendly_name, str) else tenant.name
    sender = relay.sender or f"no-reply@{tenant.domain.partition(':')[0]}"
    try:
        await transmit(relay, _message(mail, tenant, sender=sender, name=name), settings=settings)
    except GiveUp as error:
        await _finish(job, tenant, mail, refused=error.message)
        return
    await _finish(job, tenant, mail)


async def _leave_to_action(job: Job, tenant: TenantScope, mail: DeliveredMail) -> None:
    became, reason = await send_mail_by_action(job.services, tenant, mail)
    if became == "retry":
        raise Unavailable(reason or "The action asks to be called again.")
    await _finish(job, tenant, mail, refused=reason or "The action dropped it." if became == "drop" else "")


async def _finish(job: Job, tenant: TenantScope, mail: DeliveredMail, *, refused: str = "") -> None:
    async with job.services.store.transaction() as tx:
        if refused:
            await tenant.events.record(
                tx, tenant, "fn", description=refused, details={"template": mail.template, "to": mail.recipient}
            )
        await outbox.remove(tx, tenant, mail.id)
        await job.finish(tx)


def operators_relay(settings: Settings) -> Relay | None:
    """The SMTP server of the settings, or None."""
    if not settings.smtp_url:
        return None
    parts = urlsplit(settings.smtp_url)
    implicit = parts.scheme == "smtps"
    return Relay(
        host=parts.hostname or "", port=parts.port or (465 if implicit else 25), username=unquote(parts.username or ""),
        password=unquote(parts.password or ""), sender=settings.mail_from, implicit_tls=implicit, is_operators=True,
    )  # fmt: skip


async def transmit(relay: Relay, message: "EmailMessage", *, settings: Settings) -> None:
    """Hand a message to a server. Raises GiveUp when it will never take it, Unavailable when it may later."""
    import aiosmtplib

    try:
        connection, address = await _connect(relay, settings)
        client = aiosmtplib.SMTP(
            hostname=relay.host, sock=connection, timeout=TIMEOUT_S, start_tls=False, use_tls=relay.implicit_tls,
            tls_context=ssl.create_default_context(),
        )  # fmt: skip
        async with client:
            await client.ehlo()
            is_private = relay.implicit_tls or (relay.is_operators and ip_address(address).is_loopback)
            if not relay.implicit_tls and client.supports_extension("starttls"):
                await client.starttls()
                await client.ehlo()
                is_private = True
            if relay.username:
                if not is_private:
                    raise GiveUp("The mail server offers no TLS, without which the password is not sent.")
                await client.login(relay.username, relay.password)
            await client.send_message(message)
    except aiosmtplib.SMTPResponseException as error:
        kind = GiveUp if 500 <= error.code < 600 else Unavailable
        raise kind(f"The mail server answered {error.code}.") from error
    except aiosmtplib.SMTPRecipientsRefused as error:
        raise GiveUp("The mail server refused the recipient.") from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        raise Unavailable(f"The mail server cannot be reached: {type(error).__name__}") from error


async def _connect(relay: Relay, settings: Settings) -> tuple[socket.socket, str]:
    """A connection, and the address it leads to: the one that was looked at, not what the name means a moment later."""
    loop = asyncio.get_running_loop()
    if relay.is_operators:
        found = await loop.getaddrinfo(relay.host, relay.port, type=socket.SOCK_STREAM)
        addresses = [str(one[4][0]) for one in found]
    else:
        addresses = await Outbound(allow=settings.outbound_allow).resolve(relay.host, relay.port)
    for number, address in enumerate(addresses, 1):
        connection = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await loop.sock_connect(connection, (address, relay.port))
        except OSError:
            connection.close()
            if number == len(addresses):
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection, address
    raise OSError("the mail server has no address")


def _message(mail: DeliveredMail, tenant: TenantScope, *, sender: str, name: str) -> "EmailMessage":
    # Imported here as aiosmtplib is: most processes never send a mail.
    from email.message import EmailMessage
    from email.policy import SMTP
    from email.utils import format_datetime, formataddr, parseaddr

    message = EmailMessage(policy=SMTP)
    own_name, address = parseaddr(sender)
    message["From"] = formataddr((own_name or name, address or sender))
    message["To"] = mail.recipient
    message["Subject"] = " ".join(mail.subject.split())
    message["Date"] = format_datetime(datetime.fromtimestamp(mail.sent_at_ms // 1000, UTC))
    message["Message-ID"] = f"<{mail.id}@{tenant.domain.partition(':')[0]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.body)
    message.add_alternative(mail.html, subtype="html")
    return message
