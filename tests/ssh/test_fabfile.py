"""A team's own fabfile, unchanged, on a real OpenSSH server: Fabric runs here, watched as everything else is."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from builds.maturity import Maturity
from instances.models import Instance
from releasemgr.lib.identities import KeyFile
from tests.factories import make_build, make_host, make_instance
from tests.ssh.sshd import SshServer
from tests.ssh.test_engine import begin_upgrade, supervising
from tests.upgrades.sites import Site, wait_until
from tests.upgrades.test_secrets import everything_stored
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.contact import Connect
from upgrades.models import Upgrade
from upgrades.services.logs import read_log
from upgrades.supervisor import Supervisor

pytestmark = [pytest.mark.ssh, pytest.mark.django_db(transaction=True)]

FABFILE = """\
import os
import time

from fabric import Connection, task


@task
def deploy(c, version, path):
    print("from", os.getcwd())
    assert "DATABASE_URL" not in os.environ and "RELEASEMGR_SECRET_KEY" not in os.environ
    MORE
    c.run(f"ln -sfn releases/{version} {path}/current && mkdir -p {path}/releases/{version}")
    c.run(f"echo {version} >{path}/releases/{version}/VERSION")


@task
def rollback(c, version, path):
    c.run(f"ln -sfn releases/{version} {path}/current")
    print("rolled back to", version)
"""

RECIPE = """\
kind = "fabfile"
title = "Our fabfile"
version = "version.sh"
fabfile = "{fabfile}"
python = "{python}"
task = "deploy"
rollback_task = "rollback"
timeout = 60

[parameters]
host = "-H"
version = "--version"
path = "--path"
"""


class Team:
    """The folder of a team's fabfile, and the recipe that names it."""

    def __init__(self, folder: Path) -> None:
        self.fabfile = folder / "deployment" / "fabfile.py"
        self.recipe = folder / "recipes" / "ours" / "recipe.toml"
        for file in (self.fabfile, self.recipe):
            file.parent.mkdir(parents=True)
        self.write()
        self.name(RECIPE.format(fabfile=self.fabfile, python=sys.executable))

    def write(self, more: str = "pass") -> None:
        self.fabfile.write_text(FABFILE.replace("MORE", more))

    def name(self, recipe: str) -> None:
        self.recipe.write_text(recipe)


@pytest.fixture
def team(tmp_path: Path, settings: Settings, server: SshServer, monkeypatch: pytest.MonkeyPatch) -> Team:
    team = Team(tmp_path / "team")
    settings.VAR_DIR = tmp_path / "var"
    settings.RECIPE_DIRS = [tmp_path / "team" / "recipes"]
    settings.SSH_KEY_FILE = server.key_file
    settings.SSH_IDENTITIES = {"": KeyFile(server.key_file)}
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    monkeypatch.setenv("RELEASEMGR_SECRET_KEY", "secret")
    monkeypatch.setenv("HOME", str(tmp_path))
    return team


@pytest.fixture
def instance(team: Team, server: SshServer, site: Site) -> Instance:
    """A site on the OpenSSH server that runs 1.0 and follows release, which is 1.1."""
    make_build("1.0", maturity=Maturity.STABLE)
    make_build("1.1", maturity=Maturity.RELEASE, content=b"whatever")
    host = make_host("web-1", address="127.0.0.1", port=server.port, user=server.user, host_key=server.host_key)
    path = str(site.path)
    return make_instance("acme-live", runs=None, host=host, path=path, recipe="ours", health_timeout_s=1)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[SshServer]:
    """Another server, whose key nobody approved."""
    server = SshServer(tmp_path / "elsewhere")
    server.start()
    yield server
    server.stop()


def upgraded(instance: Instance, connect: Connect, **values: str) -> Upgrade:
    upgrade = begin_upgrade(instance, connect, **values)
    Supervisor(connect).run(lasting=90)
    upgrade.refresh_from_db()
    return upgrade


def log_of(upgrade: Upgrade) -> str:
    return read_log(upgrade, 0, 10**6).decode()


