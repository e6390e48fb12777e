"""List, get, create, update and delete of a Collection or Child."""

from collections.abc import Awaitable, Callable
from typing import Any

from freehold.kernel.declare import documents
from freehold.kernel.declare.compile import hidden_paths, project, table_of
from freehold.kernel.declare.conditions import if_match
from freehold.kernel.declare.fields import Fields
from freehold.kernel.declare.paging import Page, answer
from freehold.kernel.declare.shapes import Child, Collection, Filter, Singleton
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.response import Response, empty, json
from freehold.kernel.store import JsonPath, escape_like
from freehold.surfaces.management.call import ManagementCall

Work = Callable[[ManagementCall], Awaitable[Response]]


def listing(declaration: Collection[Any]) -> Work:
    """GET on the collection: filtered, paged the way the request asks for."""
    statements = documents.statements(declaration)
    table = table_of(declaration).name

    async def work(call: ManagementCall) -> Response:
        page = Page.of(call, declaration)
        fields = Fields.of(call, declaration.document)
        where, params = _conditions(call, declaration)
        total = None
        if page.totals:
            count = f"select count(*) from {table} where {where}"  # noqa: S608 - declared names, written conditions
            row = await call.store.one(count, **params)
            total = int(row[0]) if row else 0
        bounded, limits = page.sql()
        select = f"{statements.select}where {where}{bounded}"
        rows = await call.store.all(select, **params, **limits)
        records = [documents.to_record(call.tenant, declaration, row) for row in rows]
        items = [
            fields.apply(await shown(call, declaration, record), always=declaration.always)
            for record in page.take(records)
        ]
        return json(answer(page, declaration.items, items, total=total, following=page.following(records)))

    return work


def getting(declaration: Collection[Any]) -> Work:
    """GET on one document."""
    projection = project(declaration.document)
    statements = documents.statements(declaration)
    # Without hidden or computed members the stored text is the answer, and is passed on as it is.
    splice = projection.spliceable and not projection.secrets and not projection.variants
    plain = splice and not isinstance(declaration, Child)

    async def work(call: ManagementCall) -> Response:
        id_ = await document_id(call, declaration)
        if plain and not call.request.scope["query_string"]:
            row = await call.store.one(statements.text_by_id, tenant_id=call.tenant.id, id=id_)
            if row is None:
                raise documents.missing(declaration)
            return json(row[0].encode(), headers=[("etag", f'"{row[1]}"')])
        fields = Fields.of(call, declaration.document)
        record = await documents.read(call.store, call.tenant, declaration, id_)
        if record is None or not _in_parent(call, declaration, record):
            raise documents.missing(declaration)
        body = fields.apply(await shown(call, declaration, record))
        return json(body, headers=[("etag", f'"{record.version}"')])

    return work


def creating(declaration: Collection[Any]) -> Work:
    """POST on the collection."""
    status = declaration.statuses.get("create", 201)

    async def work(call: ManagementCall) -> Response:
        given = await read_body(call)
        parent = await _parent(call, declaration)
        record = await documents.create(call.tx, call.tenant, declaration, given, actor=call.actor, parent=parent)
        return json(await shown(call, declaration, record, created=True), status)

    return work


def updating(declaration: Collection[Any]) -> Work:
    """PATCH (or PUT) on one document."""
    status = declaration.statuses.get("update", 200)
    replace = declaration.method_update == "PUT"

    async def work(call: ManagementCall) -> Response:
        given = await read_body(call)
        record = await documents.update(
            call.tx, call.tenant, declaration, await document_id(call, declaration), given,
            actor=call.actor, if_version=if_match(call), parent=await _parent(call, declaration) or None,
            replace=replace,
        )  # fmt: skip
        return json(await shown(call, declaration, record), status)

    return work


def deleting(declaration: Collection[Any]) -> Work:
    """DELETE of one document; one that is not there is a success, as at Auth0."""
    status = declaration.statuses.get("delete", 204)

    async def work(call: ManagementCall) -> Response:
        parent = await _parent(call, declaration) or None
        id_ = await document_id(call, declaration)
        await documents.delete(call.tx, call.tenant, declaration, id_, actor=call.actor, parent=parent)
        return empty(status)

    return work


