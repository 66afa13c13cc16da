"""P1, R8, T7: a promotion does what its preview showed, or nothing."""

import pytest

from builds.exceptions import BuildError, PromotionRefused
from builds.maturity import Maturity, Override, Severity
from builds.models import Build, GateOverride
from builds.services import judge_promotion, withdraw_build
from releasemgr.lib.actors import COMMAND
from releasemgr.lib.history.models import Change
from releasemgr.lib.history.services import ChangedMeanwhile
from tests.factories import NOW, make_build, make_instance, make_problem
from tests.together import run_together
from upgrades.exceptions import PlanChanged
from upgrades.plan import fingerprint
from upgrades.services.planning import next_night, plan_night, preview_move, preview_withdrawal
from upgrades.services.promotions import promote_as_shown, withdraw_as_shown

pytestmark = pytest.mark.django_db


def shown(build: Build, to: Maturity) -> str:
    return preview_move(build, to, next_night(NOW), now=NOW).fingerprint


def test_r8_an_override_goes_with_the_preview_that_was_shown() -> None:
    build = make_build("4.2", maturity=Maturity.BETA)
    make_instance(runs="4.1")
    make_problem(build, severity=Severity.BLOCKER)
    seen = shown(build, Maturity.RELEASE)
    with pytest.raises(PromotionRefused):
        promote_as_shown(build, Maturity.RELEASE, seen=seen, actor=COMMAND, now=NOW)

    judgement = judge_promotion(build, Maturity.RELEASE, now=NOW)
    preview = preview_move(build, Maturity.RELEASE, next_night(NOW), now=NOW)
    promotion, _preview = promote_as_shown(
        build, Maturity.RELEASE, seen=preview.fingerprint, actor=COMMAND, now=NOW,
        override=Override(judgement.keys, "They cannot wait."),
    )  # fmt: skip

    assert GateOverride.objects.get().promotion == promotion
    assert fingerprint(plan_night(NOW)[1]) == fingerprint(effect.after for effect in preview.effects)


def test_t7_who_did_not_see_the_last_change_of_the_build_promotes_nothing() -> None:
    build = make_build("4.2", maturity=Maturity.BETA)
    promote_as_shown(build, Maturity.RELEASE, seen=shown(build, Maturity.RELEASE), actor=COMMAND, now=NOW)

    with pytest.raises(ChangedMeanwhile):
        promote_as_shown(
            build, Maturity.ALPHA, seen=shown(build, Maturity.ALPHA), actor=COMMAND, now=NOW, reason="Back",
            last_change=0,
        )  # fmt: skip

    assert Build.objects.get().stage is Maturity.RELEASE


@pytest.mark.django_db(transaction=True)
def test_r9_a_promotion_from_the_page_and_a_withdrawal_at_once_wait_for_each_other() -> None:
    build = make_build("4.2", maturity=Maturity.BETA)
    seen = shown(build, Maturity.RELEASE)

    def promote() -> bool:
        try:
            return promote_as_shown(build, Maturity.RELEASE, seen=seen, actor=COMMAND, now=NOW)[0] is not None
        except BuildError:
            return False

    promoted, _withdrawn = run_together(
        promote, lambda: withdraw_build(build, actor=COMMAND, now=NOW, reason="Loses mail")[1]
    )

    kinds = [change.kind for change in Change.objects.order_by("pk")]
    assert kinds == (["build.promoted"] if promoted else []) + ["build.withdrawn"]
    assert Build.objects.get().is_withdrawn


def test_p1_a_withdrawal_whose_effect_changed_since_it_was_shown_withdraws_nothing() -> None:
    """R9."""
    build = make_build("4.2", maturity=Maturity.RELEASE)
    seen = preview_withdrawal(build, next_night(NOW)).fingerprint
    make_instance(runs="4.1")

    with pytest.raises(PlanChanged):
        withdraw_as_shown(build, seen=seen, actor=COMMAND, now=NOW, reason="Loses mail.")

    assert not Build.objects.get().is_withdrawn
    seen = preview_withdrawal(build, next_night(NOW)).fingerprint
    assert withdraw_as_shown(build, seen=seen, actor=COMMAND, now=NOW, reason="Loses mail.")[1]
    assert [change.kind for change in Change.objects.all()] == ["build.withdrawn"]
    assert not withdraw_as_shown(build, seen="old", actor=COMMAND, now=NOW, reason="Twice.")[1]


def test_t8_the_replacement_of_a_stepping_stone_is_part_of_what_was_shown() -> None:
    older, build = make_build("4.1"), make_build("4.2", maturity=Maturity.BETA, stepping_stone=True)
    make_build("4.3", maturity=Maturity.RELEASE)
    make_instance(runs="4.0")
    seen = preview_withdrawal(build, next_night(NOW)).fingerprint

    with pytest.raises(PlanChanged):
        withdraw_as_shown(build, seen=seen, actor=COMMAND, now=NOW, reason="Slow.", replacement=older)

    seen = preview_withdrawal(build, next_night(NOW), replacement=older).fingerprint
    withdraw_as_shown(build, seen=seen, actor=COMMAND, now=NOW, reason="Slow.", replacement=older)
    assert [one.version for one in Build.objects.stepping_stones()] == ["4.1"]
