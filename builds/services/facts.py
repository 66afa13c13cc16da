"""Gathers what the rules of `builds.maturity` need, and asks them (R11)."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from django.db import transaction

from builds.exceptions import UnknownBuild, VersionRefused
from builds.maturity import BuildFacts, ChannelPolicy, Judgement, Maturity, ProblemFacts, Severity, judge
from builds.models import Acknowledgement, Build, Channel, Problem, Promotion
from builds.versions import parse_version, version_key


def build_named(version: str) -> Build:
    """Finds a build by any spelling of its version (R1). Raises VersionRefused or UnknownBuild."""
    try:
        key = version_key(parse_version(version))
    except ValueError as error:
        raise VersionRefused(str(error)) from error
    build = Build.objects.filter(version_key=key).first()
    if build is None:
        raise UnknownBuild(f"No build {version} is registered.")
    return build


@contextmanager
def one_decision_at_a_time() -> Iterator[dict[Maturity, ChannelPolicy]]:
    """A transaction in which nobody else moves a build, reports a problem or changes a channel.

    A judgement looks at all builds and problems, so a lock on the one build would not keep it true. It locks the
    channels, before any build; sites may be pointed at a channel meanwhile. One query.
    """
    with transaction.atomic():
        channels = Channel.objects.select_for_update(no_key=True).order_by("name")
        yield {channel.maturity: channel.policy for channel in channels}


def channel_policies() -> dict[Maturity, ChannelPolicy]:
    """What each channel asks for, and whether the night promotes into it. One query."""
    return {channel.maturity: channel.policy for channel in Channel.objects.all()}


def gather_builds(as_if: Problem | None = None) -> dict[int, BuildFacts]:
    """All builds by id, in the order of their versions. At most four queries, however many there are.

    With `as_if`, as though this problem were saved like that; one that is not reported yet has the number 0.
    """
    builds = list(Build.objects.defer("changelog").order_by("version_key"))
    problems, dismissed = _problems_by_build(builds, as_if)
    last_moves = Promotion.objects.order_by("build_id", "-at", "-pk").distinct("build_id")
    sent_back = {
        build for build, before, after in last_moves.values_list("build_id", "from_maturity", "to_maturity")
        if after < before
    }  # fmt: skip
    return {
        build.pk: build.facts(
            tuple(problems[build.pk]), was_dismissed=build.pk in dismissed, sent_back=build.pk in sent_back
        )
        for build in builds
    }


def _problems_by_build(builds: list[Build], as_if: Problem | None) -> tuple[dict[int, list[ProblemFacts]], set[int]]:
    """The open problems of each build by number, and the builds on which one was dismissed as not real (R7).

    Who was registered after a dismissal was never affected. `builds` are ordered by version. Two queries, one while
    there is no problem.
    """
    known = _problems(as_if)
    accepted = {(one.problem_id, one.build_id): one for one in Acknowledgement.objects.all()} if known else {}
    keys = [build.version_key for build in builds]
    problems: dict[int, list[ProblemFacts]] = defaultdict(list)
    dismissed: set[int] = set()
    for problem in known:
        end = bisect_left(keys, problem.fixed_in.version_key) if problem.fixed_in else len(keys)
        affected = builds[bisect_left(keys, problem.first_affected.version_key) : end]
        if problem.dismissed_at:
            dismissed |= {build.pk for build in affected if build.registered_at <= problem.dismissed_at}
            continue
        facts = ProblemFacts(problem.pk or 0, Severity(problem.severity), problem.title)
        for build in affected:
            one = accepted.get((problem.pk, build.pk))
            holds = one is not None and one.covers(problem.severity)
            problems[build.pk].append(replace(facts, acknowledged=True) if holds else facts)
    return problems, dismissed


def _problems(as_if: Problem | None) -> list[Problem]:
    known = list(Problem.objects.with_versions().order_by("pk"))
    if as_if is None:
        return known
    return [*(problem for problem in known if problem.pk != as_if.pk), as_if]


def facts_of(build: Build) -> BuildFacts:
    """As the database has it now, whatever the caller's object says. At most four queries."""
    return gather_builds()[build.pk]


def judge_promotion(build: Build, to: Maturity, *, now: datetime) -> Judgement:
    """Whether this build may enter this channel, and if not, why not and when (R11). At most five queries."""
    builds = gather_builds()
    return judge(builds[build.pk], to, channel_policies(), now, builds.values())
