"""Turns what msgspec says about a bad body into the sentences Auth0 answers with.

Auth0 validates with JSON Schema and says `Payload validation error: 'REASON' on property PATH (DESCRIPTION).`
(recorded); the description is left out here, because it is prose of Auth0's own schema.
"""

import re
from typing import Any

import msgspec

from freehold.kernel.errors import BadRequest

_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_KINDS = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "null": "null",
    "array": "array",
    "object": "object",
}


class InvalidBody(BadRequest):
    """A body that does not fit the operation's schema; the message names the property."""

    code = "invalid_body"


def decode_body(raw: bytes, type_: Any) -> Any:
    """Decode a JSON body to `type_`. Raises InvalidBody with Auth0's wording."""
    try:
        return msgspec.json.decode(raw or b"{}", type=type_)
    except msgspec.ValidationError as error:
        raise InvalidBody(explain(str(error))) from None
    except msgspec.DecodeError:
        raise InvalidBody("Payload validation error: 'Invalid JSON'.") from None
    except RecursionError:
        raise InvalidBody("Payload validation error: 'The JSON is nested too deeply'.") from None


def convert_body(value: Any, type_: Any, *, inside: str = "") -> Any:
    """Like `decode_body` for a value that is already decoded; `inside` is the property that holds the value."""
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        raise InvalidBody(explain(str(error), inside=inside)) from None


def explain(error: str, subject: str = "Payload", *, inside: str = "") -> str:
    """Auth0's sentence for a msgspec validation error."""
    path = ""
    found = _PATH.search(error)
    if found:
        path = found["path"].lstrip(".").replace("[...]", "")
        error = error[: found.start()]
    path = ".".join(part for part in (inside, path) if part)
    reason = _reason(error)
    where = f" on property {path}" if path else ""
    return f"{subject} validation error: '{reason}'{where}."


def _reason(error: str) -> str:
    if match := re.fullmatch(r"Object missing required field `(.+)`", error):
        return f"Missing required property: {match[1]}"
    if match := re.fullmatch(r"Object contains unknown field `(.+)`", error):
        return f"Additional properties not allowed: {match[1]}"
    if match := re.fullmatch(r"Expected `str` matching regex '(.*)'", error, re.DOTALL):
        # msgspec writes the expression as a Python literal.
        return f"String does not match pattern {match[1].replace(chr(92) * 2, chr(92))}"
    if match := re.fullmatch(r"Expected `str` of length >= (\d+)", error):
        return f"String is too short, minimum {match[1]}"
    if match := re.fullmatch(r"Expected `str` of length <= (\d+)", error):
        return f"String is too long, maximum {match[1]}"
    if match := re.fullmatch(r"Expected `array` of length >= (\d+)", error):
        return f"Array is too short, minimum {match[1]}"
    if match := re.fullmatch(r"Expected `array` of length <= (\d+)", error):
        return f"Array is too long, maximum {match[1]}"
    if match := re.fullmatch(r"Expected `(?:int|float)` >= (.+)", error):
        return f"Value is less than minimum {match[1]}"
    if match := re.fullmatch(r"Expected `(?:int|float)` <= (.+)", error):
        return f"Value is greater than maximum {match[1]}"
    if match := re.fullmatch(r"Expected `(.+)`, got `(.+)`", error):
        wanted = " or ".join(_KINDS.get(kind, kind) for kind in match[1].split(" | "))
        return f"Expected type {wanted} but found type {_KINDS.get(match[2], match[2])}"
    if match := re.fullmatch(r"Invalid enum value (.+)", error):
        return f"No enum match for: {match[1].strip(chr(39))}"
    return error
