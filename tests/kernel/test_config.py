"""Where a setting comes from, what is said when it cannot be used, and who may read the data folder."""

import os
from pathlib import Path
from typing import Any

import pytest

from freehold.kernel.config import (
    DataDir,
    InsecureFile,
    InvalidSetting,
    Settings,
    check_private,
    documentation,
    documentation_table,
    load_settings,
    unknown_variables,
)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    return tmp_path / "freehold.toml"


def test_command_line_wins_over_environment_over_file_over_default(toml: Path) -> None:
    toml.write_text('host = "file"\nport = 1\nworkers = 2\n')
    environ = {"FREEHOLD_PORT": "3", "FREEHOLD_WORKERS": "4"}

    settings = load_settings({"workers": 5, "domain": None}, environ=environ, config_file=toml)

    assert (settings.host, settings.port, settings.workers, settings.domain) == ("file", 3, 5, "localhost")


def test_the_file_is_found_by_the_environment_and_in_the_data_folder(toml: Path) -> None:
    toml.write_text("port = 7\n")

    assert load_settings(environ={"FREEHOLD_CONFIG": str(toml)}).port == 7
    assert load_settings({"data_dir": toml.parent}, environ={}).port == 7
    assert load_settings(environ={"FREEHOLD_DATA_DIR": str(toml.parent)}).port == 7
    assert load_settings(environ={"FREEHOLD_DATA_DIR": str(toml.parent / "none")}).port == Settings().port


def test_text_of_the_environment_is_read_in_the_settings_type() -> None:
    settings = load_settings(
        environ={
            "FREEHOLD_ACCESS_LOG": "true",
            "FREEHOLD_TRUSTED_PROXIES": "10.0.0.0/8, ::1/128",
            "FREEHOLD_OUTBOUND_ALLOW": "mail.internal:25,[fd00::7]:443",
            "FREEHOLD_DATA_DIR": "~/freehold",
            "FREEHOLD_TLS_CERTIFICATE": "/etc/c.pem",
            "FREEHOLD_TLS_PRIVATE_KEY": "/etc/k.pem",
        }
    )

    assert settings.access_log is True
    assert settings.trusted_proxies == ("10.0.0.0/8", "::1/128")
    assert settings.outbound_allow == ("mail.internal:25", "[fd00::7]:443")
    assert settings.data_dir == Path.home() / "freehold"
    assert settings.tls_certificate == Path("/etc/c.pem")


@pytest.mark.parametrize(
    ("command_line", "environ", "said"),
    [
        ({}, {"FREEHOLD_PORT": "canary"}, "FREEHOLD_PORT"),
        ({"port": 65_536}, {}, "--port"),
        ({}, {"FREEHOLD_LOG_FORMAT": "canary"}, "FREEHOLD_LOG_FORMAT"),
        ({"data_dir": 5}, {}, "data folder"),
        ({"prot": 1}, {}, "Did you mean port?"),
        ({"tls_certificate": Path("canary")}, {}, "tls_private_key"),
        ({}, {"FREEHOLD_TRUSTED_PROXIES": "canary"}, "trusted_proxies"),
        ({}, {"FREEHOLD_TRUSTED_PROXIES": "10.0.0.1/8"}, "trusted_proxies"),
        ({}, {"FREEHOLD_METRICS_NETWORKS": "canary"}, "metrics_networks"),
        ({}, {"FREEHOLD_OUTBOUND_ALLOW": "canary"}, "outbound_allow"),
        ({}, {"FREEHOLD_WORKERS": "0"}, "FREEHOLD_WORKERS"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_with_its_place_and_without_its_value(
    command_line: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(InvalidSetting) as refused:
        load_settings(command_line, environ=environ)

    assert said in refused.value.message
    assert "canary" not in refused.value.message


@pytest.mark.parametrize("text", ["port = ", "port = 'x'", "unheard_of = 1", "\xff"])
def test_a_broken_file_is_named(toml: Path, text: str) -> None:
    toml.write_bytes(text.encode("latin-1"))

    with pytest.raises(InvalidSetting, match=r"freehold\.toml"):
        load_settings(environ={}, config_file=toml)
    with pytest.raises(InvalidSetting, match="cannot be read"):
        load_settings(environ={}, config_file=toml.with_name("missing.toml"))


def test_what_kubernetes_puts_into_the_environment_is_not_for_us() -> None:
    environ = {"FREEHOLD_PORT": "tcp://10.3.2.1:8443", "FREEHOLD_SERVICE_HOST": "10.3.2.1", "FREEHOLD_CONFIG": ""}

    assert load_settings(environ=environ).port == Settings().port
    assert unknown_variables(environ) == ["FREEHOLD_SERVICE_HOST"]


def test_a_secret_setting_is_not_in_the_representation() -> None:
    settings = Settings(database_url="postgresql://freehold:canary@db/freehold")

    assert "canary" not in repr(settings)
    assert "canary" not in f"{settings}"


def test_the_database_lies_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    assert Settings(data_dir=tmp_path).store_url == f"sqlite:///{tmp_path}/freehold.db"
    assert Settings(database_url="postgresql://db/freehold").store_url == "postgresql://db/freehold"


def test_every_setting_is_documented_with_a_sentence() -> None:
    table = documentation_table()

    for setting in documentation():
        assert setting.description.endswith("."), setting.name
        assert len(setting.description) > 20, setting.name
        assert f"| `{setting.name}` | `{setting.env}` |" in table
        assert setting.option == "--" + setting.name.replace("_", "-")
    assert [setting.name for setting in documentation()] == list(Settings.__struct_fields__)


@pytest.fixture
def _default_umask() -> Any:
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_default_umask")
def test_the_data_folder_is_for_its_owner_alone(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "new" / "data")
    data.prepare()
    data.master_key.write_bytes(b"key")

    for path in (data.root, data.authority, data.outbox, data.temporary, data.master_key):
        assert path.stat().st_mode & 0o077 == 0, path
    data.check()


@pytest.mark.usefixtures("_default_umask")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_can_read_or_write_stops_the_start(tmp_path: Path, mode: int) -> None:
    data = DataDir(tmp_path / "data")
    data.prepare()
    data.master_key.write_bytes(b"key")
    data.master_key.chmod(mode)

    with pytest.raises(InsecureFile, match=r"chmod 600 '.*master\.key'"):
        data.check()
    data.master_key.chmod(0o600)
    data.root.chmod(0o750)
    with pytest.raises(InsecureFile, match="chmod 700"):
        data.prepare()


def test_a_link_is_judged_by_what_it_points_to(tmp_path: Path) -> None:
    target = tmp_path / "key"
    target.write_bytes(b"key")
    target.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(target)

    with pytest.raises(InsecureFile):
        check_private(link)
    target.chmod(0o600)
    check_private(link)
