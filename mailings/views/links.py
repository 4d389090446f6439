"""Links in letters: to web and mail addresses, never to a page by its number."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from wagtail.admin.forms.choosers import ExternalLinkChooserForm
from wagtail.admin.views import chooser

from mailings.blocks import check_link
from mailings.models import Message
from mailings.permissions import may_add


class WebLinkForm(ExternalLinkChooserForm):
    # Wagtail's own field takes addresses of this site as well, and breaks where there is none.
    url = forms.URLField(label=_("Web address"), widget=forms.TextInput, assume_scheme="https")

    def clean_url(self) -> str:
        check_link(self.cleaned_data["url"])
        return self.cleaned_data["url"]


class LetterLinkMixin:
    template_name = "mailings/link.html"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not may_add(request.user, Message):
            raise PermissionDenied
        return super().dispatch(request, *args, **kwargs)


class WebLinkView(LetterLinkMixin, chooser.ExternalLinkView):
    form_class = WebLinkForm

    def post(self, request: HttpRequest) -> HttpResponse:
        # Wagtail's own view would turn addresses of this site into page numbers, and name pages.
        return chooser.BaseLinkFormView.post(self, request)


class MailLinkView(LetterLinkMixin, chooser.EmailLinkView):
    pass
