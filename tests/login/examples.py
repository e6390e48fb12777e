"""One or two examples of every view, and what surrounds them."""

from datetime import UTC, datetime

from freehold.login import views
from freehold.login.pages import View
from freehold.login.second_factor import enrolment_view
from freehold.login.views import Brand, Form, OutboxRow, PageContext, Problem, Scope

NONCE = "n0nce-n0nce-n0nce-n0nce"
FORM = Form(action="/u/login?state=st4te", state="st4te", csrf_token="t0ken", csrf_field="_csrf")
SENT = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)

EXAMPLES: dict[str, View] = {
    "login": views.Login(form=FORM, signup_url="/u/signup?state=st4te", reset_url="/u/reset?state=st4te"),
    "login-wrong": views.Login(
        form=FORM,
        identifiers=("username", "email"),
        value="ada@example.com",
        problems=(Problem("wrong-email-username-credentials", "password"), Problem("ip-blocked")),
    ),
    "login-id": views.LoginId(form=FORM, identifiers=("email", "phone", "username"), signup_url="/u/signup"),
    "login-id-wrong": views.LoginId(form=FORM, value="x", problems=(Problem("invalid-email-format", "username"),)),
    "login-password": views.LoginPassword(
        form=FORM, value="ada@example.com", edit_url="/u/login/identifier?state=st4te", reset_url="/u/reset"
    ),
    "signup": views.SignUp(form=FORM, optional=("username",), login_url="/u/login?state=st4te"),
    "signup-wrong": views.SignUp(
        form=FORM,
        required=("email", "username", "phone"),
        values={"email": "ada@", "username": "ada"},
        password=views.PASSWORD_HINTS["excellent"],
        problems=(
            Problem("invalid-email-format", "email"),
            Problem("password-policy-not-conformant", "password"),
            Problem("invalid-username-min-length", "username", variables={"min": "5"}),
        ),
    ),
    "reset-password-request": views.ResetPasswordRequest(form=FORM, login_url="/u/login?state=st4te"),
    "reset-password-request-username": views.ResetPasswordRequest(form=FORM, identifiers=("username", "email")),
    "reset-password-email": views.ResetPasswordEmail(form=FORM, email="ada@example.com", login_url="/u/login"),
    "reset-password": views.ResetPassword(form=FORM, email="ada@example.com"),
    "reset-password-wrong": views.ResetPassword(
        form=FORM,
        email="ada@example.com",
        password=views.PASSWORD_HINTS["fair"],
        problems=(Problem("password-mismatch", "re-enter-password"),),
    ),
    "reset-password-success": views.ResetPasswordSuccess(continue_url="https://app.example.com/"),
    "reset-password-expired": views.ResetPasswordError(reason="expired", login_url="/u/login"),
    "reset-password-used": views.ResetPasswordError(reason="used"),
    "reset-password-generic": views.ResetPasswordError(reason="generic"),
    "verify-email": views.VerifyEmail(form=FORM),
    "mfa-otp-challenge": views.MfaOtpChallenge(form=FORM, recovery_url="/u/mfa-recovery-code-challenge?state=st4te"),
    "mfa-otp-challenge-wrong": views.MfaOtpChallenge(
        form=FORM,
        remember_days=30,
        remember_default=True,
        problems=(Problem("invalid-code", "code"), Problem("too-many-failures")),
    ),
    "mfa-otp-enrollment-qr": enrolment_view(
        FORM,
        secret="JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        issuer="Acme <b>",
        account="ada@example.com",
        problems=(Problem("invalid-code", "code"),),
        kept="sealed",
    ),
    "mfa-recovery-code-enrollment": views.MfaRecoveryCodeEnrollment(
        form=FORM, code="ABCDEFGHIJKLMNOPQRST1234", problems=(Problem("no-confirmation", "confirmed"),)
    ),
    "mfa-recovery-code-challenge": views.MfaRecoveryCodeChallenge(
        form=FORM, app_url="/u/mfa-otp-challenge?state=st4te", problems=(Problem("invalid-code", "code"),)
    ),
    "mfa-enrolled": views.MfaEnrollResult(outcome="enrolled"),
    "mfa-not-enrolled": views.MfaEnrollResult(outcome="invalid"),
    "unblock": views.Unblock(form=FORM),
    "unblocked": views.UnblockSuccess(),
    "not-unblocked": views.UnblockFailure(),
    "email-verified": views.EmailVerificationResult(outcome="verified", continue_url="https://app.example.com/"),
    "email-already-verified": views.EmailVerificationResult(outcome="already-verified"),
    "email-not-verified": views.EmailVerificationResult(outcome="invalid"),
    "email-verification-failed": views.EmailVerificationResult(outcome="failed"),
    "consent": views.Consent(form=FORM, scopes=(Scope("profile"), Scope("offline_access")), user_name="Ada"),
    "consent-to-others": views.Consent(
        form=FORM,
        scopes=(Scope("openid"), Scope("custom")),
        user_name="Ada",
        api_name="Orders API",
        api_scopes=(Scope("read:orders", "Read your orders"), Scope("write:orders")),
        third_party=True,
        problems=(Problem("invalid-action"),),
    ),
    "logout": views.Logout(form=FORM, user_name="Ada Lovelace"),
    "logged-out": views.LoggedOut(login_url="/login"),
    "logout-aborted": views.LogoutAborted(continue_url="https://app.example.com/"),
    "error": views.ErrorDetails(error="invalid_request", description="Unknown client: x", tracking="7f3a9c"),
    "not-found": views.PageNotFound(),
    "method-not-allowed": views.MethodNotAllowed(),
    "too-many-requests": views.TooManyRequests(7),
    "unavailable": views.ServiceUnavailable(),
    "form-post": views.FormPost(
        redirect_uri="https://app.example.com/callback", fields=(("code", "c0de"), ("state", "a&b"))
    ),
    "web-message": views.WebMessage(
        target_origin="https://app.example.com", response={"code": "c0de", "state": "</script>", "expires_in": 60}
    ),
    "landing": views.Landing(issuer="https://login.example.com/", outbox_url="/outbox", dashboard_url="/admin"),
    "outbox": views.Outbox(
        mails=(
            OutboxRow(url="/outbox/2", to="ada@example.com", subject="Set a new password", sent_at=SENT),
            OutboxRow(url="/outbox/1", to="bob@example.com", subject="", sent_at=SENT),
        ),
        newer_url="/outbox",
        older_url="/outbox?page=2",
    ),
    "outbox-empty": views.Outbox(mails=()),
    "outbox-mail": views.OutboxMail(
        outbox_url="/outbox",
        to="ada@example.com",
        subject="Set a new password",
        sent_at=SENT,
        sender="Northwind <no-reply@login.example.com>",
        template="reset_email",
        html_url="/outbox/2/html",
        text="Hello,\nhttps://login.example.com/u/reset?ticket=abc.\nBye",
    ),
}

WITH_FORM = [name for name, view in EXAMPLES.items() if hasattr(view, "form")]
WITH_PROBLEMS = [name for name, view in EXAMPLES.items() if getattr(view, "problems", ())]


def context(language: str = "en", **changes: object) -> PageContext:
    values: dict[str, object] = {
        "brand": Brand(name="Northwind"),
        "nonce": NONCE,
        "language": language,
        "client_name": "Orders",
    }
    return PageContext(**{**values, **changes})  # type: ignore[arg-type]
