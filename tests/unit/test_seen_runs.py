"""A branch that was restored or cloned is known by its runs; one whose push was late is not taken for it."""

from __future__ import annotations

import json

from erp_offline_sync.engine.sending.seen_runs import (
    REMEMBERED,
    RunsSeen,
    RunVerdict,
    look_at_run,
    seen_from_json,
)

CURRENT, LATE, RESTORED, CLONED = RunVerdict


def verdicts(*pushes: tuple[int, str]) -> list[RunVerdict]:
    seen, found = RunsSeen(), []
    for run, key in pushes:
        verdict, seen = look_at_run(seen, run, key)
        found.append(verdict)
        seen = seen_from_json(json.loads(json.dumps(seen.as_json())))
    return found


def test_a_branch_that_goes_on_is_current_however_many_pushes_a_run_has() -> None:
    assert verdicts((0, "a"), (0, "a"), (1, "b"), (7, "c"), (7, "c")) == [CURRENT] * 5


def test_one_number_with_two_keys_is_two_branches() -> None:
    assert verdicts((5, "a"), (5, "b")) == [CURRENT, CLONED]


def test_the_copy_is_found_whichever_of_the_two_comes_second() -> None:
    """The copy is ahead and is believed; the original, one number behind, is not."""
    assert verdicts((5, "a"), (6, "copy"), (6, "a")) == [CURRENT, CURRENT, CLONED]


def test_a_number_that_comes_again_with_another_key_is_a_branch_set_back() -> None:
    assert verdicts((5, "a"), (6, "b"), (7, "c"), (6, "other")) == [CURRENT, CURRENT, CURRENT, RESTORED]


def test_a_push_of_an_earlier_run_that_was_seen_is_late_and_no_proof_of_anything() -> None:
    assert verdicts((5, "a"), (6, "b"), (5, "a"), (6, "b")) == [CURRENT, CURRENT, LATE, CURRENT]


def test_a_push_may_be_overtaken_by_the_whole_next_run() -> None:
    assert verdicts((5, "a"), (7, "c"), (6, "b"), (6, "b"), (8, "d")) == [
        CURRENT,
        CURRENT,
        LATE,
        LATE,
        CURRENT,
    ]


def test_two_runs_that_nobody_saw_are_a_branch_that_counts_again() -> None:
    assert verdicts((100, "a"), (61, "x"), (62, "y")) == [CURRENT, LATE, RESTORED]


def test_each_new_run_may_have_one_late_one() -> None:
    pushes = ((1, "a"), (3, "c"), (2, "b"), (5, "e"), (4, "d"))
    assert verdicts(*pushes) == [CURRENT, CURRENT, LATE, CURRENT, LATE]


def test_below_everything_that_is_remembered_is_a_branch_set_back() -> None:
    """However long ago: the memory is bounded and begins after it."""
    runs = [(run, "k") for run in range(10, 10 + REMEMBERED + 5)]
    assert verdicts(*runs, (9, "k")) == [CURRENT] * len(runs) + [RESTORED]
    assert verdicts(*runs, (14, "k")) == [CURRENT] * len(runs) + [RESTORED]
    assert verdicts(*runs, (15, "k")) == [CURRENT] * len(runs) + [LATE]


def test_an_origin_that_was_never_seen_has_no_memory() -> None:
    assert seen_from_json(None) == RunsSeen()
