"""The words between the supervisor and a host."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.host_keys import fingerprint
from upgrades.contact import Frame, FrameKind, FrameReader

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
STREAM = b"Welcome\nL 0 6\nhello\nE 12 4\nx y\nB 0 0\nD 0 10\ncompleted\n"
FRAMES = [
    Frame(FrameKind.LOG, 0, b"hello\n"),
    Frame(FrameKind.EVENTS, 12, b"x y\n"),
    Frame(FrameKind.BEAT, 0, b""),
    Frame(FrameKind.ENDED, 0, b"completed\n"),
]


def test_a_fingerprint_is_shown_as_openssh_shows_it() -> None:
    """U6; that of github.com, which is published."""
    assert fingerprint(KEY) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        "ssh-ed25519 not base64!",
        "ssh-rsa " + KEY.split()[1],
        "ssh-ed25519 AAAA",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5",
        KEY + " comment",
        f"web-1 {KEY}",
    ],
)
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"host key|base64"):
        fingerprint(key)


@given(st.lists(st.integers(min_value=0, max_value=len(STREAM)), max_size=6))
def test_frames_are_the_same_in_pieces_of_any_size(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    reader = FrameReader()
    frames = [frame for start, end in pairwise(places) for frame in reader.feed(STREAM[start:end])]
    assert frames == FRAMES


def test_half_a_frame_is_not_handed_out() -> None:
    assert FrameReader().feed(b"L 0 600\nhello\n") == []
