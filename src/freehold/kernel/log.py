"""Logs for the operator: one line per event, JSON or for a terminal, with a constant event name and fields as keywords.

Tenant, request id and client id are bound once at the edge and appear on every line of the request. Nothing secret gets
out: values whose key looks like a secret are dropped, text that looks like a token or a private key is cut out wherever
it stands, objects are named by their type, and tracebacks show no local variables. Lines of other libraries, which come
through `logging`, take the same way.
"""

import logging
import re
import sys
import threading
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, date, datetime
from enum import Enum
from pathlib import PurePath
from typing import Any, Literal, TextIO
from uuid import UUID

import msgspec

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

REDACTED = "[redacted]"
MAX_TEXT = 2_000
MAX_DEPTH = 4

_LEVELS: dict[str, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_SECRET_WORDS = {
    *("password", "passwords", "passwd", "pwd", "passphrase", "secret", "secrets", "otp", "pin", "hash", "hashes"),
    *("token", "tokens", "jwt", "assertion", "ticket", "verifier", "authorization", "cookie", "cookies"),
    *("credential", "credentials", "apikey", "salt", "seed", "signature", "email", "phone", "body"),
}
_HARMLESS_LAST_WORDS = {
    *("id", "ids", "type", "kind", "alg", "status", "endpoint", "method"),
    *("count", "length", "size", "limit", "s", "ms", "at"),
}
_HARMLESS_CODES = {"status", "error", "exit", "country", "language", "reason"}
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+")
_SECRET_TEXT = re.compile(
    r"eyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)+"  # a JWT
    r"|\b(?:Bearer|Basic|DPoP)\s+[A-Za-z0-9._~+/=-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY[A-Z ]*-----.*?(?:-----END [A-Z ]*-----|\Z)"
    r"|\$(?:2[aby]|argon2[a-z]*|pbkdf2[a-z0-9-]*|scrypt)\$[^\s\"']+"
    r"|(?<=://)[^\s/@:]*:[^\s/@]*(?=@)",  # user:password in a URL
    re.DOTALL,
)

_fields: ContextVar[dict[str, Any] | None] = ContextVar("freehold_log_fields", default=None)


class Logger:
    """Writes events; `component` says which part of the program speaks."""

    __slots__ = ("_component",)

    def __init__(self, component: str) -> None:
        self._component = component

    def debug(self, event: str, **fields: Any) -> None:
        """What only a developer wants to see."""
        _write("debug", self._component, event, fields, None)

    def info(self, event: str, **fields: Any) -> None:
        """A state change worth counting."""
        _write("info", self._component, event, fields, None)

    def warning(self, event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """What an operator should look at."""
        _write("warning", self._component, event, fields, exc_info)

    def error(self, event: str, *, exc_info: BaseException | None = None, **fields: Any) -> None:
        """A bug or a broken dependency."""
        _write("error", self._component, event, fields, exc_info)

    def exception(self, event: str, **fields: Any) -> None:
        """`error` with the exception being handled."""
        _write("error", self._component, event, fields, sys.exc_info()[1])


def get_logger(component: str) -> Logger:
    """The logger of a part of the program; usable before `configure` was called."""
    return Logger(component)


def configure(*, log_format: Format = "auto", level: Level = "info", stream: TextIO | None = None) -> None:
    """Choose form, lowest level and stream (standard error by default); `auto` is console on a terminal, else JSON."""
    _sink.stream = stream
    _sink.level = _LEVELS[level]
    target = stream or sys.stderr
    _sink.console = log_format == "console" or (log_format == "auto" and target.isatty())
    root = logging.getLogger()
    root.handlers = [LibraryHandler()]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # its warnings are one per malformed request


def begin_request(request_id: str) -> dict[str, Any]:
    """Start the fields of a request, and hand them to the edge, which adds the tenant itself: a line shows its name."""
    fields: dict[str, Any] = {"request_id": request_id}
    _fields.set(fields)
    return fields


def bind(**fields: str) -> None:
    """Add fields, such as `client_id`, to every later line of this request or job; outside of one nothing happens."""
    bound = _fields.get()
    if bound is not None:
        bound.update(fields)


def bound_fields() -> dict[str, str]:
    """The fields bound so far, as a line shows them."""
    return {name: str(getattr(value, "name", value)) for name, value in (_fields.get() or {}).items()}


def redact(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields as they may be written: without secrets, and with nothing but plain values."""
    return {name: REDACTED if is_secret_name(name) else _plain(value, 0) for name, value in fields.items()}


def is_secret_name(name: str) -> bool:
    """Whether a field of this name is taken to hold a secret, or a person's contact data."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    if words[-1] in {"code", "codes"}:
        return len(words) == 1 or words[-2] not in _HARMLESS_CODES
    if words[-1] in _HARMLESS_LAST_WORDS:
        return False
    return not _SECRET_WORDS.isdisjoint(words) or (words[-1] == "key" and len(words) > 1)


class _Sink:
    """Where lines go. One per process."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.level = _LEVELS["info"]
        self.console = False
        self.lock = threading.Lock()


_sink = _Sink()


def _write(level: str, component: str, event: str, fields: dict[str, Any], error: BaseException | None) -> None:
    if _LEVELS[level] < _sink.level:
        return
    record: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "component": component,
        "event": event,
        **bound_fields(),
        **redact(fields),
    }
    if error is not None:
        record["error"] = type(error).__name__
        record["traceback"] = _SECRET_TEXT.sub(REDACTED, "".join(traceback.format_exception(error)))
    line = _console_line(record) if _sink.console else msgspec.json.encode(record).decode()
    stream = _sink.stream or sys.stderr
    with _sink.lock:
        stream.write(line + "\n")
        stream.flush()


def _console_line(record: dict[str, Any]) -> str:
    trace = record.pop("traceback", "")
    head = f"{record.pop('time')[11:23]} {record.pop('level'):<7} {record.pop('component')}: {record.pop('event')}"
    tail = " ".join(f"{name}={_console_value(value)}" for name, value in record.items())
    return f"{head} {tail}".rstrip() + (f"\n{trace.rstrip()}" if trace else "")


def _console_value(value: Any) -> str:
    """A bare word as it is, anything else as JSON, so that no value can start a line of its own."""
    if isinstance(value, str) and value.isprintable() and value and " " not in value:
        return value
    return msgspec.json.encode(value).decode()


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(REDACTED, value[:MAX_TEXT]) if len(value) >= 8 else value
    if value is None or isinstance(value, (bool, int, float, datetime, date, UUID)):
        return value
    if isinstance(value, Enum):
        return _plain(value.value, depth)
    if isinstance(value, PurePath):
        return _plain(str(value), depth)
    if depth < MAX_DEPTH:
        if isinstance(value, Mapping):
            return {
                str(name): REDACTED if is_secret_name(str(name)) else _plain(item, depth + 1)
                for name, item in value.items()
            }
        if isinstance(value, (list, tuple, set, frozenset)):
            return [_plain(item, depth + 1) for item in value]
    return f"<{type(value).__name__}>"


class LibraryHandler(logging.Handler):
    """Hands the records of other libraries to our own writer."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "error" if record.levelno >= logging.ERROR else "warning"
        error = record.exc_info[1] if record.exc_info else None
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - a library's broken log call must not become our failure
            message = str(record.msg)
        _write(level, record.name, "library_message", {"message": message.strip()}, error)
