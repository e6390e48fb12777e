"""Time stamps of an outside authority (RFC 3161): a signed form existed at a time that this server cannot set.

The stamp is over the uploaded file as it is, so that `openssl ts -verify -data FILE` checks it as well. It is asked for
when the operator names an authority, and nothing is accepted without one then.
"""

import asyncio
import base64
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from freehold.domain.ceremonies.evidence.confined import Bounds, ask_worker
from freehold.kernel import log
from freehold.kernel.config import Settings
from freehold.kernel.errors import FreeholdError, Unavailable
from freehold.kernel.outbound import Outbound, OutboundError

LONGEST_TOKEN = 64 << 10
SKEW = timedelta(minutes=5)
"""By how much the authority's clock and this one may differ."""
TIMEOUT_S = 15.0

_WORKER = Path(__file__).with_name("timestamp_worker.py")
_BOUNDS = Bounds(memory_bytes=512 << 20, cpu_s=8)
_log = log.get_logger("ceremonies")


class StampRefused(FreeholdError):
    """A token that is no time stamp of what it should be; the message says why."""

    status, code = 400, "bad_time_stamp"


class NoStamp(Unavailable):
    """503: the authority gives no time stamp now, so what was to be stamped is not accepted."""

    code = "no_time_stamp"


class Stamp(msgspec.Struct, frozen=True, kw_only=True):
    """A time stamp that holds. `token` is the DER of RFC 3161's TimeStampToken, `serial` its number in hexadecimal."""

    token: bytes
    at: datetime
    authority: str
    serial: str


async def obtain_stamp(settings: Settings, content: bytes, *, now: datetime) -> tuple[Stamp, tuple[str, ...]]:
    """A stamp of this moment, and the certificates (PEM) that it was checked with. Raises NoStamp."""
    url = settings.ceremony_timestamp_url
    nonce = secrets.randbits(63)
    try:
        authorities = (await asyncio.to_thread(_authorities, settings),)
        question = await _ask({"operation": "ask", "sha256": sha256(content).hexdigest(), "nonce": nonce})
        body = await _post(url, base64.b64decode(question["question"]))
        stamp = await _read(
            body, content, is_answer=True, nonce=nonce, authorities=authorities, now=now, between=(now, now)
        )
    except (StampRefused, OutboundError, OSError) as error:
        reason = error.message if isinstance(error, StampRefused) else getattr(error, "detail", "")
        _log.error("time_stamp_failed", host=urlsplit(url).hostname, reason=reason or type(error).__name__)
        raise NoStamp(
            "The time stamp authority gives no valid time stamp now, so the form was not accepted. "
            "Hand it in again later."
        ) from None
    return stamp, authorities


async def check_stamp(
    token: bytes, content: bytes, *, authorities: Sequence[str], now: datetime, between: tuple[datetime, datetime]
) -> Stamp:
    """The stamp, if it is of this content and of a time between the two. Raises StampRefused.

    `authorities` are certificates in PEM, judged as they were at `now`.
    """
    return await _read(token, content, is_answer=False, nonce=None, authorities=authorities, now=now, between=between)


async def _read(
    data: bytes,
    content: bytes,
    *,
    is_answer: bool,
    nonce: int | None,
    authorities: Sequence[str],
    now: datetime,
    between: tuple[datetime, datetime],
) -> Stamp:
    if len(data) > LONGEST_TOKEN:
        raise StampRefused("The time stamp is too large.")
    read = await _ask(
        {
            "operation": "check", "data": base64.b64encode(data).decode(), "is_answer": is_answer, "nonce": nonce,
            "sha256": sha256(content).hexdigest(), "authorities": [*authorities], "now": now.timestamp(),
        }
    )  # fmt: skip
    at = datetime.fromisoformat(read["at"])
    if not between[0] - SKEW <= at <= between[1] + SKEW:
        raise StampRefused("The time stamp does not hold: it is of another time.")
    return Stamp(token=base64.b64decode(read["token"]), at=at, authority=read["authority"], serial=read["serial"])


async def _ask(request: dict[str, Any]) -> dict[str, Any]:
    answer = await ask_worker(_WORKER, request, bounds=_BOUNDS)
    if "refused" in answer:
        raise StampRefused(f"The time stamp does not hold: {answer['refused']}.")
    return answer


def _authorities(settings: Settings) -> str:
    if settings.ceremony_timestamp_ca is None:
        raise StampRefused("The request asks for a time stamp, and the settings name no authority.")
    return settings.ceremony_timestamp_ca.read_text("ascii")


async def _post(url: str, question: bytes) -> bytes:
    """What the authority says (RFC 3161 section 3.4). Raises OutboundError."""
    parts = urlsplit(url)
    # The operator chose the address, so it need not be public.
    client = Outbound(allow=[f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"])
    try:
        answer = await client.post(
            url, content=question, headers={"content-type": "application/timestamp-query"}, timeout_s=TIMEOUT_S,
            max_bytes=LONGEST_TOKEN,
        )  # fmt: skip
    finally:
        await client.close()
    if answer.status != 200:
        raise OutboundError("refused", f"status {answer.status}")
    return answer.body
