"""Does a redirect URI belong to a client? (threats: redirect targets)"""

import pytest

from freehold.protocols.oauth.redirect_uris import is_localhost, is_registered

CALLBACK = "https://app.example.com/cb"


@pytest.mark.parametrize(
    "requested",
    [
        "https://app.example.com/cb/..;/evil",
        "https://app.example.com/cb/%2e%2e/x",
        "https://app.example.com/cb//x",
        "https://app.example.com/cb/",
        "https://app.example.com/cb?x=1",
        "https://app.example.com/cb#x",
        "https://app.example.com:443/cb",
        "https://APP.example.com/cb",
        "HTTPS://app.example.com/cb",
        "https://app.example.com/%63b",
        "https://app.example.com.evil.test/cb",
        "https://app.example.com@evil.test/cb",
        "https://app.example.com\\@evil.test/cb",
        "//app.example.com/cb",
        "http://app.example.com/cb",
        " https://app.example.com/cb",
        "https://app.example.com/cb\n",
        "",
    ],
)
def test_nothing_but_the_registered_bytes_will_do(requested: str) -> None:
    assert is_registered(CALLBACK, [CALLBACK], native=False)
    assert not is_registered(requested, [CALLBACK], native=True)


@pytest.mark.parametrize(
    ("requested", "matches"),
    [
        ("https://one.example.com/cb", True),
        ("https://pr-12.example.com/cb", True),
        ("https://example.com/cb", False),
        ("https://one.two.example.com/cb", False),
        ("https://.example.com/cb", False),
        ("https://-.example.com/cb", False),
        ("https://evil.test/.example.com/cb", False),
        ("https://evil.test?.example.com/cb", False),
        ("https://evil.test#.example.com/cb", False),
        ("https://user@evil.example.com/cb", False),
        ("https://one.example.com/cb/x", False),
        ("http://one.example.com/cb", False),
        ("https://*.example.com/cb", True),
    ],
)
def test_a_wildcard_is_one_whole_left_most_label(requested: str, matches: bool) -> None:
    assert is_registered(requested, ["https://*.example.com/cb"], native=False) is matches


@pytest.mark.parametrize(
    ("pattern", "requested"),
    [
        ("https://app.example.com*", "https://app.example.com.evil.test"),
        ("https://*", "https://evil.test"),
        ("https://*.com", "https://evil.com"),
        ("https://app.example.com/*", "https://app.example.com/evil"),
        ("https://*.*.example.com/cb", "https://a.b.example.com/cb"),
        ("https://x*.example.com/cb", "https://xy.example.com/cb"),
    ],
)
def test_a_star_anywhere_else_stands_for_nothing(pattern: str, requested: str) -> None:
    assert not is_registered(requested, [pattern], native=True)


@pytest.mark.parametrize(
    ("registered", "requested", "native", "matches"),
    [
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", True, True),
        ("http://127.0.0.1:8000/cb", "http://127.0.0.1:51004/cb", True, True),
        ("http://[::1]/cb", "http://[::1]:51004/cb", True, True),
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", False, False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/other", True, False),
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004@evil.test/cb", True, False),
        ("http://127.0.0.1/cb", "http://127.0.0.2:51004/cb", True, False),
        ("http://127.0.0.1/cb", "https://127.0.0.1:51004/cb", True, False),
        ("http://localhost/cb", "http://localhost:51004/cb", True, False),
        ("http://app.example.com/cb", "http://app.example.com:51004/cb", True, False),
    ],
)
def test_only_a_native_loopback_address_may_change_its_port(
    registered: str, requested: str, native: bool, matches: bool
) -> None:
    """RFC 8252 section 7.3"""
    assert is_registered(requested, [registered], native=native) is matches


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("http://localhost:3000/cb", True),
        ("https://app.localhost/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://[::1]:8/cb", True),
        ("https://localhost.example.com/cb", False),
        ("com.example.app://localhost/cb", True),
        ("https://app.example.com/cb", False),
    ],
)
def test_callbacks_on_the_users_own_machine_are_known(uri: str, local: bool) -> None:
    assert is_localhost(uri) is local
