"""What happened in a run, told in order, as plain data for reports: moments in words, and what a picture needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

from plumbline.bench import WrongRow


@dataclass
class Moment:
    """Something that was done, and what came of it. wrong: what must not be, in words."""

    title: str
    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Ran:
    """A chunk that was run. request, copy: numbers in the scenario. ok: it gave rows. hit: it started after a prefix hit."""

    request: int
    copy: int
    step: int
    lo: int
    hi: int
    ok: bool
    hit: bool


@dataclass
class Story:
    """broken: for each requirement that the run shows to be broken, the number of the moment; empty: nothing was wrong.

    ran, wrong: of a workload. wrong: its first wrong row.
    """

    moments: list[Moment] = field(default_factory=list)
    broken: dict[str, int] = field(default_factory=dict)
    ran: list[Ran] = field(default_factory=list)
    wrong: WrongRow | None = None

    def begin(self, title: str) -> None:
        """Puts a moment before all others."""
        self.moments.insert(0, Moment(title))
        self.broken = {requirement: at + 1 for requirement, at in self.broken.items()}

    def leave_out_the_empty(self) -> None:
        """Moments in which nothing was done, and nothing wrong."""
        kept = [at for at, moment in enumerate(self.moments) if moment.lines or moment.wrong]
        self.broken = {requirement: kept.index(at) for requirement, at in self.broken.items()}
        self.moments = [self.moments[at] for at in kept]

    def data(self) -> dict[str, object]:
        return asdict(self)
