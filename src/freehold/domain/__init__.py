"""What a tenant owns, one package per subject."""
