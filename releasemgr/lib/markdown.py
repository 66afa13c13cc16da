"""Markdown that others wrote, as HTML that is safe to show."""

import re
from functools import lru_cache

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
HEADING = re.compile(r"<h([1-6])>")


@lru_cache(maxsize=128)
def rendered(text: str) -> SafeString:
    """No script, style, image, form or attribute survives but a link's address.

    Headings keep their order, and the highest one becomes an h3.
    """
    highest = min((int(level) for level in HEADING.findall(_converted(text))), default=1)
    html = _converted(text, TocExtension(baselevel=1 + TOP_HEADING - highest))
    cleaned = nh3.clean(html, tags=TAGS, attributes={"a": {"href"}}, url_schemes=SCHEMES)
    return mark_safe(cleaned)  # noqa: S308 - nh3 left only what stands above


def _converted(text: str, *more: TocExtension) -> str:
    html: str = Markdown(extensions=["fenced_code", "sane_lists", "tables", *more]).convert(text)
    return html
