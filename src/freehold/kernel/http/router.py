"""Which handler answers a method and path: dictionaries built at start, so the cost does not grow with the routes.

A path is split at `/` before anything is decoded. A fixed segment wins over a parameter; where the fixed one leads
nowhere for the method, the parameter is tried, as Auth0's own routing does.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from freehold.kernel.errors import NotFound
from freehold.kernel.http.parameters import decode_segment
from freehold.kernel.http.refusals import MethodNotAllowed

if TYPE_CHECKING:
    from freehold.kernel.http.request import Request
    from freehold.kernel.http.response import Response

    Handler = Callable[[Request], Awaitable[Response]]
else:
    Handler = Callable[..., Awaitable[Any]]

DEFAULT_MAX_BODY = 512_000
MAX_SEGMENTS = 32

NO_PARAMS: Mapping[str, str] = {}


class Route:
    """A method and pattern with its handler.

    `family` chooses the error renderer, `cors` the cross-origin policy ("any", "client" or None), `max_body` the body
    limit in bytes; `tenant=False` marks what answers on every host. Other metadata is kept for whoever reads `meta`.
    """

    __slots__ = ("cors", "family", "handler", "max_body", "meta", "method", "name", "param_names", "pattern", "tenant")

    def __init__(self, method: str, pattern: str, handler: Handler, *, name: str, meta: Mapping[str, Any]) -> None:
        self.method = method
        self.pattern = pattern
        self.handler = handler
        self.name = name
        self.meta = meta
        self.param_names = tuple(part[1:-1] for part in pattern.split("/") if _is_param(part))
        self.family: str = meta.get("family", "page")
        self.cors: str | None = meta.get("cors")
        self.max_body: int = meta.get("max_body", DEFAULT_MAX_BODY)
        self.tenant: bool = meta.get("tenant", True)
        if self.cors not in {None, "any", "client"}:
            raise ValueError(f"route {name}: cors must be 'any', 'client' or None")

    def __repr__(self) -> str:
        return f"<Route {self.name} {self.method} {self.pattern}>"


class Router:
    """All routes of the program. Add them at start, then `match` per request."""

    def __init__(self) -> None:
        self._root = _Node()
        self._static: dict[str, dict[str, Route]] = {}
        self._routes: list[Route] = []
        self._names: set[str] = set()

    def add(self, method: str, pattern: str, handler: Handler, *, name: str, **meta: Any) -> Route:
        """Register a handler. Raises ValueError for a malformed pattern, or a path or name that is taken."""
        if not pattern.startswith("/") or "%" in pattern or "?" in pattern:
            raise ValueError(f"not a path pattern: {pattern}")
        route = Route(method, pattern, handler, name=name, meta=meta)
        if len(set(route.param_names)) != len(route.param_names):
            raise ValueError(f"{pattern} names a parameter twice")
        if name in self._names:
            raise ValueError(f"two routes are named {name}")
        node = self._root
        for part in pattern[1:].split("/"):
            node.families.add(route.family)
            node = node.child_for(part)
        node.families.add(route.family)
        if method in node.methods:
            raise ValueError(f"{method} {pattern} is already {node.methods[method].name}")
        node.methods[method] = route
        self._names.add(name)
        self._routes.append(route)
        if not route.param_names:
            self._static[pattern] = node.methods
        return route

    def match(self, method: str, raw_path: str) -> tuple[Route, Mapping[str, str]]:
        """The route and its decoded path parameters; HEAD is answered by GET.

        Raises NotFound, MethodNotAllowed, or BadRequest when a segment cannot be decoded.
        """
        methods = self._static.get(raw_path)
        if methods is not None:
            route = methods.get(method)
            if route is not None:
                return route, NO_PARAMS
        segments = split_path(raw_path)
        values: list[str] = []
        found = self._root.find(method, segments, 0, values)
        if found is None and method == "HEAD":
            found = self._root.find("GET", segments, 0, values)
        if found is None:
            raise MethodNotAllowed(self.allowed(raw_path))
        return found, dict(zip(found.param_names, values, strict=True))

    def allowed(self, raw_path: str) -> list[str]:
        """The methods a path has. Raises NotFound when it has none."""
        methods: set[str] = set()
        self._root.collect_methods(split_path(raw_path), 0, methods)
        if not methods:
            raise NotFound("Not Found")
        return sorted(methods | {"HEAD"} if "GET" in methods else methods)

    def family_of(self, raw_path: str, *, default: str) -> str:
        """The family whose errors fit a path without a route: that of all routes below the longest known prefix."""
        family = default
        node = self._root
        for part in raw_path[1:].split("/"):
            child = node.fixed.get(part) or node.param
            if child is None:
                break
            node = child
            if len(node.families) == 1:
                (family,) = node.families
        return family

    def routes(self) -> Sequence[Route]:
        """All routes, in the order they were added."""
        return tuple(self._routes)


def split_path(raw_path: str) -> list[str]:
    """The decoded segments of a raw path. Raises NotFound when there are too many, BadRequest for a malformed one."""
    if raw_path[:1] != "/" or raw_path.count("/") > MAX_SEGMENTS:
        raise NotFound("Not Found")
    return [decode_segment(part) for part in raw_path[1:].split("/")]


class _Node:
    __slots__ = ("families", "fixed", "methods", "param")

    def __init__(self) -> None:
        self.fixed: dict[str, _Node] = {}
        self.param: _Node | None = None
        self.methods: dict[str, Route] = {}
        self.families: set[str] = set()

    def child_for(self, part: str) -> "_Node":
        if _is_param(part):
            if self.param is None:
                self.param = _Node()
            return self.param
        if "{" in part or "}" in part:
            raise ValueError(f"a parameter is a whole segment, not part of one: {part}")
        return self.fixed.setdefault(part, _Node())

    def find(self, method: str, segments: list[str], index: int, values: list[str]) -> Route | None:
        """The route for the segments from `index` on; the values of parameters passed on the way are appended."""
        if index == len(segments):
            return self.methods.get(method)
        segment = segments[index]
        child = self.fixed.get(segment)
        if child is not None:
            found = child.find(method, segments, index + 1, values)
            if found is not None:
                return found
        if self.param is not None and segment:
            values.append(segment)
            found = self.param.find(method, segments, index + 1, values)
            if found is not None:
                return found
            values.pop()
        return None

    def collect_methods(self, segments: list[str], index: int, methods: set[str]) -> None:
        if index == len(segments):
            methods.update(self.methods)
            return
        child = self.fixed.get(segments[index])
        if child is not None:
            child.collect_methods(segments, index + 1, methods)
        if self.param is not None and segments[index]:
            self.param.collect_methods(segments, index + 1, methods)


def _is_param(part: str) -> bool:
    return part[:1] == "{" and part[-1:] == "}" and part[1:-1].isidentifier()
