"""A network namespace with one wire to it, on which packets can be dropped. Needs root."""

import os
import subprocess


class Network:
    def __init__(self) -> None:
        number = os.getpid() % 16000
        self.name, self._wire = f"rmfault{number}", f"rmf{number}"
        first = f"10.231.{number // 64}.{number % 64 * 4}"
        octets, last = first.rsplit(".", 1)
        self.here, self.there = f"{octets}.{int(last) + 1}", f"{octets}.{int(last) + 2}"
        self._ip("netns", "add", self.name)
        self._ip("link", "add", self._wire, "type", "veth", "peer", "name", "wire", "netns", self.name)
        self._ip("addr", "add", f"{self.here}/30", "dev", self._wire)
        self._ip("link", "set", self._wire, "up")
        self._ip("-n", self.name, "addr", "add", f"{self.there}/30", "dev", "wire")
        for device in ("lo", "wire"):
            self._ip("-n", self.name, "link", "set", device, "up")

    @property
    def command(self) -> tuple[str, ...]:
        """What a command begins with that is to run inside."""
        return ("ip", "netns", "exec", self.name)

    def drop(self) -> None:
        """Nothing that is sent from inside arrives, and nobody is told."""
        self._ip("-n", self.name, "route", "add", "blackhole", f"{self.here}/32")

    def mend(self) -> None:
        subprocess.run(
            ["ip", "-n", self.name, "route", "del", "blackhole", f"{self.here}/32"], check=False, capture_output=True
        )

    def remove(self) -> None:
        self._ip("netns", "del", self.name)

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)
