"""People who sign forms: certificates, passkeys, and what forgers do to a signed PDF."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from hashlib import sha256
from io import BytesIO
from typing import Any

import cbor2
from asn1crypto import algos as asn1_algos
from asn1crypto import keys as asn1_keys
from asn1crypto import pem
from asn1crypto import x509 as asn1_x509
from Crypto.Hash import SHA1
from Crypto.PublicKey import RSA
from Crypto.Signature import pkcs1_15
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier
from pyhanko.pdf_utils import generic
from pyhanko.pdf_utils.generic import pdf_name
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigFieldSpec, SigSeedSubFilter, append_signature_field
from pyhanko.sign.signers.pdf_cms import PdfCMSSignedAttributes
from pyhanko.sign.timestamps import DummyTimeStamper
from pyhanko_certvalidator import ValidationContext
from pyhanko_certvalidator.registry import SimpleCertificateStore

from freehold.domain.ceremonies.evidence.form import SIGNATURE_FIELD, FormContent, render_form
from freehold.domain.ceremonies.evidence.signatories import Executive, ExecutivePasskey, TrustAnchor

GRACE = Executive(name="Grace Hopper", title="Chief Information Security Officer", email="grace@example.com")
DIGEST = sha256(b"a request").digest()
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def form_content(**changes: Any) -> FormContent:
    """A form's content; keywords change a member."""
    content: dict[str, Any] = {
        "tenant": "acme",
        "domain": "acme.example.com",
        "ceremony_id": "cer_8sK2mQ0aLz7Xw1Bv",
        "digest": DIGEST.hex(),
        "groups": " ".join(DIGEST.hex()[start : start + 4] for start in range(0, 24, 4)),
        "kinds": ("password_hashes", "mfa_secrets"),
        "connections": ("Username-Password-Authentication",),
        "requester_name": "Ada Lovelace",
        "requester_email": "ada@example.com",
        "fingerprint": "3EB3C37F22DD6F2DF9A88FB051668E3A8EAA052B",
        "purpose": "We move to an identity platform of our own.",
        "created_at": datetime(2026, 3, 1, 12, tzinfo=UTC),
        "retention_days": 7,
        "executive_name": GRACE.name,
        "executive_title": GRACE.title,
        "executive_email": GRACE.email,
    }
    return FormContent(**content | changes)


@cache
def issued_form(language: str = "en") -> bytes:
    """A form as it is handed out."""
    return render_form(form_content(language=language))


