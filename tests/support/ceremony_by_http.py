"""A ceremony's steps as requests: each is one call that a test may make as it should be, or bend first.

They need a client with an administrator's session and nothing else, so they work on a real server and in the test's own
process alike.
"""

from typing import Any

import httpx
from pysequoia import decrypt

from tests.support.ceremonies import armored, key_of
from tests.support.signers import Person as Signer
from tests.support.signers import sign_cms

API = "/admin/api/ceremonies"
KINDS = ("password_hashes", "mfa_secrets", "private_keys", "write_only_secrets")


def ok(answer: httpx.Response, status: int = 200) -> dict[str, Any]:
    """What was answered, which has to be of this status."""
    assert answer.status_code == status, f"{answer.status_code} {answer.text}"
    shown: dict[str, Any] = answer.json()
    return shown


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal."""
    return answer.status_code, str(answer.json().get("errorCode"))


def enrol(http: httpx.Client, signer: Signer, *, name: str = "Grace Hopper", email: str = "grace@example.com") -> str:
    """Enrol an executive by a certificate; the id."""
    given = {"name": name, "title": "CSO", "email": email, "certificates": [signer.pem]}
    return str(ok(http.post("/admin/api/executives", json=given), 201)["id"])


def asked(executive: str, email: str, **changes: Any) -> dict[str, Any]:
    """What a requester fills in."""
    return {
        "kinds": KINDS,
        "purpose": "Moving to another provider",
        "recipients": [{"key": armored(email)}],
        "executive": executive,
        **changes,
    }


def words(http: httpx.Client, ceremony_id: str, email: str) -> list[str]:
    """The words that the requester decrypts."""
    opened = []
    for message in ok(http.get(f"{API}/{ceremony_id}"))["messages"].values():
        plain = decrypt(message.encode(), decryptor=key_of(email).decryptor()).bytes
        assert plain is not None
        opened.append(plain.decode())
    return opened


def possess(http: httpx.Client, ceremony_id: str, email: str) -> httpx.Response:
    """Show that the key can be used."""
    return http.post(f"{API}/{ceremony_id}/possess", json={"words": words(http, ceremony_id, email)})


def authorize(http: httpx.Client, ceremony_id: str) -> httpx.Response:
    """Type the text."""
    text = ok(http.get(f"{API}/{ceremony_id}"))["authorization_text"]
    return http.post(f"{API}/{ceremony_id}/authorize", json={"tenant": "main", "text": text})


def approve(http: httpx.Client, ceremony_id: str, code: str) -> httpx.Response:
    """Confirm with a code, as somebody else."""
    groups = ok(http.get(f"{API}/{ceremony_id}"))["groups"]
    return http.post(f"{API}/{ceremony_id}/decision", json={"decision": "approve", "code": code, "digest": groups})


def form(http: httpx.Client, ceremony_id: str) -> bytes:
    """The form to be signed."""
    answer = http.get(f"{API}/{ceremony_id}/form")
    assert answer.status_code == 200, answer.text
    return answer.content


def upload(http: httpx.Client, ceremony_id: str, content: bytes, kind: str = "pdf") -> httpx.Response:
    """Hand in what is said to be signed."""
    return http.post(f"{API}/{ceremony_id}/signature", params={"kind": kind}, content=content)


def sign(http: httpx.Client, ceremony_id: str, signer: Signer) -> httpx.Response:
    """Hand in a signature beside the form, which is quick to make."""
    return upload(http, ceremony_id, sign_cms(form(http, ceremony_id), signer), "cms")


def download(http: httpx.Client, ceremony_id: str) -> httpx.Response:
    """Ask for a ticket, and for the file with it."""
    ticket = ok(http.post(f"{API}/{ceremony_id}/tickets"), 201)["ticket"]
    return http.get(f"{API}/{ceremony_id}/file", params={"ticket": ticket})
