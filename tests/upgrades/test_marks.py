"""The mark in a site's directory: which site it is, and what happens where it is another one."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from instances.marks import Mark, mark_words, read_mark
from instances.models import Installation, Instance
from instances.services import claim_directory, installation_number
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.commands import json_of, refusal_of
from tests.factories import NOW, make_instance
from tests.fakes import FakeHost
from tests.upgrades.sites import WAIT_FOR_GO, Site, wait_until
from tests.upgrades.supervising import due_upgrade, impatient, supervise
from upgrades import tasks
from upgrades.choices import EndCode, Outcome
from upgrades.recipes.commands import lines, value_lines
from upgrades.recipes.reading import load_recipe
from upgrades.sentences import end_sentence
from upgrades.version_check import ask_versions

__all__ = ["impatient"]

OURS, THEIRS = f"{'0a' * 16} 7 acme-live", f"{'0a' * 16} 8 acme-test"
ANOTHER = f"{'ff' * 16} 7 acme-live"


def test_a_mark_names_the_site_and_whose_it_is() -> None:
    mark = read_mark(f"{OURS}\n")
    assert mark == Mark("0a" * 16, 7, "acme-live")
    assert str(mark) == OURS
    assert mark_words(THEIRS, "0a" * 16) == "acme-test, site 8 of this installation"
    assert mark_words(ANOTHER, "0a" * 16) == "acme-live, site 7 of another installation (ffffffff)"
    assert mark_words("-", "0a" * 16) == "something else (“-”)"


class TestOnTheHost:
    pytestmark = pytest.mark.shell

    @pytest.fixture(params=["dash", "bash"])
    def site(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
        site = Site(tmp_path / "site", shell=request.param)
        site.values["SITE_MARK"] = OURS
        yield site
        site.let_go()

    def ask(self, site: Site, **values: str) -> "subprocess.CompletedProcess[bytes]":
        script = load_recipe("symlink").version_program
        return site.run("version", lines(10) + value_lines(site.values | values) + b"\n" + script)

    def mark(self, site: Site) -> str:
        return (site.work / "site").read_text()

    def test_the_first_contact_marks_the_directory(self, site: Site) -> None:
        assert self.ask(site).stdout == b"1.0\n"
        assert self.mark(site) == f"{OURS}\n"
        assert {path.name for path in site.work.iterdir()} == {"lock", "site"}
        assert site.work.stat().st_mode & 0o777 == 0o700
        assert self.ask(site).stdout == b"1.0\n"

    def test_a_directory_that_tells_no_version_is_not_marked(self, site: Site) -> None:
        assert self.ask(site, VERSION_COMMAND="exit 3").returncode not in (0, 78)
        assert not site.work.exists()

    def test_a_site_that_was_renamed_is_the_same(self, site: Site) -> None:
        self.ask(site)
        assert self.ask(site, SITE_MARK=OURS.replace("acme-live", "acme")).stdout == b"1.0\n"
        assert self.mark(site).split()[2] == "acme"

    @pytest.mark.parametrize("found", [THEIRS, ANOTHER, "", "$(touch owned)\nmore"])
    def test_a_directory_of_another_site_tells_nothing_and_takes_no_upgrade(self, site: Site, found: str) -> None:
        site.work.mkdir()
        (site.work / "site").write_text(found)

        asked, launched = self.ask(site), site.launch()

        said = f"other-site {found}\n" if found[:1].isalnum() else "other-site"
        assert asked.stdout.decode().startswith(said)
        assert asked.returncode == 78
        assert launched.stdout == asked.stdout
        assert self.mark(site) == found
        assert not list((site.work / "upgrades").iterdir())
        assert {path.name for path in site.work.iterdir()} == {"lock", "site", "upgrades"}
        assert not (site.path / "owned").exists()

    def test_what_a_person_gave_up_is_replaced_and_nothing_else(self, site: Site) -> None:
        site.work.mkdir()
        (site.work / "site").write_text(f"{THEIRS}\n")
        assert self.ask(site, SITE_MARK_OVER=ANOTHER).returncode == 78
        site.values["SITE_MARK_OVER"] = THEIRS
        assert site.launch().stdout == b"begun\n"
        site.wait_for_end()
        assert self.mark(site) == f"{OURS}\n"

    def test_an_upgrade_marks_the_directory_and_asking_meanwhile_does_not_disturb_it(self, site: Site) -> None:
        site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
        assert site.launch().stdout == b"begun\n"
        wait_until(lambda: "backup" in site.begun_steps())
        assert self.mark(site) == f"{OURS}\n"
        assert self.ask(site).stdout == b"1.0\n"
        assert self.ask(site, SITE_MARK=THEIRS).returncode == 78
        (site.path / "go").touch()
        site.wait_for_end()

    def test_an_account_that_may_not_write_there_still_hears_the_version(self, site: Site) -> None:
        site.work.write_text("in the way")
        assert self.ask(site).stdout == b"1.0\n"
        assert os.listdir(site.path).count(".releasemgr") == 1


db = pytest.mark.django_db(transaction=True)


@db
def test_the_number_of_an_installation_never_changes() -> None:
    assert installation_number() == installation_number() == Installation.objects.get().number.hex


@db
def test_an_upgrade_on_another_sites_directory_is_blocked_until_a_person_says_whose_it_is() -> None:
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    site = upgrade.instance
    fake.marks[site.path] = f"{installation_number()} 99 acme-test"

    supervise(fake)

    upgrade.refresh_from_db()
    site.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.OTHER_SITE)
    assert end_sentence(Outcome.BLOCKED, EndCode.OTHER_SITE, upgrade.end_values) == (
        "The directory of acme-live on app-1 is marked as acme-test, site 99 of this installation. "
        "Say on the site’s page whose it is. Nothing was touched: the site last reported 1.0."
    )
    assert fake.begun == []
    assert site.foreign_mark == fake.marks[site.path]
    [answer] = ask_versions([site], fake.connect)
    assert answer.error == "The directory is marked as acme-test, site 99 of this installation."

    claim_directory(site, actor=COMMAND, now=NOW, reason="Copied on purpose.")
    [answer] = ask_versions([Instance.objects.for_list().get()], fake.connect)

    assert (answer.raw, answer.error) == ("1.0", "")
    site.refresh_from_db()
    assert (site.foreign_mark, site.mark_given_up) == ("", "")
    assert fake.marks[site.path] == f"{installation_number()} {site.pk} acme-live"


@db
@pytest.mark.usefixtures("noon")
def test_claim_directory_replaces_the_mark_with_a_reason_and_asks_the_site(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeHost()
    monkeypatch.setattr(tasks, "connect", fake.connect)
    site = make_instance("acme-live", foreign_mark=ANOTHER)
    fake.versions[site.path], fake.marks[site.path] = "1.0", ANOTHER

    assert refusal_of("claim_directory", "acme-live") == "reason: The reason is missing."
    assert refusal_of("claim_directory", "nobody") == "No site is named nobody."
    said = json_of("claim_directory", "acme-live", "--reason", "Moved here")

    assert said == {
        "site": "acme-live", "was": "acme-live, site 7 of another installation (ffffffff)", "reported": "1.0",
        "error": "",
    }  # fmt: skip
    assert (Change.objects.get().kind, Change.objects.get().reason) == ("site.directory_claimed", "Moved here")
    assert "There is nothing to decide." in refusal_of("claim_directory", "acme-live", "--reason", "Again")
