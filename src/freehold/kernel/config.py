"""The program's settings and its data directory.

A setting comes from, in rising order: its default, the configuration file (TOML), the environment (`FREEHOLD_` and the
name in capitals), the command line. Each has its default and its sentence of documentation here; the reference page is
generated from `documentation`. Values are never repeated in an error, because some are secrets.
"""

import difflib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from freehold.kernel.errors import FreeholdError

ENV_PREFIX = "FREEHOLD_"
CONFIG_FILE = "freehold.toml"
DEFAULT_DATA_DIR = Path("freehold-data")

_TENANT_AT = re.compile(r"[A-Za-z0-9._-]+@")
_HOST_AND_PORT = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")

# Without TLS only to a service on this machine.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
PUBLIC_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-f:]+\])(?::[0-9]{{1,5}})?")
"""A host as browsers write it, with a port unless it is that of HTTPS."""
_SMTP_URL = re.compile(r"smtps?://(?:[^\s/@:]+(?::[^\s/@]*)?@)?(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?/?")
_S3_URL = re.compile(r"(?:https://[^/?#@]+|http://(?:localhost|127\.0\.0\.1)(?::[0-9]+)?)/[a-z0-9.-]{3,63}(?:/[^?#]*)?")

Port = Annotated[int, Meta(ge=0, le=65535)]


class InvalidSetting(FreeholdError):
    """A setting that cannot be used; the message says where it was set, and what it must be."""

    code = "invalid_setting"


