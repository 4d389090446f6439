"""The workspace, declared: what is listed, searched, filtered, exported, edited."""

from __future__ import annotations

from wagtail.admin.viewsets.chooser import ChooserViewSet
from wagtail.admin.viewsets.model import ModelViewSet

from mailings.views import owned


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
