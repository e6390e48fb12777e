"""Real Auth0 tenants' recorded sessions, replayed against a live server and scored by the replayer beside the checkout.

Counted are the operations that the server has a route for: of their interactions at least 95% must have the recorded
status and 90% be right in every respect. `make test` replays a selection of each resource, `make test-all` everything.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freehold.app import build_router
from tests.domain.extensions.sandbox.packages import add_package
from tests.support.programs import find_shared
from tests.support.server import SOURCE, LiveServer, start_server

pytestmark = pytest.mark.shared

STATUS_PERCENT, ALL_PERCENT = 95, 90
# The cassettes of the resources that are declared; each is named after a test of Auth0's Go library.
RESOURCES = (
    "Client", "ResourceServer", "Role", "Tenant", "User(?!Attribute)", "Job", "LogManager", "Ticket",
    "SigningKey", "Grant", "Guardian", "DeviceCredentials", "Session", "RefreshToken", "Rule", "Hook", "Action",
)  # fmt: skip
SELECTION = (
    r"Client_(Create|Update|List|RotateSecret|CreateAllCredential/Should_create_PrivateJWT.*)$",
    r"ClientGrantManager_(Create|List)$",
    r"ConnectionManager_(List|EnabledClients|PasswordOptions|(Create|Read|Update).*an?_(Auth0|SMS|GitHub)_Connection$)",
    r"ResourceServer_(Update|List)$",
    r"RoleManager_(Permissions|Users|List)$",
    r"TenantManager$",
    r"UserManager_(Create|Update|Search|Link|Permissions|Roles|ListByEmail|GetUserLogs)$",
    r"UserManager_(AuthenticationMethods|Enrollments|InvalidateRememberBrowser|RegenerateRecoveryCode)$",
    r"Guardian/(Enrollment/(Get|Delete)|MultiFactor/(Policy|List|OTP_Enable|DUO/.*|SMS/Template|Phone/.*))$",
    r"(JobManager_VerifyEmail|LogManager_Search|TicketManager_ChangePassword|SigningKey|GrantManager_List)",
)


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server of this module's own: replaying rotates its keys and resets its tenant again and again."""
    packages = tmp_path_factory.mktemp("packages")
    # Recorded actions name this package and do nothing with it.
    add_package(packages, "lodash", "4.0.0", {"index.js": ""})
    data = tmp_path_factory.mktemp("replay") / "data"
    with start_server(data, env={"FREEHOLD_NPM_FOLDER": str(packages)}) as running:
        yield running


def replay(live: LiveServer, set_name: str, only: str, report: Path) -> dict[str, Any]:
    """Run the replayer over the cassettes of a set whose names match; its report."""
    shared = find_shared()
    assert shared is not None
    live.forget_tokens()  # a recording may revoke the key that an earlier one's token was signed with
    token = report.with_suffix(".token")
    token.write_text(live.management_token())
    reset = [sys.executable, "-m", "freehold.cli", "tenants", "reset", "main", "--yes", "--data", str(live.data)]
    done = subprocess.run(
        [
            sys.executable, "replay.py", "--base-url", live.base_url, "--insecure", "--token", f"@{token}",
            "--reset-cmd", " ".join(reset), "--only", only, "--report", str(report),
            str(shared / "recordings" / set_name),
        ],
        cwd=shared / "replay", env={**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def shape(operation: str) -> str:
    return re.sub(r"\{[^}]+\}", "{}", operation)


ROUTED = {shape(f"{route.method} {route.pattern}") for route in build_router().routes()}


def assert_alike(reports: list[dict[str, Any]], *, at_least: int) -> None:
    """Hold the scores of all operations that are routed against the two marks."""
    counts = [
        operation
        for report in reports
        for name, operation in report["operations"].items()
        if shape(name) in ROUTED and operation["interactions"]
    ]
    played = sum(count["interactions"] for count in counts)
    assert played >= at_least
    failures = [
        f"{failure['cassette']}#{failure['n']} {failure['operation']}: {failure['reason']}"
        for report in reports
        for failure in report["failures"]
        if failure["kind"] == "core" and shape(failure["operation"]) in ROUTED
    ]
    for member, percent in (("status_ok", STATUS_PERCENT), ("ok", ALL_PERCENT)):
        right = sum(count[member]["ok"] for count in counts)
        assert right * 100 >= played * percent, f"{right} of {played} {member}:\n" + "\n".join(failures)


def test_a_selection_of_recorded_sessions_gets_the_recorded_answers(live: LiveServer, tmp_path: Path) -> None:
    only = "^Test(" + "|".join(SELECTION) + ")"
    report = replay(live, "go-auth0-management", only, tmp_path / "management.json")
    assert_alike([report], at_least=100)


def test_the_recorded_authentication_requests_get_the_recorded_statuses(live: LiveServer, tmp_path: Path) -> None:
    """Few of them come from one tenant that is at hand, so each that differs is named with its reason."""
    report = replay(
        live,
        "go-auth0-authentication",
        "TestDatabase|TestOAuthLogin|TestLoginWith(AuthCode|Client)",
        tmp_path / "a.json",
    )
    unexpected = {
        failure["cassette"]: failure["reason"]
        for failure in report["failures"]
        if failure["kind"] == "core" and shape(failure["operation"]) in ROUTED
    }
    expected = {
        "TestDatabaseSignUp_WithEmailIdentifier",  # the recorded tenant let people choose "mypassword"
        "TestLoginWithAuthCodeWithPKCE/Should_throw_for_an_invalid_code",  # its client was a public one
    }
    assert set(unexpected) <= expected, unexpected
    assert report["total"]["ok"]["ok"] >= 12


def test_custom_code_gets_the_recorded_answers_in_every_respect(live: LiveServer, tmp_path: Path) -> None:
    """Rules, their configuration, hooks with secrets, actions with triggers, bindings, versions, executions, trials."""
    report = replay(live, "go-auth0-management", "^Test(Rule|Hook|Action)", tmp_path / "code.json")
    right, failed = report["total"]["ok"]["ok"], [each["reason"] for each in report["failures"]]
    assert report["total"]["interactions"] >= 130
    assert right * 100 >= 95 * report["total"]["interactions"], failed


@pytest.mark.slow
@pytest.mark.parametrize("resources", [("Connection",), RESOURCES], ids=["connections", "others"])
def test_all_recorded_sessions_get_the_recorded_answers(
    live: LiveServer, tmp_path: Path, resources: tuple[str, ...]
) -> None:
    report = replay(live, "go-auth0-management", "^Test(" + "|".join(resources) + ")", tmp_path / "management.json")
    assert_alike([report], at_least=300)
