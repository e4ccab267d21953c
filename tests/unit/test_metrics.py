"""What the runs did, hour by hour: counts and durations, kept for a while."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from support import Branch, refused

from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.metrics import KEPT_DAYS, Hour, by_day, metric_lines, read_metrics


def metrics(branch: Branch, days: int = 7) -> dict[str, Any]:
    with branch.store.transaction():
        return read_metrics(branch.store, days=days)


def test_before_the_first_run_there_is_nothing(branch: Branch) -> None:
    shown = metrics(branch)
    assert shown["hours"] == []
    assert Hour(**shown["total"]) == Hour()


def test_a_run_keeps_what_it_sent_and_how_long_that_had_waited(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.later(30)
    branch.create("Customer", "C-2")
    branch.later(10)
    branch.run()
    (hour,) = metrics(branch)["hours"]
    assert (hour["runs"], hour["unreached"], hour["applied"], hour["captured"]) == (1, 0, 2, 2)
    assert (hour["lag_seconds"], hour["lag_longest"]) == (50.0, 40.0)
    assert datetime.fromisoformat(hour["at"]).utcoffset() == timedelta(0)


def test_runs_of_one_hour_are_added_up_and_the_ledger_is_the_last_ones(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.run()
    branch.create("Customer", "C-2")
    branch.run()
    (hour,) = metrics(branch)["hours"]
    assert (hour["runs"], hour["applied"], hour["captured"], hour["waiting"]) == (2, 2, 2, 0)


def test_a_run_that_did_not_reach_the_central_says_so_and_what_waits(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.central.online = False
    branch.run()
    total = metrics(branch)["total"]
    assert (total["runs"], total["unreached"], total["applied"], total["waiting"]) == (1, 1, 0, 1)


def test_what_was_refused_is_a_failure(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.answer(refused(417, "MandatoryError"))
    branch.run()
    total = metrics(branch)["total"]
    assert (total["failures"], total["applied"], total["held"]) == (1, 0, 1)


def test_a_conflict_is_one_whoever_decides_it(branch: Branch) -> None:
    name = branch.synced("Customer", "C-1", tier="gold")
    branch.central.edit("Customer", name, tier="silver")
    branch.update("Customer", "C-1", tier="platinum")
    branch.run()
    assert metrics(branch)["total"]["conflicts"] == 1


def test_only_the_hours_asked_for_are_answered_oldest_first(branch: Branch) -> None:
    for number in range(3):
        branch.create("Customer", f"C-{number}")
        branch.run()
        branch.later(86_400)
    assert [hour["applied"] for hour in metrics(branch)["hours"]] == [1, 1, 1]
    assert metrics(branch, 1)["total"]["applied"] == 1
    branch.later(7200)
    assert metrics(branch, 1)["hours"] == []
    ats = [hour["at"] for hour in metrics(branch)["hours"]]
    assert ats == sorted(ats)


def test_a_day_is_forgotten_after_ninety(branch: Branch) -> None:
    branch.create("Customer", "C-1")
    branch.run()
    first = f"metrics:{branch.clock.now():%Y-%m-%d}"
    with branch.store.transaction():
        assert branch.store.get_meta(first)
    branch.later(KEPT_DAYS * 86_400)
    branch.run()
    with branch.store.transaction():
        assert branch.store.get_meta(first) is None


def test_a_later_hour_of_a_known_day_forgets_nothing_more(branch: Branch) -> None:
    branch.run()
    branch.later(3600)
    branch.run()
    assert [hour["runs"] for hour in metrics(branch)["hours"]] == [1, 1]


@pytest.mark.parametrize("days", [0, -1, KEPT_DAYS + 1])
def test_a_span_out_of_range_is_refused(branch: Branch, days: int) -> None:
    with pytest.raises(InvalidRequest, match="from 1 to 90"):
        metrics(branch, days)


def hour_at(text: str, **values: Any) -> dict[str, Any]:
    at = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)
    return {"at": at.isoformat(), "applied": 1, "runs": 1, **values}


def test_days_are_those_of_the_readers_zone() -> None:
    answer = {"hours": [hour_at("2025-03-01T20:00:00"), hour_at("2025-03-01T23:00:00", applied=2)]}
    days = by_day(answer, ZoneInfo("Europe/Berlin"))
    assert [(day, hour.applied) for day, hour in days] == [("2025-03-01", 1), ("2025-03-02", 2)]


def test_the_table_has_a_line_a_day_and_one_of_all_with_readable_spans() -> None:
    hours = [hour_at("2025-03-01T20:00:00", lag_seconds=5400.0, lag_longest=5400.0)]
    total = {key: value for key, value in hours[0].items() if key != "at"}
    _, first, together = metric_lines({"hours": hours, "total": total}, timezone.utc)
    assert first.startswith("2025-03-01")
    assert first.count("1.5 h") == 2
    assert together.startswith("together")


def test_conflicts_and_spans_of_nothing_sent() -> None:
    lines = metric_lines({"hours": [], "total": {"conflicts": 3}}, timezone.utc)
    assert lines[-1].split()[:4] == ["together", "0", "0", "3"]
    assert "0.0 s" in lines[-1]
