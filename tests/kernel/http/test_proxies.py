"""Proxy headers count only when they come from a configured proxy."""

import pytest

from freehold.kernel.http.proxies import Proxies
from freehold.kernel.http.request import Request
from tests.support.asgi import http_scope

SPOOFED = [
    ("host", "tenant.example.com"),
    ("x-forwarded-for", "198.51.100.9"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "evil.test"),
    ("x-real-ip", "198.51.100.9"),
    ("forwarded", "for=198.51.100.9;host=evil.test;proto=http"),
    ("cf-connecting-ip", "198.51.100.9"),
    ("x-original-url", "/admin"),
]


def request(headers: list[tuple[str, str]], *, proxies: Proxies, peer: str) -> Request:
    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    return Request(http_scope("GET", "/x", headers, peer=peer), receive, proxies=proxies)


def seen(found: Request) -> tuple[str, str, str]:
    return found.client_ip, found.scheme, found.host


def test_nobody_is_trusted_by_default() -> None:
    assert seen(request(SPOOFED, proxies=Proxies(), peer="10.0.0.1")) == ("10.0.0.1", "https", "tenant.example.com")


def test_a_stranger_is_not_believed() -> None:
    proxies = Proxies(["10.0.0.0/8"], forwarded_host=True)

    assert seen(request(SPOOFED, proxies=proxies, peer="192.0.2.7")) == ("192.0.2.7", "https", "tenant.example.com")


def test_a_configured_proxy_is_believed_and_its_host_only_when_that_is_configured_too() -> None:
    proxies = Proxies(["10.0.0.0/8"])
    with_host = Proxies(["10.0.0.0/8"], forwarded_host=True)

    assert seen(request(SPOOFED, proxies=proxies, peer="10.0.0.1")) == ("198.51.100.9", "http", "tenant.example.com")
    assert seen(request(SPOOFED, proxies=with_host, peer="10.0.0.1")) == ("198.51.100.9", "http", "evil.test")


def test_headers_with_underscores_are_other_headers() -> None:
    headers = [("host", "tenant.example.com"), ("x_forwarded_for", "198.51.100.9"), ("x_forwarded_proto", "http")]

    found = request(headers, proxies=Proxies(["10.0.0.0/8"]), peer="10.0.0.1")

    assert seen(found) == ("10.0.0.1", "https", "tenant.example.com")


@pytest.mark.parametrize(
    ("forwarded_for", "client"),
    [
        ("198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9", "198.51.100.9"),
        ("1.1.1.1, 198.51.100.9, 10.1.1.1", "198.51.100.9"),
        ("10.9.9.9, 10.1.1.1", "10.9.9.9"),
        ("198.51.100.9, garbage, 10.1.1.1", "10.1.1.1"),
        ("garbage", "10.0.0.1"),
        ("", "10.0.0.1"),
        ("2001:db8::7", "2001:db8::7"),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("198.51.100.9:1234", "10.0.0.1"),
    ],
)
def test_the_right_most_address_that_is_not_ours_is_the_client(forwarded_for: str, client: str) -> None:
    assert Proxies(["10.0.0.0/8"]).client_ip("10.0.0.1", forwarded_for) == client


def test_several_headers_are_one_list() -> None:
    headers = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "198.51.100.9")]

    assert request(headers, proxies=Proxies(["10.0.0.0/8"]), peer="10.0.0.1").client_ip == "198.51.100.9"


def test_a_proxy_is_recognised_when_its_address_is_written_as_ipv6() -> None:
    assert Proxies(["10.0.0.0/8"]).trusts("::ffff:10.0.0.1")
    assert not Proxies(["10.0.0.0/8"]).trusts("unix")
