"""Every HTTP call this server makes to somewhere a tenant, a client or a document named.

The guard resolves the name itself, refuses addresses that are not public, and connects to exactly the address it
checked, so that a second DNS answer changes nothing. Redirects are handed back, never followed. Times and sizes are
bounded. What went wrong is the same sentence for every cause; `detail` is for the tenant's log and holds no body.
Other protocols (SMTP, LDAP) ask `resolve` for the addresses they may connect to.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import msgspec

from freehold import __version__
from freehold.kernel.errors import FreeholdError

if TYPE_CHECKING:
    import httpcore

# Asked for the addresses of a host; the port only helps the system's resolver.
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]

MAX_URL = 4_096
MAX_HOST = 253
TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 1 << 20
MAX_CONNECTIONS = 50

# Not to be reached from the public internet (IANA special-purpose registries), or a cloud's own services.
_CLOSED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform address, public by its range only
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_CLOSED_V6 = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
_NAT64 = IPv6Network("64:ff9b::/96")


class OutboundError(FreeholdError):
    """A call that could not be made, for whatever reason: the message does not tell a stranger which."""

    status, code = 502, "remote_service_failed"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__("The remote service could not be used")
        self.reason = reason
        self.detail = detail


class Answer(msgspec.Struct, frozen=True):
    """What the other side said. Header names are in lower case; of repeated headers the last counts."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body as JSON. Raises OutboundError when it is not."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise OutboundError("malformed", "the answer is not JSON") from None


class Outbound:
    """The client. One per process; `allow` holds the operator's `host:port` entries that need not be public."""

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        resolver: Resolver | None = None,
        ca_file: Path | None = None,
    ) -> None:
        self._allow = frozenset(entry.lower() for entry in allow)
        self._resolver = resolver or _system_resolver
        self._ca_file = ca_file
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Call the URL and read the answer, in `timeout_s` altogether. Raises OutboundError; a 3xx is an answer."""
        import httpcore

        target = _parse_url(url)
        sent = {"host": target.host_header, "accept": "*/*", "accept-encoding": "identity", "user-agent": _USER_AGENT}
        if json is not None:
            content = msgspec.json.encode(json)
            sent["content-type"] = "application/json"
        elif form is not None:
            content = urlencode(form).encode("ascii")
            sent["content-type"] = "application/x-www-form-urlencoded"
        for name, value in (headers or {}).items():
            if name.lower() in {"host", "content-length", "transfer-encoding", "connection", "accept-encoding"}:
                raise ValueError(f"header {name} is set by the client itself")
            sent[name.lower()] = value
        if content is not None or method in {"POST", "PUT", "PATCH"}:
            sent["content-length"] = str(len(content or b""))
        try:
            async with asyncio.timeout(timeout_s):
                async with self._pool_for_use().stream(
                    method.encode("ascii"),
                    httpcore.URL(
                        scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.target
                    ),
                    headers=[(name.encode("ascii"), value.encode("latin-1")) for name, value in sent.items()],
                    content=content,
                ) as response:
                    return await _read(response, max_bytes)
        except TimeoutError:
            raise OutboundError("timeout", f"no answer within {timeout_s:g} s") from None
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            raise OutboundError("connection", type(error).__name__) from None

    async def get(self, url: str, **options: Any) -> Answer:
        """`request` with GET."""
        return await self.request("GET", url, **options)

    async def post(self, url: str, **options: Any) -> Answer:
        """`request` with POST."""
        return await self.request("POST", url, **options)

    async def resolve(self, host: str, port: int) -> list[str]:
        """The addresses of host and port that may be connected to. Raises OutboundError when one of them is not public.

        The caller connects to one of these addresses, not to the name, or the check was for nothing.
        """
        if not host or len(host) > MAX_HOST:
            raise OutboundError("refused", "the host name is empty or too long")
        try:
            found = list(dict.fromkeys(await self._resolver(host, port)))
        except OSError:
            raise OutboundError("resolution", "the host name does not resolve") from None
        if not found:
            raise OutboundError("resolution", "the host name does not resolve")
        if not self._is_allowed(host, port):
            for address in found:
                # One closed address among open ones is an attack or a mistake; neither is worth a guess.
                if not is_public(address) and not self._is_allowed(address, port):
                    raise OutboundError("refused", "the host has an address that is not public")
        return found

    async def close(self) -> None:
        """Close kept connections."""
        if self._pool is not None:
            await self._pool.aclose()
            self._pool = None

    def _is_allowed(self, host: str, port: int) -> bool:
        name = f"[{host}]" if ":" in host else host
        return f"{name.lower().rstrip('.')}:{port}" in self._allow

    def _pool_for_use(self) -> "httpcore.AsyncConnectionPool":
        if self._pool is None:
            import httpcore

            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=_tls_context(self._ca_file),
                max_connections=MAX_CONNECTIONS,
                max_keepalive_connections=10,
                keepalive_expiry=15.0,
                network_backend=_guarded_backend(self),
            )
        return self._pool


def is_public(address: str) -> bool:
    """Whether the address is one the public internet routes to a host; wrapped IPv4 addresses are judged as IPv4."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address):
        wrapped = parsed.ipv4_mapped or (IPv4Address(int(parsed) & 0xFFFFFFFF) if parsed in _NAT64 else None)
        if wrapped is None:
            return parsed in _GLOBAL_V6 and not any(parsed in network for network in _CLOSED_V6)
        parsed = wrapped
    return not any(parsed in network for network in _CLOSED_V4)


