from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from builds.choices import ChannelName
from builds.exceptions import BuildError
from builds.management.shapes import channel_shape
from builds.maturity import channel_named
from builds.models import Channel
from builds.sentences import in_days
from builds.services import set_channel_policy
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Sets a channel's soak time, and whether the night promotes into it by itself."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("channel", choices=ChannelName.values)
        parser.add_argument(
            "--soak", type=_days, metavar="DAYS", help="How long a build must have been in the channel before."
        )
        parser.add_argument("--automatic", choices=["on", "off"])
        parser.add_argument("--reason", default="")

    def answer(self, **options: Any) -> Answer:
        soak, automatic = options["soak"], options["automatic"]
        if soak is None and automatic is None:
            raise CommandError("Say what changes: --soak or --automatic.")
        channel, changed = set_channel_policy(
            channel_named(options["channel"]), soak=soak, automatic=None if automatic is None else automatic == "on",
            actor=COMMAND, now=clock.now(), reason=options["reason"],
        )  # fmt: skip
        text = _said(channel)
        return Answer(channel_shape(channel) | {"changed": changed}, text if changed else f"{text}\nNothing changed.")


def _days(text: str) -> timedelta:
    try:
        return timedelta(days=float(text))
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"“{text}” is not a number of days.") from None


def _said(channel: Channel) -> str:
    how = "by itself" if channel.automatic else "by hand"
    soak = f"after {in_days(channel.soak)} in the channel before" if channel.soak else "without a soak time"
    return f"A build enters {channel} {soak}, {how}."
