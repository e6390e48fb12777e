"""The ASGI edge: router, request, response, and the one place where errors become answers.

`server` is imported from its module, because commands that only build the edge need no server.
"""

from freehold.kernel.http.edge import Edge, ErrorRenderer
from freehold.kernel.http.parameters import Parameters, Query
from freehold.kernel.http.proxies import Proxies
from freehold.kernel.http.refusals import (
    ClientDisconnected,
    DuplicateParameter,
    HeadersTooLarge,
    MethodNotAllowed,
    UnsupportedMediaType,
    UriTooLong,
)
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, empty, html, json, redirect, stream, text
from freehold.kernel.http.router import Handler, Route, Router
from freehold.kernel.http.strict_json import decode_json

__all__ = [
    "ClientDisconnected",
    "DuplicateParameter",
    "Edge",
    "ErrorRenderer",
    "Handler",
    "HeadersTooLarge",
    "MethodNotAllowed",
    "Parameters",
    "Proxies",
    "Query",
    "Request",
    "Response",
    "Route",
    "Router",
    "UnsupportedMediaType",
    "UriTooLong",
    "decode_json",
    "empty",
    "html",
    "json",
    "redirect",
    "stream",
    "text",
]
