"""Carries out what people do in the demo's story, by the verbs that pages and commands call."""

import shutil
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User

from builds.maturity import Override
from builds.models import Problem
from builds.services import (
    acknowledge_problem,
    build_named,
    judge_promotion,
    mark_stepping_stone,
    promote_build,
    report_problem,
    set_channel_policy,
    withdraw_build,
)
from instances.choices import FreezeScope
from instances.models import Target
from instances.services import change_site, customer_named, open_freeze, open_hold, set_target, site_named
from releasemgr.demo import story
from releasemgr.demo.fleet import Places
from releasemgr.lib import clock
from releasemgr.lib.actors import Actor, Origin
from upgrades.night import Night
from upgrades.services.policy import change_policy

BEFORE, LASTS = timedelta(days=2), timedelta(days=7)
LAST_DAY_OF_EVERY_MONTH = 28
NOON = time(12, 0)


def carry_out(act: story.Act, last: Night, places: Places) -> None:
    """Now, in a story that ends with this night."""
    now, actor = clock.now(), _person(act.by)
    if isinstance(act, story.AboutBuilds):
        _decide_about_builds(act, actor, now)
    else:
        _decide_about_sites(act, last, places, actor, now)


def _decide_about_builds(act: story.AboutBuilds, actor: Actor, now: datetime) -> None:
    match act:
        case story.SetChannel(channel=channel, soak=soak, automatic=automatic, reason=reason):
            set_channel_policy(channel, actor=actor, now=now, soak=soak, automatic=automatic, reason=reason)
        case story.SetPolicy():
            change_policy(act.values, actor=actor, now=now, reason=act.reason)
        case story.Promote():
            _promote(act, actor, now)
        case story.Withdraw():
            withdraw_build(build_named(act.version), actor=actor, now=now, reason=act.reason)
        case story.Mark():
            mark_stepping_stone(build_named(act.version), actor=actor, now=now, reason=act.reason)
        case story.Report():
            report_problem(
                severity=act.severity, title=act.title, first_affected=build_named(act.first_affected), url=act.url,
                actor=actor, now=now,
            )  # fmt: skip
        case story.Acknowledge():
            problem = Problem.objects.get(title=act.title)
            acknowledge_problem(problem, build_named(act.version), actor=actor, now=now, reason=act.reason)


def _decide_about_sites(act: story.AboutSites, last: Night, places: Places, actor: Actor, now: datetime) -> None:
    match act:
        case story.Follow():
            set_target(site_named(act.site), Target(channel=act.channel), actor=actor, now=now, reason=act.reason)
        case story.Pin():
            _pin(act, last, actor, now)
        case story.Hold():
            ends_at = _noon(last, act.days)
            open_hold(site_named(act.site), ends_at=ends_at, reason=act.reason, actor=actor, now=now)
        case story.FreezeMonthly():
            _freeze(act, last, actor, now)
        case story.WantDisk():
            free = shutil.disk_usage(places.root).free // 2**20
            change_site(site_named(act.site), {"min_free_mb": free + act.beyond_mb}, actor=actor, now=now)


def _promote(act: story.Promote, actor: Actor, now: datetime) -> None:
    build = build_named(act.version)
    override = None
    if act.override:
        override = Override(judge_promotion(build, act.to, now=now).keys, act.reason)
    promote_build(build, act.to, actor=actor, now=now, reason=act.reason, override=override)


def _pin(act: story.Pin, last: Night, actor: Actor, now: datetime) -> None:
    until = None if act.days is None else _noon(last, act.days)
    target = Target(build=build_named(act.version), ends=act.ends, until=until, then=act.then)
    set_target(
        site_named(act.site), target, actor=actor, now=now, reason=act.reason, downgrade=act.downgrade
    )  # fmt: skip


def _freeze(act: story.FreezeMonthly, last: Night, actor: Actor, now: datetime) -> None:
    """On a day that every month has."""
    first = last.date - BEFORE
    first = first.replace(day=min(first.day, LAST_DAY_OF_EVERY_MONTH))
    starts_at = datetime.combine(first, time(0), tzinfo=ZoneInfo(act.zone))
    values = {
        "name": act.name,
        "scope": FreezeScope.CUSTOMER,
        "customer": customer_named(act.customer),
        "starts_at": starts_at.astimezone(UTC),
        "ends_at": (starts_at + LASTS).astimezone(UTC),
        "repeats": f"FREQ=MONTHLY;BYMONTHDAY={first.day}",
        "zone": act.zone,
        "reason": act.reason,
    }
    open_freeze(values, actor=actor, now=now)


def _noon(last: Night, days: int) -> datetime:
    return datetime.combine(last.date + timedelta(days=days), NOON, tzinfo=UTC)


def _person(username: str) -> Actor:
    return Actor(Origin.PAGE, User.objects.get(username=username))
