"""The form of a change of target: what there is to choose, and what tonight would do because of it (T3)."""

from dataclasses import dataclass

from django.db.models import Count
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from builds.maturity import CHANNELS, BuildFacts, Maturity, channel_heads
from instances.choices import Kind
from instances.exceptions import TargetRefused
from instances.forms import TargetChoiceForm
from instances.models import Instance, Target
from instances.services import check_target
from releasemgr.lib.choices import Colour
from upgrades.night import Night
from upgrades.plan import Facts
from upgrades.sentences import preview_sentences
from upgrades.services.planning import preview_target

UNUSUAL_FOR_LIVE = (Maturity.ALPHA, Maturity.BETA)


@dataclass(frozen=True)
class ChannelOption:
    """One line of the choice. `version` is empty while the channel has no build."""

    name: str
    version: str
    note: str
    unusual: bool


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
        )
        for channel in reversed(CHANNELS)
    ]


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


@dataclass(frozen=True)
class Preview:
    """What the form would do: `strong` is the sentence that matters, `more` the one beside it."""

    colour: Colour
    opening: str
    strong: str
    more: str


def preview_of(site: Instance, form: TargetChoiceForm, *, night: Night) -> Preview:
    """What that night would do. Changes nothing."""
    if not form.is_valid() and any(name != "seen" for name in form.errors):
        errors = [str(error) for name, found in form.errors.items() if name != "seen" for error in found]
        return Preview(Colour.WARN, _("Not saved:"), errors[0], "")
    target = form.chosen()
    if target == site.target:
        return Preview(Colour.IDLE, _("This is the target now."), "", _("Saving changes nothing."))
    try:
        check_target(site, target)
    except TargetRefused as refused:
        return Preview(Colour.WARN, _("This cannot be saved."), "", str(refused))
    effect = preview_target(site, target, night)
    strong, more = preview_sentences(effect.before, effect.after)
    return Preview(Colour.HOLD if target.build else Colour.RUN, _("If saved:"), strong, f"{more} {_later(target)}")


def _later(target: Target) -> str:
    if target.channel:
        return _("Later it follows every new build of %(channel)s.") % {"channel": target.channel}
    return _("It stays on that version until someone changes the target.")
