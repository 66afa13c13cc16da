"""Asks sites for their version (P3, P10) and hosts for their key (U6): read only, without a lease."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from instances.models import Host, Instance
from instances.services import note_contact, note_offered_key, note_version
from releasemgr.lib import clock
from upgrades.assignment import VersionQuestion
from upgrades.contact import Connect, HostAddress
from upgrades.exceptions import ContactError, HostKeyChanged, HostKeyUnknown, RecipeInvalid
from upgrades.services.assignments import address_of, question_for

AT_ONCE = 20  # hosts
PATIENCE = 30.0  # seconds for one site's answer


@dataclass(frozen=True)
class Answer:
    """What a site reported. `error` says why it did not; `raw` is then empty."""

    site: Instance
    raw: str = ""
    error: str = ""
    drifted: bool = False


@dataclass(frozen=True)
class _Round:
    """One host's part, without a row in it: its thread never touches the database."""

    address: HostAddress
    questions: dict[int, VersionQuestion]


def ask_versions(instances: Sequence[Instance], connect: Connect) -> list[Answer]:
    """Asks these sites, many hosts at once, and keeps what they report. In the order given."""
    rounds, answers = _rounds(instances)
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        heard = dict(zip(rounds, pool.map(lambda one: _ask_host(one, connect), rounds.values()), strict=True))
    hosts = {site.host_id: site.host for site in instances}
    by_id = {site.pk: site for site in instances}
    for host, (failure, told) in heard.items():
        _keep_contact(hosts[host], failure)
        for pk in rounds[host].questions:
            answers[pk] = _keep(by_id[pk], told.get(pk, failure or ContactError("The site did not answer.")))
    return [answers[site.pk] for site in instances]


def ask_unknown(connect: Connect) -> list[Answer]:
    """Asks every site whose version is unknown: before a night, so that none is upgraded blind (P3)."""
    unknown = Instance.objects.never_reported().filter(host__enabled=True).exclude(host__host_key="")
    return ask_versions(list(unknown.for_list()), connect)


def _rounds(instances: Iterable[Instance]) -> tuple[dict[int, _Round], dict[int, Answer]]:
    rounds: dict[int, _Round] = {}
    refused: dict[int, Answer] = {}
    for site in instances:
        try:
            question = question_for(site)
        except RecipeInvalid as error:
            refused[site.pk] = Answer(site, error=str(error))
            continue
        rounds.setdefault(site.host_id, _Round(address_of(site.host), {})).questions[site.pk] = question
    return rounds, refused


def _ask_host(one: _Round, connect: Connect) -> tuple[ContactError | None, dict[int, str | ContactError]]:
    """In a thread of its own: why the host could not be asked, and what each of its sites said."""
    told: dict[int, str | ContactError] = {}
    try:
        remote = connect(one.address)
    except ContactError as error:
        return error, told
    try:
        for pk, question in one.questions.items():
            try:
                told[pk] = remote.read_version(question.values, question.script, timeout=PATIENCE)
            except ContactError as error:
                told[pk] = error
    finally:
        remote.close()
    return None, told


def _keep_contact(host: Host, failure: ContactError | None) -> None:
    now = clock.now()
    note_contact(host, now=now, failure=str(failure or ""))
    if isinstance(failure, HostKeyUnknown | HostKeyChanged):
        note_offered_key(host, failure.offered_key, now=now)


def _keep(site: Instance, told: str | ContactError) -> Answer:
    if isinstance(told, ContactError):
        return Answer(site, error=str(told))
    return Answer(site, raw=told, drifted=note_version(site, told, now=clock.now()))
