"""The breaker: whether a request may leave, or only a probe."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import NOON

from erp_offline_sync.engine.breaker import CLOSED, Breaker
from erp_offline_sync.engine.config import CREDENTIALS_PROBE, RETRY_AFTER_LIMIT
from erp_offline_sync.engine.identity import canonical_json


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


def test_it_begins_closed() -> None:
    assert CLOSED.closed
    assert CLOSED.state == "closed"
    assert CLOSED.last_failed is None
    assert not CLOSED.at_fault


def test_probes_follow_after_1_2_4_8_seconds_and_then_evenly_between_15_and_30() -> None:
    breaker, waits = CLOSED, []
    for number in range(7):
        breaker = breaker.trip(NOON, "offline", random=(number % 2) * 0.5)
        assert breaker.next_probe_at is not None
        waits.append((breaker.next_probe_at - NOON).total_seconds())
    assert waits == [1, 2, 4, 8, 15, 22.5, 15]


def test_it_says_since_when_it_is_open_however_often_the_probe_fails() -> None:
    first = CLOSED.trip(NOON, "offline", random=0)
    again = first.trip(NOON + seconds(60), "busy", random=0)
    assert again.open_since == NOON
    assert (again.state, again.reason) == ("open", "busy")


@pytest.mark.parametrize("reason", ["credentials", "configuration"])
def test_what_a_person_has_to_correct_is_probed_every_five_minutes(reason: str) -> None:
    breaker = CLOSED.trip(NOON, reason, random=0)
    assert breaker.next_probe_at == NOON + seconds(CREDENTIALS_PROBE) == NOON + seconds(300)
    assert breaker.at_fault


def test_the_central_may_ask_for_a_wait_of_its_own() -> None:
    for reason in ("busy", "credentials"):
        assert CLOSED.trip(NOON, reason, random=0, wait=77).next_probe_at == NOON + seconds(77)


def test_a_probe_is_due_at_its_time_and_not_before() -> None:
    breaker = CLOSED.trip(NOON, "offline", random=0)
    assert not breaker.probe_due(NOON)
    assert breaker.probe_due(NOON + seconds(1))


def test_a_probe_set_by_a_clock_that_jumped_is_due() -> None:
    breaker = CLOSED.trip(NOON + timedelta(days=400), "offline", random=0)
    assert breaker.probe_due(NOON)
    longest = CLOSED.trip(NOON, "busy", random=0, wait=RETRY_AFTER_LIMIT)
    assert not longest.probe_due(NOON)


def test_a_person_or_new_settings_make_the_probe_due_at_once() -> None:
    breaker = CLOSED.trip(NOON, "credentials", random=0)
    assert breaker.probe_at_once().probe_due(NOON)
    assert CLOSED.probe_at_once() is CLOSED


def test_a_good_probe_lets_one_request_go_as_a_trial() -> None:
    breaker = CLOSED.trip(NOON, "offline", random=0).probe_answered()
    assert breaker.state == "half-open"
    assert not breaker.closed
    assert CLOSED.probe_answered() is CLOSED


def test_three_different_requests_that_fail_open_it() -> None:
    breaker = CLOSED
    for request in ("a", "b"):
        breaker = breaker.request_failed(request, NOON, random=0)
        assert breaker.closed
    breaker = breaker.request_failed("c", NOON, random=0)
    assert (breaker.state, breaker.reason, breaker.last_failed) == ("open", "failing", "c")


def test_one_request_counts_once_however_often_it_fails() -> None:
    breaker = CLOSED
    for request in ("a", "a", "b", "a", "b", "b"):
        breaker = breaker.request_failed(request, NOON, random=0)
        assert breaker.closed
    assert set(breaker.failed) == {"a", "b"}


def test_the_request_that_failed_last_alone_does_not_open_it_again() -> None:
    """Three are remembered; the third failing once more says nothing new."""
    breaker = Breaker(failed=("a", "b", "c"))
    assert breaker.request_failed("c", NOON, random=0).closed
    assert not breaker.request_failed("a", NOON, random=0).closed


def test_a_trial_that_fails_opens_it_again() -> None:
    half_open = CLOSED.trip(NOON, "offline", random=0).probe_answered()
    breaker = half_open.request_failed("a", NOON + seconds(5), random=0)
    assert breaker.state == "open"
    assert breaker.next_probe_at == NOON + seconds(7)


def test_a_trial_is_one_that_did_not_fail_else_the_one_that_failed_longest_ago() -> None:
    breaker = Breaker(failed=("a", "b", "c"))
    assert breaker.trial(["c", "x", "a"]) == "x"
    assert breaker.trial(["c", "b"]) == "b"
    assert breaker.trial([]) is None


def test_what_showed_that_the_central_is_busy_is_not_the_next_trial() -> None:
    """One request that something on the way always refuses must not be the only one that is tried."""
    breaker = CLOSED.trip(NOON, "busy", random=0, request_id="a").probe_answered()
    assert breaker.trial(["a", "b"]) == "b"


def test_only_the_latest_failed_requests_are_remembered() -> None:
    breaker = CLOSED
    for number in range(50):
        breaker = breaker.request_failed(f"r{number}", NOON, random=0)
    assert len(breaker.failed) == 20
    assert breaker.last_failed == "r49"


REASONS = st.sampled_from(["offline", "busy", "failing", "credentials", "configuration"])


@given(st.lists(st.tuples(REASONS, st.booleans(), st.text(max_size=3)), max_size=6))
def test_it_is_the_same_after_it_was_kept(steps: list[tuple[str, bool, str]]) -> None:
    breaker = CLOSED
    for reason, answered, request in steps:
        breaker = breaker.request_failed(request, NOON, random=0.5).trip(NOON, reason, random=0.5)
        breaker = breaker.probe_answered() if answered else breaker
    kept = breaker.to_json()
    canonical_json(kept)
    assert Breaker.from_json(kept) == breaker
    assert Breaker.from_json({}) == CLOSED
