"""Tags of the public pages' templates: `{% load site %}`."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.safestring import SafeString

from config.structured_data import as_script

register = template.Library()


@register.simple_tag
def json_ld(things: list[dict[str, Any]]) -> SafeString:
    return as_script(things)
