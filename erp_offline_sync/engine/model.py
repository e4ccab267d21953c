"""The values of the engine: requests, documents, conflicts, what is sent and what is answered.

Every value is frozen; a change is a new value (`dataclasses.replace`). Times are aware UTC. `seq` orders
requests by the commits of their document (semantics: "Order, identity, links").
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any

Json = Mapping[str, Any]

DEFAULT_PRIORITY = 5
"""0 goes first, 9 last."""
FORMER = "was:"


class Operation(str, Enum):
    """What a request does to its document; `CALL` is any other allowed call."""

    CREATE = "create"
    UPDATE = "update"
    SUBMIT = "submit"
    CANCEL = "cancel"
    DELETE = "delete"
    RENAME = "rename"
    CALL = "call"


class Status(str, Enum):
    """The eleven states of a request (semantics: "States and the ledger"). The last four are ends."""

    PENDING = "Pending"
    WAITING = "Waiting"
    IN_FLIGHT = "In Flight"
    RETRY = "Retry Scheduled"
    IN_DOUBT = "In Doubt"
    CONFLICT = "Conflict"
    NEEDS_ATTENTION = "Needs Attention"
    SYNCED = "Synced"
    MERGED = "Merged"
    DECIDED = "Decided"
    DISCARDED = "Discarded"


class Readiness(IntEnum):
    """How far a Pending request has been looked at by the run."""

    NEW = 0
    """Written by capture, not yet counted nor placed in its line."""
    RECHECK = 1
    """What it waited for is gone: place it again."""
    READY = 2
    """Nothing stands before it."""


class ConflictType(str, Enum):
    UPDATE_UPDATE = "update_update"
    UPDATE_DELETE = "update_delete"
    DELETE_UPDATE = "delete_update"
    CREATE_CREATE = "create_create"
    STATE = "state"
    CALL = "call"


class Resolution(str, Enum):
    LOCAL_WINS = "local_wins"
    SERVER_WINS = "server_wins"
    MERGE = "merge"
    MANUAL = "manual"
    SKIP = "skip"


class Strategy(str, Enum):
    """What decides a conflict of a doctype when no hook does."""

    LAST_WRITE_WINS = "Last Write Wins"
    LOCAL_WINS = "Local Wins"
    SERVER_WINS = "Server Wins"
    FIELD_MERGE = "Field Merge"
    """What does not clash is merged; clashes go as `merge_clashes` says."""
    MANUAL = "Manual"


class Gap(str, Enum):
    """Why a reply holds no HTTP answer."""

    NOT_SENT = "not sent"
    """The connection was never made: the bytes certainly did not leave."""
    NO_ANSWER = "no answer"
    """The bytes may have left; whether they had an effect is unknown."""
    TLS = "tls"
    """The connection could not be trusted; no body was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link from a document's body to another document of this site, by local names.

    `path` is the field (`customer`) or table field, zero-based row and field (`items.2.item_code`). One that begins
    with `FORMER` is what the field linked to before the change: nothing is rewritten by it, but what deletes or
    renames that document waits for this request.
    """

    path: str
    doctype: str
    name: str
    line: str | None = None
    """Line of the document it names, set when the request is placed: a later rename does not move it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What goes over the line, fixed at the first send: repeats send the same bytes.

    `path` begins with `/api/` and is already quoted; `body` is canonical JSON text, or None for no body.
    """

    method: str
    path: str
    body: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to one HTTP call, or the reason why there is none.

    `body` is the parsed JSON value where `is_json`, or None while that is `unread`; otherwise None. `retry_after` is
    the header as text.
    """

    status: int | None = None
    is_json: bool = False
    body: Any = None
    retry_after: str | None = None
    gap: Gap | None = None
    detail: str = ""
    """A short text without values or secrets: the class of a network error, the kind of a page."""
    request_id: str | None = None
    unread: bytes | None = None
    """The JSON text of the body where it was not parsed yet, packed by zlib: answers to pushes wait side by side, and
    take a fraction of the room so."""

    def read(self) -> Reply:
        """With the body parsed. What is no JSON although it says so is no answer."""
        if self.unread is None:
            return self
        try:
            return replace(self, body=json.loads(zlib.decompress(self.unread)), unread=None)
        except (ValueError, RecursionError):
            # A status alone is no answer: what it was about may be in the part that did not come.
            cut = "the answer broke off"
            return replace(self, is_json=False, unread=None, gap=Gap.NO_ANSWER, detail=cut)


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """The answer to a call that was on its way, and how many seconds it took."""

    ticket: str
    reply: Reply
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of a request's history; holds no document's values."""

    at: datetime
    event: str
    """What happened, one of the verdicts' names or a step of a person ("retry", "discard")."""
    status: int | None = None
    exc_type: str | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One row of the outbox. Without slots, so that a copy is one of a dict (see `altered`).

    `body`, `base` and `links` use the branch's names. For an update `body` holds what changed and `base` the
    same fields before the change; a changed child table is whole on both sides, each row with its local
    `name`. For a create `body` is the whole document. For a rename it is `{"new_name", "merge"}`. For a
    call it is the JSON body to send.
    """

    id: str
    """Name of the row; the first idempotency key."""
    key: str
    """Idempotency key: new when the content changes after an answer."""
    seq: int
    operation: Operation
    resource_type: str | None
    resource_id: str | None
    method: str
    path: str
    body: Json
    created_at: datetime
    base: Json | None = None
    links: tuple[Link, ...] = ()
    unique: Json = field(default_factory=dict)
    """Unique fields of a create with the values given, by which it can be found again."""
    resource_version: str | None = None
    """Version token the caller gave; the engine takes the Synced Document's own where that is newer."""
    changed_at: datetime | None = None
    """Instant of the last change it carries; None: `created_at`."""
    repeatable: bool = False
    overwrite: bool = False
    """A person allowed an update without a version."""
    apart: bool = False
    """A step of its own at the central: it is taken into no other request and takes none in."""
    priority: int = DEFAULT_PRIORITY
    rank: int = DEFAULT_PRIORITY
    """Best priority of this request and of everything that waits for it."""
    order_group: str | None = None
    status: Status = Status.PENDING
    readiness: Readiness = Readiness.NEW
    line: str | None = None
    """Id of the Synced Document whose line this stands in; set when the request is placed."""
    waits_for: str | None = None
    waits_why: str | None = None
    retry_count: int = 0
    """Attempts booked so far (semantics: "Attempts, backoff, breaker")."""
    restamps: int = 0
    contentions: int = 0
    unanswered: int = 0
    next_retry_at: datetime | None = None
    lease_token: int | None = None
    sent_at: datetime | None = None
    sends: int = 0
    wire: Wire | None = None
    number: int | None = None
    """Given at the first send to a companion: the larger, the later. Each key has its own."""
    error_type: str | None = None
    error_message: str | None = None
    refused: bool = False
    """The central's last answer refused it."""
    may_have_arrived: bool = False
    """A send before the last one was never answered: the last answer says nothing of its effect."""
    differences: Json | None = None
    """Fields that the central's answer holds otherwise than sent: {field: [sent, answered]}."""
    merged_into: str | None = None
    replaces: str | None = None
    """The idempotency key that `key` took over from."""
    carries: str | None = None
    """The conflict whose result it takes to the central; the branch's document gets it when it arrived."""
    closed_at: datetime | None = None
    closed_by: str | None = None
    reason: str | None = None
    history: tuple[Attempt, ...] = ()

    def altered(self, **changes: Any) -> Request:
        """A copy with other values in these fields: as `dataclasses.replace`, in a twentieth of its time. A request
        is copied some ten times on its way. Raises TypeError for a field that it does not have."""
        if not changes.keys() <= self.__dict__.keys():
            raise TypeError(f"a request has no {', '.join(sorted(changes.keys() - self.__dict__.keys()))}")
        copy = object.__new__(Request)
        copy.__dict__.update(self.__dict__)
        copy.__dict__.update(changes)
        return copy

    @property
    def last_change(self) -> datetime:
        return self.changed_at or self.created_at

    @property
    def unsure(self) -> bool:
        """Out of a restored backup: it may have been sent since, and is looked up before it goes."""
        return self.may_have_arrived and self.sends == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is known of one document on both sides (doctype Synced Document). Its id is the line."""

    id: str
    doctype: str
    local_name: str
    central_name: str | None = None
    version: str | None = None
    """The central's `modified`, an opaque token, kept byte for byte."""
    base: Json | None = None
    """The document as the central last answered it, in the central's names."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """Names of child rows: local → central."""
    touched_at: datetime | None = None
    """When an answer to a request of ours last gave `version`."""
    deleted: bool = False
    """A delete of it was captured; the name is free for another document."""

    @property
    def linked(self) -> bool:
        """Known to be the same document at the central."""
        return self.central_name is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """Both sides changed one document; the names are those of the doctype Sync Conflict."""

    id: str
    resource_type: str
    resource_id: str
    line: str
    local_request_id: str
    conflict_type: ConflictType
    local_data: Json | None
    """The document as it stands at the branch; None where it is deleted there."""
    base_data: Json | None
    """What both had in common, in the branch's names."""
    server_data: Json | None
    """The document as it stands at the central; None where it is gone."""
    server_version: str | None
    local_changed_at: datetime
    created_at: datetime
    resolution_status: str = "pending"
    resolution: Resolution | None = None
    resolved_by: str | None = None
    resolved_at: datetime | None = None
    reason: str | None = None
    choices: Json | None = None
    """Of a merge: {key of what clashes: "local" or "server"}, as `merge.resolve` takes them."""
    values: Json | None = None
    """Of a merge: the synced fields as both sides are to have them, in the branch's names."""
    undo: Json | None = None
    """How its requests and its document stood before it was decided."""

    @property
    def pending(self) -> bool:
        return self.resolution_status == "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A wall-clock time of another site brought to UTC; `uncertainty` is in seconds, never negative."""

    at: datetime
    uncertainty: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to run: results are recorded only under its `token`."""

    token: int
    holder: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How requests of one doctype travel."""

    strategy: Strategy | None = None
    """None: the site's default."""
    merge_clashes: Strategy | None = None
    """What decides what clashes in a merge: Last Write Wins or Manual; None: the site's default."""
    marked: bool = False
    """A create carries its request's id in a field that was added at the central (`marks`)."""
    names_written_back: bool = False
    """A new document takes the name that the central gave it here too."""
    same_names: bool = False
    """Documents of this doctype carry the same names on both sites: links go under their own name."""


