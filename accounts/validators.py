"""What may be typed into a single line, and which e-mail addresses are accepted."""

from __future__ import annotations

import unicodedata

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from email_validator import EmailNotValidError, validate_email


def validate_line(value: str) -> None:
    """Refuse control characters and line breaks: the text may become part of a mail header."""
    # Cc: control, Zl and Zp: line and paragraph separators, Cs: halves of a surrogate pair.
    if any(unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"} for char in value):
        raise ValidationError(
            _("Line breaks and control characters are not allowed here."), code="control"
        )


def normalise_address(value: str) -> str:
    """Return an address in its normal form; raise `ValidationError` where it is none.

    Internationalised addresses (RFC 6531) are accepted. Nothing is asked of the network.
    """
    try:
        return validate_email(
            value.strip(), check_deliverability=False, test_environment=True
        ).normalized
    except EmailNotValidError as error:
        raise ValidationError(_("Enter a valid e-mail address."), code="email") from error


def validate_address(value: str) -> None:
    normalise_address(value)
