"""U9: of each step the head and a rolling tail are kept, and gaps count what was left out, at any chunking."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from upgrades.log_index import LogIndex, Place
from upgrades.log_keeping import Changes, KeptLog, Limits, Stretch
from upgrades.log_lines import Cursor, Line, Piece, lines_from, read

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SMALL = Limits(head=20, tail=15, stretch=7, many=6, small=5)
LOGS = st.lists(st.sampled_from([b"\n", b"x", b"word ", b"\xff\x00", b"\xe2\x82\xac", b"y" * 30]), max_size=60).map(
    b"".join
)
PLACES = st.lists(st.integers(0, 700), max_size=12)


@dataclass
class Stored:
    """As the database would keep it."""

    rows: dict[int, bytes | Stretch] = field(default_factory=dict)

    def apply(self, changes: Changes) -> None:
        for offset in changes.dropped:
            assert isinstance(self.rows.pop(offset), bytes)
        for offset, more in changes.grown.items():
            before = self.rows[offset]
            assert isinstance(before, bytes)
            self.rows[offset] = before + more
        for offset, data in changes.new.items():
            assert offset not in self.rows
            self.rows[offset] = data
        for offset, gap in changes.gaps.items():
            assert not isinstance(self.rows.get(offset), bytes)
            self.rows[offset] = gap

    def stretches(self) -> list[Stretch]:
        return [
            row if isinstance(row, Stretch) else Stretch(offset, len(row), row.count(b"\n"))
            for offset, row in sorted(self.rows.items())
        ]

    def pieces(self, after: int = 0) -> list[Piece]:
        """As the rows are read."""
        found, before = [], 0
        for offset, row in sorted(self.rows.items()):
            if isinstance(row, Stretch):
                found.append(Piece(offset, NOON, b"", row.size, row.feeds, before))
            else:
                found.append(Piece(offset, NOON, row))
            before += row.feeds if isinstance(row, Stretch) else row.count(b"\n")
        return [piece for piece in found if piece.end > after]

    def find(self, number: int, log: bytes) -> Cursor:
        index = LogIndex(self.stretches(), ends_whole=log.endswith(b"\n"))
        place = index.find(number)
        if isinstance(place, Place):
            row = self.rows[place.offset]
            assert isinstance(row, bytes)
            return place.cursor(row)
        return place


def assert_covers(stored: Stored, log: bytes) -> None:
    """Head, gaps and tail are what came, without a hole and without an overlap."""
    at = 0
    for offset, row in sorted(stored.rows.items()):
        assert offset == at
        if isinstance(row, Stretch):
            assert row.feeds == log[at : row.end].count(b"\n")
            at = row.end
        else:
            assert row == log[at : at + len(row)]
            at += len(row)
    assert at == len(log)


@given(LOGS, PLACES, PLACES, PLACES, st.booleans())
def test_u9_what_is_kept_and_what_is_left_out_is_what_came(
    log: bytes, cuts: list[int], starts: list[int], crashes: list[int], known_before: bool
) -> None:
    """Whenever a step is heard of, and wherever another supervisor reads on from what is stored (U3)."""
    starts = sorted({start for start in starts if start <= len(log)})
    stored, told = Stored(), list(starts) if known_before else []
    kept = KeptLog(starts=told, limits=SMALL)
    ends = [0, *sorted({cut for cut in (*cuts, *starts) if 0 < cut < len(log)}), len(log)]
    for start, end in pairwise(ends):
        stored.apply(kept.add(log[start:end]))
        assert_covers(stored, log[:end])
        if end in starts and end not in told:
            told.append(end)
            kept.begin_step(end)
        if end in crashes:
            kept = KeptLog(stored.stretches(), told, SMALL)
            assert kept.size == end
    bounds = [0, *starts, len(log)]
    for start, end in pairwise(bounds):
        assert_head_and_tail_are_kept(stored, start, end)
    limit = SMALL.head + SMALL.tail + 2 * SMALL.stretch
    held = sum(len(row) for row in stored.rows.values() if isinstance(row, bytes))
    assert held <= limit * (len(starts) + 1)


def assert_head_and_tail_are_kept(stored: Stored, start: int, end: int) -> None:
    for row in stored.rows.values():
        if isinstance(row, Stretch) and start <= row.offset < end:
            assert row.offset >= start + SMALL.head
            assert min(row.end, end) <= max(end - SMALL.tail, start)


@given(LOGS, PLACES, st.integers(0, 700))
def test_u9_a_step_that_is_heard_of_late_keeps_what_is_still_there(log: bytes, cuts: list[int], start: int) -> None:
    stored, kept = Stored(), KeptLog(limits=SMALL)
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(log)}), len(log)]
    for place, (begin, end) in enumerate(pairwise(ends)):
        stored.apply(kept.add(log[begin:end]))
        if place == 1:
            kept.begin_step(start)
    assert_covers(stored, log)


def test_many_small_pieces_become_few_stretches() -> None:
    stored, kept = Stored(), KeptLog(limits=Limits(head=10_000, tail=10_000, many=10, small=100))
    for _ in range(5000):
        stored.apply(kept.add(b"x"))
    assert_covers(stored, b"x" * 5000)
    assert len(stored.rows) < 70


def test_200_megabytes_are_kept_in_eight() -> None:
    stored, kept, piece = Stored(), KeptLog(), (b"x" * 63 + b"\n") * 65_536
    for _ in range(50):
        stored.apply(kept.add(piece))
    (gap,) = [row for row in stored.rows.values() if isinstance(row, Stretch)]
    assert gap.size == 50 * len(piece) - 2 * len(piece)
    assert gap.feeds == gap.size // 64
    assert len(stored.rows) < 40


# How what is kept is read.


def keep(log: bytes, cuts: list[int]) -> Stored:
    stored, kept = Stored(), KeptLog(limits=SMALL)
    for start, end in pairwise([0, *sorted({cut for cut in cuts if 0 < cut < len(log)}), len(log)]):
        stored.apply(kept.add(log[start:end]))
    return stored


def assert_true(line: Line, log: bytes) -> None:
    """Its number and its bytes are those of the whole log; only its beginning or its end may be left out."""
    assert line.number == log[: line.offset].count(b"\n") + 1
    if line.gap:
        left_out = log[line.offset : line.offset + line.gap.size]
        assert line.gap.feeds == left_out.count(b"\n") > 0
        return
    whole = log[line.offset :].split(b"\n")[0]
    if line.skipped:
        assert line.size == len(whole)
    else:
        assert whole.startswith(line.data) if line.endless else line.data == whole


@given(LOGS, PLACES)
def test_u9_lines_around_a_gap_keep_their_numbers_and_the_rest_is_what_came(log: bytes, cuts: list[int]) -> None:
    stored, reached = keep(log, cuts), 0
    for line in lines_from(stored.pieces(), Cursor()):
        assert line.offset == reached
        assert_true(line, log)
        reached = line.after.offset
    assert reached in (len(log), len(log) + 1)


@given(LOGS, PLACES, st.integers(1, 4))
def test_u9_a_reader_who_follows_a_log_whose_middle_goes_meanwhile_sees_no_line_twice(
    log: bytes, cuts: list[int], limit: int
) -> None:
    stored, kept, cursor = Stored(), KeptLog(limits=SMALL), Cursor()
    seen: list[Line] = []
    ends = [0, *sorted({cut for cut in cuts if 0 < cut < len(log)}), len(log)]
    for start, end in pairwise(ends):
        stored.apply(kept.add(log[start:end]))
        reading = read(stored.pieces(cursor.offset), Cursor.parse(str(cursor)), limit=limit, over=False)
        seen, cursor = seen + reading.lines, reading.cursor
    while (reading := read(stored.pieces(cursor.offset), cursor, limit=limit, over=True)).lines:
        seen, cursor = seen + reading.lines, reading.cursor
    for line in seen:
        assert_true(line, log)
    assert [line.offset for line in seen[1:]] == [line.after.offset for line in seen[:-1]]


@given(LOGS, PLACES, st.integers(-1, 80))
def test_u9_a_line_is_found_by_its_number_also_behind_a_gap(log: bytes, cuts: list[int], number: int) -> None:
    stored = keep(log, cuts)
    found = stored.find(number, log)
    lines = list(lines_from(stored.pieces(), Cursor()))
    there = [line for line in lines if line.number == max(1, number) and not line.gap]
    if there:
        assert found == Cursor(there[0].offset, there[0].number)
    elif lines:
        assert found in [Cursor(line.offset, line.number) for line in lines]


def test_a_line_of_50_megabytes_is_held_in_part_and_its_length_is_said() -> None:
    stored, kept = Stored(), KeptLog()
    for _ in range(50):
        stored.apply(kept.add(b"x" * 1024 * 1024))
    stored.apply(kept.add(b"\nnext\n"))
    long, following = lines_from(stored.pieces(), Cursor())
    assert long.size == 50 * 1024 * 1024
    assert len(long.data) < 1024 * 1024
    assert long.is_cut
    assert (following.number, following.text) == (2, "next")
