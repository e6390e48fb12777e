"""What the Makefile does: environments, prerequisites of the tests, lock files."""
