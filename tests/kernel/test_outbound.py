"""The guard of every outbound call: public addresses only, no second DNS answer, no redirect, no endless answer."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from freehold.kernel.outbound import Outbound, OutboundError, is_public

PUBLIC = "93.184.215.14"


@dataclass
class Names:
    """A resolver with answers given by the test; each question takes the next answer, the last one stays."""

    answers: dict[str, list[Sequence[str]]]
    asked: list[tuple[str, int]] = field(default_factory=list)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        known = self.answers.get(host)
        if known is None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known.pop(0) if len(known) > 1 else known[0]


Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(handler: Handler) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server on 127.0.0.1 that reads a request's head and lets the handler answer; gives its port and the heads."""
    heads: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.lower().split(b"\r\n"):
                    if line.startswith(b"content-length:"):
                        head += await reader.readexactly(int(line.split(b":")[1]))
                heads.append(head)
                await handler(head, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], heads
    finally:
        server.close()
        await asyncio.sleep(0)  # lets the connections end, too


def saying(raw: bytes) -> Handler:
    async def handler(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return handler


OK = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok":true}'


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "192.88.99.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:a9fe:a9fe",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2002:7f00:1::1",
        "2001::1",
        "2001:0:7f00:1::1",
        "100::1",
        "3fff::1",
        "5f00::1",
        "not an address",
        "",
    ],
)
def test_an_address_that_is_not_public_is_known_in_every_spelling(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        PUBLIC,
        "1.1.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:1.1.1.1",
        "64:ff9b::101:101",
    ],
)
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["::1"],
        ["169.254.169.254"],
        [PUBLIC, "127.0.0.1"],
        ["10.0.0.1", PUBLIC],
        ["::ffff:127.0.0.1"],
        [],
    ],
)
async def test_a_name_with_an_address_that_is_not_public_is_not_called(answers: list[str]) -> None:
    async with listening(saying(OK)) as (port, heads):
        outbound = Outbound(resolver=Names({"hook.example.com": [answers]}))
        with pytest.raises(OutboundError):
            await outbound.get(f"http://hook.example.com:{port}/")

    assert heads == []


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0",
        "[::]",
        "127.0.0.1.",
        "LOCALHOST",
    ],
)
async def test_this_machine_is_not_called_in_any_spelling(host: str) -> None:
    async with listening(saying(OK)) as (port, heads):
        outbound = Outbound()  # the system's own resolver
        with pytest.raises(OutboundError):
            await outbound.get(f"http://{host}:{port}/", timeout_s=5)

    assert heads == []


async def test_the_operators_list_opens_a_name_with_a_port_and_nothing_else() -> None:
    async with listening(saying(OK)) as (port, heads), listening(saying(OK)) as (other_port, other_heads):
        names = Names({"hook.internal": [["127.0.0.1"]], "x.hook.internal": [["127.0.0.1"]]})
        outbound = Outbound(allow=[f"Hook.Internal:{port}"], resolver=names)

        answer = await outbound.get(f"http://hook.internal:{port}/path?x=1")
        for url in (f"http://hook.internal:{other_port}/", f"http://x.hook.internal:{port}/"):
            with pytest.raises(OutboundError):
                await outbound.get(url)
        await outbound.close()

    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert len(heads) == 1
    assert heads[0].startswith(b"GET /path?x=1 HTTP/1.1\r\n")
    assert f"host: hook.internal:{port}".encode() in heads[0].lower()
    assert other_heads == []


async def test_an_address_on_the_list_is_open_by_whatever_name() -> None:
    async with listening(saying(OK)) as (port, _):
        outbound = Outbound(allow=[f"127.0.0.1:{port}"], resolver=Names({"hook.example.com": [["127.0.0.1"]]}))

        assert (await outbound.get(f"http://hook.example.com:{port}/")).status == 200
        await outbound.close()


