"""`fields` and `include_fields` choose members of a document, at any depth."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.kernel.search import InvalidParameter, Mask, read_mask
from freehold.kernel.search.paging import Get

USER = {
    "user_id": "auth0|1",
    "email": "a@example.com",
    "identities": [{"connection": "db", "provider": "auth0"}, {"connection": "google"}, 5],
    "user_metadata": {"lang": "en", "address": {"city": "Paris", "zip": "75001"}},
    "nothing": None,
}


def mask(fields: str, include: str = "") -> Mask:
    found = read_mask({"fields": fields, "include_fields": include}.get)
    assert found is not None
    return found


def both_ways(mask: Mask, document: dict[str, Any]) -> dict[str, Any]:
    """What the mask makes of a document, checked to be the same from text."""
    shown = mask.of_object(document)
    assert json.loads(msgspec.json.encode(mask.of_text(json.dumps(document)))) == shown
    return shown


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ("email", {"email": "a@example.com"}),
        (" email , user_id,", {"email": "a@example.com", "user_id": "auth0|1"}),
        ("email,absent", {"email": "a@example.com"}),
        ("absent", {}),
        ("nothing", {"nothing": None}),
        ("user_metadata.lang", {"user_metadata": {"lang": "en"}}),
        ("user_metadata.address.city", {"user_metadata": {"address": {"city": "Paris"}}}),
        ("user_metadata.absent", {"user_metadata": {}}),
        ("identities.connection", {"identities": [{"connection": "db"}, {"connection": "google"}]}),
        ("email.domain", {}),
        ("nothing.at.all", {}),
        ("user_metadata,user_metadata.lang", {"user_metadata": USER["user_metadata"]}),
        ("user_metadata.lang,user_metadata", {"user_metadata": USER["user_metadata"]}),
        ("user_metadata.lang,user_metadata.address", {"user_metadata": USER["user_metadata"]}),
    ],
)
def test_fields_are_included(fields: str, shown: dict[str, Any]) -> None:
    assert both_ways(mask(fields), USER) == shown
    assert both_ways(mask(fields, "true"), USER) == shown


@pytest.mark.parametrize(
    ("fields", "left_out"),
    [
        ("email,user_metadata,nothing", {"user_id": "auth0|1", "identities": USER["identities"]}),
        (
            "identities.connection,user_metadata.address,email.domain,user_metadata.address.zip",
            {
                **USER,
                "identities": [{"provider": "auth0"}, {}, 5],
                "user_metadata": {"lang": "en"},
            },
        ),
        ("absent", USER),
    ],
)
def test_fields_are_excluded(fields: str, left_out: dict[str, Any]) -> None:
    assert both_ways(mask(fields, "false"), USER) == left_out


def test_without_fields_there_is_nothing_to_choose() -> None:
    for params in ({}, {"fields": ""}, {"include_fields": "false"}, {"fields": " , "}):
        get: Get = params.get
        assert read_mask(get) is None


def test_some_members_can_be_shown_in_any_case() -> None:
    assert both_ways(mask("email").keeping(["user_id"]), USER) == {"user_id": "auth0|1", "email": "a@example.com"}
    assert "user_id" not in both_ways(mask("user_id", "false").keeping(["user_id"]), USER)


def test_what_is_taken_over_whole_is_not_read() -> None:
    shown = mask("email,user_metadata.address").of_text('{"email":"\\u0061","user_metadata":{"address": {"zip": 1.0}}}')

    assert msgspec.json.encode(shown) == b'{"email":"\\u0061","user_metadata":{"address":{"zip": 1.0}}}'


def test_a_name_that_the_document_cannot_have_is_refused() -> None:
    with pytest.raises(InvalidParameter) as refused:
        read_mask({"fields": "name,users.x"}.get, allowed=("name", "strategy"))

    assert refused.value.message.startswith(
        "Query validation error: 'String 'users' does not match pattern. Must be a comma separated list of the "
        "following values: name,strategy' on property fields ("
    )
    assert read_mask({"fields": "name.x"}.get, allowed=("name", "strategy")) == Mask({"name": {"x": {}}})


@pytest.mark.parametrize(
    "params",
    [{"fields": "a", "include_fields": "no"}, {"fields": "a" * 5000}, {"fields": "a," * 3000}],
)
def test_malformed_choices_are_refused(params: dict[str, str]) -> None:
    with pytest.raises(InvalidParameter):
        read_mask(params.get)


def test_a_name_of_a_thousand_steps_costs_no_more_than_twenty() -> None:
    deep: Any = "end"
    for _ in range(1000):
        deep = {"a": deep}

    assert both_ways(mask(".".join(["a"] * 2000)), {"a": 1}) == {}
    assert mask(".".join(["a"] * 2000)).of_object(deep)["a"] != {}


NAMES = st.sampled_from(["a", "b", "a.b", "b.a", "a.a.b", "c"])
TREES = st.recursive(
    st.one_of(st.none(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from("abc"), TREES), st.lists(NAMES, min_size=1, max_size=4))
def test_included_and_excluded_members_together_are_the_document(document: dict[str, Any], names: list[str]) -> None:
    shown, rest = (both_ways(mask(",".join(names), include), document) for include in ("true", "false"))

    assert set(leaves(shown)) | set(leaves(rest)) == set(leaves(document))


def leaves(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Values with the names that lead to them; which element of an array is left out, as masks choose in all."""
    if isinstance(value, dict):
        return [leaf for name, inner in value.items() for leaf in leaves(inner, f"{path}.{name}")]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner, path)]
    return [(path, repr(value))]
