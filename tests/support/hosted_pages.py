"""A browser without JavaScript: keeps cookies, follows redirects within one server, fills in forms.

It stops where the server sends it to another origin, which is where an application would take over. Benches and the
demo drive the hosted pages with it too, so it knows nothing of pytest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qsl, urljoin, urlsplit

import httpx

MOST_REDIRECTS = 10


@dataclass
class Form:
    """A form of a page, with the values its inputs came with."""

    action: str
    method: str
    values: dict[str, str] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Page:
    """Where the browser is: a page of the server, or the address outside that it was sent to."""

    url: str
    response: httpx.Response
    forms: list[Form] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    text: str = ""

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the address."""
        return dict(parse_qsl(urlsplit(self.url).query, keep_blank_values=True))

    @property
    def fragment(self) -> dict[str, str]:
        """The parameters behind the `#` of the address."""
        return dict(parse_qsl(urlsplit(self.url).fragment, keep_blank_values=True))

    @property
    def form(self) -> Form:
        """The page's only form."""
        assert len(self.forms) == 1, f"{len(self.forms)} forms on {self.url}: {self.text[:500]}"
        return self.forms[0]

    def link(self, part: str) -> str:
        """The first link with this in its address."""
        found = [link for link in self.links if part in link]
        assert found, f"no link with {part} on {self.url}: {self.links}"
        return found[0]


class BrowserSession:
    """One browser profile."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.origin = str(http.base_url).rstrip("/")

    def open(self, url: str, *, headers: Mapping[str, str] | None = None) -> Page:
        """Go to an address and follow redirects as far as they stay on the server."""
        return self._follow(self.http.get(urljoin(f"{self.origin}/", url), headers=dict(headers or {})))

    def submit(self, page: Page, *, form: Form | None = None, button: str | None = None, **fields: str) -> Page:
        """Send a form with these fields filled in, `button` being the value of the button that is pressed."""
        form = form or _form_with(page, button)
        values = dict(form.values)
        for name, value in fields.items():
            known = name if name in values else name.replace("_", "-")
            assert known in values, f"no input {name} on {page.url}: {sorted(values)}"
            values[known] = value
        for name, value in form.buttons:
            if value == button or (button is None and len(form.buttons) == 1):
                values[name] = value
        target = urljoin(page.url, form.action)
        assert target.startswith(f"{self.origin}/"), target
        headers = {"origin": self.origin, "sec-fetch-site": "same-origin"}
        return self._follow(self.http.request(form.method, target, data=values, headers=headers))

    def sign_in(self, url: str, username: str, password: str) -> Page:
        """Go to an authorization request's address and sign in on the page it leads to."""
        page = self.open(url)
        return self.submit(page, username=username, password=password)

    def _follow(self, response: httpx.Response) -> Page:
        for _ in range(MOST_REDIRECTS):
            location = response.headers.get("location")
            if location is None:
                return read_page(response)
            url = urljoin(str(response.url), location)
            if not url.startswith(f"{self.origin}/"):
                return Page(url, response)
            response = self.http.get(url)
        raise AssertionError("the server redirects in a circle")


def _form_with(page: Page, button: str | None) -> Form:
    """The page's only form, or the one with this button."""
    if button is None:
        return page.form
    return next(form for form in page.forms if any(value == button for _, value in form.buttons))


def read_page(response: httpx.Response) -> Page:
    """What is on a page."""
    page = Page(str(response.url), response)
    if response.headers.get("content-type", "").startswith("text/html"):
        reader = _Reader(page)
        reader.feed(response.text)
        reader.close()
        page.text = " ".join(" ".join(reader.words).split())
    return page


class _Reader(HTMLParser):
    def __init__(self, page: Page) -> None:
        super().__init__(convert_charrefs=True)
        self.page = page
        self.words: list[str] = []
        self._form: Form | None = None
        self._hidden = 0
        self._select = ""
        self._writes_into = ""
        self._alert: list[str] | None = None
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag in {"script", "style"}:
            self._hidden += 1
        if tag == "form":
            self._form = Form(attributes.get("action", ""), attributes.get("method", "get").upper())
            self.page.forms.append(self._form)
        elif tag in {"input", "button"}:
            self._field(tag, attributes)
        elif tag in {"select", "textarea"} and self._form is not None and attributes.get("name"):
            self._select = attributes["name"]
            self._form.values[self._select] = ""
            self._writes_into = self._select if tag == "textarea" else ""
        elif tag == "option" and self._form is not None and self._select:
            if "selected" in attributes or not self._form.values[self._select]:
                self._form.values[self._select] = attributes.get("value", "")
        elif tag == "a" and "href" in attributes:
            self.page.links.append(attributes["href"])
        if self._alert is not None and tag not in {"input", "br", "img"}:
            self._depth += 1
        elif attributes.get("role") == "alert":
            self._alert, self._depth = [], 1

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self._hidden -= 1
        if tag == "textarea":
            self._writes_into = ""
        if tag == "form":
            self._form = None
        if self._alert is not None:
            self._depth -= 1
            if self._depth == 0:
                self.page.alerts.append(" ".join("".join(self._alert).split()))
                self._alert = None

    def handle_data(self, data: str) -> None:
        if self._writes_into and self._form is not None:
            self._form.values[self._writes_into] += data
        if not self._hidden:
            self.words.append(data)
            if self._alert is not None:
                self._alert.append(data)

    def _field(self, tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("name")
        if self._form is None or not name:
            return
        kind = attributes.get("type", "submit" if tag == "button" else "text")
        if kind == "submit":
            self._form.buttons.append((name, attributes.get("value", "")))
        elif kind not in {"checkbox", "radio"} or "checked" in attributes:
            self._form.values[name] = attributes.get("value", "")
