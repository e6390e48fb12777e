"""The lines in which entries and signed heads stand in files and streams beside the database: one JSON object each."""

import msgspec

from freehold.domain.audit.entries import Entry
from freehold.domain.audit.keys import TreeHead


def of_entry(entry: Entry) -> bytes:
    """An entry that is about to be committed."""
    return msgspec.json.encode({"kind": "entry", **entry.shown})


def of_head(head: TreeHead) -> bytes:
    """A signed head that is committed."""
    return msgspec.json.encode({"kind": "head", **head.shown})