def test_a_fabfile_upgrades_a_site_and_is_watched_as_every_upgrade(
    instance: Instance, connect: Connect, site: Site, team: Team, settings: Settings
) -> None:
    """U1, U2, U10: our own connection reads the version back. It finds no secret of the dashboard's."""
    upgrade = upgraded(instance, connect)
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.SUCCEEDED, EndCode.DONE), log_of(upgrade)
    assert site.current() == "releases/1.1"
    assert f"from {team.fabfile.parent}" in log_of(upgrade)
    ended = upgrade.steps.filter(ended_at__isnull=False).values_list("name", flat=True)
    assert list(ended) == ["check", "deploy", "health", "prune"]
    instance.refresh_from_db()
    assert instance.reported_version == "1.1"
    assert {path.name for path in site.work.iterdir()} == {"lock", "site"}, "only its mark lies on its host"
    here = settings.VAR_DIR / "fabfile" / str(instance.pk) / ".releasemgr" / "upgrades" / str(upgrade.pk)
    assert read_log(upgrade, 0, 10**6) == (here / "log").read_bytes()


def test_a_task_that_fails_is_taken_back_by_the_rollback_task(
    instance: Instance, connect: Connect, site: Site, team: Team
) -> None:
    """U5."""
    team.write('c.run(f"rm {path}/current; exit 3")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.ROLLED_BACK, log_of(upgrade)
    assert "rolled back to 1.0" in log_of(upgrade)
    assert site.current() == "releases/1.0"


def test_without_a_rollback_task_a_failure_needs_a_person(
    instance: Instance, connect: Connect, site: Site, team: Team
) -> None:
    """U2: also where the old version is still there, since nobody knows how far the task came."""
    team.write('c.run("exit 3")')
    team.name(team.recipe.read_text().replace('rollback_task = "rollback"\n', ""))
    upgrade = upgraded(instance, connect)
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.WAY_BACK_FAILED)
    assert "The recipe names no rollback task" in log_of(upgrade)


def test_a_task_that_ends_well_and_changes_nothing_is_no_success(
    instance: Instance, connect: Connect, site: Site, team: Team
) -> None:
    """U10."""
    team.write("return")
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert site.current() == "releases/1.0"


def test_the_health_page_is_asked_on_the_site_s_host(
    instance: Instance, connect: Connect, site: Site, team: Team
) -> None:
    upgrade = upgraded(instance, connect, health_url="http://127.0.0.1:9/")
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert "http://127.0.0.1:9/ did not answer 200 within 1 seconds." in log_of(upgrade)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('task = "deploy"', 'task = "deplay"', "No idea what 'deplay' is!"),
        ('path = "--path"', 'path = "--folder"', "The task deploy of"),
        ("fabfile.py", "fibfile.py", "There is no fabfile"),
        (sys.executable, "/usr/bin/false", "has no Fabric."),
    ],
)
def test_what_a_recipe_names_and_a_fabfile_has_not_blocks_before_anything_is_touched(
    instance: Instance, connect: Connect, site: Site, team: Team, old: str, new: str, words: str
) -> None:
    team.name(team.recipe.read_text().replace(old, new, 1))
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.BLOCKED
    assert words in log_of(upgrade)
    assert site.current() == "releases/1.0"


