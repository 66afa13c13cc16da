"""The open problems of builds, as any page that names a build may mark them (templates/components/_problems.html)."""

from collections.abc import Mapping
from dataclasses import dataclass

from django.urls import reverse

from builds.choices import SeverityChoice
from builds.maturity import BuildFacts, ProblemFacts


@dataclass(frozen=True)
class ProblemMark:
    """One open problem of one build. `acknowledged`: somebody accepted it for that build."""

    facts: ProblemFacts

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def title(self) -> str:
        return self.facts.title

    @property
    def severity(self) -> SeverityChoice:
        return SeverityChoice(self.facts.severity)

    @property
    def blocks(self) -> bool:
        """Whether it keeps the build out of release and stable, as far as nobody accepted it."""
        return self.severity is SeverityChoice.BLOCKER and not self.acknowledged

    @property
    def acknowledged(self) -> bool:
        return self.facts.acknowledged

    @property
    def url(self) -> str:
        return reverse("problem", args=[self.facts.number])


def marks_of(build: BuildFacts | None) -> tuple[ProblemMark, ...]:
    """Blockers first, then those that nobody accepted. No query."""
    marks = [ProblemMark(problem) for problem in build.problems] if build else []
    return tuple(sorted(marks, key=lambda mark: (not mark.blocks, mark.acknowledged, mark.facts.number)))


def problem_marks(builds: Mapping[int, BuildFacts]) -> dict[int, tuple[ProblemMark, ...]]:
    """By the build's id, those of builds that have any. No query."""
    return {number: marks_of(build) for number, build in builds.items() if build.problems}
