"""U8: a recipe names its secrets, the dashboard's machine holds them, and nothing that is stored does."""

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from releasemgr.lib.actors import COMMAND
from tests.commands import json_of, text_of
from tests.factories import NOW
from tests.fakes import FakeHost, FakeRun, begin, complete, hang
from tests.upgrades.supervising import due_upgrade, impatient, supervise, supervising, supervisor, until
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.exceptions import SecretUnusable, StartFailed
from upgrades.models import LogChunk, Upgrade
from upgrades.secret_places import PREFIX, find_secrets
from upgrades.services.ends import run_way_back
from upgrades.services.logs import read_log

__all__ = ["impatient"]
TOKEN = "hunter2-hunter2"
RECIPE = """\
title = "Ours"
version_command = "cat VERSION"
secrets = ["REGISTRY_TOKEN", "DEPLOY_KEY"]

[[steps]]
name = "migrate"
title = "Migrate"
phase = "change"
command = "true"
timeout = 60
"""


# Where they are found.


def test_a_secret_of_the_site_comes_before_that_of_all_and_before_a_variable(tmp_path: Path) -> None:
    (tmp_path / "acme-live").mkdir()
    for place in ("", "acme-live"):
        (tmp_path / place / "TOKEN").write_text(f"of-{place or 'all'}\n")
    environment = {f"{PREFIX}TOKEN": "of-nobody", f"{PREFIX}KEY": "one\ntwo-two\n"}
    assert find_secrets(["TOKEN", "KEY"], "acme-live", tmp_path, environment) == {
        "TOKEN": b"of-acme-live",
        "KEY": b"one\ntwo-two",
    }
    assert find_secrets(["TOKEN"], "other", tmp_path, environment) == {"TOKEN": b"of-all"}
    (tmp_path / "TOKEN").unlink()
    assert find_secrets(["TOKEN"], "other", tmp_path, environment) == {"TOKEN": b"of-nobody"}


def test_a_missing_secret_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SecretUnusable, match=r"^TOKEN, KEY cannot be found\. Write it into a file .* set RELEASEMGR_"):
        find_secrets(["TOKEN", "KEY"], "acme-live", tmp_path, {})


@pytest.mark.parametrize(
    ("value", "said"),
    [(b"abc\n", "no line of 4 characters"), (b"a\0bcdef", "does not hold"), (b"x" * 70_000, "64 KiB")],
)
def test_what_cannot_be_hidden_or_cannot_travel_is_refused_without_saying_it(
    tmp_path: Path, value: bytes, said: str
) -> None:
    (tmp_path / "TOKEN").write_bytes(value)
    with pytest.raises(SecretUnusable, match=said) as error:
        find_secrets(["TOKEN"], "acme-live", tmp_path, {})
    assert "abc" not in str(error.value).replace(str(tmp_path), "")


# In an upgrade.


@pytest.fixture
def place(tmp_path: Path, settings: Settings) -> Path:
    folder = tmp_path / "recipes" / "symlink"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    settings.RECIPE_DIRS = [tmp_path / "recipes"]
    settings.SECRETS_DIR = tmp_path / "secrets"
    settings.SECRETS_DIR.mkdir()
    (settings.SECRETS_DIR / "REGISTRY_TOKEN").write_text(f"{TOKEN}\n")
    (settings.SECRETS_DIR / "DEPLOY_KEY").write_text("-----BEGIN KEY-----\nb64b64b64==\n-----END KEY-----\n")
    return Path(settings.SECRETS_DIR)


def everything_stored() -> str:
    """Every row of every table, as text; bytes as they are."""
    parts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - our own tables
            for row in cursor.fetchall():
                parts += [
                    bytes(one).decode("latin-1") if isinstance(one, memoryview | bytes) else str(one) for one in row
                ]
    return "\n".join(parts)


def _as_text(value: object) -> str:
    return bytes(value).decode("latin-1") if isinstance(value, memoryview | bytes) else str(value)


Script = Callable[[FakeHost, str, FakeRun, Mapping[str, str]], None]


def tells(secret: str) -> Script:
    def script(host: FakeHost, path: str, run: FakeRun, values: Mapping[str, str]) -> None:
        """It prints its secret everywhere that a host can."""
        if values:
            begin(run, values)
        run.tell(f"no-version before cat: {secret}: no such file")
        run.step("change", 1, "migrate", f"$ migrate\nError: {secret} refused\nb64b64b64==\n", status=1)
        run.tell(f"version after {secret}")
        run.result = "failed change migrate\n"

    return script


@pytest.mark.django_db(transaction=True)
def test_u8_what_a_step_prints_of_its_secrets_is_stored_nowhere(place: Path) -> None:
    fake = FakeHost(script=tells(TOKEN))
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.NEEDS_A_PERSON
    assert upgrade.first_error == "Error: *************** refused"
    assert upgrade.end_values["reported"] == "***************"
    assert read_log(upgrade, 0, 1000) == b"$ migrate\nError: *************** refused\n***********\n"
    assert b"cat: ***************: no such" in bytes(upgrade.journal)
    stored = everything_stored()
    assert TOKEN not in stored
    assert "b64b64b64==" not in stored


