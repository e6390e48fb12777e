"""An executive who signs a form, and the certificate authority of their company."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO

from asn1crypto import keys as asn1_keys
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
from pyhanko.sign import signers
from pyhanko.sign.fields import SigSeedSubFilter, enumerate_sig_fields
from pyhanko_certvalidator.registry import SimpleCertificateStore

AUTHORITY = "Acme Corporate CA"


@dataclass(slots=True)
class Executive:
    """Somebody with a certificate of the company's authority."""

    name: str
    title: str
    email: str
    _authority_key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _authority: x509.Certificate = field(init=False)
    _certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        ours = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY)])
        self._authority = (
            _certificate(ours, ours, self._authority_key, days=3650)
            .add_extension(x509.BasicConstraints(True, 0), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .sign(self._authority_key, hashes.SHA256())
        )
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        self._certificate = (
            _certificate(subject, ours, self._key, days=365)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(self.email)]), critical=False)
            .sign(self._authority_key, hashes.SHA256())
        )

    @property
    def authority_pem(self) -> str:
        """The authority's certificate."""
        return self._authority.public_bytes(Encoding.PEM).decode()

    @property
    def revocation_list_pem(self) -> str:
        """The authority's list of revoked certificates; nobody is on it."""
        now = datetime.now(UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._authority.subject)
        builder = builder.last_update(now - timedelta(hours=1)).next_update(now + timedelta(days=7))
        signed = builder.sign(self._authority_key, hashes.SHA256())
        return signed.public_bytes(Encoding.PEM).decode()

    def sign(self, form: bytes) -> bytes:
        """The form with a PAdES signature in its field, as a PDF program makes it."""
        writer = IncrementalPdfFileWriter(BytesIO(form))
        name = next(iter(enumerate_sig_fields(writer)))[0]
        metadata = signers.PdfSignatureMetadata(
            field_name=name, md_algorithm="sha256", subfilter=SigSeedSubFilter.PADES
        )
        return bytes(signers.sign_pdf(writer, metadata, signer=self._signer()).getvalue())

    def _signer(self) -> signers.SimpleSigner:
        secret = self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return signers.SimpleSigner(
            signing_cert=_asn1(self._certificate),
            signing_key=asn1_keys.PrivateKeyInfo.load(secret),
            cert_registry=SimpleCertificateStore.from_certs([_asn1(self._authority)]),
        )


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority, content_commitment=not authority, key_encipherment=False,
        data_encipherment=False, key_agreement=False, key_cert_sign=authority, crl_sign=authority,
        encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _asn1(certificate: x509.Certificate) -> asn1_x509.Certificate:
    return asn1_x509.Certificate.load(certificate.public_bytes(Encoding.DER))
