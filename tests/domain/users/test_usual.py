"""Profiles in the usual form: the short way and the long way make the same rows."""

import json
from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.domain.events import EVENTS
from freehold.domain.users import User
from freehold.domain.users.arrivals import Arrival, prepare
from freehold.domain.users.usual import UsualUser, usual_rows
from freehold.kernel.clock import FakeClock
from freehold.kernel.crypto.sealing import Sealer
from freehold.kernel.declare import TenantScope
from freehold.registry import REGISTRY

TENANT = TenantScope("t1", "acme", "acme.test", Sealer(bytes(32)), FakeClock(), REGISTRY, EVENTS)


def profile(**more: Any) -> dict[str, Any]:
    values = {
        "user_id": "auth0|abc",
        "email": "ada@example.com",
        "email_verified": True,
        "name": "Ada",
        "nickname": "ada",
        "picture": "https://example.com/ada.png",
        "identities": [
            {"connection": "Username-Password-Authentication", "user_id": "abc", "provider": "auth0", "isSocial": False}
        ],
        "created_at": "2020-02-29T23:59:59.999Z",
        "updated_at": "2021-01-01T00:00:00.000Z",
        **more,
    }
    return {name: value for name, value in values.items() if value is not None}


def short_way(*profiles: dict[str, Any]) -> dict[str, list[Any]] | None:
    lines = "\n".join(json.dumps(one) for one in profiles).encode()
    rows = usual_rows(msgspec.json.Decoder(UsualUser).decode_lines(lines))
    return None if rows is None else rows.columns()


def long_way(*profiles: dict[str, Any]) -> dict[str, list[Any]]:
    arrivals = [Arrival(number, msgspec.convert(values, User)) for number, values in enumerate(profiles)]
    return prepare(TENANT, arrivals).users.columns()


NUMBERS = st.integers(-(2**53), 2**53)
METADATA = st.dictionaries(
    st.text(max_size=5),
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.lists(NUMBERS, max_size=2),
    max_size=3,
)
MOMENTS = st.datetimes(
    datetime(1000, 1, 1),  # noqa: DTZ001 - the strategy takes bounds without an offset
    datetime(2999, 12, 31),  # noqa: DTZ001
).map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")


@given(
    st.text(max_size=10),
    METADATA,
    MOMENTS,
    st.booleans(),
)
def test_both_ways_make_the_same_row(name: str, metadata: dict[str, Any], moment: str, social: bool) -> None:
    values = profile(
        name=name, user_metadata=metadata, created_at=moment, last_login=moment, logins_count=7, last_ip="::1"
    )
    if social:
        values["user_id"] = "google-oauth2|abc"
        values["identities"][0] |= {"provider": "google-oauth2", "connection": "google-oauth2", "isSocial": True}

    assert short_way(profile(), values) == long_way(profile(), values)


@pytest.mark.parametrize(
    "odd",
    [
        {"user_id": "auth0|somebody-else"},
        {"user_id": "auth0|a\0", "identities": [profile()["identities"][0] | {"user_id": "a\0"}]},
        {"email": "Ada@example.com"},
        {"email": "ada@example"},
        {"email": "ada@example.com\n"},
        {"email": "a" * 65 + "@example.com"},
        {"email": "@example.com"},
        {"email": "example.com"},
        {"email": "ada@grace@example.com"},
        {"email": "ada@-example.com"},
        {"email": "ad a@example.com"},
        {"email": "ada@exämple.com"},
        {"created_at": "2020-02-30T00:00:00.000Z"},
        {"created_at": "2020-02-29T24:00:00.000Z"},
        {"created_at": "2020-02-29T23:60:00.000Z"},
        {"created_at": "2020-02-29T23:59:59Z"},
        {"updated_at": "2020-02-29T23:59:59.999+01:00"},
        {"created_at": "2020-02-29T23:59:60.000Z"},
        {"created_at": "٢020-02-29T23:59:59.999Z"},
        {"created_at": "2020-02-29T23:59:59.999Z2020", "updated_at": "-02-29T23:59:59.999Z"},
        {"last_login": "yesterday"},
        {"last_ip": "1.2.3.4\0"},
        {"identities": []},
        {"identities": profile()["identities"] * 2},
        {"user_id": "auth0|" + "x" * 300, "identities": [profile()["identities"][0] | {"user_id": "x" * 300}]},
    ],
)
def test_one_odd_user_sends_all_of_them_the_long_way(odd: dict[str, Any]) -> None:
    assert short_way(profile(), profile()) is not None
    assert short_way(profile(), profile(**odd)) is None
