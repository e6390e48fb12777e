"""Tenants that join a running server."""

import json
import socket
import ssl
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.server import start_server


@pytest.mark.parametrize("domain", [None, "login.acme.example"])
def test_a_new_tenant_has_a_certificate_that_openssl_accepts(tmp_path: Path, domain: str | None) -> None:
    with start_server(tmp_path / "data") as live:
        ready = tmp_path / "shop.json"
        chosen = () if domain is None else ("--domain", f"{domain}:{urlsplit(live.base_url).port}")
        live.freehold("tenants", "create", "shop", "--ready-file", str(ready), *chosen)
        host = urlsplit(json.loads(ready.read_text())["base_url"]).hostname
        trust = ssl.create_default_context(cafile=live.ca_file)

        with (
            socket.create_connection(("localhost", urlsplit(live.base_url).port or 0)) as plain,
            trust.wrap_socket(plain, server_hostname=host) as secure,
        ):
            assert secure.getpeercert()

        assert host == (domain or "shop.localhost")
