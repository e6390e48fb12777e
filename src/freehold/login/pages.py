"""From a view to an answer: the hosted pages, as HTML and the headers that must go with it.

`render(view, context)` is pure: the same values give the same bytes. What a screen says is in `texts`, how it is
built in `templates/`, how it looks in `static/page.css` and `palette`. Every page works without JavaScript; a script
improves it.

The headers are part of a page's safety, so they come with it (against framing, injected scripts, cached private pages).
Scripts and styles run only by nonce, nothing is loaded from elsewhere but the logo the tenant chose, and only the
answers made for a frame (`web_message`) may be framed.
"""

import re
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from markupsafe import Markup

from freehold.kernel.locale import direction
from freehold.login import assets, views
from freehold.login.palette import tenant_style
from freehold.login.qr_codes import qr_code
from freehold.login.texts import ScreenTexts, screen_texts
from freehold.login.views import PageContext, Problem

if TYPE_CHECKING:
    import jinja2

View = (
    views.LoginId
    | views.LoginPassword
    | views.Login
    | views.SignUp
    | views.ResetPasswordRequest
    | views.ResetPasswordEmail
    | views.ResetPassword
    | views.ResetPasswordSuccess
    | views.ResetPasswordError
    | views.VerifyEmail
    | views.EmailVerificationResult
    | views.Unblock
    | views.UnblockSuccess
    | views.UnblockFailure
    | views.MfaOtpChallenge
    | views.MfaOtpEnrollmentQr
    | views.MfaRecoveryCodeEnrollment
    | views.MfaRecoveryCodeChallenge
    | views.MfaEnrollResult
    | views.Consent
    | views.Logout
    | views.LoggedOut
    | views.LogoutAborted
    | views.ErrorDetails
    | views.PageNotFound
    | views.MethodNotAllowed
    | views.TooManyRequests
    | views.ServiceUnavailable
    | views.FormPost
    | views.WebMessage
    | views.Landing
    | views.Outbox
    | views.OutboxMail
)


