"""What is told of a run, with the promised keys."""

from __future__ import annotations

from erp_offline_sync.engine.events import Stats

STATS = Stats(success=3, failure=2, conflict=1, duration_ms=450)


def test_stats_have_the_promised_keys_and_can_be_read_back() -> None:
    assert STATS.to_json() == {
        "successCount": 3,
        "failureCount": 2,
        "conflictCount": 1,
        "lastSyncDuration": 450,
    }
    assert Stats.from_json(STATS.to_json()) == STATS
    assert Stats.from_json({}) == Stats()


def test_progress_never_shows_more_done_than_there_is() -> None:
    assert STATS.progress(10) == {
        "processed": 6,
        "total": 10,
        "successCount": 3,
        "failureCount": 2,
        "conflictCount": 1,
    }
    assert STATS.progress(4)["total"] == 6
