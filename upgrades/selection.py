"""Which sites a person means: a filter, as an address has it, asked of each site (T9). Pure.

One value or several for each filter: a site is taken where any value of every filter holds. So
`customer=acme&customer=bolt&kind=test&version=4.1` is “all test sites of these two customers on 4.1”.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, urlencode

from builds.maturity import CHANNELS
from builds.versions import key_of, parse_version, release_of
from upgrades.plan import Code, Decision

PINNED, UNKNOWN = "pinned", "unknown"
KINDS = ("live", "test")
TARGETS = (*(channel.channel for channel in reversed(CHANNELS)), PINNED)
VERSION_EXAMPLES = "4.1 (all of 4.1), =4.1 (exactly), <4.1 (older than), unknown"
PROBLEM = re.compile(r"(P-)?[0-9]{1,18}", re.IGNORECASE | re.ASCII)
SHAPE = re.compile(r"(?P<sign>==?|<=?|>=?)?\s*(?P<version>.*?)(?P<star>\.\*)?")


class State(StrEnum):
    """What a site can be in at a time, several at once."""

    OFF_TARGET = "off-target"
    TONIGHT = "tonight"
    NEEDS_A_PERSON = "needs-a-person"
    HELD = "held"
    FROZEN = "frozen"
    PARKED = "parked"


class FilterRefused(ValueError):
    """`errors` has sentences by the name of the filter."""

    def __init__(self, errors: Mapping[str, Sequence[str]]) -> None:
        super().__init__(" ".join(text for texts in errors.values() for text in texts))
        self.errors = {name: list(texts) for name, texts in errors.items()}


@dataclass(frozen=True)
class Candidate:
    """A site as a filter sees it. `decision` is what the next night does to it; `owner` is its pin's, if any.

    `problems` are the numbers of the known problems of the version that it runs.
    """

    decision: Decision
    customer: str = ""
    customer_name: str = ""
    url: str = ""
    tags: frozenset[str] = frozenset()
    owner: str = ""
    held: bool = False
    frozen: bool = False
    problems: frozenset[int] = frozenset()

    @property
    def id(self) -> int:
        return self.decision.site.id

    @property
    def kind(self) -> str:
        return "live" if self.decision.site.live else "test"

    @property
    def target(self) -> str:
        """The channel that it follows by its own row, also where its pin will be over tonight."""
        channel = self.decision.site.channel
        return channel.channel if channel else PINNED

    @property
    def words(self) -> str:
        """Everything that a search looks at."""
        site = self.decision.site
        return "\n".join((site.slug, self.customer_name, site.host, self.url)).casefold()

    def in_state(self, state: State) -> bool:
        return STATES[state](self)


STATES: dict[State, Callable[[Candidate], bool]] = {
    State.OFF_TARGET: lambda one: one.decision.upgrades or one.decision.off_target,
    State.TONIGHT: lambda one: one.decision.upgrades,
    State.NEEDS_A_PERSON: lambda one: one.decision.site.needs_a_person is not None,
    State.HELD: lambda one: one.held,
    State.FROZEN: lambda one: one.frozen,
    State.PARKED: lambda one: any(check.code is Code.PARKED for check in one.decision.checks),
}


@dataclass(frozen=True)
class VersionTest:
    """“4.1”, “=4.1”, “<4.1” or “unknown”: what a version that a site reported is compared with.

    Without a sign a version of numbers alone means all that begin with them, its release candidates among them.
    """

    sign: str
    version: str

    @classmethod
    def read(cls, text: str) -> "VersionTest":
        """Raises ValueError with a sentence that says what is accepted."""
        if text.strip().lower() == UNKNOWN:
            return cls(UNKNOWN, "")
        shape = SHAPE.fullmatch(text.strip())
        sign, version = (shape["sign"] or "", shape["version"]) if shape else ("", "")
        if not shape or key_of(version) is None or (sign and shape["star"]):
            raise ValueError(f"“{text[:100]}” is not a version to look for. Accepted are {VERSION_EXAMPLES}.")
        return cls("=" if sign == "==" else sign, version)

    def __str__(self) -> str:
        return self.sign if self.sign == UNKNOWN else f"{self.sign}{self.version}"

    def takes(self, key: str | None) -> bool:
        """`key` sorts as the reported version does; None for a version that is unknown."""
        if self.sign == UNKNOWN or key is None:
            return self.sign == UNKNOWN and key is None
        than = key_of(self.version) or ""
        match self.sign:
            case "<":
                return key < than
            case "<=":
                return key <= than
            case ">":
                return key > than
            case ">=":
                return key >= than
            case "":
                return self._is_in_series(key) or key == than
            case _:
                return key == than

    def _is_in_series(self, key: str) -> bool:
        version = parse_version(self.version)
        if version.pre or version.dev is not None or version.post is not None or version.local:
            return False
        series = (version.epoch, *version.release)
        found = release_of(key)
        return (*found, *[0] * len(series))[: len(series)] == series


@dataclass(frozen=True)
class Criteria:
    """A filter that was read. What is empty lets every site pass."""

    words: tuple[str, ...] = ()
    customers: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    targets: frozenset[str] = frozenset()
    versions: tuple[VersionTest, ...] = ()
    states: tuple[State, ...] = ()
    owners: frozenset[str] = frozenset()
    problems: frozenset[int] = frozenset()

    def take(self, one: Candidate) -> bool:
        site = one.decision.site
        return (
            (not self.kinds or one.kind in self.kinds)
            and (not self.customers or one.customer in self.customers)
            and (not self.hosts or site.host in self.hosts)
            and (not self.tags or not self.tags.isdisjoint(one.tags))
            and (not self.targets or one.target in self.targets)
            and (not self.owners or one.owner in self.owners)
            and (not self.problems or not self.problems.isdisjoint(one.problems))
            and (not self.states or any(one.in_state(state) for state in self.states))
            and (not self.versions or any(test.takes(site.key) for test in self.versions))
            and (not self.words or all(word in one.words for word in self.words))
        )


FIELDS = ("q", "customer", "host", "tag", "kind", "target", "version", "state", "owner", "problem")


def criteria_of(values: Mapping[str, Iterable[str]]) -> Criteria:
    """Reads a filter; names that nothing has are not its business. Raises FilterRefused with all that is wrong."""
    given = {name: [text.strip() for text in texts if text.strip()] for name, texts in values.items()}
    errors = {name: [f"There is no filter “{name}”."] for name in given if name not in FIELDS}
    for name, known in (("kind", KINDS), ("target", TARGETS), ("state", tuple(State))):
        if wrong := [text for text in given.get(name, ()) if text not in known]:
            errors[name] = [f"“{text}” is not one of {', '.join(known)}." for text in wrong]
    if wrong := [text for text in given.get("problem", ()) if not PROBLEM.fullmatch(text)]:
        errors["problem"] = [f"“{text[:40]}” is not the number of a problem, such as P-118." for text in wrong]
    versions = []
    for text in given.get("version", ()):
        try:
            versions.append(VersionTest.read(text))
        except ValueError as fault:
            errors.setdefault("version", []).append(str(fault))
    if errors:
        raise FilterRefused(errors)
    return Criteria(
        words=tuple(" ".join(given.get("q", ())).casefold().split()),
        customers=frozenset(given.get("customer", ())),
        hosts=frozenset(given.get("host", ())),
        tags=frozenset(text.lower() for text in given.get("tag", ())),
        kinds=frozenset(given.get("kind", ())),
        targets=frozenset(given.get("target", ())),
        versions=tuple(versions),
        states=tuple(State(text) for text in given.get("state", ())),
        owners=frozenset(given.get("owner", ())),
        problems=frozenset(int(text.upper().removeprefix("P-")) for text in given.get("problem", ())),
    )


def read_query(query: str) -> dict[str, list[str]]:
    """The values of a filter as it stands in an address, which may come with its page."""
    page, mark, after = query.strip().partition("?")
    return parse_qs(after if mark and "=" not in page else query.strip())


def canonical(values: Mapping[str, Iterable[str]]) -> str:
    """The filters of an address in one order and each value once: equal for equal filters."""
    pairs = [(name, text) for name in FIELDS for text in sorted({one.strip() for one in values.get(name, ())})]
    return urlencode([(name, text) for name, text in pairs if text])
