"""Checking a receipt without the server that wrote it: no network, no database, nothing but the file.

Whoever knows the tenant's audit key by its fingerprint knows afterwards that nobody but its owner wrote this. Whoever
does not, knows that it is consistent in itself, and that the signatures by passkeys, certificates and OpenPGP keys in
it hold, which the server cannot make.
"""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import rfc8785

from freehold.domain.administrators import OPERATOR as OPERATOR_ID
from freehold.domain.audit import checking, entries, keys, merkle
from freehold.domain.ceremonies import bundle
from freehold.domain.ceremonies.evidence.approvals import verify_approval
from freehold.domain.ceremonies.evidence.signatories import Executive, SignaturePolicy, TrustAnchor
from freehold.domain.ceremonies.evidence.signed_form import verify_signed_form
from freehold.domain.ceremonies.evidence.timestamps import check_stamp
from freehold.domain.ceremonies.pieces import receipt_message
from freehold.domain.ceremonies.policy import from_snapshot
from freehold.domain.ceremonies.request import Request, authorization_text, digest, parsed
from freehold.domain.ceremonies.states import STEPS
from freehold.domain.users.identifiers import canonical_email
from freehold.kernel.clock import iso, parse_iso
from freehold.kernel.errors import BadRequest, FreeholdError

LARGEST_BUNDLE = 200 << 20
_OUTSIDE = frozenset({"ceremony.refused", "ceremony.draft"})
"""Entries that tell of no step: attempts that were refused, and the beginning."""


class BundleRefused(BadRequest):
    """A receipt that does not hold; the code is a word, the message says what is wrong and where."""

    code = "bundle_refused"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, code=code)


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What a receipt proves."""

    tenant: str
    ceremony_id: str
    digest: str
    state: str
    complete: bool
    """Whether everything that was required had been handed in."""
    kinds: tuple[str, ...]
    relaxed: tuple[str, ...]
    requester: str
    approvers: tuple[str, ...]
    signer: str
    stamped_at: str
    """When a time stamp authority saw the signed form; empty when none was asked."""
    stamped_by: str
    """The authority, by its certificate's name."""
    assurance: tuple[str, ...]
    file_sha256: str
    accesses: int
    destroyed: bool
    audit_key: str
    audit_key_is: str
    """`pinned`, or `self-declared` when nobody said which key it has to be."""


async def verify_bundle(data: bytes, *, audit_key: str | None = None) -> Verified:
    """Check a receipt. Raises BundleRefused with the first thing that is wrong."""
    files = _files(data)
    manifest = _canonical(files, bundle.MANIFEST)
    public = _public_keys(files)
    kid = _check_manifest(files, manifest, public, audit_key)
    request = _request(files, manifest)
    told = _entries(files, request, public)
    state, accesses = _replay(told, manifest)
    pieces = _pieces(files, request, public)
    complete = any(entry["action"] == "ceremony.complete" for entry in _current(told, request))
    signer, assurance, approvers = "", list[str](), list[str]()
    stamped_at, stamped_by = "", ""
    if complete:
        approvers, assurance = _check_people(request, pieces, told)
        signer, level = await _check_form(request, pieces, told)
        assurance.append(level)
        stamped_at, stamped_by = await _check_stamp(request, pieces)
    file_sha256 = _check_artefact(files, request, told, complete=complete)
    return Verified(
        tenant=request.tenant, ceremony_id=request.ceremony_id, digest=digest(request).hex(), state=state,
        complete=complete, kinds=request.kinds, relaxed=tuple(request.policy.get("relaxed", [])),
        requester=request.requester.email, approvers=tuple(approvers), signer=signer, stamped_at=stamped_at,
        stamped_by=stamped_by, assurance=tuple(assurance),
        file_sha256=file_sha256, accesses=accesses, destroyed=state == "destroyed", audit_key=kid,
        audit_key_is="self-declared" if audit_key is None else "pinned",
    )  # fmt: skip