class InsecureFile(FreeholdError):
    """A file or folder with secrets that other users of the machine can read; the message says how to mend it."""

    code = "insecure_file"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this installation runs. What belongs to a tenant is not here."""

    data_dir: Annotated[
        Path,
        Meta(description="Folder of everything this installation keeps: database, master key, certificates, mail."),
    ] = DEFAULT_DATA_DIR
    database_url: Annotated[
        str,
        Meta(
            description="`sqlite:///PATH` or `postgresql://USER:PASSWORD@HOST/NAME`; else SQLite in the data folder.",
            extra={"secret": True},
        ),
    ] = ""
    host: Annotated[str, Meta(description="Address or host name to listen on; `0.0.0.0` listens on all of IPv4.")] = (
        "localhost"
    )
    port: Annotated[Port, Meta(description="Port to listen on; 0 takes a free one.")] = 8443
    domain: Annotated[
        str,
        Meta(
            description="Public host name of the first tenant, which makes the issuer. With `:443` or another port "
            "where a proxy listens on it; otherwise the port is `port`."
        ),
    ] = "localhost"
    tls_certificate: Annotated[
        Path | None, Meta(description="PEM file with the certificate chain; without one a local authority issues it.")
    ] = None
    tls_private_key: Annotated[Path | None, Meta(description="PEM file with the certificate's private key.")] = None
    workers: Annotated[
        int,
        Meta(ge=1, le=256, description="Server processes sharing the port; more than one needs PostgreSQL to gain."),
    ] = 1
    trusted_proxies: Annotated[
        tuple[str, ...],
        Meta(
            description="Networks (CIDR) of reverse proxies whose X-Forwarded-For and X-Forwarded-Proto are believed; "
            "from anyone else they are ignored."
        ),
    ] = ()
    trust_forwarded_host: Annotated[
        bool,
        Meta(description="Believe X-Forwarded-Host of a trusted proxy too; only for proxies that always overwrite it."),
    ] = False
    outbound_allow: Annotated[
        tuple[str, ...],
        Meta(
            description="`host:port` of private services this server may call although their address is not public, "
            "such as a mail relay or a customer's database API."
        ),
    ] = ()
    outbox: Annotated[
        Literal["auto", "on", "off"],
        Meta(
            description="Whether mails that are delivered locally can be read in a browser on this machine; `auto` "
            "says no unless the public host is a name of this machine, such as `localhost`. Never `on` behind a "
            "reverse proxy."
        ),
    ] = "auto"
    smtp_url: Annotated[
        str,
        Meta(
            description="`smtp://user:password@host:port`, or `smtps://` for TLS from the start, of the server that "
            "sends the mail of tenants without an SMTP server of their own. Without one it stays in the outbox.",
            extra={"secret": True},
        ),
    ] = ""
    mail_from: Annotated[
        str, Meta(description="Sender of what goes through `smtp_url`; by default `no-reply@` and the tenant's host.")
    ] = ""
    metrics_networks: Annotated[
        tuple[str, ...], Meta(description="Networks (CIDR) that may read `/metrics`; to all others it does not exist.")
    ] = ("127.0.0.0/8", "::1/128")
    password_threads: Annotated[
        int, Meta(ge=0, description="Threads that hash passwords; 0 means one for each processor core.")
    ] = 0
    bcrypt_cost: Annotated[
        int,
        Meta(
            ge=4,
            le=15,
            description="Cost of bcrypt for new passwords; each more doubles the work. A cheaper hash is replaced at "
            "its owner's next sign-in. Less than 10 is for tests only, and a start with it says so.",
        ),
    ] = 10
    password_queue: Annotated[
        int, Meta(ge=1, description="Password checks that may wait for a thread; beyond it sign-ins get 429 at once.")
    ] = 64
    management_rate_limit: Annotated[
        int, Meta(ge=1, description="Requests a tenant's Management API answers in a second; more get 429.")
    ] = 1000
    shutdown_grace_s: Annotated[
        int, Meta(ge=0, description="Seconds that running requests get to finish when the server stops.")
    ] = 10
    log_format: Annotated[
        Literal["auto", "json", "console"],
        Meta(description="Form of the log on standard error; `auto` is `console` on a terminal and `json` otherwise."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="Lowest level that is logged.")
    ] = "info"
    access_log: Annotated[bool, Meta(description="Log a line for every request.")] = False
    event_retention_days: Annotated[
        int,
        Meta(
            ge=0,
            description="Days that tenants' log entries (who signed in, what was changed) are kept; 0 keeps them all. "
            "How long they may or must be kept is a matter of law.",
        ),
    ] = 90
    sandbox_require_level: Annotated[
        Literal["basic", "standard", "strong"],
        Meta(
            description="How well custom code has to be contained to run at all; `freehold doctor` says what this "
            "machine offers. `basic` does not contain its network: for development only."
        ),
    ] = "standard"
    sandbox_cgroups: Annotated[
        Literal["auto", "required", "off"],
        Meta(
            description="Whether each process of custom code gets a control group (cgroup v2) of its own: where a part "
            "of the tree is delegated to the server, or everywhere, so that without it no custom code runs."
        ),
    ] = "auto"
    sandbox_cgroup_folder: Annotated[
        Path | None,
        Meta(
            description="The delegated part of the cgroup v2 tree, with no process in it; without it the one that the "
            "service manager marked."
        ),
    ] = None
    sandbox_node: Annotated[
        Path | None,
        Meta(description="Node.js that runs custom code; without it the one that comes with the Python dependencies."),
    ] = None
    sandbox_outbound: Annotated[
        Literal["public", "listed"],
        Meta(description="Whether custom code may reach every public address, or only `sandbox_outbound_allow`."),
    ] = "public"
    sandbox_outbound_allow: Annotated[
        tuple[str, ...],
        Meta(
            description="`host:port` that custom code may reach although its address is not public, such as a "
            "customer's database; `tenant@host:port`, with the tenant's id, opens it for one tenant."
        ),
    ] = ()
    sandbox_memory_mb: Annotated[
        int, Meta(ge=64, le=8192, description="Memory of a process of custom code, in MB, beside Node.js itself.")
    ] = 256
    sandbox_processes: Annotated[
        int, Meta(ge=1, le=4096, description="Processes of custom code that a server process keeps at most.")
    ] = 32
    sandbox_total_memory_mb: Annotated[
        int, Meta(ge=128, description="Memory of all processes of custom code together; beyond it idle ones stop.")
    ] = 2048
    sandbox_prestarted: Annotated[
        int, Meta(ge=0, le=64, description="Processes kept ready for tenants that have none, once custom code has run.")
    ] = 2
    sandbox_idle_s: Annotated[
        int, Meta(ge=1, description="Seconds without a call after which a process of custom code stops.")
    ] = 300
    npm_registry: Annotated[
        str, Meta(description="Address of the npm registry or mirror for custom code; else npm's own configuration.")
    ] = ""
    npm_folder: Annotated[
        Path | None, Meta(description="Folder of `.tgz` files that serves as the registry, for machines without one.")
    ] = None
    admin_mfa_required: Annotated[
        bool,
        Meta(
            description="Whether administrators need a second factor for the dashboard as a whole; without, what is "
            "sensitive needs it all the same."
        ),
    ] = True
    admin_session_idle_minutes: Annotated[
        int, Meta(ge=1, description="Minutes without use after which an administrator is signed out.")
    ] = 30
    admin_session_hours: Annotated[
        int, Meta(ge=1, description="Hours after which an administrator is signed out in any case.")
    ] = 12
    admin_fresh_s: Annotated[
        int, Meta(ge=30, le=900, description="Seconds for which an administrator's confirmation of who they are holds.")
    ] = 300
    admin_invitation_hours: Annotated[
        int, Meta(ge=1, description="Hours in which an invitation to administer a tenant can be accepted.")
    ] = 72
    ceremony_second_person_min_age_h: Annotated[
        float,
        Meta(
            ge=0,
            description="Hours for which an administrator does not count as a second person beside the one who invited "
            "them, or who reset their password or factors.",
        ),
    ] = 72
    ceremony_s3_url: Annotated[
        str,
        Meta(
            description="`https://host/bucket/prefix` of an S3-compatible service where sealed exports lie (twice "
            "encrypted) in place of the data folder. The bucket must not keep old versions."
        ),
    ] = ""
    ceremony_s3_access_key: Annotated[str, Meta(description="Access key for `ceremony_s3_url`.")] = ""
    ceremony_s3_secret_key: Annotated[
        str, Meta(description="Secret key for `ceremony_s3_url`.", extra={"secret": True})
    ] = ""
    ceremony_s3_region: Annotated[
        str, Meta(description="Region of `ceremony_s3_url`, where the service wants one.")
    ] = ""
    audit_file: Annotated[
        Path | None,
        Meta(
            description="File to which the audit log is written besides the database, best on another volume; "
            "`audit.jsonl` in the data folder unless another is given. It is only ever appended to."
        ),
    ] = None
    audit_syslog: Annotated[
        str, Meta(description="`host:port` of a syslog server (TCP, RFC 6587) that gets the audit log as well.")
    ] = ""
    audit_https_url: Annotated[
        str, Meta(description="URL that gets the audit log as well, by POST of lines of JSON; 2xx means it keeps them.")
    ] = ""
    audit_https_token: Annotated[
        str, Meta(description="Bearer token for `audit_https_url`.", extra={"secret": True})
    ] = ""
    ceremony_offered: Annotated[
        tuple[str, ...],
        Meta(
            description="Plans to which the export ceremony is offered; `*` offers it to everyone, nothing to nobody."
        ),
    ] = ("*",)
    ceremony_plans: Annotated[
        tuple[str, ...],
        Meta(description="Plans of tenants, as `tenant:plan`; a tenant without one has plan `default`."),
    ] = ()
    ceremony_threshold: Annotated[
        int, Meta(ge=1, le=5, description="How many administrators besides the requester have to confirm an export.")
    ] = 1
    ceremony_requester_min_age_h: Annotated[
        float,
        Meta(ge=0, description="Hours for which somebody has to be an administrator before requesting an export."),
    ] = 168
    ceremony_executive_min_age_h: Annotated[
        float,
        Meta(
            ge=0,
            description="Hours for which an executive and their signing material have to be enrolled before it counts.",
        ),
    ] = 72
    ceremony_cool_down_h: Annotated[
        float,
        Meta(
            ge=0,
            description="Hours without a new request after an export, and after the requester's password or factors "
            "were reset or set up anew.",
        ),
    ] = 24
    ceremony_locked: Annotated[
        tuple[str, ...], Meta(description="Names of tenants whose exports the operator has stopped.")
    ] = ()
    ceremony_waiting_h: Annotated[
        float,
        Meta(
            ge=0,
            description="Hours that an export waits before it is prepared, where one of `ceremony_waiting_for` is so.",
        ),
    ] = 72
    ceremony_waiting_for: Annotated[
        tuple[Literal["sole_administrator", "new_key", "new_approver", "always"], ...],
        Meta(
            description="When an export waits: nobody else could confirm it; a recipient's key was first seen, or a "
            "confirming administrator or their factor is newer, than the waiting is long; or always."
        ),
    ] = ("sole_administrator", "new_key", "new_approver")
    ceremony_sole_administrator: Annotated[
        bool,
        Meta(
            description="Whether the only administrator of a tenant may export without a second person: with two "
            "factors of different kinds, a signature by certificate or passkey, and waiting."
        ),
    ] = False
    ceremony_allow_scan: Annotated[
        Literal["never", "without_private_keys", "always"],
        Meta(description="Whether a scanned ink signature is accepted, with a second administrator who checked it."),
    ] = "never"
    ceremony_allow_modern_keys: Annotated[
        bool, Meta(description="Whether OpenPGP keys on modern curves and of version 6 are accepted besides RSA.")
    ] = False
    ceremony_strict_roles: Annotated[
        bool, Meta(description="Whether the executive who signs has to be another person than requester and approvers.")
    ] = True
    ceremony_passkeys_only: Annotated[
        bool, Meta(description="Whether approvals need a passkey; otherwise a code of an authenticator does as well.")
    ] = False
    ceremony_manual_review: Annotated[
        bool, Meta(description="Whether the operator has to approve each request before anything else happens.")
    ] = False
    ceremony_retention_days: Annotated[
        int, Meta(ge=1, le=7, description="Days after which an export is removed, with its key.")
    ] = 7
    ceremony_download_limit: Annotated[
        int, Meta(ge=1, le=1000, description="How often an export can be downloaded completely.")
    ] = 3
    ceremony_remove_after_download: Annotated[
        bool, Meta(description="Whether an export is removed as soon as it was downloaded completely.")
    ] = False
    ceremony_timestamp_url: Annotated[
        str,
        Meta(
            description="`http://` or `https://` address of a time stamp authority (RFC 3161). Each signed form is "
            "stamped there when it is handed in, and none is accepted without."
        ),
    ] = ""
    ceremony_timestamp_ca: Annotated[
        Path | None,
        Meta(description="PEM file with the certificates that the stamps of `ceremony_timestamp_url` have to lead to."),
    ] = None
    ceremony_sign_exports: Annotated[
        bool,
        Meta(
            description="Whether exports are signed with an OpenPGP key of the tenant. Who decrypts one needs that key "
            "too, or GnuPG ends with an error after it has written the file."
        ),
    ] = False

    def __post_init__(self) -> None:
        if not PUBLIC_DOMAIN.fullmatch(self.domain):
            raise ValueError("domain is host or host:port in lower case, such as login.example.com, without https://")
        if (self.tls_certificate is None) != (self.tls_private_key is None):
            raise ValueError("tls_certificate and tls_private_key are given together or not at all")
        for name in ("trusted_proxies", "metrics_networks"):
            for network in getattr(self, name):
                try:
                    ip_network(network)
                except ValueError:
                    raise ValueError(f"{name} holds networks such as 10.0.0.0/8, each without host bits") from None
        if not all(_HOST_AND_PORT.fullmatch(entry) for entry in self.outbound_allow):
            raise ValueError("outbound_allow holds entries such as mail.internal:25 or [fd00::7]:443")
        if not all(
            _HOST_AND_PORT.fullmatch(_TENANT_AT.sub("", entry, count=1)) for entry in self.sandbox_outbound_allow
        ):
            raise ValueError("sandbox_outbound_allow holds entries such as db.internal:5432 or TENANT@db.internal:5432")
        if self.smtp_url and not _SMTP_URL.fullmatch(self.smtp_url):
            raise ValueError("smtp_url is smtp:// or smtps://, user:password@ if there is one, host, and :port")
        if self.audit_syslog and not _HOST_AND_PORT.fullmatch(self.audit_syslog):
            raise ValueError("audit_syslog is host:port")
        if self.ceremony_s3_url and not _S3_URL.fullmatch(self.ceremony_s3_url):
            raise ValueError("ceremony_s3_url is https://host/bucket or https://host/bucket/prefix")
        if bool(self.ceremony_timestamp_url) != (self.ceremony_timestamp_ca is not None):
            raise ValueError("ceremony_timestamp_url and ceremony_timestamp_ca are given together or not at all")
        if self.ceremony_timestamp_url and not self.ceremony_timestamp_url.startswith(("http://", "https://")):
            raise ValueError("ceremony_timestamp_url begins with http:// or https://")
        if self.audit_https_url and not self.audit_https_url.startswith("https://"):
            raise ValueError("audit_https_url begins with https://")

    def __repr__(self) -> str:
        shown = (
            f"{setting.name}={'***' if setting.secret else getattr(self, setting.name)!r}"
            for setting in documentation()
        )
        return f"Settings({', '.join(shown)})"

    @property
    def data(self) -> "DataDir":
        """The layout of the data folder."""
        return DataDir(self.data_dir)

    @property
    def store_url(self) -> str:
        """The database to open; SQLite in the data folder unless another is configured."""
        return self.database_url or f"sqlite:///{self.data.database.absolute()}"


class Documented(msgspec.Struct, frozen=True):
    """A setting as the reference page shows it."""

    name: str
    type: str
    default: str
    description: str
    secret: bool

    @property
    def env(self) -> str:
        """The environment variable that sets it."""
        return ENV_PREFIX + self.name.upper()

    @property
    def option(self) -> str:
        """The command line option that sets it."""
        return "--" + self.name.replace("_", "-")


def load_settings(
    command_line: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config_file: Path | None = None,
) -> Settings:
    """The settings in force. None on the command line means "not given".

    The file is the one given, else `FREEHOLD_CONFIG`, else `freehold.toml` in the data folder if there is one.
    Raises InvalidSetting that names the setting and the place where it was set.
    """
    environ = os.environ if environ is None else environ
    from_command = {name: value for name, value in (command_line or {}).items() if value is not None}
    from_env = dict(_environment(environ))
    file = config_file
    if file is None and environ.get(ENV_PREFIX + "CONFIG"):
        file = Path(environ[ENV_PREFIX + "CONFIG"])
    if file is None:
        data_dir = from_command.get("data_dir") or from_env.get("data_dir") or DEFAULT_DATA_DIR
        candidate = _convert("data_dir", data_dir, "the data folder") / CONFIG_FILE
        file = candidate if candidate.is_file() else None
    from_file = _read_file(file) if file is not None else {}
    merged: dict[str, Any] = {}
    for values, place in (
        (from_file, lambda name: f"{name} in {file}"),
        (from_env, lambda name: f"the environment variable {ENV_PREFIX}{name.upper()}"),
        (from_command, lambda name: "--" + name.replace("_", "-")),
    ):
        for name, value in values.items():
            if name not in _TYPES:
                raise InvalidSetting(f"There is no setting {name} ({place(name)}).{_suggestion(name)}")
            merged[name] = _convert(name, value, place(name))
    try:
        return Settings(**merged)
    except ValueError as error:
        raise InvalidSetting(f"Settings do not fit together: {error}") from None


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """FREEHOLD_ variables that set nothing: worth a warning, but no reason to stop, others may have put them there."""
    return sorted(
        variable
        for variable in environ
        if variable.startswith(ENV_PREFIX)
        and variable != ENV_PREFIX + "CONFIG"
        and variable[len(ENV_PREFIX) :].lower() not in _TYPES
    )


def documentation() -> Iterator[Documented]:
    """Every setting in the order declared."""
    for field in msgspec.structs.fields(Settings):
        meta = next(item for item in get_args(_HINTS[field.name])[1:] if isinstance(item, Meta) and item.description)
        yield Documented(
            name=field.name,
            type=_type_name(_HINTS[field.name]),
            default=_default_text(field.default),
            description=str(meta.description),
            secret=bool((meta.extra or {}).get("secret")),
        )


def documentation_table() -> str:
    """The reference of all settings as a Markdown table."""
    lines = ["| Setting | Environment | Type | Default | Meaning |", "| --- | --- | --- | --- | --- |"]
    lines += [
        f"| `{setting.name}` | `{setting.env}` | {setting.type} | {setting.default} | {setting.description} |"
        for setting in documentation()
    ]
    return "\n".join(lines) + "\n"


_HINTS: dict[str, Any] = get_type_hints(Settings, include_extras=True)
_TYPES: dict[str, Any] = {field.name: field.type for field in msgspec.structs.fields(Settings)}


def _environment(environ: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    for name in _TYPES:
        value = environ.get(ENV_PREFIX + name.upper())
        # Kubernetes sets NAME_PORT=tcp://... for a service called NAME; that is not meant for us.
        if value is not None and not (name == "port" and value.startswith("tcp://")):
            yield name, value


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise InvalidSetting(f"The configuration file {file} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSetting(f"The configuration file {file} is not TOML: {error}") from None


def _convert(name: str, value: Any, place: str) -> Any:
    """The value in the setting's type; text from the environment is read as a number, a yes or no, or a list."""
    if isinstance(value, str) and get_origin(_bare(_HINTS[name])) is tuple:
        value = [part.strip() for part in value.split(",") if part.strip()]
    try:
        return msgspec.convert(value, _TYPES[name], strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InvalidSetting(f"{place} cannot be used: {_without_value(str(error))}") from None


def _path(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, (str, Path)):
        return Path(value).expanduser()
    raise ValueError("expected a path")


def _without_value(message: str) -> str:
    return "not one of the allowed values" if message.startswith("Invalid enum value") else message


def _suggestion(name: str) -> str:
    close = difflib.get_close_matches(name, _TYPES, n=1)
    return f" Did you mean {close[0]}?" if close else ""


def _bare(hint: Any) -> Any:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    return hint


def _type_name(hint: Any) -> str:
    hint = _bare(hint)
    if get_origin(hint) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(hint))
    if get_origin(hint) is tuple:
        return "list"
    names = {str: "text", int: "number", float: "number", bool: "true or false", Path: "path"}
    return names.get(hint, "path")


