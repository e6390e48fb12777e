"""The JSON Schemas of the archive's lines, generated from the declared types."""

from collections.abc import Iterator
from typing import Any

import msgspec

from freehold.kernel.declare.registry import Registry
from freehold.surfaces.transfer.rows import row_form

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_files(registry: Registry) -> Iterator[tuple[str, bytes]]:
    """Path and content of each schema, ordered by name."""
    for name in sorted(registry.by_name):
        form = row_form(registry.by_name[name])
        if form is not None:
            yield f"schemas/{name}.json", encode_schema(schema(form.line_type, name))


def schema(line_type: Any, name: str) -> dict[str, Any]:
    """The schema of one kind of line."""
    return {"$schema": DIALECT, "title": f"One line of data/{name}/*.ndjson", **msgspec.json.schema(line_type)}


def encode_schema(value: dict[str, Any]) -> bytes:
    """A schema as stable, readable text."""
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=1) + b"\n"
