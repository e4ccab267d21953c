"""Events for the log: ids and classes, never a document's values."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest

from erp_offline_sync.adapters.log_events import AllEvents, CallEvents, LogEvents
from erp_offline_sync.engine.events import OUTCOME, PROGRESS, STATE_CHANGED
from erp_offline_sync.engine.model import Gap, Link, Operation, Reply, Request
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import RecordedEvents, ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import Fault, ModelCentral

LOGGER = logging.getLogger("test_log_events")
CANARY = "Aurelia Quill"


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def test_an_outcome_is_one_line_of_pairs_without_what_is_not_known(log: pytest.LogCaptureFixture) -> None:
    LogEvents(LOGGER).publish(OUTCOME, {"request": "r1", "http_status": 417, "next": None})
    assert log.messages == ["request=r1 http_status=417"]


def test_a_value_that_is_not_one_word_stands_in_quotes(log: pytest.LogCaptureFixture) -> None:
    """What reads the log by its pairs finds the same values again."""
    told = {"doctype": "Sales Invoice", "why": 'said "no"', "note": "a=b\nc", "next": ""}
    LogEvents(LOGGER).publish(OUTCOME, {"request": "r1", **told})
    (line,) = log.messages
    assert line.startswith('request=r1 doctype="Sales Invoice" why="said \\"no\\"" ')
    assert "\n" not in line
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*")', line)
    assert {key: json.loads(value) for key, value in pairs} == told


@pytest.mark.parametrize("event", [STATE_CHANGED, PROGRESS, "anything else"])
def test_what_is_meant_for_people_is_not_logged(log: pytest.LogCaptureFixture, event: str) -> None:
    LogEvents(LOGGER).publish(event, {"state": "idle"})
    assert log.messages == []


def test_every_event_is_handed_to_a_function() -> None:
    got: list[Any] = []
    CallEvents(lambda event, payload: got.append((event, payload))).publish(PROGRESS, {"total": 3})
    assert got == [(PROGRESS, {"total": 3})]


def test_a_receiver_that_fails_keeps_neither_the_others_nor_the_run_from_going_on(
    log: pytest.LogCaptureFixture,
) -> None:
    def fails(event: str, payload: Any) -> None:
        raise ConnectionError(f"redis://user:secret@host {CANARY}")

    recorded = RecordedEvents()
    AllEvents([CallEvents(fails), recorded], LOGGER).publish(PROGRESS, {"total": 3})
    assert recorded.published == [(PROGRESS, {"total": 3})]
    assert log.messages == ["event=sync-progress receiver=CallEvents error=ConnectionError"]


REFUSALS = [
    Reply(status=417, is_json=True, body={"exc_type": "ValidationError", "_error_message": CANARY}),
    Reply(status=409, is_json=True, body={"exc_type": "DuplicateEntryError", "message": CANARY}),
    Reply(status=403, is_json=True, body={"exc_type": "PermissionError", "_error_message": CANARY}),
    Reply(status=500, is_json=True, body={"exception": f"KeyError: {CANARY}"}),
    Reply(gap=Gap.NO_ANSWER, detail="ReadTimeout"),
]


@pytest.mark.parametrize("answer", [None, *REFUSALS])
def test_no_value_and_no_name_of_a_document_is_in_a_log_line_or_an_event(
    log: pytest.LogCaptureFixture, answer: Reply | None
) -> None:
    """G6, whatever the central answers; names of documents may be people's."""
    clock = FrozenClock()
    store, central, recorded = MemoryStore(clock.now), ModelCentral(clock.now), RecordedEvents()
    ports = ports_around(store, central, clock, events=recorded)
    object.__setattr__(ports, "events", AllEvents([LogEvents(LOGGER), recorded], LOGGER))
    central.insert("Customer", CANARY, customer_name=CANARY)
    central.faults = [Fault(answer)] if answer else []
    with store.transaction():
        store.add(
            Request(
                id="r1",
                key="r1",
                seq=0,
                operation=Operation.CREATE,
                resource_type="Customer",
                resource_id=CANARY,
                method="POST",
                path=f"/api/resource/Customer/{CANARY}",
                body={"customer_name": CANARY},
                unique={"customer_name": CANARY},
                links=(Link(path="territory", doctype="Territory", name=CANARY),),
                created_at=store.now(),
            )
        )
    SyncEngine(ports, holder="test").run()
    assert any("request=r1" in message for message in log.messages)
    for told in (log.text, repr(recorded.published)):
        assert CANARY not in told