def test_no_task_waits_at_a_prompt(instance: Instance, connect: Connect, team: Team) -> None:
    """U7: standard input is closed."""
    team.write('input("Really? ")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert "EOFError" in log_of(upgrade)


TO_OTHER = 'Connection("127.0.0.1", port={port}, user="{user}", connect_kwargs=dict(key_filename="{key}"){more})'


def elsewhere_of(server: SshServer, more: str = "") -> str:
    return TO_OTHER.format(port=server.port, user=server.user, key=server.key_file, more=more)


def test_a_fabfile_speaks_to_no_server_whose_key_nobody_approved_whatever_it_says_itself(
    instance: Instance, connect: Connect, site: Site, team: Team, elsewhere: SshServer
) -> None:
    """U6."""
    accept = "import paramiko; other.client.set_missing_host_key_policy(paramiko.AutoAddPolicy())"
    team.write(f'other = {elsewhere_of(elsewhere)}; {accept}; other.run("touch {site.path}/spoken")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert f"[127.0.0.1]:{elsewhere.port}' not found in known_hosts" in log_of(upgrade)
    assert not (site.path / "spoken").exists()


def test_a_gateway_whose_key_nobody_approved_is_refused_too(
    instance: Instance, connect: Connect, server: SshServer, team: Team, elsewhere: SshServer
) -> None:
    """U6."""
    through = elsewhere_of(server, f", gateway={elsewhere_of(elsewhere)}")
    team.write(f'{through}.run("true")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert f"[127.0.0.1]:{elsewhere.port}' not found in known_hosts" in log_of(upgrade)


def test_keys_of_further_servers_are_approved_by_a_file_of_the_recipe(
    instance: Instance, connect: Connect, server: SshServer, team: Team, elsewhere: SshServer
) -> None:
    """U6: a gateway, say."""
    keys = team.recipe.parent / "known_hosts"
    keys.write_text(f"[127.0.0.1]:{elsewhere.port} {elsewhere.host_key}")
    team.name(team.recipe.read_text().replace("timeout = 60", f'timeout = 60\nknown_hosts = "{keys}"'))
    team.write(f'{elsewhere_of(server, f", gateway={elsewhere_of(elsewhere)}")}.run("echo through the gateway")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.SUCCEEDED, log_of(upgrade)
    assert "through the gateway" in log_of(upgrade)


def test_a_python_that_a_fabfile_starts_itself_is_held_to_the_approved_keys_too(
    instance: Instance, connect: Connect, team: Team, elsewhere: SshServer
) -> None:
    """U6."""
    child = team.fabfile.parent / "child.py"
    child.write_text(f'from fabric import Connection\n{elsewhere_of(elsewhere)}.run("true")\n')
    team.write(f'c.local("{sys.executable} {child}")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert "not found in known_hosts" in log_of(upgrade)


def test_another_supervisor_attaches_to_a_fabfile_that_runs(
    instance: Instance, connect: Connect, site: Site, team: Team
) -> None:
    """U3: what runs does not notice, also when the recipe was broken since."""
    go = site.path / "go-on"
    waits = f'[time.sleep(0.1) for _ in range(600) if not os.path.exists("{go}")]'
    team.write(f'open("{site.path}/begun", "a").write("once"); {waits}')
    upgrade = begin_upgrade(instance, connect)
    with supervising(connect):
        wait_until((site.path / "begun").exists)
    assert Upgrade.objects.get().state == UpgradeState.RUNNING
    team.name("broken")
    go.touch()
    Supervisor(connect).run(lasting=60)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED, log_of(upgrade)
    assert (site.path / "begun").read_text() == "once"


def test_u8_a_task_finds_the_secrets_of_its_recipe_and_nobody_else_does(
    instance: Instance, connect: Connect, team: Team, settings: Settings, tmp_path: Path
) -> None:
    settings.SECRETS_DIR = tmp_path / "secrets"
    settings.SECRETS_DIR.mkdir()
    (settings.SECRETS_DIR / "REGISTRY_TOKEN").write_text("hunter2-hunter2\n")
    team.name(team.recipe.read_text().replace("timeout = 60", 'timeout = 60\nsecrets = ["REGISTRY_TOKEN"]'))
    team.write('print("token", os.environ["REGISTRY_TOKEN"]); c.run("echo there: ${REGISTRY_TOKEN-none}")')
    upgrade = upgraded(instance, connect)
    assert upgrade.outcome == Outcome.SUCCEEDED, log_of(upgrade)
    assert "token ***************\n" in log_of(upgrade)
    assert "there: none\n" in log_of(upgrade)
    assert "hunter2" not in everything_stored()
    here = [path for path in settings.VAR_DIR.rglob("*") if path.is_file() and b"hunter2" in path.read_bytes()]
    assert [path.name for path in here] == ["log"], "only what the task itself printed"
