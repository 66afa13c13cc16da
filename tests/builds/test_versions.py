"""R1: versions parse and order by PEP 440, in Python and in the database."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from builds.models import Build
from builds.versions import LONGEST, key_of, parse_version, version_key
from tests.factories import make_build

numbers = st.one_of(st.integers(0, 12), st.sampled_from([99, 100, 2026, 10**20]))


@st.composite
def versions(draw: st.DrawFn) -> str:
    """Every part that PEP 440 knows, few values each, so that equal and nearly equal ones meet often."""
    epoch = draw(st.sampled_from(["", "", "1!"]))
    release = ".".join(str(part) for part in draw(st.lists(numbers, min_size=1, max_size=4)))
    pre = draw(st.sampled_from(["", "", "a1", "b2", "rc1", "-beta.2", "rc10"]))
    post = draw(st.sampled_from(["", "", ".post1", ".post10"]))
    dev = draw(st.sampled_from(["", "", ".dev0", ".dev3"]))
    local = draw(st.sampled_from(["", "", "", "+1", "+1.abc", "+abc", "+abd.2", "+10"]))
    return f"{epoch}{release}{pre}{post}{dev}{local}"


@given(versions(), versions())
@settings(max_examples=500)
def test_r1_keys_order_as_the_versions_do(one: str, other: str) -> None:
    a, b = Version(one), Version(other)

    assert (version_key(a) < version_key(b)) == (a < b)
    assert (version_key(a) == version_key(b)) == (a == b)


@given(versions())
def test_r1_every_key_fits_its_column(version: str) -> None:
    assert len(version_key(Version(version))) <= 400


@pytest.mark.parametrize(
    "text", ["1." * 49 + "1", "1." * 40 + "0rc1.post1.dev1", "9" * LONGEST, "1+" + "a." * 48 + "a"]
)
def test_r1_the_longest_versions_have_keys_that_fit(text: str) -> None:
    assert len(version_key(parse_version(text))) <= 400


@pytest.mark.parametrize("text", ["4.2.107", "2026.11.23", "5.0rc1", "5.0.0-beta.2", " 4.2.107\n"])
def test_r1_takes_what_the_rule_names(text: str) -> None:
    assert parse_version(text) == Version(text)


@pytest.mark.parametrize("text", ["", "banana", "4.2.x", "4,2", "v", "1.0\x00", "1." * 60 + "1"])
def test_r1_a_refusal_says_what_is_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a version\. Accepted is a PEP 440 version .*4\.2\.107"):
        parse_version(text)


def test_r1_two_spellings_have_one_key() -> None:
    assert key_of("1.0") == key_of("1.0.0") == key_of("v1")
    assert key_of("5.0.0-beta.2") == key_of("5.0b2")


def test_p10_what_does_not_parse_has_no_key() -> None:
    assert key_of("<html>502 Bad Gateway</html>") is None


@pytest.mark.django_db
def test_r1_the_database_orders_by_version_and_not_by_text() -> None:
    for version in ("4.10", "4.9", "4.10rc1", "4.10.dev1", "4.10.post1", "4.10a2", "1!0.1", "4.10+local"):
        make_build(version)

    newest_first = list(Build.objects.newest_first().values_list("version", flat=True))

    assert newest_first == sorted(newest_first, key=Version, reverse=True)
