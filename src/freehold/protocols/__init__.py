"""Wire protocols that issue tokens and assertions."""
