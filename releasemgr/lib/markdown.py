"""Markdown that others wrote, as HTML that is safe to show."""

import nh3
from django.utils.safestring import SafeString, mark_safe
from markdown import Markdown
from markdown.extensions.toc import TocExtension

TAGS = {
    "a", "blockquote", "br", "code", "del", "em", "h3", "h4", "h5", "h6", "hr", "li", "ol", "p", "pre", "strong",
    "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip
SCHEMES = {"http", "https", "mailto"}
TOP_HEADING = 3  # a card's own heading is an h2


def rendered(text: str) -> SafeString:
    """No script, style, image, form or attribute survives but a link's address."""
    reader = Markdown(extensions=["fenced_code", "sane_lists", "tables", TocExtension(baselevel=TOP_HEADING)])
    cleaned = nh3.clean(reader.convert(text), tags=TAGS, attributes={"a": {"href"}}, url_schemes=SCHEMES)
    return mark_safe(cleaned)  # noqa: S308 - nh3 left only what stands above
