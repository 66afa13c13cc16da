import subprocess
import time
from datetime import timedelta
from pathlib import Path

from releasemgr.demo import clocks, hosts
from releasemgr.demo.fleet import HOSTS, USER, Places


def seconds_on(places: Places, host: str) -> float:
    environment = hosts.environment(places.home(host), USER)
    command = ["/bin/sh", "-c", "date +%s.%N"]
    return float(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)


def test_every_host_lives_in_the_past_until_its_clock_is_given_back(tmp_path: Path) -> None:
    places = Places(tmp_path, {})
    for host in HOSTS:
        (places.home(host) / "bin").mkdir(parents=True)

    clocks.move(places, timedelta(days=-20, seconds=3))
    for host in HOSTS:
        before, past, after = time.time(), seconds_on(places, host), time.time()
        assert before <= past + 20 * 86400 - 3 <= after

    clocks.move(places, timedelta(0))
    before, present, after = time.time(), seconds_on(places, HOSTS[0]), time.time()
    assert before <= present <= after
    assert not (places.home(HOSTS[0]) / "bin" / "date").exists()
