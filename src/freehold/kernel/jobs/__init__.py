"""Background work enqueued in the same transaction as its cause."""
