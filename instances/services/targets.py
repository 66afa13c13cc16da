"""What sites should run: setting it, for one site or many, and ending pins (T1, T2, T4, T7, T9)."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import transaction

from builds.maturity import BuildFacts, channel_heads, channel_named
from builds.models import Build
from instances.choices import Kind
from instances.exceptions import (
    DowngradeRefused,
    PinEndRefused,
    ReasonMissing,
    TargetRefused,
    TargetsRefused,
)
from instances.models import TARGET_FIELDS, Instance, Target, TargetChange
from instances.pins import PinEnd, pin_is_over
from instances.sentences import pin_end_words
from instances.services.input import locked
from instances.services.seen import refuse_unless_all_seen
from releasemgr.lib.actors import AUTOMATIC, Actor
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import change_of, record_all, refuse_unless_seen

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DEFAULT_CHANNEL = {Kind.LIVE: "release", Kind.TEST: "beta"}
HeadOf = Callable[[str], Build | None]


def default_target(kind: Kind) -> Target:
    """What a new site follows unless said otherwise (T1)."""
    return Target(channel=DEFAULT_CHANNEL[kind])


def complete_target(instance: Instance, target: Target) -> Target:
    """The same, with what the site follows after a pin that ends (T2)."""
    if target.ends is PinEnd.NEVER or target.then:
        return target
    then = instance.target_channel_id or instance.pin_then_id or DEFAULT_CHANNEL[Kind(instance.kind)]
    return replace(target, then=then)


def check_target(
    instance: Instance, target: Target, *, downgrade: bool = False, now: datetime | None = None,
    head_of: HeadOf | None = None,
) -> None:  # fmt: skip
    """Raises TargetRefused where this target may not be set (R3, R9, T2), DowngradeRefused for T4.

    `downgrade` is the consent of T4. Without `now` nothing is said of the date on which a pin ends.
    """
    build = target.build
    if build is None:
        return
    if build.pk != instance.target_build_id:
        _check_pinnable(build)
        if instance.is_downgrade(build) and not downgrade:
            raise DowngradeRefused(
                f"{instance} runs {instance.reported_version}. {build} is older, and going back is refused."
            )
    _check_end(instance, complete_target(instance, target), now, head_of or head_of_channel)


def _check_pinnable(build: Build) -> None:
    facts = build.facts()
    if facts.withdrawn:
        raise TargetRefused(f"{build} was withdrawn. Choose another build.")
    if facts.archived:
        raise TargetRefused(f"{build} was archived, and its artefact removed. Choose another build.")
    if facts.quarantined:
        raise TargetRefused(f"The artefact of {build} no longer matches its checksum. Choose another build.")
    if not facts.smoke_passed:
        raise TargetRefused(f"The smoke tests of {build} have not passed. Choose a build that passed.")


def _check_end(instance: Instance, target: Target, now: datetime | None, head_of: HeadOf) -> None:
    """A pin that is a downgrade, or that its channel has passed, cannot end by catching up (T2)."""
    if target.ends is PinEnd.ON_DATE and target.until and now and target.until <= now:
        raise PinEndRefused("The date on which the pin ends is over.")
    if target.ends is not PinEnd.CAUGHT_UP or target.build is None or target.then is None:
        return
    if instance.is_downgrade(target.build):
        raise PinEndRefused(f"{target.build} is older than what {instance} runs: such a pin cannot end by catching up.")
    head = head_of(target.then)
    if head is not None and head.version_key >= target.build.version_key:
        raise PinEndRefused(f"{target.then} is at {head} already: a pin to {target.build} would end at once.")


def head_of_channel(name: str) -> Build | None:
    """What a channel resolves to (R4). One query."""
    return Build.objects.eligible_for(channel_named(name)).first()


def set_target(
    instance: Instance,
    target: Target,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
    seen: int | None = None,
    downgrade: bool = False,
) -> TargetChange | None:
    """Sets what a site should run and records it (T1). None where it is so already.

    `seen` is the site's last change that the person saw (history.last_seen); None does not compare. `downgrade`
    is the consent to leave the site's present version for an older one (T4); the caller checks the permission.
    Raises TargetRefused, DowngradeRefused, ReasonMissing, PinEndRefused or ChangedMeanwhile, and then changes nothing.
    """
    with transaction.atomic():
        [row] = locked([instance])
        target = _as_it_is_now(target)
        act = _act(row, target, now, reason, downgrade, head_of_channel)
        if act is None:
            return None
        refuse_unless_seen(row, seen)
        act.check()
        [change] = _carry_out([act], actor, now)
    _renew(instance, row)
    return change


def set_targets(
    instances: Collection[Instance],
    target: Target,
    *,
    actor: Actor,
    now: datetime,
    reason: str = "",
    seen: Mapping[int, int] | None = None,
    downgrade: bool = False,
) -> list[TargetChange]:
    """The same for many sites, all of them or none (T9). The changes, of those where it was not so already.

    `seen` has the last change of each site that the person saw (last_seen_of). Raises TargetsRefused with
    the reason of every site that refuses, or ChangedMeanwhile. The number of queries does not grow with the sites.
    """
    aims = [Aim(instance, target, downgrade=downgrade) for instance in instances]
    return set_aims(aims, actor=actor, now=now, reason=reason, seen=seen)


@dataclass(frozen=True)
class Aim:
    """What one site of many should run. A pin's `owner` and `reason` where they are not those of the whole act."""

    site: Instance
    target: Target
    downgrade: bool = False
    owner: "User | None" = None
    reason: str = ""


