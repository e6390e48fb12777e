"""What a page is told: one frozen value per screen, and the context that every page shares.

The login state machine fills these in; `pages.render` turns them into an answer. They hold what the visitor sees and
nothing else: no tenant document, no request. Addresses are paths on this server unless a field says otherwise.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from msgspec import Struct

from freehold.login.texts import NO_CUSTOM_TEXTS, CustomTexts

Identifier = Literal["email", "username", "phone"]


class Brand(Struct, frozen=True, kw_only=True):
    """How the tenant looks; every value may come from a stranger and is checked where it is used."""

    name: str
    """The tenant's friendly name, `${companyName}` in texts."""
    logo_url: str = ""
    favicon_url: str = ""
    primary: str = ""
    """Hex colours as in Auth0's branding; anything else counts as not given."""
    page_background: str = ""
    support_url: str = ""


class PageContext(Struct, frozen=True, kw_only=True):
    """What surrounds every page: whose it is, in which language, for which application."""

    brand: Brand
    nonce: str
    """Fresh for every answer, base64 or base64url; names our own scripts and styles in the CSP."""
    language: str = "en"
    custom_texts: CustomTexts = NO_CUSTOM_TEXTS
    client_name: str = ""
    """The application, `${clientName}` in texts; the tenant's name stands in for it where there is none."""
    redirect_uri: str = ""
    """Where the flow ends when its last form is answered, so that the CSP lets the browser go there."""


class Problem(Struct, frozen=True):
    """Something the visitor should correct: a text key of the screen, and the input it belongs to.

    Without a field it is shown above the form. `text` is for messages that come from outside the catalogue
    (a tenant's action); it is shown as it is, escaped. `variables` fill in texts such as "shorter than ${min}".
    """

    code: str
    field: str = ""
    text: str = ""
    variables: Mapping[str, str] = {}


class Form(Struct, frozen=True, kw_only=True):
    """Where a form goes and what it carries without being seen."""

    action: str
    state: str
    csrf_token: str
    csrf_field: str = "csrf_token"


class PasswordHints(Struct, frozen=True):
    """The rules of a password policy that a visitor is told beforehand."""

    min_length: int = 0
    kinds: tuple[str, ...] = ()
    """Of `lower upper digit special`, the kinds of characters that count."""
    kinds_required: int = 0
    no_repeats: bool = False


ALL_KINDS = ("lower", "upper", "digit", "special")

PASSWORD_HINTS: Mapping[str, PasswordHints] = {
    "none": PasswordHints(),
    "low": PasswordHints(6),
    "fair": PasswordHints(8, ("lower", "upper", "digit"), 3),
    "good": PasswordHints(8, ALL_KINDS, 3),
    "excellent": PasswordHints(10, ALL_KINDS, 3, no_repeats=True),
}
"""By the value of a connection's `passwordPolicy`."""


class LoginId(Struct, frozen=True, kw_only=True):
    """Identifier first: who are you?"""

    form: Form
    identifiers: tuple[Identifier, ...] = ("email",)
    value: str = ""
    problems: tuple[Problem, ...] = ()
    signup_url: str = ""
    reset_url: str = ""
    providers: tuple[tuple[str, str], ...] = ()
    """Names and addresses of other places to sign in."""


class LoginPassword(Struct, frozen=True, kw_only=True):
    """Identifier first, second step: the password of the one who was named before."""

    form: Form
    value: str
    edit_url: str
    problems: tuple[Problem, ...] = ()
    signup_url: str = ""
    reset_url: str = ""


class Login(Struct, frozen=True, kw_only=True):
    """Identifier and password on one page."""

    form: Form
    identifiers: tuple[Identifier, ...] = ("email",)
    value: str = ""
    problems: tuple[Problem, ...] = ()
    signup_url: str = ""
    reset_url: str = ""
    providers: tuple[tuple[str, str], ...] = ()
    """Names and addresses of other places to sign in."""


class SignUp(Struct, frozen=True, kw_only=True):
    """A new account. The inputs are named `email`, `username`, `phone` and `password`."""

    form: Form
    required: tuple[Identifier, ...] = ("email",)
    optional: tuple[Identifier, ...] = ()
    values: Mapping[str, str] = {}
    password: PasswordHints = PASSWORD_HINTS["good"]
    problems: tuple[Problem, ...] = ()
    login_url: str = ""


class ResetPasswordRequest(Struct, frozen=True, kw_only=True):
    """Forgot your password? The input is named `email`, or `username` where more than an address is taken."""

    form: Form
    identifiers: tuple[Identifier, ...] = ("email",)
    value: str = ""
    problems: tuple[Problem, ...] = ()
    login_url: str = ""


class ResetPasswordEmail(Struct, frozen=True, kw_only=True):
    """Check your e-mail: says the same whether there is an account or not. The form sends the mail again."""

    form: Form
    email: str
    by_username: bool = False
    login_url: str = ""


class ResetPassword(Struct, frozen=True, kw_only=True):
    """A new password, from a ticket. The inputs are named `password-reset` and `re-enter-password`."""

    form: Form
    email: str
    password: PasswordHints = PASSWORD_HINTS["good"]
    problems: tuple[Problem, ...] = ()


class ResetPasswordSuccess(Struct, frozen=True, kw_only=True):
    """The password was changed; `continue_url` may be absolute."""

    continue_url: str = ""


