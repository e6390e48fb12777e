"""Signing in through hosted pages over a load connection: a browser reduced to cookies, redirects and one form.

`sign_in` is the whole way an application's user takes: the authorization request with PKCE, the page, the form with
identifier and password, the callback, and the code exchanged for tokens.
"""

import base64
import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit

from bench.load import Answer, Connection

MOST_REDIRECTS = 8
_ACTION = re.compile(rb'<form[^>]*action="([^"]*)"')
_INPUT = re.compile(rb"<(?:input|button)[^>]*>")
_NAME = re.compile(rb'\bname="([^"]*)"')
_VALUE = re.compile(rb'\bvalue="([^"]*)"')


@dataclass(frozen=True)
class SignIn:
    """What an application and its user know: the client, the endpoints' paths, identifier and password."""

    client_id: str
    client_secret: str
    callback: str
    authorize: str
    token: str
    username: str
    password: str
    scope: str = "openid profile email"
    extra: dict[str, str] = field(default_factory=dict)


async def sign_in(connection: Connection, known: SignIn) -> dict[str, Any]:
    """Sign in as somebody whom the server has never seen in this browser; the token response."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code", "client_id": known.client_id, "redirect_uri": known.callback, "scope": known.scope,
        "state": secrets.token_urlsafe(12), "code_challenge": challenge, "code_challenge_method": "S256", **known.extra,
    }  # fmt: skip
    browser = _Browser(connection)
    page = await browser.open(f"{known.authorize}?{urlencode(asked)}")
    callback = await browser.submit(page, {"username": known.username, "password": known.password})
    code = dict(parse_qsl(urlsplit(callback).query)).get("code")
    if code is None:
        raise RuntimeError(f"the sign-in came to {callback}")
    form = {
        "grant_type": "authorization_code", "code": code, "redirect_uri": known.callback, "code_verifier": verifier,
        "client_id": known.client_id, "client_secret": known.client_secret, **known.extra,
    }  # fmt: skip
    answer = await connection.send("POST", known.token, FORM, urlencode(form).encode())
    tokens: dict[str, Any] = json.loads(expect(answer, 200))
    return tokens


FORM = {"content-type": "application/x-www-form-urlencoded"}


def expect(answer: Answer, status: int) -> bytes:
    """The body of an answer with this status; RuntimeError for any other, because a fast error is no figure."""
    if answer.status != status:
        raise RuntimeError(f"{answer.status} in place of {status}: {answer.body[:300]!r}")
    return answer.body


class _Browser:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cookies: dict[str, str] = {}
        self._url = ""

    async def open(self, path: str) -> bytes:
        answer, left = await self._follow("GET", path)
        if left:
            raise RuntimeError(f"no page, but {left}")
        return expect(answer, 200)

    async def submit(self, page: bytes, fields: dict[str, str]) -> str:
        """Fill the page's form in; the address outside of the server that it leads to."""
        found = _ACTION.search(page)
        values = {}
        for tag in _INPUT.findall(page):
            name, value = _NAME.search(tag), _VALUE.search(tag)
            if name:
                values[name[1].decode()] = unescape(value[1].decode()) if value else ""
        action = unescape(found[1].decode()) if found else ""
        answer, left = await self._follow("POST", urljoin(self._url, action), urlencode({**values, **fields}).encode())
        if not left:
            raise RuntimeError(f"the sign-in failed with {answer.status}: {answer.body[:2000]!r}")
        return left

    async def _follow(self, method: str, url: str, body: bytes = b"") -> tuple[Answer, str]:
        origin = self._connection.origin
        for _ in range(MOST_REDIRECTS):
            headers = {"cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}
            if not self._cookies:
                headers = {}
            if method == "POST":
                headers |= {"origin": origin, "sec-fetch-site": "same-origin", **FORM}
            self._url = url
            answer = await self._connection.send(method, url.removeprefix(origin), headers, body)
            for cookie in answer.cookies:
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
            location = answer.headers.get("location")
            if location is None:
                return answer, ""
            method, url, body = "GET", urljoin(f"{origin}{url.removeprefix(origin)}", location), b""
            if not url.startswith(f"{origin}/"):
                return answer, url
        raise RuntimeError("the server redirects in a circle")
