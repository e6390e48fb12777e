"""What makes two e-mail addresses, user names or phone numbers the same, decided once for every way in.

Each has a stored form, which is shown and mailed to, and a canonical form, which is looked up by and unique:

- e-mail: letters lose their case one for one, and only within ASCII or within the rest, so that no look-alike (the
  Kelvin sign, the dotless i) becomes another address; a domain is compared as A-labels (RFC 5891).
- user name: NFKC with case folding, so that look-alikes clash; characters nobody sees are refused.
- phone number: E.164, compared as it is.

Mail goes to the stored form only. Canonical forms never fail: what an import let in stays findable.
"""

import re
import unicodedata
from functools import lru_cache

import idna

from freehold.kernel.declare.validation import InvalidBody

LONGEST_EMAIL = 320
LONGEST_USERNAME = 128

_EMAIL = re.compile(
    r"[^\s@<>()\[\],;:\\\"]{1,64}@(?:[^\s@<>()\[\],;:\\\"/?#.]{1,63}\.)*[^\s@<>()\[\],;:\\\"/?#.]{1,63}"
)
_ASCII_EMAIL = re.compile(
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*"
)
_PHONE = re.compile(r"\+[0-9]{1,15}")
# Categories nobody sees or that are no text: controls, format characters, surrogates, unassigned, all separators.
_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zs", "Zl", "Zp"})
# Letters and marks that are default ignorable all the same (Unicode, DerivedCoreProperties).
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0") | frozenset(
    chr(code) for code in range(0xFE00, 0xFE10)
)


def is_email(text: str) -> bool:
    """Whether a text is an address that mail can be sent to, without quoting or comments."""
    if len(text) > LONGEST_EMAIL:
        return False
    if text.isascii():
        return _ASCII_EMAIL.fullmatch(text) is not None
    return _EMAIL.fullmatch(text) is not None and _is_visible(text) and _a_label(text.rpartition("@")[2]) is not None


def stored_email(text: str) -> str:
    """The form an address is kept in: as given, without case. Raises InvalidBody."""
    if not is_email(text):
        raise InvalidBody(
            f"Payload validation error: 'Object didn't pass validation for format email: {_cut(text)}' "
            "on property email."
        )
    return fold_case(text)


def canonical_email(text: str) -> str:
    """The form addresses are compared in."""
    if text.isascii():
        return text.lower()
    local, at, domain = fold_case(_compose(text)).rpartition("@")
    return f"{local}{at}{_a_label(domain) or domain}"


def fold_case(text: str) -> str:
    """Lower case, one character for one, and never from outside ASCII into it."""
    if text.isascii():
        return text.lower()
    return "".join(_fold_character(character) for character in text)


def stored_username(text: str) -> str:
    """The form a user name is kept in. Raises InvalidBody."""
    if not is_username(text):
        raise InvalidBody(
            f"Payload validation error: 'Object didn't pass validation for format username: {_cut(text)}' "
            "on property username."
        )
    return text


def is_username(text: str) -> bool:
    """Whether every character of the name can be seen."""
    return 0 < len(text) <= LONGEST_USERNAME and (_is_graphic_ascii(text) if text.isascii() else _is_visible(text))


def canonical_username(text: str) -> str:
    """The form user names are compared in."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def stored_phone_number(text: str) -> str:
    """A number in E.164. Raises InvalidBody."""
    if not is_phone_number(text):
        raise InvalidBody(
            "Payload validation error: 'String does not match pattern ^\\+[0-9]{1,15}$' on property phone_number."
        )
    return text


def is_phone_number(text: str) -> bool:
    """Whether a text is a number in E.164."""
    return _PHONE.fullmatch(text) is not None


def _compose(text: str) -> str:
    """NFC, except where it would turn a character into an ASCII one, as it does with the Kelvin sign."""
    if any(not c.isascii() and unicodedata.normalize("NFC", c).isascii() for c in text):
        return text
    return unicodedata.normalize("NFC", text)


def _fold_character(character: str) -> str:
    lowered = character.lower()
    if len(lowered) != 1 or (lowered.isascii() and not character.isascii()):
        return character
    return lowered


def _is_visible(text: str) -> bool:
    return not any(c in _UNSEEN or unicodedata.category(c) in _UNSEEN_CATEGORIES for c in text)


def _is_graphic_ascii(text: str) -> bool:
    return text.isprintable() and " " not in text


@lru_cache(maxsize=1024)
def _a_label(domain: str) -> str | None:
    """A domain as A-labels, None for what is no domain. The length is bounded before the encoder sees it."""
    if len(domain) > 253:
        return None
    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except (idna.IDNAError, UnicodeError):
        return None


def _cut(text: str) -> str:
    return "".join(c for c in text[:80] if c.isprintable())
