"""The interface's small pieces. docs/pages.md lists them with examples."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Protocol
from uuid import uuid4
from zoneinfo import ZoneInfo

from django import template
from django.forms import BoundField
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from builds.versions import key_of
from releasemgr.lib import clock, icons, words
from releasemgr.lib.choices import Colour
from releasemgr.lib.components import Part

register = template.Library()

CHANNELS = ("alpha", "beta", "release", "stable")
NOTE_ICONS = {
    Colour.OK: "circle-check",
    Colour.RUN: "info",
    Colour.WARN: "triangle-alert",
    Colour.BAD: "circle-alert",
    Colour.HOLD: "circle-pause",
    Colour.IDLE: "info",
}


class Look(Protocol):
    """A member of a StateChoices, or anything that looks like one."""

    @property
    def label(self) -> Any: ...

    @property
    def colour(self) -> str: ...

    @property
    def icon(self) -> str: ...


@register.simple_tag
def once() -> SafeString:
    """In a form that makes something: sent twice, it does so once (releasemgr.pages.once)."""
    return format_html('<input type="hidden" name="once" value="{}">', uuid4())


@register.simple_tag
def icon(name: str, label: str = "", cls: str = "") -> SafeString:
    """A Lucide icon. Decoration beside a word without a `label`, an image with that name with one."""
    return _icon(str(name), str(label), str(cls))


@lru_cache(maxsize=1024)
def _icon(name: str, label: str, cls: str) -> SafeString:
    meaning = {"role": "img", "aria-label": label} if label else {"aria-hidden": "true"}
    spin = "spin" if name == "loader-circle" else ""
    classes = " ".join(filter(None, ("icon", spin, cls)))
    return mark_safe(icons.svg(name, {"class": classes} | meaning))  # noqa: S308 - an element tree, serialised


@register.simple_tag
def state(look: Look, text: str = "", cls: str = "") -> SafeString:
    """Icon and word of a state. `text` replaces the word, `cls` adds classes (wrap)."""
    return format_html(
        '<span class="st st-{}{}">{}<span>{}</span></span>',
        look.colour,
        f" {cls}" if cls else "",
        icon(look.icon) if look.icon else "",
        text or look.label,
    )


@register.simple_tag
def state_pill(look: Look, text: str = "") -> SafeString:
    """The same on a coloured ground: one beside a heading, none in tables."""
    return state(look, text, "pill")


@register.simple_tag
def state_icon(look: Look, text: str = "") -> SafeString:
    """The icon alone, with the word as its name."""
    return icon(look.icon, text or str(look.label), f"i-{look.colour}")


@register.simple_tag
def rung(name: str) -> SafeString:
    """The four rising bars of a channel, without its word."""
    filled = CHANNELS.index(name) + 1 if name in CHANNELS else 0
    bars = [(4 * n, 8 - 2.4 * n, 3 + 2.4 * n, "on" if n < filled else "off") for n in range(4)]
    return format_html(
        '<svg class="rung" viewBox="0 0 15 11" aria-hidden="true">{}</svg>',
        format_html_join(
            "",
            '<rect x="{}" y="{}" width="3" height="{}" rx=".8" class="{}"/>',
            ((x, f"{y:.1f}", f"{height:.1f}", cls) for x, y, height, cls in bars),
        ),
    )


@register.simple_tag
def channel(name: str, version: object = None) -> SafeString:
    """A channel's bars and word, and in grey the version it stands for."""
    suffix = format_html(' <span class="muted">{}</span>', version) if version else ""
    return format_html('<span class="ch">{}<span>{}{}</span></span>', rung(name), name, suffix)


@register.simple_tag
def kind(value: str) -> SafeString:
    """The badge LIVE or TEST."""
    word = _("LIVE") if value == "live" else _("TEST")
    return format_html('<span class="kind kind-{}">{}</span>', value, word)


@register.simple_tag
def change(old: object, new: object) -> SafeString:
    """4.20.2 → 4.20.4, read aloud as “4.20.2 to 4.20.4”."""
    return format_html(
        '<span class="chg"><span class="from">{}</span> {}<span class="visually-hidden"> {} </span>'
        ' <b class="strong">{}</b></span>',
        old or _("unknown"),
        icon("arrow-right"),
        _("to"),
        new or _("unknown"),
    )


