"""Mail: what is sent, in which words, and where it goes."""

from freehold.domain.messaging.mailer import TOPIC_MAIL, TOPIC_RESET, Mailer, answer_reset, write_mail
from freehold.domain.messaging.outbox import MAILS, TOPIC_SEND, DeliveredMail, find_mail, latest
from freehold.domain.messaging.provider import EMAIL_PROVIDER, OPERATIONS
from freehold.domain.messaging.smtp import send_mail
from freehold.kernel.declare import Package

PACKAGE = Package(
    name="messaging",
    declarations=(EMAIL_PROVIDER, MAILS),
    operations=OPERATIONS,
    jobs={TOPIC_MAIL: write_mail, TOPIC_RESET: answer_reset, TOPIC_SEND: send_mail},
)

__all__ = ["EMAIL_PROVIDER", "MAILS", "PACKAGE", "DeliveredMail", "Mailer", "find_mail", "latest"]
