"""Example data: what `manage.py seed` puts into a database that a newcomer looks at."""

from __future__ import annotations
