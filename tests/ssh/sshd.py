"""A real OpenSSH server on the loopback, with keys of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PRIVILEGE_SEPARATION = Path("/run/sshd")


class SshServer:
    """Everything lies in one folder, also the home of the account, which is the one that runs the tests."""

    def __init__(
        self, folder: Path, options: tuple[str, ...] = (), key_type: str = "ed25519", within: tuple[str, ...] = ()
    ) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.port = _free_port()
        self.user = _account()
        self.key_file = _make_key(folder / "user_key")
        self._host_key_file = _make_key(folder / "host_key", key_type)
        self._options = options
        self._within = within
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host_key(self) -> str:
        return _public(self._host_key_file)

    def start(self) -> None:
        assert SSHD, "there is no sshd on this machine"
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(mode=0o755, exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(self._config())
        until = time.monotonic() + 15
        while not self._listens():
            assert time.monotonic() < until, (self.folder / "sshd.log").read_text()
            time.sleep(0.1)  # its port is still, or for a moment, somebody else's

    def stop(self) -> None:
        if self._process:
            self.thaw()
            for pid in [*self.sessions(), self._process.pid]:
                _signal(pid, signal.SIGTERM)
            self._process.wait(10)
            self._process = None

    def sessions(self) -> list[int]:
        """The server's processes that each carry a connection, or a part of one."""
        assert self._process
        found, parents = [], [self._process.pid]
        while parents:
            parents = [child for parent in parents for child in _children(parent) if _command(child).startswith("sshd")]
            found += parents
        return found

    def drop_connections(self) -> None:
        for pid in self.sessions():
            _signal(pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Connections stay open and nothing answers any more."""
        for pid in self.sessions():
            _signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        for pid in self.sessions():
            _signal(pid, signal.SIGCONT)

    def change_host_key(self, key_type: str = "ed25519") -> None:
        """Acts from the next start on."""
        self._host_key_file = _make_key(self.folder / f"host_key_{time.monotonic_ns()}", key_type)

    def _config(self) -> str:
        authorized = self.folder / "authorized_keys"
        authorized.write_text(_public(self.key_file) + "\n")
        return "\n".join(
            [
                *self._options,  # the first of two lines counts
                "ListenAddress 127.0.0.1",
                f"Port {self.port}",
                f"HostKey {self._host_key_file}",
                f"AuthorizedKeysFile {authorized}",
                f"PidFile {self.folder / 'sshd.pid'}",
                f"SetEnv HOME={self.home}",
                "StrictModes no",
                "PasswordAuthentication no",
                "KbdInteractiveAuthentication no",
                "UsePAM no",
                "UseDNS no",
                "PermitRootLogin prohibit-password",
                "MaxStartups 200",
                "",
            ]
        )

    def _listens(self) -> bool:
        """Starts it; by its own word, since a connection may be answered by another server on its port."""
        log = self.folder / "sshd.log"
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                [*self._within, SSHD or "sshd", "-D", "-e", "-f", str(self.folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stderr=file,
            )
        while self._process.poll() is None:
            if b"Server listening" in log.read_bytes():
                return True
            time.sleep(0.02)
        return False


def _account() -> str:
    return subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()


def _make_key(path: Path, key_type: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", key_type, "-N", "", "-C", "", "-f", str(path)], check=True)
    return path


def _public(key_file: Path) -> str:
    return " ".join(Path(f"{key_file}.pub").read_text().split()[:2])


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
