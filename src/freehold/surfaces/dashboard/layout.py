"""The dashboard's frame: what every page of it has in common, for this surface and for those that add pages to it.

A surface says `SCREENS = Screens("freehold.surfaces.NAME")`, with its templates in `templates/` and its texts, flat by
key, in `locales/en.json` and `de.json`; a template extends `dashboard.html` (signed in) or `door.html` (before). It
names itself in the navigation with `add_section`. Forms carry `pieces.token(page)`; one that a passkey answers is made
with `pieces.passkey`, whose `options` is the address that says what to sign (default: ours). Every page works without
JavaScript but for passkeys, and none may be framed, kept in a cache or load anything from elsewhere.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
from markupsafe import Markup

from freehold.domain.administrators import Acting
from freehold.domain.tenants import SETTINGS
from freehold.kernel.crypto.ids import new_token
from freehold.kernel.declare import TenantScope, documents
from freehold.kernel.errors import FreeholdError, TooManyRequests
from freehold.kernel.http.csrf import form_token
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, html
from freehold.kernel.locale import choose_language, direction, primary_subtag
from freehold.login import assets as login_assets
from freehold.login import cookies
from freehold.login.pages import content_security_policy, template_environment
from freehold.login.palette import tenant_style
from freehold.login.texts import LANGUAGES, ScreenTexts
from freehold.login.views import Brand
from freehold.surfaces.dashboard import assets

HERE = "freehold.surfaces.dashboard"


class Section(msgspec.Struct, frozen=True):
    """An entry of the navigation; its text has the key `nav.` and the name."""

    name: str
    path: str
    place: int = 50
    """Entries are ordered by it."""


SECTIONS: dict[str, Section] = {}


def add_section(section: Section) -> None:
    """Put an entry into the navigation."""
    SECTIONS[section.name] = section


class Page(msgspec.Struct, frozen=True):
    """What the frame needs to know of a visitor."""

    nonce: str
    language: str
    csrf_token: str


class Screens:
    """The pages of one surface."""

    def __init__(self, package: str) -> None:
        self.package = package

    async def render(
        self,
        request: Request,
        acting: Acting | None,
        template: str,
        *,
        active: str = "",
        status: int = 200,
        problem: str | FreeholdError | None = None,
        **values: Any,
    ) -> Response:
        """A page. `problem` is shown on top as an alert and makes the status 400: a text key, or the error itself.

        A template has `t` (texts), `page` (`page.csrf_token` belongs into every form), `acting`, `now_ms` and `values`.
        """
        brand, language = await _brand_and_language(request)
        visit = Response()
        token = acting.csrf_token if acting else form_token(cookies.ensure_visit(request, visit))
        page = Page(nonce=new_token(18), language=language, csrf_token=token)
        texts = self.texts(language, companyName=brand.name)
        if problem is not None and status == 200:
            status = problem.status if isinstance(problem, FreeholdError) else 400
        body = (
            _environment(self.package)
            .get_template(template)
            .render(
                page=page,
                t=texts,
                brand=brand,
                acting=acting,
                active=active,
                sections=sorted(SECTIONS.values(), key=lambda section: section.place),
                dir=direction(language),
                tenant_style=Markup(tenant_style(brand.primary, brand.page_background)),  # noqa: S704 - hex colours
                now_ms=request.tenant.clock.now_ms(),
                problem=_problem_text(problem, texts),
                stylesheets=(login_assets.STYLESHEET.path, assets.STYLESHEET.path),
                scripts=(login_assets.SCRIPT.path, assets.SCRIPT.path),
                **values,
            )
        )
        policy = content_security_policy(page.nonce, images=[brand.logo_url], may_be_framed=True)
        response = html(body, status, csp=f"{policy}; connect-src 'self'")
        response.headers += [("cross-origin-opener-policy", "same-origin"), *visit.headers]
        if isinstance(problem, TooManyRequests):
            response.headers.append(("retry-after", str(problem.retry_after_s)))
        return response

    def texts(self, language: str, **variables: str) -> ScreenTexts:
        """What the pages say, in the nearest language there is."""
        return ScreenTexts(_catalogue(self.package, _known(language)), {}, variables)


async def _brand_and_language(request: Request) -> tuple[Brand, str]:
    tenant: TenantScope = request.tenant
    settings: Any = await documents.cached_singleton(request.services.store, tenant, SETTINGS)
    brand = Brand(name=_text(settings.friendly_name) or tenant.name, logo_url=_text(settings.picture_url))
    language = choose_language(
        ui_locales=None,
        accept_language=request.headers.get("accept-language"),
        enabled=LANGUAGES,
        supported=LANGUAGES,
    )
    return brand, language


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _problem_text(problem: str | FreeholdError | None, texts: ScreenTexts) -> str:
    """A problem in the visitor's language; an error without a text here in its own words."""
    if problem is None:
        return ""
    if isinstance(problem, str):
        return texts(problem)
    subject = getattr(problem, "subject", "error")
    return texts.optional(f"{subject}.{problem.code}") or texts.optional(f"error.{problem.code}") or problem.message


def _known(language: str) -> str:
    for candidate in (language, primary_subtag(language)):
        if candidate in LANGUAGES:
            return candidate
    return "en"


@cache
def _catalogue(package: str, language: str) -> Mapping[str, str]:
    """The texts of a surface, over those of the dashboard and of the parts that the hosted pages share."""
    found: dict[str, str] = {}
    shared = msgspec.json.decode((files("freehold.login") / "locales" / f"{language}.json").read_bytes())
    found.update(shared["shared"]["any"])
    for name in dict.fromkeys((HERE, package)):
        source = (files(name) / "locales" / f"{language}.json").read_bytes()
        found.update(msgspec.json.decode(source, type=dict[str, str]))
    return found


@cache
def _environment(package: str) -> Any:
    folders = dict.fromkeys((str(files(package) / "templates"), str(files(HERE) / "templates")))
    environment = template_environment(*folders)
    environment.filters["moment_ms"] = moment_ms
    environment.filters["grouped"] = grouped
    return environment


def moment_ms(ms: int) -> Markup:
    """Milliseconds since 1970 as a moment in time, readable by people and programs, in UTC."""
    at = datetime.fromtimestamp(ms / 1000, UTC)
    written = at.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(at.strftime("%Y-%m-%dT%H:%M:%SZ"), written)


def grouped(text: str, size: int = 4, separator: str = " ") -> str:
    """A long code in groups that an eye can follow."""
    return separator.join(text[at : at + size] for at in range(0, len(text), size))
