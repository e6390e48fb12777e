"""What `freehold up` makes of its settings."""

import pytest

from freehold.cli.up import public_domain
from freehold.kernel.config import Settings


@pytest.mark.parametrize(
    ("domain", "port", "public"),
    [
        ("localhost", 8443, "localhost:8443"),
        ("tenant.localhost", 443, "tenant.localhost"),
        ("login.example.com:443", 8443, "login.example.com"),
        ("login.example.com:9443", 8443, "login.example.com:9443"),
    ],
)
def test_the_issuer_has_the_port_that_people_reach(domain: str, port: int, public: str) -> None:
    assert public_domain(Settings(domain=domain), port) == public
