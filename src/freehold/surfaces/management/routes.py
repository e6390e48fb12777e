"""Routes of the Management API, made from the registry: one per operation of each declaration, in its order."""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.shapes import Child, Collection, Link, Operation, Singleton
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.http.router import Router
from freehold.surfaces.management import collections, links, operations, singletons
from freehold.surfaces.management.call import ManagementCall
from freehold.surfaces.management.edge import authorize, rate_limit_headers

PREFIX = "/api/v2/"
Work = Callable[[ManagementCall], Awaitable[Response]]


class Endpoint(msgspec.Struct, frozen=True):
    """One operation on the wire."""

    method: str
    path: str
    name: str
    scopes: tuple[str, ...]
    work: Work
    writes: bool
    status: int
    audit: str = ""
    max_body: int | None = None
    declaration: Any = None
    kind: str = ""
    """list, get, create, update, delete, or `operation`."""
    before: Callable[[ManagementCall], Awaitable[Any]] | None = None


def endpoints(registry: Registry) -> list[Endpoint]:
    """Every endpoint of the registry; attached operations come first, so that they win over derived ones."""
    found: dict[tuple[str, str], Endpoint] = {}
    for endpoint in _all(registry):
        found.setdefault((endpoint.method, _shape(endpoint.path)), endpoint)
    return list(found.values())


def add_routes(router: Router, registry: Registry) -> None:
    """Put every endpoint into the router."""
    for endpoint in endpoints(registry):
        meta: dict[str, Any] = {"family": "management", "scopes": endpoint.scopes, "cors": "client"}
        if endpoint.max_body is not None:
            meta["max_body"] = endpoint.max_body
        path = PREFIX + endpoint.path
        router.add(endpoint.method, path, _handler(endpoint), name=f"management.{endpoint.name}", **meta)


def _handler(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    work, scopes, writes, before = endpoint.work, endpoint.scopes, endpoint.writes, endpoint.before

    async def handle(request: Request) -> Response:
        services = request.services
        request.response_headers += rate_limit_headers(request)
        actor = await authorize(request, scopes)
        if not writes:
            return await work(ManagementCall(request, request.tenant, actor, services))
        # The body is read before the transaction begins, so that a slow client holds no lock.
        if request.media_type != "multipart/form-data":
            await request.body()
        call = ManagementCall(request, request.tenant, actor, services)
        if before is not None:
            call.prepared = await before(call)
        async with services.store.transaction() as tx:
            call.begin(tx)
            response = await work(call)
            description = call.description or endpoint.audit
            if description and response.status < 400:
                await request.tenant.events.record(
                    tx,
                    request.tenant,
                    "sapi",
                    description=description,
                    client_id=actor.client_id or None,
                    user_id=actor.id if actor.kind == "user" else None,
                    ip=request.client_ip,
                    user_agent=request.headers.get("user-agent"),
                    details={
                        "request": {"method": request.method, "path": request.raw_path},
                        "response": {"statusCode": response.status},
                        **call.details,
                    },
                )
        return response

    return handle


def _all(registry: Registry) -> Iterable[Endpoint]:
    for operation in registry.operations:
        yield _operation(operation)
    for declaration in registry.by_name.values():
        if isinstance(declaration, Collection):
            yield from _collection(declaration)
        elif isinstance(declaration, Singleton):
            yield from _singleton(declaration)
        elif isinstance(declaration, Link):
            yield from _link(declaration, registry)


def _operation(operation: Operation) -> Endpoint:
    return Endpoint(
        operation.method,
        operation.path,
        operation.name,
        operation.scopes,
        operations.attached(operation),
        operation.method != "GET",
        operation.status,
        operation.audit,
        operation.max_body,
        operation,
        "operation",
        operations.preliminary(operation),
    )


def _collection(declaration: Collection[Any]) -> Iterable[Endpoint]:
    scopes, noun = declaration.scopes, declaration.audit or _noun(declaration.name)
    key = declaration.key if isinstance(declaration, Child) else "id"
    one = f"{declaration.path}/{{{'credential_id' if key == 'id' and isinstance(declaration, Child) else key}}}"
    status = declaration.statuses
    make = {
        "list": ("GET", declaration.path, scopes.read, collections.listing(declaration), False, 200, ""),
        "create": (
            "POST", declaration.path, scopes.create, collections.creating(declaration), True,
            status.get("create", 201), f"Create {_article(noun)}",
        ),
        "get": ("GET", one, scopes.read, collections.getting(declaration), False, 200, ""),
        "update": (
            declaration.method_update, one, scopes.update, collections.updating(declaration), True,
            status.get("update", 200), f"Update {_article(noun)}",
        ),
        "delete": (
            "DELETE", one, scopes.delete, collections.deleting(declaration), True,
            status.get("delete", 204), f"Delete {_article(noun)}",
        ),
    }  # fmt: skip
    for name, (method, path, needed, work, writes, code, audit) in make.items():
        if name in declaration.operations:
            override = declaration.overrides.get(name)
            work = operations.plain(override, code) if override else work  # noqa: PLW2901
            yield Endpoint(
                method, path, f"{declaration.name}.{name}", needed, work, writes, code, audit, None, declaration, name,
                declaration.before.get(name),
            )  # fmt: skip


def _singleton(declaration: Singleton[Any]) -> Iterable[Endpoint]:
    noun = declaration.audit or _noun(declaration.table)
    read = declaration.overrides.get("get")
    work = operations.plain(read, 200) if read else singletons.reading(declaration)
    yield Endpoint(
        "GET", declaration.path, f"{declaration.table}.get", declaration.scopes.read, work, False, 200,
        "", None, declaration, "get",
    )  # fmt: skip
    if declaration.update_method:
        write = declaration.overrides.get("update")
        work = operations.plain(write, 200) if write else singletons.updating(declaration)
        yield Endpoint(
            declaration.update_method, declaration.path, f"{declaration.table}.update", declaration.scopes.update, work,
            True, 200, f"Update {noun}", None, declaration, "update",
        )  # fmt: skip


def _link(declaration: Link, registry: Registry) -> Iterable[Endpoint]:
    for side in links.sides(declaration, registry):
        for name, method, needed, work, writes, status in side.operations():
            audit = f"{name.capitalize()} {_noun(declaration.table)}" if writes else ""
            yield Endpoint(
                method, side.path, f"{declaration.table}.{side.name}.{name}", needed, work, writes, status, audit,
                None, declaration, name,
            )  # fmt: skip


def _shape(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _noun(table: str) -> str:
    return table.replace("_", " ").removesuffix("s")


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"
