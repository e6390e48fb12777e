"""The interactive login: one state machine, its steps, pages and texts.

A protocol begins a sign-in with `start`. When the user has signed in it is asked through `conclude_sign_in` of the
services whether it can answer at once; otherwise it gets the browser back at `/authorize/resume`. What the pages learn
on the way stands in the transaction's payload: `session_id` and `signed_in` once the user signed in, `consented`, or
`error` when it ends badly.
"""

from freehold.kernel.errors import NotFound
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.kernel.http.router import Router
from freehold.login import assets, flow, landing, outbox, second_factor
from freehold.login.answers import form_post, render_page_error, web_message, with_error_page
from freehold.login.cookies import forget_session, is_bound_to, session_cookie, set_session
from freehold.login.devices import device_of
from freehold.login.flow import STRATEGIES, End, ask_consent, ask_more, ask_second_factor, begin, send_elsewhere, start
from freehold.login.pages import web_origin
from freehold.login.session_rules import session_rules
from freehold.login.steps import (
    consent,
    mfa_otp_challenge,
    mfa_otp_enrollment,
    mfa_recovery_code_challenge,
    mfa_recovery_code_enrollment,
    mfa_ticket,
    provider,
    reset_password,
    sign_in,
    sign_up,
    unblock,
    verify_email,
)
from freehold.login.steps.sign_out import ask_logout, confirmed_logout, logged_out, stayed


def add_routes(router: Router) -> None:
    """Put the pages into the router."""
    for path, name, step in (
        (flow.SIGN_IN, "login", sign_in.OnePage),
        (flow.IDENTIFIER, "login_identifier", sign_in.IdentifierFirst),
        (flow.PASSWORD, "login_password", sign_in.PasswordSecond),
        (flow.SIGN_UP, "signup", sign_up),
        (flow.CONSENT, "consent", consent),
        (flow.RESET_REQUEST, "reset_request", reset_password.Request),
        (reset_password.TICKET_PATH, "reset", reset_password.Ticket),
        (verify_email.PATH, "verify_email", verify_email),
        (unblock.PATH, "unblock", unblock),
        (second_factor.CHALLENGE, "mfa_otp_challenge", mfa_otp_challenge),
        (second_factor.ENROLMENT, "mfa_otp_enrollment", mfa_otp_enrollment),
        (second_factor.RECOVERY_CHALLENGE, "mfa_recovery_code_challenge", mfa_recovery_code_challenge),
        (second_factor.RECOVERY_ENROLMENT, "mfa_recovery_code_enrollment", mfa_recovery_code_enrollment),
        (mfa_ticket.PATH, "mfa_ticket", mfa_ticket),
    ):
        show_page, submit = (with_error_page(handler, flow.SignInOver) for handler in (step.show_page, step.submit))
        router.add("GET", path, show_page, name=f"login.{name}.page", family="page")
        router.add("POST", path, submit, name=f"login.{name}.submit", family="page")
    for path, handler, name in (
        (flow.PROVIDER, provider.leave, "provider"), (provider.CALLBACK, provider.come_back, "provider_callback"),
    ):  # fmt: skip
        router.add("GET", path, with_error_page(handler, flow.SignInOver), name=f"login.{name}", family="page")
    router.add("GET", f"{assets.PREFIX}{{name}}", asset, name="login.asset", family="page", tenant=False)
    router.add("GET", "/", landing.show_page, name="login.landing", family="page")
    router.add("GET", "/login", landing.begin_elsewhere, name="login.elsewhere", family="page")
    router.add("GET", "/robots.txt", landing.robots, name="login.robots", family="page")
    outbox.add_routes(router)


async def asset(request: Request) -> Response:
    """A stylesheet, script or icon of the pages. Raises NotFound for an address of another release."""
    found = assets.find_asset(request.params["name"])
    if found is None:
        raise NotFound("Not Found")
    headers = dict(found.headers)
    return Response(
        200,
        found.body,
        [("cross-origin-resource-policy", "same-origin")],
        content_type=headers["content-type"],
        cache_control=headers["cache-control"],
    )


__all__ = [
    "STRATEGIES",
    "End",
    "add_routes",
    "ask_consent",
    "ask_logout",
    "ask_more",
    "ask_second_factor",
    "begin",
    "confirmed_logout",
    "device_of",
    "forget_session",
    "form_post",
    "is_bound_to",
    "logged_out",
    "render_page_error",
    "send_elsewhere",
    "session_cookie",
    "session_rules",
    "set_session",
    "start",
    "stayed",
    "web_message",
    "web_origin",
    "with_error_page",
]
