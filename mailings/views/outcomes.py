"""The column that says what became of a letter."""

from __future__ import annotations

from wagtail.admin.ui.tables import Column


class OutcomeColumn(Column):
    """The outcome of a delivery, in the colours of its run's bar where it is no good one."""

    cell_template_name = "mailings/outcome_cell.html"