async def shown(
    call: ManagementCall,
    declaration: Collection[Any] | Singleton[Any],
    record: documents.Record,
    *,
    created: bool = False,
) -> dict[str, Any]:
    """What the caller may see of a document; secret members also in the answer that creates them."""
    projection = project(declaration.document)
    body = record.document
    secrets, sealed = hidden_paths(projection, body)
    for path, mark in secrets.items():
        if not created and call.actor.scopes.isdisjoint(mark.readable_with):
            _drop(body, path)
    for path in sealed:
        _drop(body, path)
    for name, computed in projection.computed.items():
        if created or not computed.scopes or not call.actor.scopes.isdisjoint(computed.scopes):
            value = await computed.compute(call.reader, call.tenant, body)
            if value is not None:
                body[name] = value
    return body


async def read_body(call: ManagementCall) -> dict[str, Any]:
    """The JSON or form body as an object. Raises BadRequest when it is neither."""
    return await call.request.body_params()


async def document_id(call: ManagementCall, declaration: Collection[Any]) -> str:
    """The id that the path's last parameter names."""
    named = list(call.params.values())[-1]
    return await documents.resolve(call.reader, call.tenant, declaration, named) if declaration.also_by else named


async def _parent(call: ManagementCall, declaration: Collection[Any]) -> str:
    """The parent's id in the path, empty for a collection of its own. Raises NotFound when there is no such parent."""
    if not isinstance(declaration, Child):
        return ""
    parent_id = next(iter(call.params.values()))
    parent = call.tenant.registry.collection(declaration.parent)
    if await documents.read(call.reader, call.tenant, parent, parent_id) is None:
        raise documents.missing(parent)
    return parent_id


def _in_parent(call: ManagementCall, declaration: Collection[Any], record: documents.Record) -> bool:
    return not isinstance(declaration, Child) or record.parent == next(iter(call.params.values()))


def _conditions(call: ManagementCall, declaration: Collection[Any]) -> tuple[str, dict[str, Any]]:
    """The where clause of a listing: the tenant, the parent and the request's filters."""
    conditions, params = ["tenant_id = :tenant_id"], {"tenant_id": call.tenant.id}
    if isinstance(declaration, Child):
        conditions.append("parent_id = :parent_id")
        params["parent_id"] = next(iter(call.params.values()))
    indexed = {field.name: field for field in project(declaration.document).indexed}
    for name, narrow in declaration.filters.items():
        raw = call.request.query.all(name)
        if not raw:
            continue
        if narrow.where is not None:
            condition, more = narrow.where(call, call.query(name) or "")
            conditions.append(f"({condition})")
            params |= more
            continue
        values = [_filter_value(name, narrow, value) for text in raw for value in _split(narrow, text)]
        if not values:
            continue
        places = []
        for number, value in enumerate(values):
            key = f"f_{name}_{number}"
            known = indexed.get(narrow.field)
            params[key] = known.canonical(value) if known and known.canonical else value
            if narrow.type == "contains":
                params[key] = f"%{escape_like(value)}%"
            places.append(f":{key}")
        if narrow.field in indexed:
            column = indexed[narrow.field].column
        else:
            params[f"f_{name}"] = JsonPath(narrow.field.split("."))  # type: ignore[assignment]
            column = f"json_text(document, :f_{name})"
        if narrow.type == "contains":
            conditions.append(f"ilike({column}, {places[0]})")
        elif narrow.type == "boolean" and values == ["false"]:
            conditions.append(f"coalesce({column}, 'false') = 'false'")
        else:
            conditions.append(f"{column} in ({', '.join(places)})")
    return " and ".join(conditions), params


def _split(narrow: Filter, text: str) -> list[str]:
    return [part for part in text.split(",") if part] if narrow.type == "list" else [text]


def _filter_value(name: str, narrow: Filter, value: str) -> str:
    if narrow.type == "boolean" and value not in {"true", "false"}:
        raise BadRequest(
            f"Query validation error: 'Expected type boolean but found type string' on property {name}.",
            code="invalid_query_string",
        )
    return value


def _drop(document: dict[str, Any], path: tuple[str, ...]) -> None:
    inner: Any = document
    for name in path[:-1]:
        inner = inner.get(name)
        if not isinstance(inner, dict):
            return
    inner.pop(path[-1], None)
