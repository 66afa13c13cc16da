"""What a host answers that refuses to begin."""

import pytest

from upgrades.answers import NOBODY_KNOWS, refuse
from upgrades.exceptions import AlreadyBegun, OtherSite, SiteLocked, TooLate


@pytest.mark.parametrize(
    ("line", "kind", "text"),
    [
        ("locked", SiteLocked, NOBODY_KNOWS),
        ("locked ann, process 41: sh deploy.sh", SiteLocked, "ann, process 41: sh deploy.sh"),
        ("locked ann, process 41: deploy --password=hunter2", SiteLocked, "ann, process 41: deploy --password=***"),
        ("already-begun", AlreadyBegun, "web-1 answers: already-begun."),
        ("too-late", TooLate, "web-1 answers: too-late."),
    ],
)
def test_a_refusal_is_raised_in_words(line: str, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind) as refused:
        refuse(line, "web-1")
    assert str(refused.value) == text


def test_the_mark_of_another_site_is_kept() -> None:
    with pytest.raises(OtherSite) as refused:
        refuse("other-site 12 7 acme-live", "web-1")
    assert refused.value.mark == "12 7 acme-live"


@pytest.mark.parametrize("line", ["begun", "", "lockedness", "sh: 1: no such file"])
def test_another_answer_refuses_nothing(line: str) -> None:
    refuse(line, "web-1")
