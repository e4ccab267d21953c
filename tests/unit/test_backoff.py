"""How long a refused request waits."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_offline_sync.engine.backoff import delay, longest

RANDOM = st.floats(0, 1, exclude_max=True)


def test_the_delay_doubles_from_the_base_up_to_the_maximum() -> None:
    delays = [delay(n, base=1.0, maximum=300.0, random=0.0) for n in range(11)]
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_jitter_adds_up_to_a_tenth_after_the_cap() -> None:
    assert delay(0, base=1.0, maximum=300.0, random=0.5) == pytest.approx(1.05)
    assert delay(20, base=1.0, maximum=300.0, random=0.5) == pytest.approx(315.0)


@given(st.integers(0, 10**9), st.floats(0.001, 3600), st.floats(0.001, 86400), RANDOM)
def test_no_wait_is_longer_than_the_longest_possible(
    n: int, base: float, maximum: float, random: float
) -> None:
    """Whatever the number of answers: no overflow, and nothing beyond what counts as a clock that jumped."""
    seconds = delay(n, base=base, maximum=maximum, random=random)
    assert 0 < seconds <= longest(maximum)


@given(st.integers(0, 2000), RANDOM)
def test_a_later_answer_never_waits_less_without_jitter(n: int, random: float) -> None:
    assert delay(n + 1, base=1.0, maximum=300.0, random=random) >= delay(
        n, base=1.0, maximum=300.0, random=random
    )


def test_a_negative_count_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        delay(-1, base=1.0, maximum=300.0, random=0.0)
