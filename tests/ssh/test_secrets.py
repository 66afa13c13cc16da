"""U8 on a real OpenSSH server: steps use and print their secrets, and neither rows nor `ps` nor files have them."""

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytest_django import Settings

from instances.models import Instance
from releasemgr.lib import clock
from releasemgr.lib.actors import COMMAND
from tests.ssh import test_engine
from tests.ssh.sshd import SshServer
from tests.ssh.test_engine import begin_upgrade, host_log, supervising
from tests.upgrades.sites import Site, wait_until
from tests.upgrades.test_secrets import everything_stored
from upgrades.choices import EndCode, Outcome, UpgradeState
from upgrades.contact import Connect
from upgrades.models import Upgrade
from upgrades.services.ends import run_way_back
from upgrades.services.logs import read_log
from upgrades.supervisor import Supervisor

pytestmark = [pytest.mark.ssh, pytest.mark.django_db(transaction=True)]
instance = test_engine.instance
TOKEN = "tok-5up3r-s3cret ü'$x"
KEY = "-----BEGIN KEY-----\nZGVwbG95LWtleQ==\n-----END KEY-----"
RECIPE = """\
title = "Ours"
version_command = 'cat current/VERSION'
secrets = ["REGISTRY_TOKEN", "DEPLOY_KEY"]

[[steps]]
name = "use"
title = "Use the secrets"
phase = "change"
run = "use.sh"
timeout = 60

[[way_back]]
name = "back"
title = "Go back"
undoes = "use"
run = "back.sh"
timeout = 60
"""
USE = r"""
printf '%s' "$REGISTRY_TOKEN" | cksum >"$SITE_PATH/token.cksum"
printf '%s' "$DEPLOY_KEY" | cksum >"$SITE_PATH/key.cksum"
ls -d "$BUNDLE/secrets" 2>/dev/null
rest=$REGISTRY_TOKEN
echo 'In pieces:'
while [ -n "$rest" ]; do
    tail=${rest#???}
    [ "$tail" != "$rest" ] || tail=
    printf '%s' "${rest%"$tail"}"
    sleep 0.5
    rest=$tail
done
echo ' and then whole:'
echo "$REGISTRY_TOKEN$REGISTRY_TOKEN"
echo "$DEPLOY_KEY" | sed 's/^/    /'
curl_config='header = "x"'
printf 'Error: %s is not accepted %s\n' "$REGISTRY_TOKEN" "$curl_config"
exit 1
"""
BACK = r"""
[ -e "$SITE_PATH/repaired" ] || { echo "no way back for $REGISTRY_TOKEN"; exit 1; }
echo "back with $REGISTRY_TOKEN"
"""


@pytest.fixture
def secrets(tmp_path: Path, settings: Settings) -> Path:
    folder = tmp_path / "recipes" / "symlink"
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE)
    (folder / "use.sh").write_text(USE)
    (folder / "back.sh").write_text(BACK)
    settings.RECIPE_DIRS = [tmp_path / "recipes"]
    settings.SECRETS_DIR = tmp_path / "secrets"
    settings.SECRETS_DIR.mkdir()
    (settings.SECRETS_DIR / "REGISTRY_TOKEN").write_text(f"{TOKEN}\n")
    (settings.SECRETS_DIR / "DEPLOY_KEY").write_text(f"{KEY}\n")
    return Path(settings.SECRETS_DIR)


@contextmanager
def watching_processes() -> Iterator[set[bytes]]:
    """The command lines of all processes of the machine, as `ps` shows them, again and again."""
    seen: set[bytes] = set()
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(process.read_bytes())
                except OSError:
                    continue
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def parts() -> list[bytes]:
    return [TOKEN.encode(), b"ZGVwbG95LWtleQ==", b"-----BEGIN KEY-----"]


def files_with_secrets(*folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if any(part in path.read_bytes() for part in parts())]


def cksum(text: str) -> str:
    return subprocess.run(["cksum"], input=text.encode(), capture_output=True, check=True).stdout.decode()


def test_u8_secrets_reach_the_steps_and_stay_in_no_row_no_command_line_and_no_file(
    server: SshServer, instance: Instance, connect: Connect, site: Site, secrets: Path
) -> None:
    upgrade = begin_upgrade(instance, connect)
    with watching_processes() as seen:
        Supervisor(connect).run(lasting=60)
    upgrade.refresh_from_db()
    assert (site.path / "token.cksum").read_text() == cksum(TOKEN)
    assert (site.path / "key.cksum").read_text() == cksum(KEY)
    assert upgrade.outcome == Outcome.NEEDS_A_PERSON
    stars = "*" * len(TOKEN.encode())
    assert upgrade.first_error == f"Error: {stars} is not accepted header = \"x\""  # fmt: skip
    whole, kept = host_log(site, upgrade), read_log(upgrade, 0, 10**6)
    assert TOKEN.encode() in whole
    assert len(kept) == len(whole)
    assert f"In pieces:\n{stars} and then whole:\n{stars}{stars}\n    ".encode() in kept
    stored = everything_stored().encode("latin-1", "replace") + everything_stored().encode()
    for part in parts():
        assert part not in stored
        assert part not in kept
        assert not [line for line in seen if part in line]
    assert any(b"run.sh" in line for line in seen)
    log = site.upgrade(upgrade.pk) / "log"
    assert files_with_secrets(site.path, server.home) == [log], "only what the step itself printed"
    assert not list(site.work.rglob("secrets"))
    assert log.stat().st_mode & 0o077 == 0 or site.work.stat().st_mode & 0o077 == 0

    (site.path / "repaired").touch()
    run_way_back(upgrade, actor=COMMAND, now=clock.now(), reason="Repaired.")
    with supervising(connect):
        wait_until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED, 40)
    upgrade.refresh_from_db()
    assert upgrade.outcome == Outcome.ROLLED_BACK
    assert f"back with {stars}\n".encode() in read_log(upgrade, 0, 10**6)
    assert len(read_log(upgrade, 0, 10**6)) == len(host_log(site, upgrade))
    assert files_with_secrets(site.path, server.home) == [log]
    assert not list(site.work.glob("incoming.*"))


def test_u8_a_way_back_is_not_begun_without_its_secrets(
    instance: Instance, connect: Connect, site: Site, secrets: Path
) -> None:
    upgrade = begin_upgrade(instance, connect)
    Supervisor(connect).run(lasting=60)
    (secrets / "DEPLOY_KEY").unlink()
    (site.path / "repaired").touch()
    upgrade.refresh_from_db()
    before = host_log(site, upgrade)
    run_way_back(upgrade, actor=COMMAND, now=clock.now(), reason="Repaired.")
    with supervising(connect):
        wait_until(lambda: Upgrade.objects.get().state == UpgradeState.ENDED, 40)
    upgrade.refresh_from_db()
    assert (upgrade.outcome, upgrade.end_code) == (Outcome.NEEDS_A_PERSON, EndCode.NOT_SENT_BACK)
    assert upgrade.end_values["text"].startswith("DEPLOY_KEY cannot be found.")
    assert host_log(site, upgrade) == before
