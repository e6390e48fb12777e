"""What happens to a password before its scheme sees it: how it is written as bytes, and a salt put before or after.

In storage this is a first part in front of the scheme's own string, and absent where nothing happens:

    $pre$e=utf16le,prefix=cGVwcGVy$2b$10$...

`e` is the encoding, `prefix` and `suffix` are the salt in unpadded base64.
"""

import msgspec

from freehold.kernel.crypto.passwords.scheme import PasswordEncoding, decode_base64, encode_base64

_MARK = "$pre$"
_CODECS: dict[str, str] = {
    "ascii": "ascii",
    "utf8": "utf-8",
    "utf16le": "utf-16-le",
    "ucs2": "utf-16-le",
    "latin1": "latin-1",
    "binary": "latin-1",
}


class Preparation(msgspec.Struct, frozen=True, kw_only=True):
    """The steps between the password as typed and the bytes that are hashed."""

    encoding: PasswordEncoding = "utf8"
    prefix: bytes = b""
    suffix: bytes = b""

    def apply(self, password: str) -> bytes:
        """The bytes to hash. Raises UnicodeEncodeError for lone surrogates, which no keyboard sends.

        A character that the encoding lacks becomes `?`, as in the transcoding the import format is defined by.
        """
        errors = "strict" if self.encoding == "utf8" else "replace"
        if errors == "replace":
            password.encode()  # a lone surrogate is an error in every encoding
        return self.prefix + password.encode(_CODECS[self.encoding], errors) + self.suffix

    def mark(self, stored: str) -> str:
        """The storage string with this preparation in front of it."""
        parameters = [
            *([f"e={self.encoding}"] if _CODECS[self.encoding] != "utf-8" else []),
            *([f"prefix={encode_base64(self.prefix)}"] if self.prefix else []),
            *([f"suffix={encode_base64(self.suffix)}"] if self.suffix else []),
        ]
        return f"{_MARK}{','.join(parameters)}{stored}" if parameters else stored


PLAIN = Preparation()


def split_preparation(stored: str) -> tuple[Preparation, str]:
    """The preparation and the scheme's own string."""
    if not stored.startswith(_MARK):
        return PLAIN, stored
    end = stored.index("$", len(_MARK))
    words = dict(word.split("=", 1) for word in stored[len(_MARK) : end].split(","))
    preparation = Preparation(
        encoding=_known_encoding(words.get("e", "utf8")),
        prefix=decode_base64(words.get("prefix", "")),
        suffix=decode_base64(words.get("suffix", "")),
    )
    return preparation, stored[end:]


def _known_encoding(name: str) -> PasswordEncoding:
    match name:
        case "ascii" | "utf8" | "utf16le" | "ucs2" | "latin1" | "binary":
            return name
    raise ValueError(f"no such password encoding: {name}")
