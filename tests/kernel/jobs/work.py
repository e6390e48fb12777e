"""What the tests of child processes have done."""

import os
import sys
import time
from pathlib import Path


def reverse(argument: bytes) -> bytes:
    print("this goes to the operator, not into the result")
    return argument[::-1]


def fail(_argument: bytes) -> bytes:
    sys.exit(7)


def stay(argument: bytes) -> bytes:
    Path(argument.decode()).write_text(str(os.getpid()))
    while True:
        time.sleep(3600)
