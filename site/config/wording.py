"""Sentences of Wagtail, Django and allauth that our catalogue words anew.

Their own Russian puts the name of a model where only one gender and case would fit, or speaks
like a form of an office. Naming a sentence here makes `make messages` keep it in our catalogue,
which wins. Marked `no-python-format`, it may do without the name of the model.
"""

from __future__ import annotations

from django.utils.translation import gettext_noop, ngettext_lazy

WAGTAIL = (
    gettext_noop("New"),
    gettext_noop("Dashboard"),
    gettext_noop("Actions (footer)"),
    gettext_noop("Exploring"),
    gettext_noop("Reports"),
    # xgettext:no-python-format
    gettext_noop("%(start_index)s-%(end_index)s of %(items_count)s %(model_name)s"),
    # xgettext:no-python-format
    gettext_noop("Add %(model_name)s"),
    # xgettext:no-python-format
    gettext_noop("New: %(model_name)s"),
    # xgettext:no-python-format
    gettext_noop("%(model_name)s '%(object)s' created."),
    # xgettext:no-python-format
    gettext_noop("%(model_name)s '%(object)s' updated."),
    # xgettext:no-python-format
    gettext_noop("%(model_name)s '%(object)s' deleted."),
    # xgettext:no-python-format
    gettext_noop("The %(model_name)s could not be created due to errors."),
    # xgettext:no-python-format
    gettext_noop("The %(model_name)s could not be saved due to errors."),
    # xgettext:no-python-format
    gettext_noop("No %(model_name)s match your query."),
    # xgettext:no-python-format
    gettext_noop("There are no %(model_name)s to display."),
    gettext_noop(
        # xgettext:no-python-format
        'There are no %(model_name)s to display. Why not <a href="%(add_url)s">add one</a>?'
    ),
    # xgettext:no-python-format
    gettext_noop("Are you sure you want to delete this %(model_name)s?"),
    # xgettext:no-python-format
    gettext_noop("Are you sure you want to delete this %(snippet_type_name)s?"),
    # xgettext:no-python-format
    gettext_noop("Are you sure you want to delete %(count)s %(snippet_type_name)s?"),
    # xgettext:no-python-format
    gettext_noop("More options for '%(title)s'"),
    # xgettext:no-python-format
    gettext_noop("Edit this %(object)s"),
    # xgettext:no-python-format
    gettext_noop("(Private %(object)s)"),
    gettext_noop("The password you have entered is not correct. Please try again."),
)
WAGTAIL_COUNTS = (
    ngettext_lazy(
        # xgettext:no-python-format
        "This %(model_name)s is referenced %(usage_count)s time.",
        "This %(model_name)s is referenced %(usage_count)s times.",
    ),
    # xgettext:no-python-format
    ngettext_lazy("%(count)d %(model_name)s deleted.", "%(count)d %(model_name)s deleted."),
    ngettext_lazy("There is %(counter)s match", "There are %(counter)s matches"),
)
DJANGO = (
    gettext_noop("This field is required."),
    gettext_noop("This password is too common."),
    gettext_noop("This password is entirely numeric."),
    gettext_noop("The password is too similar to the %(verbose_name)s."),
)
DJANGO_PASSWORDS = ngettext_lazy(
    "This password is too short. It must contain at least %d character.",
    "This password is too short. It must contain at least %d characters.",
)
# How long ago: "1 минуту назад", where Django has "1 минута".
DJANGO_COUNTS = (
    ngettext_lazy("%(num)d minute", "%(num)d minutes"),
    ngettext_lazy("%(num)d week", "%(num)d weeks"),
)
ALLAUTH = (
    gettext_noop("The email address and/or password you specified are not correct."),
    gettext_noop("You must type the same password each time."),
    gettext_noop("Too many failed login attempts. Try again later."),
    gettext_noop("This email address is already associated with this account."),
    gettext_noop("Please type your current password."),
)
