"""Messages in the workspace: a snippet with a preview of the real letter and its versions.

A snippet brings more addresses than a ModelViewSet; each is limited to own rows here.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Count, ProtectedError, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_list_or_404, redirect
from django.utils.functional import cached_property
from django.utils.text import get_text_list
from django.utils.translation import gettext, ngettext
from wagtail.admin import messages
from wagtail.admin.ui.components import MediaContainer
from wagtail.admin.ui.side_panels import ChecksSidePanel
from wagtail.admin.ui.tables import BaseColumn
from wagtail.admin.views import generic
from wagtail.snippets.bulk_actions.delete import DeleteBulkAction
from wagtail.snippets.views import snippets

from mailings import reports
from mailings.delivery import letter
from mailings.forms import usable_keys
from mailings.models import Mailing, Message
from mailings.views import owned


def show_letter(message: Message, *, text: bool = False) -> HttpResponse:
    """Return the real letter to somebody who does not exist."""
    content = letter.compose(message)
    values = letter.sample_values(company=message.owner.sender_name)
    if text:
        body = letter.fill(content.text, values)
        return HttpResponse(body, content_type="text/plain; charset=utf-8")
    return show_html(letter.fill(content.html, values, escape=True), is_preview=True)


def show_html(html: str, *, is_preview: bool = False) -> HttpResponse:
    """Return a letter for a frame; nothing in it may act or ask another host for anything."""
    # The preview's script keeps the place to which the letter was scrolled, and to find it must
    # look into the frame.
    sandbox = "sandbox allow-popups allow-same-origin" if is_preview else "sandbox allow-popups"
    response = HttpResponse(html)
    response["Content-Security-Policy"] = (
        f"{sandbox}; default-src 'none'; style-src 'unsafe-inline'; img-src {settings.SITE_URL}"
    )
    return response


def refuse_deletion(mailings: QuerySet[Mailing]) -> str:
    """Say which mailings keep a message from being deleted."""
    names = [
        gettext("“%s”") % name for name in mailings.order_by("name").values_list("name", flat=True)
    ]
    count = len(names)
    sentence = ngettext(
        "Mailing %(names)s uses it. Delete that mailing or give it another message first.",
        "Mailings %(names)s use it. Delete them or give them other messages first.",
        count,
    )
    return sentence % {"names": get_text_list(names, gettext("and"))}


class MessageIndexView(owned.OwnedIndexMixin, snippets.IndexView):
    def get_base_queryset(self) -> QuerySet[Message]:
        return super().get_base_queryset().annotate(uses=Count("mailings"))

    @cached_property
    def offers_deletion(self) -> bool:
        """Return whether there is something to tick rows for; managers read only."""
        return self.permission_policy.user_has_permission(self.request.user, "delete")

    @cached_property
    def columns(self) -> list[BaseColumn]:
        columns = super().columns
        return columns if self.offers_deletion else columns[1:]


class EditorMixin:
    """The form of a message."""

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().setup(request, *args, **kwargs)
        # What is saved is what mailings send: nothing is saved before its author says so.
        self.autosave_enabled = False

    def get_side_panels(self) -> MediaContainer:
        # The checks are about pages of a site.
        panels = super().get_side_panels()
        return MediaContainer([p for p in panels if not isinstance(p, ChecksSidePanel)])

    def get_editing_sessions(self) -> None:
        """Nobody else can edit the message, so nobody need be warned."""


class MessageCreateView(EditorMixin, owned.OwnedCreateMixin, snippets.CreateView):
    pass


class MessageEditView(EditorMixin, owned.OwnedEditMixin, snippets.EditView):
    pass


class MessageRevertView(generic.RevisionsRevertMixin, MessageEditView):
    view_name = "revisions_revert"


class MessageDeleteView(owned.OwnedDeleteMixin, snippets.DeleteView):
    template_name = "mailings/message_confirm_delete.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        mailings = self.object.mailings.all()
        refusal = refuse_deletion(mailings) if mailings else ""
        return super().get_context_data(refusal=refusal, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        try:
            return super().form_valid(form)
        except ProtectedError:
            return self.render_to_response(self.get_context_data(), status=409)


class MessageInspectView(owned.OwnedInspectView, snippets.InspectView):
    template_name = "mailings/message.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return super().get_context_data(
            statistics=reports.message_statistics(self.object),
            mailings=self.object.mailings.order_by("name"),
            **kwargs,
        )


class MessageLetterView(owned.OwnedLookupMixin, snippets.InspectView):
    """The letter alone, for the frame on the message's page."""

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return show_letter(self.object, text="text" in request.GET)


class MessageHistoryView(owned.OwnedHistoryMixin, snippets.HistoryView):
    pass


class MessageUsageView(owned.OwnedRecordMixin, snippets.UsageView):
    pass


class MessagePreviewOnCreateView(snippets.PreviewOnCreateView):
    def get_object(self) -> Message:
        return Message(owner=self.request.user)


class MessagePreviewOnEditView(owned.OwnedRowsMixin, snippets.PreviewOnEditView):
    row_actions = frozenset({"change"})

    def get_object(self) -> Message:
        return self.get_owned_row(self.kwargs["pk"])


class MessageRevisionView(owned.OwnedLookupMixin, snippets.PreviewRevisionView):
    row_actions = frozenset({"change"})


class MessageCompareView(owned.OwnedLookupMixin, snippets.RevisionsCompareView):
    row_actions = frozenset({"change"})


class MessageBulkDelete(DeleteBulkAction):
    """Delete several own messages; keys of others' are as if they did not exist."""

    models = [Message]

    def get_own(self) -> QuerySet[Message]:
        return self.permission_policy.instances_user_has_permission_for(self.request.user, "delete")

    def get_queryset(self, model: type[Message], object_ids: list[Any]) -> list[Message]:
        return get_list_or_404(self.get_own(), pk__in=usable_keys(object_ids))

    def get_all_objects_in_listing_query(self, parent_id: str | None) -> QuerySet:
        return self.get_own().values_list("pk", flat=True)

    def prepare_action(
        self, objects: list[Message], objects_without_access: Any
    ) -> HttpResponse | None:
        mailings = Mailing.objects.filter(message__in=objects)
        if mailings:
            messages.error(self.request, refuse_deletion(mailings))
            return redirect(self.next_url)
        return super().prepare_action(objects, objects_without_access)
