"""Every family of figures, in the order of the table."""

from __future__ import annotations

from . import claim, cost, drain, merge, returning, sites, wire
from .figure import Topic

__all__ = ["ALL"]

ALL: tuple[Topic, ...] = (drain, cost, claim, merge, returning, wire, sites)