async def test_a_second_dns_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection goes to the address that was checked; the name is asked once for each connection."""
    import httpcore

    connected: list[tuple[str, int]] = []

    async def connect_tcp(_self: Any, host: str, port: int, *_: Any, **__: Any) -> Any:
        connected.append((host, port))
        raise httpcore.ConnectError

    monkeypatch.setattr(httpcore.AnyIOBackend, "connect_tcp", connect_tcp)
    names = Names({"rebind.example.com": [[PUBLIC], ["127.0.0.1"]]})
    outbound = Outbound(resolver=names)

    with pytest.raises(OutboundError):
        await outbound.get("https://rebind.example.com/")
    with pytest.raises(OutboundError) as second:
        await outbound.get("https://rebind.example.com/")

    assert connected == [(PUBLIC, 443)]
    assert names.asked == [("rebind.example.com", 443)] * 2
    assert second.value.reason == "refused"


async def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    async with listening(saying(OK)) as (port, _):
        names = Names({"hook.internal": [["127.0.0.2", "127.0.0.1"]]})
        outbound = Outbound(allow=[f"hook.internal:{port}"], resolver=names)

        assert (await outbound.get(f"http://hook.internal:{port}/")).status == 200
        await outbound.close()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "//example.com/",
        "example.com",
        "http:///x",
        "",
        "http://user:pass@example.com/",
        "http://example.com@evil.test/",
        "http://example.com\\@evil.test/",
        "http://exa mple.com/",
        "http://example.com/\r\nx: y",
        "http://example.com:0/",
        "http://example.com:99999/",
        "http://[::1/",
        "http://example.com/" + "a" * 5000,
        "http://" + "a" * 300 + ".com/",
        "http://%65xample.com/",
        "http://[fe80::1%25eth0]/",
        "http://xn--ü.com/",
        "https:example.com",
        "http://example.com/ü",
        "javascript:x",
    ],
)
async def test_an_address_two_parsers_could_read_differently_is_refused(url: str) -> None:
    names = Names({})
    with pytest.raises(OutboundError):
        await Outbound(resolver=names).get(url)

    assert names.asked == [] or names.asked[0][0].startswith("a" * 60)


async def test_an_international_name_is_asked_for_in_ascii() -> None:
    names = Names({})
    with pytest.raises(OutboundError):
        await Outbound(resolver=names).get("https://b\u00fccher.example/")

    assert names.asked == [("xn--bcher-kva.example", 443)]


@asynccontextmanager
async def reaching(handler: Handler) -> AsyncIterator[tuple[Outbound, str, list[bytes]]]:
    """A client that may call one server on this machine."""
    async with listening(handler) as (port, heads):
        outbound = Outbound(allow=[f"127.0.0.1:{port}"])
        yield outbound, f"http://127.0.0.1:{port}", heads
        await outbound.close()


async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    redirect = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest/meta-data/\r\nContent-Length: 0\r\n\r\n"
    async with reaching(saying(redirect)) as (outbound, url, heads):
        answer = await outbound.get(url, headers={"authorization": "Bearer canary"})

    assert (answer.status, answer.headers["location"]) == (302, "http://169.254.169.254/latest/meta-data/")
    assert len(heads) == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, "too_large"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"400\r\n" + b"x" * 1024 + b"\r\n1\r\nx\r\n",
            "too_large",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b", "malformed"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n", "connection"),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "connection"),
    ],
)
async def test_an_answer_out_of_bounds_is_not_taken(raw: bytes, reason: str) -> None:
    async with reaching(saying(raw)) as (outbound, url, _):
        with pytest.raises(OutboundError) as refused:
            await outbound.get(url, max_bytes=1024, timeout_s=5)

    assert refused.value.reason == reason


async def test_an_answer_that_trickles_is_cut_off_by_the_whole_time() -> None:
    async def trickling(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with reaching(trickling) as (outbound, url, _):
        with pytest.raises(OutboundError) as refused:
            await outbound.get(url, timeout_s=0.2)

    assert refused.value.reason == "timeout"


async def test_a_stranger_learns_nothing_from_the_error() -> None:
    """The same sentence for a closed port, a private address, an unknown name and an answer with a secret in it."""
    names = Names({"private.example.com": [["10.0.0.1"]]})
    secret = b"HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\ninternal-host-canary".ljust(120)
    async with listening(saying(secret)) as (port, _):
        outbound = Outbound(allow=[f"127.0.0.1:{port}", "127.0.0.1:1"], resolver=_literal(names))
        messages = set()
        for url, options in [
            ("http://127.0.0.1:1/", {}),
            ("http://private.example.com/", {}),
            ("http://unknown.example.com/", {}),
            ("http://user:secret@example.com/", {}),
            (f"http://127.0.0.1:{port}/", {"max_bytes": 10}),
        ]:
            with pytest.raises(OutboundError) as refused:
                await outbound.get(url, **options)
            messages.add(refused.value.message)
            assert "canary" not in refused.value.detail
            assert "10.0.0.1" not in refused.value.detail
        await outbound.close()

    assert messages == {"The remote service could not be used"}


def _literal(names: Names) -> Any:
    async def resolver(host: str, port: int) -> Sequence[str]:
        return [host] if host[0].isdigit() else await names(host, port)

    return resolver


async def test_json_and_forms_are_sent_with_their_type() -> None:
    async with reaching(saying(OK)) as (outbound, url, heads):
        await outbound.post(url, json={"a": [1]}, headers={"Authorization": "Bearer x"})
        await outbound.post(url, form={"a": "b c&d"})
        await outbound.post(url)

    first, second, third = heads
    assert first.endswith(b'\r\n\r\n{"a":[1]}')
    assert b"content-type: application/json\r\n" in first.lower()
    assert b"authorization: bearer x\r\n" in first.lower()
    assert second.endswith(b"\r\n\r\na=b+c%26d")
    assert b"content-type: application/x-www-form-urlencoded\r\n" in second.lower()
    assert b"content-length: 0\r\n" in third.lower()
    assert all(b"accept-encoding: identity\r\n" in head.lower() for head in heads)


@pytest.mark.parametrize("headers", [{"host": "evil.test"}, {"Content-Length": "1"}, {"x": "a\r\nb: c"}, {"a b": "c"}])
async def test_headers_that_would_change_the_request_are_refused(headers: dict[str, str]) -> None:
    async with reaching(saying(OK)) as (outbound, url, heads):
        with pytest.raises((ValueError, OutboundError)):
            await outbound.get(url, headers=headers)

    assert heads == []


async def test_environment_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with reaching(saying(OK)) as (outbound, url, _):
        assert (await outbound.get(url)).status == 200


async def test_tls_is_verified_for_the_name_of_the_url(tls: Any) -> None:
    """Pinning the address does not weaken the check of the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.private_key)
    server = await asyncio.start_server(_answer_once, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    names = Names({"localhost": [["127.0.0.1"]], "other.internal": [["127.0.0.1"]]})
    allow = [f"localhost:{port}", f"other.internal:{port}"]
    trusting = Outbound(allow=allow, resolver=names, ca_file=tls.certificate)
    strict = Outbound(allow=allow, resolver=names)

    assert (await trusting.get(f"https://localhost:{port}/")).status == 200
    with pytest.raises(OutboundError):
        await trusting.get(f"https://other.internal:{port}/")
    with pytest.raises(OutboundError):
        await strict.get(f"https://localhost:{port}/")
    await trusting.close()
    await strict.close()
    server.close()


async def _answer_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(OK)
    await writer.drain()
    writer.close()


async def test_other_protocols_get_the_checked_addresses() -> None:
    names = Names(
        {"mail.example.com": [[PUBLIC, PUBLIC]], "mail.internal": [["10.0.0.5"]], "evil.test": [["10.0.0.5"]]}
    )
    outbound = Outbound(allow=["mail.internal:25"], resolver=names)

    assert await outbound.resolve("mail.example.com", 587) == [PUBLIC]
    assert await outbound.resolve("mail.internal", 25) == ["10.0.0.5"]
    for host, port in [("mail.internal", 26), ("evil.test", 25), ("", 25), ("a" * 300, 25), ("unknown", 25)]:
        with pytest.raises(OutboundError):
            await outbound.resolve(host, port)