def set_aims(
    aims: Collection[Aim], *, actor: Actor, now: datetime, reason: str = "", seen: Mapping[int, int] | None = None
) -> list[TargetChange]:
    """As set_targets, with a target of its own for each site."""
    with transaction.atomic():
        rows = locked([aim.site for aim in aims])
        refuse_unless_all_seen(rows, seen)
        builds = Build.objects.in_bulk({aim.target.build.pk for aim in aims if aim.target.build})
        wanted, head_of = {aim.site.pk: aim for aim in aims}, cache(head_of_channel)
        acts = [act for row in rows if (act := _act_of(row, wanted[row.pk], builds, now, reason, head_of))]
        _check_all(acts)
        changes = _carry_out(acts, actor, now)
    renewed = {row.pk: row for row in rows}
    for aim in aims:
        _renew(aim.site, renewed[aim.site.pk])
    return changes


def _act_of(
    site: Instance, aim: Aim, builds: Mapping[int, Build], now: datetime, reason: str, head_of: HeadOf
) -> "_Act | None":
    """`builds` are as they are now: one may have been withdrawn since the caller read it."""
    build = builds[aim.target.build.pk] if aim.target.build else None
    act = _act(site, replace(aim.target, build=build), now, reason, aim.downgrade, head_of)
    return replace(act, owner=aim.owner, pin_reason=aim.reason) if act else None


@dataclass
class _Act:
    """One site that gets another target, or consent to its downgrade."""

    site: Instance
    target: Target
    now: datetime
    reason: str
    downgrade: bool
    head_of: HeadOf
    owner: "User | None" = None
    pin_reason: str = ""

    def check(self) -> None:
        check_target(self.site, self.target, downgrade=self.downgrade, now=self.now, head_of=self.head_of)
        if self.target.build and not (self.reason or self.pin_reason):
            raise ReasonMissing(f"Pinning {self.site} to {self.target.build} needs a reason.")


def _act(
    site: Instance, target: Target, now: datetime, reason: str, downgrade: bool, head_of: HeadOf
) -> _Act | None:  # fmt: skip
    """None where the site has this target already, and no consent is given that it lacks."""
    target = complete_target(site, target)
    consents = downgrade and target.build is not None and site.is_downgrade(target.build) and not site.may_downgrade
    if target == site.target and not consents:
        return None
    return _Act(site, target, now, reason.strip(), downgrade, head_of)


def _check_all(acts: list[_Act]) -> None:
    refusals: dict[str, TargetRefused] = {}
    for act in acts:
        try:
            act.check()
        except TargetRefused as refused:
            refusals[act.site.slug] = refused
    if refusals:
        raise TargetsRefused(refusals)


