"""Executives and authorities for scripts: who may sign forms, enrolled as JSON by an administrator.

Certificates, keys and revocation lists are read in a confined process first; what enrolling means is in
`domain.ceremonies.evidence.executives`.
"""

from typing import Any, TypeVar

import msgspec

from freehold.domain import ceremonies
from freehold.domain.administrators import Acting, require_admin
from freehold.domain.ceremonies.evidence import executives
from freehold.domain.ceremonies.evidence.executives import EnrolledAnchor, EnrolledExecutive, Material
from freehold.domain.ceremonies.evidence.material import check_certificate, check_crls
from freehold.kernel.clock import iso
from freehold.kernel.errors import BadRequest
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import Response, empty, json
from freehold.kernel.http.router import Router
from freehold.surfaces.ceremony.delivery.access import actor_of
from freehold.surfaces.ceremony.refusals import watched
from freehold.surfaces.dashboard import JSON_FAMILY
from freehold.surfaces.dashboard.visitors import fresh_s

T = TypeVar("T")
LONGEST_BODY = 6 << 20
EXECUTIVES, ANCHORS = "/admin/api/executives", "/admin/api/trust-anchors"


class GivenMaterial(msgspec.Struct, forbid_unknown_fields=True):
    """What an executive's signature is recognized by: certificates in PEM, an armored OpenPGP key."""

    certificates: tuple[str, ...] = ()
    openpgp_key: str = ""


class GivenExecutive(GivenMaterial, forbid_unknown_fields=True, kw_only=True):
    """An executive to be enrolled."""

    name: str
    title: str
    email: str


class GivenLists(msgspec.Struct, forbid_unknown_fields=True):
    """Revocation lists in PEM."""

    crls: tuple[str, ...] = ()


class GivenAnchor(GivenLists, forbid_unknown_fields=True, kw_only=True):
    """An authority to be enrolled."""

    name: str
    certificate: str


# --- executives --------------------------------------------------------------------------------------------------


async def list_executives(request: Request) -> Response:
    """GET executives."""
    await require_admin(request)
    found = await executives.list_executives(request.services.store, request.tenant)
    return json([_shown(executive) for executive in found])


async def enrol_executive(request: Request) -> Response:
    """POST executives: {name, title, email, certificates?, openpgp_key?}."""
    acting, given = await _admin(request), await _given(request, GivenExecutive)
    material = await _checked(request, given, given.email)
    async with request.services.store.transaction() as tx:
        enrolled = await executives.enrol_executive(
            tx, request.tenant, name=given.name, title=given.title, email=given.email, material=material,
            actor=actor_of(acting, request.client_ip),
        )  # fmt: skip
    return json(_shown(enrolled), 201)


async def change_executive(request: Request) -> Response:
    """PUT executives/{id}/material: {certificates?, openpgp_key?} in place of those there; they have to settle anew."""
    acting, given = await _admin(request), await _given(request, GivenMaterial)
    known = await executives.get_executive(request.services.store, request.tenant, request.params["id"])
    material = await _checked(request, given, known.email)
    async with request.services.store.transaction() as tx:
        changed = await executives.change_material(
            tx, request.tenant, known.id, material=material, actor=actor_of(acting, request.client_ip)
        )
    return json(_shown(changed))


