"""The ceremony's pages: for administrators in the dashboard, and for executives behind a link of their own.

They do what the JSON operations do, through the same functions of `domain.ceremonies`.
"""

from freehold.kernel.http.router import Router
from freehold.surfaces.ceremony import api
from freehold.surfaces.ceremony.pages import ceremony, deciding, guide, people, requests, signing
from freehold.surfaces.ceremony.pages.frame import EXECUTIVES, EXPORTS, GUIDE, LARGEST_FORM
from freehold.surfaces.ceremony.refusals import watched
from freehold.surfaces.dashboard import FAMILY, JSON_FAMILY, Section, add_section

ONE = f"{EXPORTS}/{{id}}"
EXECUTIVE, AUTHORITIES = "/admin/executive", "/admin/authorities"

add_section(Section("exports", EXPORTS, 10))


def add_routes(router: Router) -> None:
    """Put the pages into the router."""
    for method, path, handler in (
        ("GET", EXPORTS, requests.show_list),
        ("POST", EXPORTS, requests.submit_new),
        ("GET", f"{EXPORTS}/new", requests.show_new),
        ("GET", ONE, ceremony.show),
        ("GET", f"{ONE}/change", requests.show_change),
        ("POST", f"{ONE}/change", requests.submit_change),
        ("GET", f"{ONE}/decision", deciding.show),
        ("POST", f"{ONE}/decision", deciding.submit),
        ("GET", f"{ONE}/form", api.download_form),
        ("GET", f"{ONE}/receipt", api.download_receipt),
        ("POST", f"{ONE}/download", ceremony.make_ticket),
        ("GET", f"{ONE}/file", api.download),
        ("HEAD", f"{ONE}/file", api.download),
        ("POST", f"{ONE}/{{step}}", ceremony.submit_step),
        ("GET", EXECUTIVES, people.show),
        ("POST", EXECUTIVES, people.enrol),
        ("POST", f"{EXECUTIVES}/{{id}}/{{action}}", people.change_executive),
        ("POST", AUTHORITIES, people.enrol_authority),
        ("POST", f"{AUTHORITIES}/{{id}}/{{action}}", people.change_authority),
        ("GET", f"{EXECUTIVE}/passkey", signing.show_passkey),
        ("POST", f"{EXECUTIVE}/passkey", signing.submit_passkey),
        ("GET", f"{EXECUTIVE}/sign", signing.show_form),
        ("POST", f"{EXECUTIVE}/sign", signing.submit_signature),
        ("GET", f"{EXECUTIVE}/form", signing.download_form),
        ("GET", GUIDE, guide.show_pgp),
    ):
        told = watched(handler, leads_on=method == "GET" and handler is not api.download)
        router.add(method, path, told, name=_name(method, path), family=FAMILY)
    path = f"{ONE}/signature"
    router.add("POST", path, watched(ceremony.upload), name=_name("POST", path), family=FAMILY, max_body=LARGEST_FORM)
    for path, handler in (
        (f"{ONE}/challenge", ceremony.ask_passkey),
        (f"{EXECUTIVE}/passkey-options", signing.ask_for_passkey),
        (f"{EXECUTIVE}/sign-options", signing.ask_to_sign),
    ):
        router.add("POST", path, watched(handler), name=_name("POST", path), family=JSON_FAMILY)


def _name(method: str, path: str) -> str:
    return f"ceremony.pages.{path.removeprefix('/admin/').replace('/', '.')}.{method.lower()}"
