"""The tenant archive: export, restore and its JSON Schemas."""
