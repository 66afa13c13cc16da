from argparse import ArgumentParser
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings

from builds.sentences import stamp
from instances.choices import FreezeScope
from instances.exceptions import InstanceError, InvalidInput
from instances.management.shapes import freeze_shape
from instances.models import Freeze
from instances.services import customer_named, open_freeze, tag_named
from instances.windows import moment_of, zone_named
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.commands import Answer, VerbCommand, local_moment


class Command(VerbCommand):
    help = "Leaves a group of sites alone between two times, once or again and again, for a reason."
    refusals = (InstanceError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME")
        scope = parser.add_mutually_exclusive_group(required=True)
        for plain in (FreezeScope.ALL, FreezeScope.LIVE, FreezeScope.TEST):
            scope.add_argument(f"--{plain}", dest="scope", action="store_const", const=plain)
        scope.add_argument("--customer", metavar="SLUG")
        scope.add_argument("--tag")
        parser.add_argument("--from", dest="begins", type=local_moment, required=True, metavar="TIME")
        parser.add_argument("--until", type=local_moment, required=True, metavar="TIME")
        parser.add_argument("--zone", default=settings.TIME_ZONE, help="By default the installation's.")
        parser.add_argument("--repeats", default="", metavar="RULE", help="Of iCalendar: FREQ=MONTHLY;BYMONTHDAY=-1")
        parser.add_argument("--reason", required=True)

    def answer(self, **options: Any) -> Answer:
        zone = _zone(options["zone"])
        values = {name: options[name] for name in ("name", "repeats", "zone", "reason")} | _scope(options)
        values |= {"starts_at": _in(zone, options["begins"]), "ends_at": _in(zone, options["until"])}
        freeze = open_freeze(values, actor=COMMAND, now=clock.now())
        return Answer(freeze_shape(freeze), _text(freeze))


def _zone(name: str) -> ZoneInfo:
    try:
        return zone_named(name)
    except ValueError as fault:
        raise InvalidInput({"zone": [str(fault)]}) from fault


def _scope(options: dict[str, Any]) -> dict[str, Any]:
    if options["customer"]:
        return {"scope": FreezeScope.CUSTOMER, "customer": customer_named(options["customer"])}
    if options["tag"]:
        return {"scope": FreezeScope.TAG, "tag": tag_named(options["tag"])}
    return {"scope": options["scope"]}


def _in(zone: ZoneInfo, moment: datetime) -> datetime:
    """A time without an offset is one of the freeze's zone."""
    return moment if moment.tzinfo else moment_of(moment, zone)


def _text(freeze: Freeze) -> str:
    again = f", and again by {freeze.repeats}" if freeze.repeats else ""
    return (
        f"Freeze {freeze.pk}, {freeze.name}: {freeze.scope_words} from {stamp(freeze.starts_at)} "
        f"until {stamp(freeze.ends_at)}{again}."
    )
