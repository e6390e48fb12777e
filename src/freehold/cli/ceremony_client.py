"""What administrators do in a ceremony, over HTTP and in their own name, with a session of their own.

The session's token comes from `freehold ceremony sign-in`, in FREEHOLD_ADMIN_TOKEN; each step wants it to be fresh.
"""

import hashlib
import json
import os
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from freehold.cli.output import written_whole
from freehold.kernel.errors import BadRequest, FreeholdError

API = "/admin/api/ceremonies"
TOKEN = "FREEHOLD_ADMIN_TOKEN"  # noqa: S105 - the name of a variable

ServerOption = Annotated[
    str, typer.Option("--server", envvar="FREEHOLD_SERVER", help="Base URL of the tenant, https://host[:port].")
]
CaOption = Annotated[
    Path | None, typer.Option("--ca-file", help="Certificate of the local authority, where one issued the server's.")
]
IdArgument = Annotated[str, typer.Argument(help="The ceremony's id.")]


class ServerRefused(FreeholdError):
    """The server said no; the message is its own."""


def sign_in(
    email: Annotated[str, typer.Argument(help="Your e-mail address.")],
    server: ServerOption,
    ca_file: CaOption = None,
) -> None:
    """Open a session with password and code; prints the token for FREEHOLD_ADMIN_TOKEN."""
    password = typer.prompt("Password", hide_input=True, err=True)
    code = typer.prompt("Code of your authenticator", err=True)
    answer = _call(
        server, ca_file, "POST", "/admin/api/sessions", json={"email": email, "password": password, "otp": code},
        token="",
    )  # fmt: skip
    print(json.loads(answer)["token"])


def request(
    key: Annotated[list[Path], typer.Option("--key", help="Armored OpenPGP public key; the first is your own.")],
    executive: Annotated[str, typer.Option("--executive", help="Id of the enrolled executive who is to sign.")],
    purpose: Annotated[str, typer.Option("--purpose", help="What the export is for.")],
    server: ServerOption,
    kind: Annotated[
        list[str], typer.Option("--kind", help="password_hashes, mfa_secrets, private_keys, write_only_secrets.")
    ],
    connection: Annotated[list[str], typer.Option("--connection", help="Only this connection; default: all.")] = [],  # noqa: B006
    needed_by: Annotated[str | None, typer.Option("--needed-by", help="A date, 2026-12-31.")] = None,
    output: Annotated[Path, typer.Option("--words", help="Folder for the messages to decrypt.")] = Path(),
    ca_file: CaOption = None,
) -> None:
    """Request an export and submit it; writes the messages whose words prove that the keys work."""
    body = {
        "kinds": kind,
        "purpose": purpose,
        "executive": executive,
        "recipients": [{"key": path.read_text()} for path in key],
        "connections": connection,
        "needed_by": needed_by,
    }
    made = json.loads(_call(server, ca_file, "POST", API, json=body))
    done = json.loads(_call(server, ca_file, "POST", f"{API}/{made['id']}/submit"))
    print(f"{done['id']} is {done['state']}; its digest begins with {done['groups']}")
    if done["reason"]:
        print(done["reason"])
    shown = json.loads(_call(server, ca_file, "GET", f"{API}/{made['id']}"))
    for fingerprint, message in shown.get("messages", {}).items():
        path = output / f"{made['id']}-{fingerprint[-16:]}.asc"
        path.write_text(message)
        print(f"Decrypt {path} and type its word: freehold ceremony possess {made['id']} WORD")


def possess(
    ceremony_id: IdArgument,
    words: Annotated[list[str], typer.Argument(help="The words, in the order of the keys.")],
    server: ServerOption,
    ca_file: CaOption = None,
) -> None:
    """Show that the keys work."""
    _step(server, ca_file, f"{ceremony_id}/possess", {"words": words})


def authorize(ceremony_id: IdArgument, server: ServerOption, ca_file: CaOption = None) -> None:
    """Authorize the export as its requester: type the tenant's name and the sentence that is shown."""
    shown = json.loads(_call(server, ca_file, "GET", f"{API}/{ceremony_id}"))
    typer.echo(f"\n  {shown['authorization_text']}\n", err=True)
    name = typer.prompt("The tenant's name", err=True)
    text = typer.prompt("The sentence above", err=True)
    _step(server, ca_file, f"{ceremony_id}/authorize", {"tenant": name, "text": text})


def approve(
    ceremony_id: IdArgument,
    server: ServerOption,
    reject: Annotated[bool, typer.Option("--reject", help="Reject it instead, which ends it.")] = False,
    reason: Annotated[str, typer.Option("--reason", help="Why, for a rejection.")] = "",
    ca_file: CaOption = None,
) -> None:
    """Confirm an export as another administrator, with a code of your authenticator."""
    shown = json.loads(_call(server, ca_file, "GET", f"{API}/{ceremony_id}"))
    asked = shown["request"]
    for line in (
        f"{asked['requester']['name']} <{asked['requester']['email']}> asks for {', '.join(asked['kinds'])}",
        f"of {asked['tenant']}, for: {asked['purpose']}",
        *(f"encrypted to {one['fingerprint']} <{one['email']}>" for one in asked["recipients"]),
        f"digest {shown['digest']}",
        *(f"relaxed by the operator: {name}" for name in shown["relaxed"]),
    ):
        typer.echo(f"  {line}", err=True)
    digest = typer.prompt(f"Type the first six groups of the digest ({shown['groups']})", err=True)
    code = typer.prompt("A fresh code of your authenticator", err=True)
    decision = {"decision": "reject" if reject else "approve", "code": code, "digest": digest, "reason": reason}
    _step(server, ca_file, f"{ceremony_id}/decision", decision)


