"""The workspace, declared: what is listed, searched, filtered, exported, edited."""

from __future__ import annotations

from django import forms
from django.template.defaultfilters import yesno
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from wagtail.admin.panels import FieldPanel, FieldRowPanel, MultiFieldPanel, ObjectList
from wagtail.admin.ui.tables import (
    Column,
    DateColumn,
    NumberColumn,
    StatusTagColumn,
)
from wagtail.admin.viewsets.chooser import ChooserViewSet
from wagtail.admin.viewsets.model import ModelViewSet
from wagtail.snippets.views.snippets import SnippetViewSet

from mailings.forms import (
    ClientForm,
    ClientListForm,
    MailingForm,
    MessageForm,
    PictureForm,
    PictureTitleForm,
)
from mailings.models import Client, ClientList, Mailing, Message, Picture
from mailings.views import attempts, clients, dashboard, links, mailings, owned, pictures
from mailings.views import messages as message_views


class OwnedModelViewSet(ModelViewSet):
    """Pages for rows that users own; every view is limited to the rows the policy opens.

    `search_fields` are searched in the database, whatever the case of the letters.
    """

    index_view_class = owned.OwnedIndexView
    add_view_class = owned.OwnedCreateView
    edit_view_class = owned.OwnedEditView
    delete_view_class = owned.OwnedDeleteView
    inspect_view_class = owned.OwnedInspectView
    history_view_class = owned.OwnedHistoryView
    usage_view_class = owned.OwnedUsageView
    inspect_view_enabled = True
    # Wagtail's copy view looks the row up by itself.
    copy_view_enabled = False
    # Nothing is offered to the site's reference index: it would grow with every client.
    add_to_reference_index = False
    search_backend_name = None
    list_per_page = 50


class OwnedChooserViewSet(ChooserViewSet):
    """A chooser that offers, accepts and names only rows the policy opens."""

    choose_view_class = owned.OwnedChooseView
    choose_results_view_class = owned.OwnedChooseResultsView
    chosen_view_class = owned.OwnedChosenView
    chosen_multiple_view_class = owned.OwnedChosenMultipleView
    create_view_class = owned.OwnedChooserCreateView


# --- Clients, lists, pictures, messages -----------------------------------------------------


class ClientViewSet(OwnedModelViewSet):
    model = Client
    menu_name = "clients"
    icon = "user"
    menu_order = 200
    add_to_admin_menu = True
    index_view_class = clients.ClientIndexView
    edit_view_class = clients.ClientEditView
    index_template_name = "mailings/clients.html"
    add_view_class = clients.ClientCreateView
    delete_view_class = clients.ClientDeleteView
    inspect_view_class = clients.ClientInspectView
    inspect_view_fields = ["email", "full_name", "lists", "comment", "created_at"]
    list_display = [
        "full_name",
        "email",
        Column("lists", label=_("Lists"), accessor="list_names"),
        StatusTagColumn(
            "subscription",
            label=_("Subscription"),
            accessor=clients.describe_subscription,
            sort_key="unsubscribed_at",
            primary=lambda client: client.gets_letters,
        ),
        DateColumn("created_at", label=_("Added"), sort_key="created_at"),
    ]
    filterset_class = clients.ClientFilterSet
    search_fields = ["full_name", "email"]
    export_filename = "clients"
    list_export = [
        "full_name",
        "email",
        "list_names",
        "comment",
        "unsubscribed_at",
        "undeliverable_at",
        "undeliverable_reply",
        "created_at",
    ]
    export_headings = {"list_names": _("Lists")}
    edit_handler = ObjectList(
        [FieldPanel(name) for name in ("full_name", "email", "lists", "comment")],
        base_form_class=ClientForm,
    )

    def get_urlpatterns(self) -> list[URLPattern]:
        leave = self.construct_view(clients.ClientUnsubscribeView)
        come_back = self.construct_view(clients.ClientResubscribeView)
        try_again = clients.ClientTryAgainView.as_view()
        return [
            *super().get_urlpatterns(),
            path("unsubscribe/<int:pk>/", leave, name="unsubscribe"),
            path("resubscribe/<int:pk>/", come_back, name="resubscribe"),
            path("try-again/<int:pk>/", try_again, name="try_again"),
        ]


