"""LDAP's `userPassword` (RFC 2307 section 5.3): `{SSHA}` + base64 of the digest and, in the salted schemes, the salt.

It is a digest with a salt after the password, so it is stored as one; `{CRYPT}` means whatever the system it
came from takes it to mean, and is refused.
"""

import re

from freehold.kernel.crypto.passwords.digest import DIGEST, check_digest, digest_text
from freehold.kernel.crypto.passwords.digests import digest_size
from freehold.kernel.crypto.passwords.scheme import (
    LONGEST_SALT_BYTES,
    BadHash,
    CustomHash,
    Imported,
    Scheme,
    check_no_salt,
    check_text_form,
    decode_base64,
)

_FORM = re.compile(r"\{(?P<scheme>[A-Za-z0-9-]{1,16})\}(?P<value>[A-Za-z0-9+/=_-]*)")
_DIGESTS = {
    "md5": "md5",
    "sha": "sha1",
    "sha1": "sha1",
    "sha224": "sha224",
    "sha256": "sha256",
    "sha384": "sha384",
    "sha512": "sha512",
}


def _parse(custom: CustomHash) -> Imported:
    check_text_form(custom)
    check_no_salt(custom)
    match = _FORM.fullmatch(custom.hash.value)
    if match is None:
        raise BadHash("hash.value", "not an RFC 2307 value: {SCHEME} and base64", code="PATTERN")
    scheme = match["scheme"].lower()
    salted = scheme not in _DIGESTS and scheme.startswith("s")
    name = _DIGESTS.get(scheme[1:] if salted else scheme)
    if name is None:
        raise BadHash("hash.value", f"{{{match['scheme']}}} is not supported; md5, smd5, sha* and ssha* are")
    try:
        raw = decode_base64(match["value"])
    except ValueError:
        raise BadHash("hash.value", "the part after the scheme is not base64") from None
    digest, salt = (raw[: digest_size(name)], raw[digest_size(name) :]) if salted else (raw, b"")
    check_digest(name, digest, "hash.value")
    if salted and not 0 < len(salt) <= LONGEST_SALT_BYTES:
        raise BadHash(
            "hash.value", f"{{{match['scheme']}}} needs 1 to {LONGEST_SALT_BYTES} bytes of salt after the digest"
        )
    return Imported(digest_text(name, digest), suffix=salt)


LDAP = Scheme(
    algorithms=frozenset({"ldap"}),
    identifiers=frozenset(),  # the digest's
    parse=_parse,
    verify=DIGEST.verify,
    is_cheap=DIGEST.is_cheap,
)
