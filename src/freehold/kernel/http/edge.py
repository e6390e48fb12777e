"""The one place where a request enters and an answer leaves: an ASGI application without a framework.

In this order: a request id, the route, the tenant by host (an unknown host is 404 whatever the path), the handler,
errors rendered by the route's family, cross-origin headers, security headers. No handler builds an error response, and
an unexpected exception leaves with its request id in the log and nothing of it in the answer.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from itertools import count
from time import perf_counter
from typing import Any

from freehold.kernel import log as logs
from freehold.kernel.errors import BadRequest, FreeholdError, NotFound, PayloadTooLarge, TooManyRequests
from freehold.kernel.http.cors import CorsPolicy, cors_headers, preflight_headers
from freehold.kernel.http.proxies import Proxies
from freehold.kernel.http.refusals import ClientDisconnected, HeadersTooLarge, MethodNotAllowed, UriTooLong
from freehold.kernel.http.request import NO_PROXIES, Receive, Request, Scope, Send
from freehold.kernel.http.response import (
    HTML,
    JSON,
    NO_STORE,
    SAME_ORIGIN,
    TEXT,
    RawHeaders,
    Response,
    encode_header,
    text,
)
from freehold.kernel.http.router import Route, Router

ErrorRenderer = Callable[[FreeholdError, Request], Response]
TenantResolver = Callable[[str], Awaitable[Any]]
# Told of every answer: the route's name, the status, the seconds it took.
Observer = Callable[[str, int, float], None]

MAX_TARGET_BYTES = 16_384
MAX_HEADERS = 100
# A declared body up to this size is read to its end after a refusal, so that the client sees the answer.
MAX_DISCARDED_BYTES = 16 << 20

log = logs.get_logger("http")

_SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"),)
# Not for localhost: a browser would then refuse plain HTTP on every port of the developer's machine.
_TLS_SECURITY_HEADERS = (*_SECURITY_HEADERS, (b"strict-transport-security", b"max-age=31536000"))
_CONTENT_TYPES = {name: (b"content-type", name.encode("ascii")) for name in (JSON, HTML, TEXT)}
_REFERRER = (b"referrer-policy", SAME_ORIGIN.encode("ascii"))
_FRAME_DENY = (b"x-frame-options", b"DENY")
_NO_STORE = (b"cache-control", b"no-store")


class Edge:
    """The ASGI application.

    `errors` maps a route family to the function that renders its errors; `resolve_tenant` answers None for an unknown
    host; `lifespan` is entered when the server starts, in each worker process, and left when it stops.
    """

    def __init__(
        self,
        router: Router,
        *,
        resolve_tenant: TenantResolver,
        errors: Mapping[str, ErrorRenderer],
        default_family: str = "page",
        services: Any = None,
        cors: CorsPolicy | None = None,
        proxies: Proxies = NO_PROXIES,
        observe: Observer | None = None,
        access_log: bool = False,
        lifespan: Callable[["Edge"], AbstractAsyncContextManager[None]] | None = None,
    ) -> None:
        self.router = router
        self.services = services
        self.startup_error: Exception | None = None
        self._resolve_tenant = resolve_tenant
        self._errors = dict(errors)
        self._default_family = default_family
        self._cors = cors
        self._proxies = proxies
        self._observe = observe
        self._access_log = access_log
        self._lifespan = lifespan

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._run_lifespan(scope, receive, send)
            return
        started = perf_counter()
        request = Request(scope, receive, request_id=new_request_id(), proxies=self._proxies, services=self.services)
        request.log_fields = logs.begin_request(request.request_id)
        try:
            try:
                response = await self._answer(request)
            except ClientDisconnected:
                return
            except Exception as error:  # noqa: BLE001 - the edge is where every error becomes an answer
                response = self._render(error, request)
            try:
                headers = _own_headers(request, response)
                if request.route is not None and request.route.cors is not None:
                    headers += await cors_headers(request, request.route, self._cors)
            except Exception as error:  # noqa: BLE001 - an unusable header or cross-origin policy is an error like another
                request.response_headers.clear()
                response = self._render(error, request)
                headers = _own_headers(request, response)
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            if response.stream_body is None:
                await send({"type": "http.response.body", "body": response.body})
            else:
                await _send_stream(request, response, send)
        finally:
            request.close()
        seconds = perf_counter() - started
        name = request.route.name if request.route is not None else "unmatched"
        if self._observe is not None:
            self._observe(name, response.status, seconds)
        if self._access_log:
            log.info(
                "request",
                method=request.method,
                route=name,
                status=response.status,
                client_ip=request.client_ip,
                duration_ms=round(seconds * 1000, 1),
            )

    async def _answer(self, request: Request) -> Response:
        scope = request.scope
        if len(request.raw_path) + len(scope["query_string"]) > MAX_TARGET_BYTES:
            raise UriTooLong("The request target is too long")
        if len(scope["headers"]) > MAX_HEADERS:
            raise HeadersTooLarge("Too many header fields")
        if request.headers.repeated is not None:
            raise BadRequest(f"Header sent more than once: {request.headers.repeated}")
        if not request.host:
            raise BadRequest("The Host header is missing")
        route: Route | None = None
        refusal: FreeholdError | None = None
        try:
            route, request.params = self.router.match(request.method, request.raw_path)
        except FreeholdError as error:
            refusal = error
        request.route = route
        if route is None or route.tenant:
            tenant = request.tenant = await self._resolve_tenant(request.host)
            if tenant is None:
                raise _UnknownHost
            request.log_fields["tenant"] = tenant
        if route is not None:
            return await route.handler(request)
        if request.method == "OPTIONS":
            return await self._answer_options(request)
        assert refusal is not None
        raise refusal

    async def _answer_options(self, request: Request) -> Response:
        """A preflight, or the question which methods a path has (RFC 9110 section 9.3.7)."""
        wanted = request.headers.get("access-control-request-method")
        if wanted is None:
            return Response(204, b"", [("allow", ", ".join([*self.router.allowed(request.raw_path), "OPTIONS"]))])
        route, request.params = self.router.match(wanted, request.raw_path)
        headers = await preflight_headers(request, route, self._cors)
        return Response(204, b"", [(name.decode("ascii"), value.decode("ascii")) for name, value in headers])

    def _render(self, error: Exception, request: Request) -> Response:
        if isinstance(error, _UnknownHost):
            return text("Not Found", 404)
        if not isinstance(error, FreeholdError):
            log.error("unhandled_error", route=request.route.name if request.route else None, exc_info=error)
            error = FreeholdError("Internal Server Error")
        try:
            response = self._errors[self._family(request)](error, request)
        except Exception as failure:
            log.error("error_renderer_failed", exc_info=failure)
            response = text("Internal Server Error", 500)
        if isinstance(error, MethodNotAllowed):
            response.headers.append(("allow", ", ".join(error.allow)))
        elif isinstance(error, TooManyRequests):
            response.headers.append(("retry-after", str(error.retry_after_s)))
        elif isinstance(error, PayloadTooLarge) and not _is_worth_discarding(request):
            response.headers.append(("connection", "close"))
        return response

    def _family(self, request: Request) -> str:
        family = request.route.family if request.route is not None else None
        if family not in self._errors:
            family = self.router.family_of(request.raw_path, default=self._default_family)
        return family if family in self._errors else self._default_family

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            raise ValueError(f"not served: {scope['type']}")
        await receive()
        stack = AsyncExitStack()
        try:
            if self._lifespan is not None:
                await stack.enter_async_context(self._lifespan(self))
        except Exception as error:  # noqa: BLE001 - serve() raises it to whoever started the server
            self.startup_error = error
            await send({"type": "lifespan.startup.failed", "message": ""})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        try:
            await stack.aclose()
        except Exception as error:
            log.error("shutdown_failed", exc_info=error)
            await send({"type": "lifespan.shutdown.failed", "message": ""})
            return
        await send({"type": "lifespan.shutdown.complete"})


class _UnknownHost(NotFound):
    """No tenant answers on this host."""


def _own_headers(request: Request, response: Response) -> RawHeaders:
    """Every header but the cross-origin ones. Raises ValueError when one of them cannot be sent."""
    is_public_tls = request.scheme == "https" and "localhost" not in request.host
    headers: RawHeaders = [(b"x-request-id", request.request_id.encode("ascii"))]
    headers += _TLS_SECURITY_HEADERS if is_public_tls else _SECURITY_HEADERS
    chosen = response.referrer_policy
    headers.append(_REFERRER if chosen == SAME_ORIGIN else encode_header("referrer-policy", chosen))
    content_type = response.content_type
    if content_type is not None:
        headers.append(_CONTENT_TYPES.get(content_type) or encode_header("content-type", content_type))
        if content_type.startswith("text/html"):
            headers += _html_headers(response)
    if response.stream_body is None and response.status not in {204, 304}:
        headers.append((b"content-length", b"%d" % len(response.body)))
    if response.cache_control == NO_STORE:
        headers.append(_NO_STORE)
    else:
        headers.append(encode_header("cache-control", response.cache_control))
    if response.headers:
        headers += [encode_header(name, value) for name, value in response.headers]
    if request.response_headers:
        headers += [encode_header(name, value) for name, value in request.response_headers]
    return headers


def _is_worth_discarding(request: Request) -> bool:
    declared = request.headers.get("content-length", "")
    return declared.isdigit() and int(declared) <= MAX_DISCARDED_BYTES


def _html_headers(response: Response) -> RawHeaders:
    if response.framing == "any":
        return [encode_header("content-security-policy", response.csp)]
    return [encode_header("content-security-policy", f"{response.csp}; frame-ancestors 'none'"), _FRAME_DENY]


async def _send_stream(request: Request, response: Response, send: Send) -> None:
    """Send the chunks until the stream ends or the client goes away; then let the iterator clean up."""
    assert response.stream_body is not None
    sending = asyncio.ensure_future(_send_chunks(request, response, send))
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    except Exception as error:
        log.error("stream_failed", exc_info=error)
    finally:
        for task in (sending, gone):
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task


async def _send_chunks(request: Request, response: Response, send: Send) -> None:
    chunks = response.stream_body
    assert chunks is not None
    try:
        if request.method != "HEAD":
            async for chunk in chunks:
                if chunk:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                    await asyncio.sleep(0)  # one that never waits must not keep others, or its own end, from running
        await send({"type": "http.response.body", "body": b""})
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None:
            await close()


async def _disconnected(request: Request) -> None:
    while True:
        message = await request._receive()
        if message["type"] == "http.disconnect":
            return


_process_prefix = ""
_request_numbers = count(1)


def _renew_prefix() -> None:
    global _process_prefix  # noqa: PLW0603 - one prefix per process, renewed in each forked worker
    _process_prefix = secrets.token_hex(6)


_renew_prefix()
os.register_at_fork(after_in_child=_renew_prefix)


def new_request_id() -> str:
    """An id no other request has; it is not a secret. Nothing a client sends becomes one."""
    return f"{_process_prefix}{next(_request_numbers):08x}"
