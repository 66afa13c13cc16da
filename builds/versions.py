"""Versions parse and order by PEP 440 (R1), in Python and, through a sort key, in the database."""

from packaging.version import InvalidVersion, Version

from builds.exceptions import VersionRefused

LONGEST = 100  # characters; keeps the sort key within its column
ACCEPTED = f"a PEP 440 version of at most {LONGEST} characters, such as 4.2.107, 2026.11.23, 5.0rc1 or 5.0.0-beta.2"


def parse_version(text: str) -> Version:
    """Raises ValueError with a sentence that says what is accepted."""
    try:
        if len(text.strip()) > LONGEST:
            raise InvalidVersion
        return Version(text.strip())
    except InvalidVersion as error:
        raise ValueError(f"“{text[:LONGEST]}” is not a version. Accepted is {ACCEPTED}.") from error


def version_key(version: Version) -> str:
    """A text that sorts, byte by byte, as the version does. Equal for two spellings of one version."""
    release = "".join(f".{_number(part)}" for part in _without_trailing_zeros(version.release))
    return f"{_number(version.epoch)}{release}!{_pre(version)}{_post(version)}{_dev(version)}{_local(version)}"


def key_of_named(text: str) -> str:
    """The sort key of a version that a person names; it need not be registered. Raises VersionRefused."""
    try:
        return version_key(parse_version(text))
    except ValueError as error:
        raise VersionRefused(str(error)) from error


def key_of(text: str) -> str | None:
    """The sort key of a version that a site reported; None where it does not parse (P10)."""
    try:
        return version_key(parse_version(text))
    except ValueError:
        return None


def release_of(key: str) -> tuple[int, ...]:
    """The epoch and the release numbers of the version that has this sort key, without zeros at its end."""
    return tuple(int(part[3:]) for part in key.partition("!")[0].split("."))


def _number(value: int) -> str:
    digits = str(value)
    return f"{len(digits):03}{digits}"


def _without_trailing_zeros(release: tuple[int, ...]) -> tuple[int, ...]:
    while len(release) > 1 and release[-1] == 0:
        release = release[:-1]
    return release


def _pre(version: Version) -> str:
    if version.pre:
        letter, number = version.pre
        return f"1{letter}{_number(number)}"
    only_dev = version.dev is not None and version.post is None
    return "0" if only_dev else "2"


def _post(version: Version) -> str:
    return "0" if version.post is None else f"1{_number(version.post)}"


def _dev(version: Version) -> str:
    return "1" if version.dev is None else f"0{_number(version.dev)}"


def _local(version: Version) -> str:
    if version.local is None:
        return "0"
    return "1" + "".join(_local_part(part) for part in version.local.split("."))


def _local_part(part: str) -> str:
    return f".1{_number(int(part))}" if part.isdigit() else f".0{part}!"