_USER_AGENT = f"Freehold/{__version__}"


class _Target(msgspec.Struct, frozen=True):
    scheme: str
    host: str
    port: int
    target: bytes
    host_header: str


def _parse_url(url: str) -> _Target:
    """The parts of an absolute http(s) URL. Raises OutboundError for anything two parsers could read differently."""
    refused = OutboundError("refused", "the URL is not an absolute http or https URL without credentials")
    if len(url) > MAX_URL or "\\" in url or not url.isprintable() or " " in url:
        raise refused
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
        if not host.isascii():
            import idna

            host = idna.encode(host[:MAX_HOST], uts46=True).decode("ascii")
    except (ValueError, UnicodeError):
        raise refused from None
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc or "%" in host or port == 0:
        raise refused
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not path.isascii() or not path.startswith("/"):
        raise refused
    name = f"[{host}]" if ":" in host else host
    default = 443 if parts.scheme == "https" else 80
    return _Target(
        scheme=parts.scheme,
        host=host,
        port=port or default,
        target=path.encode("ascii"),
        host_header=name if port in {None, default} else f"{name}:{port}",
    )


async def _read(response: "httpcore.Response", max_bytes: int) -> Answer:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers}
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise OutboundError("malformed", "the answer is compressed although that was not accepted")
    body = bytearray()
    async for chunk in response.aiter_stream():
        body += chunk
        if len(body) > max_bytes:
            raise OutboundError("too_large", f"the answer is larger than {max_bytes} bytes")
    return Answer(response.status, headers, bytes(body))


async def _system_resolver(host: str, port: int) -> Sequence[str]:
    import socket

    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for _, _, _, _, address in found]


def _tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, verified against the system's authorities, or the bundled ones where a system has none."""
    if ca_file is None:
        paths = ssl.get_default_verify_paths()
        if paths.cafile is None and not any(Path(paths.capath).glob("*.0") if paths.capath else ()):
            import certifi

            ca_file = Path(certifi.where())
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _guarded_backend(outbound: Outbound) -> "httpcore.AsyncNetworkBackend":
    """A network backend that connects to checked addresses only. TLS still names and verifies the host of the URL."""
    import httpcore

    class GuardedBackend(httpcore.AsyncNetworkBackend):
        def __init__(self) -> None:
            self._network = httpcore.AnyIOBackend()

        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,  # noqa: ASYNC109 - the signature is httpcore's
            local_address: str | None = None,
            socket_options: Any = None,
        ) -> httpcore.AsyncNetworkStream:
            failure: Exception = httpcore.ConnectError()
            for address in await outbound.resolve(host, port):
                try:
                    return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
                except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                    failure = error
            raise failure

        async def sleep(self, seconds: float) -> None:
            await self._network.sleep(seconds)

    return GuardedBackend()
