"""JSON as only one reader can understand it (RFC 8259 section 4, RFC 7493).

msgspec already refuses NaN, lone surrogates, numbers out of range, trailing text and bad UTF-8; here its errors become
one refusal, nesting is bounded, and an object with the same member twice is refused, because two readers would differ.
"""

import re
from typing import Any

import msgspec

from freehold.kernel.errors import BadRequest

MAX_DEPTH = 100

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def decode_json(data: bytes) -> Any:
    """The value of a JSON text. Raises BadRequest for anything that is not one unambiguous JSON value."""
    try:
        value = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise BadRequest("Invalid request payload JSON format", code="invalid_body") from None
    if b"\\u0000" in data:
        _refuse_nul(value)
    if isinstance(value, (dict, list)):
        members = _count_members(value)
        # Every colon outside a string belongs to one member as written; fewer members read means one name came twice.
        if data.count(b":") != members and _STRING.sub(b"", data).count(b":") != members:
            raise BadRequest("The JSON body has an object with the same member twice", code="invalid_body")
    return value


def _refuse_nul(value: Any) -> None:
    """Refuse text that no database of ours can search; a backslash that is itself escaped may come before `u0000`."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            waiting += item
        elif isinstance(item, str) and "\0" in item:
            raise BadRequest("Text with the character U+0000 cannot be stored", code="invalid_body")


def _count_members(value: dict[str, Any] | list[Any]) -> int:
    """How many object members are in the value, at any depth. Raises BadRequest below MAX_DEPTH."""
    members = 0
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                members += len(item)
                deeper.extend(child for child in item.values() if isinstance(child, (dict, list)))
            else:
                deeper.extend(child for child in item if isinstance(child, (dict, list)))
        if not deeper:
            return members
        level = deeper
    raise BadRequest(f"The JSON body is nested deeper than {MAX_DEPTH} levels", code="invalid_body")
