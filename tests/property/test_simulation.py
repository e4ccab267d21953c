"""Seeds of the simulation: whatever goes wrong on the way, the guarantees hold after every step.

A seed that fails prints its steps; `python -m tests.property.simulate --first SEED --seeds 1 --trace` plays it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from .defects import DEFECTS, planted
from .simulate import found_in, main, play

SEEDS = range(300)
KEPT: Mapping[int, str] = {
    490: "a backup made during the very first run was taken for the branch itself on another machine",
    838: "the same, with every request of the backup sent meanwhile",
    685: "a document was taken for another one of ours that was made under another name just then",
    812: "an effect without a receipt and without an answer was taken for an undetected duplicate",
    1218: "a create was not found again, because the clock was set back before the backup was restored",
    1715: "a call was discarded while a push that was not answered was still on its way",
    2840: "a call that was pushed twice without an answer was left to a person, though its receipt tells",
    4017: "a repeated push was answered with what others had made of its document since",
    5100: "a create was taken for refused while the push of a run that was gone was still on its way",
    5432: "side by side with a run's stall, an answer that nobody recorded was counted",
    8533: "after a rename told by its receipt alone, the field that it is named by was known as before",
    871: "a restored document linked to another one, which had got the name of what it linked to",
    2375: "a submitted create that was only queued and not answered was known without its state",
    4113: "the same, looked up while it was queued, ended as if it were submitted",
    5173: "a create was mended under another key while its first push was still on its way",
    8616: "a rename that arrived was retried as if it had not, after looking for it was refused",
    8690: "what a merge came to was lost where only the name was changed here",
    5186: "a push that something on the way did not let through stopped all the others",
    1065: "what came back after a decision went under the link that it had when it was decided",
    6454: "what was changed and changed back here, before the result of a merge arrived, was overwritten by that",
    134: "what was in doubt in a backup was not found by a branch whose clock was set since, and sent once more",
    9131: "discarded in a restored backup that no run had seen, a sent create cancelled out with its delete",
    6634: "a page for an answer to a push was taken to say that nothing of the push had an effect",
}
"""Seeds beyond those that showed something wrong once."""
PLANTED = (
    "attempt-while-offline",
    "lease-never-renewed",
    "merged-not-counted",
    "names-not-rewritten",
    "no-fencing",
    "order-by-priority-alone",
    "purge-of-held-rows",
    "rename-is-another-document",
)
"""Those that show within a few seeds; `--break all` plants every one."""


@pytest.mark.parametrize("seed", [*SEEDS, *KEPT])
def test_the_guarantees_hold_in_every_seed(seed: int) -> None:
    """G0 to G4 and G7 after every step; everything drains; both sites are equal in what was delivered (G5)."""
    played = play(seed)
    story = "\n".join(played.steps)
    assert not played.violations, f"seed {seed}:\n{story}\n" + "\n".join(played.violations)
    assert not played.wedged, f"seed {seed} never ends:\n{story}"


def test_a_seed_is_one_run() -> None:
    """The same seed does the same, so that a failure can be played again."""
    assert play(7).steps == play(7).steps


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_the_command_prints_one_json_object(capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    assert main(["--seeds", "3", "--json", "--jobs", jobs]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["seeds"] == 3
    assert summary["steps"] >= 3 * 60
    assert summary["violations"] == summary["wedges"] == 0
    assert all(count > 0 for count in summary["faults"].values())


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_defect_is_found(name: str) -> None:
    assert found_in(name, SEEDS) is not None


def test_what_was_planted_is_gone_afterwards() -> None:
    for name in DEFECTS:
        with planted(name):
            pass
    assert not play(0).violations


def test_the_command_plants_a_defect_and_says_how_it_showed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--break", "list", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) >= 12
    assert main(["--break", "lease-never-renewed", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["defect"], told["found"]) == ("lease-never-renewed", True)
    assert "may end before the answer" in told["violation"]
    assert main(["--break", "late-answer-accepted", "--seeds", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["seed"] is None
