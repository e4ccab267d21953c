"""How many lanes: more while more brings more, and half of them where it is too much."""

from __future__ import annotations

import pytest

from erp_offline_sync.engine.sending.width import Width

MOST = 8


def widths(*, hands: int, flights: int, most: int = MOST, width: Width | None = None) -> list[int]:
    """The widths through so many flights, each of 100 requests, at a central that works on `hands` of them at once
    for a second each."""
    width = width or Width()
    seen = []
    for _ in range(flights):
        width = width.flown(carried=100, seconds=max(1.0, width.lanes / hands), most=most)
        seen.append(width.lanes)
    return seen


def test_they_double_while_that_brings_more() -> None:
    assert widths(hands=100, flights=8) == [2, 4, 4, 8, 8, 8, 8, 8]
    assert set(widths(hands=100, flights=300)[8:]) == {7, 8}


def test_never_more_than_are_allowed() -> None:
    assert max(widths(hands=100, flights=100, most=5)) == 5
    assert widths(hands=100, flights=3, most=1) == [1, 1, 1]
    assert widths(hands=100, flights=1, most=3, width=Width(lanes=8)) == [8]
    assert widths(hands=100, flights=8, most=3, width=Width(lanes=8))[-1] == 3


@pytest.mark.parametrize("hands", [1, 2, 3, 5])
def test_a_central_with_few_hands_is_not_asked_for_more_than_it_has_use_for(hands: int) -> None:
    seen = widths(hands=hands, flights=600)[100:]
    assert max(set(seen), key=seen.count) == hands
    assert hands - 1 <= min(seen)
    assert max(seen) <= hands + 1


def test_too_many_that_a_lucky_first_moment_brought_are_given_back() -> None:
    assert widths(hands=2, flights=600, width=Width(lanes=8, steady=True))[-1] <= 3


def test_what_did_not_pay_is_tried_again_after_a_while() -> None:
    """The central may have got more hands since."""
    busy = widths(hands=1, flights=200)
    assert busy.count(1) > 100
    assert set(busy) == {1, 2}
    assert max(widths(hands=100, flights=300, width=Width(steady=True))) == MOST


def test_too_much_at_once_halves_them() -> None:
    assert [Width(lanes=lanes).halved().lanes for lanes in (8, 5, 2, 1)] == [4, 2, 1, 1]
    halved = Width(lanes=8).halved()
    assert widths(hands=100, flights=4, width=halved) == [4] * 4


def test_a_few_quick_answers_say_nothing_yet() -> None:
    width = Width()
    for _ in range(4):
        width = width.flown(carried=1, seconds=0.01, most=MOST)
    assert width.lanes == 1
    assert width.flown(carried=1, seconds=0.02, most=MOST).lanes == 2


def test_the_number_outlives_a_run() -> None:
    assert Width.from_json(Width(lanes=4, steady=True, carried=3).to_json(), most=MOST) == Width(
        lanes=4, steady=True
    )
    assert Width.from_json(Width(lanes=8).to_json(), most=2) == Width(lanes=2)
    assert Width.from_json(None, most=MOST) == Width()
