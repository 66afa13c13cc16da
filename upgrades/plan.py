"""What will happen to every site, and why: a pure function of facts and a time (P1).

The page Tonight, the sentence on each site, every preview and the night itself ask this one function. It imports
neither Django nor the models; `upgrades.services` gathers the facts, `upgrades.sentences` words the codes.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from builds.maturity import BuildFacts, Maturity, channel_heads


class Code(StrEnum):
    """Why a site gets what it gets (P2)."""

    UPGRADE = "upgrade"
    VERSION_UNKNOWN = "version_unknown"
    UP_TO_DATE = "up_to_date"
    AHEAD = "ahead"
    NO_BUILD = "no_build"
    TARGET_WITHDRAWN = "target_withdrawn"
    QUARANTINED = "quarantined"
    ARTIFACT_MISSING = "artifact_missing"
    SMOKE_FAILED = "smoke_failed"
    DOWNGRADE_REFUSED = "downgrade_refused"
    NEEDS_A_PERSON = "needs_a_person"
    HOST_DISABLED = "host_disabled"
    HOST_KEY = "host_key"
    ALREADY_RUNNING = "already_running"


class Rule(StrEnum):
    """The rules looked at, in the order in which the sentence names them (P2)."""

    VERSION = "version"
    TARGET = "target"
    BUILD = "build"
    DIRECTION = "direction"
    STANDING = "standing"
    HOST = "host"
    RUNNING = "running"


@dataclass(frozen=True)
class SiteFacts:
    """One site as the plan sees it. Exactly one of `channel` and `pin` is set (T1)."""

    id: int
    slug: str
    live: bool
    channel: Maturity | None
    pin: int | None
    reported: str
    key: str | None
    host: str
    host_enabled: bool = True
    host_key_trusted: bool = True
    running: int | None = None
    needs_a_person: int | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that the plan depends on. `running` and `needs_a_person` name upgrades by number."""

    sites: tuple[SiteFacts, ...]
    builds: Mapping[int, BuildFacts]


@dataclass(frozen=True)
class Check:
    """One rule that was looked at. `code` is why the site may not move; None lets it. `values` are for the words."""

    rule: Rule
    code: Code | None = None
    values: Mapping[str, str | int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        return self.code is None


@dataclass(frozen=True)
class Decision:
    """What happens to one site. `to` is the build that its target means, also where it does not go there now.

    `checks` holds every rule looked at, in order; the first that did not pass decided. All reasons that hold are
    kept, also several of one rule; `code` is the first.
    """

    site: SiteFacts
    code: Code
    to: BuildFacts | None
    checks: tuple[Check, ...]

    @property
    def upgrades(self) -> bool:
        return self.code is Code.UPGRADE

    @property
    def deciding(self) -> Check | None:
        return next((check for check in self.checks if not check.passed), None)

    @property
    def off_target(self) -> bool:
        """Whether the site runs something older than its target means, and stays there."""
        settled = (Code.UPGRADE, Code.UP_TO_DATE, Code.AHEAD, Code.NO_BUILD)
        return self.code not in settled


def plan(facts: Facts, at: datetime) -> list[Decision]:
    """One decision for each site, in the order in which they run: test sites first, then by name (P1).

    `at` is when the night starts.
    """
    heads = channel_heads(facts.builds.values())
    ordered = sorted(facts.sites, key=lambda site: (site.live, site.slug))
    return [decide(site, facts.builds, heads, at) for site in ordered]


def decide(
    site: SiteFacts,
    builds: Mapping[int, BuildFacts],
    heads: Mapping[Maturity, BuildFacts | None],
    at: datetime,
) -> Decision:
    """The decision for one site. `at` is when its turn comes."""
    to = heads[site.channel] if site.channel else builds[site.pin or 0]
    checks = tuple(check for look in LOOKS for check in look(site, to))
    reasons = [check.code for check in checks if check.code]
    return Decision(site, reasons[0] if reasons else Code.UPGRADE, to, checks)


def _checks(rule: Rule, values: Mapping[str, str | int], *faults: tuple[bool, Code]) -> list[Check]:
    """One check for each fault that holds, or the one that lets the site move."""
    found = [Check(rule, code, values) for holds, code in faults if holds]
    return found or [Check(rule, None, values)]


def _version(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    return _checks(Rule.VERSION, {"reported": site.reported}, (site.key is None, Code.VERSION_UNKNOWN))


def _target(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    return [Check(Rule.TARGET, _target_code(site, to), _target_values(site, to))]


def _target_code(site: SiteFacts, to: BuildFacts | None) -> Code | None:
    if to is None:
        return Code.NO_BUILD
    if site.key == to.key:
        return Code.UP_TO_DATE
    ahead = site.channel and site.key is not None and site.key > to.key
    return Code.AHEAD if ahead else None


def _target_values(site: SiteFacts, to: BuildFacts | None) -> dict[str, str | int]:
    """`from` is empty while the version is unknown: what cannot be read is not called older."""
    return {
        "channel": site.channel.channel if site.channel else "",
        "to": to.version if to else "",
        "from": site.reported if site.key is not None else "",
    }


def _build(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    """A channel never resolves to a build that fails here, but for a missing artefact; a pin may (R3, R9)."""
    if to is None:
        return []
    return _checks(
        Rule.BUILD,
        {"to": to.version},
        (to.withdrawn, Code.TARGET_WITHDRAWN),
        (to.quarantined, Code.QUARANTINED),
        (not to.artifact_present, Code.ARTIFACT_MISSING),
        (not to.smoke_passed, Code.SMOKE_FAILED),
    )


def _direction(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    """A pin that is older than what runs is a downgrade, and refused (T4)."""
    if to is None or site.key is None or site.key <= to.key or site.channel:
        return []
    return [Check(Rule.DIRECTION, Code.DOWNGRADE_REFUSED, {"to": to.version, "from": site.reported})]


def _standing(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    if site.needs_a_person is None:
        return [Check(Rule.STANDING)]
    return [Check(Rule.STANDING, Code.NEEDS_A_PERSON, {"upgrade": site.needs_a_person})]


def _host(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    return _checks(
        Rule.HOST,
        {"host": site.host},
        (not site.host_enabled, Code.HOST_DISABLED),
        (not site.host_key_trusted, Code.HOST_KEY),
    )


def _running(site: SiteFacts, to: BuildFacts | None) -> list[Check]:
    if site.running is None:
        return []
    return [Check(Rule.RUNNING, Code.ALREADY_RUNNING, {"upgrade": site.running})]


LOOKS: tuple[Callable[[SiteFacts, BuildFacts | None], list[Check]], ...] = (
    _version, _target, _build, _direction, _standing, _host, _running,
)  # fmt: skip


def counts(decisions: Iterable[Decision]) -> dict[Code, int]:
    """How many sites get each code, in the order of Code."""
    found = [decision.code for decision in decisions]
    return {code: found.count(code) for code in Code if code in found}


def fingerprint(decisions: Iterable[Decision]) -> str:
    """A short hash of what was shown to a person: each site, its decision, from what and to what.

    Equal for equal decisions in any order, also in another process: a form carries it, and acts only while it holds.
    """
    shown = sorted((it.site.id, it.code, it.to.version if it.to else "", it.site.reported) for it in decisions)
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:32]
