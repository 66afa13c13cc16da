"""U8: a secret is hidden before anything is stored, wherever what a host sends is split."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upgrades.log_masks import MaskedStream, Secrets, can_be_hidden

SECRETS = st.lists(
    st.sampled_from([b"abab", b"ababa", b"aaaa", b"hunter2-hunter2", "pässwörd".encode(), b"one-line\nother line\n-\n"])
    | st.text("ab\n", min_size=4, max_size=9).map(str.encode),
    min_size=1,
    max_size=3,
)
NOISE = st.lists(st.sampled_from([b"a", b"b", b"\n", b"ab", b"hunter", b"hunter2-", b"x\xff", b"one-"]), max_size=20)
PLACES = st.lists(st.integers(0, 200), max_size=12)


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Secrets, and a log that has them, whole and in parts, among noise."""
    secrets = draw(SECRETS)
    parts = [b"".join(draw(NOISE))]
    for _ in range(draw(st.integers(0, 4))):
        parts += [draw(st.sampled_from(secrets)), b"".join(draw(NOISE))]
    return secrets, b"".join(parts)


def lines_of(secrets: list[bytes]) -> list[bytes]:
    return [line.strip() for value in secrets for line in value.split(b"\n") if len(line.strip().decode()) >= 4]


def assert_hidden(stored: bytes, log: bytes, secrets: list[bytes]) -> None:
    """Nothing of a secret is left, nothing else is gone, and each byte is in its place."""
    assert len(stored) == len(log)
    hidden = set()
    for line in lines_of(secrets):
        assert line not in stored
        at = log.find(line)
        while at >= 0:
            hidden |= set(range(at, at + len(line)))
            at = log.find(line, at + 1)
    for at, (before, after) in enumerate(zip(log, stored, strict=True)):
        assert after == (ord("*") if at in hidden else before) or (after == ord("*") and at >= len(log) - 20)


@given(logs(), PLACES)
def test_u8_no_secret_is_stored_however_it_is_split(made: tuple[list[bytes], bytes], cuts: list[int]) -> None:
    secrets, log = made
    stream, stored = MaskedStream(Secrets(secrets)), b""
    for start, end in pairwise([0, *sorted({cut for cut in cuts if 0 < cut < len(log)}), len(log)]):
        stored += stream.feed(log[start:end])
        assert not any(line in stored for line in lines_of(secrets))
    assert_hidden(stored + stream.finish(), log, secrets)


@given(logs(), PLACES, PLACES)
def test_u8_u3_a_killed_supervisor_reads_on_from_what_is_stored_and_nothing_is_lost_or_shown(
    made: tuple[list[bytes], bytes], cuts: list[int], kills: list[int]
) -> None:
    secrets, log = made
    known = Secrets(secrets)
    stored, at = b"", 0
    ends = [*sorted({cut for cut in (*cuts, *kills) if 0 < cut < len(log)}), len(log)]
    stream = MaskedStream(known)
    for end in ends:
        stored += stream.feed(log[at:end])
        at = end
        if end in kills:
            at = max(0, len(stored) - known.reach)
            stream = MaskedStream(known, len(stored) - at)
    stored += stream.feed(log[at:])
    assert_hidden(stored + stream.finish(), log, secrets)


def test_u8_a_secret_that_was_cut_off_at_the_end_is_hidden_too() -> None:
    secrets = Secrets([b"hunter2-hunter2"])
    stream = MaskedStream(secrets)
    assert stream.feed(b"it is hunter2-hun") == b"it is "
    assert stream.finish() == b"***********"
    assert secrets.hide_text("sh: hunter2-hunter2: not fou… hunter2-") == "sh: ***************: not fou… ********"


def test_what_may_begin_a_secret_is_given_once_it_does_not() -> None:
    stream = MaskedStream(Secrets([b"hunter2"]))
    assert stream.feed(b"h") == b""
    assert stream.feed(b"ello") == b"hello"
    assert stream.feed(b"") == b""


def test_without_secrets_everything_is_given_at_once() -> None:
    stream = MaskedStream(Secrets())
    assert (stream.feed(b"ab"), stream.feed(b"c"), stream.finish()) == (b"ab", b"c", b"")


def test_u8_where_the_secrets_are_not_known_any_more_nothing_is_shown() -> None:
    stream = MaskedStream(Secrets(everything=True))
    assert stream.feed(b"a line\nand") + stream.finish() == b"******\n***"


def test_u8_of_the_events_only_what_a_site_printed_is_hidden() -> None:
    secrets = Secrets([b"check", b"1.5 start"])
    events = b"1.5 start check 1 check 0\n2.0 no-version before sh: check: 4\n3 version after check\n"
    assert secrets.hide_in_events(events) == (
        b"1.5 start check 1 check 0\n2.0 no-version before sh: *****: 4\n3 version after *****\n"
    )


@pytest.mark.parametrize(
    ("value", "can"), [(b"abc", False), (b"abcd", True), (b"\n- \nab\n", False), ("üüü".encode(), False), (b"", False)]
)
def test_a_secret_has_a_line_of_at_least_four_characters(value: bytes, can: bool) -> None:
    assert can_be_hidden(value) is can
