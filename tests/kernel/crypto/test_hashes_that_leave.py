"""A stored hash in the import form: read again, it is the same stored hash."""

import base64

import bcrypt
import pytest

from freehold.kernel.crypto.passwords import HashPolicy, hash_password, parse_custom_hash, verify
from freehold.kernel.crypto.passwords.leaving import custom_hash_of, is_plain_bcrypt
from tests.kernel.crypto.test_imported_password_hashes import PUBLISHED, VECTORS, Custom


@pytest.mark.parametrize("source", [*VECTORS, *(source for _, source in PUBLISHED)], ids=lambda s: str(s["algorithm"]))
def test_every_imported_hash_leaves_in_a_form_that_comes_back_as_itself(source: Custom) -> None:
    stored = parse_custom_hash(source)
    assert parse_custom_hash(custom_hash_of(stored)) == stored


@pytest.mark.parametrize("length", [48, 60])
def test_digests_that_only_ldap_has_leave_as_ldap(length: int) -> None:
    scheme = "{SSHA384}" if length > 48 else "{SHA384}"
    value = scheme + base64.b64encode(bytes(range(length))).decode()
    stored = parse_custom_hash({"algorithm": "ldap", "hash": {"value": value, "encoding": "utf8"}})
    assert custom_hash_of(stored)["hash"]["value"] == value
    assert parse_custom_hash(custom_hash_of(stored)) == stored


def test_our_own_argon2_leaves_too() -> None:
    stored = hash_password("Freehold-1", HashPolicy("argon2id", memory_kib=8, passes=1))
    form = custom_hash_of(stored)
    assert form == {"algorithm": "argon2", "hash": {"value": stored, "encoding": "utf8"}}
    assert verify(stored, "Freehold-1")


@pytest.mark.parametrize("version", ["2a", "2b", "2y"])
def test_only_bcrypt_of_the_password_as_typed_is_what_everybody_reads(version: str) -> None:
    stored = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode().replace("$2b$", f"${version}$")
    assert is_plain_bcrypt(stored)
    assert not is_plain_bcrypt(f"$pre$prefix=cGVwcGVy{stored}")
    assert not is_plain_bcrypt(stored + "x")


def test_what_is_no_stored_hash_is_refused() -> None:
    with pytest.raises(ValueError):
        custom_hash_of("$unknown$x")