class ResetPasswordError(Struct, frozen=True, kw_only=True):
    """The ticket does not hold."""

    reason: Literal["expired", "used", "generic"]
    login_url: str = ""


class VerifyEmail(Struct, frozen=True, kw_only=True):
    """The page behind the link in a verification mail: opening it verifies nothing, its button does."""

    form: Form


class EmailVerificationResult(Struct, frozen=True, kw_only=True):
    """What came of the link in a verification mail; `continue_url` may be absolute."""

    outcome: Literal["verified", "already-verified", "invalid", "failed"]
    continue_url: str = ""


class Unblock(Struct, frozen=True, kw_only=True):
    """The page behind the link in the mail about too many failed sign-ins: its button ends the block."""

    form: Form


class UnblockSuccess(Struct, frozen=True):
    """The block is over."""


class UnblockFailure(Struct, frozen=True):
    """The ticket does not hold."""


class MfaOtpChallenge(Struct, frozen=True, kw_only=True):
    """The code that the authenticator app shows. The inputs are named `code` and `rememberBrowser`."""

    form: Form
    recovery_url: str = ""
    remember_days: int = 0
    """0: the choice is not offered."""
    remember_default: bool = False
    problems: tuple[Problem, ...] = ()


class MfaOtpEnrollmentQr(Struct, frozen=True, kw_only=True):
    """Setting up an authenticator app. The input is named `code`."""

    form: Form
    uri: str
    """What the QR code says."""
    key: str
    kept: str = ""
    """What the form carries to the next page, sealed."""
    problems: tuple[Problem, ...] = ()


class MfaRecoveryCodeEnrollment(Struct, frozen=True, kw_only=True):
    """A recovery code, shown once. The input is named `confirmed`; `action=download` asks for a file."""

    form: Form
    code: str
    kept: str = ""
    problems: tuple[Problem, ...] = ()


class MfaRecoveryCodeChallenge(Struct, frozen=True, kw_only=True):
    """The recovery code, in the place of the app's. The input is named `code`."""

    form: Form
    app_url: str
    problems: tuple[Problem, ...] = ()


class MfaEnrollResult(Struct, frozen=True, kw_only=True):
    """What came of an enrolment ticket."""

    outcome: Literal["enrolled", "invalid"]


class Scope(Struct, frozen=True):
    """A permission somebody is asked for; scopes of OpenID Connect are described by the catalogue."""

    name: str
    description: str = ""


class Consent(Struct, frozen=True, kw_only=True):
    """May this application have access? Posts `action=accept` or `action=deny`."""

    form: Form
    scopes: tuple[Scope, ...]
    user_name: str
    client_logo_url: str = ""
    api_name: str = ""
    api_scopes: tuple[Scope, ...] = ()
    third_party: bool = False
    problems: tuple[Problem, ...] = ()


class Logout(Struct, frozen=True, kw_only=True):
    """Really sign out? Posts `action=accept` or `action=deny`."""

    form: Form
    user_name: str


class LoggedOut(Struct, frozen=True, kw_only=True):
    """The session has ended."""

    login_url: str = ""


class LogoutAborted(Struct, frozen=True, kw_only=True):
    """The visitor chose to stay signed in."""

    continue_url: str = ""


class ErrorDetails(Struct, frozen=True, kw_only=True):
    """A request that cannot be answered by a redirect: unknown client, wrong callback, or a bug."""

    error: str
    description: str
    tracking: str
    """The request id, by which the operator finds the log lines."""
    status: int = 400


class PageNotFound(Struct, frozen=True):
    """404."""


class MethodNotAllowed(Struct, frozen=True):
    """405; the caller adds Allow."""


class TooManyRequests(Struct, frozen=True):
    """429, with Retry-After."""

    retry_after_s: int = 1


class ServiceUnavailable(Struct, frozen=True):
    """503."""


class FormPost(Struct, frozen=True, kw_only=True):
    """OAuth 2.0 Form Post Response Mode: the answer travels as a form that submits itself to `redirect_uri`."""

    redirect_uri: str
    fields: tuple[tuple[str, str], ...]


class WebMessage(Struct, frozen=True, kw_only=True):
    """response_mode=web_message: the answer is posted to the window that opened or framed this page.

    `target_origin` is the origin of the redirect_uri; the message goes to no other.
    """

    target_origin: str
    response: Mapping[str, str | int]


class Landing(Struct, frozen=True, kw_only=True):
    """The root page of a tenant."""

    issuer: str
    discovery_url: str = "/.well-known/openid-configuration"
    keys_url: str = "/.well-known/jwks.json"
    outbox_url: str = ""
    dashboard_url: str = ""


class OutboxRow(Struct, frozen=True, kw_only=True):
    """One line of the outbox."""

    url: str
    to: str
    subject: str
    sent_at: datetime


class Outbox(Struct, frozen=True, kw_only=True):
    """The mails that were delivered locally, the newest first."""

    mails: tuple[OutboxRow, ...]
    newer_url: str = ""
    older_url: str = ""


class OutboxMail(Struct, frozen=True, kw_only=True):
    """One mail. `html_url` answers with `pages.mail_document`."""

    outbox_url: str
    to: str
    subject: str
    sent_at: datetime
    sender: str = ""
    template: str = ""
    html_url: str = ""
    text: str = ""
