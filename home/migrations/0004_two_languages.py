"""The home page in blocks, and a home page and a blog in each language.

A home page that nobody has changed since the site was made gets the whole of the new text. One
that editors have changed keeps what it says, as blocks, in its drafts too.
"""

from __future__ import annotations

import json
import uuid
from importlib import import_module
from typing import Any

from django.apps.registry import Apps
from django.db import migrations
from django.utils import timezone

from home.migrations._texts import TEXTS

PAGE_RIGHTS = ["add_page", "change_page", "publish_page"]
Blocks = list[dict[str, Any]]


# --- Blocks -------------------------------------------------------------------------------------


def block(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "value": value, "id": str(uuid.uuid4())}


def items(rows: list[Any], *names: str) -> Blocks:
    return [block("item", dict(zip(names, row, strict=True))) for row in rows]


def write_whole_page(texts: dict[str, Any]) -> Blocks:
    features = items(texts["features"], "icon", "title", "text")
    steps = items(texts["steps"], "title", "text")
    quotes = items(texts["quotes"], "text", "author", "note")
    questions = items(texts["questions"], "question", "answer")
    return [
        block("hero", texts["hero"]),
        block("numbers", {"title": ""}),
        block(
            "features",
            {
                "title": texts["features_title"],
                "lead": texts["features_lead"],
                "features": features,
            },
        ),
        block("steps", {"title": texts["steps_title"], "lead": "", "steps": steps}),
        block(
            "quotes",
            {"title": texts["quotes_title"], "lead": texts["quotes_lead"], "quotes": quotes},
        ),
        block("posts", {"title": texts["posts_title"]}),
        block("questions", {"title": texts["questions_title"], "questions": questions}),
        invite(texts),
    ]


def invite(texts: dict[str, Any]) -> dict[str, Any]:
    return block("call", {**texts["call"], "target": "signup", "page": None, "address": ""})


def keep_page(headline: str, lead: str, body: Blocks, texts: dict[str, Any]) -> Blocks:
    """Return what the page showed so far, some of which its template wrote, as blocks."""
    return [
        block("hero", {"title": headline, "lead": lead, "note": ""}),
        block("numbers", {"title": ""}),
        *body,
        block("posts", {"title": texts["posts_title"]}),
        invite(texts),
    ]


def arrange(headline: str, lead: str, body: Blocks, language: str) -> Blocks:
    texts = TEXTS[language]
    before = import_module("home.migrations.0002_first_pages").TEXTS[language]
    is_as_made = (headline, lead, features_of(body)) == (
        before["headline"],
        before["lead"],
        [before["features_title"], *(list(feature) for feature in before["features"])],
    )
    return write_whole_page(texts) if is_as_made else keep_page(headline, lead, body, texts)


def is_whole_page(body: Blocks) -> bool:
    return any(part["type"] == "steps" for part in body)


def features_of(body: Blocks) -> list[Any]:
    """Return the words of a body that is one block of features."""
    if [part.get("type") for part in body] != ["features"]:
        return []
    value = body[0]["value"]
    rows = [item.get("value", item) for item in value["features"]]
    return [value["title"], *([row["title"], row["text"]] for row in rows)]


# --- Pages --------------------------------------------------------------------------------------


def make_blocks_of_home(apps: Apps, schema_editor: object) -> None:
    for home in apps.get_model("home", "HomePage").objects.select_related("locale"):
        language = known(home.locale.language_code)
        body = arrange(home.headline, home.lead, list(home.body.raw_data), language)
        home.body = json.dumps(body)
        if is_whole_page(body):
            home.seo_title = home.seo_title or TEXTS[language]["seo_title"]
        home.save(update_fields=["body", "seo_title"])
        make_blocks_of_drafts(apps, home, language)


def make_blocks_of_drafts(apps: Apps, home: Any, language: str) -> None:
    drafts = apps.get_model("wagtailcore", "Revision").objects.filter(
        object_id=str(home.pk), content_type=home.content_type
    )
    for draft in drafts:
        content = draft.content
        body = json.loads(content.get("body") or "[]")
        headline, lead = content.pop("headline", ""), content.pop("lead", "")
        content["body"] = json.dumps(arrange(headline, lead, body, language))
        draft.save(update_fields=["content"])


def known(language: str) -> str:
    return language if language in TEXTS else "en"


