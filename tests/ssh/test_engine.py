"""The whole engine on a real OpenSSH server: database, supervisor, SSH, shell, site."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.db import connection

from builds.maturity import Maturity
from builds.services import withdraw_build
from instances.models import Instance
from instances.services import claim_directory, installation_number
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from tests.factories import make_build, make_host, make_instance
from tests.ssh.sshd import SshServer
from tests.upgrades.sites import WAIT_FOR_GO, Site, make_artifact, wait_until
from upgrades.choices import EndCode, Outcome, StepState, UpgradeState
from upgrades.contact import Connect
from upgrades.models import Upgrade
from upgrades.services.logs import read_log
from upgrades.services.runs import start_upgrades
from upgrades.supervisor import Supervisor
from upgrades.version_check import ask_versions

pytestmark = [pytest.mark.ssh, pytest.mark.django_db(transaction=True)]
COUNT = 'echo "$0" >>"$SITE_PATH/migrated"; '


@pytest.fixture
def instance(server: SshServer, site: Site, tmp_path: Path) -> Instance:
    """A site on the OpenSSH server that runs 1.0 and follows release, which is 1.1."""
    make_build("1.0", maturity=Maturity.STABLE)
    (tmp_path / "built").mkdir()
    make_build("1.1", maturity=Maturity.RELEASE, content=make_artifact(tmp_path / "built", "1.1").read_bytes())
    host = make_host("web-1", address="127.0.0.1", port=server.port, user=server.user, host_key=server.host_key)
    return make_instance("acme-live", runs=None, host=host, path=str(site.path), health_timeout_s=2)


def begin_upgrade(instance: Instance, connect: Connect, **hooks: str) -> Upgrade:
    """Asks the site first (P3), then plans its upgrade."""
    Instance.objects.filter(pk=instance.pk).update(**hooks)
    (answer,) = ask_versions([Instance.objects.for_list().get()], connect)
    assert answer.raw == "1.0"
    return start_upgrades([instance], actor=COMMAND, now=clock.now()).upgrades.get()


@contextmanager
def supervising(connect: Connect) -> Iterator[None]:
    """A supervisor at work in a thread, told to leave at the end."""
    leave = threading.Event()

    def work() -> None:
        Supervisor(connect, keep_going=lambda: not leave.is_set()).run(lasting=60)
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        leave.set()
        thread.join(30)
    assert not thread.is_alive()


def host_log(site: Site, upgrade: Upgrade) -> bytes:
    return (site.upgrade(upgrade.pk) / "log").read_bytes()


def test_a_site_is_upgraded_and_everything_it_wrote_is_kept(instance: Instance, connect: Connect, site: Site) -> None:
    """U1, U2, U3, U10."""
    upgrade = begin_upgrade(instance, connect, migrate_command=COUNT, backup_command="printf '\\377 and ü\\n'")
    Supervisor(connect).run(lasting=60)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.SUCCEEDED, EndCode.DONE)
    assert site.current() == "releases/1.1"
    assert read_log(upgrade, 0, 10**6) == host_log(site, upgrade)
    assert {step.state for step in upgrade.steps.all()} == {StepState.SUCCEEDED}
    instance.refresh_from_db()
    assert instance.reported_version == "1.1"


def test_a_site_that_fails_its_health_check_goes_the_way_back(instance: Instance, connect: Connect, site: Site) -> None:
    """U5."""
    upgrade = begin_upgrade(instance, connect, health_url="http://127.0.0.1:9/")
    Supervisor(connect).run(lasting=60)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert upgrade.first_error
    assert site.current() == "releases/1.0"
    assert read_log(upgrade, 0, 10**6) == host_log(site, upgrade)
    assert upgrade.steps.filter(phase="back", state=StepState.SUCCEEDED).exists()
    instance.refresh_from_db()
    assert instance.reported_version == "1.0"


def test_lost_links_neither_stop_nor_repeat_a_step(
    server: SshServer, instance: Instance, connect: Connect, site: Site
) -> None:
    """U3."""
    upgrade = begin_upgrade(instance, connect, migrate_command=COUNT + WAIT_FOR_GO)
    with supervising(connect):
        for _ in range(3):
            wait_until(lambda: (site.path / "migrated").exists() and bool(server.sessions()))
            server.drop_connections()
        site.let_go()
        (site.path / "releases" / "1.1" / "go").touch()
        wait_until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED, 40)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert len((site.path / "migrated").read_text().splitlines()) == 1
    assert read_log(upgrade, 0, 10**6) == host_log(site, upgrade)


def test_another_supervisor_attaches_where_one_left(instance: Instance, connect: Connect, site: Site) -> None:
    """U3: what runs on the host does not notice."""
    upgrade = begin_upgrade(instance, connect, migrate_command=COUNT + WAIT_FOR_GO)
    with supervising(connect):
        wait_until((site.path / "migrated").exists)
    assert Upgrade.objects.get().state == UpgradeState.RUNNING
    (site.path / "releases" / "1.1" / "go").touch()
    Supervisor(connect).run(lasting=60)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert len((site.path / "migrated").read_text().splitlines()) == 1
    assert read_log(upgrade, 0, 10**6) == host_log(site, upgrade)


def test_withdrawing_a_build_stops_the_upgrade_to_it_before_its_switch_also_over_a_lost_link(
    server: SshServer, instance: Instance, connect: Connect, site: Site
) -> None:
    """R9: the step that runs is waited for, then the way back is gone."""
    upgrade = begin_upgrade(instance, connect, migrate_command=COUNT + WAIT_FOR_GO, migrate_undo_command="rm VERSION")
    stop = site.upgrade(upgrade.pk) / "stop"
    with supervising(connect):
        wait_until((site.path / "migrated").exists)
        server.drop_connections()
        withdraw_build(upgrade.build, actor=COMMAND, now=clock.now(), reason="It loses invoices.")
        wait_until(stop.exists)
        assert Upgrade.objects.get().state == UpgradeState.RUNNING
        (site.path / "releases" / "1.1" / "go").touch()
        wait_until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED, 40)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.ROLLED_BACK, EndCode.STOPPED)
    assert not upgrade.steps.filter(name="switch").exclude(started_at=None).exists()
    assert (site.current(), site.releases()) == ("releases/1.0", {"0.9", "1.0"})
    assert read_log(upgrade, 0, 10**6) == host_log(site, upgrade)


def test_a_copied_directory_is_not_upgraded_in_place_of_its_site_before_a_person_says_so(
    instance: Instance, connect: Connect, site: Site, tmp_path: Path
) -> None:
    """The address or the path leads elsewhere than the row says."""
    upgrade = begin_upgrade(instance, connect)
    (site.work / "site").write_text(f"{installation_number()} {instance.pk + 1} acme-test\n")

    Supervisor(connect).run(lasting=60)

    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.OTHER_SITE)
    assert upgrade.end_values["text"] == f"acme-test, site {instance.pk + 1} of this installation"
    assert site.current() == "releases/1.0"
    assert not site.upgrade(upgrade.pk).exists()
    instance.refresh_from_db()
    claim_directory(instance, actor=COMMAND, now=clock.now(), reason="Copied on purpose.")
    again = start_upgrades([instance], actor=COMMAND, now=clock.now()).upgrades.get()
    Supervisor(connect).run(lasting=60)
    again.refresh_from_db()
    assert again.outcome == Outcome.SUCCEEDED
    assert (site.work / "site").read_text() == f"{installation_number()} {instance.pk} acme-live\n"


def test_a_host_with_another_key_is_refused_and_its_key_waits_for_a_person(
    server: SshServer, instance: Instance, connect: Connect, site: Site
) -> None:
    """U6."""
    upgrade = begin_upgrade(instance, connect)
    server.stop()
    server.change_host_key()
    server.start()
    Supervisor(connect).run(lasting=60)
    upgrade.refresh_from_db()
    host = upgrade.instance.host
    host.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.BLOCKED, EndCode.HOST_KEY)
    assert host.offered_key == server.host_key != host.host_key
    assert site.current() == "releases/1.0"
    assert not site.upgrade(upgrade.pk).exists()
