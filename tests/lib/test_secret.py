import stat
import threading
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key

from releasemgr.lib import secret
from releasemgr.lib.env import Env


def test_a_key_from_the_environment_is_used_and_nothing_is_written(tmp_path: Path) -> None:
    assert secret.secret_key(Env({"RELEASEMGR_SECRET_KEY": " given "}), tmp_path) == "given"
    assert list(tmp_path.iterdir()) == []


def test_without_one_a_key_is_made_once_and_kept_for_its_owner_alone(tmp_path: Path) -> None:
    var = tmp_path / "new" / "var"
    key = secret.secret_key(Env({}), var)
    assert len(key) >= 50
    assert secret.secret_key(Env({}), var) == key
    assert [file.name for file in var.iterdir()] == ["secret_key"]
    assert stat.S_IMODE((var / "secret_key").stat().st_mode) == 0o600


def test_processes_that_start_together_all_use_one_whole_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All have seen that there is no key before the first one writes."""
    together = threading.Barrier(8)
    make = get_random_secret_key

    def make_at_the_same_time() -> str:
        together.wait(timeout=10)
        return make()

    monkeypatch.setattr(secret, "get_random_secret_key", make_at_the_same_time)
    keys: list[str] = []
    threads = [threading.Thread(target=lambda: keys.append(secret.secret_key(Env({}), tmp_path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(keys) == 8
    assert set(keys) == {(tmp_path / "secret_key").read_text()}
    assert [file.name for file in tmp_path.iterdir()] == ["secret_key"]


def test_an_empty_key_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret_key").touch()
    with pytest.raises(ImproperlyConfigured, match="RELEASEMGR_SECRET_KEY"):
        secret.secret_key(Env({}), tmp_path)
