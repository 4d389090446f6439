from __future__ import annotations

import django.db.models.deletion
import wagtail.fields
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("wagtailcore", "0098_apitoken"),
    ]

    operations = [
        migrations.CreateModel(
            name="HomePage",
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
                ("headline", models.CharField(max_length=120, verbose_name="headline")),
                ("lead", models.TextField(max_length=500, verbose_name="lead")),
                (
                    "body",
                    wagtail.fields.StreamField(
                        [("features", 5), ("text", 6)],
                        blank=True,
                        block_lookup={
                            0: (
                                "wagtail.blocks.CharBlock",
                                (),
                                {"label": "title", "max_length": 120},
                            ),
                            1: (
                                "wagtail.blocks.CharBlock",
                                (),
                                {"label": "title", "max_length": 80},
                            ),
                            2: (
                                "wagtail.blocks.TextBlock",
                                (),
                                {"label": "text", "max_length": 300, "rows": 3},
                            ),
                            3: ("wagtail.blocks.StructBlock", [[("title", 1), ("text", 2)]], {}),
                            4: (
                                "wagtail.blocks.ListBlock",
                                (3,),
                                {"label": "features", "max_num": 12, "min_num": 1},
                            ),
                            5: (
                                "wagtail.blocks.StructBlock",
                                [[("title", 0), ("features", 4)]],
                                {},
                            ),
                            6: (
                                "wagtail.blocks.RichTextBlock",
                                (),
                                {
                                    "features": ["h2", "h3", "bold", "italic", "ol", "ul", "link"],
                                    "icon": "pilcrow",
                                    "label": "Text",
                                    "template": "home/blocks/text.html",
                                },
                            ),
                        },
                        verbose_name="body",
                    ),
                ),
            ],
            options={
                "verbose_name": "home page",
            },
            bases=("wagtailcore.page",),
        ),
    ]
