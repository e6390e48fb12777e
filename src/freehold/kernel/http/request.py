"""What a handler is given: the request, read lazily, each part at most once and with a limit.

Everything a client can send twice with two meanings is refused here: repeated singleton headers, repeated parameters,
repeated JSON members. The body is read only when a handler asks for it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, overload

from freehold.kernel.errors import BadRequest
from freehold.kernel.http.cookies import parse_cookies
from freehold.kernel.http.parameters import Parameters, parse_urlencoded
from freehold.kernel.http.proxies import Proxies
from freehold.kernel.http.refusals import ClientDisconnected, UnsupportedMediaType, body_too_large
from freehold.kernel.http.router import DEFAULT_MAX_BODY, NO_PARAMS, Route, split_path
from freehold.kernel.http.strict_json import decode_json

if TYPE_CHECKING:
    from freehold.kernel.http.multipart import MultipartForm

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# With a second one of these two readers see two requests; any other repeated field is a list (RFC 9110 section 5.3).
SINGLETON_HEADERS = frozenset(
    {
        "host",
        "authorization",
        "content-type",
        "content-length",
        "content-encoding",
        "origin",
        "dpop",
        "x-forwarded-host",
        "x-forwarded-proto",
        "sec-fetch-site",
    }
)

NO_PROXIES = Proxies()


class Headers(Mapping[str, str]):
    """Request headers by lower-case name; repeated ones are joined with a comma, cookies with a semicolon.

    A second one of SINGLETON_HEADERS is named in `repeated`, and the edge refuses the request.
    """

    __slots__ = ("_values", "repeated")

    def __init__(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self.repeated: str | None = None
        # Latin-1 decodes whatever was sent, and a request asks for more headers than it has.
        self._values = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
        if len(self._values) != len(pairs):
            self._join_repeated(pairs)

    @overload  # type: ignore[override]
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        return self._values.get(name, default)

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __contains__(self, name: object) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Headers({', '.join(self)})"  # names only: values may be secrets

    def _join_repeated(self, pairs: list[tuple[bytes, bytes]]) -> None:
        joined: dict[str, str] = {}
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            if name not in joined:
                joined[name] = value
            elif name in SINGLETON_HEADERS:
                self.repeated = name
            else:
                joined[name] += ("; " if name == "cookie" else ", ") + value
        self._values = joined


class Request:
    """One HTTP request.

    `tenant`, `services` and `route` are set by the edge before the handler runs. `auth` is for whoever authenticates
    the caller. Headers put into `response_headers` are sent with the answer, also when it is an error.
    """

    tenant: Any = None
    services: Any = None
    auth: Any = None
    route: Route | None = None
    params: Mapping[str, str] = NO_PARAMS
    log_fields: dict[str, Any]
    _media_type: str | None = None
    _path: list[str] | None = None
    _query: Parameters | None = None
    _cookies: dict[str, str] | None = None
    _body: bytes | None = None
    _form: Parameters | None = None
    _uploads: "MultipartForm | None" = None

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        *,
        request_id: str = "",
        proxies: Proxies = NO_PROXIES,
        services: Any = None,
    ) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.raw_path: str = scope["raw_path"].decode("latin-1")
        self.headers = headers = Headers(scope["headers"])
        # The host and port the client asked for, in lower case; empty when it named none.
        self.host = headers.get("host", "").lower()
        if proxies.forwarded_host and proxies.trusts(self.peer_ip):
            self.host = headers.get("x-forwarded-host", self.host).lower()
        self.request_id = request_id
        self.services = services
        self.response_headers: list[tuple[str, str]] = []
        self._receive = receive
        self._proxies = proxies

    @property
    def path(self) -> list[str]:
        """The decoded segments of the path."""
        if self._path is None:
            self._path = split_path(self.raw_path)
        return self._path

    @property
    def query(self) -> Parameters:
        """The parameters of the query string."""
        if self._query is None:
            self._query = parse_urlencoded(self.scope["query_string"])
        return self._query

    @property
    def cookies(self) -> Mapping[str, str]:
        """Cookies by name."""
        if self._cookies is None:
            self._cookies = parse_cookies(self.headers.get("cookie", ""))
        return self._cookies

    @property
    def peer_ip(self) -> str:
        """The address at the other end of the connection: the client, or the proxy in front of this server."""
        client = self.scope.get("client")
        return client[0] if client else ""

    @property
    def client_ip(self) -> str:
        """The client's address; proxy headers count only from configured proxies."""
        return self._proxies.client_ip(self.peer_ip, self.headers.get("x-forwarded-for"))

    @property
    def scheme(self) -> str:
        """`https` or `http`, as the client sees it."""
        scheme: str = self.scope.get("scheme", "http")
        if self._proxies.networks and self._proxies.trusts(self.peer_ip):
            forwarded = self.headers.get("x-forwarded-proto")
            return forwarded if forwarded in {"http", "https"} else scheme
        return scheme

    @property
    def origin(self) -> str:
        """The web origin this request was sent to, without a final slash."""
        return f"{self.scheme}://{self.host}"

    @property
    def media_type(self) -> str:
        """The media type of the body in lower case, without parameters; empty when there is none."""
        if self._media_type is None:
            self._media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return self._media_type

    async def body(self, limit: int | None = None) -> bytes:
        """The whole body. Raises PayloadTooLarge over the limit, which is the route's `max_body` unless given."""
        if self._body is None:
            chunks = [chunk async for chunk in self.chunks(limit)]
            self._body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        return self._body

    async def chunks(self, limit: int | None = None) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises PayloadTooLarge over the limit and ClientDisconnected when it ends early."""
        if limit is None:
            limit = self.route.max_body if self.route is not None else DEFAULT_MAX_BODY
        headers = self.headers
        declared = headers.get("content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise body_too_large(limit)
        if headers.get("content-encoding", "identity") != "identity":
            raise UnsupportedMediaType("Content-Encoding is not supported here")
        size = 0
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnected
            chunk: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            size += len(chunk)
            if size > limit:
                raise body_too_large(limit)
            if chunk:
                yield chunk

    async def json_bytes(self, limit: int | None = None) -> bytes:
        """The body of a request that must carry JSON, undecoded. Raises UnsupportedMediaType for another format."""
        media_type = self.media_type
        if media_type not in {"application/json", ""} and not media_type.endswith("+json"):
            raise UnsupportedMediaType("Content-Type must be application/json")
        return await self.body(limit)

    async def json(self, limit: int | None = None) -> Any:
        """The value of the JSON body. Raises BadRequest when it is malformed, nested too deep or ambiguous."""
        return decode_json(await self.json_bytes(limit))

    async def form(self, limit: int | None = None) -> Parameters:
        """The fields of an urlencoded or multipart form; files of a multipart form are in `multipart()`."""
        if self._form is None:
            if self.media_type == "multipart/form-data":
                self._form = (await self.multipart(limit)).fields
            elif self.media_type == "application/x-www-form-urlencoded":
                self._form = parse_urlencoded(await self.body(limit), what="form")
            elif await self.body(limit):
                raise UnsupportedMediaType("Content-Type must be application/x-www-form-urlencoded")
            else:
                self._form = Parameters()
        return self._form

    async def multipart(self, limit: int | None = None) -> "MultipartForm":
        """The fields and files of a multipart form; files are spooled to disk and gone when the answer is sent."""
        if self._uploads is None:
            from freehold.kernel.http.multipart import read_multipart

            self._uploads = await read_multipart(self.headers.get("content-type", ""), self.chunks(limit))
        return self._uploads

    async def body_params(self, limit: int | None = None) -> dict[str, Any]:
        """The parameters of a body that may be JSON or a form, as OAuth endpoints take them.

        Raises BadRequest when the body is malformed, when a parameter is repeated, or when JSON is not an object.
        """
        media_type = self.media_type
        if media_type in {"application/x-www-form-urlencoded", "multipart/form-data"}:
            return dict((await self.form(limit)).single())
        body = await self.body(limit)
        if not body:
            return {}
        if media_type != "application/json" and not media_type.endswith("+json"):
            raise BadRequest("Content-Type must be application/json or application/x-www-form-urlencoded")
        value = decode_json(body)
        if not isinstance(value, dict):
            raise BadRequest("The JSON body must be an object")
        return value

    def close(self) -> None:
        """Remove spooled uploads."""
        if self._uploads is not None:
            self._uploads.close()
            self._uploads = None
