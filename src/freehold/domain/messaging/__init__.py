"""Mail: what is sent, in which words, and where it goes."""

from freehold.domain.messaging.mailer import TOPIC_MAIL, TOPIC_RESET, Mailer, answer_reset, write_mail
from freehold.domain.messaging.outbox import MAILS, DeliveredMail, find_mail, latest
from freehold.kernel.declare import Package

PACKAGE = Package(name="messaging", declarations=(MAILS,), jobs={TOPIC_MAIL: write_mail, TOPIC_RESET: answer_reset})

__all__ = ["MAILS", "PACKAGE", "DeliveredMail", "Mailer", "find_mail", "latest"]
