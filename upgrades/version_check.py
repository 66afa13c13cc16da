"""Asks sites for their version (P3, P10) and hosts for their key (U6): read only, without a lease."""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import BoundedSemaphore

from instances.models import Host, Instance
from instances.services import (
    authorities_of,
    foreign_words,
    installation_number,
    note_foreign_mark,
    note_version,
)
from releasemgr.lib import clock
from upgrades.assignment import VersionQuestion
from upgrades.contact import Connect, HostAddress, Remote, Vouched
from upgrades.exceptions import (
    ContactError,
    OtherSite,
    RecipeInvalid,
    ThreadBroke,
)
from upgrades.services.addresses import addresses_of
from upgrades.services.assignments import question_for
from upgrades.services.contacts import note_not_reached, note_reached

log = logging.getLogger(__name__)

AT_ONCE = 20  # hosts
PATIENCE = 30.0  # seconds for one site's answer
ALTOGETHER = 150.0  # seconds, however many hosts are dead: a task of the control cluster may last 300


@dataclass(frozen=True)
class Answer:
    """What a site reported. `error` says why it did not; `raw` is then empty."""

    site: Instance
    raw: str = ""
    error: str = ""
    drifted: bool = False


@dataclass
class _Round:
    """One host's part, without a row in it: its thread never touches the database.

    `rooms` are those of its jump hosts, taken for as long as it lasts. `told` fills as its sites answer. `failure`
    says why the host could not be asked.
    """

    address: HostAddress
    until: float
    rooms: Sequence[BoundedSemaphore]
    questions: dict[int, VersionQuestion] = field(default_factory=dict)
    told: dict[int, str | ContactError] = field(default_factory=dict)
    failure: ContactError | None = None
    vouched: Sequence[Vouched] = ()

    def ask(self, connect: Connect) -> None:
        """In a thread of its own. Begins with no site once the time is over."""
        if time.monotonic() > self.until:
            return
        with ExitStack() as held:
            for room in self.rooms:
                held.enter_context(room)
            self._ask(connect)

    def _ask(self, connect: Connect) -> None:
        try:
            remote = connect(self.address)
        except ContactError as error:
            self.failure = error
            return
        self.vouched = remote.vouched
        try:
            for pk, question in self.questions.items():
                if time.monotonic() < self.until:
                    self.told[pk] = _answer_of(remote, question)
        finally:
            remote.close()


def _answer_of(remote: Remote, question: VersionQuestion) -> str | ContactError:
    try:
        return remote.read_version(question.values, question.script, timeout=PATIENCE)
    except ContactError as error:
        return error


def ask_versions(instances: Sequence[Instance], connect: Connect, *, within: float = ALTOGETHER) -> list[Answer]:
    """Asks these sites, many hosts at once, and keeps what they report. In the order given.

    `within` bounds it in seconds: who was not asked or did not answer by then has no answer.
    """
    rounds, answers = _rounds(instances, time.monotonic() + within)
    finished = _ask_all(rounds, connect, within)
    hosts = {site.host_id: site.host for site in instances}
    by_id = {site.pk: site for site in instances}
    for host, one in rounds.items():
        if host in finished:
            _keep_contact(hosts[host], one)
        told = dict(one.told)
        for pk in one.questions:
            answers[pk] = _keep(
                by_id[pk], told.get(pk, one.failure or ContactError("The site did not answer in time."))
            )
    return [answers[site.pk] for site in instances]


def _ask_all(rounds: dict[int, _Round], connect: Connect, within: float) -> set[int]:
    """The hosts that were asked to the end. A thread that still waits is left behind: it has limits of its own."""
    pool = ThreadPoolExecutor(max_workers=AT_ONCE)
    futures: dict[int, Future[None]] = {host: pool.submit(one.ask, connect) for host, one in rounds.items()}
    done, _late = wait(futures.values(), timeout=within)
    pool.shutdown(wait=False, cancel_futures=True)
    for host, future in futures.items():
        if future in done and (fault := future.exception()):
            log.error("Asking host %s broke", rounds[host].address.name, exc_info=fault)
            rounds[host].failure = ThreadBroke(f"{type(fault).__name__}: {fault}")
    return {host for host, future in futures.items() if future in done}


def ask_unknown(connect: Connect) -> list[Answer]:
    """Asks every site whose version is unknown: before a night, so that none is upgraded blind (P3)."""
    unknown = list(Instance.objects.never_reported().filter(host__enabled=True).for_list())
    vouched = authorities_of({site.host for site in unknown})
    return ask_versions([site for site in unknown if site.host.host_key or vouched[site.host_id]], connect)


def _rounds(instances: Sequence[Instance], until: float) -> tuple[dict[int, _Round], dict[int, Answer]]:
    rounds: dict[int, _Round] = {}
    refused: dict[int, Answer] = {}
    installation, addresses = installation_number(), addresses_of({site.host for site in instances})
    rooms = _rooms(addresses)
    for site in instances:
        try:
            question = question_for(site, installation)
        except RecipeInvalid as error:
            refused[site.pk] = Answer(site, error=str(error))
            continue
        rounds.setdefault(site.host_id, _Round(addresses[site.host_id], until, rooms[site.host_id])).questions[
            site.pk
        ] = question
    return rounds, refused


def _rooms(addresses: Mapping[int, HostAddress]) -> dict[int, list[BoundedSemaphore]]:
    """Room on each jump host, by the host behind it: always taken in the same order."""
    hops = {hop.name: hop for address in addresses.values() for hop in address.hops}
    room = {name: BoundedSemaphore(hop.max_connections) for name, hop in hops.items()}
    return {
        host: [room[name] for name in sorted(hop.name for hop in address.hops)] for host, address in addresses.items()
    }


def _keep_contact(host: Host, one: _Round) -> None:
    if one.failure is None:
        note_reached(host, one.address, one.vouched, clock.now())
    else:
        note_not_reached(host, one.address, one.failure, clock.now())


def _keep(site: Instance, told: str | ContactError) -> Answer:
    if isinstance(told, OtherSite):
        note_foreign_mark(site, told.mark)
        return Answer(site, error=f"The directory is marked as {foreign_words(site)}.")
    if isinstance(told, ContactError):
        return Answer(site, error=str(told))
    return Answer(site, raw=told, drifted=note_version(site, told, now=clock.now(), late=True))
