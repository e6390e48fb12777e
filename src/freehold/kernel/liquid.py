"""Liquid for templates that tenants write: mails, and later page templates.

A template is a program by somebody who is trusted with a tenant but not with the server: template engines elsewhere
reached objects, or ran for ever. This one sees plain values only: text, numbers, lists and mappings, nothing with
attributes. And its work is bounded without a clock: every value read, loop turn and filter costs units of a budget, so
that the same template and values either always render or never do. What the parser would take too long over is refused
before it starts. Values are escaped for HTML unless the template is for plain text.

The dialect is Auth0's, with these gaps, each refused with the line it is on: `include` and `render` (there is nothing
to include), ranges such as `(1..9)`, `doc`. A variable without a value is empty, as at Auth0.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from liquid import Environment, RenderContext
from liquid.exceptions import FilterArgumentError, LiquidError, ResourceLimitError
from liquid.filter import with_context
from liquid.template import BoundTemplate
from liquid.token import Token
from liquid.undefined import UNDEFINED

from freehold.kernel.errors import BadRequest

LONGEST_TEMPLATE = 256 * 1024
LONGEST_OUTPUT = 512 * 1024
BUDGET = 1_000_000

_LONGEST_MARKUP = 2_000
_LONGEST_BLANK = 100
_LARGEST_NUMBER = 10**18
_LEFT_OUT_TAGS = ("include", "render", "doc")
_LEFT_OUT_FILTERS = ("safe", "escapejs")

_OPENING = re.compile(r"\{\{|\{%")
_TAG_NAME = re.compile(r"-?\s{0,100}(\w+|#)")
_END_OF_RAW = re.compile(r"\{%-?\s{0,100}endraw\s{0,100}-?%\}")
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_BLANK = re.compile(rf"\s{{{_LONGEST_BLANK + 1}}}")
_DATE_FORMAT = re.compile(r"(?:[^%]|%[-^#]?[A-Za-z%])*")


class BadTemplate(BadRequest):
    """A template that cannot be parsed, or whose work goes beyond the limits; the message names the line."""

    code = "invalid_template"


class Template:
    """A parsed template; rendering it changes nothing in it."""

    __slots__ = ("_bound",)

    def __init__(self, bound: BoundTemplate) -> None:
        self._bound = bound

    def render(self, variables: Mapping[str, object], *, now: datetime) -> str:
        """Return the text, or raise BadTemplate when a filter refuses its values or the budget is used up.

        Raises TypeError for variables that are not plain JSON values: that is the caller's mistake.
        """
        moment = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        try:
            return self._bound.render({**_plain(variables), "now": moment, "today": moment[:10]})
        except LiquidError as error:
            raise BadTemplate(_message(error)) from error
        except (ArithmeticError, LookupError, OSError, RecursionError, ValueError) as error:
            raise BadTemplate(f"the template cannot be rendered ({type(error).__name__})") from error


@lru_cache(maxsize=256)
def parse_template(source: str, *, escape: bool) -> Template:
    """Return the parsed template, or raise BadTemplate. With `escape`, every value is escaped for HTML."""
    if len(source) > LONGEST_TEMPLATE:
        raise BadTemplate(f"the template is longer than {LONGEST_TEMPLATE} characters")
    _check_markup(source)
    try:
        return Template(_environment(escape).from_string(source))
    except LiquidError as error:
        raise BadTemplate(_message(error)) from error


def _check_markup(source: str) -> None:
    """Refuse, in time linear in the template, what the parser's expressions would need quadratic or cubic time for."""
    position = 0
    while (opening := _OPENING.search(source, position)) is not None:
        start = opening.end()
        closing = "}}" if opening[0] == "{{" else "%}"
        end = source.find(closing, start, start + _LONGEST_MARKUP)
        if end < 0:
            raise _bad_line(source, start, f"'{opening[0]}' is not closed within {_LONGEST_MARKUP} characters")
        markup = source[start:end]
        if _BLANK.search(markup):
            raise _bad_line(source, start, "there is too much white space inside a tag")
        if ".." in _QUOTED.sub("", markup):
            raise _bad_line(source, start, "ranges are not supported")
        position = end + 2
        name = _TAG_NAME.match(markup) if closing == "%}" else None
        if name is not None and name[1] == "doc":
            raise _bad_line(source, start, "the tag 'doc' is not supported")
        if name is not None and name[1] == "raw":
            end_of_raw = _END_OF_RAW.search(source, position)
            if end_of_raw is None:
                raise _bad_line(source, start, "'raw' is not closed")
            position = end_of_raw.end()


