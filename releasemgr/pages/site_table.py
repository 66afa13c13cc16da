"""The rows of sites, on every page that lists some."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import django_tables2
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from instances.models import Hold, Instance
from instances.services import windows_for
from instances.window_text import format_days
from instances.windows import Window
from releasemgr.lib import words
from releasemgr.lib.tables import SelectColumn, Table
from releasemgr.pages.tonight_plan import is_off_target
from releasemgr.templatetags import ui
from upgrades.plan import Code, Decision
from upgrades.sentences import LOOKS, short_sentence

SETTLED = (Code.UP_TO_DATE,)
EVERY_DAY = 7
MOST_TAGS = 2


@dataclass(frozen=True)
class Marks:
    """What stands beside the sites, by their id: the hold that ends last, their tags, their windows."""

    now: datetime
    holds: Mapping[int, Hold] = field(default_factory=dict)
    tags: Mapping[int, Sequence[str]] = field(default_factory=dict)
    windows: Mapping[int, Sequence[Window]] = field(default_factory=dict)


def marks_of(sites: Collection[Instance], now: datetime) -> Marks:
    """Four queries, whatever the number of sites."""
    numbers = [site.pk for site in sites]
    holds = Hold.objects.not_over(now).filter(instance__in=numbers).order_by("ends_at")
    links = Instance.tags.through.objects.filter(instance__in=numbers).order_by("tag__name")
    tags: dict[int, list[str]] = defaultdict(list)
    for site, name in links.values_list("instance_id", "tag__name"):
        tags[site].append(name)
    return Marks(now, {hold.instance_id: hold for hold in holds}, dict(tags), windows_for(sites))


def _tonight_class(record: Instance, table: "SiteTable") -> str:
    """A state that needs words has a line of its own on the phone."""
    held = table.marks is not None and record.pk in table.marks.holds
    return "full" if held or table.decisions[record.pk].code not in SETTLED else "at-end"


class SiteTable(Table):
    """`decisions` by id, for at least the sites of the page. Needs for_list() and with_current_build().

    What `marked` gives is shown beside them; without it, leave the column `window` out.
    """

    caption = gettext_lazy("Sites")
    region = "sites"

    site = SelectColumn(accessor="slug")
    slug = django_tables2.Column(gettext_lazy("Site"), attrs={"td": {"class": "l1"}})
    kind = django_tables2.Column(gettext_lazy("Kind"), order_by=("kind", "slug"))
    customer = django_tables2.Column(
        gettext_lazy("Customer"), order_by=("customer__name", "slug"), attrs={"td": {"class": "muted nowrap hide-sm"}}
    )
    target = django_tables2.Column(gettext_lazy("Target"), order_by=("target_channel", "target_build__version_key"))
    reported_version = django_tables2.Column(
        gettext_lazy("Current"), order_by=("reported_key", "slug"), empty_values=(), attrs={"td": {"class": "nowrap"}}
    )
    tonight = django_tables2.Column(
        gettext_lazy("Tonight"), empty_values=(), orderable=False, attrs={"td": {"class": _tonight_class}}
    )
    host = django_tables2.Column(
        gettext_lazy("Host"), order_by=("host__name", "slug"), attrs={"td": {"class": "muted nowrap hide-sm"}}
    )

    window = django_tables2.Column(
        gettext_lazy("Window, local time"), empty_values=(), orderable=False,
        attrs={"td": {"class": "muted nowrap hide-sm"}},
    )  # fmt: skip

    class Meta:
        order_by = "slug"

    def __init__(self, data: Any, decisions: Mapping[int, Decision], **options: Any) -> None:
        self.decisions = decisions
        self.marks: Marks | None = None
        super().__init__(data, **options)

    def marked(self, marks: Marks) -> Self:
        self.marks = marks
        return self

    def render_slug(self, record: Instance) -> SafeString:
        link = format_html('<a class="site" href="{}">{}</a>', record.get_absolute_url(), record.slug)
        tags = list(self.marks.tags.get(record.pk, ())) if self.marks else []
        shown = tags if len(tags) <= MOST_TAGS else [*tags[: MOST_TAGS - 1], f"+{len(tags) - MOST_TAGS + 1}"]
        words = format_html_join("", ' <span class="tagl">{}</span>', ((tag,) for tag in shown))
        return format_html("{}{}", link, words)

    def render_window(self, record: Instance) -> SafeString | str:
        if self.marks is None:
            return ""
        return window_words(self.marks.windows.get(record.pk, ()), self.marks.now)

    def render_kind(self, record: Instance) -> SafeString:
        return ui.kind(record.kind)

    def render_customer(self, record: Instance) -> SafeString:
        url = reverse("customer", args=[record.customer.slug])
        return format_html('<a class="text-reset" href="{}">{}</a>', url, record.customer)

    def render_host(self, record: Instance) -> SafeString:
        return format_html('<a class="text-reset" href="{}">{}</a>', record.host.get_absolute_url(), record.host)

    def render_target(self, record: Instance) -> SafeString:
        to = self.decisions[record.pk].to
        return target_cell(record, to.version if to else None)

    def render_reported_version(self, record: Instance) -> SafeString:
        decision = self.decisions[record.pk]
        behind = format_html(
            ' <span class="muted">{}</span>', ui.icon("chevrons-down", _("behind its target"))
        )  # fmt: skip
        return format_html("{}{}", version_link(record), behind if _is_behind(decision) else "")

    def render_tonight(self, record: Instance) -> SafeString:
        decision = self.decisions[record.pk]
        hold = self.marks.holds.get(record.pk) if self.marks else None
        if hold is None or self.marks is None:
            return tonight_cell(decision)
        mark = hold_mark(hold, self.marks.now)
        return mark if decision.code is Code.ON_HOLD else format_html("{} {}", tonight_cell(decision), mark)


def hold_mark(hold: Hold, now: datetime) -> SafeString:
    """“On hold until 27 Nov: acceptance test”; one that is to come says from when."""
    values = {
        "from": words.day_of(hold.starts_at, now), "until": words.day_of(hold.ends_at, now), "reason": hold.reason,
    }  # fmt: skip
    if hold.starts_at > now:
        text = _("On hold from %(from)s until %(until)s: %(reason)s") % values
    else:
        text = _("On hold until %(until)s: %(reason)s") % values
    return ui.state(LOOKS[Code.ON_HOLD], Truncator(text).chars(60), "wrap")


def window_words(windows: Sequence[Window], now: datetime) -> str:
    """The first one in short, as “Mon 02:00-05:00 CET”, with how many more there are; else “Any time”."""
    if not windows:
        return _("Any time")
    first, *others = windows
    days = "" if len(first.weekdays) == EVERY_DAY else f"{format_days(first.weekdays)} "
    zone = now.astimezone(first.zone).tzname() or ""
    zone = zone if zone.isalpha() else words.place_of(first.zone.key)
    text = f"{days}{first.start:%H:%M}–{first.end:%H:%M} {zone}"
    return _("%(window)s, %(n)d more") % {"window": text, "n": len(others)} if others else text


def _is_behind(decision: Decision) -> bool:
    key = decision.site.key
    return is_off_target(decision) and key is not None and decision.to is not None and key < decision.to.key


def target_cell(site: Instance, version: str | None) -> SafeString:
    if site.target_channel_id:
        return ui.channel(site.target_channel_id, version)
    return format_html(
        '<span class="ch">{}<span>{} <b class="strong">{}</b></span></span>',
        ui.icon("pin", cls="i-hold"), _("pinned"), site.target_build,
    )  # fmt: skip


def version_link(site: Instance) -> SafeString:
    """What the site reported, leading to that build where there is one."""
    build = getattr(site, "current_build", None)
    if build:
        return format_html('<a class="ver" href="{}">{}</a>', reverse("build", args=[build]), site.reported_version)
    return format_html('<span class="{}">{}</span>', *_without_build(site))


def _without_build(site: Instance) -> tuple[str, str]:
    if site.reported_key is None:
        return "muted", _("unknown")
    return "ver", site.reported_version


def tonight_cell(decision: Decision) -> SafeString:
    """What tonight does in a few words, and beside it that the site is locked, if it is."""
    locked = decision.site.needs_a_person is not None and decision.code is not Code.NEEDS_A_PERSON
    also = format_html(" {}", ui.state(LOOKS[Code.NEEDS_A_PERSON])) if locked else ""
    if decision.code in SETTLED:
        return format_html('<span class="muted">{}</span>{}', LOOKS[decision.code].label, also)
    return format_html("{}{}", ui.state(LOOKS[decision.code], short_sentence(decision)), also)
