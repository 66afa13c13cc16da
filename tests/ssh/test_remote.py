"""FabricRemote against a real OpenSSH server."""

import hashlib
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from instances.host_keys import fingerprint
from tests.ssh.sshd import SshServer
from tests.upgrades.sites import FAR_AHEAD, WAIT_FOR_GO, Site, wait_until
from upgrades.contact import Connect, Follower, Frame, FrameKind, Ground, HostAddress, Remote
from upgrades.exceptions import (
    AlreadyBegun,
    ConnectionLost,
    HostKeyChanged,
    HostKeyUnknown,
    SignInRefused,
    SiteLocked,
    StartFailed,
    StopFailed,
    TooLate,
    Unreachable,
    VersionUnreadable,
)
from upgrades.host_check import HostClock, read_clocks
from upgrades.links import Limits, offered_host_key
from upgrades.recipes.bundle import build_bundle
from upgrades.recipes.journal import Journal, StepEnded
from upgrades.recipes.reading import load_recipe
from upgrades.recipes.verdict import Detail, Ending, judge
from upgrades.remote import fabric_connect
from upgrades.ssh_keys import one_key

pytestmark = pytest.mark.ssh
RECIPE = load_recipe("symlink")


def start(remote: Remote, site: Site, number: int = 1, not_after: int = FAR_AHEAD) -> Ground:
    ground = Ground(str(site.path), number)
    remote.start(ground, build_bundle(RECIPE, site.values), not_after=not_after)
    return ground


