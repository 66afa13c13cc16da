from argparse import ArgumentParser
from typing import Any

from builds.exceptions import BuildError
from builds.management.shapes import build_shape
from builds.models import Build
from builds.services import build_named
from builds.versions import key_of_named
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Prints the changelogs of every build after one version up to another, newest first."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("current", metavar="FROM", help="The version that a site runs; it need not be registered.")
        parser.add_argument("target", metavar="TO")

    def answer(self, **options: Any) -> Answer:
        current, target = options["current"].strip(), build_named(options["target"])
        current_key = key_of_named(current)
        builds = list(Build.objects.between(current_key, target.version_key))
        going_back = target.version_key < current_key
        data = {
            "from": current,
            "to": target.version,
            "going_back": going_back,
            "builds": [build_shape(build) | {"changelog": build.changelog} for build in builds],
        }
        return Answer(data, _text(current, target, builds, going_back))


def _text(current: str, target: Build, builds: list[Build], going_back: bool) -> str:
    if not builds:
        return f"No build lies between {current} and {target}."
    head = [f"Going back from {current} to {target} loses:"] if going_back else []
    return "\n\n".join([*head, *(_section(build) for build in builds)])


def _section(build: Build) -> str:
    mark = " (withdrawn)" if build.is_withdrawn else " (quarantined)" if build.quarantined_at else ""
    return f"# {build}{mark}\n\n{build.changelog.strip() or 'Registered without a changelog.'}"
