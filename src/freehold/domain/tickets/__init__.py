"""Tickets: links that prove, once, that somebody reads an address. They verify an e-mail or set a new password."""

from freehold.domain.tickets.operations import OPERATIONS
from freehold.domain.tickets.tickets import TICKETS, Kind, State, Ticket, find_ticket, issue_ticket, use_ticket
from freehold.kernel.declare import Package

PACKAGE = Package(name="tickets", declarations=(TICKETS,), operations=OPERATIONS)

__all__ = ["PACKAGE", "TICKETS", "Kind", "State", "Ticket", "find_ticket", "issue_ticket", "use_ticket"]
