"""A browser as small as the demonstration needs: cookies, redirects within one server, forms filled in."""

from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

MOST_REDIRECTS = 10


class NotThere(Exception):
    """A page is not what it should be."""


def sign_in(
    http: httpx.Client, url: str, username: str, password: str, *, code: Callable[[], str] | None = None
) -> str:
    """Open an authorization request, fill in the sign-in form, and answer the address of the application.

    With `code` somebody holds an authenticator: the form that asks for a code has to come. Raises NotThere when a form
    does not come, or another page follows.
    """
    page = _follow(http, http.get(url))
    if isinstance(page, str):
        return page
    page = _fill_in(http, page, "password", username=username, password=password)
    if code is not None:
        if isinstance(page, str):
            raise NotThere("nobody asked for a second factor")
        page = _fill_in(http, page, "code", code=code())
    if isinstance(page, str):
        return page
    raise NotThere(f"the last form was answered with {page.status_code} on {page.url.path}")


def _fill_in(http: httpx.Client, page: httpx.Response, wanted: str, **values: str) -> httpx.Response | str:
    form = _Form(wanted)
    form.feed(page.text)
    if form.action is None or wanted not in form.values:
        raise NotThere(f"{page.url.path} answers {page.status_code} and has no form with {wanted}")
    origin = str(http.base_url).rstrip("/")
    target = urljoin(str(page.url), form.action)
    return _follow(http, http.post(target, data={**form.values, **values}, headers={"origin": origin}))


def _follow(http: httpx.Client, response: httpx.Response) -> httpx.Response | str:
    """The page that redirects end on, or the address outside of the server that they lead to."""
    origin = str(http.base_url).rstrip("/")
    for _ in range(MOST_REDIRECTS):
        location: str | None = response.headers.get("location")
        if location is None:
            return response
        url = str(urljoin(str(response.url), location))
        if not url.startswith(f"{origin}/"):
            return url
        response = http.get(url)
    raise NotThere("the server redirects in a circle")


class _Form(HTMLParser):
    """The fields of the first form with a certain field."""

    def __init__(self, wanted: str) -> None:
        super().__init__(convert_charrefs=True)
        self._wanted = wanted
        self.action: str | None = None
        self.values: dict[str, str] = {}
        self._done = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if self._done:
            return
        if tag == "form":
            self.action, self.values = given.get("action", ""), {}
        elif tag in {"input", "button"} and given.get("name"):
            self.values[given["name"]] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form" and self._wanted in self.values:
            self._done = True
