"""The likeliest mistakes of an operator: one sentence that says what is wrong, status 1, nothing of our insides."""

import json
import re
import socket
from pathlib import Path

import pytest

from freehold import __version__
from tests.support.commands import freehold
from tests.support.server import LiveServer


def refusal(*arguments: str) -> str:
    done = freehold(*arguments, check=False)
    said = [line for line in done.stderr.splitlines() if not line.startswith("{")]  # the log is beside it
    assert (done.returncode, len(said)) == (1, 1), done.stderr
    assert said[0].startswith("freehold: ")
    return said[0].removeprefix("freehold: ")


def test_a_port_that_somebody_has(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal("up", "--data", str(tmp_path / "data"), "--host", "127.0.0.1", "--port", str(port))
    assert said == f"Port {port} on 127.0.0.1 cannot be used: Address already in use"


def test_a_data_folder_that_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.touch()
    for command in (("up", "--port", "0"), ("tenants", "create", "acme")):
        assert refusal(*command, "--data", str(path)) == f"{path}: File exists"


@pytest.mark.parametrize("domain", ["https://login.example.com/", "login example", "Login.example.com", "a..b", ":443"])
def test_a_domain_that_cannot_stand_in_an_issuer(tmp_path: Path, domain: str) -> None:
    said = refusal("up", "--data", str(tmp_path / "data"), "--port", "0", "--domain", domain)
    assert "domain is host or host:port in lower case" in said
    assert not (tmp_path / "data").exists()


def test_the_domain_of_another_tenant_is_looked_at_too(server: LiveServer) -> None:
    said = refusal("tenants", "create", "shop", "--domain", "https://shop.example", "--data", str(server.data))
    assert said.startswith("A domain is host or host:port in lower case")


def test_a_database_of_a_kind_that_is_not_there(tmp_path: Path) -> None:
    said = refusal(
        "tenants", "create", "acme", "--data", str(tmp_path / "data"), "--database", "mysql://localhost/freehold"
    )
    assert said == "A database's URL starts with sqlite:/// or postgresql://"


def test_a_database_that_does_not_answer_says_why(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"postgresql://freehold:hunter2@127.0.0.1:{port}/freehold"
    said = refusal("tenants", "create", "acme", "--data", str(tmp_path / "data"), "--database", url)
    assert re.match(r"The database cannot be read or written right now: .*Connect call failed", said)
    assert "hunter2" not in said


def test_a_second_server_on_the_same_folder_at_another_address(server: LiveServer) -> None:
    """It would move the tenant away under the first one."""
    said = refusal("up", "--data", str(server.data), "--port", "0")
    assert said.startswith(f"A server is up on {server.data} already, at {server.issuer}. Stop it")


def test_a_mistyped_folder_is_named_and_does_not_become_an_installation(tmp_path: Path) -> None:
    said = refusal("export", "--data", str(tmp_path / "typo"), "--output", str(tmp_path / "archive"))
    assert said == f"There is no installation in {tmp_path / 'typo'}: it holds no master.key."
    assert not (tmp_path / "typo").exists()


def test_a_database_without_its_master_key_gets_no_other_one(tmp_path: Path) -> None:
    data = tmp_path / "data"
    freehold("tenants", "create", "acme", "--data", str(data))
    (data / "master.key").rename(tmp_path / "master.key")
    for command in (["up", "--port", "0"], ["tenants", "create", "other"]):
        said = refusal(*command, "--data", str(data))
        assert said.startswith(f"{data / 'master.key'} is missing, which opens the keys of the tenants")
        assert not (data / "master.key").exists()


def test_an_import_of_nothing(server: LiveServer) -> None:
    said = refusal("import", "auth0", "--data", str(server.data))
    assert said == "Say what to import: --users, --hashes, --mfa, --config or --signing-key."


def test_keywords_that_are_no_object(server: LiveServer, tmp_path: Path) -> None:
    for text in ("{", "[]"):
        (tmp_path / "keywords.json").write_text(text)
        said = refusal(
            "import", "auth0", "--data", str(server.data), "--config", str(tmp_path),
            "--keywords", str(tmp_path / "keywords.json"),
        )  # fmt: skip
        assert said.endswith('keywords.json must be a JSON object, {"KEY": "value"}.')


def test_files_that_are_not_there(server: LiveServer, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "nowhere")
    for option in ("--users", "--hashes", "--mfa"):
        assert "No such file" in refusal("import", "auth0", "--data", str(server.data), option, nowhere), option
    assert "is not a directory" in refusal("import", "auth0", "--data", str(server.data), "--config", nowhere)
    assert "No such file" in refusal(
        "import", "auth0", "--data", str(server.data), "--config", str(tmp_path), "--keywords", nowhere
    )
    assert "No such file" in refusal(
        "export", "--data", str(server.data), "--output", str(tmp_path / "a"), "--encrypt-to", nowhere
    )


def test_a_variable_that_sets_nothing_is_named(server: LiveServer) -> None:
    """A policy that was switched on by a misspelt name would be off."""
    arguments = ("up", "--data", str(server.data), "--port", "0")
    done = freehold(*arguments, check=False, env={"FREEHOLD_CEREMONY_STRICT_ROLE": "true"})
    logged = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert [line["variable"] for line in logged if line["event"] == "variable_sets_nothing"] == [
        "FREEHOLD_CEREMONY_STRICT_ROLE"
    ]


def test_the_version_is_no_mistake() -> None:
    done = freehold("--version")
    assert (done.returncode, done.stdout) == (0, f"freehold {__version__}\n")
