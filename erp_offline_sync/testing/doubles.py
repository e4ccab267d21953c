"""Small doubles: events that are kept, and everything put together around a memory store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from erp_offline_sync.adapters.standalone import NoDocuments, PlainPolicies, RegisteredHooks, StopFlag
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.model import Json, Landed, Reply
from erp_offline_sync.engine.ports import Central, Clock, Flights, LocalDocuments, Policies, Ports, Store
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.testing.clock import FrozenClock, SeededIds

__all__ = ["MemoryDocuments", "MemoryFlights", "MemoryNote", "RecordedEvents", "ports_around"]


@dataclass
class RecordedEvents:
    """The Events port: keeps what was published, in order."""

    published: list[tuple[str, Json]] = field(default_factory=list)

    def publish(self, event: str, payload: Json) -> None:
        self.published.append((event, payload))

    def of(self, event: str) -> list[Json]:
        return [payload for name, payload in self.published if name == event]


class MemoryFlights:
    """The Flights port without threads: a call is over when it has begun. They land in the order of their starts, or
    in the one that `land_next` says, which is given the tickets."""

    def __init__(self, central: Central, clock: Clock) -> None:
        self._central = central
        self._clock = clock
        self._flying: dict[str, Landed] = {}
        self.most = 0
        """The most that were on their way at once."""
        self.land_next: Callable[[list[str]], str] = lambda tickets: tickets[0]
        self.late = 0
        """So many times none is said to have arrived yet."""

    def start(self, ticket: str, call: Callable[[Central], Reply]) -> None:
        began = self._clock.monotonic()
        reply = call(self._central)
        self._flying[ticket] = Landed(ticket=ticket, reply=reply, seconds=self._clock.monotonic() - began)
        self.most = max(self.most, len(self._flying))

    def arrived(self) -> bool:
        if self._flying and self.late:
            self.late -= 1
            return False
        return bool(self._flying)

    def land(self) -> Landed:
        if not self._flying:
            raise LookupError("Nothing is on its way.")
        return self._flying.pop(self.land_next(list(self._flying)))

    def abandon(self) -> None:
        self._flying.clear()


class MemoryDocuments:
    """The LocalDocuments port: the branch's documents in a dictionary by (doctype, name).

    A row written without a name gets one, as the framework does.
    """

    def __init__(self, documents: Mapping[tuple[str, str], Json] | None = None) -> None:
        self.documents: dict[tuple[str, str], dict[str, Any]] = {
            key: dict(value) for key, value in (documents or {}).items()
        }
        self._rows = 0

    def current(self, doctype: str, name: str) -> Json | None:
        return deepcopy(self.documents.get((doctype, name)))

    def write(self, doctype: str, name: str, values: Json) -> None:
        self.documents[doctype, name].update(self._named(values))

    def restore(self, doctype: str, name: str, values: Json) -> None:
        self.documents[doctype, name] = {**self._named(values), "name": name}

    def delete(self, doctype: str, name: str) -> None:
        self.documents.pop((doctype, name), None)

    def rename(self, doctype: str, old: str, new: str) -> None:
        self.documents[doctype, new] = {**self.documents.pop((doctype, old)), "name": new}

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        self.documents[doctype, name]["docstatus"] = docstatus

    def _named(self, values: Json) -> dict[str, Any]:
        return {
            field: [self._row(row) if isinstance(row, Mapping) else row for row in value]
            if isinstance(value, list)
            else value
            for field, value in values.items()
        }

    def _row(self, row: Json) -> dict[str, Any]:
        if row.get("name"):
            return dict(row)
        self._rows += 1
        return {**row, "name": f"row-{self._rows}"}


@dataclass
class MemoryNote:
    """The OriginNote port: what a folder beside the database would keep."""

    site: str = "branch.example"
    path: str = "/sites/branch.example"
    text: str | None = None

    def read(self) -> str | None:
        return self.text

    def write(self, text: str) -> None:
        self.text = text


def ports_around(
    store: Store,
    central: Central,
    clock: FrozenClock,
    *,
    seed: int = 0,
    documents: LocalDocuments | None = None,
    policies: Policies | None = None,
    registry: HookRegistry | None = None,
    events: RecordedEvents | None = None,
    control: StopFlag | None = None,
    config: Config | None = None,
    note: MemoryNote | None = None,
    flights: Flights | None = None,
) -> Ports:
    """A whole set of ports for a test; what is not given is the standalone one."""
    return Ports(
        store=store,
        central=central,
        flights=flights or MemoryFlights(central, clock),
        policies=policies or PlainPolicies(),
        documents=documents or NoDocuments(),
        resolver=RegisteredHooks(registry or HookRegistry()),
        events=events or RecordedEvents(),
        clock=clock,
        ids=SeededIds(seed, clock),
        control=control or StopFlag(),
        config=config or Config(),
        note=note,
    )
