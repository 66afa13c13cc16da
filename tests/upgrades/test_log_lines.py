"""U9: logs hold what was printed, and no line is lost or doubled, wherever the bytes were split (U3)."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upgrades import log_lines
from upgrades.log_index import LogIndex
from upgrades.log_keeping import Stretch
from upgrades.log_lines import (
    LONGEST,
    LONGEST_BYTES,
    Cursor,
    Line,
    Piece,
    lines_from,
    read,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
LOGS = st.lists(
    st.sampled_from(
        [b"\n", b"\r", b"plain", b"\xc3\xa9", b"\xe2\x82\xac", b"\xf0\x9f\x9a\x80", b"\xff", b"\x1b[31m", b"\x1b[0m",
         b"\x1b]0;title\x07", b"<script>", b"\x00", b"", b"x" * 70]
    ) | st.binary(max_size=12),
    max_size=40,
).map(b"".join)  # fmt: skip


def pieces(log: bytes, *cuts: int) -> list[Piece]:
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(log)}), len(log)]
    return [Piece(a, NOON + timedelta(seconds=n), log[a:b]) for n, (a, b) in enumerate(pairwise(ends))]


def index_of(log: bytes, *cuts: int) -> LogIndex:
    stretches = [Stretch(one.offset, len(one.data), one.data.count(b"\n")) for one in pieces(log, *cuts) if one.data]
    return LogIndex(stretches, ends_whole=log.endswith(b"\n"))


def find_line(log: bytes, cuts: list[int], number: int) -> Cursor:
    index = index_of(log, *cuts)
    place = index.find(number)
    if isinstance(place, Cursor):
        return place
    (piece,) = [one for one in pieces(log, *cuts) if one.offset == place.offset]
    return place.cursor(piece.data)


def line(data: bytes, *, whole: bool = True) -> Line:
    return Line(1, 0, NOON, data, whole)


def shown(data: bytes) -> str:
    return str(line(data).markup)


# Lines and cursors.


@given(LOGS, st.lists(st.integers(0, 400), max_size=12), st.lists(st.integers(0, 400), max_size=8), st.integers(1, 5))
def test_u3_polling_at_any_moments_gives_the_same_lines_as_reading_at_once(
    log: bytes, cuts: list[int], moments: list[int], limit: int
) -> None:
    at_once = read(pieces(log), Cursor(), limit=10_000, over=True)
    cursor, polled = Cursor(), []
    for size in [*sorted(min(moment, len(log)) for moment in moments), *[len(log)] * (len(log) + 2)]:
        so_far = pieces(log[:size], *cuts)
        reading = read(so_far, Cursor.parse(str(cursor)), limit=limit, over=size == len(log))
        polled += reading.lines
        cursor = reading.cursor

    assert [(one.number, one.offset, one.data, one.text) for one in polled] == [
        (one.number, one.offset, one.data, one.text) for one in at_once.lines
    ]
    assert [one.number for one in polled] == list(range(1, len(polled) + 1))


@given(LOGS, st.lists(st.integers(0, 400), max_size=12))
def test_the_lines_are_the_bytes_between_the_line_feeds(log: bytes, cuts: list[int]) -> None:
    found = [one.data for one in lines_from(pieces(log, *cuts), Cursor())]

    expected = log.split(b"\n")
    assert found == (expected if expected[-1] else expected[:-1])
    assert index_of(log, *cuts).lines == len(found)


@given(LOGS, st.lists(st.integers(0, 400), max_size=12), st.integers(1, 12))
def test_a_cursor_is_found_by_the_number_of_its_line(log: bytes, cuts: list[int], number: int) -> None:
    everything = list(lines_from(pieces(log), Cursor()))
    found = find_line(log, cuts, number)

    assert [one.number for one in lines_from(pieces(log, *cuts), found)] == [
        one.number for one in everything if one.number >= found.number
    ]
    if number <= len(everything):
        assert found == Cursor(everything[number - 1].offset, number)


def test_a_line_under_way_is_shown_but_not_passed() -> None:
    reading = read(pieces(b"one\ntw"), Cursor(), limit=10, over=False)

    assert [one.text for one in reading.lines] == ["one"]
    assert reading.rest is not None
    assert (reading.rest.text, reading.rest.number) == ("tw", 2)
    assert reading.cursor == Cursor(4, 2)
    assert not reading.more


def test_a_line_under_way_that_ends_within_a_character_shows_the_character_later() -> None:
    assert line("né".encode()[:2], whole=False).text == "n"
    assert line("né".encode()[:2]).text == "n\ufffd"


def test_a_reply_is_limited_and_says_that_there_is_more() -> None:
    reading = read(pieces(b"1\n2\n3\n"), Cursor(), limit=2, over=True)

    assert [one.text for one in reading.lines] == ["1", "2"]
    assert reading.more
    assert not read(pieces(b"1\n2\n"), Cursor(), limit=2, over=True).more


def test_bytes_after_the_end_are_held_back() -> None:
    reading = read(pieces(b"step one\n$ two\n", 4), Cursor(), limit=10, over=False, end=9)

    assert [one.text for one in reading.lines] == ["step one"]
    assert (reading.cursor, reading.rest) == (Cursor(9, 2), None)


def test_a_line_has_the_moment_at_which_its_first_byte_was_read() -> None:
    first, second, third = lines_from(pieces(b"one\ntwo\nthree\n", 2, 4), Cursor())

    assert [one.at.second for one in (first, second, third)] == [0, 2, 2]


@pytest.mark.parametrize("text", ["", "5", "-1-1", "1-0", "1-1-1", "a-1", "1-١", "9" * 20 + "-1", "1-1\n"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        Cursor.parse(text)


# What a line looks like.


@given(LOGS)
def test_u9_markup_never_holds_anything_but_text_and_our_spans(log: bytes) -> None:
    for one in lines_from(pieces(log), Cursor()):
        bare = re.sub(r'<span class="[a-zB -]*">|</span>', "", str(one.markup))
        assert "<" not in bare
        assert ">" not in bare
        assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", bare)


@given(LOGS | st.text().map(str.encode))
def test_a_line_without_control_characters_looks_the_same_when_it_is_read_fast(log: bytes) -> None:
    for one in lines_from(pieces(log), Cursor()):
        assert one.parts == log_lines._styled(log_lines._last_state(one.data, one.whole))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'<script>alert("1")</script>', "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;"),
        (b"\x1b[31m<b>&amp;\x1b[0m", '<span class="a-r">&lt;b&gt;&amp;amp;</span>'),
        (b'\x1b[31"onclick=x m', "nclick=x m"),
        (b"\x1b]8;;https://evil.example/\x07link\x1b]8;;\x07", "link"),
        (b"<\x1b[31mscript>", '&lt;<span class="a-r">script&gt;</span>'),
        (b"a\x00b\x07c\x7fd", "abcd"),
        (b"\x1bP1;2|secret\x1b\\shown", "shown"),
        ("\u202egnp.exe".encode(), "\ufffdgnp.exe"),
        ("\u009b31mx".encode(), "31mx"),
        (b"\x1b[?25l\x1b[2Jx\x1b(By", "xy"),
        (b"\x1b[" + b"9" * 5000 + b"mx", "x"),
        (b"tab\tstays", "tab\tstays"),
    ],
)
def test_u9_hostile_output_is_shown_and_does_nothing(data: bytes, expected: str) -> None:
    assert shown(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x1b[31mred\x1b[0m plain", '<span class="a-r">red</span> plain'),
        (b"\x1b[1;32mOK\x1b[m", '<span class="a-g a-B">OK</span>'),
        (b"\x1b[1m\x1b[2mx\x1b[22my", '<span class="a-B a-d">x</span>y'),
        (b"\x1b[38;5;1mx\x1b[33my", 'x<span class="a-y">y</span>'),
        (b"\x1b[38;2;1;31;31;34mx", '<span class="a-b">x</span>'),
        (b"\x1b[48;5;31mx", "x"),
        (b"\x1b[38:2::1:2:3mx", "x"),
        (b"\x1b[91mx\x1b[39my", '<span class="a-r">x</span>y'),
        (b"\x1b[90mx", '<span class="a-d">x</span>'),
        (b"\x1b[31mto the end", '<span class="a-r">to the end</span>'),
        (b"x\x1b[3", "x"),
        (b"x\x1b", "x"),
    ],
)
def test_u9_colours_become_classes(data: bytes, expected: str) -> None:
    assert shown(data) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"10 %\r50 %\r100 %", "100 %"),
        (b"10 %\r50 %\r", "50 %"),
        (b"windows\r", "windows"),
        (b"10 %\x1b[2K\x1b[1G50 %", "50 %"),
        (b"10 %\x1b[2K\r50 %", "50 %"),
        (b"\r\r", ""),
    ],
)
def test_progress_is_its_last_state(data: bytes, expected: str) -> None:
    assert line(data).text == expected


def test_invalid_utf_8_is_shown_as_a_replacement() -> None:
    assert line(b"caf\xe9 \xff").text == "caf\ufffd \ufffd"


def test_a_very_long_line_is_cut_and_says_so() -> None:
    long = line(b"x" * (LONGEST + 1))

    assert long.is_cut
    assert len(str(long.markup)) == LONGEST
    assert not line(b"x" * LONGEST).is_cut
    assert line(b"\x1b[1m" * LONGEST_BYTES).is_cut


@pytest.mark.parametrize(
    "data",
    [
        b"django.db.utils.IntegrityError: column contains null values",
        b"\x1b[1;31mERROR\x1b[0m  could not connect",
        b"pg_restore: error: could not execute query",
        b"FAIL  GET /login/",
        b"tar: x: Error: broken",
        b"[CRITICAL] down",
    ],
)
def test_a_line_that_begins_as_an_error_is_one(data: bytes) -> None:
    assert line(data).is_error


@pytest.mark.parametrize("data", [b"0 errors", b"INFO  no error: fine", b"ERRORS 0", b"failover done", b"x" * 9000])
def test_a_line_that_only_speaks_of_errors_is_none(data: bytes) -> None:
    assert not line(data).is_error