def _carry_out(acts: list[_Act], actor: Actor, now: datetime) -> list[TargetChange]:
    """Writes the sites, their changes and the history. Three queries."""
    changes, history = [], []
    for act in acts:
        site, before, values = act.site, act.site.target, target_values(act.site)
        consent = _consent(act)
        site.aim(
            act.target, owner=act.owner or actor.user, reason=act.pin_reason or act.reason, now=now,
            downgrade_from=consent,
        )  # fmt: skip
        changes.append(_change_of(site, act.target, before=before, actor=actor, now=now, reason=act.reason))
        history.append(_history_of(site, values, actor, now, act.reason))
    Instance.objects.bulk_update([act.site for act in acts], TARGET_FIELDS, batch_size=1000)
    TargetChange.objects.bulk_create(changes, batch_size=1000)
    record_all(history)
    return changes


def _consent(act: _Act) -> str | None:
    """The version that the site may leave downwards. Consent once given stays while the build does (T4)."""
    site, build = act.site, act.target.build
    if build is None:
        return None
    if act.downgrade and site.is_downgrade(build):
        return site.reported_key
    return site.downgrade_from_key if build.pk == site.target_build_id else None


def _history_of(site: Instance, before: Mapping[str, Any], actor: Actor, now: datetime, reason: str) -> Change:
    return change_of(
        "target.changed", site, actor=actor, now=now, before=before, after=target_values(site), reason=reason
    )


def target_values(site: Instance) -> dict[str, Any]:
    """A site's target as the history keeps it."""
    if site.target_build is None:
        return {"channel": site.target_channel_id}
    values: dict[str, Any] = {"version": site.target_build.version, "ends": site.pin_ends}
    if site.pin_until:
        values["until"] = site.pin_until
    if site.pin_then_id:
        values["then"] = site.pin_then_id
    return values | ({"downgrade_from": site.reported_version} if site.may_downgrade else {})


def _as_it_is_now(target: Target) -> Target:
    """The build may have been withdrawn since the caller read it."""
    return replace(target, build=Build.objects.get(pk=target.build.pk)) if target.build else target


def _renew(instance: Instance, row: Instance) -> None:
    """Brings the caller's object up to what was saved."""
    for name in TARGET_FIELDS:
        attname = Instance._meta.get_field(name).attname  # type: ignore[union-attr]
        setattr(instance, attname, getattr(row, attname))
    instance.target_build = row.target_build


def record_target(instance: Instance, target: Target, *, actor: Actor, now: datetime, reason: str = "") -> TargetChange:
    """The target with which a site was made. The history says it with the site."""
    change = _change_of(instance, target, before=None, actor=actor, now=now, reason=reason)
    change.save()
    return change


def _change_of(
    instance: Instance, target: Target, *, before: Target | None, actor: Actor, now: datetime, reason: str
) -> TargetChange:
    """Not saved yet."""
    change = TargetChange(
        instance=instance, at=now, by=actor.user, origin=actor.origin, reason=reason.strip(),
        to_channel_id=target.channel, to_build=target.build, to_until=target.until, to_then_id=target.then,
        to_ends=target.ends.value if target.build else "",
    )  # fmt: skip
    if before:
        change.from_channel_id, change.from_build = before.channel, before.build
        change.from_ends = before.ends.value if before.build else ""
        change.from_until, change.from_then_id = before.until, before.then
    return change


def end_pins(builds: Mapping[int, BuildFacts], now: datetime) -> list[TargetChange]:
    """Lets the sites whose pin is over follow their channel again (T2). Recorded as automatic.

    `builds` are the facts of all builds. The number of queries does not grow with the sites.
    """
    heads = channel_heads(builds.values())

    def over(site: Instance) -> bool:
        then = channel_named(site.pin_then_id) if site.pin_then_id else None
        key = site.target_build.version_key if site.target_build else ""
        return pin_is_over(site.pin_end, site.pin_until, then, key, heads, now)

    with transaction.atomic():
        due = [site for site in Instance.objects.pins_that_end().select_related("target_build") if over(site)]
        acts = [
            _Act(site, Target(channel=site.pin_then_id), now, pin_end_words(site), False, head_of_channel)
            for site in locked(due)
            if over(site)
        ]
        return _carry_out(acts, AUTOMATIC, now)
