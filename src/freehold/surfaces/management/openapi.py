"""The OpenAPI 3.1 description of the Management API, generated from the same endpoints as the routes."""

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from freehold import __version__
from freehold.kernel.declare.compile import project
from freehold.kernel.declare.registry import Registry
from freehold.kernel.declare.shapes import Collection, Operation, Singleton
from freehold.surfaces.management.routes import Endpoint, endpoints

_REF = "#/components/schemas/{name}"
_ERROR = {
    "type": "object",
    "required": ["statusCode", "error", "message"],
    "properties": {
        "statusCode": {"type": "integer"},
        "error": {"type": "string"},
        "message": {"type": "string"},
        "errorCode": {"type": "string"},
    },
}


def describe(registry: Registry) -> dict[str, Any]:
    """The whole description."""
    found = endpoints(registry)
    bodies = {endpoint.name: _types(endpoint) for endpoint in found}
    types = list(dict.fromkeys(t for pair in bodies.values() for t in pair if t is not None))
    schemas, components = msgspec.json.schema_components(types, ref_template=_REF)
    named = dict(zip(types, schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in found:
        taken, answered = bodies[endpoint.name]
        path = paths.setdefault(f"/{endpoint.path}", {})
        path[endpoint.method.lower()] = _operation(endpoint, named.get(taken), named.get(answered))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Freehold Management API", "version": __version__},
        "servers": [{"url": "/api/v2"}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {**dict(sorted(components.items())), "Error": _ERROR},
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def _types(endpoint: Endpoint) -> tuple[Any, Any]:
    """What an endpoint takes and, where it is one declared document, what it answers."""
    declared = endpoint.declaration
    if isinstance(declared, Operation):
        return declared.body, None
    if isinstance(declared, Collection | Singleton):
        projection = project(declared.document)
        taken = {"create": projection.create, "update": projection.patch}.get(endpoint.kind)
        answered = declared.document if endpoint.kind in {"get", "create", "update"} else None
        return taken, answered
    return None, None


def _operation(endpoint: Endpoint, taken: Any, answered: Any) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success"}
    if answered is not None:
        success["content"] = {"application/json": {"schema": answered}}
    operation: dict[str, Any] = {
        "operationId": endpoint.name,
        "tags": [endpoint.path.split("/")[0]],
        "parameters": list(_parameters(endpoint)),
        "responses": {
            str(endpoint.status): success,
            "default": {
                "description": "A refusal",
                "content": {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}},
            },
        },
        "security": [{"bearer": [scope]} for scope in endpoint.scopes],
    }
    if endpoint.audit:
        operation["summary"] = endpoint.audit
    if taken is not None:
        operation["requestBody"] = {"content": {"application/json": {"schema": taken}}}
    return operation


def _parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"\{([^}]+)\}", endpoint.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    declared = endpoint.declaration
    if endpoint.kind == "list" and isinstance(declared, Collection):
        wanted = dict.fromkeys(declared.filters, "string")
        if declared.paging:
            wanted |= {"page": "integer", "per_page": "integer", "include_totals": "boolean"}
        if "checkpoint" in declared.paging:
            wanted |= {"from": "string", "take": "integer"}
        wanted |= {"fields": "string", "include_fields": "boolean"}
        for name, kind in wanted.items():
            yield {"name": name, "in": "query", "schema": {"type": kind}}
