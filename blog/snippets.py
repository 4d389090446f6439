"""What posts are filed under: categories and authors, each with its translations."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from wagtail.admin.panels import FieldPanel, TitleFieldPanel
from wagtail.admin.widgets.slug import SlugInput
from wagtail.models import TranslatableMixin
from wagtail.search import index


class Filed(TranslatableMixin, index.Indexed, models.Model):
    """A name with a part of an address of its own in each language."""

    name = models.CharField(_("name"), max_length=80)
    slug = models.SlugField(
        _("slug"),
        max_length=80,
        help_text=_("The part of the address that stands for it: Latin letters, digits, hyphens."),
    )

    search_fields = [index.SearchField("name"), index.AutocompleteField("name")]
    panels = [
        TitleFieldPanel("name", targets=["slug"]),
        FieldPanel("slug", widget=SlugInput),
    ]

    class Meta(TranslatableMixin.Meta):
        abstract = True
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse an address that is taken: forms have no locale and check no constraint of it."""
        super().clean()
        others = type(self).objects.exclude(pk=self.pk)
        if others.filter(locale=self.locale_id, slug=self.slug).exists():
            raise ValidationError({"slug": _("This part of the address is taken already.")})

    def in_locale(self, locale_id: Any) -> Filed | None:
        """Return the same thing in another language, if somebody translated it."""
        things = type(self).objects.filter(translation_key=self.translation_key, locale=locale_id)
        return things.first()


class Category(Filed):
    lead = models.CharField(
        _("lead"), max_length=300, blank=True, help_text=_("Stands above the list of its posts.")
    )

    panels = [*Filed.panels, "lead"]

    class Meta(Filed.Meta):
        verbose_name = _("category")
        verbose_name_plural = _("categories")
        constraints = [
            models.UniqueConstraint("locale", "slug", name="one_category_per_address"),
        ]


class Author(Filed):
    role = models.CharField(
        _("role"), max_length=120, blank=True, help_text=_("What this person does, in a few words.")
    )
    about = models.TextField(_("about"), max_length=500, blank=True)
    photo = models.ForeignKey(
        "wagtailimages.Image",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
        verbose_name=_("photo"),
    )

    panels = [*Filed.panels, "role", "about", "photo"]

    class Meta(Filed.Meta):
        verbose_name = _("author")
        verbose_name_plural = _("authors")
        constraints = [
            models.UniqueConstraint("locale", "slug", name="one_author_per_address"),
        ]

    @property
    def initials(self) -> str:
        return "".join(word[0] for word in self.name.split()[:2]).upper()