async def remove_executive(request: Request) -> Response:
    """DELETE executives/{id}."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await executives.remove_executive(
            tx, request.tenant, request.params["id"], actor=actor_of(acting, request.client_ip)
        )
    return empty()


# --- authorities -------------------------------------------------------------------------------------------------


async def list_anchors(request: Request) -> Response:
    """GET trust-anchors."""
    await require_admin(request)
    found = await executives.list_anchors(request.services.store, request.tenant)
    return json([_shown_anchor(anchor) for anchor in found])


async def enrol_anchor(request: Request) -> Response:
    """POST trust-anchors: {name, certificate, crls?}."""
    acting, given = await _admin(request), await _given(request, GivenAnchor)
    now = request.tenant.clock.now()
    certificate = await check_certificate(given.certificate, use="authority", now=now)
    crls = await check_crls(given.crls, certificate=certificate.certificate, now=now)
    async with request.services.store.transaction() as tx:
        enrolled = await executives.enrol_anchor(
            tx, request.tenant, name=given.name, certificate=certificate, crls=crls,
            actor=actor_of(acting, request.client_ip),
        )  # fmt: skip
    return json(_shown_anchor(enrolled), 201)


async def put_crls(request: Request) -> Response:
    """PUT trust-anchors/{id}/crls: {crls} in place of those there."""
    acting, given = await _admin(request), await _given(request, GivenLists)
    known = await executives.get_anchor(request.services.store, request.tenant, request.params["id"])
    crls = await check_crls(given.crls, certificate=known.anchor.certificate, now=request.tenant.clock.now())
    async with request.services.store.transaction() as tx:
        changed = await executives.put_crls(
            tx, request.tenant, known.id, crls, actor=actor_of(acting, request.client_ip)
        )
    return json(_shown_anchor(changed))


async def remove_anchor(request: Request) -> Response:
    """DELETE trust-anchors/{id}."""
    acting = await _admin(request)
    async with request.services.store.transaction() as tx:
        await executives.remove_anchor(
            tx, request.tenant, request.params["id"], actor=actor_of(acting, request.client_ip)
        )
    return empty()


ROUTES = (
    ("GET", EXECUTIVES, list_executives),
    ("POST", EXECUTIVES, enrol_executive),
    ("PUT", f"{EXECUTIVES}/{{id}}/material", change_executive),
    ("DELETE", f"{EXECUTIVES}/{{id}}", remove_executive),
    ("GET", ANCHORS, list_anchors),
    ("POST", ANCHORS, enrol_anchor),
    ("PUT", f"{ANCHORS}/{{id}}/crls", put_crls),
    ("DELETE", f"{ANCHORS}/{{id}}", remove_anchor),
)


def add_routes(router: Router) -> None:
    """The routes of this module."""
    for method, path, handler in ROUTES:
        name = f"ceremony.enrolment.{path.removeprefix('/admin/api/').replace('/', '.')}.{method.lower()}"
        router.add(method, path, watched(handler), name=name, family=JSON_FAMILY, max_body=LONGEST_BODY)


# --- shapes ------------------------------------------------------------------------------------------------------


def _shown(executive: EnrolledExecutive) -> dict[str, Any]:
    known = executive.signatory
    return {
        "id": executive.id,
        "name": executive.name,
        "title": executive.title,
        "email": executive.email,
        "certificates": [*known.certificates],
        "openpgp_key": bool(known.openpgp_key),
        "passkeys": len(known.passkeys),
        "enrolled_at": iso(executive.enrolled_at_ms),
        "enrolled_by": executive.enrolled_by,
        "changed_at": iso(executive.changed_at_ms),
        "changed_by": executive.changed_by,
    }


def _shown_anchor(anchor: EnrolledAnchor) -> dict[str, Any]:
    return {
        "id": anchor.id,
        "name": anchor.anchor.name,
        "fingerprint": anchor.fingerprint,
        "crls": len(anchor.anchor.crls),
        "enrolled_at": iso(anchor.enrolled_at_ms),
        "enrolled_by": anchor.enrolled_by,
    }


async def _admin(request: Request) -> Acting:
    return await require_admin(request, fresh_s=fresh_s(request), role="admin")


async def _given(request: Request, shape: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.json_bytes(LONGEST_BODY), type=shape)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"The request cannot be read: {error}", code="invalid_body") from None


async def _checked(request: Request, given: GivenMaterial, email: str) -> Material:
    """Certificates and key, read and checked. Raises MaterialRefused and KeyRefused."""
    now = request.tenant.clock.now()
    policy = ceremonies.policy_of(request.services.settings, request.tenant)
    key = None
    if given.openpgp_key:
        key = await executives.check_executives_key(given.openpgp_key, email=email, now=now, policy=policy.key_policy)
    return Material(
        certificates=tuple([await check_certificate(pem, use="person", now=now) for pem in given.certificates]),
        openpgp_key=key,
    )