class Page(msgspec.Struct, frozen=True):
    """An HTML answer, complete with the headers it must be sent with."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...]


class Screen(msgspec.Struct, frozen=True):
    """Which template shows a view, where its texts are, and what its address may do."""

    template: str
    prompt: str
    screen: str
    status: int = 200


SCREENS: dict[type, Screen] = {
    views.LoginId: Screen("login_id.html", "login-id", "login-id"),
    views.LoginPassword: Screen("login_password.html", "login-password", "login-password"),
    views.Login: Screen("login.html", "login", "login"),
    views.SignUp: Screen("signup.html", "signup", "signup"),
    views.ResetPasswordRequest: Screen("reset_password_request.html", "reset-password", "reset-password-request"),
    views.ResetPasswordEmail: Screen("reset_password_email.html", "reset-password", "reset-password-email"),
    views.ResetPassword: Screen("reset_password.html", "reset-password", "reset-password"),
    views.ResetPasswordSuccess: Screen("reset_password_success.html", "reset-password", "reset-password-success"),
    views.ResetPasswordError: Screen("reset_password_error.html", "reset-password", "reset-password-error"),
    views.VerifyEmail: Screen("verify_email.html", "freehold", "verify-email"),
    views.EmailVerificationResult: Screen(
        "email_verification_result.html", "email-verification", "email-verification-result"
    ),
    views.Unblock: Screen("verify_email.html", "brute-force-protection", "brute-force-protection-unblock"),
    views.UnblockSuccess: Screen(
        "unblock_result.html", "brute-force-protection", "brute-force-protection-unblock-success"
    ),
    views.UnblockFailure: Screen(
        "unblock_result.html", "brute-force-protection", "brute-force-protection-unblock-failure"
    ),
    views.MfaOtpChallenge: Screen("mfa_otp_challenge.html", "mfa-otp", "mfa-otp-challenge"),
    views.MfaOtpEnrollmentQr: Screen("mfa_otp_enrollment_qr.html", "mfa-otp", "mfa-otp-enrollment-qr"),
    views.MfaRecoveryCodeEnrollment: Screen(
        "mfa_recovery_code_enrollment.html", "mfa-recovery-code", "mfa-recovery-code-enrollment"
    ),
    views.MfaRecoveryCodeChallenge: Screen(
        "mfa_recovery_code_challenge.html", "mfa-recovery-code", "mfa-recovery-code-challenge"
    ),
    views.MfaEnrollResult: Screen("mfa_enroll_result.html", "mfa", "mfa-enroll-result"),
    views.Consent: Screen("consent.html", "consent", "consent"),
    views.Logout: Screen("logout.html", "logout", "logout"),
    views.LoggedOut: Screen("logout_complete.html", "logout", "logout-complete"),
    views.LogoutAborted: Screen("logout_aborted.html", "logout", "logout-aborted"),
    views.ErrorDetails: Screen("error.html", "freehold", "error"),
    views.PageNotFound: Screen("refusal.html", "freehold", "not-found", 404),
    views.MethodNotAllowed: Screen("refusal.html", "freehold", "method-not-allowed", 405),
    views.TooManyRequests: Screen("refusal.html", "freehold", "too-many-requests", 429),
    views.ServiceUnavailable: Screen("refusal.html", "freehold", "unavailable", 503),
    views.FormPost: Screen("form_post.html", "freehold", "form-post"),
    views.WebMessage: Screen("web_message.html", "freehold", "web-message"),
    views.Landing: Screen("landing.html", "freehold", "landing"),
    views.Outbox: Screen("outbox.html", "freehold", "outbox"),
    views.OutboxMail: Screen("outbox_mail.html", "freehold", "outbox-mail"),
}


def render(view: View, context: PageContext) -> Page:
    """Return the page for a view.

    A form that is shown again because of problems has status 400, as at Auth0. Raises ValueError when a FormPost or
    WebMessage would go anywhere but to a web origin: such a redirect_uri should never have been accepted.
    """
    if not isinstance(view, _FIRST_PAGES) or view.problems or view.value:
        return _render(view, context)
    # What a visitor has not typed anything into yet differs between visitors only in three random values, and is
    # filled into what was rendered for the one before.
    fleeting = (view.form.state, view.form.csrf_token, context.nonce)
    if not all(map(_RANDOM.fullmatch, fleeting)) or len(set(fleeting)) < len(fleeting):
        return _render(view, context)
    key = msgspec.msgpack.encode((view.__class__.__name__, view, context))
    for value, mark in zip(fleeting, _MARKS, strict=True):
        key = key.replace(value.encode(), mark)
    blank = _blanks.get(key)
    if blank is None:
        if len(_blanks) >= MOST_BLANKS:
            _blanks.clear()
        blank = _blanks[key] = _Blank.of(_render(view, context), fleeting)
    return blank.filled(fleeting)


def _render(view: View, context: PageContext) -> Page:
    screen = SCREENS[type(view)]
    if isinstance(view, views.WebMessage) and view.target_origin != web_origin(view.target_origin):
        raise ValueError("target_origin is not an origin")
    if isinstance(view, views.FormPost) and web_origin(view.redirect_uri) is None:
        raise ValueError("redirect_uri is not a web address")
    brand = context.brand
    texts = screen_texts(
        screen.prompt,
        screen.screen,
        language=context.language,
        custom=context.custom_texts,
        variables={"companyName": brand.name, "clientName": context.client_name or brand.name},
    )
    problems: Sequence[Problem] = getattr(view, "problems", ())
    body = _template(screen.template).render(
        v=view,
        screen=screen.screen,
        page=context,
        brand=brand,
        t=texts,
        optional_text=texts.optional,
        general_problems=[_problem_text(problem, texts) for problem in problems if not problem.field],
        field_problems={problem.field: _problem_text(problem, texts) for problem in problems if problem.field},
        has_problems=bool(problems),
        dir=direction(context.language),
        tenant_style=Markup(tenant_style(brand.primary, brand.page_background)),  # noqa: S704 - hex colours only
        logo_url=_image_url(brand.logo_url),
        favicon_url=_image_url(brand.favicon_url),
    )
    status = view.status if isinstance(view, views.ErrorDetails) else 400 if problems else screen.status
    return Page(status, body.encode(), _headers(view, context))


class _Blank(msgspec.Struct, frozen=True):
    """A rendered page that is cut where the values of one visitor stood: every second part is the number of one."""

    status: int
    body: tuple[Any, ...]
    headers: tuple[tuple[str, tuple[Any, ...]], ...]

    @classmethod
    def of(cls, page: Page, fleeting: tuple[str, ...]) -> "_Blank":
        """Cut a page apart."""
        headers = tuple((name, _cut(value, fleeting)) for name, value in page.headers)
        return cls(page.status, _cut(page.body.decode(), fleeting), headers)

    def filled(self, fleeting: tuple[str, ...]) -> Page:
        """The page for another visitor."""
        headers = tuple((name, _joined(parts, fleeting)) for name, parts in self.headers)
        return Page(self.status, _joined(self.body, fleeting).encode(), headers)


def _cut(text: str, fleeting: tuple[str, ...]) -> tuple[Any, ...]:
    parts: list[Any] = re.split(f"({'|'.join(fleeting)})", text)
    parts[1::2] = map(fleeting.index, parts[1::2])
    return tuple(parts)


def _joined(parts: tuple[Any, ...], fleeting: tuple[str, ...]) -> str:
    if len(parts) == 1:
        return str(parts[0])
    pieces = [*parts]
    pieces[1::2] = [fleeting[number] for number in parts[1::2]]
    return "".join(pieces)


_FIRST_PAGES = (views.Login, views.LoginId)
_RANDOM = re.compile(r"[A-Za-z0-9_-]{16,}")
_MARKS = tuple(secrets.token_bytes(16) for _ in range(3))
MOST_BLANKS = 200
_blanks: dict[bytes, _Blank] = {}


def mail_document(html: str) -> Page:
    """Return the HTML of a locally delivered mail, for the frame in the outbox.

    Whatever the mail contains, the sandbox gives it no script, no form and an origin of its own; its links open in a
    new tab, because the pages they lead to refuse to be framed.
    """
    head = re.search(r"<head[^>]*>", html, re.IGNORECASE)
    at = head.end() if head else 0
    policy = (
        "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; "
        "img-src https: data:; form-action 'none'; frame-ancestors 'self'"
    )
    headers = _common_headers("no-referrer", policy)
    return Page(200, f'{html[:at]}<base target="_blank">{html[at:]}'.encode(), headers)


def content_security_policy(
    nonce: str,
    *,
    form_action: Sequence[str] = ("'self'",),
    images: Sequence[str] = (),
    own_frames: bool = False,
    may_be_framed: bool = False,
) -> str:
    """Return the Content-Security-Policy of a page (CSP level 3).

    `form_action` are sources, see `form_destinations`; `images` are addresses of images, whose origins are allowed.
    """
    if not re.fullmatch(r"[A-Za-z0-9+/_-]{16,}={0,2}", nonce):
        raise ValueError("a nonce is at least 16 characters of base64")
    sources = dict.fromkeys(["'self'", *(_image_source(url) for url in images if _image_url(url))])
    directives = [
        "default-src 'none'",
        f"script-src 'nonce-{nonce}'",
        f"style-src 'nonce-{nonce}'",
        f"img-src {' '.join(sources)}",
        "form-action " + (" ".join(form_action) or "'none'"),
        "base-uri 'none'",
    ]
    if own_frames:
        directives.append("frame-src 'self'")
    if not may_be_framed:
        directives.append("frame-ancestors 'none'")
    return "; ".join(directives)


def form_destinations(redirect_uri: str) -> tuple[str, ...]:
    """Return the `form-action` sources for a page whose form may end at an application's redirect_uri.

    Chromium holds form-action against every redirect that follows the submission, also against those the application
    itself makes after its callback, to origins nobody here knows. So once an application is involved the scheme is all
    that can be named without breaking its sign-in.
    """
    match = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):", redirect_uri)
    if match is None or match[1].lower() in _SCRIPT_SCHEMES:
        return ("'self'",)
    return tuple(dict.fromkeys(["'self'", "https:", f"{match[1].lower()}:"]))


def web_origin(url: str) -> str | None:
    """Return scheme, host and port of an http or https address as a browser writes its origin, or None."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host) or parts.username is not None:
        return None
    default = {"http": 80, "https": 443}[parts.scheme]
    name = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{name}" if port in (None, default) else f"{parts.scheme}://{name}:{port}"


