"""Ids, at-rest encryption, password schemes, JOSE, X.509 and OpenPGP."""
