"""What no decision may ever break, whatever the facts: asked by the properties, the lives of a fleet and the year."""

from builds.maturity import BuildFacts
from upgrades.plan import Code, Decision, Facts


def assert_lawful(decision: Decision, facts: Facts) -> None:
    """R3, R7, R9, T4, T5, T8, P5, P8, P11 of a site that goes; `facts` are those after what the night promotes."""
    site, to = decision.site, decision.to
    assert to is not None
    assert site.key is not None
    assert site.running is None
    assert site.needs_a_person is None
    assert site.host_enabled
    assert site.host_key_trusted
    assert decision.legs
    assert decision.path[: len(decision.legs)] == decision.legs
    assert decision.opens_at is not None
    assert not any(pause.span.covers(decision.opens_at) for pause in site.pauses)
    for leg in decision.path:
        assert_installable(leg)
        assert leg.id not in site.parked
        assert leg.id not in facts.halted
        assert not (facts.hold_on_blockers and leg.open_blockers)
    if decision.code is Code.DOWNGRADE:
        assert site.pin == to.id
        assert site.consent == site.key > to.key
        assert site.goes_down
        assert not any(to.key < stone.key < site.key for stone in facts.stepping_stones)
    else:
        keys = [site.key, *(leg.key for leg in decision.path)]
        assert keys == sorted(set(keys)), "up, and up, and up"
        assert all(stone.key in keys for stone in facts.stepping_stones if site.key < stone.key < to.key)


def assert_installable(build: BuildFacts) -> None:
    assert build.smoke_passed
    assert not build.withdrawn
    assert not build.quarantined
    assert build.artifact_present
