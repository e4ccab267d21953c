"""The size of pushes, and the search for the request that spoils one."""

from __future__ import annotations

import json

import pytest

from erp_offline_sync.engine.sending.batching import AIM, LARGEST, Batching


def names(count: int) -> list[str]:
    return [f"r{number}" for number in range(count)]


def pushes(count: int, *, trip: float, each: float, size: int = 10) -> list[int]:
    """The sizes with which so many requests go to a central of these costs."""
    batching, sizes = Batching(size=size), []
    while count:
        sent = min(batching.size, count)
        sizes.append(sent)
        batching = batching.measured(sent=sent, looked_at=sent, seconds=trip + sent * each)
        count -= sent
    return sizes


@pytest.mark.parametrize(
    ("trip", "each"), [(0.02, 0.005), (0.2, 0.005), (0.075, 0.05), (0.7, 0.005), (0.0, 0.3), (30.0, 0.001)]
)
def test_pushes_come_to_take_two_to_five_seconds_or_as_much_as_one_may_hold(trip: float, each: float) -> None:
    last = pushes(10_000, trip=trip, each=each)[-2]
    assert 2 <= trip + last * each <= 5 or last in (1, LARGEST)


def test_a_slow_line_does_not_keep_pushes_small() -> None:
    assert pushes(2000, trip=1.0, each=0.001)[:4] == [10, 34, 115, 360]


def test_a_push_that_was_not_full_does_not_make_the_next_larger() -> None:
    assert Batching(size=100).measured(sent=3, looked_at=3, seconds=0.1).size == 100


def test_what_the_central_did_not_get_to_makes_the_next_smaller() -> None:
    assert Batching(size=100).measured(sent=100, looked_at=20, seconds=20).size == int(20 * AIM / 20)
    assert Batching(size=100).measured(sent=100, looked_at=0, seconds=1).size == 1


def test_the_last_requests_are_shared_out_among_the_lanes() -> None:
    batching = Batching(size=400).measured(sent=400, looked_at=400, seconds=4.0)
    assert [batching.share(left, 4) for left in (10_000, 3200, 1600, 420, 90)] == [400, 400, 200, 150, 150]
    assert batching.share(390, 1) == 390


def test_what_a_share_is_worth_is_told_by_full_pushes() -> None:
    """A small one is on its way for longer than it is worked on."""
    batching = Batching(size=400).measured(sent=400, looked_at=400, seconds=4.0)
    assert batching.measured(sent=100, looked_at=100, seconds=2.0).share(90, 4) == batching.share(90, 4)


def test_a_share_is_ten_times_as_long_as_the_way_at_least() -> None:
    shares = {
        seconds: Batching(size=400).measured(sent=400, looked_at=400, seconds=seconds, took=4.0).share(90, 4)
        for seconds in (4.0, 4.01, 4.05, 4.1, 4.2, 9.0)
    }
    assert shares == {4.0: 40, 4.01: 40, 4.05: 49, 4.1: 99, 4.2: 150, 9.0: 150}


def test_a_push_that_waited_for_a_worker_does_not_make_the_way_longer_at_once() -> None:
    batching = Batching(size=400).measured(sent=400, looked_at=400, seconds=4.05, took=4.0)
    waited = batching.measured(sent=400, looked_at=400, seconds=6.0, took=4.0)
    assert waited.way == pytest.approx(1.05 * batching.way)
    for _ in range(60):
        waited = waited.measured(sent=400, looked_at=400, seconds=4.5, took=4.0)
    assert waited.way == pytest.approx(0.5)


def test_a_small_push_tells_the_pace_where_the_central_says_how_long_it_worked() -> None:
    batching = Batching(size=400).measured(sent=400, looked_at=400, seconds=4.2, took=4.0)
    assert batching.measured(sent=10, looked_at=10, seconds=0.3, took=0.2).pace == pytest.approx(50)
    assert batching.measured(sent=10, looked_at=10, seconds=0.3).pace == pytest.approx(100)


def test_nothing_is_shared_out_before_a_push_told_what_a_share_is_worth() -> None:
    assert Batching(size=400).share(40, 8) == 400


def test_the_companion_may_allow_fewer_at_once() -> None:
    assert Batching(size=40).measured(sent=40, looked_at=40, seconds=0.01, most=50).size == 50


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 100, 500])
def test_one_that_spoils_every_push_is_alone_after_log2_n_steps(count: int) -> None:
    for poison in {0, count // 2, count - 1}:
        due, batching, spoilt, sent = names(count), Batching(size=LARGEST), 0, 0
        while due:
            chosen = batching.chosen(due)
            sent += 1
            if f"r{poison}" in chosen:
                spoilt += 1
                batching = batching.spoilt(chosen)
                if chosen == [f"r{poison}"]:
                    due.remove(chosen[0])
                continue
            batching = batching.cleared(chosen)
            due = [name for name in due if name not in chosen]
        assert spoilt - 1 <= (count - 1).bit_length()
        assert sent <= 2 * count.bit_length() + 1
        assert batching.groups == ()


def test_what_is_under_suspicion_goes_with_nothing_else() -> None:
    batching = Batching(size=10).spoilt(["a", "b", "c"])
    assert batching.groups == (("a", "b"), ("c",))
    assert batching.chosen(["a", "x", "b", "c", "y"]) == ["x", "y"]
    assert batching.chosen(["a", "b", "c"]) == ["a", "b"]
    assert batching.chosen(["c", "b"]) == ["c"]
    assert batching.chosen([]) == []


def test_what_failed_alone_goes_alone() -> None:
    batching = Batching(size=10)
    assert batching.chosen(["a", "b", "c"], {"a"}) == ["b", "c"]
    assert batching.chosen(["a", "b"], {"a", "b"}) == ["a"]
    assert batching.spoilt(["a", "b"]).chosen(["a", "b"], {"a"}) == ["b"]


def test_no_more_go_together_than_the_size_says() -> None:
    assert Batching(size=2).chosen(names(5)) == ["r0", "r1"]
    assert Batching(size=2, groups=(("r0", "r1", "r2"),)).chosen(names(3)) == ["r0", "r1"]


def test_what_is_too_large_for_something_on_the_way_makes_later_pushes_smaller() -> None:
    batching = Batching(size=10).too_large(1_000_000)
    assert batching.most_bytes == 500_000
    assert batching.too_large(1000).most_bytes == 64 * 1024


def test_it_is_kept_as_json() -> None:
    batching = Batching(size=7).spoilt(names(3)).too_large(1_000_000)
    assert Batching.from_json(json.loads(json.dumps(batching.to_json())), size=10) == batching
    assert Batching.from_json(None, size=10) == Batching(size=10)
