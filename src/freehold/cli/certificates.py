"""The certificate that the server shows: the operator's own, or one of the local authority for every tenant's host."""

from collections.abc import Iterable

from freehold.cli.options import Installation
from freehold.kernel.clock import SystemClock
from freehold.kernel.config import Settings
from freehold.kernel.crypto.x509 import LocalAuthority
from freehold.kernel.http.server import Tls


def tls_for(settings: Settings, domains: Iterable[str]) -> Tls:
    """The configured certificate, or one of the local authority for these domains and for this machine's names.

    Each is named, because many clients take no wildcard directly below a top level such as `localhost`.
    """
    if settings.tls_certificate is not None and settings.tls_private_key is not None:
        return Tls(settings.tls_certificate, settings.tls_private_key)
    hosts = sorted({domain.partition(":")[0] for domain in domains})
    now = SystemClock().now()
    leaf = LocalAuthority.load_or_create(settings.data.authority, now).server_certificate(hosts, now=now)
    return Tls(leaf.certificate_file, leaf.key_file)


async def certify_tenants(installation: Installation) -> Tls:
    """Bring the certificate up to date with the tenants; a running server takes it at the next connection."""
    return tls_for(installation.settings, [tenant.domain for tenant in await installation.tenants.all()])
