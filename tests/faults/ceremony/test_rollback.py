"""An older copy of the database is put back, in which an export that was destroyed since is ready again."""

import dataclasses
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from freehold.domain import ceremonies
from tests.faults.ceremony.conftest import Place, make_place
from tests.support.ceremonies import RELAXED
from tests.support.ceremony_by_http import API, ok, refused
from tests.support.in_process import started
from tests.support.server import run_freehold


@contextmanager
def again(place: Place) -> Iterator[Place]:
    """The installation, started anew a minute later."""
    clock = place.installation.clock
    clock.advance(seconds=60)
    with started(place.data, at=clock.now(), **RELAXED) as running:
        # A machine that starts has a new steady clock, and the test's has not.
        running.run(ceremonies.confirm_clock(running.services.store, running.tenant))
        people = {name: dataclasses.replace(getattr(place, name), installation=running) for name in ("ada", "bob")}
        yield dataclasses.replace(place, installation=running, **people)


def copied(data: Path, to: Path) -> None:
    """The database's files, and no others."""
    to.mkdir(exist_ok=True)
    for path in [*to.glob("freehold.db*")]:
        path.unlink()
    for path in data.glob("freehold.db*"):
        shutil.copy(path, to / path.name)


@pytest.mark.slow
def test_what_an_older_database_brings_back_ends_and_nothing_begins_until_the_operator_accepts(tmp_path: Path) -> None:
    data, kept = tmp_path / "data", tmp_path / "kept"
    with started(data, **RELAXED) as running:
        place = make_place(running, data)
        one = place.ready()
    copied(data, kept)
    with again(place) as later:
        later.end()
        assert later.state(one) == "destroyed"
        place = later
    copied(kept, data)

    with again(place) as restored:
        assert restored.count("ceremony_artefact_keys") == 0
        with restored.http() as http, restored.refusing() as codes:
            assert http.post(f"{API}/{one}/tickets").status_code == 410
            codes.append("export_gone")
            assert refused(http.post(API, json=restored.asked())) == (409, "audit_rolled_back")
            codes.append("audit_rolled_back")
        restored.installation.work()
        assert restored.state(one) == "destroyed"
        assert "other history" in run_freehold("audit", "accept", "--data", str(data)).stdout
        with restored.http() as http:
            ok(http.post(API, json=restored.asked()), 201)
        restored.installation.advance(60)
        restored.installation.work()
        place = restored
    assert "ok:" in run_freehold("audit", "verify", "--data", str(data)).stdout
    with again(place) as usual, usual.http() as http:
        ok(http.post(API, json=usual.asked()), 201)
        assert "Nothing" in run_freehold("audit", "accept", "--data", str(data)).stdout
