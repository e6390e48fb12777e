"""A receipt is genuine to the byte or refused; most bends here are made by somebody who even has the audit key."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from freehold.domain import audit
from freehold.domain.administrators import Administrator
from freehold.domain.ceremonies import bundle
from freehold.domain.ceremonies.pieces import receipt_message
from freehold.domain.ceremonies.verify import BundleRefused, verify_bundle
from tests.support.ceremonies import Hall


@dataclass
class Forger:
    """Somebody with a genuine receipt and the key it was signed with."""

    data: bytes
    key: Ed25519PrivateKey
    kid: str

    def files(self) -> dict[str, bytes]:
        with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def written(self, files: dict[str, bytes], **manifest: Any) -> bytes:
        """These files under a manifest that fits them."""
        rest = {name: content for name, content in files.items() if not name.startswith("manifest")}
        told = {**msgspec.json.decode(files["manifest.json"]), "files": bundle.listed(rest), **manifest}
        return bundle.packed({**rest, **self.signed(rfc8785.dumps(told))})

    def signed(self, manifest: bytes) -> dict[str, bytes]:
        signature = self.key.sign(bundle.BUNDLE_DOMAIN + manifest).hex()
        return {"manifest.json": manifest, "manifest.sig": rfc8785.dumps({"kid": self.kid, "signature": signature})}

    def changed(self, name: str, change: Callable[[Any], Any], **manifest: Any) -> bytes:
        """One JSON member changed, and all digests that the forger can compute fitted to it."""
        files = self.files()
        value = msgspec.json.decode(files[name])
        files[name] = rfc8785.dumps(change(value) or value)
        if name.startswith("evidence/"):
            self.receipt(files, name.removesuffix(".json"))
        return self.written(files, **manifest)

    def receipt(self, files: dict[str, bytes], stem: str, **changes: Any) -> None:
        """A new receipt for what the piece holds now."""
        import hashlib

        receipt = msgspec.json.decode(files[f"{stem}.receipt.json"])
        receipt |= {
            "content_sha256": hashlib.sha256(files[f"{stem}.bin"]).hexdigest(),
            "details_sha256": hashlib.sha256(files[f"{stem}.json"]).hexdigest(),
            **changes,
        }
        receipt["signature"] = self.key.sign(receipt_message(receipt)).hex()
        files[f"{stem}.receipt.json"] = rfc8785.dumps(receipt)

    def named(self, kind: str) -> str:
        return next(n.removesuffix(".receipt.json") for n in self.files() if n.endswith(f"-{kind}.receipt.json"))

    def without(self, *kinds: str) -> bytes:
        files = self.files()
        for kind in kinds:
            for end in (".json", ".receipt.json", ".bin"):
                del files[self.named(kind) + end]
        return self.written(files)

    def entry(self, action: str, change: Callable[[dict[str, Any]], Any], *, rehash: bool = True) -> bytes:
        """One audit entry changed, hashed anew."""
        from freehold.domain.audit.entries import leaf_of

        def bend(items: list[dict[str, Any]]) -> None:
            for item in items:
                if item["entry"]["action"] == action:
                    change(item["entry"])
                    if rehash:
                        signed = {k: v for k, v in item["entry"].items() if k not in {"details", "leaf"}}
                        item["entry"]["leaf"] = leaf_of(signed).hex()

        return self.changed("audit/entries.json", bend)


@pytest.fixture
async def forger(hall: Hall, ada: Administrator, bob: Administrator) -> Forger:
    ceremony = await hall.at("downloaded", ada, bob)
    hall.clock.advance(seconds=8 * 86_400)
    await hall.reconcile()
    ceremony = await hall.remove(ceremony)
    key = await audit.current_key(hall.store, hall.tenant)
    assert key is not None
    return Forger(await bundle.write_bundle(hall.store, hall.tenant, ceremony), key[1], key[0])


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_a_genuine_receipt_tells_everything(forger: Forger, ada: Administrator, bob: Administrator) -> None:
    found = await verify_bundle(forger.data, audit_key=forger.kid)

    assert (found.requester, found.approvers, found.signer) == (ada.email, (bob.email,), "Grace Hopper")
    assert (found.state, found.complete, found.destroyed, found.accesses) == ("destroyed", True, True, 1)
    assert found.assurance == ("low", "substantial")
    assert set(found.relaxed) == {
        "requester_min_age_h", "executive_min_age_h", "cool_down_h", "second_person_min_age_h", "allow_modern_keys",
        "waiting_for",
    }  # fmt: skip
    assert found.audit_key_is == "pinned"
    assert (await verify_bundle(forger.data)).audit_key_is == "self-declared"


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_a_receipt_of_an_unfinished_ceremony_says_so(hall: Hall, ada: Administrator, bob: Administrator) -> None:
    ceremony = await hall.at("authorize", ada, bob)
    found = await verify_bundle(await bundle.write_bundle(hall.store, hall.tenant, ceremony))

    assert (found.state, found.complete, found.file_sha256) == ("requirements_pending", False, "")


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_it_cannot_grow_or_shrink(forger: Forger) -> None:
    for bent in (
        forger.data + b"\0", forger.data[:-1], b"\0" + forger.data, forger.data[1:], b"", b"PK", forger.data * 2,
    ):  # fmt: skip
        with pytest.raises(BundleRefused):
            await verify_bundle(bent)


def repacked(f: Forger, **options: Any) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", **options) as archive:
        for name, content in f.files().items():
            archive.writestr(name, content)
    return target.getvalue()


def person(f: Forger, kind: str, **changes: Any) -> bytes:
    return f.changed(f.named(kind) + ".json", lambda v: v["person"].update(changes))


def added_approval(f: Forger) -> bytes:
    """A second approval by the same person, so that two would seem to have confirmed."""
    files, old, new = f.files(), f.named("approval"), "evidence/900-approval"
    for end in (".json", ".receipt.json", ".bin"):
        files[new + end] = files[old + end]
    return f.written(files)


def foreign_form(f: Forger) -> bytes:
    files, stem = f.files(), f.named("form")
    files[stem + ".bin"] = files[stem + ".bin"].replace(b"%PDF-", b"%PDF-", 1) + b"\n%x"
    f.receipt(files, stem)
    return f.written(files)


def bent_content(f: Forger, kind: str) -> bytes:
    files, stem = f.files(), f.named(kind)
    files[stem + ".bin"] = files[stem + ".bin"][:-40] + b"x" + files[stem + ".bin"][-39:]
    f.receipt(files, stem)
    return f.written(files)


def unsigned(f: Forger) -> bytes:
    files = f.files()
    files["manifest.sig"] = rfc8785.dumps({"kid": f.kid, "signature": "00" * 64})
    return bundle.packed(files)


def self_signed(f: Forger) -> bytes:
    """Everything signed by a key of the forger's own, which is put into the receipt."""
    key = Ed25519PrivateKey.generate()
    raw = key.public_key().public_bytes_raw()
    files, kid = f.files(), audit.fingerprint(raw)
    files["audit/keys.json"] = rfc8785.dumps([{"kid": kid, "public_key": raw.hex()}])
    return Forger(f.data, key, kid).written(files, kid=kid)


