from __future__ import annotations

import django.core.validators
import wagtail.fields
from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("home", "0002_first_pages"),
    ]

    operations = [
        migrations.AlterField(
            model_name="homepage",
            name="body",
            field=wagtail.fields.StreamField(
                [
                    ("hero", 3),
                    ("numbers", 5),
                    ("features", 12),
                    ("steps", 15),
                    ("quotes", 21),
                    ("questions", 26),
                    ("call", 32),
                    ("posts", 33),
                    ("text", 34),
                ],
                blank=True,
                block_lookup={
                    0: ("wagtail.blocks.CharBlock", (), {"label": "title", "max_length": 120}),
                    1: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "lead", "max_length": 500, "rows": 3},
                    ),
                    2: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {
                            "help_text": "Stands beneath the buttons.",
                            "label": "note",
                            "max_length": 150,
                            "required": False,
                        },
                    ),
                    3: (
                        "wagtail.blocks.StructBlock",
                        [[("title", 0), ("lead", 1), ("note", 2)]],
                        {},
                    ),
                    4: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {"label": "title", "max_length": 120, "required": False},
                    ),
                    5: ("wagtail.blocks.StructBlock", [[("title", 4)]], {}),
                    6: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "lead", "max_length": 300, "required": False, "rows": 2},
                    ),
                    7: ("wagtail.blocks.CharBlock", (), {"label": "title", "max_length": 80}),
                    8: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "text", "max_length": 300, "rows": 3},
                    ),
                    9: (
                        "wagtail.blocks.ChoiceBlock",
                        [],
                        {
                            "choices": [
                                ("people", "people"),
                                ("letter", "letter"),
                                ("clock", "clock"),
                                ("shield", "shield"),
                                ("chart", "chart"),
                                ("door", "way out"),
                                ("bolt", "lightning"),
                                ("server", "server"),
                                ("check", "tick"),
                            ],
                            "label": "icon",
                            "required": False,
                        },
                    ),
                    10: (
                        "wagtail.blocks.StructBlock",
                        [[("title", 7), ("text", 8), ("icon", 9)]],
                        {},
                    ),
                    11: (
                        "wagtail.blocks.ListBlock",
                        (10,),
                        {"label": "features", "max_num": 12, "min_num": 1},
                    ),
                    12: (
                        "wagtail.blocks.StructBlock",
                        [[("title", 0), ("lead", 6), ("features", 11)]],
                        {},
                    ),
                    13: ("wagtail.blocks.StructBlock", [[("title", 7), ("text", 8)]], {}),
                    14: (
                        "wagtail.blocks.ListBlock",
                        (13,),
                        {"label": "steps", "max_num": 6, "min_num": 2},
                    ),
                    15: (
                        "wagtail.blocks.StructBlock",
                        [[("title", 0), ("lead", 6), ("steps", 14)]],
                        {},
                    ),
                    16: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "text", "max_length": 400, "rows": 3},
                    ),
                    17: ("wagtail.blocks.CharBlock", (), {"label": "author", "max_length": 120}),
                    18: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "note", "max_length": 250, "required": False, "rows": 2},
                    ),
                    19: (
                        "wagtail.blocks.StructBlock",
                        [[("text", 16), ("author", 17), ("note", 18)]],
                        {},
                    ),
                    20: (
                        "wagtail.blocks.ListBlock",
                        (19,),
                        {"label": "quotes", "max_num": 6, "min_num": 1},
                    ),
                    21: (
                        "wagtail.blocks.StructBlock",
                        [[("title", 0), ("lead", 6), ("quotes", 20)]],
                        {},
                    ),
                    22: ("wagtail.blocks.CharBlock", (), {"label": "question", "max_length": 150}),
                    23: (
                        "wagtail.blocks.RichTextBlock",
                        (),
                        {"features": ["bold", "italic", "ul", "link"], "label": "answer"},
                    ),
                    24: ("wagtail.blocks.StructBlock", [[("question", 22), ("answer", 23)]], {}),
                    25: (
                        "wagtail.blocks.ListBlock",
                        (24,),
                        {"label": "questions", "max_num": 20, "min_num": 1},
                    ),
                    26: ("wagtail.blocks.StructBlock", [[("title", 0), ("questions", 25)]], {}),
                    27: (
                        "wagtail.blocks.TextBlock",
                        (),
                        {"label": "text", "max_length": 300, "required": False, "rows": 2},
                    ),
                    28: (
                        "wagtail.blocks.CharBlock",
                        (),
                        {"label": "words on the button", "max_length": 40},
                    ),
                    29: (
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
                    30: (
                        "wagtail.blocks.PageChooserBlock",
                        (),
                        {"label": "page", "required": False},
                    ),
                    31: (
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
                    32: (
                        "wagtail.blocks.StructBlock",
                        [
                            [
                                ("title", 0),
                                ("text", 27),
                                ("button", 28),
                                ("target", 29),
                                ("page", 30),
                                ("address", 31),
                            ]
                        ],
                        {"template": "home/blocks/call.html"},
                    ),
                    33: ("wagtail.blocks.StructBlock", [[("title", 0)]], {}),
                    34: (
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
    ]