_SCRIPT_SCHEMES = frozenset({"javascript", "data", "vbscript", "blob", "file", "about"})
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]+")


@cache
def template_environment(*folders: str) -> "jinja2.Environment":
    """Where templates are found: in these folders, then among those here, whose parts other surfaces use too."""
    import jinja2  # from the first page on; a start draws none

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, str(files("freehold.login") / "templates")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )
    environment.filters["href"] = _href
    environment.filters["linked"] = _linked
    environment.filters["script_json"] = _script_json
    environment.filters["image_url"] = _image_url
    environment.filters["moment"] = _moment
    environment.filters["qr_code"] = qr_code
    environment.globals.update(
        stylesheet=assets.STYLESHEET.path,
        script=assets.SCRIPT.path,
        icon=assets.ICON.path,
        identifier_key=_identifier_key,
    )
    return environment


@cache
def _template(name: str) -> "jinja2.Template":
    return template_environment().get_template(name)


def _headers(view: View, context: PageContext) -> tuple[tuple[str, str], ...]:
    framed = isinstance(view, views.WebMessage)
    images = [context.brand.logo_url, context.brand.favicon_url]
    if isinstance(view, views.Consent):
        images.append(view.client_logo_url)
    redirect_uri = view.redirect_uri if isinstance(view, views.FormPost) else context.redirect_uri
    policy = content_security_policy(
        context.nonce,
        form_action=form_destinations(redirect_uri),
        images=images,
        own_frames=isinstance(view, views.OutboxMail),
        may_be_framed=framed,
    )
    # The receiver of a form_post may check where it came from; everybody else learns nothing from us. Not no-referrer:
    # with it a browser sends `Origin: null` with our own forms, and the check against request forgery needs the origin.
    referrer = "origin" if isinstance(view, views.FormPost) else "same-origin"
    headers = _common_headers(referrer, policy)
    if not framed:
        headers += (("x-frame-options", "DENY"),)
    if isinstance(view, views.TooManyRequests):
        headers += (("retry-after", str(view.retry_after_s)),)
    return headers


