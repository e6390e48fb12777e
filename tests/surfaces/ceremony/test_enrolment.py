"""Executives and authorities over JSON: enrolled and changed by administrators, refused from everybody else."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from tests.support.administrators import Person, make_administrator
from tests.support.in_process import Installation, started
from tests.support.signers import GRACE, Authority

EXECUTIVES, ANCHORS = "/admin/api/executives", "/admin/api/trust-anchors"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with started(tmp_path_factory.mktemp("enrolment") / "data") as running:
        running.advance((datetime.now(UTC) - running.clock.now()).total_seconds())
        yield running


@pytest.fixture(scope="module")
def ada(place: Installation) -> Person:
    return make_administrator(place, "ada@example.com")


@pytest.fixture(scope="module")
def authority(place: Installation) -> Authority:
    return Authority(place.clock.now())


@pytest.fixture
def http(ada: Person) -> Iterator[httpx.Client]:
    with contextlib.closing(ada.api()) as client:
        yield client


def given(**changes: Any) -> dict[str, Any]:
    return {"name": GRACE.name, "title": GRACE.title, "email": GRACE.email, **changes}


def test_an_executive_comes_changes_and_goes(http: httpx.Client, ada: Person, authority: Authority) -> None:
    first, second = authority.issue(), authority.issue()
    enrolled = http.post(EXECUTIVES, json=given(certificates=[first.pem]))
    assert enrolled.status_code == 201, enrolled.text
    known = enrolled.json()
    assert (known["email"], known["certificates"], known["enrolled_by"]) == (GRACE.email, [first.fingerprint], ada.id)
    assert http.post(EXECUTIVES, json=given()).json()["errorCode"] == "executive_exists"

    changed = http.put(f"{EXECUTIVES}/{known['id']}/material", json={"certificates": [second.pem]})
    assert changed.json()["certificates"] == [second.fingerprint]
    assert [one["id"] for one in http.get(EXECUTIVES).json()] == [known["id"]]
    assert http.delete(f"{EXECUTIVES}/{known['id']}").status_code == 204
    assert http.get(EXECUTIVES).json() == []
    entries = [entry["action"] for entry in http.get("/admin/api/audit").json()]
    assert entries[:3] == ["executive.removed", "executive.changed", "executive.enrolled"]


def test_an_authority_comes_with_lists_and_goes(http: httpx.Client, authority: Authority) -> None:
    certificate = authority.anchor().certificate
    enrolled = http.post(ANCHORS, json={"name": authority.name, "certificate": certificate})
    assert enrolled.status_code == 201, enrolled.text
    path = f"{ANCHORS}/{enrolled.json()['id']}"
    listed = http.put(f"{path}/crls", json={"crls": [authority.crl(authority.issue()).decode()]})
    assert listed.json()["crls"] == 1, listed.text
    foreign = Authority(authority.now, "Another").crl()
    assert http.put(f"{path}/crls", json={"crls": [foreign.decode()]}).status_code == 400
    assert [one["crls"] for one in http.get(ANCHORS).json()] == [1]
    assert http.delete(path).status_code == 204
    assert http.delete(path).status_code == 404


@pytest.mark.parametrize("changes", [{"certificates": ["x"]}, {"openpgp_key": "x"}, {"email": "nobody"}, {"id": "x"}])
def test_what_cannot_be_enrolled(http: httpx.Client, changes: dict[str, Any]) -> None:
    assert http.post(EXECUTIVES, json=given(**changes)).status_code == 400
    assert http.get(EXECUTIVES).json() == []


def test_an_expired_certificate_is_not_enrolled(http: httpx.Client, authority: Authority) -> None:
    old = authority.issue(begins=timedelta(days=-20), lasts=timedelta(days=10))
    assert http.post(EXECUTIVES, json=given(certificates=[old.pem])).status_code == 400


def test_nobody_else_enrols(place: Installation, ada: Person) -> None:
    eve = make_administrator(place, "eve@example.com", "editor")
    with contextlib.closing(eve.api()) as http:
        assert http.get(EXECUTIVES).status_code == 200
        assert http.post(EXECUTIVES, json=given()).status_code == 403
        assert http.post(ANCHORS, json={"name": "x", "certificate": "x"}).status_code == 403
    with place.management() as machine:
        token = machine.headers["authorization"]
    with place.client(headers={"authorization": token}) as http:
        for method, path in (("GET", EXECUTIVES), ("POST", EXECUTIVES), ("GET", ANCHORS), ("POST", ANCHORS)):
            assert http.request(method, path, json=given()).status_code == 401
    with contextlib.closing(ada.api()) as http:
        place.advance(301)
        assert http.post(EXECUTIVES, json=given()).json()["errorCode"] == "fresh_authentication_required"