def spelled_otherwise(f: Forger) -> bytes:
    files = f.files()
    files["audit/head.json"] = files["audit/head.json"].replace(b",", b", ")
    return f.written(files)


def extra_file(f: Forger, name: str) -> bytes:
    return f.written({**f.files(), name: b"{}"})


def other_receipt(f: Forger, **changes: Any) -> bytes:
    files, stem = f.files(), f.named("possession")
    f.receipt(files, stem, **changes)
    return f.written(files)


def dropped(f: Forger, action: str) -> bytes:
    return f.changed("audit/entries.json", lambda items: [i for i in items if i["entry"]["action"] != action])


BENDS: dict[str, tuple[Callable[[Forger], bytes], str]] = {
    "compressed": (lambda f: repacked(f, compression=zipfile.ZIP_DEFLATED), "not_canonical"),
    "zipped by another program": (repacked, "not_canonical"),
    "manifest not signed": (unsigned, "bad_signature"),
    "signed by a new key of the forger": (self_signed, "bad_head"),
    "another spelling": (spelled_otherwise, "not_canonical"),
    "a file more": (lambda f: extra_file(f, "evidence/zzz.json"), "bad_piece"),
    "a file less": (lambda f: f.without("possession"), "no_possession"),
    "manifest of another ceremony": (lambda f: f.written(f.files(), ceremony_id="cer_x"), "other_request"),
    "manifest of another tenant": (lambda f: f.written(f.files(), tenant="t_x"), "other_request"),
    "another digest": (lambda f: f.written(f.files(), digest="00" * 32), "other_digest"),
    "another state": (lambda f: f.written(f.files(), state="ready"), "other_state"),
    "another purpose": (lambda f: f.changed("request.json", lambda r: r.update(purpose="Just a look")), "other_digest"),
    "another kind": (lambda f: f.changed("request.json", lambda r: r.update(kinds=["private_keys"])), "other_digest"),
    "an unknown member": (lambda f: f.changed("request.json", lambda r: r.update(more=1)), "bad_request"),
    "head with another root": (
        lambda f: f.changed("audit/head.json", lambda h: h.update(root="00" * 32)), "bad_head",
    ),
    "head of another size": (
        lambda f: f.changed("audit/head.json", lambda h: h.update(size=h["size"] + 1)), "bad_head",
    ),
    "key under a false name": (
        lambda f: f.changed("audit/keys.json", lambda k: k[0].update(public_key="00" * 32)), "bad_keys",
    ),
    "entry by another person": (
        lambda f: f.entry("ceremony.approve", lambda e: e["actor"].update(id="adm_x")), "bad_entry",
    ),
    "entry at another time": (
        lambda f: f.entry("ceremony.sign", lambda e: e.update(time="2020-01-01T00:00:00.000Z")), "bad_entry",
    ),
    "entry with other details": (
        lambda f: f.entry("ceremony.submit", lambda e: e["details"].update(kinds=[]), rehash=False), "bad_entry",
    ),
    "entry of another action": (
        lambda f: f.entry("ceremony.download", lambda e: e.update(action="ceremony.note")), "bad_entry",
    ),
    "no download in the log": (lambda f: dropped(f, "ceremony.download"), "illegal_step"),
    "no review in the log": (lambda f: dropped(f, "ceremony.pass_review"), "illegal_step"),
    "no approval in the log": (lambda f: dropped(f, "ceremony.approve"), "not_in_the_log"),
    "no authorization in the log": (lambda f: dropped(f, "ceremony.authorize"), "not_in_the_log"),
    "no signature in the log": (lambda f: dropped(f, "ceremony.sign"), "not_in_the_log"),
    "no removal in the log": (lambda f: dropped(f, "ceremony.destroy"), "other_state"),
    "entries in another order": (lambda f: f.changed("audit/entries.json", lambda e: e[::-1]), "bad_entry"),
    "entry twice": (lambda f: f.changed("audit/entries.json", lambda e: [*e[:1], *e]), "bad_entry"),
    "approval missing": (lambda f: f.without("approval"), "too_few_approvals"),
    "approval twice": (added_approval, "not_distinct"),
    "approval by the requester": (
        lambda f: person(f, "approval", id=msgspec.json.decode(f.files()["request.json"])["requester"]["id"]),
        "other_decision",
    ),
    "approver with the requester's address": (lambda f: person(f, "approval", email="ada@acme.test"), "not_distinct"),
    "a rejection as approval": (
        lambda f: f.changed(f.named("approval") + ".json", lambda v: v.update(decision="reject")), "other_decision",
    ),
    "approval made strong": (
        lambda f: f.changed(f.named("approval") + ".json", lambda v: v.update(assurance="high")), "bad_approval",
    ),
    "approval by a passkey that never signed": (
        lambda f: f.changed(f.named("approval") + ".json", lambda v: v.update(method="passkey", nonce="00" * 32)),
        "bad_approval",
    ),
    "authorization missing": (lambda f: f.without("authorization"), "no_authorization"),
    "other authorization": (lambda f: bent_content(f, "authorization"), "no_authorization"),
    "another key": (lambda f: bent_content(f, "recipient_key"), "other_key"),
    "key missing": (lambda f: f.without("recipient_key"), "other_key"),
    "form missing": (lambda f: f.without("form"), "no_signature"),
    "another form": (foreign_form, "bad_form"),
    "signature missing": (lambda f: f.without("signature"), "no_signature"),
    "bent signature": (lambda f: bent_content(f, "signature"), "bad_form"),
    "another executive": (
        lambda f: f.changed(f.named("signature") + ".json", lambda v: v["executive"].update(email="eve@x.test")),
        "other_executive",
    ),
    "receipt for another request": (lambda f: other_receipt(f, digest="00" * 32), "bad_piece"),
    "receipt for another revision": (lambda f: other_receipt(f, revision=2), "bad_piece"),
    "receipt for another tenant": (lambda f: other_receipt(f, tenant="t_x"), "bad_piece"),
    "receipt for another kind": (lambda f: other_receipt(f, kind="approval"), "bad_piece"),
    "another file": (
        lambda f: f.changed("artefact.json", lambda a: a["artefact"].update(sha256="00" * 32)), "other_file",
    ),
    "no file": (lambda f: f.changed("artefact.json", lambda a: a.update(artefact=None)), "other_file"),
}  # fmt: skip


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_every_bend_is_refused_for_its_reason(forger: Forger) -> None:
    assert len(BENDS) >= 30
    wrong = {}
    for name, (bend, code) in BENDS.items():
        try:
            await verify_bundle(bend(forger))
        except BundleRefused as refused:
            if refused.code != code:
                wrong[name] = refused.code
        else:
            wrong[name] = "accepted"
    assert wrong == {}


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_another_audit_key_than_the_pinned_one_is_refused(forger: Forger) -> None:
    with pytest.raises(BundleRefused) as refused:
        await verify_bundle(forger.data, audit_key="00" * 32)
    assert refused.value.code == "other_key"
    assert await verify_bundle(forger.data, audit_key=forger.kid.upper())


@pytest.mark.parametrize("database", ["sqlite"], scope="session")
async def test_a_receipt_names_no_secret(forger: Forger, hall: Hall) -> None:
    for secret in hall.secrets.values():
        assert secret.encode() not in forger.data
