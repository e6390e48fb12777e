"""What the tests of child processes have done."""

import os
import sys
import time
from pathlib import Path

SAID = "this goes to the operator, not into the result"


def reverse(argument: bytes) -> bytes:
    print(SAID)
    return argument[::-1]


def fail(_argument: bytes) -> bytes:
    sys.exit(7)


def stay(argument: bytes) -> bytes:
    Path(argument.decode()).write_text(str(os.getpid()))
    while True:
        time.sleep(3600)