class ClientListViewSet(OwnedModelViewSet):
    model = ClientList
    menu_name = "client-lists"
    icon = "group"
    menu_order = 210
    add_to_admin_menu = True
    index_view_class = clients.ClientListIndexView
    delete_view_class = clients.ClientListDeleteView
    inspect_view_class = clients.ClientListInspectView
    inspect_view_fields = ["name", "created_at"]
    list_display = [
        "name",
        NumberColumn("size", label=_("Clients"), sort_key="size"),
        NumberColumn("subscribed", label=_("Of them subscribed"), sort_key="subscribed"),
        DateColumn("created_at", label=_("Created"), sort_key="created_at"),
    ]
    search_fields = ["name"]
    export_filename = "client-lists"
    list_export = ["name", "size", "subscribed", "created_at"]
    export_headings = {"size": _("Clients"), "subscribed": _("Of them subscribed")}
    edit_handler = ObjectList([FieldPanel("name")], base_form_class=ClientListForm)


class PictureViewSet(OwnedModelViewSet):
    model = Picture
    menu_name = "pictures"
    icon = "image"
    menu_order = 220
    add_to_admin_menu = True
    delete_view_class = pictures.PictureDeleteView
    inspect_view_class = pictures.PictureInspectView
    inspect_view_fields = ["title", "width", "height", "created_at"]
    list_display = [
        "title",
        pictures.ThumbnailColumn("file", label=_("Picture")),
        Column("size", label=_("Size"), accessor=lambda each: f"{each.width} × {each.height}"),
        DateColumn("created_at", label=_("Added"), sort_key="created_at"),
    ]
    search_fields = ["title"]

    def get_form_class(self, for_update: bool = False) -> type[forms.ModelForm]:
        return PictureTitleForm if for_update else PictureForm


class MessageViewSet(SnippetViewSet):
    """Messages: see `views.messages` for what limits each view to own rows."""

    model = Message
    menu_name = "messages"
    icon = "doc-full"
    menu_order = 230
    add_to_admin_menu = True
    url_namespace = "message"
    url_prefix = "message"
    index_view_class = message_views.MessageIndexView
    add_view_class = message_views.MessageCreateView
    edit_view_class = message_views.MessageEditView
    delete_view_class = message_views.MessageDeleteView
    inspect_view_class = message_views.MessageInspectView
    history_view_class = message_views.MessageHistoryView
    usage_view_class = message_views.MessageUsageView
    preview_on_add_view_class = message_views.MessagePreviewOnCreateView
    preview_on_edit_view_class = message_views.MessagePreviewOnEditView
    revisions_view_class = message_views.MessageRevisionView
    revisions_revert_view_class = message_views.MessageRevertView
    revisions_compare_view_class = message_views.MessageCompareView
    copy_view_enabled = False
    inspect_view_enabled = True
    # The generic pages: snippets' own know one template for everybody's rows.
    index_template_name = "mailings/messages.html"
    delete_template_name = message_views.MessageDeleteView.template_name
    inspect_template_name = message_views.MessageInspectView.template_name
    list_per_page = 50
    list_display = [
        "subject",
        NumberColumn("uses", label=_("Mailings"), sort_key="uses"),
        DateColumn("updated_at", label=_("Changed"), sort_key="updated_at"),
    ]
    search_backend_name = None
    search_fields = ["subject"]
    export_filename = "messages"
    list_export = ["subject", "uses", "created_at", "updated_at"]
    export_headings = {"uses": _("Mailings")}
    edit_handler = ObjectList(Message.panels, base_form_class=MessageForm)

    def get_urlpatterns(self) -> list[URLPattern]:
        letter = self.construct_view(message_views.MessageLetterView)
        return [
            *super().get_urlpatterns(),
            path("letter/<int:pk>/", letter, name="letter"),
            path("link/web/", links.WebLinkView.as_view(), name="web_link"),
            path("link/mail/", links.MailLinkView.as_view(), name="mail_link"),
        ]

    def register_chooser_viewset(self) -> None:
        """Nothing chooses messages in a pop-up: a mailing's form lists own ones."""


class PictureChooserViewSet(OwnedChooserViewSet):
    model = Picture
    icon = "image"
    choose_one_text = _("Choose a picture")
    choose_another_text = _("Choose another picture")
    search_tab_label = _("Your pictures")
    edit_item_text = _("Change its title")
    creation_form_class = PictureForm
    create_action_label = _("Upload")
    per_page = 12


