"""A fresh database has a site: our home page in place of Wagtail's welcome page, and a blog.

Editors keep these pages and nothing above them. Wagtail's own group Moderators goes: the site
has the roles Users, Managers and Editors.
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import urlsplit

from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations
from django.utils import timezone

PAGE_RIGHTS = ["add_page", "change_page", "publish_page"]
COLLECTION_RIGHTS = {
    "wagtailimages": ("image", ["add_image", "change_image", "choose_image"]),
    "wagtaildocs": ("document", ["add_document", "change_document", "choose_document"]),
}

TEXTS: dict[str, dict[str, Any]] = {
    "ru": {
        "home": "Главная",
        "headline": "Рассылки, которые уходят вовремя",
        "lead": "Соберите клиентов в списки, напишите письмо один раз и выберите время. "
        "Вестник отправит его, повторит, когда нужно, и покажет, кто получил, а кто нет и почему.",
        "blog": "Блог",
        "blog_lead": "Как писать письма, которые читают, и рассылать их так, чтобы они доходили.",
        "features_title": "Всё, что нужно рассылке",
        "features": [
            (
                "Клиенты и списки",
                "Адреса, имена и заметки в одном месте. Повторы видны сразу, "
                "отписавшиеся писем не получают.",
            ),
            (
                "Письма из блоков",
                "Заголовок, текст, картинка, кнопка. Рядом с формой видно письмо таким, "
                "каким его откроет клиент.",
            ),
            (
                "Расписание",
                "Один раз, каждый день, неделю или месяц, в вашем часовом поясе "
                "и до назначенного дня.",
            ),
            (
                "Бережная отправка",
                "Если почтовый сервер занят или недоступен, рассылка подождёт и продолжит "
                "с того места, где остановилась.",
            ),
            (
                "Честные отчёты",
                "По каждой рассылке: сколько писем принято, сколько отклонено и что ответил сервер.",
            ),
            (
                "Отписка в одно нажатие",
                "Ссылка и кнопка отписки есть в каждом письме, как того требуют почтовые службы.",
            ),
        ],
    },
    "en": {
        "home": "Home",
        "headline": "Mailings that go out on time",
        "lead": "Gather your clients in lists, write a letter once and choose the hour. Vestnik "
        "sends it, repeats it when you want, and shows who got it, who did not, and why.",
        "blog": "Blog",
        "blog_lead": "How to write letters that people read, and to send them so that they arrive.",
        "features_title": "Everything a mailing needs",
        "features": [
            (
                "Clients and lists",
                "Addresses, names and notes in one place. Duplicates show at once, and nobody "
                "who unsubscribed gets a letter.",
            ),
            (
                "Letters made of blocks",
                "Heading, text, picture, button. Beside the form you see the letter as your "
                "client will.",
            ),
            (
                "A timetable",
                "Once, daily, weekly or monthly, in your own time zone and until the day you set.",
            ),
            (
                "Careful sending",
                "When the mail server is busy or away, the mailing waits and goes on where "
                "it stopped.",
            ),
            (
                "Honest reports",
                "For every mailing: how many letters were accepted, how many were not, and what "
                "the server said.",
            ),
            (
                "Unsubscribing in one click",
                "Every letter holds the link and the button, as mail services ask for.",
            ),
        ],
    },
}


def add_pages(apps: Apps, schema_editor: object) -> None:
    Page = apps.get_model("wagtailcore", "Page")
    texts = TEXTS[settings.LANGUAGE_CODE[:2]]
    root = Page.objects.get(depth=1)
    welcome = Page.objects.filter(depth=2, slug="home").first()
    home = add_page(
        apps,
        ("home", "homepage"),
        path=root.path + free_step(Page, root),
        numchild=1,
        slug="home",
        url_path="/home/",
        title=texts["home"],
        headline=texts["headline"],
        lead=texts["lead"],
        body=features(texts),
    )
    add_page(
        apps,
        ("blog", "blogindexpage"),
        path=home.path + "0001",
        numchild=0,
        slug="blog",
        url_path="/home/blog/",
        title=texts["blog"],
        lead=texts["blog_lead"],
    )
    open_site(apps, home)
    if welcome:
        welcome.delete()
    root.numchild = Page.objects.filter(depth=2).count()
    root.save(update_fields=["numchild"])


def free_step(Page: Any, root: Any) -> str:
    """Return the last part of the tree path of a new child of the root."""
    last = Page.objects.filter(depth=2).order_by("path").last()
    return f"{int(last.path[len(root.path) :]) + 1 if last else 1:04d}"


def features(texts: dict[str, Any]) -> str:
    items = [{"title": title, "text": text} for title, text in texts["features"]]
    value = {"title": texts["features_title"], "features": items}
    return json.dumps([{"type": "features", "value": value, "id": str(uuid.uuid4())}])


def add_page(apps: Apps, model: tuple[str, str], **fields: Any) -> Any:
    ContentType = apps.get_model("contenttypes", "ContentType")
    content_type, _ = ContentType.objects.get_or_create(app_label=model[0], model=model[1])
    now = timezone.now()
    return apps.get_model(*model).objects.create(
        content_type=content_type,
        locale=apps.get_model("wagtailcore", "Locale").objects.first(),
        draft_title=fields["title"],
        depth=len(fields["path"]) // 4,
        live=True,
        first_published_at=now,
        last_published_at=now,
        **fields,
    )


def open_site(apps: Apps, home: Any) -> None:
    """Make the home page the root of the default site, at the address of the settings."""
    address = urlsplit(settings.SITE_URL)
    port = address.port or (443 if address.scheme == "https" else 80)
    Site = apps.get_model("wagtailcore", "Site")
    Site.objects.filter(is_default_site=True).delete()
    Site.objects.filter(hostname=address.hostname, port=port).delete()
    Site.objects.create(
        hostname=address.hostname,
        port=port,
        site_name="Vestnik",
        root_page_id=home.pk,
        is_default_site=True,
    )


def remove_pages(apps: Apps, schema_editor: object) -> None:
    """Put Wagtail's welcome page back; the pages under ours go with it."""
    Page = apps.get_model("wagtailcore", "Page")
    home = apps.get_model("home", "HomePage").objects.filter(depth=2).first()
    if home is None:
        return
    root = Page.objects.get(depth=1)
    content_type = apps.get_model("contenttypes", "ContentType").objects.get(
        app_label="wagtailcore", model="page"
    )
    welcome = Page.objects.create(
        title="Welcome to your new Wagtail site!",
        draft_title="Welcome to your new Wagtail site!",
        slug="home",
        content_type=content_type,
        locale_id=home.locale_id,
        path=root.path + free_step(Page, root),
        depth=2,
        url_path="/home/",
    )
    apps.get_model("wagtailcore", "Site").objects.filter(root_page_id=home.pk).update(
        root_page=welcome.pk
    )
    Page.objects.filter(path__startswith=home.path).delete()
    root.numchild = Page.objects.filter(depth=2).count()
    root.save(update_fields=["numchild"])


