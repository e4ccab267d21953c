"""What the engine needs from outside, and what each side promises.

Adapters live in `erp_offline_sync.adapters`; doubles in `erp_offline_sync.testing`. One contract suite a port
(tests/contract) runs on every adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from .config import Config
from .merge import Merged
from .model import (
    Conflict,
    Document,
    Instant,
    Json,
    Landed,
    Lease,
    Operation,
    Policy,
    Reply,
    Request,
    Schema,
    Status,
    Wire,
)

__all__ = [
    "Central",
    "Clock",
    "Control",
    "Events",
    "Flights",
    "Ids",
    "LocalDocuments",
    "OriginNote",
    "Policies",
    "Ports",
    "Resolver",
    "Store",
]


class Clock(Protocol):
    """Monotonic time and sleep. Wall-clock time comes from `Store.now`, so that it has one source."""

    def monotonic(self) -> float:
        """Seconds; never goes back."""

    def sleep(self, seconds: float) -> None:
        """Block for so long, at most; may return early when the process is asked to stop."""


class Ids(Protocol):
    """New identifiers and randomness, both seedable."""

    def new_key(self) -> str:
        """A time-ordered UUID (version 7) as text; never the same twice."""

    def random(self) -> float:
        """A number in [0, 1)."""


class Control(Protocol):
    """How a run hears that it should end."""

    def stop_reason(self) -> str | None:
        """None to go on; otherwise why not ("shutdown", "maintenance"). Asked between two requests; ≤ 10 ms."""


class Events(Protocol):
    """Tells people. Must not raise and must not carry a document's values."""

    def publish(self, event: str, payload: Json) -> None:
        """Best effort, after the commit of what it tells."""


class Central(Protocol):
    """The central site. No method raises for anything that the line or the central does; it is in the Reply."""

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        """Send one request, once. Not idempotent. Blocks at most `deadline` seconds."""

    @property
    def deadline(self) -> float:
        """The longest that one delivery can take, in seconds."""

    def fetch(self, doctype: str, name: str) -> Reply:
        """The document as it stands: `{"data": {…}}` in the body. Idempotent."""

    def find(self, doctype: str, filters: Json) -> Reply:
        """At most 20 names of documents that match: `{"data": [{"name": …}]}`. Idempotent."""

    def find_created_since(self, doctype: str, since: datetime) -> Reply:
        """At most 1,000 names of documents made by our own API user since that instant (by the central's
        clock, with a margin for its uncertainty): `{"data": [{"name": …}]}`. Idempotent."""

    def probe(self) -> Reply:
        """One cheap authenticated GET: `{"message": <user>}`. Idempotent."""

    def capabilities(self) -> Reply:
        """What a companion at the central says of itself: `{"message": {…}}` (engine/sending/push.py). A central without
        one answers an error. Idempotent."""

    def push(self, data: bytes) -> Reply:
        """Send one push (engine/sending/push.py) to the companion, once: `{"message": {…}}`. Each of its requests has its
        effect once at most, however often it is sent. Blocks at most `deadline` seconds. The answer may be left
        unread: several may wait for the run."""

    def receipts(self, origin: str, keys: Sequence[str]) -> Reply:
        """What the companion knows of requests of this branch with these keys, at most 200:
        `{"message": {"receipts": {…}}}`. Idempotent."""

    def rehearse(self, data: bytes) -> Reply:
        """Ask the companion what it would answer to this push (engine/sending/push.py), of at most 5 requests:
        `{"message": {…}}` as of a push. Nothing of it stays. Blocks at most 10 seconds. Idempotent."""

    def instant(self, wall_clock: str) -> Instant | None:
        """A time of the central (text without a zone) brought to UTC and to this site's clock.
        None where the zone is not known. Sends nothing when the zone was learned before."""


class Flights(Protocol):
    """Calls of the central that are on their way side by side, each over a connection of its own."""

    def start(self, ticket: str, call: Callable[[Central], Reply]) -> None:
        """Begin the call and answer at once. `call` is given a central that nothing else uses meanwhile."""

    def arrived(self) -> bool:
        """Whether `land` would answer at once."""

    def land(self) -> Landed:
        """The next answer that comes, of any call that was begun; waits for it. Raises what that call raised, and
        LookupError where none is on its way."""

    def abandon(self) -> None:
        """Nothing that was begun so far lands any more."""


