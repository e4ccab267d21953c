"""How long a refused request waits (semantics: "Attempts, backoff, breaker").

Exponential, capped, with jitter added after the cap, so that a wait never exceeds 1.1 times the maximum.
Everything is in seconds.
"""

from __future__ import annotations

__all__ = ["JITTER", "delay", "longest"]

JITTER = 0.1
"""The part of a delay that randomness may add."""

_STEEPEST = 1000
"""2.0**1024 does not exist; any cap is reached long before."""


def delay(n: int, *, base: float, maximum: float, random: float) -> float:
    """Seconds to wait after a failing answer.

    `n` counts the failing answers before this one (0 for the first), `random` is a number in [0, 1).
    Raises ValueError for a negative `n`.
    """
    if n < 0:
        raise ValueError("n must not be negative")
    capped = min(base * 2.0 ** min(n, _STEEPEST), maximum)
    return capped + capped * JITTER * random


def longest(maximum: float) -> float:
    """The longest possible delay: what is due further away than this was made by another clock."""
    return maximum * (1 + JITTER)
