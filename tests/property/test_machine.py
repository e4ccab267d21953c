"""The same world with Hypothesis as its scheduler: it looks for the shortest story that breaks a guarantee."""

from __future__ import annotations

import random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from .checks import after_every_step, at_the_end, when_drained
from .world import World

CHOICES = st.integers(min_value=0, max_value=1000)
FAULTS = (
    "misanswer",
    "lose answer",
    "repeat",
    "delay",
    "answer all",
    "storm",
    "change URL",
    "time",
    "jump",
)
PEOPLE = ("person", "change what is in conflict", "discard", "purge", "pause", "resume")
BACKUPS = ("back up", "restore", "clone", "say what it is", "back up there", "restore there")
THERE = ("edit there", "both", "move there", "delete there", "insert there")
HERE = ("save", "submit", "cancel", "amend", "delete", "rename", "merge", "call")


class Sites(RuleBasedStateMachine):
    """One branch and one central; every rule is one step, and the guarantees are looked at after it."""

    world: World

    @initialize(seed=CHOICES)
    def begin(self, seed: int) -> None:
        self.world = World(seed)

    def _do(self, name: str, choices: int) -> None:
        self.world.rng = random.Random(choices)
        self.world.do(name)
        found = after_every_step(self.world)
        assert not found, "\n".join([*self.world.steps, *found])

    @rule(name=st.sampled_from(HERE), choices=CHOICES)
    def at_the_branch(self, name: str, choices: int) -> None:
        self._do(name, choices)

    @rule(choices=CHOICES)
    def save(self, choices: int) -> None:
        self._do("save", choices)

    @rule(name=st.sampled_from(THERE), choices=CHOICES)
    def at_the_central(self, name: str, choices: int) -> None:
        self._do(name, choices)

    @rule(name=st.sampled_from(FAULTS), choices=CHOICES)
    def between_them(self, name: str, choices: int) -> None:
        self._do(name, choices)

    @rule(name=st.sampled_from(PEOPLE), choices=CHOICES)
    def somebody(self, name: str, choices: int) -> None:
        self._do(name, choices)

    @rule(name=st.sampled_from(BACKUPS), choices=CHOICES)
    def with_backups(self, name: str, choices: int) -> None:
        self._do(name, choices)

    @rule(online=st.booleans())
    def line(self, online: bool) -> None:
        self._do("online" if online else "offline", 0)

    @rule(choices=CHOICES)
    def run_sync(self, choices: int) -> None:
        self._do("run", choices)

    @rule(choices=CHOICES)
    def run_that_is_killed(self, choices: int) -> None:
        self._do("run cut", choices)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        world.make_good()
        assert world.drain_alone(), "\n".join([*world.steps, "it never comes to rest"])
        found = when_drained(world)
        if not found:
            world.ask_people()
            found = at_the_end(world)
        assert not found, "\n".join([*world.steps, *found])


TestSites = Sites.TestCase
TestSites.settings = settings(
    max_examples=20,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
