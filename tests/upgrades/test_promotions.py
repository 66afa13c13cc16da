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
from upgrades.services.planning import next_night, preview_move
from upgrades.services.promotions import promote_as_shown

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

    override = Override(judge_promotion(build, Maturity.RELEASE, now=NOW).keys, "They cannot wait.")
    promotion, _preview = promote_as_shown(
        build, Maturity.RELEASE, seen=seen, actor=COMMAND, now=NOW, override=override
    )

    assert GateOverride.objects.get().promotion == promotion


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
