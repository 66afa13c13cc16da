"""P10: what a site reports. U6: the pinned key of a host."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from builds.versions import key_of
from instances.exceptions import HostKeyMismatch, InvalidInput
from instances.models import Host, Instance
from instances.services import approve_host_key, note_contact, note_failure, note_offered_key
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import HOST_KEY, NOW, make_host, make_instance

pytestmark = pytest.mark.django_db
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOTHER"


def test_p10_the_reported_text_is_kept_and_compares_also_without_a_build() -> None:
    instance = make_instance(runs=None)

    drifted = instance.report("v4.2.0\n", now=NOW)

    row = Instance.objects.get()
    assert (row.reported_version, row.reported_key, row.reported_at) == ("v4.2.0", key_of("4.2"), NOW)
    assert not drifted


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        ("<html>502</html>", "<html>502</html>"),
        ("", ""),
        ("4.2\x00", "4.2\ufffd"),
        ("4.2\udcff", "4.2?"),
        ("1." * 300 + "1", "1." * 100),
    ],
)
def test_p10_what_is_not_a_version_is_kept_and_makes_it_unknown(raw: str, kept: str) -> None:
    instance = make_instance(runs="4.2")

    assert instance.report(raw, now=NOW)

    row = Instance.objects.get()
    assert (row.reported_version, row.reported_key) == (kept, None)
    assert Instance.objects.never_reported().get() == row


def test_p10_something_else_than_recorded_is_drift_and_another_spelling_is_not() -> None:
    instance = make_instance(runs="4.2")

    assert not instance.report("4.2.0", now=NOW)
    assert instance.report("4.2.1", now=NOW)


def test_two_sites_cannot_share_a_path_on_one_host() -> None:
    host = make_host()
    make_instance(host=host, path="/srv/shop")

    with pytest.raises(IntegrityError, match="instance_one_per_path"), transaction.atomic():
        make_instance(host=host, path="/srv/shop")


@pytest.mark.parametrize(
    "fault",
    [
        {"path": "srv/shop"},
        {"path": "/srv/shop/"},
        {"path": "/srv/\nshop"},
        {"restart_command": "one\ntwo"},
        {"recipe_values": "PACKAGE=one\nPYTHON=two"},
        {"recipe_values": "package=acme"},
        {"recipe_values": "PACKAGE=one PACKAGE=two"},
        {"recipe_values": "PACKAGE='acme"},
        {"kind": "prod"},
        {"health_timeout_s": 3601},
        {"slug": "a shop"},
    ],
)
def test_a_malformed_site_is_refused_by_the_model(fault: dict[str, object]) -> None:
    instance = make_instance()
    for name, value in fault.items():
        setattr(instance, name, value)

    with pytest.raises(ValidationError) as refused:
        instance.full_clean()

    assert list(refused.value.message_dict) == list(fault)


def test_u6_a_host_that_offers_another_key_is_not_trusted(administrator: User) -> None:
    host = make_host()

    note_offered_key(host, HOST_KEY, now=NOW)
    assert Host.objects.get().key_trusted
    note_offered_key(host, OTHER_KEY, now=NOW)

    host = Host.objects.get()
    assert host.key_changed
    assert not host.key_trusted
    assert (host.host_key, host.offered_key, host.offered_at) == (HOST_KEY, OTHER_KEY, NOW)


def test_u6_approving_pins_the_key_that_the_person_saw(administrator: User) -> None:
    host = make_host(host_key="", offered_key=OTHER_KEY)
    actor = Actor(Origin.PAGE, administrator)

    assert approve_host_key(host, seen=OTHER_KEY, actor=actor, now=NOW)

    row = Host.objects.get()
    assert (row.host_key, row.offered_key) == (OTHER_KEY, "")
    assert (row.host_key_approved_by, row.host_key_approved_at) == (administrator, NOW)
    assert row.key_trusted
    assert not approve_host_key(row, seen=OTHER_KEY, actor=actor, now=NOW + timedelta(days=1))
    assert Host.objects.get().host_key_approved_at == NOW


@pytest.mark.parametrize("seen", ["", "ssh-ed25519 AAAAsomething"])
def test_u6_approving_a_key_that_the_host_does_not_offer_is_refused(administrator: User, seen: str) -> None:
    host = make_host(host_key="", offered_key=OTHER_KEY)

    with pytest.raises(HostKeyMismatch):
        approve_host_key(host, seen=seen, actor=Actor(Origin.PAGE, administrator), now=NOW)

    assert not Host.objects.get().key_trusted


def test_u6_approving_the_pinned_key_again_dismisses_the_other_one(administrator: User) -> None:
    host = make_host(offered_key=OTHER_KEY)

    assert approve_host_key(host, seen=HOST_KEY, actor=Actor(Origin.PAGE, administrator), now=NOW)

    assert (Host.objects.get().host_key, Host.objects.get().offered_key) == (HOST_KEY, "")


def test_u6_a_key_in_place_of_another_one_needs_a_reason(administrator: User) -> None:
    host = make_host(offered_key=OTHER_KEY, offered_at=NOW)
    actor = Actor(Origin.PAGE, administrator)

    with pytest.raises(InvalidInput) as refused:
        approve_host_key(host, seen=OTHER_KEY, actor=actor, now=NOW, reason=" ")
    assert list(refused.value.errors) == ["reason"]
    assert Host.objects.get().host_key == HOST_KEY

    assert approve_host_key(host, seen=OTHER_KEY, actor=actor, now=NOW, reason="Installed anew.")
    assert (Host.objects.get().host_key, Host.objects.get().offered_key) == (OTHER_KEY, "")
    assert Change.objects.get().reason == "Installed anew."


def test_a_host_that_fails_remembers_since_when_until_it_answers() -> None:
    host = make_host()

    note_failure(host, "Connection refused", now=NOW)
    note_failure(host, "Connection timed out", now=NOW + timedelta(hours=1))
    row = Host.objects.get()
    assert (row.failing_since, row.failure) == (NOW, "Connection timed out")

    note_contact(host, now=NOW + timedelta(hours=2), identity="")
    row = Host.objects.get()
    assert (row.failing_since, row.failure, row.contacted_at) == (None, "", NOW + timedelta(hours=2))


def test_every_word_of_a_search_must_occur() -> None:
    make_instance("acme-shop")
    make_instance("acme-intranet")

    assert [site.slug for site in Instance.objects.matching("acme shop")] == ["acme-shop"]
    assert Instance.objects.matching("").count() == 2