@dataclass(frozen=True)
class Person:
    """A certificate with its key and those above it."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def fingerprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def signer(self) -> signers.SimpleSigner:
        """The person as pyHanko signs."""
        secret = self.key.private_bytes(Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return signers.SimpleSigner(
            signing_cert=asn1(self.certificate),
            signing_key=asn1_keys.PrivateKeyInfo.load(secret),
            cert_registry=SimpleCertificateStore.from_certs([asn1(one) for one in self.chain]),
        )


@dataclass(eq=False)
class Authority:
    """A certificate authority with its list of revoked certificates."""

    now: datetime
    name: str = "Example Corporate CA"
    key: Key = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        builder = certificate_builder(subject, subject, self.key, self.now - timedelta(days=1000), timedelta(days=4000))
        builder = builder.add_extension(x509.BasicConstraints(True, None), critical=True)
        builder = builder.add_extension(key_usage(certificates=True), critical=True)
        self.certificate = builder.sign(self.key, hashes.SHA256())

    def issue(
        self,
        name: str = GRACE.name,
        email: str | None = GRACE.email,
        *,
        key: Key | None = None,
        begins: timedelta = timedelta(days=-10),
        lasts: timedelta = timedelta(days=400),
        usage: x509.KeyUsage | None = None,
        purposes: Sequence[ObjectIdentifier] = (ExtendedKeyUsageOID.EMAIL_PROTECTION,),
        ca: bool = False,
        digest: hashes.HashAlgorithm | None = None,
        self_signed: bool = False,
    ) -> Person:
        """A person's certificate."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if self_signed else self.certificate.subject
        builder = certificate_builder(subject, issuer, key, self.now + begins, lasts)
        builder = builder.add_extension(x509.BasicConstraints(ca, None), critical=True)
        builder = builder.add_extension(usage or key_usage(), critical=True)
        if purposes:
            only_time = [*purposes] == [ExtendedKeyUsageOID.TIME_STAMPING]  # RFC 3161 section 2.3
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=only_time)
        if email:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(email)]), critical=False)
        certificate = builder.sign(key if self_signed else self.key, digest or hashes.SHA256())  # type: ignore[arg-type]
        return Person(certificate, key, () if self_signed else (self.certificate,))

    def issue_with_sha1(self) -> Person:
        """A certificate as authorities stopped making them in 2016; only an RSA authority can."""
        person = self.issue()
        certificate = asn1(person.certificate)
        scheme = asn1_algos.SignedDigestAlgorithm({"algorithm": "sha1_rsa"})
        certificate["tbs_certificate"]["signature"] = scheme
        certificate["signature_algorithm"] = scheme
        secret = self.key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        signed = pkcs1_15.new(RSA.import_key(secret)).sign(SHA1.new(certificate["tbs_certificate"].dump()))
        certificate["signature_value"] = signed
        return Person(x509.load_der_x509_certificate(certificate.dump(force=True)), person.key, person.chain)

    def crl(self, *revoked: Person, age: timedelta = timedelta(hours=1), lasts: timedelta = timedelta(days=7)) -> bytes:
        """The list of revoked certificates, in PEM."""
        made = self.now - age
        builder = x509.CertificateRevocationListBuilder(self.certificate.subject, made, made + lasts)
        for person in revoked:
            entry = x509.RevokedCertificateBuilder(person.certificate.serial_number, made)
            builder = builder.add_revoked_certificate(entry.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def anchor(self, *crls: bytes) -> TrustAnchor:
        """The authority as a tenant enrols it."""
        certificate = self.certificate.public_bytes(Encoding.PEM).decode()
        return TrustAnchor(name=self.name, certificate=certificate, crls=tuple(crl.decode() for crl in crls))


def certificate_builder(
    subject: x509.Name, issuer: x509.Name, key: Key, begins: datetime, lasts: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + lasts)
    )


def key_usage(*, certificates: bool = False, signatures: bool = True) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signatures and not certificates, content_commitment=signatures and not certificates,
        key_encipherment=not signatures, data_encipherment=False, key_agreement=False, key_cert_sign=certificates,
        crl_sign=certificates, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))


def time_authority(authority: Authority, *, at: datetime | None = None) -> DummyTimeStamper:
    """A timestamp authority below the same root, whose clock stands still."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    person = authority.issue("Example TSA", None, key=key, purposes=(ExtendedKeyUsageOID.TIME_STAMPING,))
    signer = person.signer()
    return DummyTimeStamper(
        tsa_cert=signer.signing_cert, tsa_key=signer.signing_key, fixed_dt=at or authority.now,
        certs_to_embed=SimpleCertificateStore.from_certs([asn1(authority.certificate)]),
    )  # fmt: skip


def sign_pdf(
    pdf: bytes,
    person: Person,
    *,
    field_name: str = SIGNATURE_FIELD,
    pades: bool = True,
    digest: str = "sha256",
    authority: Authority | None = None,
    long_term: bool = False,
    docmdp: Any = None,
    reserved: int | None = None,
) -> bytes:
    """The PDF with the person's signature; with an authority, with a timestamp too."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    options: dict[str, Any] = {}
    if long_term:
        assert authority is not None
        crl = pem.unarmor(authority.crl())[2]
        root = asn1(authority.certificate)
        options |= {
            "embed_validation_info": True,
            "validation_context": ValidationContext(
                trust_roots=[root], crls=[crl], allow_fetching=False, moment=authority.now
            ),
        }
    if docmdp is not None:
        options |= {"certify": True, "docmdp_permissions": docmdp}
    metadata = signers.PdfSignatureMetadata(
        field_name=field_name,
        md_algorithm=digest,
        subfilter=SigSeedSubFilter.PADES if pades else SigSeedSubFilter.ADOBE_PKCS7_DETACHED,
        **options,
    )
    timestamper = time_authority(authority) if authority else None
    signing = signers.async_sign_pdf(
        writer, metadata, signer=person.signer(), timestamper=timestamper, bytes_reserved=reserved
    )
    return bytes(beside_the_loop(signing).getvalue())


