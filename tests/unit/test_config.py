"""Settings as people write them, checked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from erp_offline_sync.engine.config import SETTINGS, Config, parse
from erp_offline_sync.engine.errors import SettingsError
from erp_offline_sync.engine.model import Resolution, Strategy


def test_without_settings_every_default_holds() -> None:
    assert parse({}) == Config()
    assert (
        parse(dict.fromkeys([*SETTINGS, "default_strategy", "lww_uncertain", "merge_clashes"], ""))
        == Config()
    )


@pytest.mark.parametrize("name", SETTINGS)
def test_both_ends_of_a_range_are_allowed_and_what_lies_beyond_names_setting_and_range(name: str) -> None:
    setting = SETTINGS[name]
    for value in (setting.low, setting.high):
        # Another bound of two settings is tested below; here it must not interfere.
        other = {"base_retry_delay": 100, "max_retry_delay": 86_400_000}
        assert getattr(parse({**other, name: value}), name) == value
    for value in (setting.low - 1, setting.high + 1):
        with pytest.raises(SettingsError, match=f"{name} must lie between {setting.low} and {setting.high}"):
            parse({name: value})


def test_numbers_may_be_given_as_text_and_other_names_are_passed_over() -> None:
    assert parse({"max_retries": " 7 ", "central_url": "https://central.example"}).max_retries == 7


@pytest.mark.parametrize("value", ["five", "1.5", True, [1]])
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(SettingsError, match="max_retries must be a whole number"):
        parse({"max_retries": value})


def test_all_that_is_wrong_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        parse({"max_retries": "x", "retention_days": 0, "default_strategy": "Hope"})
    for name in ("max_retries", "retention_days", "default_strategy"):
        assert name in str(refused.value)


@pytest.mark.parametrize("strategy", Strategy)
def test_every_strategy_can_be_chosen_by_its_name(strategy: Strategy) -> None:
    assert parse({"default_strategy": strategy.value}).default_strategy is strategy


def test_an_uncertain_order_goes_to_the_server_or_to_a_person_and_nowhere_else() -> None:
    assert parse({"lww_uncertain": "server_wins"}).lww_uncertain is Resolution.SERVER_WINS
    assert parse({"lww_uncertain": "manual"}).lww_uncertain is Resolution.MANUAL
    with pytest.raises(SettingsError, match="lww_uncertain must be one of server_wins, manual"):
        parse({"lww_uncertain": "local_wins"})


def test_what_clashes_goes_to_the_last_write_or_to_a_person_and_nowhere_else() -> None:
    assert parse({"merge_clashes": "Manual"}).merge_clashes is Strategy.MANUAL
    with pytest.raises(SettingsError, match="merge_clashes must be one of Last Write Wins, Manual"):
        parse({"merge_clashes": "Field Merge"})
    with pytest.raises(SettingsError, match="merge_clashes must be one of"):
        parse({"merge_clashes": ["Manual"]})


def test_the_longest_delay_is_not_shorter_than_the_first() -> None:
    with pytest.raises(SettingsError, match="must not be smaller than base_retry_delay"):
        parse({"base_retry_delay": 2000, "max_retry_delay": 1000})


def test_delays_are_set_in_milliseconds_and_read_in_seconds() -> None:
    config = parse({"base_retry_delay": 1500, "max_retry_delay": 60_000})
    assert (config.base_seconds, config.max_seconds) == (1.5, 60.0)


def test_no_due_time_that_the_engine_sets_lies_beyond_the_horizon() -> None:
    """Neither a retry at its longest, nor a look-up after the send, nor one at a submit that was queued."""
    assert Config().horizon == timedelta(seconds=330)
    slow = parse({"base_retry_delay": 300_000, "max_retry_delay": 300_000})
    assert slow.horizon == timedelta(seconds=1200)
    day = parse({"max_retry_delay": 86_400_000})
    assert day.horizon == timedelta(seconds=1.1 * 86_400)
