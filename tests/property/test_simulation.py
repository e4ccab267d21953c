"""Seeds of the lean simulation: whatever goes wrong on the way, the guarantees hold after every step.

A seed that fails prints its steps; `python -m tests.property.simulate --first SEED --seeds 1 --trace` plays it again.
"""

from __future__ import annotations

import json

import pytest

from .simulate import main, play

SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_guarantees_hold_in_every_seed(seed: int) -> None:
    """G0 to G4 and G7 after every step; everything drains; both sites are equal in what was delivered (G5)."""
    played = play(seed)
    story = "\n".join(played.steps)
    assert not played.violations, f"seed {seed}:\n{story}\n" + "\n".join(played.violations)
    assert not played.wedged, f"seed {seed} never ends:\n{story}"


def test_a_seed_is_one_run() -> None:
    """The same seed does the same, so that a failure can be played again."""
    assert play(7).steps == play(7).steps


def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["seeds"] == 3
    assert summary["steps"] >= 3 * 60
    assert summary["violations"] == summary["wedges"] == 0
    assert all(count > 0 for count in summary["faults"].values())