@register.simple_tag
def changes_link(old: object, new: object) -> SafeString:
    """Leads to the release notes from one version to another. Nothing where there is no such way."""
    before, after = (key_of(str(version or "")) for version in (old, new))
    if before is None or after is None or before == after:
        return SafeString("")
    return format_html(
        '<a class="small" href="{}">{}<span class="visually-hidden"> {}</span></a>',
        reverse("build-changes", query={"from": str(old), "to": str(new)}),
        _("Changes"),
        _("from %(old)s to %(new)s") % {"old": old, "new": new},
    )


@register.simple_tag
def when(moment: datetime | None, show: str = "both", empty: str = "–") -> SafeString:
    """A moment in UTC. `show` is both, date or time; `empty` stands for None."""
    if moment is None:
        return format_html('<span class="muted">{}</span>', empty)
    moment = moment.astimezone(UTC)
    shown = {
        "both": words.moment_of(moment, clock.now()),
        "date": words.day_of(moment, clock.now()),
        "time": f"{moment:%H:%M}",
    }[show]
    return format_html('<time datetime="{}">{}</time>', f"{moment:%Y-%m-%dT%H:%M:%SZ}", shown)


@register.simple_tag
def local(moment: datetime, zone: str) -> SafeString:
    """A moment on the clock of a zone: Mon 30 Nov 18:00. Its machine form is in UTC."""
    utc = moment.astimezone(UTC)
    shown = words.local_of(moment, ZoneInfo(zone), clock.now())
    return format_html('<time datetime="{}">{}</time>', f"{utc:%Y-%m-%dT%H:%M:%SZ}", shown)


@register.simple_tag
def took(duration: timedelta | None) -> str:
    """3 min 12 s. Empty for None: it has not ended."""
    return "" if duration is None else words.took(duration)


@register.simple_tag
def relative(moment: datetime, now: datetime) -> str:
    """in 12 h 46 min. Empty for the past."""
    return words.until(moment, now)


@register.simple_tag(name="bytes")
def size(count: int | None) -> str:
    """3.1 GB. A dash for None."""
    return "–" if count is None else words.size_of(count)


@register.inclusion_tag("components/stacked_bar.html")
def stacked_bar(parts: Iterable[Part], title: str, rest: str = "", keys: bool = True) -> dict[str, Any]:
    """A bar of the parts that are not empty, named by `title`, with a row of counts below.

    `rest` is a grey word at the end of that row; without `keys` the row is left out.
    """
    shown = [part for part in parts if part.count]
    total = sum(part.count for part in shown)
    segments, begin = [], 0.0
    for part in shown:
        width = 100 * part.count / total
        segments.append({"colour": part.colour, "x": f"{begin:.1f}%", "width": f"{width:.1f}%"})
        begin += width
    spoken = ", ".join(f"{part.count} {part.label}" for part in shown)
    label = _("%(title)s: %(counts)s") % {"title": title, "counts": spoken} if spoken else title
    return {"segments": segments, "parts": shown, "label": label, "rest": rest, "keys": keys}


@register.inclusion_tag("components/soak.html")
def soak(done: float, total: float, label: str, stopped: bool = False) -> dict[str, Any]:
    """The soak clock: `done` of `total`, in any one unit, named by `label`."""
    share = min(1.0, done / total) if total else 1.0
    look = "stop" if stopped else "done" if share == 1 else ""
    return {
        "done": f"{done:g}",
        "total": f"{total:g}",
        "label": label,
        "look": look,
        "width": f"{100 * share:.0f}%",
    }


@register.simple_tag
def crumbs(*pairs: str) -> SafeString:
    """The way to this page: a label and its URL, then the next."""
    steps: Sequence[tuple[str, str]] = list(zip(pairs[::2], pairs[1::2], strict=True))
    return format_html(
        '<nav aria-label="{}"><ol class="crumbs">{}</ol></nav>',
        _("Breadcrumb"),
        format_html_join("", '<li><a href="{}">{}</a></li>', ((url, label) for label, url in steps)),
    )


@register.simple_block_tag
def note(content: str, colour: str, icon_name: str = "", role: str = "") -> SafeString:
    """What happened, what it means, what to do: `{% note "warn" %}…{% endnote %}`."""
    return format_html(
        '<div class="note {}"{}>{}<div>{}</div></div>',
        colour,
        format_html(' role="{}"', role) if role else "",
        icon(icon_name or NOTE_ICONS[Colour(colour)]),
        content,
    )


@register.simple_tag
def control(field: BoundField) -> SafeString:
    """A form's field in a filter bar: named by its label, which is not shown."""
    cls = "form-select" if getattr(field.field, "choices", None) is not None else "form-control"
    return field.as_widget(attrs={"class": cls, "aria-label": str(field.label)})
