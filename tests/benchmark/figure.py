"""What a figure is: its goal is written down before it is measured, and one that could not be measured says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from .measuring import Compared, Samples

__all__ = ["BENCH", "Figure", "Goal", "Plan", "Run", "Say", "Topic", "at_least", "at_most"]

BENCH = "bench"
"""What a figure `needs` that is measured on real sites."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`number` is the least value that reaches it, or the largest where `most`."""

    number: float
    most: bool = False

    def met(self, value: float) -> bool:
        return value <= self.number if self.most else value >= self.number

    def __str__(self) -> str:
        return f"{'<=' if self.most else '>='} {self.number:g}"


def at_least(number: float) -> Goal:
    return Goal(number=number)


def at_most(number: float) -> Goal:
    return Goal(number=number, most=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A figure before it is measured. `needs`: what there has to be for it."""

    id: str
    title: str
    unit: str
    goal: Goal | None = None
    needs: str | None = None

    def is_of(self, wanted: Sequence[str]) -> bool:
        """Whether one of the wanted ids is its own or stands for a family that it belongs to."""
        return not wanted or any(self.id == name or self.id.startswith(f"{name}.") for name in wanted)

    def measured(self, taken: Samples | Compared, **beside: Any) -> Figure:
        if isinstance(taken, Compared):
            return Figure(
                plan=self, value=taken.value, spread=taken.spread, refused=taken.refused, beside=beside
            )
        return Figure(plan=self, value=taken.median, spread=taken.spread, beside=beside)

    def unmeasured(self, why: str | None = None) -> Figure:
        """Without a value: what it needs is not there, or `why`."""
        return Figure(plan=self, refused=why, needed=self.needs if why is None else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. `value` None: `refused` says why, or `needed` what was not there. `beside`: numbers that
    explain it."""

    plan: Plan
    value: float | None = None
    spread: float | None = None
    refused: str | None = None
    needed: str | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """None without a goal or a value."""
        if self.plan.goal is None or self.value is None:
            return None
        return self.plan.goal.met(self.value)

    def to_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": self.plan.id,
            "title": self.plan.title,
            "unit": self.plan.unit,
            "value": _rounded(self.value),
            "spread": _rounded(self.spread),
            "goal": None if self.plan.goal is None else str(self.plan.goal),
            "met": self.met,
        }
        if self.needed:
            told["needs"] = self.needed
        if self.refused:
            told["refused"] = self.refused
        if self.beside:
            told["beside"] = {name: _rounded(value) for name, value in self.beside.items()}
        return told


def _rounded(value: Any) -> Any:
    return float(f"{value:.5g}") if isinstance(value, float) else value


class Say(Protocol):
    def __call__(self, text: str) -> None:
        """Tell whoever waits how far it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What every measurement is handed. `quick`: small sizes, to see that it works; the figures say little then."""

    seed: int
    quick: bool
    folder: Path
    say: Say
    bench: Path | None = None


class Topic(Protocol):
    """A module that measures a family of figures."""

    PLANS: tuple[Plan, ...]

    def measure(self, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
        """Those of its own `PLANS` that are wanted and can be measured, in any order."""
