"""The export ceremony's surfaces: what prepares a sealed export, keeps it, hands it out and destroys it."""