class OriginNote(Protocol):
    """A text kept outside of the database and beside it, so that neither a copy of the site nor a restored backup
    of its database goes unnoticed."""

    @property
    def site(self) -> str:
        """The name of this site."""

    @property
    def path(self) -> str:
        """Where this site is at home: the absolute path of its folder."""

    def read(self) -> str | None:
        """The text; None where there is none, or none that can be read."""

    def write(self, text: str) -> None:
        """It is on the disk when this returns; broken off, the old text or the new one is there whole. Raises
        SettingsError where it cannot be written."""


class Policies(Protocol):
    """What the settings say of doctypes. Values do not change during a run."""

    def policy(self, doctype: str) -> Policy:
        """The policy of a doctype; a default one where none is set."""

    def schema(self, doctype: str) -> Schema | None:
        """The synced fields; None where there is no meta (standalone): then every field but the
        framework's own is compared."""


class LocalDocuments(Protocol):
    """The branch's own documents. Writes join the store's open transaction where there is one."""

    def current(self, doctype: str, name: str) -> Json | None:
        """The document as it stands, child rows included; None where there is none."""

    def write(self, doctype: str, name: str, values: Json) -> None:
        """Give it these values by a real save that is not captured. Raises LocalRefused."""

    def restore(self, doctype: str, name: str, values: Json) -> None:
        """Insert it anew under its name, not captured. Raises LocalRefused."""

    def delete(self, doctype: str, name: str) -> None:
        """Delete it, not captured. Raises LocalRefused."""

    def rename(self, doctype: str, old: str, new: str) -> None:
        """Give it another name, links to it included; captured as no change. Raises LocalRefused."""

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        """Submit (1) or cancel (2) it, not captured. Raises LocalRefused."""


class Resolver(Protocol):
    """Hooks that may decide a conflict."""

    def decide(self, conflict: Conflict, merged: Merged | None) -> Mapping[str, Any] | None:
        """`{"resolution": …, "values": {…}, "by": hook's name}`; None: no hook wants it. A hook that raises, runs
        too long or answers nonsense is answered as `{"error": text}`: the conflict stays pending."""