def let_editors_in(apps: Apps, schema_editor: object) -> None:
    Group = apps.get_model("auth", "Group")
    editors, _ = Group.objects.get_or_create(name="Editors")
    Group.objects.filter(name="Moderators").delete()
    GroupPagePermission = apps.get_model("wagtailcore", "GroupPagePermission")
    GroupPagePermission.objects.filter(group=editors).delete()
    home = apps.get_model("home", "HomePage").objects.get(depth=2)
    for codename in PAGE_RIGHTS:
        GroupPagePermission.objects.create(
            group=editors,
            page_id=home.pk,
            permission=get_permission(apps, "wagtailcore", "page", codename),
        )
    collection = apps.get_model("wagtailcore", "Collection").objects.get(depth=1)
    for app_label, (model, codenames) in COLLECTION_RIGHTS.items():
        for codename in codenames:
            apps.get_model("wagtailcore", "GroupCollectionPermission").objects.get_or_create(
                group=editors,
                collection=collection,
                permission=get_permission(apps, app_label, model, codename),
            )


def keep_editors_out(apps: Apps, schema_editor: object) -> None:
    """Give Wagtail's two groups the rights on all pages that Wagtail gave them."""
    Group = apps.get_model("auth", "Group")
    GroupPagePermission = apps.get_model("wagtailcore", "GroupPagePermission")
    GroupPagePermission.objects.filter(group__name="Editors").delete()
    root = apps.get_model("wagtailcore", "Page").objects.get(depth=1)
    for name, codenames in {"Editors": PAGE_RIGHTS[:2], "Moderators": PAGE_RIGHTS}.items():
        group, _ = Group.objects.get_or_create(name=name)
        for codename in codenames:
            permission = get_permission(apps, "wagtailcore", "page", codename)
            GroupPagePermission.objects.create(group=group, page=root, permission=permission)


def get_permission(apps: Apps, app_label: str, model: str, codename: str) -> Any:
    """Return a permission; Django makes those of new models only after the last migration."""
    ContentType = apps.get_model("contenttypes", "ContentType")
    content_type, _ = ContentType.objects.get_or_create(app_label=app_label, model=model)
    permission, _ = apps.get_model("auth", "Permission").objects.get_or_create(
        content_type=content_type,
        codename=codename,
        defaults={"name": f"Can {codename.replace('_', ' ')}"},
    )
    return permission


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0001_initial"),
        ("blog", "0001_initial"),
        ("accounts", "0002_roles"),
        ("wagtailimages", "0027_image_description"),
        ("wagtaildocs", "0014_alter_document_file_size"),
        ("wagtailcore", "0098_apitoken"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [
        migrations.RunPython(add_pages, remove_pages),
        migrations.RunPython(let_editors_in, keep_editors_out),
    ]
