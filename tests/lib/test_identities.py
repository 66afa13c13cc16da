"""Named keys, as the environment lists them."""

from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from releasemgr.lib.identities import AgentKey, KeyFile, KeyVariable, read_identities


def test_a_key_lies_in_a_file_in_an_agent_or_in_a_variable() -> None:
    places = ["deploy=/etc/keys/deploy", "bank = agent:/run/agent.sock#SHA256:abc=", "lab=env:LAB_KEY", "home=~/key"]

    assert read_identities("KEYS", places) == {
        "deploy": KeyFile(Path("/etc/keys/deploy")), "bank": AgentKey(Path("/run/agent.sock"), "SHA256:abc="),
        "lab": KeyVariable("LAB_KEY"), "home": KeyFile(Path("~/key").expanduser()),
    }  # fmt: skip


@pytest.mark.parametrize("written", ["deploy", "=/etc/key", "deploy=", "two words=/etc/key", "a/b=/etc/key"])
def test_what_is_not_understood_stops_the_start_and_names_the_setting(written: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"KEYS has .*It takes name=/path"):
        read_identities("KEYS", [written])


def test_a_name_stands_for_one_key() -> None:
    with pytest.raises(ImproperlyConfigured, match="names deploy twice"):
        read_identities("KEYS", ["deploy=/a", "deploy=/b"])
