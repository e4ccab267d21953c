"""The settings of the engine, in the units in which people write them, and their ranges in one table.

Source of the defaults and ranges: hooks-docs/settings.md. Where a setting comes from (site_config, Settings
document, environment) is decided by the caller; `parse` only checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any

from .backoff import longest
from .errors import SettingsError
from .model import Resolution, Strategy

__all__ = ["SETTINGS", "Config", "Setting", "parse"]

RETRY_AFTER_LIMIT = 6 * 3600.0
"""Seconds; no answer of the central can make a request or the destination wait longer."""
QUEUED_WAIT = 4
"""Base delays until a submit that the central only queued is looked at again."""
CREDENTIALS_PROBE = 300.0
"""Seconds between two probes while the central refuses the credentials."""
CONTENTIONS_FREE = 3
"""Deadlocks or lock time-outs in a row that are no attempt."""
RESTAMPS = 3
"""How often a request may take a new version of a document in which no synced field moved."""
UNANSWERED_BOOKED = 3
"""A request unanswered so often, with a good probe after each, is booked an attempt for each."""
AUTOMATIC_DECISIONS_A_DAY = 3
HISTORY_KEPT = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One number that people may set: its unit, default and range (both ends allowed)."""

    unit: str
    default: int
    low: int
    high: int


SETTINGS: Mapping[str, Setting] = {
    "processing_interval": Setting(unit="ms", default=5000, low=1000, high=86_400_000),
    "max_retries": Setting(unit="", default=3, low=0, high=100),
    "base_retry_delay": Setting(unit="ms", default=1000, low=100, high=3_600_000),
    "max_retry_delay": Setting(unit="ms", default=300_000, low=100, high=86_400_000),
    "sync_batch_size": Setting(unit="requests", default=10, low=1, high=1000),
    "sync_lanes": Setting(unit="lanes", default=8, low=1, high=16),
    "central_request_timeout": Setting(unit="s", default=120, low=10, high=3600),
    "max_body_mb": Setting(unit="MB", default=25, low=1, high=100),
    "retention_days": Setting(unit="days", default=7, low=1, high=3650),
}

_CHOICES: Mapping[str, tuple[Enum, ...]] = {
    "default_strategy": tuple(Strategy),
    "lww_uncertain": (Resolution.SERVER_WINS, Resolution.MANUAL),
    "merge_clashes": (Strategy.LAST_WRITE_WINS, Strategy.MANUAL),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Checked settings. Delays and intervals are in milliseconds, as in the settings; see the properties."""

    processing_interval: int = SETTINGS["processing_interval"].default
    max_retries: int = SETTINGS["max_retries"].default
    base_retry_delay: int = SETTINGS["base_retry_delay"].default
    max_retry_delay: int = SETTINGS["max_retry_delay"].default
    sync_batch_size: int = SETTINGS["sync_batch_size"].default
    sync_lanes: int = SETTINGS["sync_lanes"].default
    central_request_timeout: int = SETTINGS["central_request_timeout"].default
    max_body_mb: int = SETTINGS["max_body_mb"].default
    retention_days: int = SETTINGS["retention_days"].default
    default_strategy: Strategy = Strategy.LAST_WRITE_WINS
    lww_uncertain: Resolution = Resolution.SERVER_WINS
    merge_clashes: Strategy = Strategy.LAST_WRITE_WINS

    @property
    def base_seconds(self) -> float:
        return self.base_retry_delay / 1000

    @property
    def max_seconds(self) -> float:
        return self.max_retry_delay / 1000

    @property
    def horizon(self) -> timedelta:
        """No due time can lie further away; one that does was made by a clock that jumped, and is due."""
        waits = (longest(self.max_seconds), QUEUED_WAIT * self.base_seconds, self.central_request_timeout)
        return timedelta(seconds=max(waits))


def parse(values: Mapping[str, Any]) -> Config:
    """Check settings given as numbers or text; names that are not settings of the engine are passed over.

    Raises SettingsError naming every setting that is wrong and its range.
    """
    checked: dict[str, Any] = {}
    problems: list[str] = []
    for name, setting in SETTINGS.items():
        value = values.get(name)
        if value is None or value == "":
            continue
        try:
            number = int(str(value))
        except ValueError:
            problems.append(f"{name} must be a whole number, not {str(value)[:40]!r}")
            continue
        if not setting.low <= number <= setting.high:
            unit = f" {setting.unit}" if setting.unit else ""
            problems.append(f"{name} must lie between {setting.low} and {setting.high}{unit}, not {number}")
            continue
        checked[name] = number
    for name, choices in _CHOICES.items():
        value = values.get(name)
        if value is None or value == "":
            continue
        allowed = {choice.value: choice for choice in choices}
        if not isinstance(value, str) or value not in allowed:
            problems.append(f"{name} must be one of {', '.join(allowed)}")
            continue
        checked[name] = allowed[value]
    config = Config(**checked)
    if not problems and config.max_retry_delay < config.base_retry_delay:
        problems.append("max_retry_delay must not be smaller than base_retry_delay")
    if problems:
        raise SettingsError("; ".join(problems) + ".")
    return config
