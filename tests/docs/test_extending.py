"""The examples of docs/guides/extend.md, done as it says to a copy of the source."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.architecture.project import ROOT
from tests.support.server import START_TIMEOUT_S, LiveServer, _wait_for

GUIDE = (ROOT / "docs" / "guides" / "extend.md").read_text()
FILE = re.compile(r"^```python\n# (src/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CHANGE = re.compile(r"`(src/\S+\.py)`:\n\n```diff\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def change(text: str, diff: str) -> str:
    """Apply the hunks of a diff without line numbers; each must fit exactly one place."""
    for hunk in diff.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        after = "".join(line[1:] for line in lines if line[0] in " +")
        assert text.count(before) == 1, f"the guide's change does not fit any more:\n{hunk}"
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the source after everything the guide says."""
    copy = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src", copy / "src")
    written, changed = FILE.findall(GUIDE), CHANGE.findall(GUIDE)
    assert len(written) == len(changed) == 2
    for path, text in written:
        assert not (copy / path).exists()
        (copy / path).write_text(text)
    for path, diff in changed:
        (copy / path).write_text(change((copy / path).read_text(), diff))
    return copy


def freehold(copy: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "freehold.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=copy, env=environment(copy))
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def environment(copy: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy / "src")}


def test_a_new_kind_of_data_and_a_new_grant_do_what_the_guide_says(extended: Path) -> None:
    migrations = set((extended / "src/freehold/migrations").iterdir())
    freehold(extended, "dev", "migration", "add_announcements")
    (migration,) = set((extended / "src/freehold/migrations").iterdir()) - migrations
    assert "create table announcements" in migration.read_text()

    data, ready, log = extended / "data", extended / "ready.json", extended / "log"
    command = [sys.executable, "-m", "freehold.cli", "up", "--data", "data", "--port", "0", "--ready-file", str(ready)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=extended, env=environment(extended), stdout=output, stderr=output)
    try:
        live = LiveServer(data, _wait_for(ready, process, log), process, log)
        made_id = use_announcements(live)
        use_the_grant(live)
    finally:
        process.terminate()
        process.wait(START_TIMEOUT_S)

    freehold(extended, "export", "--data", "data", "--output", "first.tar.gz")
    freehold(extended, "restore", "--data", "second", "first.tar.gz")
    freehold(extended, "export", "--data", "second", "--output", "again.tar.gz")
    assert (extended / "first.tar.gz").read_bytes() == (extended / "again.tar.gz").read_bytes()
    with tarfile.open(extended / "again.tar.gz") as archive:
        rows = archive.extractfile("data/announcements/000001.ndjson")
        assert rows is not None
        assert json.loads(rows.read())["document"]["id"] == made_id
        assert archive.getmember("schemas/announcements.json")


def use_announcements(live: LiveServer) -> str:
    with live.management() as api:
        made = api.post("/announcements", json={"title": "Closed on Monday", "text": "We move."})
        again = api.post("/announcements", json={"title": "Closed on Monday", "text": "Still."})
        wrong = api.post("/announcements", json={"title": "Level", "text": "x", "level": "panic"})
        listed = api.get("/announcements?include_totals=true").json()
        logged = api.get("/logs?q=type:sapi").json()
    assert (made.status_code, made.json()["level"]) == (201, "info")
    assert made.json()["id"].startswith("ann_")
    assert (again.status_code, again.json()["message"]) == (409, "An announcement with this title exists.")
    assert wrong.status_code == 400
    assert (listed["total"], listed["announcements"]) == (1, [made.json()])
    assert [entry["description"] for entry in logged] == ["Create an announcement"]
    return str(made.json()["id"])


def use_the_grant(live: LiveServer) -> None:
    known = live.facts["management"]
    body = {**known, "grant_type": "urn:example:grant-type:night-shift"}
    with live.client() as http, live.management() as api:
        refused = http.post("/oauth/token", json=body)
        assert (refused.status_code, refused.json()["error"]) == (403, "unauthorized_client")
        grants = ["client_credentials", body["grant_type"]]
        assert api.patch(f"/clients/{known['client_id']}", json={"grant_types": grants}).status_code == 200
        answer = http.post("/oauth/token", json=body)
    by_day = answer.json().get("error_description") == "This grant works from 22:00 to 06:00 UTC."
    assert by_day if answer.status_code == 403 else "access_token" in answer.json()