@pytest.mark.django_db(transaction=True)
def test_u8_a_missing_secret_blocks_before_the_host_is_spoken_to(place: Path) -> None:
    (place / "DEPLOY_KEY").unlink()
    fake = FakeHost()
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.SECRET_UNUSABLE)
    assert upgrade.end_values["text"].startswith("DEPLOY_KEY cannot be found. Write it into a file of that name in ")
    assert (fake.connections, fake.begun, fake.artifacts) == (0, [], [])


@pytest.mark.django_db(transaction=True)
def test_u8_what_a_host_says_when_it_cannot_begin_is_hidden_too(place: Path) -> None:
    fake = FakeHost(start_refusal=StartFailed(f"sh: {TOKEN}: not found"))
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.end_values["text"] == "sh: ***************: not found"
    assert TOKEN not in everything_stored()


@pytest.mark.django_db(transaction=True)
def test_u8_u3_a_secret_in_pieces_over_lost_links_and_another_supervisor_is_hidden_and_nothing_is_lost(
    place: Path,
) -> None:
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    printed = f"before {TOKEN} after\n".encode()
    with supervising(supervisor(fake)):
        until(lambda: LogChunk.objects.filter(upgrade=upgrade).exists())
        run = fake.runs[upgrade.pk]
        for byte in printed[:12]:
            run.log += bytes([byte])
            time.sleep(0.05)
        fake.cut()
    assert TOKEN[:2] not in read_log(upgrade, 0, 10**6).decode()
    with supervising(supervisor(fake)):
        for byte in printed[12:]:
            run.log += bytes([byte])
            time.sleep(0.05)
        run.finish("change", 5, "migrate")
        complete(fake, upgrade.instance.path, run, {"TO_VERSION": "2.0"})
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    assert read_log(upgrade, 0, 10**6) == run.log.replace(TOKEN.encode(), b"*" * len(TOKEN))
    assert TOKEN not in everything_stored()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", ["write", "remove"])
def test_u8_after_a_secret_was_changed_meanwhile_nothing_more_is_shown(place: Path, change: str) -> None:
    """What the host was given is not known any more, so nobody could say what to hide."""
    fake = FakeHost(script=hang)
    upgrade = due_upgrade(fake)
    with supervising(supervisor(fake)):
        until(lambda: LogChunk.objects.filter(upgrade=upgrade).exists())
    file = place / "REGISTRY_TOKEN"
    file.write_text("another-one\n") if change == "write" else file.unlink()
    run = fake.runs[upgrade.pk]
    kept = len(run.log)
    with supervising(supervisor(fake)):
        run.log += f"{TOKEN}\nend\n".encode()
        run.finish("change", 5, "migrate")
        complete(fake, upgrade.instance.path, run, {"TO_VERSION": "2.0"})
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    assert read_log(upgrade, 0, 10**6) == run.log[:kept] + b"***************\n***\n"
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert TOKEN not in everything_stored()


def needs_a_person(fake: FakeHost) -> Upgrade:
    upgrade = due_upgrade(fake)
    supervise(fake)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.NEEDS_A_PERSON
    return upgrade


@pytest.mark.django_db(transaction=True)
def test_u8_a_way_back_that_is_run_again_has_the_secrets_as_they_are_now(place: Path) -> None:
    fake = FakeHost(script=tells(TOKEN))
    upgrade = needs_a_person(fake)
    (place / "REGISTRY_TOKEN").write_text("a-newer-one\n")
    run_way_back(upgrade, actor=COMMAND, now=NOW + timedelta(minutes=1), reason="Repaired.")
    fake.script = tells("a-newer-one")
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    assert fake.sent_back == [(upgrade.pk, 1)]
    assert b"a-newer-one" in fake.secrets_sent[-1]
    assert b"Error: *********** refused" in read_log(upgrade, 0, 10**6)
    assert "a-newer-one" not in everything_stored()


@pytest.mark.django_db(transaction=True)
def test_u8_a_way_back_without_its_secrets_is_not_begun_and_says_why(place: Path) -> None:
    fake = FakeHost(script=tells(TOKEN))
    upgrade = needs_a_person(fake)
    (place / "REGISTRY_TOKEN").unlink()
    run_way_back(upgrade, actor=COMMAND, now=NOW + timedelta(minutes=1), reason="Repaired.")
    with supervising(supervisor(fake)):
        until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.NOT_SENT_BACK)
    assert upgrade.end_values["text"].startswith("REGISTRY_TOKEN cannot be found.")
    assert fake.sent_back == []


@pytest.mark.django_db
def test_a_dry_run_shows_that_there_are_secrets_and_says_which_are_missing(place: Path) -> None:
    fake = FakeHost()
    site = due_upgrade(fake).instance
    shown = json_of("check_recipe", "symlink", "--dry-run", site.slug)["dry_run"]
    assert (shown["environment"]["REGISTRY_TOKEN"], shown["secrets_fault"]) == ("***", None)
    (place / "DEPLOY_KEY").unlink()
    text = text_of("check_recipe", "symlink", "--dry-run", site.slug)
    assert "  REGISTRY_TOKEN=***\n" in text
    assert "It would be blocked: DEPLOY_KEY cannot be found." in text
    assert TOKEN not in text
