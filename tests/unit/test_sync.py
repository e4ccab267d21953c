"""The sync engine over the memory store and a modelled central: what a run does with an outbox."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from erp_offline_sync.engine.model import Link, Operation, Reply, Request, Status
from erp_offline_sync.engine.sync import RunReport, SyncEngine
from erp_offline_sync.engine.transitions import ledger
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import MemoryDocuments, RecordedEvents, ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import Fault, ModelCentral


@dataclass
class Branch:
    """A branch with a memory store; `save` and its kin do what capture does."""

    clock: FrozenClock
    store: MemoryStore
    central: ModelCentral
    documents: MemoryDocuments
    events: RecordedEvents
    engine: SyncEngine

    def queue(self, operation: Operation, doctype: str, name: str, body: dict[str, Any], **more: Any) -> str:
        with self.store.transaction():
            key = self.engine._ports.ids.new_key()
            request = Request(
                id=key,
                key=key,
                seq=0,
                operation=operation,
                resource_type=doctype,
                resource_id=name,
                method="POST",
                path="/api/resource/x",
                body=body,
                created_at=self.store.now(),
                **more,
            )
            return self.store.add(request).id

    def create(self, doctype: str, name: str, links: tuple[Link, ...] = (), **values: Any) -> str:
        self.documents.documents[doctype, name] = {"name": name, "docstatus": 0, **values}
        return self.queue(Operation.CREATE, doctype, name, values, links=links)

    def update(self, doctype: str, name: str, **values: Any) -> str:
        document = self.documents.documents[doctype, name]
        base = {field: document.get(field) for field in values}
        document.update(values)
        return self.queue(Operation.UPDATE, doctype, name, values, base=base)

    def run(self, **options: Any) -> RunReport:
        return self.engine.run(**options)

    def get(self, request_id: str) -> Request:
        with self.store.transaction():
            request = self.store.get(request_id)
        assert request is not None
        return request

    def statuses(self) -> list[str]:
        with self.store.transaction():
            return [request.status.value for request in self.store.list_requests(limit=1000)]


@pytest.fixture
def branch() -> Branch:
    clock = FrozenClock()
    store = MemoryStore(clock.now)
    central = ModelCentral(clock.now, links={"Sale": {"customer": "Customer"}})
    documents, events = MemoryDocuments(), RecordedEvents()
    ports = ports_around(store, central, clock, documents=documents, events=events)
    return Branch(clock, store, central, documents, events, SyncEngine(ports, holder="test"))


def test_a_saved_document_reaches_the_central(branch: Branch) -> None:
    request = branch.create("Customer", "C-1", customer_name="Ann")
    report = branch.run()
    assert report.reason == "done"
    assert report.stats.success == 1
    assert branch.get(request).status is Status.SYNCED
    (document,) = branch.central.documents["Customer"].values()
    assert document["customer_name"] == "Ann"


def test_a_sale_waits_for_its_customer_and_carries_the_central_name(branch: Branch) -> None:
    sale = branch.create(
        "Sale", "S-1", links=(Link(path="customer", doctype="Customer", name="C-1"),), customer="C-1", total=5
    )
    branch.create("Customer", "C-1", customer_name="Ann")
    with branch.store.transaction():
        first, second = branch.store.list_requests()
    assert (first.id, second.resource_type) == (sale, "Customer")


def test_updates_follow_the_create_under_the_name_and_version_that_the_central_gave(branch: Branch) -> None:
    branch.create("Customer", "C-1", customer_name="Ann")
    branch.run()
    branch.update("Customer", "C-1", customer_name="Anna")
    branch.run()
    (document,) = branch.central.documents["Customer"].values()
    assert document["customer_name"] == "Anna"
    assert branch.statuses() == ["Synced", "Synced"]


def test_nothing_is_lost_and_no_attempt_is_used_while_the_central_is_down(branch: Branch) -> None:
    branch.central.online = False
    branch.create("Customer", "C-1", customer_name="Ann")
    for number in range(30):
        branch.create(
            "Sale",
            f"S-{number}",
            links=(Link(path="customer", doctype="Customer", name="C-1"),),
            customer="C-1",
        )
    for _ in range(10):
        branch.run(linger_offline=50)
        branch.clock.advance(600)
    assert len(branch.central.delivered) <= 1
    branch.central.online = True
    branch.clock.advance(40)
    assert branch.run().reason == "done"
    assert len(branch.central.documents["Sale"]) == 30
    with branch.store.transaction():
        assert all(request.retry_count == 0 for request in branch.store.list_requests(limit=100))
        assert ledger(branch.store.counters()).applied == 31


def test_an_unanswered_create_is_found_and_not_made_twice(branch: Branch) -> None:
    branch.central.faults.append(Fault(Reply(), applies=True))
    request = branch.create("Customer", "C-1", customer_name="Ann")
    branch.run()
    assert branch.get(request).status is Status.SYNCED
    assert len(branch.central.documents["Customer"]) == 1


def test_a_version_that_moved_with_no_field_changed_is_no_conflict(branch: Branch) -> None:
    branch.create("Customer", "C-1", customer_name="Ann")
    branch.run()
    (name,) = branch.central.documents["Customer"]
    branch.central.edit("Customer", name)
    branch.update("Customer", "C-1", customer_name="Anna")
    branch.run()
    assert branch.statuses() == ["Synced", "Synced"]
    assert branch.central.documents["Customer"][name]["customer_name"] == "Anna"


def test_the_later_write_wins_and_both_sides_are_equal_afterwards(branch: Branch) -> None:
    branch.create("Customer", "C-1", customer_name="Ann", city="Rome")
    branch.run()
    (name,) = branch.central.documents["Customer"]
    branch.clock.advance(60)
    branch.central.edit("Customer", name, city="Oslo")
    branch.clock.advance(60)
    branch.update("Customer", "C-1", customer_name="Anna")
    branch.run()
    there = branch.central.documents["Customer"][name]
    here = branch.documents.documents["Customer", "C-1"]
    assert (there["customer_name"], there["city"]) == ("Anna", "Oslo")
    assert (here["customer_name"], here["city"]) == ("Anna", "Oslo")
