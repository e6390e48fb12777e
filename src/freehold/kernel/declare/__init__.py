"""The vocabulary in which a tenant's data is declared once."""