def _files(data: bytes) -> dict[str, bytes]:
    """The members, if the zip is written in the one way it is written."""
    if len(data) > LARGEST_BUNDLE:
        raise BundleRefused("too_large", "The file is larger than a receipt can be.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            stored = all(member.compress_type == zipfile.ZIP_STORED for member in archive.infolist())
            if len(set(names)) != len(names) or not stored or sum(m.file_size for m in archive.infolist()) > len(data):
                raise BundleRefused("not_canonical", "The file is not written as receipts are written.")
            files = {name: archive.read(name) for name in names}
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError, RuntimeError):
        raise BundleRefused("not_a_bundle", "This is no receipt, or it is damaged.") from None
    if bundle.packed(files) != data:
        raise BundleRefused("not_canonical", "The file is not written as receipts are written.")
    return files


def _canonical(files: Mapping[str, bytes], name: str) -> Any:
    """A member's JSON, which has to be in its one spelling."""
    if name not in files:
        raise BundleRefused("missing", f"{name} is missing.")
    try:
        value = msgspec.json.decode(files[name])
        spelled = rfc8785.dumps(value)
    except (msgspec.MsgspecError, rfc8785.CanonicalizationError, UnicodeDecodeError, RecursionError):
        raise BundleRefused("unreadable", f"{name} cannot be read.") from None
    if spelled != files[name]:
        raise BundleRefused("not_canonical", f"{name} is not in its canonical spelling.")
    return value


def _public_keys(files: Mapping[str, bytes]) -> dict[str, bytes]:
    try:
        found = {key["kid"]: bytes.fromhex(key["public_key"]) for key in _canonical(files, bundle.KEYS)}
    except (KeyError, TypeError, ValueError):
        raise BundleRefused("bad_keys", "The audit keys cannot be read.") from None
    if any(keys.fingerprint(raw) != kid for kid, raw in found.items()):
        raise BundleRefused("bad_keys", "An audit key is not the one it is named for.")
    return found


def _check_manifest(
    files: Mapping[str, bytes], manifest: Any, public: Mapping[str, bytes], audit_key: str | None
) -> str:
    signature = _canonical(files, bundle.SIGNATURE)
    try:
        kid = str(signature["kid"])
        signed = bytes.fromhex(signature["signature"])
        named, known = manifest["files"], (manifest["type"], manifest["v"])
    except (KeyError, TypeError, ValueError):
        raise BundleRefused("bad_manifest", "The manifest cannot be read.") from None
    if audit_key is not None and kid != audit_key.lower().replace(":", "").replace(" ", ""):
        raise BundleRefused("other_key", "The receipt is signed by another audit key than the one that was given.")
    message = bundle.BUNDLE_DOMAIN + files[bundle.MANIFEST]
    if kid not in public or not keys.is_signed(public[kid], message, signed):
        raise BundleRefused("bad_signature", "The signature of the manifest does not hold.")
    rest = {name: content for name, content in files.items() if name not in {bundle.MANIFEST, bundle.SIGNATURE}}
    if known != ("freehold.receipt", 1) or named != bundle.listed(rest) or manifest.get("kid") != kid:
        raise BundleRefused("other_files", "The files are not those that the manifest names.")
    return kid


def _request(files: Mapping[str, bytes], manifest: Any) -> Request:
    try:
        request = parsed(files.get(bundle.REQUEST, b""))
    except BadRequest as error:
        raise BundleRefused("bad_request", error.message) from None
    if digest(request).hex() != manifest.get("digest"):
        raise BundleRefused("other_digest", "The request is not the one whose digest the manifest names.")
    if (request.tenant_id, request.ceremony_id) != (manifest.get("tenant"), manifest.get("ceremony_id")):
        raise BundleRefused("other_request", "The request is of another ceremony than the manifest.")
    return request