def _common_headers(referrer_policy: str, policy: str) -> tuple[tuple[str, str], ...]:
    return (
        ("content-type", "text/html; charset=utf-8"),
        ("content-security-policy", policy),
        ("cache-control", "no-store"),
        ("referrer-policy", referrer_policy),
        ("x-content-type-options", "nosniff"),
    )


def _problem_text(problem: Problem, texts: ScreenTexts) -> str:
    return problem.text or texts.problem(problem.code, **problem.variables)


_IDENTIFIER_KEYS = {
    ("email",): "email",
    ("username",): "usernameOnly",
    ("phone",): "phone",
    ("email", "username"): "usernameOrEmail",
    ("email", "phone"): "phoneOrEmail",
    ("phone", "username"): "phoneOrUsername",
    ("email", "phone", "username"): "phoneOrUsernameOrEmail",
}


def _identifier_key(identifiers: Sequence[str]) -> str:
    """Return the stem of the text keys for a set of identifiers (`usernameOrEmail` + `Placeholder`)."""
    return _IDENTIFIER_KEYS[tuple(sorted(set(identifiers)))]


# A browser drops control characters and reads a backslash as a slash, and so may see another address than we do.
_PATH = re.compile(r"/(?!/)[^\x00-\x20\x7f\\]*")
_PLAIN_ADDRESS = re.compile(r"[^\x00-\x20\x7f\\]+")


def _href(url: str) -> str:
    """Return the address if a link may lead there, else nothing: stored addresses are not trusted when shown."""
    if not url or _PATH.fullmatch(url):
        return url
    if _PLAIN_ADDRESS.fullmatch(url) and (url.startswith("mailto:") or web_origin(url) is not None):
        return url
    return ""


_IMAGE_DATA = re.compile(r"data:image/(?:png|jpeg|gif|webp|svg\+xml)[;,]")


def _image_url(url: str) -> str:
    """Return the address if it may be shown as an image: a web address, a path here, or an image in the address."""
    if url.startswith("data:"):
        return url if _IMAGE_DATA.match(url) else ""
    return "" if url.startswith("mailto:") else _href(url)


def _image_source(url: str) -> str:
    return "data:" if url.startswith("data:") else web_origin(url) or "'self'"


def _linked(text: str) -> Markup:
    """Return plain text with its web addresses as links."""
    parts = re.split(r"(https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]])", text)
    link = Markup('<a href="{0}" target="_blank" rel="noopener noreferrer">{0}</a>')
    return Markup("").join(link.format(part) if i % 2 else part for i, part in enumerate(parts))


def _moment(at: datetime) -> Markup:
    """Return a moment in time, readable by people and programs, in UTC."""
    utc = at.astimezone(UTC)
    written = utc.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}">{}</time>').format(utc.strftime("%Y-%m-%dT%H:%M:%SZ"), written)


_SCRIPT_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def _script_json(value: object) -> Markup:
    """Return JSON that cannot end or alter the script element it stands in."""
    return Markup(msgspec.json.encode(value).decode().translate(_SCRIPT_ESCAPES))  # noqa: S704 - escaped for script
