"""Asking an ASGI application directly, without a server: one request in, one answer out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reply:
    """What the application sent."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    complete: bool = False

    def header(self, name: str) -> str | None:
        """The only header of that name, or None."""
        values = self.all(name)
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        """Every header of that name."""
        return [value for known, value in self.headers if known == name]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def http_scope(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    *,
    scheme: str = "https",
    peer: str = "192.0.2.7",
) -> dict[str, Any]:
    """The scope of a request whose target is written as on the wire."""
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "method": method,
        "scheme": scheme,
        "path": path,
        "raw_path": path.encode("latin-1"),
        "query_string": query.encode("latin-1"),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
        "client": (peer, 50_000),
    }


async def ask(
    app: Any,
    method: str,
    target: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes | Sequence[bytes] = b"",
    host: str | None = "tenant.example.com",
    scheme: str = "https",
    peer: str = "192.0.2.7",
) -> Reply:
    """Send a request; a body given as a list arrives in these pieces, and a piece of None is the client going away."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces) - 1}
        if piece is not None
        else {"type": "http.disconnect"}
        for index, piece in enumerate(pieces)
    ]
    messages.append({"type": "http.disconnect"})
    reply = Reply()

    async def receive() -> dict[str, Any]:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            reply.status = message["status"]
            reply.headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]]
        else:
            reply.body += message.get("body", b"")
            reply.complete = not message.get("more_body", False)

    all_headers = [*([("host", host)] if host is not None else []), *headers]
    await app(http_scope(method, target, all_headers, scheme=scheme, peer=peer), receive, send)
    return reply