def _entries(files: Mapping[str, bytes], request: Request, public: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The audit entries, each proved to be in the tree of the signed head."""
    try:
        head = checking.head_of(_canonical(files, bundle.HEAD))
    except BundleRefused:
        raise
    except FreeholdError as error:
        raise BundleRefused("bad_head", error.message) from None
    signature = bytes.fromhex(head.signature)
    if head.kid not in public or not keys.is_signed(public[head.kid], head.message, signature):
        raise BundleRefused("bad_head", "The signature of the tree head does not hold.")
    if head.tenant_id != request.tenant_id:
        raise BundleRefused("bad_head", "The tree head is another tenant's.")
    told: list[dict[str, Any]] = []
    last = 0
    for item in _canonical(files, bundle.ENTRIES):
        try:
            entry, path = item["entry"], [bytes.fromhex(step) for step in item["path"]]
            seq = int(entry["seq"])
            problem = entries.problem_of_shown(entry)
            if (entry["tenant"], entry["ceremony_id"]) != (request.tenant_id, request.ceremony_id):
                problem = "it is of another ceremony"
            elif seq <= last:
                problem = "it stands out of order"
            elif not problem:
                leaf, root = bytes.fromhex(entry["leaf"]), bytes.fromhex(head.root)
                if not merkle.is_included(leaf, seq - 1, head.size, path, root):
                    problem = "it is not in the signed tree"
        except (KeyError, TypeError, ValueError):
            raise BundleRefused("bad_entry", "An audit entry cannot be read.") from None
        if problem:
            raise BundleRefused("bad_entry", f"Audit entry {seq}: {problem}.")
        told.append(entry)
        last = seq
    return told


def _replay(told: Sequence[dict[str, Any]], manifest: Any) -> tuple[str, int]:
    """Go through all steps again: each has to be one of the table, by somebody who may take it."""
    state, accesses, requester = "", 0, ""
    for entry in told:
        action, details, actor = entry["action"], entry["details"], entry["actor"]
        name = action.removeprefix("ceremony.")
        if action == "ceremony.draft":
            if state:
                raise BundleRefused("illegal_step", "The ceremony begins twice.")
            state, requester = "draft", actor["id"]
        elif action in _OUTSIDE or not action.startswith("ceremony."):
            accesses += action.startswith("artefact.download")
        elif "to" in details:
            step = STEPS.get(name)
            if step is None or details["from"] != state or state not in step.sources or step.target != details["to"]:
                raise BundleRefused("illegal_step", f"Audit entry {entry['seq']}: no step {name} leads from {state}.")
            if not step.who & _roles(actor, requester):
                raise BundleRefused("illegal_step", f"Audit entry {entry['seq']}: somebody took a step of others.")
            state = step.target
            accesses += name == "download"
        else:
            if details.get("state") != state:
                raise BundleRefused("illegal_step", f"Audit entry {entry['seq']}: the state was {state}.")
            accesses += name in {"access", "download_again"}
    if not state or state != manifest.get("state"):
        raise BundleRefused("other_state", "The entries do not lead to the state that the manifest names.")
    return state, accesses


def _roles(actor: Mapping[str, Any], requester: str) -> set[str]:
    if actor["kind"] == "administrator":
        return {"administrator", "requester"} if actor["id"] == requester else {"administrator"}
    return {str(actor["kind"])} & {"system", OPERATOR_ID}


def _current(told: Sequence[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    """The entries about the request as it is, not as it was before a change."""
    value = digest(request).hex()
    return [entry for entry in told if entry["digest"] == value]


class _Piece(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    subject: str
    accepted_at: str
    content: bytes
    details: Any


def _pieces(files: Mapping[str, bytes], request: Request, public: Mapping[str, bytes]) -> list[_Piece]:
    """The pieces, each with a receipt that holds, for exactly this request."""
    found: list[_Piece] = []
    names = sorted(name.removesuffix(".receipt.json") for name in files if name.endswith(".receipt.json"))
    expected = {f"{name}{end}" for name in names for end in (".json", ".receipt.json", ".bin")}
    if expected != {name for name in files if name.startswith("evidence/")}:
        raise BundleRefused("bad_piece", "A piece of evidence is not whole.")
    for name in names:
        receipt, details = _canonical(files, f"{name}.receipt.json"), _canonical(files, f"{name}.json")
        content = files[f"{name}.bin"]
        try:
            kid, signature = receipt["kid"], bytes.fromhex(receipt["signature"])
            signed = kid in public and keys.is_signed(public[kid], receipt_message(receipt), signature)
            bound = (receipt["tenant"], receipt["ceremony_id"], receipt["digest"], receipt["revision"]) == (
                request.tenant_id, request.ceremony_id, digest(request).hex(), request.revision,
            )  # fmt: skip
            hashes = (
                hashlib.sha256(content).hexdigest() == receipt["content_sha256"]
                and hashlib.sha256(files[f"{name}.json"]).hexdigest() == receipt["details_sha256"]
            )
            piece = _Piece(
                kind=receipt["kind"], subject=receipt["subject"], accepted_at=receipt["accepted_at"], content=content,
                details=details,
            )  # fmt: skip
        except (KeyError, TypeError, ValueError):
            raise BundleRefused("bad_piece", f"{name} cannot be read.") from None
        if not (signed and bound and hashes and name.endswith(f"-{piece.kind}")):
            raise BundleRefused("bad_piece", f"The receipt of {name} does not hold.")
        found.append(piece)
    return found


def _of(pieces: Sequence[_Piece], kind: str) -> list[_Piece]:
    return [piece for piece in pieces if piece.kind == kind]


def _check_people(
    request: Request, pieces: Sequence[_Piece], told: Sequence[dict[str, Any]]
) -> tuple[list[str], list[str]]:
    """Keys, possession, authorization and confirmations; who confirmed, and how strongly."""
    policy = from_snapshot(request.policy)
    recipients = {recipient.fingerprint: recipient for recipient in request.recipients}
    sent = {piece.subject: hashlib.sha256(piece.content).hexdigest() for piece in _of(pieces, "recipient_key")}
    if sent != {name: recipient.sha256 for name, recipient in recipients.items()}:
        raise BundleRefused("other_key", "The recipients' keys are not those of the request.")
    if {piece.subject for piece in _of(pieces, "possession")} != set(recipients):
        raise BundleRefused("no_possession", "Nobody has shown that the recipients can decrypt.")
    words = [p for p in _of(pieces, "authorization") if p.subject == request.requester.id]
    if len(words) != 1 or words[0].content.decode("utf-8", "replace") != authorization_text(request):
        raise BundleRefused("no_authorization", "The requester has not authorized exactly this request.")
    _check_told(told, request, "authorize", {request.requester.id})
    _check_told(told, request, "possess", {request.requester.id})
    factors = words[0].details["factors"]
    if factors:
        for factor in factors:
            _check_decision(request, factor, "authorize", request.requester.id)
        if not policy.sole_administrator or {factor["method"] for factor in factors} != {"passkey", "totp"}:
            raise BundleRefused("too_few_approvals", "One administrator alone may not export.")
        return [], ["high"]
    approvals = _of(pieces, "approval")
    for piece in approvals:
        _check_decision(request, piece.details, "approve", piece.subject)
    people = [piece.details["person"] for piece in approvals]
    ids = {person["id"] for person in people} | {request.requester.id}
    addresses = {canonical_email(person["email"]) for person in people} | {canonical_email(request.requester.email)}
    if len(ids) != len(people) + 1 or len(addresses) != len(people) + 1:
        raise BundleRefused("not_distinct", "Two of the people are one.")
    if len(people) < policy.threshold:
        raise BundleRefused("too_few_approvals", "Too few administrators have confirmed.")
    _check_told(told, request, "approve", {person["id"] for person in people})
    return [str(person["email"]) for person in people], [str(piece.details["assurance"]) for piece in approvals]


def _check_decision(request: Request, stored: Mapping[str, Any], decision: str, subject: str) -> None:
    if stored["decision"] != decision or stored["person"]["id"] != subject:
        raise BundleRefused("other_decision", "A confirmation is of another decision or person.")
    if stored["method"] == "passkey":
        try:
            verify_approval(digest(request), stored, domain=request.domain)
        except FreeholdError as error:
            raise BundleRefused("bad_approval", error.message) from None
    elif stored["method"] != "totp" or stored["assurance"] != "low" or from_snapshot(request.policy).passkeys_only:
        raise BundleRefused("bad_approval", "A confirmation is proved by nothing.")


def _check_told(told: Sequence[dict[str, Any]], request: Request, action: str, people: set[str]) -> None:
    """Each piece has its entry in the audit log, by the same person."""
    by = {entry["actor"]["id"] for entry in _current(told, request) if entry["action"] == f"ceremony.{action}"}
    if not people <= by:
        raise BundleRefused("not_in_the_log", f"The audit log does not tell of every {action}.")


async def _check_form(request: Request, pieces: Sequence[_Piece], told: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """The signature on the form, as it held when it was accepted."""
    forms, signatures = _of(pieces, "form"), _of(pieces, "signature")
    if len(forms) != 1 or len(signatures) != 1:
        raise BundleRefused("no_signature", "The form is not signed.")
    piece, policy = signatures[0], from_snapshot(request.policy)
    try:
        executive = msgspec.convert(piece.details["executive"], Executive)
        anchors = msgspec.convert(piece.details["anchors"], list[TrustAnchor])
        rules = msgspec.convert(piece.details["policy"], SignaturePolicy)
        signature = await verify_signed_form(
            piece.content, kind=piece.details["kind"], issued=forms[0].content, digest=digest(request),
            executive=executive, anchors=anchors, now=parse_iso(piece.details["verified_at"]), policy=rules,
            verifier=piece.details["verifier"], kinds=request.kinds,
        )  # fmt: skip
    except (msgspec.ValidationError, KeyError, ValueError):
        raise BundleRefused("bad_form", "The signed form cannot be read.") from None
    except FreeholdError as error:
        raise BundleRefused("bad_form", error.message) from None
    named = request.executive
    if (executive.name, executive.title, executive.email) != (named.name, named.title, named.email):
        raise BundleRefused("other_executive", "Somebody else has signed than the request names.")
    if canonical_email(executive.email) == canonical_email(request.requester.email):
        raise BundleRefused("not_distinct", "Two of the people are one.")
    if rules.allow_scan and policy.allow_scan == "never":
        raise BundleRefused("bad_form", "The signature was checked by other rules than the request's.")
    if piece.details["kind"] == "scan" and not _of(pieces, "scan_check"):
        raise BundleRefused("bad_form", "Nobody has said whose the scanned signature is.")
    if not any(entry["action"] == "ceremony.sign" for entry in _current(told, request)):
        raise BundleRefused("not_in_the_log", "The audit log does not tell of the signature.")
    return signature.signer, signature.assurance


async def _check_stamp(request: Request, pieces: Sequence[_Piece]) -> tuple[str, str]:
    """When an outside authority saw the signed form, and which: after the form was issued, before it was accepted."""
    (form,), (signature,) = _of(pieces, "form"), _of(pieces, "signature")
    stamps = _of(pieces, "timestamp")
    if not stamps and not from_snapshot(request.policy).time_stamps:
        return "", ""
    if len(stamps) != 1:
        raise BundleRefused("no_time_stamp", "No authority has stamped the signed form with its time.")
    try:
        stamp = await check_stamp(
            stamps[0].content, signature.content, authorities=stamps[0].details["authorities"],
            now=parse_iso(stamps[0].details["verified_at"]),
            between=(parse_iso(form.accepted_at), parse_iso(signature.accepted_at)),
        )  # fmt: skip
    except FreeholdError as error:
        raise BundleRefused("bad_time_stamp", error.message) from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise BundleRefused("bad_time_stamp", "The time stamp cannot be read.") from None
    if iso(stamp.at) != stamps[0].details["at"]:
        raise BundleRefused("bad_time_stamp", "The time stamp is of another time than the one that was noted.")
    return iso(stamp.at), stamp.authority


def _check_artefact(
    files: Mapping[str, bytes], request: Request, told: Sequence[dict[str, Any]], *, complete: bool
) -> str:
    """What is said of the file is what the audit log says; its digest."""
    known = _canonical(files, bundle.ARTEFACT).get("artefact")
    built = [e["details"]["artefact"] for e in _current(told, request) if e["action"] == "ceremony.finish_build"]
    if known is None and not built:
        return ""
    if not complete or built != [known]:
        raise BundleRefused("other_file", "The file is not the one of which the audit log tells.")
    if sorted(known["recipients"]) != sorted(subkey for one in request.recipients for subkey in one.subkeys):
        raise BundleRefused("other_recipients", "The file is encrypted to others than the request names.")
    return str(known["sha256"])