class Store(Protocol):
    """The outbox and what belongs to it. Every time is aware UTC and comes from `now`.

    All reads and writes happen inside `transaction()`; at its end everything is committed together, or
    nothing where it raised. Transactions are short: none is open while bytes are sent. Ordinary saves of the
    branch add requests at the same time, in transactions of their own.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """Commit on leaving, roll back on an exception. Begins with a fresh view of the database."""

    def now(self) -> datetime:
        """The database's time."""

    # requests
    def add(self, request: Request) -> Request:
        """Insert only; gives the row its `seq` and answers it. Raises InvalidRequest where `id` is taken."""

    def get(self, request_id: str) -> Request | None:
        """The request; None where there is none of that id."""

    def get_all(self, request_ids: Sequence[str]) -> list[Request]:
        """Those of them that are there, in this order; they are written next in this transaction."""

    def take_up(self, requests: Sequence[Request]) -> None:
        """Changes nothing: these and their documents are read or written next in this transaction, so that a store
        may read and lock all of them at once."""

    def replace(self, request: Request, *, token: int | None = None) -> bool:
        """Write every column of the row anew and move the counters by the change of its status.
        With `token` only where the row's `lease_token` is still that: False, nothing written, otherwise. A better
        `rank` that the row was given since it was claimed stays then.
        At an end its links (`set_links`) are forgotten."""

    def unplaced(self, limit: int) -> list[Request]:
        """Pending requests with readiness NEW or RECHECK, by `seq`."""

    def count_unplaced(self, most: int) -> int:
        """How many of these there are, or `most` where there are more: costs the same however many more."""

    def due(
        self, now: datetime, *, limit: int, horizon: timedelta, doctypes: Collection[str] | None = None
    ) -> list[Request]:
        """READY Pending requests, and Retry Scheduled ones whose time has come or lies further away than
        `horizon`; by (rank, seq). Costs the same at any size of the table."""

    def claim(self, requests: Sequence[Request], token: int) -> list[Request]:
        """Make those that are still Pending or Retry Scheduled In Flight under the token, `sent_at` empty; answers
        them as they stand now. Idempotent under one token; rows locked by others are left out."""

    def in_flight(self, *, not_token: int, limit: int) -> list[Request]:
        """In Flight requests claimed under another token, by `seq`."""

    def doubts(self, now: datetime, *, limit: int, horizon: timedelta) -> list[Request]:
        """In Doubt requests whose `next_retry_at` is empty, has come or lies further away than `horizon`; by `seq`."""

    def next_due_at(self) -> datetime | None:
        """The earliest `next_retry_at` of a Retry Scheduled or In Doubt request."""

    def open_in_line(
        self,
        line: str,
        *,
        before: int | None = None,
        operations: Collection[Operation] | None = None,
        limit: int = 1000,
    ) -> list[Request]:
        """Requests of the line that are not ended, by descending `seq`; only below `before`, and only those of the
        `operations`, where given. Costs as much as it answers, however long the line is."""

    def open_in_group(self, order_group: str, *, before: int) -> Request | None:
        """The latest open request of the order group below that `seq`."""

    def open_on_name(
        self, doctype: str, name: str, operations: Collection[Operation], *, before: int
    ) -> list[Request]:
        """Open requests with that resource_type and resource_id and one of the operations, below that `seq`."""

    def release(self, request_id: str) -> int:
        """Make every Waiting request that waits for this one Pending/RECHECK; answers how many."""

    def waiters(self, request_id: str, *, limit: int = 100) -> list[Request]:
        """Waiting requests that wait for this one, by `seq`."""

    def list_requests(
        self,
        *,
        statuses: Collection[Status] | None = None,
        doctype: str | None = None,
        limit: int = 100,
        after: int = 0,
    ) -> list[Request]:
        """Requests with `seq` > `after`, by `seq`."""

    def purge(self, *, closed_before: datetime, limit: int) -> int:
        """Delete at most `limit` ended requests closed before that; answers how many. Counters stay."""

    # edges: which open request's document links to which line
    def set_links(self, request_id: str, seq: int, lines: Iterable[str]) -> None:
        """The request's document links, or linked, to these lines. Replaces what was set before."""

    def linkers(self, line: str, *, before: int | None = None, limit: int = 100) -> list[Request]:
        """Open requests of other lines whose document links to this one, by `seq`."""

    # documents
    def document(self, line: str) -> Document | None:
        """The document of that line, a deleted one too; None where there is none."""

    def document_named(self, doctype: str, local_name: str) -> Document | None:
        """The one that is not deleted."""

    def documents_at_central(self, doctype: str, central_names: Collection[str]) -> list[Document]:
        """Those that have one of these names at the central, deleted ones too."""

    def put_document(self, document: Document) -> None:
        """Insert or replace by `id`."""

    # conflicts
    def put_conflict(self, conflict: Conflict) -> None:
        """Insert or replace by `id`. At most one pending conflict a line."""

    def conflict(self, conflict_id: str, *, lock: bool = False) -> Conflict | None:
        """The conflict, pending or resolved; None where there is none of that id. With `lock` as it stands now, and
        nobody else changes it before the transaction ends."""

    def pending_conflict(self, line: str) -> Conflict | None:
        """The one pending conflict of the line."""

    def conflicts(self, *, pending: bool = True, limit: int = 100, offset: int = 0) -> list[Conflict]:
        """By creation, oldest first."""

    def count_conflicts(self) -> int:
        """Pending ones."""

    def automatic_decisions(self, line: str, since: datetime) -> int:
        """Conflicts of the line resolved since then by a rule or hook (`resolved_by` begins with "rule:" or "hook:")."""

    # lease, counters, metadata
    def acquire_lease(self, holder: str, seconds: float) -> Lease | None:
        """None while another lease is live. A new token is larger than every one before."""

    def renew_lease(self, lease: Lease, seconds: float) -> Lease | None:
        """None where it was taken over."""

    def release_lease(self, lease: Lease) -> None:
        """Ends it where it is still ours; else does nothing."""

    def live_lease(self) -> Lease | None:
        """The lease that is held now; None where it was given back or has run out."""

    def counters(self) -> Mapping[Status, int]:
        """How many requests ever reached and are now in each state, purged ends included; new rows included.
        Costs the same at any size of the table."""

    def oldest_open(self) -> datetime | None:
        """`created_at` of the oldest request that is not ended; may be found by an index only."""

    def lowest_number(self) -> int | None:
        """The smallest `number` of a request that is not ended; None where none has one. Costs the same at any
        size of the table."""

    def get_meta(self, key: str) -> str | None:
        """The text kept under the key; None where there is none."""

    def set_meta(self, key: str, value: str | None) -> None:
        """Keep the text under the key; None: nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """Everything from outside, put together once by the composition root."""

    store: Store
    central: Central
    flights: Flights
    policies: Policies
    documents: LocalDocuments
    resolver: Resolver
    events: Events
    clock: Clock
    ids: Ids
    control: Control
    config: Config
    language: str | None = None
    """Code of the language in which a companion words its refusals; None: its own."""
    note: OriginNote | None = None
    """None where nothing is kept outside of the outbox."""
