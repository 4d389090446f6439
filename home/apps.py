from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate, pre_migrate
from django.utils.translation import gettext_lazy as _


class HomeConfig(AppConfig):
    name = "home"
    verbose_name = _("home")

    def ready(self) -> None:
        from config import page_changes, redirects, site_roots

        from home import counting

        page_changes.watch()
        redirects.watch()
        pre_migrate.connect(counting.remove_triggers, sender=self)
        post_migrate.connect(counting.install_triggers, sender=self)
        post_migrate.connect(site_roots.follow_site_url, sender=self)