def _default_text(default: Any) -> str:
    if default is None or default in {"", ()}:
        return "none"
    text = ",".join(default) if isinstance(default, tuple) else str(default)
    return f"`{text.lower() if isinstance(default, bool) else text}`"


class DataDir(msgspec.Struct, frozen=True):
    """Where things lie in the data folder. It and everything in it belongs to the server's user alone."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite database, when no other is configured."""
        return self.root / "freehold.db"

    @property
    def master_key(self) -> Path:
        """The key that wraps every other key at rest; a backup is worthless without it."""
        return self.root / "master.key"

    @property
    def audit_file(self) -> Path:
        """The audit log's lines beside the database, when no other place is configured."""
        return self.root / "audit.jsonl"

    @property
    def authority(self) -> Path:
        """The local certificate authority and the certificates it issued."""
        return self.root / "authority"

    @property
    def exports(self) -> Path:
        """Sealed exports on their way to whoever asked for them, twice encrypted."""
        return self.root / "exports"

    @property
    def compiled(self) -> Path:
        """Code compiled on this machine, made anew when it is missing: the password accelerator."""
        return self.root / "compiled"

    @property
    def modules(self) -> Path:
        """npm packages of custom code, made anew from their lock files when they are missing."""
        return self.root / "modules"

    @property
    def outbox(self) -> Path:
        """Mail written to files while no mail server is configured."""
        return self.root / "outbox"

    @property
    def temporary(self) -> Path:
        """Uploads and exports being written."""
        return self.root / "tmp"

    def prepare(self) -> None:
        """Create the folders, for this user only; new files of the process are private from here on."""
        os.umask(0o077)
        for folder in (self.root, self.authority, self.outbox, self.temporary):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.check()

    def check(self) -> None:
        """Refuse a data folder, or a secret in it, that another user of the machine could read. Raises InsecureFile."""
        check_private(self.root)
        for entry in sorted(self.root.iterdir()):
            with suppress(FileNotFoundError):  # a running server removes some of its files
                check_private(entry)


def check_private(path: Path) -> None:
    """Raise InsecureFile when the group or others have any right on the path, or when it belongs to someone else."""
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        status = path.stat()
    if status.st_uid not in {os.geteuid(), 0}:
        raise InsecureFile(f"{path} belongs to another user. Change its owner to the user that runs the server.")
    if stat.S_IMODE(status.st_mode) & 0o077:
        mode = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise InsecureFile(f"Other users can read {path}, which may hold secrets. Run: chmod {mode} '{path}'")
