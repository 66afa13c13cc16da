from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.template.defaultfilters import filesizeformat

from builds.choices import Smoke
from builds.exceptions import BuildError
from builds.management.shapes import build_shape
from builds.services import register_build
from releasemgr.lib import clock
from releasemgr.lib.commands import Answer, VerbCommand


class Command(VerbCommand):
    help = "Registers an artefact under a version. The same version with the same artefact is a no-op."
    refusals = (BuildError,)

    def arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("build", metavar="VERSION", help="PEP 440, such as 4.2.107 or 5.0rc1.")
        parser.add_argument("--artifact", type=Path, required=True, metavar="FILE")
        parser.add_argument("--commit", default="", metavar="SHA")
        parser.add_argument("--changelog", type=Path, metavar="FILE", help="Markdown, in UTF-8.")
        parser.add_argument("--smoke", choices=[Smoke.PASSED, Smoke.FAILED, Smoke.PENDING], default=Smoke.PENDING)

    def answer(self, **options: Any) -> Answer:
        changelog = _text_of(options["changelog"]) if options["changelog"] else ""
        build, created = register_build(
            options["build"], options["artifact"], now=clock.now(), commit=options["commit"], changelog=changelog,
            smoke=Smoke(options["smoke"]),
        )  # fmt: skip
        size, smoke = filesizeformat(build.artifact_size), str(Smoke(build.smoke).label).lower()
        text = f"Registered {build}: {size}, SHA-256 {build.sha256}, smoke tests {smoke}."
        if not created:
            text = f"{build} is registered already with this artefact, smoke tests {smoke}. Nothing changed."
        return Answer({"created": created, "build": build_shape(build)}, text)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"The changelog {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"The changelog {path} is not UTF-8 text.") from error
