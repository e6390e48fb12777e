"""The receipt of a ceremony: a zip that anybody can check without us (`verify.py`).

It holds the request, every accepted piece with the server's receipt for it, the form as issued and as signed, what is
known of the file, and all audit entries with their proofs, under a manifest signed by the tenant's audit key. There is
one way to write it, so that not one byte of it can be another.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from typing import Any

import rfc8785

from freehold.domain import audit
from freehold.domain.ceremonies.pieces import pieces_of
from freehold.domain.ceremonies.records import Ceremony
from freehold.kernel.clock import iso
from freehold.kernel.declare import TenantScope
from freehold.kernel.errors import NotFound, Unavailable
from freehold.kernel.store import Reader

MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
REQUEST, ARTEFACT = "request.json", "artefact.json"
KEYS, HEAD, ENTRIES = "audit/keys.json", "audit/head.json", "audit/entries.json"
BUNDLE_DOMAIN = b"freehold.bundle.v1\0"
_WRITTEN = (1980, 1, 1, 0, 0, 0)


async def write_bundle(reader: Reader, tenant: TenantScope, ceremony: Ceremony) -> bytes:
    """The receipt of a ceremony as it stands. Raises NotFound before anything was signed, Unavailable without a key."""
    head = await audit.latest_head(reader, tenant)
    key = await audit.current_key(reader, tenant)
    if head is None:
        raise NotFound("Nothing of this ceremony was signed yet.")
    if key is None:
        raise Unavailable("The tenant's audit key is not here.", code="audit_unavailable")
    kid, private = key
    entries = [entry for entry in await audit.entries_of(reader, tenant, ceremony.id) if entry.seq <= head.size]
    proofs = await audit.prove(reader, tenant, entries, head)
    public = await audit.public_keys(reader, tenant)
    files: dict[str, bytes] = {
        REQUEST: ceremony.request_text.encode(),
        ARTEFACT: rfc8785.dumps({"artefact": ceremony.artefact, "downloads": ceremony.downloads}),
        KEYS: rfc8785.dumps([{"kid": name, "public_key": raw.hex()} for name, raw in sorted(public.items())]),
        HEAD: rfc8785.dumps(head.shown),
        ENTRIES: rfc8785.dumps([{"entry": proof.entry.shown, "path": list(proof.path)} for proof in proofs]),
    }
    for number, piece in enumerate(await pieces_of(reader, tenant, ceremony), 1):
        name = f"evidence/{number:03}-{piece.kind}"
        files[f"{name}.json"] = piece.details_text.encode()
        files[f"{name}.receipt.json"] = piece.receipt_text.encode()
        files[f"{name}.bin"] = piece.content
    manifest = rfc8785.dumps(
        {
            "v": 1, "type": "freehold.receipt", "tenant": tenant.id, "ceremony_id": ceremony.id,
            "digest": ceremony.digest, "state": ceremony.state, "reason": ceremony.reason, "kid": kid,
            "written_at": iso(tenant.clock.now_ms()), "files": listed(files),
        }
    )  # fmt: skip
    signature = rfc8785.dumps({"kid": kid, "signature": private.sign(BUNDLE_DOMAIN + manifest).hex()})
    return packed({MANIFEST: manifest, SIGNATURE: signature, **files})


def listed(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The files as a manifest names them."""
    return [
        {"name": name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in sorted(files.items())
    ]


def packed(files: Mapping[str, bytes]) -> bytes:
    """The zip of these files: in one order, uncompressed, with nothing of the moment or the machine."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _WRITTEN)
            member.create_system = 3
            member.external_attr = 0o600 << 16
            archive.writestr(member, files[name])
    return target.getvalue()
