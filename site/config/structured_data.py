"""What pages tell search engines in the words of schema.org."""

from __future__ import annotations

import json
from typing import Any

from django.templatetags.static import static
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext

from config.addresses import absolute

# What could end the script element or begin another (https://www.w3.org/TR/json-ld11/#html-content-model).
ESCAPES = {ord("<"): "\\u003C", ord(">"): "\\u003E", ord("&"): "\\u0026"}


def as_script(things: list[dict[str, Any]]) -> SafeString:
    text = json.dumps({"@context": "https://schema.org", "@graph": things}, ensure_ascii=False)
    return mark_safe(f'<script type="application/ld+json">{text.translate(ESCAPES)}</script>')


def organization() -> dict[str, Any]:
    return {
        "@type": "Organization",
        "@id": absolute("/#organization"),
        "name": gettext("Vestnik"),
        "url": absolute("/"),
        "logo": absolute(static("img/icon-180.png")),
    }


def breadcrumbs(places: list[tuple[str, str]]) -> dict[str, Any]:
    """Describe the way from the home page; the places are names and full addresses."""
    items = [
        {"@type": "ListItem", "position": number, "name": name, "item": address}
        for number, (name, address) in enumerate(places, 1)
    ]
    return {"@type": "BreadcrumbList", "itemListElement": items}


def blog_posting(post: Any) -> dict[str, Any]:
    author = {"@type": "Organization", "@id": absolute("/#organization")}
    if post.author:
        author = {"@type": "Person", "name": post.author.name}
        if post.listed_author:
            place = f"{post.trail[-2].url}author/{post.listed_author.slug}/"
            author["url"] = absolute(place)
    return {
        "@type": "BlogPosting",
        "headline": post.title,
        "description": post.share["description"],
        "image": post.share["image"],
        "datePublished": post.published_on.isoformat(),
        "dateModified": (post.last_published_at or post.published_on).isoformat(),
        "author": author,
        "publisher": {"@id": absolute("/#organization")},
        "mainEntityOfPage": absolute(post.url or "/"),
        "inLanguage": get_language(),
        "keywords": post.share["tags"],
    }
