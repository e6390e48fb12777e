"""Interfaces derived from declarations; they name no resource."""
