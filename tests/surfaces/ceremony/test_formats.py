"""The lines of a sealed export: what Auth0 writes, to the byte, and what our own importer makes of it."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from joserfc import jws
from joserfc.jwk import JWKRegistry

from freehold.surfaces.ceremony.build import formats
from freehold.surfaces.ceremony.build.formats import Person, factor_lines, hash_line
from freehold.surfaces.ceremony.build.key_files import PrivateKey, key_files
from freehold.surfaces.ceremony.build.tar import ExportTar, Lines, numbered
from freehold.surfaces.importers.auth0_secrets import load_factors, load_hashes
from freehold.surfaces.importers.report import Report
from freehold.surfaces.importers.scratch import open_scratch
from freehold.surfaces.transfer.sealed import vault_line

BCRYPT = "$2b$10$" + "a" * 53
OID = "5dea9f9c82dd7c0e76e4ec93"
MAIN = "Username-Password-Authentication"


def person(**members: Any) -> Person:
    given = {"email": "user@example.com", "created_at": "2019-12-06T18:36:12.412Z", **members}
    return msgspec.convert({**given, "identities": [{"connection": MAIN}]}, Person)


def written(line: Any) -> dict[str, Any]:
    text = msgspec.json.encode(line)
    decoded: dict[str, Any] = json.loads(text)
    assert msgspec.json.encode(decoded) == text, "the order of members is that of the text"
    return decoded


def test_a_line_of_hashes_is_auth0s_to_the_byte() -> None:
    line = hash_line(f"auth0|{OID}", BCRYPT, person(), connection=MAIN, tenant="example-tenant")
    assert msgspec.json.encode(line).decode() == (
        '{"_id":{"$oid":"5dea9f9c82dd7c0e76e4ec93"},"email_verified":false,"email":"user@example.com",'
        f'"passwordHash":"{BCRYPT}","password_set_date":{{"$date":"2019-12-06T18:36:12.412Z"}},'
        '"tenant":"example-tenant","connection":"Username-Password-Authentication","_tmp_is_unique":true,'
        '"identifiers":[{"type":"email","value":"user@example.com","verified":false}]}'
    )


def test_an_id_of_another_form_is_the_alt_id_and_comes_last() -> None:
    line = written(hash_line("auth0|euclid", BCRYPT, person(), connection=MAIN, tenant="t"))
    assert list(line)[-1] == "alt_id"
    assert line["alt_id"] == "euclid"
    assert len(line["_id"]["$oid"]) == 24
    again = written(hash_line("auth0|euclid", BCRYPT, person(), connection=MAIN, tenant="t"))
    assert again["_id"] == line["_id"]
    upper = written(hash_line(f"auth0|{OID.upper()}", BCRYPT, person(), connection=MAIN, tenant="t"))
    assert upper["alt_id"] == OID.upper()


def test_every_identifier_is_in_the_list_and_a_missing_address_is_nowhere() -> None:
    who = person(email=None, username="euclid", phone_number="+15550100", phone_verified=True)
    line = written(hash_line(f"auth0|{OID}", BCRYPT, who, connection=MAIN, tenant="t"))
    assert not {"email", "email_verified"} & line.keys()
    assert line["username"] == "euclid"
    assert line["identifiers"] == [
        {"type": "username", "value": "euclid", "verified": False},
        {"type": "phone", "value": "+15550100", "verified": True},
    ]


def test_the_password_is_as_old_as_its_last_change() -> None:
    who = person(last_password_reset="2024-01-02T03:04:05.006Z")
    line = written(hash_line(f"auth0|{OID}", BCRYPT, who, connection=MAIN, tenant="t"))
    assert line["password_set_date"] == {"$date": "2024-01-02T03:04:05.006Z"}


def test_a_hash_that_is_no_bcrypt_is_in_the_form_of_the_import() -> None:
    stored = "$argon2id$v=19$m=65536,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$iG/zj8ApkWfrc3ZJLqvOnj6Ju2rClP82JhOc1uj5o1U"
    line = written(hash_line(f"auth0|{OID}", stored, person(), connection=MAIN, tenant="t"))
    assert "passwordHash" not in line
    assert line["custom_password_hash"] == {"algorithm": "argon2", "hash": {"value": stored, "encoding": "utf8"}}


def test_factors_are_auth0s_to_the_byte() -> None:
    contents = {
        "otp": b'{"type":"otp","secret":"PA6FWZ3EGU2DMZCSKU2DOQCNNY2X26L2"}',
        "phone": b'{"value":"+15550100"}',
        "pending/totp": b'{"secret":"NEVERPROVED"}',
        "recovery_code": BCRYPT.encode(),
        "totp/2": b'{"secret":"JBSWY3DPEHPK3PXP===="}',
    }
    lines = [msgspec.json.encode(line).decode() for line in factor_lines("auth0|a", contents, tenant="t")]
    assert lines == [
        '{"user_id":"auth0|a","tenant":"t","type":"otp","otp_secret":"PA6FWZ3EGU2DMZCSKU2DOQCNNY2X26L2"}',
        f'{{"user_id":"auth0|a","tenant":"t","type":"recovery-code","recovery_code":"{BCRYPT}"}}',
        '{"user_id":"auth0|a","tenant":"t","type":"otp","otp_secret":"JBSWY3DPEHPK3PXP"}',
        '{"user_id":"auth0|a","tenant":"t","mfa_factors":[{"phone":{"value":"+15550100"}}]}',
    ]


def test_our_own_importer_reads_every_line(tmp_path: Path) -> None:
    argon2 = "$argon2id$v=19$m=65536,t=2,p=1$MDEyMzQ1Njc4OWFiY2RlZg$iG/zj8ApkWfrc3ZJLqvOnj6Ju2rClP82JhOc1uj5o1U"
    stored = {f"auth0|{OID}": BCRYPT, "auth0|euclid": BCRYPT, "auth0|argon": argon2}
    lines = [hash_line(owner, text, person(), connection=MAIN, tenant="t") for owner, text in stored.items()]
    factors = factor_lines("auth0|euclid", {"totp": b'{"secret":"JBSWY3DPEHPK3PXP"}'}, tenant="t")
    (tmp_path / "hashes").write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
    (tmp_path / "factors").write_bytes(b"\n".join(map(msgspec.json.encode, factors)))
    scratch = open_scratch()
    report = Report(scratch, "t", True)

    load_hashes(scratch, tmp_path / "hashes", report)
    load_factors(scratch, tmp_path / "factors", report)

    assert dict(scratch.execute("select id, stored from hashes").fetchall()) == stored
    assert scratch.execute("select id, name from factors").fetchall() == [("auth0|euclid", "otp")]


def test_keys_leave_as_jwk_and_pem_that_sign_alike() -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    edwards = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate = "-----BEGIN CERTIFICATE-----\r\nAAAA\r\nBBBB\r\n-----END CERTIFICATE-----\r\n"
    files = dict(
        key_files(
            [
                PrivateKey("a/b", pem, "signing", "current", certificate),
                PrivateKey("audit-1", edwards, "audit"),
                PrivateKey("odd", b"no key", "other"),
            ]
        )
    )
    assert sorted(files) == [
        "private-keys.jwks.json", "private-keys/a%2Fb.certificate.pem", "private-keys/a%2Fb.pem",
        "private-keys/audit-1.pem", "private-keys/odd.pem",
    ]  # fmt: skip
    assert files["private-keys/a%2Fb.pem"] == pem
    first, second = json.loads(files["private-keys.jwks.json"])["keys"]
    assert (first["kid"], first["alg"], first["state"], first["x5c"]) == ("a/b", "RS256", "current", ["AAAABBBB"])
    assert (second["kid"], second["alg"]) == ("audit-1", "EdDSA")
    token = jws.serialize_compact({"alg": "RS256"}, b"claims", JWKRegistry.import_key(first))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert jws.deserialize_compact(token, JWKRegistry.import_key(public, "RSA")).payload == b"claims"


def test_a_large_file_goes_on_under_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    tar = ExportTar(lambda _content: None)
    monkeypatch.setattr(tar, "add_pieces", lambda path, _pieces, rows, digest: names.append(f"{path}:{rows}"))
    lines = Lines(tar, numbered(formats.HASHES), part_bytes=100)
    for number in range(7):
        lines.add({"line": "x" * 30, "number": number})
    lines.flush()
    assert names == ["password-hashes.ndjson:2", "password-hashes.2.ndjson:2", "password-hashes.3.ndjson:2",
                     "password-hashes.4.ndjson:1"]  # fmt: skip
    assert lines.rows == 7


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"email": "o'dd+<tag>&@example.com", "email_verified": True},
        {"last_password_reset": "2024-01-02T03:04:05.006Z", "blocked": True, "user_metadata": {"email": "x"}},
    ],
)
def test_the_quick_way_gives_the_same_text(members: dict[str, Any]) -> None:
    document = {"email": "user@example.com", "email_verified": False, "created_at": "2019-12-06T18:36:12.412Z"}
    document |= {"identities": [{"connection": MAIN}], **members}
    text = msgspec.json.encode(document).decode()
    owner = f"auth0|{OID}"
    writer = formats.PlainWriter('te"nant')
    people = writer.read(f"{text},{text}")
    quick = writer.lines([owner] * 2, ["", "imported"], [BCRYPT.encode()] * 2, people)
    long = hash_line(f"auth0|{OID}", BCRYPT, formats.read_person(text), connection=MAIN, tenant='te"nant')
    assert quick.hashes(0, 2) == (msgspec.json.encode(long).decode() + "\n") * 2
    sealed_part = [vault_line(owner, name, BCRYPT.encode()).decode() for name in ("", "imported")]
    assert [quick.sealed_part(0, 1), quick.sealed_part(1, 2)] == sealed_part
    assert (quick.connections, quick.others) == ([MAIN] * 2, set())


@pytest.mark.parametrize(
    ("owner", "stored", "members"),
    [
        ("auth0|euclid", BCRYPT, {}),
        (f"auth0|{OID.upper()}", BCRYPT, {}),
        (f"auth0|{OID}", "$pre$prefix=cGVwcGVy" + BCRYPT, {}),
        (f"auth0|{OID}", BCRYPT, {"username": "euclid"}),
        (f"auth0|{OID}", BCRYPT, {"phone_number": "+1555"}),
        (f"auth0|{OID}", BCRYPT, {"identities": []}),
        (f"auth0|{OID}", BCRYPT, {"email": 'o"dd@example.com'}),
        (f"auth0|{OID}", BCRYPT, {"email": "ödd@example.com"}),
        (f"auth0|{OID}", BCRYPT, {"email": None}),
        (f"auth0|{OID}", BCRYPT, {"created_at": None}),
        (f"auth0|{OID}\nauth0|{OID}", BCRYPT, {}),
        (f"auth0|{OID}", f"{BCRYPT}\n{BCRYPT}", {}),
    ],
)
def test_whoever_is_not_like_most_goes_the_long_way(owner: str, stored: str, members: dict[str, Any]) -> None:
    document = {"email": "a@b.c", "created_at": "2019", "identities": [{"connection": MAIN}]}
    like, unlike = (msgspec.json.encode({**document, **more}).decode() for more in ({}, members))
    owners, hashes = [f"auth0|{OID}", owner, f"auth0|{OID}"], [BCRYPT.encode(), stored.encode(), BCRYPT.encode()]
    writer = formats.PlainWriter("t")
    lines = writer.lines(owners, [""] * 3, hashes, writer.read(f"{like},{unlike},{like}"))
    assert lines.others == {1}
    assert lines.hashes(0, 1) == lines.hashes(2, 3)


def test_whoever_has_no_user_goes_the_long_way() -> None:
    assert formats.PlainWriter("t").lines([f"auth0|{OID}"], [""], [BCRYPT.encode()], [formats.NOBODY]).others == {0}
