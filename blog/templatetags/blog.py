"""Tags of the blog's templates: `{% load blog %}`."""

from __future__ import annotations

from django import template
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from wagtail.blocks import StreamValue

from blog.embeds import addresses_of, find_stored
from blog.links import links_at_once

register = template.Library()


@register.simple_tag(takes_context=True)
def article(context: template.Context, body: StreamValue) -> SafeString:
    """Render the blocks of a post; what they link to and embed comes by a few queries."""
    embeds = find_stored(addresses_of(body))
    with links_at_once(body):
        return body.render_as_block({**context.flatten(), "embeds": embeds})


@register.simple_tag(takes_context=True)
def sections(context: template.Context, body: StreamValue) -> SafeString:
    """Render the blocks of a page that is made of nothing else, without elements around them."""
    with links_at_once(body):
        flat = context.flatten()
        return format_html_join("", "{}", ((block.render(flat),) for block in body))