def beside_the_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of asynchronous work, also for callers inside a running loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def sign_cms(content: bytes, person: Person, *, digest: str = "sha256", attached: bool = False) -> bytes:
    """A .p7s over the content."""
    attributes = PdfCMSSignedAttributes(signing_time=datetime.now(UTC))
    signing = person.signer().async_sign_general_data(
        content,
        digest,
        detached=not attached,
        signed_attr_settings=attributes,
    )
    signed: bytes = beside_the_loop(signing).dump()
    return signed


Change = Callable[[IncrementalPdfFileWriter], None]


def changed(pdf: bytes, change: Change) -> bytes:
    """The PDF with one more revision."""
    writer = IncrementalPdfFileWriter(BytesIO(pdf))
    change(writer)
    out = BytesIO()
    writer.write(out)
    return out.getvalue()


def overlay(writer: IncrementalPdfFileWriter) -> None:
    """Another text over the page."""
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    stream = generic.StreamObject(stream_data=b"q 1 1 1 rg 0 0 595 842 re f Q")
    page[pdf_name("/Contents")] = generic.ArrayObject([page.raw_get("/Contents"), writer.add_object(stream)])
    writer.update_container(page)


def swap_page(writer: IncrementalPdfFileWriter) -> None:
    """What the page shows is replaced under its own name."""
    page = writer.root["/Pages"]["/Kids"][0].get_object()
    contents = page["/Contents"]
    contents._data = b"q Q"
    contents._encoded_data = None
    contents.pop(pdf_name("/Filter"), None)
    writer.mark_update(page.raw_get("/Contents"))


def annotate(writer: IncrementalPdfFileWriter) -> None:
    """An annotation that covers text."""
    page_reference = writer.root["/Pages"]["/Kids"].raw_get(0)
    page = page_reference.get_object()
    appearance = generic.StreamObject(
        dict_data={
            pdf_name("/Type"): pdf_name("/XObject"),
            pdf_name("/Subtype"): pdf_name("/Form"),
            pdf_name("/BBox"): generic.ArrayObject([generic.NumberObject(n) for n in (0, 0, 500, 100)]),
        },
        stream_data=b"q 1 1 1 rg 0 0 500 100 re f Q",
    )
    note = generic.DictionaryObject(
        {
            pdf_name("/Type"): pdf_name("/Annot"),
            pdf_name("/Subtype"): pdf_name("/FreeText"),
            pdf_name("/Rect"): generic.ArrayObject([generic.NumberObject(n) for n in (50, 500, 550, 600)]),
            pdf_name("/F"): generic.NumberObject(4),
            pdf_name("/AP"): generic.DictionaryObject({pdf_name("/N"): writer.add_object(appearance)}),
        }
    )
    page["/Annots"].append(writer.add_object(note))
    writer.update_container(page["/Annots"])


def add_field(writer: IncrementalPdfFileWriter) -> None:
    """Another signature field, as large as the page."""
    append_signature_field(writer, SigFieldSpec("Signature1", box=(0, 0, 595, 842)))


def act(key: str, value: Any) -> Change:
    """An entry in the catalog that does something."""

    def change(writer: IncrementalPdfFileWriter) -> None:
        writer.root[pdf_name(key)] = value
        writer.update_root()

    return change


def dictionary(**entries: Any) -> generic.DictionaryObject:
    return generic.DictionaryObject({pdf_name(f"/{name}"): value for name, value in entries.items()})