class FieldKind(str, Enum):
    """How two values of a field are compared."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    DATETIME = "datetime"
    TIME = "time"
    JSON = "json"
    TABLE = "table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """The synced fields of a doctype (G5), as one function of the adapter derives them from its meta."""

    fields: Mapping[str, FieldKind]
    tables: Mapping[str, Schema] = field(default_factory=dict)
    """Table field → schema of its rows."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Link field → doctype that it names; of carried fields too."""
    dynamic: Mapping[str, str] = field(default_factory=dict)
    """Dynamic link field → field that holds the doctype it names."""
    carried: frozenset[str] = frozenset()
    """Fields that go along with a create, though nothing is compared in them."""
    required: frozenset[str] = frozenset()
    """Fields that may not be empty."""
    named_here: bool = False
    """The branch gives such documents their name (autoname prompt and its like, or its policy): a create carries
    it."""
    outgoing: Json = field(default_factory=dict)
    """Values that the policy sets on the way out, with each create."""
    precision: Mapping[str, int] = field(default_factory=dict)
    """Number field → decimals that count where two sides are merged."""
    counted: bool = False
    """The central takes the names of such documents from a counter."""
    first_state: tuple[str, str] | None = None
    """Field and first state of the workflow: a document is created in it, and moved by a step of its own."""
