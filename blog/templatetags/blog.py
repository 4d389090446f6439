"""Tags of the blog's templates: `{% load blog %}`."""

from __future__ import annotations

from django import template
from django.utils.safestring import SafeString
from wagtail.blocks import StreamValue

from blog.links import linked_pages

register = template.Library()


@register.simple_tag(takes_context=True)
def article(context: template.Context, body: StreamValue) -> SafeString:
    """Render the blocks of a post; the pages that they link to come by one query."""
    with linked_pages(body):
        return body.render_as_block(context.flatten())
