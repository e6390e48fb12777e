"""The seven days pass while the server is down: before it answers again, file and key are gone for good.

Then every file of the data folder is searched: for what was secret, for what was encrypted, and for the key.
"""

from datetime import timedelta
from pathlib import Path

from freehold.kernel.crypto.sealing import Keyring, MasterKey
from freehold.surfaces.ceremony.build.builder import key_context
from tests.faults.ceremony.conftest import Place, files_of, make_place
from tests.support.ceremonies import RELAXED
from tests.support.ceremony_by_http import API, ok, refused
from tests.support.in_process import started

PASSWORD = "canary-Password-of-7-days"
PIECE, EVERY = 32, 1024


def pieces(content: bytes) -> list[bytes]:
    """So many short pieces that no page of it can be left unseen."""
    return [content[at : at + PIECE] for at in range(0, len(content) - PIECE, EVERY)]


def found_in(data: Path, sought: list[bytes]) -> set[bytes]:
    """Which of them stand in any file."""
    everything = files_of(data)
    return {piece for piece in sought if piece in everything}


def keys_of(place: Place, one: str) -> tuple[bytes, bytes]:
    """The file's key as it is kept, and as it is."""
    services, tenant = place.installation.services, place.installation.tenant
    row = place.installation.run(
        services.store.one(
            """select a.id, k.wrapped from ceremony_artefacts a join ceremony_artefact_keys k on k.artefact_id = a.id
            where a.ceremony_id = :id""",
            id=one,
        )
    )
    assert row is not None
    keyring = Keyring(MasterKey.load(services.settings.data.master_key))
    return bytes(row[1]), keyring.unwrap(bytes(row[1]), context=key_context(tenant.id, row[0]))


def test_after_the_retention_nothing_can_be_recovered_from_the_data_folder(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with started(data, **RELAXED) as running:
        place = make_place(running, data)
        with running.management() as api:
            user = {"connection": "Username-Password-Authentication", "email": "u@example.com", "password": PASSWORD}
            assert api.post("/users", json=user).status_code == 201
        one = place.ready()
        with place.http() as http:
            ticket = ok(http.post(f"{API}/{one}/tickets"), 201)
            message = http.get(f"{API}/{one}/file", params={"ticket": ticket["ticket"]}).content
        (file,) = place.files
        sealed = file.read_bytes()
        wrapped, key = keys_of(place, one)
        assert found_in(data, [wrapped]) == {wrapped}
        assert set(pieces(sealed)) <= found_in(data, pieces(sealed))
        assert found_in(data, [key, PASSWORD.encode(), *pieces(message)]) == set(), "not even while it is there"
        moved = running.clock.now()

    with started(data, at=moved + timedelta(days=7, seconds=1), **RELAXED) as running:
        assert place.files == [], "before the first request"
        place.installation = place.ada.installation = place.bob.installation = running
        assert place.state(one) == "destroyed"
        running.work()
        with place.http() as http:
            assert refused(http.post(f"{API}/{one}/tickets")) == (410, "export_gone")
            receipt = http.get(f"{API}/{one}/receipt")
            assert receipt.status_code == 200
        assert found_in(data, [wrapped, key, PASSWORD.encode(), *pieces(message), *pieces(sealed)]) == set()
    assert found_in(data, [wrapped, key, *pieces(message), *pieces(sealed)]) == set()
