"""Certificates: a tenant's signing certificate as Auth0 makes it, and a local authority that TLS clients can trust."""

import socket
import ssl
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

from freehold.kernel.crypto.x509 import (
    LOOPBACK_NAMES,
    LocalAuthority,
    SigningMaterial,
    UnusableAuthority,
    new_tenant_signing_material,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class TestATenantsSigningCertificate:
    @pytest.fixture(scope="class")
    @classmethod
    def material(cls) -> SigningMaterial:
        return new_tenant_signing_material("tenant.example.test", NOW)

    @pytest.fixture
    def certificate(self, material: SigningMaterial) -> x509.Certificate:
        return x509.load_pem_x509_certificate(material.certificate_pem.encode())

    def test_has_the_shape_of_auth0s(self, certificate: x509.Certificate) -> None:
        key = certificate.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert (key.key_size, key.public_numbers().e) == (2048, 65537)
        assert certificate.version == x509.Version.v3
        assert certificate.subject == certificate.issuer
        assert certificate.subject.rfc4514_string() == "CN=tenant.example.test"
        assert certificate.not_valid_before_utc == NOW
        assert certificate.not_valid_after_utc == NOW + timedelta(days=5000)
        assert (certificate.serial_number.bit_length() + 7) // 8 == 9
        assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)

        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert (constraints.critical, constraints.value.ca) == (True, True)
        assert (usage.critical, usage.value.digital_signature, usage.value.key_cert_sign) == (True, True, True)
        assert certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)

    def test_is_signed_by_itself(self, certificate: x509.Certificate) -> None:
        certificate.verify_directly_issued_by(certificate)

    def test_comes_with_the_private_key(self, material: SigningMaterial, certificate: x509.Certificate) -> None:
        public = certificate.public_key()
        assert isinstance(public, rsa.RSAPublicKey)

        public.verify(
            material.private_key.sign(b"x", padding.PKCS1v15(), hashes.SHA256()),
            b"x",
            padding.PKCS1v15(),
            hashes.SHA256(),
        )

    def test_is_in_the_pkcs7_too(self, material: SigningMaterial, certificate: x509.Certificate) -> None:
        assert material.pkcs7_pem.startswith("-----BEGIN PKCS7-----")
        assert pkcs7.load_pem_pkcs7_certificates(material.pkcs7_pem.encode()) == [certificate]

    def test_has_a_sha1_fingerprint_with_colons_and_a_thumbprint_without(
        self, material: SigningMaterial, certificate: x509.Certificate
    ) -> None:
        assert certificate.fingerprint(hashes.SHA1()).hex().upper() == material.thumbprint
        assert material.fingerprint.replace(":", "") == material.thumbprint
        assert [len(byte) for byte in material.fingerprint.split(":")] == [2] * 20

    def test_a_long_domain_still_gets_one(self) -> None:
        domain = "a" * 60 + ".example.test"
        certificate = x509.load_pem_x509_certificate(new_tenant_signing_material(domain, NOW).certificate_pem.encode())

        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == domain[:64]


