"""What tests read in letters."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.core import mail
from django.core.mail import EmailMultiAlternatives


def only_letter() -> EmailMultiAlternatives:
    assert len(mail.outbox) == 1
    return mail.outbox[0]


def link_in(letter: EmailMultiAlternatives) -> str:
    """Return the path of the link in a letter; text and HTML must hold the same."""
    address = re.search(r"http://testserver(/accounts/\S+)", letter.body)[0]
    assert f'href="{address}"' in letter.alternatives[0][0]
    return urlsplit(address).path