client_viewset = ClientViewSet("client")
client_list_viewset = ClientListViewSet("client_list")
picture_viewset = PictureViewSet("picture")
message_viewset = MessageViewSet()
picture_chooser_viewset = PictureChooserViewSet("picture_chooser")


class MailingViewSet(OwnedModelViewSet):
    model = Mailing
    menu_name = "mailings"
    icon = "calendar-check"
    menu_label = _("Mailings")
    menu_order = 240
    add_to_admin_menu = True
    index_view_class = mailings.MailingIndexView
    add_view_class = mailings.MailingCreateView
    edit_view_class = mailings.MailingEditView
    delete_view_class = mailings.MailingDeleteView
    inspect_view_class = mailings.MailingInspectView
    inspect_template_name = "mailings/mailing.html"
    list_display = [
        "name",
        "message",
        StatusTagColumn(
            "status",
            label=_("Status"),
            accessor=mailings.describe_state,
            sort_key="status",
            primary=lambda mailing: (
                mailing.status == Mailing.Status.STARTED and not mailing.is_paused
            ),
        ),
        "periodicity",
        mailings.MomentColumn(
            "next_run_at",
            label=_("Next run"),
            accessor=lambda mailing: mailing.next_run_at if mailing.is_active else None,
            sort_key="next_run_at",
        ),
        Column(
            "is_active",
            label=_("Switched on"),
            accessor=lambda mailing: yesno(mailing.is_active),
            sort_key="is_active",
        ),
    ]
    list_filter = ["status", "periodicity", "is_active"]
    search_fields = ["name", "message__subject"]
    export_filename = "mailings"
    list_export = [
        "name",
        "message",
        "get_status_display",
        "get_periodicity_display",
        "starts_at",
        "ends_at",
        "next_run_at",
        "is_active",
    ]
    export_headings = {
        "get_status_display": _("Status"),
        "get_periodicity_display": _("Periodicity"),
    }
    edit_handler = ObjectList(
        [
            FieldPanel("name"),
            FieldPanel("message", widget=forms.Select),
            MultiFieldPanel(
                [FieldPanel("all_clients"), FieldPanel("lists"), FieldPanel("clients")],
                heading=_("Who gets it"),
            ),
            MultiFieldPanel(
                [
                    FieldRowPanel([FieldPanel("starts_at"), FieldPanel("ends_at")]),
                    FieldPanel("periodicity"),
                    FieldPanel("is_active"),
                ],
                heading=_("When"),
            ),
            MultiFieldPanel(
                [FieldPanel("in_doubt")],
                heading=_("When the connection breaks"),
                classname="collapsed",
            ),
        ],
        base_form_class=MailingForm,
    )

    def get_urlpatterns(self) -> list[URLPattern]:
        finished, attempt = mailings.FinishedMailingsView, attempts.AttemptView
        return [
            *super().get_urlpatterns(),
            path("state/<int:pk>/", mailings.MailingStateView.as_view(model=Mailing), name="state"),
            path("runs/<int:pk>/", mailings.MailingRunsView.as_view(model=Mailing), name="runs"),
            path("switch-on/<int:pk>/", mailings.SwitchOnView.as_view(), name="switch_on"),
            path("switch-off/<int:pk>/", mailings.SwitchOffView.as_view(), name="switch_off"),
            path("clients/", mailings.ClientPickerView.as_view(), name="clients"),
            path("finished/", finished.as_view(), name="finished"),
            path("finished/results/", finished.as_view(results_only=True), name="finished_results"),
            path("attempt/<int:pk>/", attempt.as_view(), name="attempt"),
            path(
                "attempt/<int:pk>/results/",
                attempt.as_view(results_only=True),
                name="attempt_results",
            ),
            path(
                "attempt/<int:pk>/progress/",
                attempts.AttemptProgressView.as_view(),
                name="attempt_progress",
            ),
            path(
                "attempt/<int:pk>/letter/",
                attempts.AttemptLetterView.as_view(),
                name="attempt_letter",
            ),
            path("attempt/<int:pk>/go-on/", attempts.GoOnView.as_view(), name="go_on"),
            path(
                "attempt/<int:pk>/send-to-the-rest/",
                attempts.SendRemainderView.as_view(),
                name="send_remainder",
            ),
            path("trouble/", dashboard.TroubleView.as_view(), name="trouble"),
            path("running/", dashboard.RunningView.as_view(), name="running"),
        ]


mailing_viewset = MailingViewSet()
