"""Known problems: the list, and one with what it affects (R7)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe
from django_tables2 import Column, RequestConfig

from builds.choices import ProblemState, SeverityChoice
from builds.exceptions import UnknownProblem
from builds.maturity import BuildFacts, Maturity, channel_heads
from builds.models import Problem
from builds.querysets import ProblemQuerySet
from builds.services import gather_builds, problem_numbered
from releasemgr.lib.components import ViewLink
from releasemgr.lib.htmx import wants_fragment
from releasemgr.lib.permission import needs
from releasemgr.lib.tables import Table
from releasemgr.pages.activity import activity_of
from releasemgr.pages.fleet import Fleet, VersionUse, fleet_now
from releasemgr.roles import roles_with
from releasemgr.templatetags import ui

PER_PAGE = 50
BUILDS_SHOWN = 12
REPORT, CHANGE, ACKNOWLEDGE = "builds.add_problem", "builds.change_problem", "builds.add_acknowledgement"


@dataclass(frozen=True)
class View:
    """One of the links above the list."""

    state: ProblemState
    label: str | Promise
    nothing: str | Promise

    def of(self, problems: ProblemQuerySet) -> ProblemQuerySet:
        found: ProblemQuerySet = getattr(problems, self.state.value)()
        return found


VIEWS = (
    View(ProblemState.OPEN, gettext_lazy("Open"), gettext_lazy("No problem is open")),
    View(ProblemState.FIXED, gettext_lazy("Fixed"), gettext_lazy("No problem was fixed")),
    View(ProblemState.DISMISSED, gettext_lazy("Dismissed"), gettext_lazy("No problem was dismissed as not real")),
)


@dataclass(frozen=True)
class Reach:
    """What a problem affects: the channels whose build has it, and the sites that run an affected version."""

    channels: tuple[Maturity, ...]
    uses: tuple[VersionUse, ...]

    @property
    def live(self) -> int:
        return sum(use.live for use in self.uses)

    @property
    def test(self) -> int:
        return sum(use.test for use in self.uses)

    @property
    def sites(self) -> int:
        return self.live + self.test

    @property
    def names(self) -> list[str]:
        return [channel.channel for channel in self.channels]


def reach_of(problem: Problem, heads: dict[Maturity, BuildFacts | None], fleet: Fleet) -> Reach:
    """A dismissed one affects nothing. No query; needs `first_affected` and `fixed_in`."""
    if problem.dismissed_at:
        return Reach((), ())
    affected = [channel for channel, head in heads.items() if head and problem.covers(head.key)]
    return Reach(tuple(affected), tuple(use for use in fleet.versions() if problem.covers(use.key)))


def range_words(problem: Problem) -> str:
    """Which builds have it. Needs `first_affected` and `fixed_in`."""
    values = {"first": problem.first_affected.version, "fix": problem.fixed_in.version if problem.fixed_in else ""}
    if problem.fixed_in:
        return _("from %(first)s, fixed in %(fix)s") % values
    return _("%(first)s and later") % values


def sites_url(problem: Problem) -> str:
    """The list of the sites that run an affected version."""
    return reverse("sites", query={"problem": problem.pk})


class ProblemTable(Table):
    caption = gettext_lazy("Known problems")
    region = "problems"

    number = Column(gettext_lazy("Problem"), accessor="title", order_by="pk", attrs={"td": {"class": "full"}})
    severity = Column(gettext_lazy("Severity"))
    builds = Column(
        gettext_lazy("Affected builds"), empty_values=(), order_by="first_affected__version_key",
        attrs={"td": {"class": "nowrap"}},
    )  # fmt: skip
    channels = Column(gettext_lazy("Channels"), empty_values=(), orderable=False)
    sites = Column(
        gettext_lazy("Sites on it"), empty_values=(), orderable=False,
        attrs={"th": {"class": "num"}, "td": {"class": "num"}},
    )  # fmt: skip
    opened_at = Column(gettext_lazy("Reported"), attrs={"td": {"class": "muted nowrap hide-sm"}})

    def __init__(self, problems: ProblemQuerySet, *, heads: dict[Maturity, BuildFacts | None], fleet: Fleet) -> None:
        self.heads, self.fleet = heads, fleet
        super().__init__(problems)

    def render_number(self, record: Problem) -> SafeString:
        return format_html('<a class="site" href="{}">{}</a> {}', record.get_absolute_url(), record, record.title)

    def render_severity(self, record: Problem) -> SafeString:
        return ui.state(record.how_bad)

    def render_builds(self, record: Problem) -> str:
        return range_words(record)

    def render_channels(self, record: Problem) -> SafeString:
        names = reach_of(record, self.heads, self.fleet).names
        if not names:
            return format_html('<span class="muted hide-sm">{}</span>', _("none"))
        return format_html_join(", ", "{}", ((name,) for name in names))

    def render_sites(self, record: Problem) -> SafeString:
        number = reach_of(record, self.heads, self.fleet).sites
        if not number:
            return format_html('<span class="muted">{}</span>', 0)
        word = '<a href="{}">{}<span class="only-sm"> {}</span></a>'
        return format_html(word, sites_url(record), number, _("sites on it"))

    def render_opened_at(self, record: Problem) -> SafeString:
        return format_html("{}, {}", ui.when(record.opened_at, "date"), record.reporter)


@require_safe
@needs("builds.view_problem")
def problems(request: HttpRequest) -> HttpResponse:
    """About ten queries, whatever the number of problems, builds and sites."""
    view = next((view for view in VIEWS if view.state == request.GET.get("state")), VIEWS[0])
    heads, fleet = channel_heads(gather_builds().values()), fleet_now()
    table = ProblemTable(view.of(Problem.objects.for_list()), heads=heads, fleet=fleet)
    RequestConfig(request, paginate={"per_page": PER_PAGE}).configure(table)
    context: dict[str, Any] = {"table": table, "view": view}
    if wants_fragment(request):
        return render(request, "builds/problem_list.html#problems", context)
    links = [
        ViewLink(str(one.label), f"?state={one.state}", one.of(Problem.objects.all()).count(), one is view)
        for one in VIEWS
    ]
    context |= {"views": links, "may_report": request.user.has_perm(REPORT), "who_may": roles_with(REPORT)[0]}
    return render(request, "builds/problem_list.html", context)


def problem_or_404(number: int) -> Problem:
    try:
        return problem_numbered(number)
    except UnknownProblem as error:
        raise Http404(str(error)) from error


@dataclass(frozen=True)
class AffectedBuild:
    """`means` are the channels that it is the build of."""

    version: str
    url: str
    stage: str
    means: tuple[str, ...]
    acknowledged: bool
    use: VersionUse


@require_safe
@needs("builds.view_problem")
def problem(request: HttpRequest, number: int) -> HttpResponse:
    shown = problem_or_404(number)
    builds, fleet = gather_builds(), fleet_now()
    heads = channel_heads(builds.values())
    affected = _affected(shown, builds.values(), heads, fleet)
    context = {
        "problem": shown,
        "range": range_words(shown),
        "reach": reach_of(shown, heads, fleet),
        "sites_url": sites_url(shown),
        "affected": affected[:BUILDS_SHOWN],
        "affected_count": len(affected),
        "acknowledgements": [
            (one, one.covers(shown.severity)) for one in shown.acknowledgements.select_related("by", "build")
        ],
        "lines": activity_of(shown, 20),
        "may_change": request.user.has_perm(CHANGE),
        "may_acknowledge": request.user.has_perm(ACKNOWLEDGE),
        "who_may_change": roles_with(CHANGE)[0],
        "is_blocker": shown.severity == SeverityChoice.BLOCKER,
    }
    return render(request, "builds/problem_detail.html", context)


def _affected(
    shown: Problem, builds: Collection[BuildFacts], heads: dict[Maturity, BuildFacts | None], fleet: Fleet
) -> list[AffectedBuild]:
    """Newest first. No query."""
    if shown.dismissed_at:
        return []
    return [
        AffectedBuild(
            version=build.version,
            url=reverse("build", args=[build.version]),
            stage=build.maturity.name.lower(),
            means=tuple(channel.channel for channel, head in heads.items() if head and head.id == build.id),
            acknowledged=any(one.number == shown.pk and one.acknowledged for one in build.problems),
            use=fleet.use_of(build.key, build.version),
        )
        for build in sorted(builds, key=lambda build: build.key, reverse=True)
        if shown.covers(build.key)
    ]
