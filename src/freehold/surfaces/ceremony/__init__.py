"""The export ceremony's surfaces: what prepares a sealed export, keeps it, hands it out and destroys it.

Nothing is imported here: the processes of a build come through this file, and each would wait for all of it.
"""