class _Context(RenderContext):
    """The state of one rendering, with an account of the work done."""

    def __init__(self, template: BoundTemplate, **more: Any) -> None:
        super().__init__(template, **more)
        self._left = BUDGET
        # A loop turn costs as much as the whole template could: how long the loop's body is, nobody says here.
        self._turn = 1 + getattr(template, "length", 0) // 8

    def spend(self, units: int) -> None:
        """Take `units` off the budget."""
        self._left -= units
        if self._left < 0:
            raise ResourceLimitError("the template does too much work", token=None)

    def get(self, path: list[object], *, token: Token | None, default: object = UNDEFINED) -> object:
        value = super().get(path, token=token, default=default)
        self.spend(1 + _size(value) // 8)
        return value

    def assign(self, key: str, val: object) -> None:
        self.spend(1 + _size(val))
        super().assign(key, val)

    def raise_for_loop_limit(self, length: int = 1) -> None:
        self.spend(1 + length * self._turn)


class _Bound(BoundTemplate):
    context_class = _Context
    length: int = 0


class _Environment(Environment):
    template_class = _Bound
    output_stream_limit = LONGEST_OUTPUT

    def from_string(self, source: str, *args: Any, **more: Any) -> BoundTemplate:
        bound = super().from_string(source, *args, **more)
        assert isinstance(bound, _Bound)
        bound.length = len(source)
        return bound


@lru_cache(maxsize=2)
def _environment(escape: bool) -> Environment:
    environment = _Environment(autoescape=escape)
    for tag in _LEFT_OUT_TAGS:
        environment.tags.pop(tag, None)
    for name in _LEFT_OUT_FILTERS:
        environment.filters.pop(name, None)
    environment.filters["date"] = _dated(environment.filters["date"])
    for name, function in environment.filters.items():
        environment.filters[name] = _metered(name, function)
    return environment


def _metered(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the filter with its work charged: what it reads, what it writes, and beforehand what it multiplies."""
    passes_context = getattr(function, "with_context", False)
    passes_environment = getattr(function, "with_environment", False)

    @with_context
    def metered(value: object, *arguments: object, context: _Context, **named: object) -> object:
        context.spend(_size(value) + sum(map(_size, arguments)) + _growth(name, value, arguments))
        if passes_context:
            named["context"] = context
        if passes_environment:
            named["environment"] = context.env
        result = function(value, *arguments, **named)
        context.spend(_size(result))
        return result

    return metered


def _dated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the date filter reading the caller's clock, and with formats that cannot ask for a width."""

    @with_context
    def date(value: object, template: object = "", *, context: _Context) -> object:
        if value in ("now", "today"):
            value = context.resolve(str(value))
        if not isinstance(template, str) or not _DATE_FORMAT.fullmatch(template):
            raise FilterArgumentError("date: the format is not supported", token=None)
        return function(value, template, environment=context.env)

    return date


def _growth(name: str, value: object, arguments: tuple[object, ...]) -> int:
    """Return how much longer than its inputs the result of a filter can become."""
    if name == "replace" and arguments:
        text, sought = str(value), str(arguments[0])
        times = text.count(sought) if sought else len(text) + 1
        return times * len(str(arguments[1] if len(arguments) > 1 else ""))
    if name == "join" and isinstance(value, list | tuple):
        return len(value) * len(str(arguments[0] if arguments else " "))
    return 0


def _size(value: object) -> int:
    """Return the size of a value, with everything in it, in characters or thereabouts."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list | tuple):
        return len(value) + sum(map(_size, value))
    if isinstance(value, Mapping):
        return len(value) + sum(map(_size, value.values()))
    if isinstance(value, int) and abs(value) > _LARGEST_NUMBER:
        raise FilterArgumentError("a number is too large", token=None)
    return 1


def _plain(values: Mapping[str, object]) -> dict[str, object]:
    return {str(key): _plain_value(value) for key, value in values.items()}


def _plain_value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Mapping):
        return _plain(value)
    if isinstance(value, list | tuple):
        return [_plain_value(item) for item in value]
    raise TypeError(f"a template is given plain values only, not {type(value).__name__}")


def _message(error: LiquidError) -> str:
    """Return what is wrong and where, in one short line."""
    what = str(error.message or "the template cannot be understood")[:200]
    place = error.context()
    return f"line {place[0]}: {what}" if place else what


def _bad_line(source: str, position: int, what: str) -> BadTemplate:
    line = source.count("\n", 0, position) + 1
    return BadTemplate(f"line {line}: {what}")
