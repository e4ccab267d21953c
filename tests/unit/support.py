"""A branch in memory: what capture, a run and people do with its outbox, without a bench."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from erp_offline_sync.adapters.standalone import PlainPolicies, StopFlag
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import LocalRefused
from erp_offline_sync.engine.model import (
    Conflict,
    ConflictType,
    Document,
    FieldKind,
    Gap,
    Json,
    Link,
    Operation,
    Policy,
    Reply,
    Request,
    Schema,
    Status,
    Strategy,
)
from erp_offline_sync.engine.ports import LocalDocuments, Ports
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.engine.sending.lanes import LANES
from erp_offline_sync.engine.sync import RunReport, SyncEngine
from erp_offline_sync.engine.transitions import Ledger, ledger
from erp_offline_sync.engine.values import moved_fields
from erp_offline_sync.testing.clock import FrozenClock
from erp_offline_sync.testing.doubles import (
    MemoryDocuments,
    MemoryFlights,
    MemoryNote,
    RecordedEvents,
    ports_around,
)
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import Fault, ModelCentral

__all__ = [
    "CUSTOMER",
    "ITEMS",
    "LOST",
    "NOON",
    "NOT_SENT",
    "OWN_NAMES",
    "SCHEMAS",
    "Branch",
    "StrictDocuments",
    "a_branch",
    "a_conflict",
    "a_request",
    "body",
    "drain",
    "manual",
    "most_at_once",
    "older",
    "page",
    "refused",
    "with_lanes",
]

CUSTOMER = {"customer": "Customer"}
OWN_NAMES = {"Customer": Policy(), "Item": Policy()}
"""Doctypes whose documents do not carry the same names on both sites."""
SCHEMAS = {
    "Customer": Schema(fields={"city": FieldKind.TEXT, "phone": FieldKind.TEXT}),
    "Sale": Schema(
        fields={"customer": FieldKind.TEXT, "total": FieldKind.NUMBER},
        tables={"items": Schema(fields={"item": FieldKind.TEXT, "qty": FieldKind.NUMBER})},
        links={"customer": "Customer"},
    ),
}
ITEMS = [{"name": "a", "item": "A", "qty": 1}, {"name": "b", "item": "B", "qty": 2}]

NOON = datetime(2026, 1, 5, 12, 0, tzinfo=timezone.utc)
LOST = Reply(gap=Gap.NO_ANSWER, detail="ReadTimeout")
NOT_SENT = Reply(gap=Gap.NOT_SENT, detail="ConnectTimeout")


def refused(status: int, exc_type: str | None, message: str = "", **more: Any) -> Reply:
    """An error as Frappe answers it."""
    body = {"exc_type": exc_type} if exc_type else {}
    return Reply(status=status, is_json=True, body={**body, "_error_message": message}, **more)


def page(status: int, **more: Any) -> Reply:
    """An answer of something between the sites: no JSON."""
    return Reply(status=status, detail="text/html", **more)


def a_request(**changes: Any) -> Request:
    """An update of Customer C-1 that capture just wrote."""
    given: dict[str, Any] = {
        "id": "r1",
        "key": "r1",
        "seq": 1,
        "operation": Operation.UPDATE,
        "resource_type": "Customer",
        "resource_id": "C-1",
        "method": "PUT",
        "path": "/api/resource/Customer/C-1",
        "body": {"city": "Rome"},
        "base": {"city": "Oslo"},
        "created_at": NOON,
    }
    if changes.get("operation", Operation.UPDATE) is not Operation.UPDATE:
        given["base"] = None
    return Request(**{**given, **changes})


def a_conflict(**changes: Any) -> Conflict:
    given: dict[str, Any] = {
        "id": "c1",
        "resource_type": "Customer",
        "resource_id": "C-1",
        "line": "l1",
        "local_request_id": "r1",
        "conflict_type": ConflictType.UPDATE_UPDATE,
        "local_data": {"city": "Rome"},
        "base_data": {"city": "Oslo"},
        "server_data": {"city": "Bonn"},
        "server_version": "2026-01-05 11:00:00.000000",
        "local_changed_at": NOON,
        "created_at": NOON,
    }
    return Conflict(**{**given, **changes})


class StrictDocuments(MemoryDocuments):
    """Refuses every write with `refuses` while it is set, as a submitted or linked document would."""

    refuses: str | None = None

    def write(self, doctype: str, name: str, values: Json) -> None:
        self._ask()
        super().write(doctype, name, values)

    def restore(self, doctype: str, name: str, values: Json) -> None:
        self._ask()
        super().restore(doctype, name, values)

    def delete(self, doctype: str, name: str) -> None:
        self._ask()
        super().delete(doctype, name)

    def rename(self, doctype: str, old: str, new: str) -> None:
        self._ask()
        super().rename(doctype, old, new)

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        self._ask()
        super().set_docstatus(doctype, name, docstatus)

    def _ask(self) -> None:
        if self.refuses:
            raise LocalRefused(self.refuses)


@dataclass
class Branch:
    """A branch with a memory store; `create` and its kin do what a save does, and capture after it."""

    clock: FrozenClock
    store: MemoryStore
    central: ModelCentral
    documents: StrictDocuments
    events: RecordedEvents
    registry: HookRegistry
    control: StopFlag
    ports: Ports
    engine: SyncEngine

    # saves

    def queue(
        self, operation: Operation, doctype: str | None, name: str | None, body: Json, **more: Any
    ) -> str:
        with self.store.transaction():
            key = self.ports.ids.new_key()
            given: dict[str, Any] = {"method": "POST", "path": "/api/resource/x", **more}
            request = Request(
                id=key,
                key=key,
                seq=0,
                operation=operation,
                resource_type=doctype,
                resource_id=name,
                body=body,
                created_at=self.store.now(),
                **given,
            )
            return self.store.add(request).id

    def create(
        self, doctype: str, name: str, *, links: Mapping[str, str] | None = None, **values: Any
    ) -> str:
        """`links`: {field: doctype}. `request` holds columns of the request."""
        more = values.pop("request", {})
        self.documents.documents[doctype, name] = {"name": name, "docstatus": 0, **values}
        return self.queue(Operation.CREATE, doctype, name, values, links=_links(values, links), **more)

    def update(
        self, doctype: str, name: str, *, links: Mapping[str, str] | None = None, **values: Any
    ) -> str:
        more = values.pop("request", {})
        document = self.documents.documents[doctype, name]
        base = {field: document.get(field) for field in values}
        document.update(values)
        return self.queue(
            Operation.UPDATE, doctype, name, values, base=base, links=_links(values, links), **more
        )

    def submit(self, doctype: str, name: str, **values: Any) -> str:
        return self._move(Operation.SUBMIT, 1, doctype, name, values)

    def cancel(self, doctype: str, name: str, **values: Any) -> str:
        return self._move(Operation.CANCEL, 2, doctype, name, values)

    def _move(
        self, operation: Operation, docstatus: int, doctype: str, name: str, values: dict[str, Any]
    ) -> str:
        document = self.documents.documents[doctype, name]
        base = {field: document.get(field) for field in values}
        document.update(values, docstatus=docstatus)
        return self.queue(operation, doctype, name, values, base=base)

    def delete(self, doctype: str, name: str) -> str:
        document = self.documents.documents.pop((doctype, name))
        return self.queue(Operation.DELETE, doctype, name, {}, base=document)

    def rename(self, doctype: str, old: str, new: str, *, merge: bool = False) -> str:
        document = self.documents.documents.pop((doctype, old))
        links: tuple[Link, ...] = ()
        if merge:
            links = (Link(path="new_name", doctype=doctype, name=new),)
        else:
            self.documents.documents[doctype, new] = {**document, "name": new}
        return self.queue(Operation.RENAME, doctype, old, {"new_name": new, "merge": merge}, links=links)

    def call(self, path: str = "/api/method/shop.close_day", **more: Any) -> str:
        body = more.pop("body", {"shop": "Rome"})
        return self.queue(Operation.CALL, None, None, body, path=path, **more)

    def synced(self, doctype: str, name: str, **values: Any) -> str:
        """A document that both sites have; answers the central's name."""
        self.create(doctype, name, **values)
        assert self.run().reason == "done"
        central_name = self.line_of(doctype, name).central_name
        assert central_name is not None
        return central_name

    # runs

    def run(self, **options: Any) -> RunReport:
        return self.engine.run(**options)

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def answer(self, *replies: Reply, applies: bool = False) -> None:
        """What the next deliveries are answered, whether or not they have their effect."""
        self.central.faults.extend(Fault(reply, applies=applies) for reply in replies)

    # looks

    def get(self, request_id: str) -> Request:
        with self.store.transaction():
            request = self.store.get(request_id)
        assert request is not None
        return request

    def status(self, request_id: str) -> Status:
        return self.get(request_id).status

    def requests(self) -> list[Request]:
        with self.store.transaction():
            return self.store.list_requests(limit=1000)

    def statuses(self) -> list[Status]:
        return [request.status for request in self.requests()]

    def conflict(self) -> Conflict:
        """The latest conflict."""
        with self.store.transaction():
            return self.store.conflicts(pending=False)[-1]

    def pending(self) -> Conflict:
        """The one conflict that waits for a person."""
        with self.store.transaction():
            (conflict,) = self.store.conflicts()
        return conflict

    def ledger(self) -> Ledger:
        with self.store.transaction():
            return ledger(self.store.counters())

    def line_of(self, doctype: str, name: str) -> Document:
        with self.store.transaction():
            document = self.store.document_named(doctype, name)
        assert document is not None
        return document

    def here(self, doctype: str, name: str) -> dict[str, Any] | None:
        return self.documents.documents.get((doctype, name))

    def there(self, doctype: str, central_name: str) -> dict[str, Any] | None:
        return self.central.documents.get(doctype, {}).get(central_name)

    def names_there(self, doctype: str) -> list[str]:
        return list(self.central.documents.get(doctype, {}))

    def assert_equal(self, doctype: str, name: str) -> None:
        """G5: the same on both sites, in every field but the framework's, and in state."""
        here = self.here(doctype, name)
        there = self.there(doctype, str(self.line_of(doctype, name).central_name))
        assert here is not None
        assert there is not None
        schema = self.ports.policies.schema(doctype)
        assert moved_fields(here, there, schema) == []
        assert (here.get("docstatus") or 0) == (there.get("docstatus") or 0)

    def sent(self, number: int = -1) -> tuple[str, str, str | None]:
        _key, wire = self.central.delivered[number]
        return wire.method, wire.path, wire.body


