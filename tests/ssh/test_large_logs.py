"""U9 on a real OpenSSH server: a step prints 200 MB and a line of 50 MB, and the supervising process stays small."""

import subprocess
import sys
import time

import pytest
from django.contrib.auth.models import User
from django.test import Client

from instances.models import Instance
from tests.faults.world import BASE, environment
from tests.ssh import test_engine
from tests.ssh.sshd import SshServer
from tests.ssh.test_engine import begin_upgrade, host_log
from tests.upgrades.sites import Site, wait_until
from upgrades.choices import EndCode, Outcome
from upgrades.contact import Connect
from upgrades.models import LogChunk, Upgrade
from upgrades.services.logs import read_log

pytestmark = [pytest.mark.ssh, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
instance = test_engine.instance
MEBIBYTE = 1024 * 1024
NOISE = (
    r"printf 'first \033[31m<b>red</b>\033[0m \377\n'; "
    "yes 'a line of sixty-four bytes, with caf\N{LATIN SMALL LETTER E WITH ACUTE} and 100 %, as programs print' | head -c 209715200; "  # noqa: E501
    r"echo; head -c 52428800 /dev/zero | tr '\0' x; echo; "
    r"i=0; while [ $((i += 1)) -le 200000 ]; do printf '\r%s %%' $i; done; echo; "
    "echo 'Error: at the very end'; exit 3"
)
GROWS_AT_MOST = 128 * MEBIBYTE
"""Of the peak: half of what was printed, and more than rounds, queue and driver hold at once (56 to 72 MiB)."""


def test_u9_a_step_that_prints_250_megabytes_is_watched_in_flat_memory(
    server: SshServer,
    instance: Instance,
    connect: Connect,
    site: Site,
    client: Client,
    admin_user: User,
) -> None:
    upgrade = begin_upgrade(instance, connect, migrate_command=NOISE)
    command = [sys.executable, "-m", "tests.ssh.supervise_once", str(server.key_file)]
    began = time.monotonic()
    done = subprocess.run(command, cwd=BASE, env=environment(), stdout=subprocess.PIPE, check=True, timeout=240)
    took = time.monotonic() - began
    before, after = map(int, done.stdout.split())
    upgrade.refresh_from_db()
    whole = host_log(site, upgrade)
    step = upgrade.steps.get(name="migrate")
    rows = LogChunk.objects.filter(upgrade=upgrade)
    kept = read_log(upgrade, 0, 10**9)
    sys.stdout.write(
        f"{len(whole)} bytes in {took:.1f} s; peak {before} -> {after} kB; {rows.count()} rows, {len(kept)} bytes\n"
    )

    assert (upgrade.outcome, upgrade.end_code) == (Outcome.ROLLED_BACK, EndCode.STEP_FAILED)
    assert len(whole) > 250 * MEBIBYTE
    assert (after - before) * 1024 < GROWS_AT_MOST
    assert len(kept) < 10 * MEBIBYTE
    assert rows.count() < 200
    assert_kept_as_it_was(upgrade, whole)
    assert step.log_start is not None
    assert step.log_end is not None
    assert whole[step.log_start : step.log_start + 4 * MEBIBYTE] in kept
    assert whole[step.log_end - 4 * MEBIBYTE : step.log_end] in kept
    assert upgrade.first_error == "Error: at the very end"
    place = whole.index(b"Error: at the very end")
    assert upgrade.first_error_line == whole[:place].count(b"\n") + 1
    assert_page_opens(client, admin_user, upgrade)


def assert_kept_as_it_was(upgrade: Upgrade, whole: bytes) -> None:
    at = 0
    for row in LogChunk.objects.filter(upgrade=upgrade).order_by("offset"):
        assert row.offset == at
        part = whole[at : at + row.size]
        assert row.feeds == part.count(b"\n")
        assert bytes(row.data) in (b"", part)
        at += row.size
    assert at == len(whole)


def assert_page_opens(client: Client, who: User, upgrade: Upgrade) -> None:
    client.force_login(who)
    for query in ("", f"?line={upgrade.first_error_line}", "?line=1", "?errors=1", "?find=nowhere"):
        began = time.monotonic()
        page = client.get(f"/upgrades/{upgrade.pk}/{query}").content.decode()
        sys.stdout.write(f"the page {query} took {time.monotonic() - began:.2f} s and has {len(page)} characters\n")
        assert "of this log were left out" in page
        assert len(page) < 3_000_000
        assert time.monotonic() - began < 10
    assert "Error: at the very end" in client.get(f"/upgrades/{upgrade.pk}/").content.decode()
    assert "&lt;b&gt;red" in client.get(f"/upgrades/{upgrade.pk}/?line=1").content.decode()


def test_u3_a_supervisor_that_is_killed_in_the_middle_of_a_flood_is_followed_by_one_that_reads_on(
    server: SshServer,
    instance: Instance,
    connect: Connect,
    site: Site,
) -> None:
    upgrade = begin_upgrade(
        instance, connect, migrate_command="seq 4000000; while [ ! -e go ]; do sleep 0.1; done; seq 1000000"
    )
    command = [sys.executable, "-m", "tests.ssh.supervise_once", str(server.key_file)]
    with subprocess.Popen(command, cwd=BASE, env=environment(), stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: LogChunk.objects.filter(data=b"").exists(), 90)
        first.kill()
    (site.path / "releases" / "1.1" / "go").touch()
    subprocess.run(command, cwd=BASE, env=environment(), stdout=subprocess.DEVNULL, check=True, timeout=200)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.SUCCEEDED
    assert_kept_as_it_was(upgrade, host_log(site, upgrade))
