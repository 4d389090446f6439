"""The second step of Wagtail's import of redirects, when what the first one left is not there."""

from __future__ import annotations

from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from wagtail.contrib.redirects.utils import get_file_storage
from wagtail.contrib.redirects.views import process_import


def finish_import(request: HttpRequest) -> HttpResponse:
    """Begin anew where the form is not whole or its file is gone; Wagtail answers 500.

    The file is gone once it was read: who presses the button twice comes here.
    """
    if request.method == "POST" and not is_whole(request.POST):
        return redirect("wagtailredirects:start_import")
    return process_import(request)


def is_whole(form: dict[str, str]) -> bool:
    try:
        name, _format = [
            Signer().unsign(form.get(field, "")) for field in ("import_file_name", "input_format")
        ]
        return bool(get_file_storage()(name=name).read("rb"))
    except (BadSignature, OSError):
        return False
