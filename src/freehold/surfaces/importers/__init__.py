"""One module per product a tenant can arrive from."""
