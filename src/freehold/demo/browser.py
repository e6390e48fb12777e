"""A browser as small as the demonstration needs: cookies, redirects within one server, one form filled in."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

MOST_REDIRECTS = 10


class NotThere(Exception):
    """A page is not what it should be."""


def sign_in(http: httpx.Client, url: str, username: str, password: str) -> str:
    """Open an authorization request, fill in the sign-in form, and answer the address of the application.

    Raises NotThere when no form comes, or another page follows it.
    """
    page = _follow(http, http.get(url))
    if isinstance(page, str):
        return page
    form = _Form()
    form.feed(page.text)
    if form.action is None or "password" not in form.values:
        raise NotThere(f"{page.url.path} answers {page.status_code} and has no sign-in form")
    values = {**form.values, "username": username, "password": password}
    origin = str(http.base_url).rstrip("/")
    target = urljoin(str(page.url), form.action)
    answer = _follow(http, http.post(target, data=values, headers={"origin": origin}))
    if isinstance(answer, str):
        return answer
    raise NotThere(f"the sign-in form was answered with {answer.status_code} on {answer.url.path}")


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
    """The fields of the first form with a password."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
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
        if tag == "form" and "password" in self.values:
            self._done = True
