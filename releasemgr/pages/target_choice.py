"""The form of a change of target: what there is to choose, and what tonight would do because of it (T3)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.maturity import CHANNELS, BuildFacts, Maturity, channel_heads, channel_named
from builds.models import Build
from builds.sentences import problem_text
from instances.choices import Kind
from instances.exceptions import TargetRefused
from instances.forms import TargetChoiceForm
from instances.models import Instance, Target
from instances.pins import PinEnd
from instances.sentences import end_words
from instances.services import check_target, complete_target
from releasemgr.lib.choices import Colour
from releasemgr.pages.foreseen import WAITING, chance_words
from releasemgr.pages.paths import Path, path_of
from releasemgr.roles import roles_with
from upgrades.night import Night
from upgrades.plan import Code, Decision, Facts, NoWayDown
from upgrades.sentences import check_sentence, preview_sentences
from upgrades.services.planning import preview_target

DOWNGRADE = "instances.allow_downgrade"
UNUSUAL_FOR_LIVE = (Maturity.ALPHA, Maturity.BETA)


@dataclass(frozen=True)
class ChannelOption:
    """One line of the choice. `version` is empty while the channel has no build."""

    name: str
    version: str
    note: str
    unusual: bool
    problems: str = ""


def channel_options(site: Instance, facts: Facts) -> list[ChannelOption]:
    """From most to least mature. One query."""
    others = Instance.objects.exclude(pk=site.pk).exclude(target_channel=None)
    followers = dict(others.order_by().values_list("target_channel").annotate(number=Count("pk")))
    heads = channel_heads(facts.builds.values())
    return [
        ChannelOption(
            channel.channel,
            head.version if (head := heads[channel]) else "",
            _note(channel, head, followers.get(channel.channel, 0), now=site.target_channel_id == channel.channel),
            site.kind == Kind.LIVE and channel in UNUSUAL_FOR_LIVE,
            _problems(head),
        )
        for channel in reversed(CHANNELS)
    ]


def _problems(head: BuildFacts | None) -> str:
    """“Open problem P-118.”, empty where it has none."""
    if head is None or not head.problems:
        return ""
    names = ", ".join(problem.name for problem in head.problems)
    return ngettext("Open problem %(names)s.", "Open problems %(names)s.", len(head.problems)) % {"names": names}


def _note(channel: Maturity, head: BuildFacts | None, followers: int, *, now: bool) -> str:
    if now:
        return ngettext("Now. Followed by %d other site.", "Now. Followed by %d other sites.", followers) % followers
    if head is None:
        return _("No build yet.")
    if head.maturity > channel:
        return _("No newer build than %(channel)s has.") % {"channel": head.maturity.channel}
    return ngettext("Followed by %d site.", "Followed by %d sites.", followers) % followers


@dataclass(frozen=True)
class PinGroup:
    """Versions of one kind, each with what to say of it."""

    label: str
    versions: list[tuple[str, str]]


def pin_groups(site: Instance, facts: Facts) -> list[PinGroup]:
    """What a pin may name, grouped; and what the site is pinned to, also where a new pin could not name it."""
    pinnable = sorted((build for build in facts.builds.values() if build.eligible), key=lambda b: b.key, reverse=True)
    heads = {build.id for build in channel_heads(pinnable).values() if build}
    older = {build.id for build in pinnable if site.reported_key is not None and build.key < site.reported_key}
    groups = [
        PinGroup(_("Pinned now"), _labels([facts.builds[site.target_build_id]], site) if site.target_build_id else []),
        PinGroup(_("On channels"), _labels([build for build in pinnable if build.id in heads - older], site)),
        PinGroup(_("Other builds"), _labels([build for build in pinnable if build.id not in heads | older], site)),
        PinGroup(_("Older than the site runs"), _labels([build for build in pinnable if build.id in older], site)),
    ]
    return [group for group in groups if group.versions]


def _labels(builds: list[BuildFacts], site: Instance) -> list[tuple[str, str]]:
    return [(build.version, _label(build, site)) for build in builds]


def _label(build: BuildFacts, site: Instance) -> str:
    if build.key == site.reported_key:
        return _("%(version)s, on this site now") % {"version": build.version}
    return f"{build.version}, {build.maturity.name.lower()}"


def usual_then(site: Instance) -> str:
    """What it follows after a pin unless said otherwise (T2)."""
    return complete_target(site, Target(build=Build(), ends=PinEnd.CAUGHT_UP)).then or ""


def then_options(site: Instance) -> list[tuple[str, str]]:
    """The channels, the most mature first."""
    usual = usual_then(site)
    names = [channel.channel for channel in reversed(CHANNELS)]
    return [(name, _("%(channel)s, as before") % {"channel": name} if name == usual else name) for name in names]


@dataclass(frozen=True)
class Notice:
    """Something to know of the chosen build; `url` leads to it."""

    icon: str
    text: str
    url: str = ""


@dataclass(frozen=True)
class Consent:
    """What a person has to allow before the site goes back to an older version (T4)."""

    words: str
    given: bool
    allowed: bool
    needs: str


@dataclass(frozen=True)
class Preview:
    """What the form would do: `strong` is the sentence that matters, `more` the one beside it."""

    colour: Colour
    opening: str
    strong: str
    more: str
    warnings: tuple[Notice, ...] = ()
    consent: Consent | None = None
    path: Path | None = None


def preview_of(site: Instance, form: TargetChoiceForm, *, night: Night, now: datetime, may_go_back: bool) -> Preview:
    """What that night would do. Changes nothing."""
    if not form.is_valid() and any(name not in ("seen", "reason") for name in form.errors):
        errors = [str(error) for name, found in form.errors.items() if name != "seen" for error in found]
        return Preview(Colour.WARN, _("Not saved:"), errors[0], "")
    target = complete_target(site, form.chosen(site.target))
    if target == site.target and not needs_consent(site, target):
        return Preview(Colour.IDLE, _("This is the target now."), "", _("Saving changes nothing."))
    consent = _consent(site, target, form, may_go_back)
    agreed = bool(consent and consent.given and consent.allowed)
    try:
        check_target(site, target, downgrade=agreed, now=now)
    except TargetRefused as refused:
        return Preview(Colour.WARN, _("This cannot be saved."), "", str(refused), consent=consent)
    effect = preview_target(site, target, night, consent=agreed)
    if refusal := way_down_refusal(effect.after):
        return Preview(Colour.WARN, _("This cannot be saved."), "", refusal, consent=consent)
    strong, more = preview_sentences(effect.before, effect.after)
    chance = chance_words(effect.after, site, now) if effect.after.code in WAITING else ""
    return Preview(
        Colour.HOLD if target.build else Colour.RUN,
        _("If saved:"),
        strong,
        " ".join(filter(None, (more, chance, _later(target, now)))),
        tuple(_warnings(site, target, effect.after)),
        consent,
        path_of(effect.after),
    )


def needs_consent(site: Instance, target: Target) -> bool:
    """Whether a pin leads back to an older version, and nobody has allowed it for this pair yet (T4)."""
    if target.build is None or not site.is_downgrade(target.build):
        return False
    return target.build.pk != site.target_build_id or not site.may_downgrade


def _consent(site: Instance, target: Target, form: TargetChoiceForm, allowed: bool) -> Consent | None:
    if not needs_consent(site, target):
        return None
    words = _("Go back from %(from)s to %(to)s on this site") % {"from": site.reported_version, "to": target.build}
    return Consent(words, form.cleaned_data["downgrade"], allowed, roles_with(DOWNGRADE)[0])


def way_down_refusal(decision: Decision) -> str:
    """Why nobody can go back like that, whoever allows it: the recipe, or a stepping stone between (T4, T8)."""
    found = [
        check
        for check in decision.checks
        if check.code is Code.DOWNGRADE_REFUSED and check.values["why"] != NoWayDown.CONSENT
    ]
    return check_sentence(found[0]) if found else ""


def _warnings(site: Instance, target: Target, decision: Decision) -> Iterator[Notice]:
    to = decision.to
    if to is None:
        return
    stage = to.maturity if target.build else channel_named(target.channel or "")
    if site.kind == Kind.LIVE and stage < Maturity.RELEASE:
        words = _("%(version)s is %(stage)s. That is not usual for a live site.")
        yield Notice("triangle-alert", words % {"version": to.version, "stage": stage.name.lower()})
    for problem in to.problems:
        yield Notice("bug", problem_text(problem), reverse("problem", args=[problem.number]))


def _later(target: Target, now: datetime) -> str:
    if target.channel:
        return _("Later it follows every new build of %(channel)s.") % {"channel": target.channel}
    values = {"version": target.build, "end": end_words(target, now)}
    return _("It stays on %(version)s %(end)s.") % values
