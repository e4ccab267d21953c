"""What of a run reaches the Desk, inside a site."""

from __future__ import annotations

from erp_offline_sync.engine.events import OUTCOME, PROGRESS, STATE_CHANGED


def test_how_far_a_run_is_is_told_now_and_then_and_at_its_end(site, monkeypatch):
    from erp_offline_sync.adapters.realtime_events import RealtimeEvents

    told = []
    monkeypatch.setattr(site, "publish_realtime", lambda event, payload, **_: told.append((event, payload)))
    events = RealtimeEvents()
    events.publish(STATE_CHANGED, {"state": "syncing"})
    for processed in range(501):
        events.publish(PROGRESS, {"processed": processed, "total": 500})
        events.publish(OUTCOME, {"request": "r"})
    events.publish(STATE_CHANGED, {"state": "idle"})
    progress = [payload["processed"] for event, payload in told if event == PROGRESS]
    assert progress[0] == 0
    assert progress[-1] == 500
    assert len(progress) < 50
    assert [payload for event, payload in told if event == STATE_CHANGED] == [
        {"state": "syncing"},
        {"state": "idle"},
    ]
    assert OUTCOME not in {event for event, _ in told}
