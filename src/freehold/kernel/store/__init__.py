"""Rows, transactions, migrations and the outbox, on SQLite and PostgreSQL through the same queries."""
