"""Asking before a session ends, where the request does not prove that the application means this session."""

from urllib.parse import urlencode

from freehold.kernel.errors import BadRequest
from freehold.kernel.http.csrf import form_token, verify_form
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response
from freehold.login import cookies, views
from freehold.login.answers import show

_OF_THE_FORM = {"csrf_token", "action"}


async def ask_logout(request: Request, *, params: dict[str, str], user_name: str) -> Response:
    """The page that asks; its form repeats the request with the answer."""
    holder = Response()
    secret = cookies.ensure_visit(request, holder)
    kept = {name: value for name, value in params.items() if name not in _OF_THE_FORM}
    form = views.Form(
        action=f"/oidc/logout?{urlencode(kept)}", state=kept.get("state", ""), csrf_token=form_token(secret)
    )
    response = await show(
        request,
        views.Logout(form=form, user_name=user_name),
        redirect_uri=kept.get("post_logout_redirect_uri", ""),
        ui_locales=kept.get("ui_locales"),
    )
    response.headers += holder.headers
    return response


async def confirmed_logout(request: Request) -> bool | None:
    """True or False once the visitor answered the page, None before. Raises CrossSiteRequest."""
    if request.method != "POST":
        return None
    form = await request.form()
    action = form.one("action")
    if action is None:
        return None
    if action not in {"accept", "deny"}:
        raise BadRequest("The form was not understood.", code="invalid_request")
    verify_form(request, transaction=cookies.visit_secret(request), token=form.one("csrf_token"))
    return action == "accept"


async def logged_out(request: Request, *, ui_locales: str | None = None) -> Response:
    """The page after a session ended without a way back."""
    return await show(request, views.LoggedOut(), ui_locales=ui_locales)


async def stayed(request: Request, *, ui_locales: str | None = None) -> Response:
    """The page after somebody chose to stay signed in."""
    return await show(request, views.LogoutAborted(), ui_locales=ui_locales)
