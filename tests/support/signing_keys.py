"""Signing keys that are made once: a new tenant takes two, and making each takes a tenth of a second.

Tenants in the tests' own process take theirs in turn from a few dozen, each with a certificate of its own; servers and
commands in processes of their own make them as ever.
"""

import itertools
from collections.abc import Iterator
from datetime import datetime
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from freehold.domain.connections import keys as connection_keys
from freehold.domain.keys import rotation
from freehold.kernel.crypto.x509 import SigningMaterial, new_tenant_signing_material

MOST = 32
"""More than one test takes: no two keys in it are the same."""
_turns = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def spare_keys() -> Iterator[None]:
    """Take signing keys from those at hand."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (rotation, connection_keys):
            patch.setattr(module, "new_tenant_signing_material", _material)
        yield


def _material(domain: str, now: datetime, *, private_key: rsa.RSAPrivateKey | None = None) -> SigningMaterial:
    return new_tenant_signing_material(domain, now, private_key=private_key or _spare_key(next(_turns) % MOST))


@cache
def _spare_key(_number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)
