"""The blocks of which the home page is made."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from wagtail import blocks

from blog.blocks import CallBlock

ICONS = [
    ("people", _("people")),
    ("letter", _("letter")),
    ("clock", _("clock")),
    ("shield", _("shield")),
    ("chart", _("chart")),
    ("door", _("way out")),
    ("bolt", _("lightning")),
    ("server", _("server")),
    ("check", _("tick")),
]


class HeroBlock(blocks.StructBlock):
    title = blocks.CharBlock(label=_("title"), max_length=120)
    lead = blocks.TextBlock(label=_("lead"), rows=3, max_length=500)
    note = blocks.CharBlock(
        label=_("note"), required=False, max_length=150, help_text=_("Stands beneath the buttons.")
    )

    class Meta:
        icon = "title"
        label = _("Hero")
        template = "home/blocks/hero.html"


class NumbersBlock(blocks.StructBlock):
    """How many mailings and clients there are; the numbers come by themselves."""

    title = blocks.CharBlock(label=_("title"), required=False, max_length=120)

    class Meta:
        icon = "order"
        label = _("Numbers")
        template = "home/blocks/numbers.html"


class SectionBlock(blocks.StructBlock):
    """A part of the page that begins with a title and a line or two."""

    title = blocks.CharBlock(label=_("title"), max_length=120)
    lead = blocks.TextBlock(label=_("lead"), required=False, rows=2, max_length=300)


class FeatureBlock(blocks.StructBlock):
    title = blocks.CharBlock(label=_("title"), max_length=80)
    text = blocks.TextBlock(label=_("text"), rows=3, max_length=300)
    icon = blocks.ChoiceBlock(label=_("icon"), choices=ICONS, required=False)

    class Meta:
        icon = "pick"
        label = _("Feature")


class FeaturesBlock(SectionBlock):
    features = blocks.ListBlock(FeatureBlock(), label=_("features"), min_num=1, max_num=12)

    class Meta:
        icon = "list-ul"
        label = _("Features")
        template = "home/blocks/features.html"


class StepBlock(blocks.StructBlock):
    title = blocks.CharBlock(label=_("title"), max_length=80)
    text = blocks.TextBlock(label=_("text"), rows=3, max_length=300)

    class Meta:
        label = _("Step")


class StepsBlock(SectionBlock):
    steps = blocks.ListBlock(StepBlock(), label=_("steps"), min_num=2, max_num=6)

    class Meta:
        icon = "list-ol"
        label = _("Steps")
        template = "home/blocks/steps.html"


class SayingBlock(blocks.StructBlock):
    text = blocks.TextBlock(label=_("text"), rows=3, max_length=400)
    author = blocks.CharBlock(label=_("author"), max_length=120)
    note = blocks.TextBlock(label=_("note"), required=False, rows=2, max_length=250)

    class Meta:
        label = _("Quote")


class QuotesBlock(SectionBlock):
    quotes = blocks.ListBlock(SayingBlock(), label=_("quotes"), min_num=1, max_num=6)

    class Meta:
        icon = "openquote"
        label = _("Quotes")
        template = "home/blocks/quotes.html"


class QuestionBlock(blocks.StructBlock):
    question = blocks.CharBlock(label=_("question"), max_length=150)
    answer = blocks.RichTextBlock(label=_("answer"), features=["bold", "italic", "ul", "link"])

    class Meta:
        label = _("Question")


class QuestionsBlock(blocks.StructBlock):
    title = blocks.CharBlock(label=_("title"), max_length=120)
    questions = blocks.ListBlock(QuestionBlock(), label=_("questions"), min_num=1, max_num=20)

    class Meta:
        icon = "help"
        label = _("Questions")
        template = "home/blocks/questions.html"


RANDOM, NEWEST = "random", "newest"


class PostsBlock(blocks.StructBlock):
    """Three posts of the blog: others with every visit, or the newest."""

    title = blocks.CharBlock(label=_("title"), max_length=120)
    which = blocks.ChoiceBlock(
        label=_("which posts"),
        choices=[
            (RANDOM, _("three at random, others with every visit")),
            (NEWEST, _("the newest three")),
        ],
        default=RANDOM,
    )

    def get_context(
        self, value: Any, parent_context: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        context = super().get_context(value, parent_context)
        return {**context, "posts": context.get("posts", {}).get(value["which"], [])}

    class Meta:
        icon = "doc-full"
        label = _("Posts")
        template = "home/blocks/posts.html"


class HomeBlock(blocks.StreamBlock):
    hero = HeroBlock()
    numbers = NumbersBlock()
    features = FeaturesBlock()
    steps = StepsBlock()
    quotes = QuotesBlock()
    questions = QuestionsBlock()
    call = CallBlock(template="home/blocks/call.html")
    posts = PostsBlock()
    text = blocks.RichTextBlock(
        label=_("Text"),
        icon="pilcrow",
        features=["h2", "h3", "bold", "italic", "ol", "ul", "link"],
        template="home/blocks/text.html",
    )
