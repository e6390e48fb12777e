"""The certificate of the key that signs, as files: what federations and older libraries are configured with.

`/pem` and `/rawpem` are its text, `/cer` its bytes (DER), `/pb7` PKCS #7, `/fingerprint` the SHA-1 digest.
"""

from collections.abc import Awaitable, Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from freehold.domain import keys
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import NotFound
from freehold.kernel.http.prepared import Prepared
from freehold.kernel.http.request import Request
from freehold.kernel.http.response import TEXT, Response

_CACHE = "public, max-age=15"

FORMS: dict[str, tuple[str, str]] = {
    "pem": ("application/x-pem-file", "pem"),
    "rawpem": (TEXT, ""),
    "cer": ("application/pkix-cert", "cer"),
    "pb7": ("application/x-pkcs7-certificates", "p7b"),
    "fingerprint": (TEXT, ""),
}
"""By path: the content type, and the extension of a file to save; without one it is shown."""


def download(form: str) -> Callable[[Request], Awaitable[Response]]:
    """GET /{form}."""
    content_type, extension = FORMS[form]

    async def answer(request: Request) -> Response:
        tenant: TenantScope = request.tenant
        store = request.services.store
        if request.query.one("cert") not in {None, "", "tenant"}:
            raise NotFound("There is no such certificate")
        entries = tenant.cached(store.cache_epoch(tenant.id))
        prepared: Prepared | None = entries.get(("certificate", form))
        if prepared is None:
            current = await keys.current_certificate(store, tenant)
            body = _bodies[form](current)
            prepared = Prepared(body, content_type=content_type, cache_control=_CACHE)
            entries["certificate", form] = prepared
        response = prepared.answer(request)
        if extension:
            response.headers.append(("content-disposition", f'attachment; filename="{tenant.name}.{extension}"'))
        return response

    return answer


def _der(current: dict[str, str]) -> bytes:
    return x509.load_pem_x509_certificate(current["cert"].encode()).public_bytes(Encoding.DER)


def _fingerprint(current: dict[str, str]) -> bytes:
    certificate = x509.load_pem_x509_certificate(current["cert"].encode())
    return certificate.fingerprint(hashes.SHA1()).hex(":").upper().encode()  # noqa: S303 - it names, it proves nothing


_bodies: dict[str, Callable[[dict[str, str]], bytes]] = {
    "pem": lambda current: current["cert"].encode(),
    "rawpem": lambda current: current["cert"].encode(),
    "cer": _der,
    "pb7": lambda current: current["pkcs7"].encode(),
    "fingerprint": _fingerprint,
}
