from __future__ import annotations

import django.db.models.deletion
import django.utils.timezone
import wagtail.fields
from django.conf import settings
from django.db import migrations, models

import blog.models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("wagtailcore", "0098_apitoken"),
        ("wagtailimages", "0027_image_description"),
    ]

    operations = [
        migrations.CreateModel(
            name="BlogIndexPage",
            fields=[
                (
                    "page_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to=settings.WAGTAIL_PAGE_MODEL,
                    ),
                ),
                ("lead", models.TextField(blank=True, max_length=500, verbose_name="lead")),
            ],
            options={
                "verbose_name": "blog",
            },
            bases=("wagtailcore.page",),
        ),
        migrations.CreateModel(
            name="BlogPage",
            fields=[
                (
                    "page_ptr",
                    models.OneToOneField(
                        auto_created=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        parent_link=True,
                        primary_key=True,
                        serialize=False,
                        to=settings.WAGTAIL_PAGE_MODEL,
                    ),
                ),
                (
                    "lead",
                    models.TextField(
                        help_text="One or two sentences, also shown in lists.",
                        max_length=500,
                        verbose_name="lead",
                    ),
                ),
                (
                    "body",
                    wagtail.fields.StreamField(
                        [("text", 0), ("image", 1), ("quote", 4)],
                        block_lookup={
                            0: (
                                "wagtail.blocks.RichTextBlock",
                                (),
                                {
                                    "features": [
                                        "h2",
                                        "h3",
                                        "bold",
                                        "italic",
                                        "ol",
                                        "ul",
                                        "link",
                                        "document-link",
                                        "hr",
                                    ],
                                    "icon": "pilcrow",
                                    "label": "Text",
                                },
                            ),
                            1: (
                                "wagtail.images.blocks.ImageBlock",
                                [],
                                {"label": "Image", "template": "blog/blocks/image.html"},
                            ),
                            2: ("wagtail.blocks.TextBlock", (), {"label": "text", "rows": 3}),
                            3: (
                                "wagtail.blocks.CharBlock",
                                (),
                                {"label": "author", "max_length": 150, "required": False},
                            ),
                            4: ("wagtail.blocks.StructBlock", [[("text", 2), ("author", 3)]], {}),
                        },
                        verbose_name="body",
                    ),
                ),
                (
                    "published_on",
                    models.DateField(
                        default=django.utils.timezone.localdate, verbose_name="publication date"
                    ),
                ),
                (
                    "view_count",
                    blog.models.CounterField(default=0, editable=False, verbose_name="views"),
                ),
                (
                    "image",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="wagtailimages.image",
                        verbose_name="image",
                    ),
                ),
            ],
            options={
                "verbose_name": "blog post",
                "verbose_name_plural": "blog posts",
            },
            bases=("wagtailcore.page",),
        ),
    ]