def wrapped(signed: bytes) -> bytes:
    """Signature wrapping: something between the two signed parts, where the signature's padding was."""
    start = signed.index(b"/Contents <") + len(b"/Contents ")
    end = signed.index(b">", start)
    inside = signed[start + 1 : end].rstrip(b"0")
    inside += b"0" * (len(inside) % 2)
    injected = b"> /Injected <"
    room = end - start - 1 - len(inside) - len(injected)
    return signed[: start + 1] + inside + injected + b"0" * room + signed[end:]


def forged(signed: bytes, name: str) -> bytes:
    """Universal signature forgery: the signature is there, and its parts are missing or meaningless."""
    start = signed.rindex(b"/Contents <") + len(b"/Contents ")
    end = signed.index(b">", start) + 1
    zeros = b"<" + b"0" * (end - start - 2) + b">"
    byte_range = re.findall(rb"/ByteRange \[[^\]]*\]", signed)[-1]

    def ranged(text: bytes) -> bytes:
        return signed.replace(byte_range, (b"/ByteRange [" + text).ljust(len(byte_range) - 1) + b"]")

    return {
        "no contents": lambda: signed[: start - 10] + b"/Contentz " + signed[start:],
        "contents of zeros": lambda: signed[:start] + zeros + signed[end:],
        "contents null": lambda: signed[:start] + b"null".ljust(end - start) + signed[end:],
        "contents empty": lambda: signed[:start] + b"<>".ljust(end - start) + signed[end:],
        "no range": lambda: signed.replace(b"/ByteRange", b"/ByteRangf"),
        "range empty": lambda: ranged(b""),
        "range of nothing": lambda: ranged(b"0 0 0 0"),
        "range negative": lambda: ranged(b"0 -1 0 -1"),
        "range elsewhere": lambda: ranged(b"0 10 20 30"),
        "range null": lambda: signed.replace(byte_range, b"/ByteRange null".ljust(len(byte_range))),
        "three numbers": lambda: ranged(b"0 100 200"),
    }[name]()


FORGERIES = (
    "no contents", "contents of zeros", "contents null", "contents empty", "no range", "range empty",
    "range of nothing", "range negative", "range elsewhere", "range null", "three numbers",
)  # fmt: skip


@dataclass
class SoftPasskey:
    """A passkey in software, for one host."""

    rp_id: str
    origin: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    credential_id: bytes = b"a credential of a test"
    count: int = 0

    @property
    def public(self) -> ExecutivePasskey:
        return ExecutivePasskey(credential_id=b64(self.credential_id), public_key=b64(self.cose_key()))

    def cose_key(self) -> bytes:
        numbers = self.key.public_key().public_numbers()
        return bytes(
            cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        )

    def register(self, challenge: bytes) -> dict[str, Any]:
        """What a browser answers to `navigator.credentials.create`."""
        client = self._client("webauthn.create", challenge)
        credential = bytes(16) + len(self.credential_id).to_bytes(2, "big") + self.credential_id + self.cose_key()
        data = self._data(0x45) + credential
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        response = {"clientDataJSON": b64(client), "attestationObject": b64(attestation)}
        return self._answer(response)

    def sign(self, challenge: bytes, *, verified: bool = True) -> dict[str, Any]:
        """What a browser answers to `navigator.credentials.get`."""
        client = self._client("webauthn.get", challenge)
        data = self._data(0x05 if verified else 0x01)
        signature = self.key.sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {"clientDataJSON": b64(client), "authenticatorData": b64(data), "signature": b64(signature)}
        return self._answer(response)

    def _client(self, kind: str, challenge: bytes) -> bytes:
        client = {"type": kind, "challenge": b64(challenge), "origin": self.origin, "crossOrigin": False}
        return json.dumps(client).encode()

    def _data(self, flags: int) -> bytes:
        self.count += 1
        return sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big")

    def _answer(self, response: dict[str, str]) -> dict[str, Any]:
        identifier = b64(self.credential_id)
        return {
            "id": identifier, "rawId": identifier, "type": "public-key", "response": response,
            "clientExtensionResults": {},
        }  # fmt: skip


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
