"""Plain functions attached to the API: their answer becomes a response, their body is decoded first."""

from collections.abc import Awaitable, Callable
from typing import Any

from freehold.kernel.declare.shapes import Handler, Operation
from freehold.kernel.declare.validation import convert_body, decode_body
from freehold.kernel.http.response import Response, empty, json
from freehold.kernel.http.strict_json import decode_json
from freehold.surfaces.management.call import ManagementCall

Work = Callable[[ManagementCall], Awaitable[Response]]


def attached(operation: Operation) -> Work:
    """The work of an Operation: decode the body it declares, call it, shape what it answers."""
    handler, status, body = operation.handler, operation.status, operation.body

    async def work(call: ManagementCall) -> Response:
        await _decode(call, body)
        return _answer(await handler(call), status)

    return work


def preliminary(operation: Operation) -> Callable[[ManagementCall], Awaitable[Any]] | None:
    """The work an Operation does before its transaction, with the body decoded; None when it has none."""
    before, body = operation.before, operation.body
    if before is None:
        return None

    async def work(call: ManagementCall) -> Any:
        await _decode(call, body)
        return await before(call)

    return work


def plain(handler: Handler, status: int) -> Work:
    """The work of a function that replaces a built-in operation; it reads the body itself."""

    async def work(call: ManagementCall) -> Response:
        return _answer(await handler(call), status)

    return work


async def _decode(call: ManagementCall, body: Any) -> None:
    if body is None or call.body is not None:
        return
    request = call.request
    if request.media_type == "application/x-www-form-urlencoded":
        call.body = convert_body(dict((await request.form()).single()), body)
    else:
        raw = await request.json_bytes()
        if raw:
            decode_json(raw)  # refuses what two readers would read differently
        call.body = decode_body(raw, body)


def _answer(value: object, status: int) -> Response:
    if isinstance(value, Response):
        return value
    if value is None:
        return empty(status)
    return json(value, status)
