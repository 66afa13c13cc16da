"""Builds and channels: five lanes, then every build."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe
from django_tables2 import Column, RequestConfig

from builds.choices import Smoke
from builds.maturity import BuildFacts, ChannelPolicy, Maturity
from builds.models import Build
from builds.querysets import BuildQuerySet
from builds.services import channel_policies, gather_builds
from builds.services.promotions import ELIGIBLE
from releasemgr.lib import clock, words
from releasemgr.lib.choices import Colour
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import type_of
from releasemgr.lib.permission import needs
from releasemgr.lib.tables import Table
from releasemgr.pages.channels import Lane, Word, channel_builds, lanes
from releasemgr.pages.fleet import Fleet, fleet_now
from releasemgr.pages.problem_marks import ProblemMark, marks_of, problem_marks
from releasemgr.templatetags import ui
from upgrades.services.exposure import Exposure, exposures

PER_PAGE = 50
CANDIDATES_SHOWN = 2
FALLEN_SHOWN_FOR = timedelta(days=30)


@dataclass(frozen=True)
class Board:
    """A lane with what else it shows. `fallen` is the last build of that channel that was taken out lately.

    `automatic`: the night promotes into this channel. `eligible_since` is None while a gate of the next one fails.
    """

    lane: Lane
    exposure: Exposure
    fallen: Build | None
    problems: tuple[ProblemMark, ...]
    automatic: bool
    eligible_since: datetime | None


class BuildTable(Table):
    caption = gettext_lazy("All builds")
    region = "builds"

    version = Column(gettext_lazy("Version"), order_by="version_key", attrs={"td": {"class": "l1"}})
    maturity = Column(gettext_lazy("Channel"))
    smoke = Column(gettext_lazy("Smoke tests"), orderable=False, attrs={"td": {"class": "full"}})
    progress = Column(gettext_lazy("Progress"), empty_values=(), orderable=False)
    problems = Column(gettext_lazy("Problems"), empty_values=(), orderable=False)
    live = Column(
        gettext_lazy("Live"), empty_values=(), orderable=False,
        attrs={"th": {"class": "num"}, "td": {"class": "num hide-sm"}},
    )  # fmt: skip
    test = Column(
        gettext_lazy("Test"), empty_values=(), orderable=False,
        attrs={"th": {"class": "num"}, "td": {"class": "num hide-sm"}},
    )  # fmt: skip
    registered_at = Column(gettext_lazy("Registered"), attrs={"td": {"class": "muted nowrap hide-sm"}})
    commit = Column(
        gettext_lazy("Commit"), empty_values=(), orderable=False, attrs={"td": {"class": "mono muted hide-sm"}}
    )

    def __init__(
        self, builds: BuildQuerySet, *, fleet: Fleet, current: dict[int, Lane],
        marks: Mapping[int, tuple[ProblemMark, ...]], now: datetime,
    ) -> None:  # fmt: skip
        self.fleet, self.current, self.marks, self.now = fleet, current, marks, now
        super().__init__(builds)

    def render_version(self, record: Build) -> SafeString:
        off = " off" if record.is_withdrawn or record.quarantined_at else ""
        return format_html('<a class="ver{}" href="{}">{}</a>', off, record.get_absolute_url(), record)

    def render_maturity(self, record: Build) -> SafeString:
        if (fallen := fallen_word(record, self.now)) is not None:
            return ui.state(fallen)
        if record.stage is Maturity.CANDIDATE or record.pk in self.current:
            name = record.stage.name.lower()
            return ui.channel(name) if record.stage else format_html('<span class="muted">{}</span>', name)
        return format_html('<span class="muted">{}</span>', _("past"))

    def render_smoke(self, record: Build) -> SafeString:
        return ui.state(record.smoke_state)

    def render_progress(self, record: Build) -> SafeString:
        lane = self.current.get(record.pk)
        if lane and lane.clock and not (record.is_withdrawn or record.quarantined_at):
            return format_html(
                '<span class="row-line"><svg class="soak w-soak{}" aria-hidden="true">'
                '<rect width="{}%"/></svg> {}</span>',
                " done" if lane.clock.complete else "",
                round(100 * lane.clock.done / lane.clock.total),
                lane.clock.label,
            )
        return format_html('<span class="muted">{}</span>', progress_of(record, past=lane is None, now=self.now))

    def render_problems(self, record: Build) -> SafeString:
        marks = self.marks.get(record.pk, ())
        if not marks:
            return format_html('<span class="muted hide-sm">{}</span>', _("none"))
        return format_html_join(", ", '<a class="{}" href="{}">{}</a>', (_named(mark) for mark in marks))

    def render_live(self, record: Build) -> SafeString:
        return _count(self.fleet.use_of(record.version_key, record.version).live)

    def render_test(self, record: Build) -> SafeString:
        return _count(self.fleet.use_of(record.version_key, record.version).test)

    def render_registered_at(self, value: datetime) -> SafeString:
        return ui.when(value)

    def render_commit(self, record: Build) -> str:
        return record.commit[:7]


def _named(mark: ProblemMark) -> tuple[str, str, str]:
    return ("bad-text strong" if mark.blocks else "muted" if mark.acknowledged else "", mark.url, mark.name)


def _count(number: int) -> SafeString:
    return format_html("{}" if number else '<span class="muted">{}</span>', number)


def fallen_word(build: Build, now: datetime) -> Word | None:
    """Withdrawn or quarantined; None for a build that may be used."""
    if build.withdrawn_at:
        return Word(_("withdrawn"), Colour.BAD, "ban")
    return Word(_("quarantined"), Colour.BAD, "ban") if build.quarantined_at else None


def progress_of(build: Build, *, past: bool, now: datetime) -> str:
    """Where the build stands, in a few words."""
    if build.withdrawn_at:
        return _("Withdrawn %(day)s") % {"day": words.day_of(build.withdrawn_at, now)}
    if build.quarantined_at:
        return _("Artefact changed, %(day)s") % {"day": words.day_of(build.quarantined_at, now)}
    if build.stage is Maturity.CANDIDATE:
        return _candidate_progress(build)
    name, day = build.stage.channel, words.day_of(build.channel_since, now)
    if past:
        return _("Entered %(channel)s %(day)s") % {"channel": name, "day": day}
    return _("%(channel)s since %(day)s") % {"channel": name.capitalize(), "day": day}


def _candidate_progress(build: Build) -> str:
    return {
        Smoke.PASSED: _("Ready for alpha"),
        Smoke.PENDING: _("Waits for smoke tests"),
        Smoke.RUNNING: _("Waits for smoke tests"),
    }.get(Smoke(build.smoke), _("Enters no channel"))


@require_safe
@needs("builds.view_build")
def build_list(request: HttpRequest) -> HttpResponse:
    now, fleet, facts = clock.now(), fleet_now(), gather_builds()
    heads = channel_builds(facts)
    policies = channel_policies()
    shown = lanes(heads, fleet, policies, facts, now)
    current = {lane.build.pk: lane for lane in shown if lane.build and lane.is_own}
    show_all = request.GET.get("all") == "1"
    builds = Build.objects.for_list() if show_all else _present(heads[Maturity.ALPHA], current)
    table = BuildTable(builds, fleet=fleet, current=current, marks=problem_marks(facts), now=now)
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    context: dict[str, Any] = {"table": table, "show_all": show_all}
    if request.htmx:  # type: ignore[attr-defined] # set by its middleware
        return render(request, "builds/build_list.html#builds", context)
    return render(request, "builds/build_list.html", context | _board(shown, facts, policies, now))


def _present(alpha: Build | None, current: Collection[int]) -> BuildQuerySet:
    """What the channels mean, and what has come since and may still enter one."""
    newer = Q(version_key__gt=alpha.version_key) if alpha else Q()
    return Build.objects.for_list().filter(Q(pk__in=current) | newer & Q(withdrawn_at=None, quarantined_at=None))


def _board(
    shown: list[Lane], facts: Mapping[int, BuildFacts], policies: Mapping[Maturity, ChannelPolicy], now: datetime
) -> dict[str, Any]:
    known = exposures([lane.build for lane in shown if lane.build], now)
    fallen = _fallen_lately(now)
    since = eligible_since(shown)
    boards = [
        Board(
            lane=lane,
            exposure=known[lane.build.pk] if lane.build else Exposure(),
            fallen=fallen.get(lane.channel),
            problems=marks_of(facts[lane.build.pk]) if lane.build else (),
            automatic=policies[lane.channel].automatic,
            eligible_since=since.get(lane.channel),
        )
        for lane in shown
    ]
    ready = [board for board in boards if board.lane.step and board.lane.step.allowed and board.lane.clock]
    return {
        "boards": boards,
        "main_board": ready[-1] if ready else None,
        "candidates": _newest_candidates(shown[0].build),
        "now": now,
    }


def eligible_since(shown: list[Lane]) -> dict[Maturity, datetime]:
    """By the lane's channel: when its build was first said to pass every gate of the next one, else when its soak
    was complete. One query.
    """
    steps = {str(lane.build.pk): lane for lane in shown if lane.build and lane.step and lane.step.allowed}
    since = {
        lane.channel: max((gate.ends_at for gate in lane.step.gates if gate.ends_at), default=lane.step.build.since)
        for lane in steps.values()
        if lane.step
    }
    said = Change.objects.filter(kind=ELIGIBLE, subject_type=type_of(Build()), subject_id__in=steps).order_by("-pk")
    for change in said:
        lane = steps[change.subject_id]
        if lane.step and change.at >= lane.step.build.since and change.after.get("channel") == lane.next_name:
            since[lane.channel] = change.at
    return since


def _newest_candidates(alpha: Build | None) -> list[Build]:
    """Those that could still become the newest build of a channel."""
    found = Build.objects.newest_first().filter(maturity=Maturity.CANDIDATE, withdrawn_at=None, quarantined_at=None)
    if alpha:
        found = found.filter(version_key__gt=alpha.version_key)
    return list(found[:CANDIDATES_SHOWN])


def _fallen_lately(now: datetime) -> dict[int, Build]:
    """The newest build of each channel that was withdrawn within a month."""
    lately = Build.objects.filter(withdrawn_at__gte=now - FALLEN_SHOWN_FOR).order_by("version_key")
    return {build.maturity: build for build in lately}
