"""Words of ours in the ledger. Stored in English, shown in the reader's language."""

from __future__ import annotations

from django.utils.translation import gettext_noop as _

UNSUBSCRIBED = _("The client has unsubscribed.")
UNDELIVERABLE = _("The address does not exist, the mail server said earlier.")
CLIENT_DELETED = _("The client was deleted.")
ADDRESS_CHANGED = _("The client's address was changed after this run had begun.")
WINDOW_CLOSED = _("The mailing ended before this letter's turn.")
ANSWER_LOST = _("The connection broke after the letter was handed over: it may have arrived.")
WORKER_DIED = _("The worker died after the letter was handed over: it may have arrived.")
NEXT_RUN = _("The next run of this mailing began before this letter's next try.")
NO_RECIPIENTS = _("There was nobody to send it to.")
STILL_RUNNING = _("This run was left out: the one before it was still at work.")
NO_SMTPUTF8 = _("The mail server does not take internationalised addresses.")
NOT_PLANNED = _("Its recipients could not be put together; that is tried again.")
NOT_COMPOSED = _("The letter could not be put together.")
DOMAIN_SLOW = _("Waiting for the recipient's mail system: it asks for fewer letters at a time.")

# Why a run is paused until somebody lets it go on.
TOO_MANY_REFUSED = _(
    "More than one letter in twenty was refused: the addresses may be old. "
    "Look at the refusals before you go on."
)
LOGIN_REFUSED = _(
    "The mail server refused the login of this service. Your letters are not to blame: "
    "go on once the administrator has put it right."
)
QUOTA_REFUSED = _("The mail server says that its sending limit is reached. Go on when it is over.")
POLICY_REFUSED = _(
    "The mail server's policy does not let these letters through. "
    "Read its words before you go on: the message may need a change."
)
BREAKS_CONNECTIONS = _(
    "These letters break the connection to the mail server, while letters of others are taken. "
    "The message may need a change before you go on."
)

# Why a run that completes another is paused for a moment before it ends, or is not begun.
MAKES_WAY = _("The next run of this mailing is due, and goes to these people as well.")

# The run did all it could: these people were not meant to get the letter.
NOT_WANTED = (UNSUBSCRIBED, UNDELIVERABLE, CLIENT_DELETED, ADDRESS_CHANGED)
# The letter may have arrived.
IN_DOUBT = (ANSWER_LOST, WORKER_DIED)
