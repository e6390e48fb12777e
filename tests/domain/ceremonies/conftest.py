"""Everything of tests/support/ceremonies.py that is a fixture."""

from tests.support.ceremonies import ada, bob, clock, hall

__all__ = ["ada", "bob", "clock", "hall"]