def _links(values: Json, links: Mapping[str, str] | None) -> tuple[Link, ...]:
    """One link a named field, or table.row.field, with the name that the values hold there."""

    def name(path: str) -> str:
        value: Any = values
        for step in path.split("."):
            value = value[int(step)] if step.isdigit() else value[step]
        return str(value)

    return tuple(Link(path=path, doctype=doctype, name=name(path)) for path, doctype in (links or {}).items())


def a_branch(
    *,
    config: Config | None = None,
    policies: Mapping[str, Policy] | None = None,
    schemas: Mapping[str, Schema] | None = None,
    documents: LocalDocuments | None = None,
    central: Callable[[Callable[[], datetime]], ModelCentral] | None = None,
    unique: Iterable[tuple[str, str]] = (),
    note: MemoryNote | None = None,
    companion: bool = False,
) -> Branch:
    """`documents`: other ones than those that the saves are written to, such as none at all."""
    clock = FrozenClock()
    store = MemoryStore(clock.now)
    there = (central or ModelCentral)(clock.now)
    there.unique = dict(unique)
    there.has_companion = companion
    there.links = {"Sale": {"customer": "Customer"}}
    here, events, registry, control = StrictDocuments(), RecordedEvents(), HookRegistry(), StopFlag()
    ports = ports_around(
        store,
        there,
        clock,
        documents=documents or here,
        policies=PlainPolicies(policies, schemas),
        registry=registry,
        events=events,
        control=control,
        config=config,
        note=note,
    )
    engine = SyncEngine(ports, holder="test")
    return Branch(clock, store, there, here, events, registry, control, ports, engine)


def manual(**more: Any) -> Branch:
    """A branch where conflicts wait for a person, so that they can be looked at."""
    return a_branch(config=Config(default_strategy=Strategy.MANUAL), **more)


def with_lanes(branch: Branch, lanes: int) -> None:
    """The next run begins so wide, as one that found this before."""
    with branch.store.transaction():
        branch.store.set_meta(LANES, json.dumps({"lanes": lanes, "steady": True}))


def most_at_once(branch: Branch) -> int:
    """How many pushes or requests were on their way at once."""
    assert isinstance(branch.ports.flights, MemoryFlights)
    return branch.ports.flights.most


def drain(branch: Branch, times: int = 8) -> None:
    """Runs, with an hour between them: everything that may go has gone."""
    for _ in range(times):
        branch.run()
        branch.later(3600)


def body(branch: Branch, number: int = -1) -> Any:
    text = branch.sent(number)[2]
    return None if text is None else json.loads(text)


def older(branch: Branch, there: Any, **here: Any) -> None:
    if there is not None:
        branch.central.insert("Customer", "C-1", **there)
    branch.documents.documents["Customer", "C-1"] = {"name": "C-1", **here}
