"""The interactive login: one state machine, its steps, pages and texts."""