def add_other_languages(apps: Apps, schema_editor: object) -> None:
    Locale = apps.get_model("wagtailcore", "Locale")
    home = apps.get_model("home", "HomePage").objects.filter(depth=2).order_by("path").first()
    if home is None:
        return
    for language in TEXTS:
        locale, _ = Locale.objects.get_or_create(language_code=language)
        if locale.pk != home.locale_id:
            add_home(apps, home, locale)


def add_home(apps: Apps, original: Any, locale: Any) -> None:
    HomePage = apps.get_model("home", "HomePage")
    if HomePage.objects.filter(translation_key=original.translation_key, locale=locale).exists():
        return
    first_pages = import_module("home.migrations.0002_first_pages")
    Page = apps.get_model("wagtailcore", "Page")
    root = Page.objects.get(depth=1)
    texts, slug = TEXTS[locale.language_code], f"home-{locale.language_code}"
    home = add_page(
        original,
        locale,
        path=root.path + first_pages.free_step(Page, root),
        slug=slug,
        url_path=f"/{slug}/",
        title=texts["title"],
        seo_title=texts["seo_title"],
        headline=texts["hero"]["title"],
        lead=texts["hero"]["lead"],
        body=json.dumps(write_whole_page(texts)),
    )
    add_blog(apps, original, home, locale)
    root.numchild = Page.objects.filter(depth=2).count()
    root.save(update_fields=["numchild"])
    let_editors_in(apps, home, first_pages.get_permission)


def add_blog(apps: Apps, original_home: Any, home: Any, locale: Any) -> None:
    blogs = apps.get_model("blog", "BlogIndexPage").objects
    original = blogs.filter(path__startswith=original_home.path, depth=3).order_by("path").first()
    if original is None:
        return
    texts = TEXTS[locale.language_code]
    add_page(
        original,
        locale,
        path=home.path + "0001",
        slug=original.slug,
        url_path=f"{home.url_path}{original.slug}/",
        title=texts["blog"],
        lead=texts["blog_lead"],
    )
    home.numchild = 1
    home.save(update_fields=["numchild"])


def add_page(original: Any, locale: Any, **fields: Any) -> Any:
    """Publish a translation of a page beside the original."""
    now = timezone.now()
    return type(original).objects.create(
        content_type=original.content_type,
        translation_key=original.translation_key,
        locale=locale,
        draft_title=fields["title"],
        depth=len(fields["path"]) // 4,
        live=True,
        first_published_at=now,
        last_published_at=now,
        **fields,
    )


def let_editors_in(apps: Apps, home: Any, get_permission: Any) -> None:
    editors, _ = apps.get_model("auth", "Group").objects.get_or_create(name="Editors")
    rights = apps.get_model("wagtailcore", "GroupPagePermission").objects
    for codename in PAGE_RIGHTS:
        permission = get_permission(apps, "wagtailcore", "page", codename)
        rights.get_or_create(group=editors, page_id=home.pk, permission=permission)


# --- Back ---------------------------------------------------------------------------------------


def remove_other_languages(apps: Apps, schema_editor: object) -> None:
    """Remove the home pages that this migration made, with what lies under them."""
    Page = apps.get_model("wagtailcore", "Page")
    root = Page.objects.get(depth=1)
    homes = apps.get_model("home", "HomePage").objects.filter(depth=2).order_by("path")
    for home in homes[1:]:
        Page.objects.filter(path__startswith=home.path).delete()
    root.numchild = Page.objects.filter(depth=2).count()
    root.save(update_fields=["numchild"])


def unmake_blocks_of_home(apps: Apps, schema_editor: object) -> None:
    """Give the home page its headline, its lead and the blocks that it could have before."""
    for home in apps.get_model("home", "HomePage").objects.all():
        blocks = list(home.body.raw_data)
        hero = next((part["value"] for part in blocks if part["type"] == "hero"), {})
        home.headline, home.lead = hero.get("title") or home.title, hero.get("lead", "")
        home.body = json.dumps([part for part in blocks if part["type"] in {"features", "text"}])
        home.save(update_fields=["headline", "lead", "body"])


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0003_blocks"),
        ("blog", "0003_reading"),
        ("wagtailcore", "0098_apitoken"),
    ]

    operations = [
        migrations.RunPython(make_blocks_of_home, unmake_blocks_of_home),
        migrations.RunPython(add_other_languages, remove_other_languages),
    ]
