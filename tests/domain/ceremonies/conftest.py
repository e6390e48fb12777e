"""Everything of tests/support/ceremonies.py that is a fixture; readers are forked from prepared ones."""

import pytest

from tests.support.ceremonies import ada, bob, clock, hall
from tests.support.confined import prepared_readers

__all__ = ["ada", "bob", "clock", "hall", "prepared_readers"]


@pytest.fixture(autouse=True)
def readers(prepared_readers: None) -> None:
    """For every test but those of a whole reader."""
