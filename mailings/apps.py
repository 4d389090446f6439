from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class MailingsConfig(AppConfig):
    name = "mailings"
    verbose_name = _("mailings")

    def ready(self) -> None:
        from mailings import permissions

        permissions.register()