def form(
    ceremony_id: IdArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The PDF to write.")],
    server: ServerOption,
    ca_file: CaOption = None,
) -> None:
    """Fetch the form that the executive signs."""
    _write(output, _call(server, ca_file, "GET", f"{API}/{ceremony_id}/form"))


def sign_form(
    ceremony_id: IdArgument,
    signed: Annotated[Path, typer.Argument(help="The signed form, or the signature of it.")],
    server: ServerOption,
    kind: Annotated[str, typer.Option("--kind", help="pdf, cms, openpgp, webauthn or scan.")] = "pdf",
    ca_file: CaOption = None,
) -> None:
    """Hand in the signed form."""
    answer = _call(server, ca_file, "POST", f"{API}/{ceremony_id}/signature?kind={kind}", content=signed.read_bytes())
    _tell(answer)


def cancel(
    ceremony_id: IdArgument,
    server: ServerOption,
    reason: Annotated[str, typer.Option("--reason", help="Why.")] = "",
    ca_file: CaOption = None,
) -> None:
    """End a ceremony, whatever its state; a file that is there is destroyed."""
    _step(server, ca_file, f"{ceremony_id}/cancel", {"reason": reason})


def download(
    ceremony_id: IdArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The encrypted file to write.")],
    server: ServerOption,
    ca_file: CaOption = None,
) -> None:
    """Fetch the encrypted export as its requester, and compare it with its digest."""
    ticket = json.loads(_call(server, ca_file, "POST", f"{API}/{ceremony_id}/tickets"))
    digest = hashlib.sha256()
    path = f"{API}/{ceremony_id}/file?ticket={ticket['ticket']}"
    with written_whole(output) as file, _client(server, ca_file).stream("GET", path, headers=_headers()) as answer:
        if answer.status_code != 200:
            raise _refused(answer.status_code, answer.read())
        for piece in answer.iter_bytes(1 << 20):
            digest.update(piece)
            file.write(piece)
        if digest.hexdigest() != ticket["sha256"]:
            raise ServerRefused("The file is not the one that was announced: its SHA-256 differs.")
    print(f"Wrote {output}, SHA-256 {ticket['sha256']}")


def receipt(
    ceremony_id: IdArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The receipt to write.")],
    server: ServerOption,
    ca_file: CaOption = None,
) -> None:
    """Fetch the receipt, for `freehold ceremony verify`."""
    _write(output, _call(server, ca_file, "GET", f"{API}/{ceremony_id}/receipt"))


COMMANDS: dict[str, Callable[..., None]] = {
    "sign-in": sign_in, "request": request, "possess": possess, "authorize": authorize, "approve": approve,
    "form": form, "sign-form": sign_form, "cancel": cancel, "download": download, "receipt": receipt,
}  # fmt: skip


def add_commands(app: typer.Typer) -> None:
    """Add the commands of administrators."""
    for name, command in COMMANDS.items():
        app.command(name)(command)


def _step(server: str, ca_file: Path | None, path: str, body: dict[str, Any]) -> None:
    _tell(_call(server, ca_file, "POST", f"{API}/{path}", json=body))


def _tell(answer: bytes) -> None:
    shown = json.loads(answer)
    print(f"{shown['id']} is {shown['state']}")


def _write(path: Path, content: bytes) -> None:
    with written_whole(path) as file:
        file.write(content)
    print(f"Wrote {path}")


def _client(server: str, ca_file: Path | None) -> Any:
    import httpx

    if not server.startswith("https://"):
        raise BadRequest("The server's URL begins with https://")
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    return httpx.Client(base_url=server.rstrip("/"), verify=context, timeout=120)


def _headers(token: str | None = None) -> dict[str, str]:
    value = os.environ.get(TOKEN, "") if token is None else token
    if token is None and not value:
        raise BadRequest(f"Sign in first: freehold ceremony sign-in EMAIL, and put the token into {TOKEN}.")
    key = {"idempotency-key": secrets.token_hex(16)}
    return {**key, "authorization": f"Bearer {value}"} if value else key


def _call(
    server: str,
    ca_file: Path | None,
    method: str,
    path: str,
    *,
    json: Any = None,
    content: bytes | None = None,
    token: str | None = None,
) -> bytes:
    """The body of the answer. Raises ServerRefused with the server's sentence."""
    import httpx

    try:
        with _client(server, ca_file) as client:
            answer = client.request(method, path, json=json, content=content, headers=_headers(token))
    except httpx.TransportError as error:
        raise ServerRefused(f"{server} does not answer: {error}") from None
    if answer.status_code >= 400:
        raise _refused(answer.status_code, answer.content)
    body: bytes = answer.content
    return body


def _refused(status: int, body: bytes) -> ServerRefused:
    try:
        shown = json.loads(body)
        return ServerRefused(f"{shown['message']} ({shown['errorCode']})")
    except (ValueError, KeyError, TypeError):
        return ServerRefused(f"The server answered with status {status}.")
