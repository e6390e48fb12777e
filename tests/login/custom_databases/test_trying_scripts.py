"""freehold scripts try: a script is run before it goes live, and nothing comes of it here."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.login.custom_databases.conftest import Custom
from tests.support.legacy_users import PASSWORD
from tests.support.server import _environment


def try_script(here: Custom, *arguments: str, password: str = PASSWORD) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "freehold.cli", "scripts", "try", *arguments]
    command += ["--connection", here.app.connection, "--data", str(here.server.data)]
    allowed = {"FREEHOLD_SANDBOX_OUTBOUND_ALLOW": urlsplit(here.legacy.url).netloc}
    return subprocess.run(
        command, input=f"{password}\n", capture_output=True, text=True, env=_environment(allowed), check=False
    )


def tried(here: Custom, *arguments: str, **options: Any) -> tuple[int, dict[str, Any]]:
    done = try_script(here, *arguments, "--json", **options)
    return done.returncode, json.loads(done.stdout)


def test_a_login_that_works(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add(name="Ada")

    status, told = tried(here, "login", "--identifier", email, "--password-stdin")

    assert (status, told["outcome"], told["answered"]["name"]) == (0, "answered", "Ada")
    assert told["duration_ms"] > 0
    assert here.user(email) is None


def test_a_login_that_does_not(custom: Callable[..., Custom]) -> None:
    here = custom()
    email = here.legacy.add()

    status, told = tried(here, "login", "--identifier", email, "--password-stdin", password="wrong")

    assert (status, told["outcome"], told["error"]["type"]) == (1, "refused", "WrongUsernameOrPasswordError")


def test_a_script_in_a_file_that_prints(custom: Callable[..., Custom], tmp_path: Path) -> None:
    here = custom(without=("get_user",))
    file = tmp_path / "get_user.js"
    file.write_text("function f(email, callback) { console.log('asked for ' + email); callback(null, null); }")

    done = try_script(here, "get_user", "--identifier", "ada@example.com", "--file", str(file))

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("get_user: answered after ")
    assert "asked for ada@example.com" in done.stdout


def test_what_is_missing_is_said(custom: Callable[..., Custom]) -> None:
    here = custom(without=("delete",))

    for arguments, words in (
        (["delete", "--identifier", "1"], "Please implement the delete script"),
        (["login", "--identifier", "a"], "add --password-stdin"),
        (["change_email", "--identifier", "a"], "add --new"),
    ):
        done = try_script(here, *arguments)
        assert done.returncode == 1
        assert words in done.stderr