class TestTheLocalAuthority:
    @pytest.fixture
    def authority(self, tmp_path: Path) -> LocalAuthority:
        return LocalAuthority.load_or_create(tmp_path / "tls", datetime.now(UTC))

    def test_is_made_once_and_keeps_its_key_to_itself(self, tmp_path: Path) -> None:
        first = LocalAuthority.load_or_create(tmp_path / "tls", NOW)
        trusted = first.certificate_file.read_bytes()
        LocalAuthority.load_or_create(tmp_path / "tls", NOW + timedelta(days=100))

        assert first.certificate_file.read_bytes() == trusted
        assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700
        assert stat.S_IMODE((tmp_path / "tls" / "ca.key").stat().st_mode) == 0o600

    def test_made_by_many_at_once_is_one(self, tmp_path: Path) -> None:
        with ThreadPoolExecutor(8) as threads:
            made = list(threads.map(lambda _: LocalAuthority.load_or_create(tmp_path / "tls", NOW), range(16)))

        assert len({authority.certificate_file.read_bytes() for authority in made}) == 1

    def test_may_issue_for_servers_and_no_further(self, authority: LocalAuthority) -> None:
        certificate = x509.load_pem_x509_certificate(authority.certificate_file.read_bytes())
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)

        assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (True, True, 0)

    def test_a_key_of_another_authority_is_noticed(self, tmp_path: Path) -> None:
        LocalAuthority.load_or_create(tmp_path / "one", NOW)
        LocalAuthority.load_or_create(tmp_path / "two", NOW)
        (tmp_path / "one" / "ca.key").write_bytes((tmp_path / "two" / "ca.key").read_bytes())

        with pytest.raises(UnusableAuthority):
            LocalAuthority.load_or_create(tmp_path / "one", NOW)

    def test_a_start_that_was_cut_short_begins_anew(self, tmp_path: Path) -> None:
        (tmp_path / "tls").mkdir()
        (tmp_path / "tls" / "ca.key").write_text("half a k")

        assert LocalAuthority.load_or_create(tmp_path / "tls", NOW).certificate_file.exists()

    def test_a_server_certificate_names_loopback_the_domain_and_its_wildcard(self, authority: LocalAuthority) -> None:
        issued = authority.server_certificate(["Tenant.Example.test", "10.1.2.3"], now=NOW)
        certificate = x509.load_pem_x509_certificate(issued.certificate_file.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value

        expected = {*LOOPBACK_NAMES, "tenant.example.test", "*.tenant.example.test", "10.1.2.3"}
        assert set(issued.names) == expected
        addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
        assert {*names.get_values_for_type(x509.DNSName), *addresses} == expected
        assert stat.S_IMODE(issued.key_file.stat().st_mode) == 0o600

    def test_it_is_kept_until_a_third_of_its_time_is_left(self, authority: LocalAuthority) -> None:
        first = authority.server_certificate(now=NOW).certificate_file.read_bytes()

        assert authority.server_certificate(now=NOW + timedelta(days=264)).certificate_file.read_bytes() == first
        renewed = authority.server_certificate(now=NOW + timedelta(days=266))
        assert renewed.certificate_file.read_bytes() != first
        assert renewed.valid_until > NOW + timedelta(days=600)

    def test_it_is_made_anew_for_other_names(self, authority: LocalAuthority) -> None:
        first = authority.server_certificate(now=NOW).certificate_file.read_bytes()
        second = authority.server_certificate(["tenant.example.test"], now=NOW).certificate_file.read_bytes()

        assert first != second
        assert authority.server_certificate(["tenant.example.test"], now=NOW).certificate_file.read_bytes() == second

    @pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "tenant.localhost", "other.tenant.localhost"])
    def test_a_client_that_trusts_the_authority_connects(self, authority: LocalAuthority, name: str) -> None:
        issued = authority.server_certificate(["tenant.localhost"], now=datetime.now(UTC))
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(issued.certificate_file, issued.key_file)
        client_side = ssl.create_default_context(cafile=str(authority.certificate_file))
        client_side.verify_flags |= ssl.VERIFY_X509_STRICT

        assert handshake(server_side, client_side, name)

    def test_a_client_that_asks_for_another_name_does_not(self, authority: LocalAuthority) -> None:
        issued = authority.server_certificate(now=datetime.now(UTC))
        server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server_side.load_cert_chain(issued.certificate_file, issued.key_file)
        client_side = ssl.create_default_context(cafile=str(authority.certificate_file))

        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(server_side, client_side, "evil.example.test")


def handshake(server_side: ssl.SSLContext, client_side: ssl.SSLContext, name: str) -> str:
    """Connect the two over a pair of sockets; the protocol that was agreed on."""
    here, there = socket.socketpair()

    def serve() -> None:
        try:
            server_side.wrap_socket(there, server_side=True).close()
        except (ssl.SSLError, OSError):
            there.close()

    server = threading.Thread(target=serve)
    server.start()
    try:
        with client_side.wrap_socket(here, server_hostname=name) as connection:
            return connection.version() or ""
    finally:
        here.close()
        server.join()