class Reader:
    """Collects what a follower brings, and counts its bytes as the next offsets."""

    def __init__(self) -> None:
        self.log = b""
        self.events = b""
        self.last: Frame | None = None

    def follow(self, remote: Remote, ground: Ground, *, until: FrameKind, seconds: float = 30) -> None:
        follower = remote.follow(ground, log_offset=len(self.log), events_offset=len(self.events))
        try:
            self.read(follower, until=until, seconds=seconds)
        finally:
            follower.close()

    def read(self, follower: Follower, *, until: FrameKind, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        self.last = None
        while getattr(self.last, "kind", None) is not until:
            assert time.monotonic() < end, f"no {until} in {seconds} seconds"
            select.select([follower], [], [], 0.5)
            for frame in follower.read():
                self.take(frame)

    def take(self, frame: Frame) -> None:
        if frame.kind is FrameKind.LOG:
            assert frame.offset == len(self.log)
            self.log += frame.data
        if frame.kind is FrameKind.EVENTS:
            assert frame.offset == len(self.events)
            self.events += frame.data
        self.last = frame


def test_a_whole_upgrade_over_ssh(remote: Remote, site: Site) -> None:
    artifact = Path(site.values["ARTIFACT"])
    site.values["ARTIFACT"] = remote.send_artifact(artifact, site.values["ARTIFACT_SHA256"])
    ground = start(remote, site)
    reader = Reader()
    reader.follow(remote, ground, until=FrameKind.ENDED)
    assert reader.last == Frame(FrameKind.ENDED, 0, b"completed\n")
    verdict = judge(Journal().feed(reader.events), "completed\n")
    assert verdict.ending is Ending.SUCCEEDED
    assert reader.log == (site.upgrade(1) / "log").read_bytes()
    assert site.current() == "releases/1.1"


def test_an_upgrade_stands_as_its_host_says(remote: Remote, site: Site) -> None:
    site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
    ground = Ground(str(site.path), 1)
    standing = remote.inspect(ground)
    assert (standing.begun, standing.running, standing.ended) == (False, False, False)
    assert abs(standing.clock - time.time()) < 10
    start(remote, site)
    standing = remote.inspect(ground)
    assert (standing.begun, standing.running, standing.ended) == (True, True, False)
    with pytest.raises(AlreadyBegun):
        start(remote, site)
    with pytest.raises(SiteLocked):
        start(remote, site, 2)
    (site.path / "go").touch()
    wait_until(lambda: not remote.inspect(ground).running)
    assert remote.inspect(ground).ended
    with pytest.raises(TooLate):
        start(remote, site, 3, not_after=1_000_000_000)


def test_a_host_tells_its_clock_without_any_site_on_it(connect: Connect, address: HostAddress) -> None:
    before = time.time()
    told = read_clocks([address, replace(address, name="web-2", port=1)], connect)

    clock, refusal = told["web-1"], told["web-2"]
    assert isinstance(clock, HostClock)
    assert before - 1 <= clock.says.timestamp() <= time.time()
    assert isinstance(refusal, Unreachable)


def test_a_host_confirms_a_stop_and_says_why_it_cannot(remote: Remote, site: Site) -> None:
    """R9."""
    with pytest.raises(StopFailed, match="upgrades/1"):
        remote.stop(Ground(str(site.path), 1))
    site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
    ground = start(remote, site)
    remote.stop(ground)
    (site.path / "go").touch()
    site.wait_for_end()
    assert site.verdict().detail is Detail.STOPPED


def test_what_a_host_prints_when_nothing_begins_is_told(remote: Remote, site: Site) -> None:
    with pytest.raises(StartFailed, match="nowhere"):
        remote.start(Ground(str(site.path / "nowhere"), 1), b"", not_after=FAR_AHEAD)
    with pytest.raises(StartFailed, match="nowhere"):
        remote.inspect(Ground(str(site.path / "nowhere"), 1))


def test_a_lost_connection_neither_stops_nor_repeats_a_step(
    server: SshServer, connect: Connect, address: HostAddress, site: Site
) -> None:
    """U3: the log is the same byte for byte, and no step ran twice."""
    site.values["MIGRATE_COMMAND"] = (
        "echo begins >>ran; i=0; while [ ! -e go ] && [ $i -lt 3000 ]; do echo line $((i += 1)); sleep 0.02; done"
    )
    reader = Reader()
    first = connect(address)
    ground = start(first, site)
    follower = first.follow(ground, log_offset=0, events_offset=0)
    while b"line 5\n" not in reader.log:
        reader.read(follower, until=FrameKind.LOG)
    server.drop_connections()
    with pytest.raises(ConnectionLost):
        reader.read(follower, until=FrameKind.ENDED)
    with pytest.raises(ConnectionLost):
        first.inspect(ground)
    first.close()

    second = connect(address)
    assert second.inspect(ground).running
    (site.path / "releases" / "1.1" / "go").touch()
    reader.follow(second, ground, until=FrameKind.ENDED)
    second.close()
    assert reader.log == (site.upgrade(1) / "log").read_bytes()
    assert reader.events == (site.upgrade(1) / "events").read_bytes()
    steps = [event.step for event in Journal().feed(reader.events) if isinstance(event, StepEnded)]
    assert steps == [step.name for step in RECIPE.steps]
    assert (site.path / "releases" / "1.1" / "ran").read_text() == "begins\n"


def test_a_follower_hears_a_beat_and_then_the_end(remote: Remote, site: Site) -> None:
    site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
    ground = start(remote, site)
    follower = remote.follow(ground, log_offset=0, events_offset=0)
    reader = Reader()
    reader.read(follower, until=FrameKind.BEAT)
    (site.path / "go").touch()
    reader.read(follower, until=FrameKind.ENDED)
    assert follower.read() == [], "after the end there is nothing more, and no complaint"
    follower.close()


def test_eight_upgrades_share_one_connection(remote: Remote, tmp_path: Path) -> None:
    sites = [Site(tmp_path / f"group-{n}" / "site") for n in range(8)]
    grounds = [start(remote, site) for site in sites]
    followers = [remote.follow(ground, log_offset=0, events_offset=0) for ground in grounds]
    for follower, site in zip(followers, sites, strict=True):
        reader = Reader()
        reader.read(follower, until=FrameKind.ENDED)
        assert reader.log == (site.upgrade(1) / "log").read_bytes()
        follower.close()


def test_the_version_is_what_the_site_says(remote: Remote, site: Site) -> None:
    assert remote.read_version(site.values, RECIPE.version_program, timeout=10) == "1.0"
    site.values["VERSION_COMMAND"] = "echo warming up >&2; echo ' v1.0 (ü) '"
    assert remote.read_version(site.values, RECIPE.version_program, timeout=10) == "v1.0 (ü)"


@pytest.mark.parametrize(
    ("command", "printed"),
    [
        ("echo no database >&2; exit 3", "no database"),
        ("true", "exit status 0"),
        ("sleep 60", "exit status 124"),
    ],
)
def test_a_version_that_is_not_told_is_said_with_what_was_printed(
    remote: Remote, site: Site, command: str, printed: str
) -> None:
    site.values["VERSION_COMMAND"] = command
    with pytest.raises(VersionUnreadable, match=printed):
        remote.read_version(site.values, RECIPE.version_program, timeout=1)
    assert remote.inspect(Ground(str(site.path), 1)).clock


def test_much_output_costs_little_and_a_child_that_stays_does_not_hold_the_answer(remote: Remote, site: Site) -> None:
    script = b"head -c 20000000 /dev/zero | tr '\\0' x >&2; sleep 20 & echo 1.0"
    began = time.monotonic()
    assert remote.read_version(site.values, script, timeout=10) == "1.0"
    assert time.monotonic() - began < 8


def test_an_artifact_is_sent_once(server: SshServer, remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "big.tar"
    path.write_bytes(os.urandom(20 * 1024 * 1024))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    there = Path(remote.send_artifact(path, sha256))
    assert there == server.home / ".releasemgr" / "artifacts" / sha256
    assert there.read_bytes() == path.read_bytes()
    first = there.stat()
    assert Path(remote.send_artifact(path, sha256)) == there
    assert there.stat().st_ino == first.st_ino
    assert [entry.name for entry in there.parent.iterdir()] == [sha256]


def test_an_artifact_whose_sending_broke_off_is_gone_on_with(server: SshServer, remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "big.tar"
    path.write_bytes(os.urandom(3 * 1024 * 1024))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    cache = server.home / ".releasemgr" / "artifacts"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / f"arriving.{sha256}").write_bytes(path.read_bytes()[:1_000_001])
    part = (cache / f"arriving.{sha256}").stat().st_ino
    there = Path(remote.send_artifact(path, sha256))
    assert there.read_bytes() == path.read_bytes()
    assert there.stat().st_ino == part


def test_an_artifact_with_other_bytes_is_not_kept(server: SshServer, remote: Remote, site: Site) -> None:
    with pytest.raises(StartFailed, match="did not arrive whole"):
        remote.send_artifact(Path(site.values["ARTIFACT"]), "0" * 64)
    assert list((server.home / ".releasemgr" / "artifacts").iterdir()) == []


def test_a_host_without_room_for_the_artifact_says_so(address: HostAddress, tmp_path: Path) -> None:
    """The command on the host ends while we are still sending; the connection lives on."""
    small = SshServer(tmp_path / "small", ('ForceCommand ulimit -f 1000; eval "$SSH_ORIGINAL_COMMAND"',))
    small.start()
    remote = fabric_connect(one_key(small.key_file))(replace(address, port=small.port, host_key=small.host_key))
    path = tmp_path / "big.tar"
    path.write_bytes(os.urandom(32 * 1024 * 1024))
    try:
        with pytest.raises(StartFailed):
            remote.send_artifact(path, hashlib.sha256(path.read_bytes()).hexdigest())
        assert list((small.home / ".releasemgr" / "artifacts").iterdir()) == []
        assert not remote.inspect(Ground(str(tmp_path), 1)).begun
    finally:
        remote.close()
        small.stop()


def test_the_key_that_a_host_offers_is_read_without_signing_in(server: SshServer, address: HostAddress) -> None:
    """U6"""
    key = offered_host_key(replace(address, host_key=""), one_key(server.key_file), Limits(connect=5)).key
    assert key == server.host_key
    shown = subprocess.run(
        ["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert fingerprint(key) == shown


def test_a_host_without_an_approved_key_is_refused(server: SshServer, connect: Connect, address: HostAddress) -> None:
    """U6"""
    with pytest.raises(HostKeyUnknown) as caught:
        connect(replace(address, host_key=""))
    assert caught.value.offered_key == server.host_key


@pytest.mark.parametrize("key_type", ["ed25519", "ecdsa", "rsa"])
def test_a_changed_host_key_is_refused(
    server: SshServer, connect: Connect, address: HostAddress, key_type: str
) -> None:
    """U6: also a key of another type."""
    server.stop()
    server.change_host_key(key_type)
    server.start()
    with pytest.raises(HostKeyChanged) as caught:
        connect(address)
    assert (caught.value.pinned, caught.value.offered_key) == (address.host_key, server.host_key)
    assert caught.value.pinned != caught.value.offered_key


@pytest.mark.parametrize("key_type", ["ecdsa", "rsa"])
def test_the_approved_key_is_asked_for_among_several(
    server: SshServer, connect: Connect, address: HostAddress, tmp_path: Path, key_type: str
) -> None:
    """U6: whatever type of key the host would rather offer."""
    options = (f"HostKey {server.folder / 'host_key'}",)
    several = SshServer(tmp_path / "several", options, key_type)
    several.start()
    try:
        there = replace(address, port=several.port, host_key=several.host_key)
        remote = fabric_connect(one_key(several.key_file))(there)
        assert remote.inspect(Ground(str(tmp_path), 1)).clock
        remote.close()
        lend = one_key(several.key_file)
        offered = offered_host_key(there, lend, Limits()).key
        assert offered == several.host_key, "a scan does not make it look like another host"
        assert offered_host_key(replace(there, host_key=""), lend, Limits()).key.startswith("ssh-ed25519 ")
    finally:
        several.stop()


def test_a_host_that_wants_a_password_too_is_not_given_one(address: HostAddress, tmp_path: Path) -> None:
    """U7: nobody is asked at a terminal."""
    strict = SshServer(tmp_path / "strict", ("PasswordAuthentication yes", "AuthenticationMethods publickey,password"))
    strict.start()
    try:
        with pytest.raises(SignInRefused, match="more than a key"):
            fabric_connect(one_key(strict.key_file))(replace(address, port=strict.port, host_key=strict.host_key))
    finally:
        strict.stop()


def test_a_key_that_the_host_does_not_know_is_refused(connect: Connect, address: HostAddress, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(stranger)], check=True)
    with pytest.raises(SignInRefused, match=address.user):
        fabric_connect(one_key(stranger))(address)
    with pytest.raises(SignInRefused, match="missing"):
        fabric_connect(one_key(tmp_path / "missing"))(address)


def test_nobody_listening_is_unreachable(connect: Connect, address: HostAddress) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    with pytest.raises(Unreachable, match="refuses connections"):
        connect(replace(address, port=port))


def test_a_name_that_nobody_knows_is_unreachable(connect: Connect, address: HostAddress) -> None:
    with pytest.raises(Unreachable, match=r"host\.invalid"):
        connect(replace(address, address="host.invalid"))


@pytest.fixture
def mute_port() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_server_that_says_nothing_does_not_hold_us(connect: Connect, address: HostAddress, mute_port: int) -> None:
    """U7"""
    began = time.monotonic()
    with pytest.raises(Unreachable, match="did not answer within 3 seconds"):
        connect(replace(address, port=mute_port))
    with pytest.raises(Unreachable, match="did not answer within 1 seconds"):
        offered_host_key(replace(address, port=mute_port), one_key(Path()), Limits(connect=1))
    assert time.monotonic() - began < 7


def test_a_server_that_stalls_does_not_hold_us(server: SshServer, address: HostAddress, site: Site) -> None:
    """U7: the connection stays open, and nothing answers any more."""
    remote = fabric_connect(one_key(server.key_file), Limits(answer=1.5))(address)
    ground = Ground(str(site.path), 1)
    assert not remote.inspect(ground).begun
    server.freeze()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"did not answer within 1\.5 seconds"):
        remote.inspect(ground)
    assert time.monotonic() - began < 4
    remote.close()
    assert time.monotonic() - began < 5


def freeze_when(server: SshServer, condition: Callable[[], bool]) -> threading.Thread:
    def freeze() -> None:
        wait_until(condition)
        server.freeze()

    freezer = threading.Thread(target=freeze)
    freezer.start()
    return freezer


def test_a_server_that_stalls_in_the_middle_of_a_command_does_not_hold_us(
    server: SshServer, address: HostAddress, site: Site
) -> None:
    """U7"""
    remote = fabric_connect(one_key(server.key_file), Limits(answer=1))(address)
    site.values["VERSION_COMMAND"] = f"touch {site.path}/asked; sleep 60"
    freezer = freeze_when(server, (site.path / "asked").exists)
    with pytest.raises(ConnectionLost, match="did not answer within"):
        remote.read_version(site.values, RECIPE.version_program, timeout=1)
    freezer.join()
    remote.close()


def test_a_stalled_server_does_not_hold_an_artifact(server: SshServer, address: HostAddress, tmp_path: Path) -> None:
    """U7: each piece is to be taken in time."""
    remote = fabric_connect(one_key(server.key_file), Limits(answer=1.5))(address)
    path = tmp_path / "big.tar"
    path.write_bytes(os.urandom(64 * 1024 * 1024))
    arriving = server.home / ".releasemgr" / "artifacts"
    freezer = freeze_when(server, lambda: arriving.is_dir() and any(arriving.iterdir()))
    with pytest.raises(ConnectionLost):
        remote.send_artifact(path, hashlib.sha256(path.read_bytes()).hexdigest())
    freezer.join()
    remote.close()


def test_a_silent_follower_is_a_lost_connection(server: SshServer, address: HostAddress, site: Site) -> None:
    """U7: a host beats every five seconds."""
    site.values["BACKUP_COMMAND"] = WAIT_FOR_GO
    remote = fabric_connect(one_key(server.key_file), Limits(silence=12))(address)
    ground = start(remote, site)
    follower = remote.follow(ground, log_offset=0, events_offset=0)
    reader = Reader()
    while b"$ backup\n" not in reader.log:
        reader.read(follower, until=FrameKind.LOG)
    server.freeze()
    with pytest.raises(ConnectionLost, match="silent for 12 seconds"):
        reader.read(follower, until=FrameKind.ENDED)
    remote.close()
    server.thaw()
    (site.path / "go").touch()
    site.wait_for_end()


def test_many_connections_at_once_do_not_disturb_each_other(
    server: SshServer, address: HostAddress, site: Site
) -> None:
    """A configuration that threads share fails for 3 to 5 of 200."""
    connect = fabric_connect(one_key(server.key_file), Limits(sign_in=60))

    def visit(_: int) -> bool:
        remote = connect(address)
        try:
            return remote.inspect(Ground(str(site.path), 1)).begun
        finally:
            remote.close()

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(visit, range(60))) == [False] * 60


def test_what_a_start_up_file_prints_is_no_answer(
    server: SshServer, connect: Connect, address: HostAddress, site: Site
) -> None:
    server.stop()
    noisy = SshServer(server.folder / "noisy", ('ForceCommand echo Welcome; eval "$SSH_ORIGINAL_COMMAND"',))
    noisy.start()
    remote = fabric_connect(one_key(noisy.key_file))(replace(address, port=noisy.port, host_key=noisy.host_key))
    try:
        ground = start(remote, site)
        reader = Reader()
        reader.follow(remote, ground, until=FrameKind.ENDED)
        assert reader.log == (site.upgrade(1) / "log").read_bytes()
        assert remote.inspect(ground).ended
        assert remote.send_artifact(Path(site.values["ARTIFACT"]), site.values["ARTIFACT_SHA256"])
    finally:
        remote.close()
        noisy.stop()
