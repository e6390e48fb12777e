"""Keeping a sealed export, handing it out by tickets, and destroying it in time."""
