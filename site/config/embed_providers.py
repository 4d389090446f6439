"""The sites whose videos and sounds posts may embed: what they send is shown on our pages.

Wagtail knows more than a hundred, many of them long gone, some asked without TLS. Whoever owns
such a name today would choose what readers get.
"""

from __future__ import annotations

from wagtail.embeds.oembed_providers import soundcloud, vimeo, youtube

RUTUBE = {
    "endpoint": "https://rutube.ru/api/oembed/",
    "urls": [r"^https?://(?:www\.)?rutube\.ru/(?:video|shorts)/.+$"],
}
PROVIDERS = [youtube, vimeo, RUTUBE, soundcloud]
