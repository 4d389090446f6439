"""The name by which the migrations know these validators."""

from __future__ import annotations

from accounts.validators import normalise_address, validate_address, validate_line

__all__ = ["normalise_address", "validate_address", "validate_line"]
