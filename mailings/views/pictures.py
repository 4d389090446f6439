"""Pictures for letters."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.utils.translation import gettext
from wagtail.admin.ui.tables import Column

from mailings.views import owned


class ThumbnailColumn(Column):
    cell_template_name = "mailings/picture_cell.html"


class PictureInspectView(owned.OwnedInspectView):
    template_name = "mailings/picture.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(shown_in=self.object.messages(), **kwargs)


class PictureDeleteView(owned.OwnedDeleteView):
    """Delete a picture, unless a message shows it."""

    template_name = "mailings/picture_confirm_delete.html"

    @property
    def confirmation_message(self) -> str:
        return gettext("Letters that were sent with this picture lose it, too. Delete it?")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(shown_in=self.object.messages(), **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        if self.object.messages().exists():
            return self.render_to_response(self.get_context_data(), status=409)
        return super().form_valid(form)
