"""R9: what nothing needs any more is archived, and nothing else."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from builds.exceptions import ArchiveRefused, ReasonMissing
from builds.maturity import Maturity
from builds.models import Build
from releasemgr.lib.actors import COMMAND
from tests.commands import json_of, refusal_of
from tests.factories import NOW, make_build, make_instance, make_upgrade
from upgrades.choices import Outcome
from upgrades.services.archiving import archive, keys_in_use

pytestmark = pytest.mark.django_db


def archive_it(build: Build) -> bool:
    return archive(build, actor=COMMAND, now=NOW, reason="Old.")[1]


def test_what_sites_run_are_pinned_to_go_back_to_or_are_on_their_way_to_is_in_use() -> None:
    runs, pinned, back, old, to, unused = (make_build(f"4.{n}") for n in range(6))
    site = make_instance(runs="4.0", target_build=pinned)
    make_upgrade(instance=site, from_version="4.3", build=make_build("3.9"), outcome=Outcome.SUCCEEDED)
    make_upgrade(instance=site, from_version="4.2", build=runs, outcome=Outcome.SUCCEEDED)
    make_upgrade(instance=make_instance(runs="4.0"), from_version="4.0", build=to)
    assert keys_in_use() >= {one.version_key for one in (runs, pinned, back, to)}
    assert not keys_in_use() & {old.version_key, unused.version_key}
    for build in (runs, pinned, back, to):
        with pytest.raises(ArchiveRefused, match="It cannot be archived"):
            archive_it(build)
    assert archive_it(unused)
    assert not archive_it(unused)
    assert not unused.artifact_path.exists()


def test_it_needs_a_reason() -> None:
    with pytest.raises(ReasonMissing):
        archive(make_build("4.0"), actor=COMMAND, now=NOW, reason=" ")


def test_the_command_archives_or_says_what_needs_the_build() -> None:
    make_build("4.0")
    make_build("4.1", maturity=Maturity.RELEASE)
    assert json_of("archive_build", "4.0", "--reason", "Old.")["archived"] is True
    assert json_of("archive_build", "4.0", "--reason", "Old.")["archived"] is False
    assert "is the build of" in refusal_of("archive_build", "4.1", "--reason", "Old.")


def test_a_release_manager_archives_a_build_from_its_page(client: Client, release_manager: User) -> None:
    build = make_build("4.0")
    make_build("4.1", maturity=Maturity.STABLE)
    client.force_login(release_manager)
    assert "/builds/4.0/archive/" in client.get("/builds/4.0/").content.decode()
    page = client.get("/builds/4.0/archive/")
    assert "Registering the same artefact again brings it back" in page.content.decode()
    seen = page.context["form"]["seen"].value()
    assert client.post("/builds/4.0/archive/", {"reason": " ", "seen": seen}).status_code == 422
    answer = client.post("/builds/4.0/archive/", {"reason": "Old.", "seen": seen}, follow=True)
    assert "4.0 is archived. Its artefact is removed." in answer.content.decode()
    build.refresh_from_db()
    assert build.is_archived
    assert "/builds/4.0/archive/" not in client.get("/builds/4.0/").content.decode()
    assert "archived already" in client.get("/builds/4.0/archive/", follow=True).content.decode()


def test_what_came_into_use_meanwhile_is_refused_on_the_page(client: Client, release_manager: User) -> None:
    build = make_build("4.0")
    client.force_login(release_manager)
    seen = client.get("/builds/4.0/archive/").context["form"]["seen"].value()
    make_instance(runs="4.0")
    answer = client.post("/builds/4.0/archive/", {"reason": "Old.", "seen": seen})
    assert answer.status_code == 409
    assert "A site runs 4.0" in answer.content.decode()
    build.refresh_from_db()
    assert not build.is_archived
