"""P11: what failed is tried again when a person says so; equal failures have one fingerprint."""

import pytest
from django.contrib.auth.models import User

from builds.maturity import Maturity
from builds.models import Build
from instances.models import Instance
from releasemgr.lib.actors import Actor, Origin
from releasemgr.lib.history.models import Change
from tests.factories import NOW, make_build, make_instance, make_run, make_upgrade
from upgrades.choices import EndCode, Outcome, RunKind
from upgrades.exceptions import NothingToUpgrade, PlanChanged, ReasonMissing, UpgradeChanged
from upgrades.first_error import failure_fingerprint
from upgrades.models import Run, Upgrade
from upgrades.services.retries import is_parked, is_parking, let_retry, retry_failed, retryable

pytestmark = pytest.mark.django_db


@pytest.fixture
def manager(release_manager: User) -> Actor:
    return Actor(Origin.PAGE, release_manager)


@pytest.fixture
def build(db: None) -> Build:
    return make_build("2.0", maturity=Maturity.RELEASE)


def failed(run: Run, build: Build, slug: str, outcome: Outcome = Outcome.ROLLED_BACK, **values: object) -> Upgrade:
    return make_upgrade(
        run=run, build=build, instance=make_instance(slug), outcome=outcome, end_code=EndCode.STEP_FAILED, **values
    )


def test_p11_what_failed_in_a_run_is_tried_again_in_a_run_of_its_own(manager: Actor, build: Build) -> None:
    night = make_run(ended_at=NOW)
    failed(night, build, "rolled-back")
    failed(night, build, "failed", Outcome.FAILED_CLEAN)
    make_upgrade(run=night, build=build, instance=make_instance("fine", runs="2.0"), outcome=Outcome.SUCCEEDED)
    failed(night, build, "in-doubt", Outcome.NEEDS_A_PERSON)

    run = retry_failed(night, actor=manager, now=NOW)

    assert (run.kind, run.date, run.reason) == (RunKind.RETRY, None, f"What failed in run {night.pk} is tried again.")
    assert set(run.upgrades.values_list("instance__slug", flat=True)) == {"rolled-back", "failed"}


def test_p11_what_has_been_tried_since_is_not_tried_by_the_old_run_again(manager: Actor, build: Build) -> None:
    night = make_run(ended_at=NOW)
    one, other = failed(night, build, "one"), failed(night, build, "other")
    retry_failed(night, {one.instance_id}, actor=manager, now=NOW)

    assert retryable(night) == [other]
    retry_failed(night, actor=manager, now=NOW)
    with pytest.raises(NothingToUpgrade):
        retry_failed(night, actor=manager, now=NOW)


def test_p1_a_retry_does_what_its_preview_showed_or_nothing(manager: Actor, build: Build) -> None:
    night = make_run(ended_at=NOW)
    failed(night, build, "one")

    with pytest.raises(PlanChanged):
        retry_failed(night, actor=manager, now=NOW, seen="something else")

    assert Run.objects.count() == 1


def test_p11_a_person_lets_the_nights_try_again_with_a_reason(manager: Actor, build: Build) -> None:
    upgrade = failed(make_run(ended_at=NOW), build, "one")
    with pytest.raises(ReasonMissing):
        let_retry(upgrade, actor=manager, now=NOW, note=" ")

    site = let_retry(upgrade, actor=manager, now=NOW, note="The disk has room again.")

    upgrade.refresh_from_db()
    assert site == Instance.objects.get()
    assert (upgrade.retried_at, upgrade.retried_by, upgrade.retry_note) == (
        NOW, manager.user, "The disk has room again.",
    )  # fmt: skip
    assert Change.objects.get().kind == "site.unparked"
    with pytest.raises(UpgradeChanged):
        let_retry(upgrade, actor=manager, now=NOW, note="Again.")


def test_p11_a_build_that_failed_twice_on_a_site_is_let_go_at_once(manager: Actor, build: Build) -> None:
    first = failed(make_run(ended_at=NOW), build, "one")
    second = make_upgrade(
        run=make_run(ended_at=NOW), build=build, instance=first.instance, outcome=Outcome.ROLLED_BACK,
        end_code=EndCode.STEP_FAILED,
    )  # fmt: skip
    assert is_parked(first)

    let_retry(second, actor=manager, now=NOW, note="The disk has room again.")

    assert not Upgrade.objects.filter(retried_at=None).exists()


def test_p11_t8_a_leg_that_failed_is_tried_again_though_the_next_leg_came_after_it(
    manager: Actor, build: Build
) -> None:
    night = make_run(ended_at=NOW)
    first = failed(night, build, "one")
    make_upgrade(
        run=night, build=make_build("2.5"), instance=first.instance, leg=2, outcome=Outcome.NOT_STARTED,
        end_code=EndCode.PATH_ENDED,
    )  # fmt: skip

    assert retryable(night) == [first]


@pytest.mark.parametrize(
    ("outcome", "code", "parks"),
    [
        (Outcome.ROLLED_BACK, EndCode.STEP_FAILED, True),
        (Outcome.FAILED_CLEAN, EndCode.STEP_FAILED, True),
        (Outcome.BLOCKED, EndCode.STEP_FAILED, True),
        (Outcome.BLOCKED, EndCode.UNREACHABLE, False),
        (Outcome.BLOCKED, EndCode.SIGN_IN, False),
        (Outcome.SUCCEEDED, EndCode.DONE, False),
        (Outcome.SKIPPED, EndCode.REPLANNED, False),
    ],
)
def test_p11_only_after_connection_trouble_it_is_tried_again_by_itself(
    outcome: Outcome, code: EndCode, parks: bool
) -> None:
    assert is_parking(Upgrade(outcome=outcome, end_code=code)) is parks


def test_p5_equal_failures_have_one_fingerprint_whatever_varies_in_their_words() -> None:
    first = failure_fingerprint("migrate", 1, "IntegrityError: row 4711 of 0x7f00 at 12:31, uuid 1b4e28ba-2fa1-11d2")

    assert first == failure_fingerprint(
        "migrate", 1, "IntegrityError:  row 12 of 0xdeadbeef at 3:04, uuid 9f4e28ba-2fa1-11d2"
    )
    assert first != failure_fingerprint(
        "migrate", 2, "IntegrityError: row 4711 of 0x7f00 at 12:31, uuid 1b4e28ba-2fa1-11d2"
    )
    assert first != failure_fingerprint(
        "switch", 1, "IntegrityError: row 4711 of 0x7f00 at 12:31, uuid 1b4e28ba-2fa1-11d2"
    )
    assert first != failure_fingerprint("migrate", 1, "OperationalError: row 4711")
