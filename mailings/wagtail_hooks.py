"""What the mailing extension adds to the Wagtail admin. Registration only."""

from __future__ import annotations
