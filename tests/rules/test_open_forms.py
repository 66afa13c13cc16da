"""T7: a form that was opened before somebody else acted changes nothing, says what they did, and may be sent again."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import Client

from builds.maturity import Maturity
from instances.models import Host, HostAuthority, Instance, Target
from instances.services import (
    add_authority,
    change_host,
    note_certified,
    note_version,
    open_hold,
    remove_authority,
    set_target,
)
from instances.services.fleet import change_customer
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from tests.clients import carried
from tests.factories import NOW, make_build, make_host, make_instance, make_run, make_upgrade
from tests.together import Beside
from upgrades.choices import EndCode, Outcome
from upgrades.models import Policy, RunHalt, Upgrade
from upgrades.services.ends import run_way_back
from upgrades.services.halts import halt_run
from upgrades.services.policy import switch_nights_off, switch_nights_on

ACT: dict[str, Any] = {"actor": COMMAND, "now": NOW}
CA = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIK0wmN/Cr3JXqmLW7u+g9pTh+wyqDHpSQEIQczXkVx9q"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS"


@dataclass(frozen=True)
class Opened:
    """A form that somebody opened at `page`, what another then does, and what sending the form would have done."""

    page: str
    given: dict[str, str]
    theirs: Callable[[], object]
    said: str
    done: Callable[[], bool]
    sent_to: str = ""


@pytest.fixture
def site(db: None) -> Instance:
    make_build("4.2", maturity=Maturity.RELEASE)
    return make_instance("acme-live", runs="4.1", host=make_host("web1"))


def hold(site: Instance) -> object:
    return open_hold(site, ends_at=NOW + timedelta(days=3), reason="They move house", **ACT)


def deleting_a_site(site: Instance) -> Opened:
    given = {"typed": site.slug}
    return Opened(
        f"/sites/{site.slug}/delete/", given, lambda: hold(site), "They move house",
        lambda: not Instance.objects.exists(),
    )  # fmt: skip


def deleting_a_host(site: Instance) -> Opened:
    host = make_host("web2")
    return Opened(
        "/hosts/web2/delete/", {"typed": "web2"},
        lambda: change_host(host, {"address": "new.example.net"}, reason="Taken for Globex", **ACT),
        "Taken for Globex", lambda: not Host.objects.filter(name="web2").exists(),
    )  # fmt: skip


def deleting_a_customer(site: Instance) -> Opened:
    customer = site.customer
    site.delete()
    return Opened(
        f"/customers/{customer.slug}/delete/", {"typed": customer.slug},
        lambda: change_customer(customer, {"name": "Acme again"}, reason="They come back", **ACT), "They come back",
        lambda: not type(customer).objects.exists(),
    )  # fmt: skip


def letting_the_nights_try_again(site: Instance) -> Opened:
    build = make_build("4.3", maturity=Maturity.RELEASE)
    failed = make_upgrade(instance=site, build=build, outcome=Outcome.ROLLED_BACK, end_code=EndCode.STEP_FAILED,
                          end_values={"from": "4.1", "step": "Migrate"})  # fmt: skip
    return Opened(
        f"/sites/{site.slug}/retry/{failed.pk}/", {"note": "More disk"},
        lambda: set_target(site, Target(channel="stable"), reason="A slow pace", **ACT), "A slow pace",
        lambda: Upgrade.objects.get().retried_at is not None,
    )  # fmt: skip


def stuck(site: Instance) -> Upgrade:
    return make_upgrade(instance=site, outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE,
                        end_values={"step": "Migrate"}, started_at=NOW)  # fmt: skip


def unlocking(site: Instance) -> Opened:
    upgrade = stuck(site)
    return Opened(
        f"/upgrades/{upgrade.pk}/", {"note": "It runs"}, lambda: hold(site), "They move house",
        lambda: Upgrade.objects.get().decided_at is not None, f"/upgrades/{upgrade.pk}/unlock/",
    )  # fmt: skip


def adopting_a_version(site: Instance) -> Opened:
    upgrade = stuck(site)
    return Opened(
        f"/upgrades/{upgrade.pk}/", {"note": "It runs"}, lambda: note_version(site, "4.0", now=NOW),
        "acme-live has reported 4.0 meanwhile. Nothing was changed.",
        lambda: Upgrade.objects.get().decided_at is not None, f"/upgrades/{upgrade.pk}/unlock/",
    )  # fmt: skip


def running_the_way_back(site: Instance) -> Opened:
    upgrade = stuck(site)

    def theirs() -> None:
        run_way_back(upgrade, reason="Mended the disk", **ACT)
        Upgrade.objects.update(state="ended", outcome=Outcome.NEEDS_A_PERSON, end_code=EndCode.RUNNER_GONE,
                               end_values={"step": "Migrate"}, ended_at=NOW)  # fmt: skip

    return Opened(
        f"/upgrades/{upgrade.pk}/go-back/", {"reason": "Again"}, theirs, "Mended the disk",
        lambda: Upgrade.objects.get().state == "rolling_back",
    )  # fmt: skip


def offering_a_build_again(site: Instance) -> Opened:
    run = make_run()
    values = {"failed": 3, "planned": 10, "wave": 2, "share": 30, "limit": 10}
    halt = RunHalt.objects.create(run=run, at=NOW, code="share", values=values, end="resumed", ended_at=NOW)
    halt.builds.add(make_build("4.3", maturity=Maturity.RELEASE))
    return Opened(
        f"/builds/4.3/release/{halt.pk}/", {"reason": "Mended"},
        lambda: halt_run(run, reason="It loses mail", **ACT), "It loses mail",
        lambda: RunHalt.objects.filter(released_at__isnull=False).exists(),
    )  # fmt: skip


def switching_the_nights_on(site: Instance) -> Opened:
    switch_nights_off(reason="Moving house", **ACT)

    def theirs() -> None:
        switch_nights_on(**ACT)
        switch_nights_off(reason="The disks burn", **ACT)

    return Opened(
        "/runs/nights/", {}, theirs, "The disks burn", lambda: Policy.objects.get().nights_off_since is None
    )  # fmt: skip


def adding_an_authority(site: Instance) -> Opened:
    return Opened(
        "/hosts/authorities/", {"names": "*.example.org", "key": CA, "reason": "Ours"},
        lambda: add_authority("*.example.net", CA, reason="For Globex", **ACT), "For Globex",
        lambda: HostAuthority.objects.get().names == "*.example.org",
    )  # fmt: skip


def removing_an_authority(site: Instance) -> Opened:
    row = add_authority("*.example.net", CA, reason="Ours", **ACT)
    return Opened(
        f"/hosts/authorities/{row.pk}/remove/", {"reason": "Stolen"},
        lambda: add_authority("*.example.org", CA, reason="For Globex", **ACT),
        'on <span class="mono wrap-any">*.example.org',
        lambda: not HostAuthority.objects.exists(),
    )  # fmt: skip


def removing_one_that_vouches_for_more(site: Instance) -> Opened:
    row = add_authority("*.example.net", CA, reason="Ours", **ACT)
    host = make_host("web3", host_key="")
    return Opened(
        f"/hosts/authorities/{row.pk}/remove/", {"reason": "Stolen"}, lambda: note_certified(host, KEY, CA, now=NOW),
        "vouches for other hosts than you saw", lambda: not HostAuthority.objects.exists(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "open_it",
    [
        deleting_a_site, deleting_a_host, deleting_a_customer, letting_the_nights_try_again, unlocking,
        adopting_a_version, running_the_way_back, offering_a_build_again, switching_the_nights_on, adding_an_authority,
        removing_an_authority, removing_one_that_vouches_for_more,
    ],
)  # fmt: skip
def test_t7_what_was_opened_before_another_acted_changes_nothing_and_says_what_they_did(
    client: Client, administrator: User, site: Instance, open_it: Callable[[Instance], Opened]
) -> None:
    client.force_login(administrator)
    form = open_it(site)
    there = form.sent_to or form.page
    mine = carried(client.get(form.page)) | form.given
    form.theirs()
    numbers = set(Change.objects.values_list("pk", flat=True))

    late = client.post(there, mine)

    assert (late.status_code, form.done()) == (409, False)
    assert form.said in late.content.decode()
    assert set(Change.objects.values_list("pk", flat=True)) == numbers

    again = client.post(there, carried(late) | form.given)

    assert (again.status_code, form.done()) == (302, True)


@pytest.mark.django_db(transaction=True)
def test_u6_an_authority_that_is_removed_while_a_host_comes_with_its_signature_vouches_for_nobody() -> None:
    row, host = add_authority("*.example.net", CA, reason="Ours", **ACT), make_host("web1", host_key="")

    with transaction.atomic():
        assert remove_authority(row.fingerprint, reason="Stolen", **ACT) == []
        coming = Beside(lambda: note_certified(host, KEY, CA, now=NOW))
        assert coming.waits
    coming.answer()

    assert not HostAuthority.objects.exists()
    assert Host.objects.get().host_key == ""


@pytest.mark.django_db(transaction=True)
def test_u6_two_who_add_the_same_authority_at_once_add_one() -> None:
    with transaction.atomic():
        add_authority("*.example.net", CA, reason="Ours", **ACT)
        second = Beside(lambda: add_authority("*.example.org", CA, reason="Mine", **ACT))
    assert second.answer().names == HostAuthority.objects.get().names == "*.example.org"
