"""The dashboard: where tenant administrators sign in, and what they do there about themselves and each other."""

from freehold.kernel.http.router import Router
from freehold.surfaces.dashboard import (
    administrators,
    api,
    assets,
    home,
    joining,
    passkeys,
    security,
    sign_in,
)
from freehold.surfaces.dashboard.errors import render_dashboard_error, render_json_error
from freehold.surfaces.dashboard.layout import Screens, Section, add_section
from freehold.surfaces.dashboard.visitors import (
    AUTHENTICATE,
    CODE,
    FORGOTTEN,
    HOME,
    SECURITY,
    SIGN_IN,
)

FAMILY, JSON_FAMILY = "dashboard", "dashboard_json"

for _section in (
    Section("home", HOME, 0),
    Section("administrators", administrators.PATH, 60),
    Section("audit", "/admin/audit", 70),
    Section("security", SECURITY, 80),
):
    add_section(_section)


def add_routes(router: Router) -> None:
    """Put the pages and the JSON operations into the router."""
    for method, path, handler in (
        ("GET", HOME, home.show_home),
        ("GET", SIGN_IN, sign_in.show_sign_in),
        ("POST", SIGN_IN, sign_in.submit_sign_in),
        ("GET", CODE, sign_in.show_code),
        ("POST", CODE, sign_in.submit_code),
        ("POST", "/admin/sign-out", sign_in.sign_out),
        ("GET", AUTHENTICATE, sign_in.show_authenticate),
        ("POST", AUTHENTICATE, sign_in.submit_authenticate),
        ("GET", "/admin/invitation", joining.show_invitation),
        ("POST", "/admin/invitation", joining.submit_invitation),
        ("GET", FORGOTTEN, joining.show_forgotten),
        ("POST", FORGOTTEN, joining.submit_forgotten),
        ("GET", "/admin/new-password", joining.show_new_password),
        ("POST", "/admin/new-password", joining.submit_new_password),
        ("GET", SECURITY, security.show_page),
        ("GET", f"{SECURITY}/authenticator", security.show_authenticator),
        ("POST", f"{SECURITY}/authenticator", security.submit_authenticator),
        ("POST", f"{SECURITY}/passkeys", security.submit_passkey),
        ("POST", f"{SECURITY}/remove", security.remove),
        ("POST", f"{SECURITY}/recovery-code", security.renew_recovery_code),
        ("POST", f"{SECURITY}/password", security.submit_password),
        ("POST", f"{SECURITY}/sessions", security.end_session),
        ("GET", administrators.PATH, administrators.show_page),
        ("POST", f"{administrators.PATH}/invite", administrators.invite),
        ("POST", f"{administrators.PATH}/invitations/{{id}}/withdraw", administrators.withdraw),
        ("POST", f"{administrators.PATH}/{{id}}/{{action}}", administrators.change),
        ("GET", "/admin/audit", home.show_audit),
    ):
        name = f"dashboard.{path.removeprefix('/admin').strip('/').replace('/', '.') or 'home'}.{method.lower()}"
        router.add(method, path, handler, name=name, family=FAMILY)
    router.add(
        "GET", f"{assets.PREFIX}{{name}}", assets.serve_asset, name="dashboard.asset", family=FAMILY, tenant=False
    )
    router.add("POST", "/admin/passkey-options", passkeys.ask, name="dashboard.passkey_options", family=JSON_FAMILY)
    for method, path, handler in api.ROUTES:
        name = f"dashboard.api.{path.strip('/').replace('/', '.')}.{method.lower()}"
        router.add(method, f"/admin/api/{path}", handler, name=name, family=JSON_FAMILY)


__all__ = [
    "FAMILY", "JSON_FAMILY", "Screens", "Section", "add_routes", "add_section", "render_dashboard_error",
    "render_json_error",
]  # fmt: skip
