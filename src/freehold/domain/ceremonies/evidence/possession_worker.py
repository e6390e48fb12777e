"""Encrypts a short text to one certificate, in a confined process."""

import json
import sys

from pysequoia import Cert, encrypt


def main() -> None:
    """Answer the request on standard input."""
    request = json.load(sys.stdin)
    try:
        recipient = Cert.from_bytes(request["certificate"].encode())
        message = encrypt(request["text"].encode(), recipients=[recipient])
    except RuntimeError:
        json.dump({}, sys.stdout)
        return
    json.dump({"message": message.decode()}, sys.stdout)


if __name__ == "__main__":
    main()
