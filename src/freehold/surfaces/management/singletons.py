"""Reading and changing the one document of a Singleton."""

from collections.abc import Awaitable, Callable
from typing import Any

from freehold.kernel.declare import documents
from freehold.kernel.declare.conditions import if_match
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.shapes import Singleton
from freehold.kernel.http.response import Response, json
from freehold.surfaces.management.call import ManagementCall
from freehold.surfaces.management.collections import read_body, shown

Work = Callable[[ManagementCall], Awaitable[Response]]


def reading(declaration: Singleton[Any]) -> Work:
    """GET: the stored document, or its defaults."""

    async def work(call: ManagementCall) -> Response:
        fields = Fields.of(call, declaration.document)
        record = await documents.read(call.reader, call.tenant, declaration, documents.SINGLETON_ID)
        if record is None:
            defaults = documents.defaults(declaration)
            record = documents.Record(documents.SINGLETON_ID, 0, 0, 0, defaults)
        body = await shown(call, declaration, record)
        return json(fields.apply(body), headers=[("etag", f'"{record.version}"')])

    return work


def updating(declaration: Singleton[Any]) -> Work:
    """PATCH merges into the document, PUT replaces it."""
    replace = declaration.update_method == "PUT"

    async def work(call: ManagementCall) -> Response:
        given = await read_body(call)
        record = await documents.update(
            call.tx, call.tenant, declaration, documents.SINGLETON_ID, given,
            actor=call.actor, if_version=if_match(call), replace=replace,
        )  # fmt: skip
        return json(await shown(call, declaration, record))

    return work
