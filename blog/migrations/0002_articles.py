from __future__ import annotations

import uuid

import django.core.validators
import django.db.models.deletion
import modelcluster.contrib.taggit
import modelcluster.fields
import modelsearch.index
import wagtail.fields
from django.conf import settings
from django.db import migrations, models

import blog.models


class Migration(migrations.Migration):
    dependencies = [
        ("blog", "0001_initial"),
        ("taggit", "0006_rename_taggeditem_content_type_object_id_taggit_tagg_content_8fc721_idx"),
        ("wagtailcore", "0098_apitoken"),
        ("wagtailimages", "0027_image_description"),
        migrations.swappable_dependency(settings.WAGTAIL_PAGE_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name="blogpage",
            name="reading_minutes",
            field=models.PositiveSmallIntegerField(
                default=1, editable=False, verbose_name="minutes to read"
            ),
        ),
        migrations.AddField(
            model_name="blogpage",
            name="shuffle",
            field=models.FloatField(default=blog.models.random_place, editable=False),
        ),
        migrations.AlterField(
            model_name="blogpage",
            name="body",
            field=wagtail.fields.StreamField(
                [
                    ("text", 0),
                    ("image", 3),
                    ("quote", 6),
                    ("code", 9),
                    ("table", 13),
                    ("embed", 16),
                    ("gallery", 18),
                    ("call", 25),
                ],
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
                                "code",
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
                    1: ("wagtail.images.blocks.ImageBlock", [], {"label": "image"}),
                    2: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {"label": "caption", "max_length": 250, "required": False},
                    ),
                    3: ("wagtail.blocks.StructBlock", [[("image", 1), ("caption", 2)]], {}),
                    4: ("wagtail.blocks.TextBlock", (), {"label": "text", "rows": 3}),
                    5: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {"label": "author", "max_length": 150, "required": False},
                    ),
                    6: ("wagtail.blocks.StructBlock", [[("text", 4), ("author", 5)]], {}),
                    7: ("wagtail.blocks.TextBlock", (), {"label": "code", "rows": 6}),
                    8: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {
                            "help_text": "A file name, for example.",
                            "label": "title",
                            "max_length": 120,
                            "required": False,
                        },
                    ),
                    9: ("wagtail.blocks.StructBlock", [[("code", 7), ("title", 8)]], {}),
                    10: ("wagtail.blocks.CharBlock", (), {"label": "text", "required": False}),
                    11: ("wagtail.blocks.DecimalBlock", (), {"label": "number", "required": False}),
                    12: (
                        "wagtail.blocks.RichTextBlock",
                        (),
                        {
                            "features": ["bold", "italic", "code", "link"],
                            "label": "text with links",
                            "required": False,
                        },
                    ),
                    13: (
                        "wagtail.contrib.typed_table_block.blocks.TypedTableBlock",
                        [[("text", 10), ("number", 11), ("rich", 12)]],
                        {"icon": "table", "label": "Table", "template": "blog/blocks/table.html"},
                    ),
                    14: ("wagtail.blocks.CharBlock", (), {"label": "title", "max_length": 150}),
                    15: (
                        "wagtail.embeds.blocks.EmbedBlock",
                        (),
                        {
                            "help_text": "The address of a video or another page to embed.",
                            "label": "address",
                        },
                    ),
                    16: ("wagtail.blocks.StructBlock", [[("title", 14), ("embed", 15)]], {}),
                    17: (
                        "wagtail.blocks.ListBlock",
                        (3,),
                        {"label": "images", "max_num": 12, "min_num": 2},
                    ),
                    18: ("wagtail.blocks.StructBlock", [[("pictures", 17)]], {}),
                    19: ("wagtail.blocks.CharBlock", (), {"label": "title", "max_length": 120}),
                    20: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "text", "max_length": 300, "required": False, "rows": 2},
                    ),
                    21: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {"label": "words on the button", "max_length": 40},
                    ),
                    22: (
                        "wagtail.blocks.ChoiceBlock",
                        [],
                        {
                            "choices": [
                                (
                                    "signup",
                                    "to signing up, or to the workspace for who is logged in",
                                ),
                                ("page", "to a page of this site"),
                                ("address", "to an address"),
                            ],
                            "label": "where the button leads",
                        },
                    ),
                    23: (
                        "wagtail.blocks.PageChooserBlock",
                        (),
                        {"label": "page", "required": False},
                    ),
                    24: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {
                            "label": "address",
                            "max_length": 500,
                            "required": False,
                            "validators": [
                                django.core.validators.RegexValidator(
                                    "^(https?://|mailto:|/(?!/))\\S+$",
                                    "Use an address such as https://example.com.",
                                )
                            ],
                        },
                    ),
                    25: (
                        "wagtail.blocks.StructBlock",
                        [
                            [
                                ("title", 19),
                                ("text", 20),
                                ("button", 21),
                                ("target", 22),
                                ("page", 23),
                                ("address", 24),
                            ]
                        ],
                        {},
                    ),
                },
                verbose_name="body",
            ),
        ),
        migrations.AlterField(
            model_name="blogpage",
            name="image",
            field=models.ForeignKey(
                blank=True,
                help_text="Stands above the text, in lists and where the post is shared.",
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="wagtailimages.image",
                verbose_name="image",
            ),
        ),
        migrations.CreateModel(
            name="Author",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("translation_key", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                (
                    "slug",
                    models.SlugField(
                        help_text="The part of the address that stands for it: Latin letters, digits, hyphens.",
                        max_length=80,
                        verbose_name="slug",
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        blank=True,
                        help_text="What this person does, in a few words.",
                        max_length=120,
                        verbose_name="role",
                    ),
                ),
                ("about", models.TextField(blank=True, max_length=500, verbose_name="about")),
                (
                    "locale",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="wagtailcore.locale",
                        verbose_name="locale",
                    ),
                ),
                (
                    "photo",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="wagtailimages.image",
                        verbose_name="photo",
                    ),
                ),
            ],
            options={
                "verbose_name": "author",
                "verbose_name_plural": "authors",
                "ordering": ["name"],
                "abstract": False,
            },
            bases=(modelsearch.index.Indexed, models.Model),
        ),
        migrations.AddField(
            model_name="blogpage",
            name="author",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="posts",
                to="blog.author",
                verbose_name="author",
            ),
        ),
        migrations.CreateModel(
            name="Category",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("translation_key", models.UUIDField(default=uuid.uuid4, editable=False)),
                ("name", models.CharField(max_length=80, verbose_name="name")),
                (
                    "slug",
                    models.SlugField(
                        help_text="The part of the address that stands for it: Latin letters, digits, hyphens.",
                        max_length=80,
                        verbose_name="slug",
                    ),
                ),
                (
                    "lead",
                    models.CharField(
                        blank=True,
                        help_text="Stands above the list of its posts.",
                        max_length=300,
                        verbose_name="lead",
                    ),
                ),
                (
                    "locale",
                    models.ForeignKey(
                        editable=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="wagtailcore.locale",
                        verbose_name="locale",
                    ),
                ),
            ],
            options={
                "verbose_name": "category",
                "verbose_name_plural": "categories",
                "ordering": ["name"],
                "abstract": False,
            },
            bases=(modelsearch.index.Indexed, models.Model),
        ),
        migrations.AddField(
            model_name="blogpage",
            name="categories",
            field=modelcluster.fields.ParentalManyToManyField(
                blank=True, related_name="posts", to="blog.category", verbose_name="categories"
            ),
        ),
        migrations.CreateModel(
            name="ChosenPost",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("sort_order", models.IntegerField(blank=True, editable=False, null=True)),
                (
                    "page",
                    modelcluster.fields.ParentalKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="chosen_posts",
                        to="blog.blogpage",
                    ),
                ),
                (
                    "post",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="blog.blogpage",
                        verbose_name="post",
                    ),
                ),
            ],
            options={
                "ordering": ["sort_order"],
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="PostTag",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "content_object",
                    modelcluster.fields.ParentalKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="tagged_items",
                        to="blog.blogpage",
                    ),
                ),
                (
                    "tag",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="%(app_label)s_%(class)s_items",
                        to="taggit.tag",
                    ),
                ),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.AddField(
            model_name="blogpage",
            name="tags",
            field=modelcluster.contrib.taggit.ClusterTaggableManager(
                blank=True,
                help_text="A comma-separated list of tags.",
                through="blog.PostTag",
                to="taggit.Tag",
                verbose_name="tags",
            ),
        ),
        migrations.AddIndex(
            model_name="blogpage",
            index=models.Index(fields=["-published_on", "-page_ptr"], name="newest_posts"),
        ),
        migrations.AddIndex(
            model_name="blogpage",
            index=models.Index(fields=["shuffle"], name="shuffled_posts"),
        ),
        migrations.AddConstraint(
            model_name="author",
            constraint=models.UniqueConstraint(
                models.F("locale"), models.F("slug"), name="one_author_per_address"
            ),
        ),
        migrations.AlterUniqueTogether(
            name="author",
            unique_together={("translation_key", "locale")},
        ),
        migrations.AddConstraint(
            model_name="category",
            constraint=models.UniqueConstraint(
                models.F("locale"), models.F("slug"), name="one_category_per_address"
            ),
        ),
        migrations.AlterUniqueTogether(
            name="category",
            unique_together={("translation_key", "locale")},
        ),
    ]
