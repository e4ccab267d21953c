"""A modelled central without a network: documents in memory, answers as Frappe gives them, faults on demand.

For simulations and unit tests. The HTTP stand-in (`stand_in.py`) is its counterpart behind a real socket. What
each answer looks like was seen on running sites; hooks-docs/testing.md says which rules are modelled.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from erp_offline_sync.engine.errors import MessageTooLarge, UnreadableMessage
from erp_offline_sync.engine.model import Gap, Instant, Json, Reply, Wire
from erp_offline_sync.engine.values import FRAMEWORK_FIELDS
from erp_offline_sync.testing.model_companion import ModelCompanion

__all__ = ["Fault", "ModelCentral", "refusal"]

_RESOURCE = re.compile(r"/api/resource/([^/]+)(?:/(.+))?")
_UNREACHABLE = Reply(gap=Gap.NOT_SENT, detail="ConnectionRefusedError")
PEOPLE = "boss@example.com"
"""Who writes at the central but the branch's own API user."""


@dataclass(frozen=True)
class Fault:
    """What happens to the next delivery. `reply` None: the central's own answer comes back."""

    reply: Reply | None
    applies: bool = False
    """The request has its effect before the reply is given."""
    late: float | None = None
    """Seconds after which the bytes arrive all the same."""
    copies: int = 1
    """How often the network delivers the bytes."""


@dataclass
class ModelCentral:
    """The Central port. `clock_now` is its clock; `effects` lists every write that had an effect, in order."""

    clock_now: Callable[[], datetime]
    user: str = "branch@example.com"
    documents: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    """{doctype: {name: document}}"""
    unique: Mapping[str, str] = field(default_factory=dict)
    """{doctype: field that is its name}"""
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """{doctype: {field, or table.field: doctype it names}}"""
    submittable: frozenset[str] | None = None
    """None: every doctype."""
    after_submit: Mapping[str, frozenset[str]] | None = None
    """{doctype: fields that may change once it is submitted}; None: all of them."""
    queues: frozenset[str] = frozenset()
    """Doctypes whose submit and cancel are only queued, and done `queue_seconds` later."""
    queue_seconds: float = 6.0
    rules: list[Callable[[str, Json], Reply | None]] = field(default_factory=list)
    """What else the central refuses of a doctype's values, asked before a create or update."""
    online: bool = True
    answers_all: Reply | None = None
    """What everything is answered with, probe and look-ups too: a proxy, maintenance, revoked credentials."""
    faults: list[Fault] = field(default_factory=list)
    effects: list[tuple[str, str, str, Json]] = field(default_factory=list)
    """(key, what, doctype/name, body)"""
    delivered: list[tuple[str, Wire]] = field(default_factory=list)
    made_by: dict[tuple[str, str], str] = field(default_factory=dict)
    """(doctype, name) → key of the request that made it; a rename takes it along."""
    probes: int = 0
    deadline: float = 60.0
    has_companion: bool = False
    """Whether the app is installed there; may change while a branch is at work."""
    _late: list[tuple[datetime, str, Wire]] = field(default_factory=list)
    _queued: dict[tuple[str, str], tuple[datetime, int]] = field(default_factory=dict)
    """(doctype, name) → when it is moved, and to which docstatus; it is locked until then."""
    _late_pushes: list[tuple[datetime, bytes]] = field(default_factory=list)
    _count: int = 0
    _tick: int = 0

    def __post_init__(self) -> None:
        self.companion = ModelCompanion(
            rest=self.apply,
            look=self._look,
            wall_clock=self._wall_clock,
            user=self.user,
            undoing=self._undoing,
        )

    # the port

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        self.arrive()
        self.delivered.append((key, wire))
        if not self.online:
            return _UNREACHABLE
        if self.answers_all is not None:
            return self.answers_all
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            return self.apply(wire, key)
        if fault.late is not None:
            self._late.append((self.clock_now() + timedelta(seconds=fault.late), key, wire))
        if fault.reply is not None and not fault.applies:
            return fault.reply
        answers = [self.apply(wire, key) for _ in range(fault.copies)]
        return fault.reply or answers[0]

    def fetch(self, doctype: str, name: str) -> Reply:
        return self._read() or self._fetched(doctype, name)

    def find(self, doctype: str, filters: Json) -> Reply:
        refused = self._read()
        if refused is not None:
            return refused
        found = [
            {"name": name}
            for name, document in self.documents.get(doctype, {}).items()
            if all(document.get(key) == value for key, value in filters.items())
        ]
        return _ok({"data": found[:20]})

    def find_created_since(self, doctype: str, since: datetime) -> Reply:
        refused = self._read()
        if refused is not None:
            return refused
        text = _wall(since - timedelta(seconds=2))
        found = [
            {"name": name}
            for name, document in self.documents.get(doctype, {}).items()
            if document["owner"] == self.user and document["creation"] >= text
        ]
        return _ok({"data": found[:1000]})

    def probe(self) -> Reply:
        self.probes += 1
        return self._read() or _ok({"message": self.user})

    def capabilities(self) -> Reply:
        refused = self._read() or self._no_companion()
        return refused or _ok(self.companion.capabilities())

    def push(self, data: bytes) -> Reply:
        self.arrive()
        if not self.online:
            return _UNREACHABLE
        if self.answers_all is not None:
            return self.answers_all
        missing = self._no_companion()
        if missing is not None:
            return missing
        fault = self.faults.pop(0) if self.faults else None
        if fault is None:
            return self._pushed(data)
        if fault.late is not None:
            self._late_pushes.append((self.clock_now() + timedelta(seconds=fault.late), data))
        if fault.reply is not None and not fault.applies:
            return fault.reply
        answers = [self._pushed(data) for _ in range(fault.copies)]
        return fault.reply or answers[0]

    def rehearse(self, data: bytes) -> Reply:
        refused = self._read() or self._no_companion()
        return refused or self._understood(self.companion.rehearse, data)

    def receipts(self, origin: str, keys: Sequence[str]) -> Reply:
        refused = self._read() or self._no_companion()
        return refused or _ok(self.companion.receipts(keys))

    def instant(self, wall_clock: str) -> Instant | None:
        try:
            at = datetime.fromisoformat(wall_clock).replace(tzinfo=timezone.utc)
        except ValueError:
            return None
        return Instant(at=at, uncertainty=1.0)

    # what somebody at the central does

    def edit(self, doctype: str, name: str, **values: Any) -> None:
        """Somebody there changes a document."""
        document = self.documents[doctype][name]
        document.update(values)
        document["modified"] = self._version()
        document["modified_by"] = PEOPLE

    def insert(self, doctype: str, name: str, **values: Any) -> Json:
        """Somebody there makes a document."""
        return self._insert(doctype, {**values, "name": name}, owner=PEOPLE)

    def remove(self, doctype: str, name: str) -> None:
        """Somebody there deletes a document."""
        del self.documents[doctype][name]
        self.made_by.pop((doctype, name), None)

    # how it answers

    def arrive(self) -> None:
        """What was held up on the way and is due arrives now; whoever sent it gets no answer."""
        now = self.clock_now()
        for (doctype, name), (at, docstatus) in list(self._queued.items()):
            if at <= now:
                del self._queued[doctype, name]
                if name in self.documents.get(doctype, {}):
                    document = self.documents[doctype][name]
                    document.update(docstatus=docstatus, modified=self._version())
        due = sorted((each for each in self._late if each[0] <= now), key=lambda each: each[0])
        self._late = [each for each in self._late if each[0] > now]
        for _, key, wire in due:
            self.apply(wire, key)
        pushes = [data for at, data in self._late_pushes if at <= now]
        self._late_pushes = [each for each in self._late_pushes if each[0] > now]
        for data in pushes:
            self._pushed(data)

    def apply(self, wire: Wire, key: str) -> Reply:
        """The answer to a request that arrives; may be called again with the same bytes, as a network may."""
        body = json.loads(wire.body) if wire.body else {}
        match = _RESOURCE.fullmatch(wire.path)
        if match is None:
            return self._call(wire, body, key)
        doctype, name = _unquoted(match[1]), _unquoted(match[2]) if match[2] else None
        if wire.method == "POST":
            reply = self._post(doctype, body)
            what = "create"
        elif wire.method == "PUT":
            reply, what = self._put(doctype, str(name), body), "update"
        else:
            reply, what = self._delete(doctype, str(name)), "delete"
        if reply.status in (200, 202):
            stored = reply.body["data"] if isinstance(reply.body["data"], dict) else {"name": name}
            self.effects.append((key, what, f"{doctype}/{stored['name']}", body))
            if what == "create":
                self.made_by[doctype, stored["name"]] = key
        return reply

    def linking(self, doctype: str, name: str) -> Iterator[tuple[str, str]]:
        """(doctype, name) of the documents that link to this one."""
        for other, fields in self.links.items():
            for path, target in fields.items():
                if target == doctype:
                    for each in self.documents.get(other, {}).values():
                        if name in _linked(each, path):
                            yield other, str(each["name"])

    def _look(self, doctype: str, name: str) -> Json | None:
        return copy.deepcopy(self.documents.get(doctype, {}).get(name))

    def _wall_clock(self) -> str:
        return _wall(self.clock_now())

    def _no_companion(self) -> Reply | None:
        return None if self.has_companion else refusal(417, "ValidationError")

    @contextmanager
    def _undoing(self) -> Iterator[None]:
        kept = copy.deepcopy((self.documents, self.made_by, self._queued, self.effects))
        try:
            yield
        finally:
            self.documents, self.made_by, self._queued, self.effects = kept

    def _pushed(self, data: bytes) -> Reply:
        return self._understood(self.companion.push, data)

    def _understood(self, ask: Callable[[bytes], Reply], data: bytes) -> Reply:
        try:
            return ask(data)
        except UnreadableMessage as why:
            status = 413 if isinstance(why, MessageTooLarge) else 400
            return refusal(status, type(why).__name__)

    def _read(self) -> Reply | None:
        self.arrive()
        return self.answers_all if self.online else _UNREACHABLE

    def _fetched(self, doctype: str, name: str) -> Reply:
        document = self.documents.get(doctype, {}).get(name)
        return _ok({"data": copy.deepcopy(document)}) if document else refusal(404, "DoesNotExistError")

    def _call(self, wire: Wire, body: Json, key: str) -> Reply:
        if wire.path == "/api/method/frappe.client.rename_doc":
            return self._rename(body["doctype"], body["old_name"], body["new_name"], bool(body["merge"]), key)
        self.effects.append((key, "call", wire.path, body))
        return _ok({"message": "done"})

    def _rename(self, doctype: str, old: str, new: str, merge: bool, key: str) -> Reply:
        table = self.documents.get(doctype, {})
        if old not in table:
            return refusal(404, "DoesNotExistError")
        if (new in table) != merge:
            return refusal(417, "ValidationError")
        document = table.pop(old)
        maker = self.made_by.pop((doctype, old), None)
        if not merge:
            document["name"] = new
            if doctype in self.unique:
                document[self.unique[doctype]] = new
            table[new] = document
            if maker is not None:
                self.made_by[doctype, new] = maker
        self._follow(doctype, old, new)
        self.effects.append((key, "rename", f"{doctype}/{new}", {"old_name": old, "new_name": new}))
        return _ok({"message": new})

    def _follow(self, doctype: str, old: str, new: str) -> None:
        """Links go along with a rename, by SQL: no version moves."""
        for other, fields in self.links.items():
            for path, target in fields.items():
                if target != doctype:
                    continue
                table, _, cell = path.partition(".")
                for each in self.documents.get(other, {}).values():
                    for holder in (each.get(table) or []) if cell else [each]:
                        if holder.get(cell or table) == old:
                            holder[cell or table] = new

    def _missing_link(self, doctype: str, body: Json) -> Reply | None:
        for path, target in self.links.get(doctype, {}).items():
            for name in _linked(body, path):
                there = self.documents.get(target, {}).get(name)
                if there is None:
                    return refusal(417, "LinkValidationError")
                if there["docstatus"] == 2 and path != "amended_from":
                    return refusal(417, "CancelledLinkError")
        return None

    def _refused(self, doctype: str, body: Json) -> Reply | None:
        for rule in self.rules:
            refused = rule(doctype, body)
            if refused is not None:
                return refused
        return self._missing_link(doctype, body)

    def _post(self, doctype: str, body: dict[str, Any]) -> Reply:
        refused = self._refused(doctype, body)
        if refused is not None:
            return refused
        if body.get("docstatus") and (not self._may_be_submitted(doctype) or body["docstatus"] != 1):
            return refusal(417, "DocstatusTransitionError")
        given = body.get(self.unique.get(doctype, ""))
        name = str(given) if given else body.get("name")
        if name and name in self.documents.get(doctype, {}):
            return refusal(409, "DuplicateEntryError")
        document = self._insert(doctype, {**body, "name": name}, owner=self.user)
        if document["docstatus"] and doctype in self.queues:
            document["docstatus"] = self._queue(doctype, document, 1)
        return _ok({"data": copy.deepcopy(document)})

    def _queue(self, doctype: str, document: Json, docstatus: int) -> int:
        """The docstatus until then."""
        at = self.clock_now() + timedelta(seconds=self.queue_seconds)
        self._queued[doctype, document["name"]] = (at, docstatus)
        return docstatus - 1

    def _may_be_submitted(self, doctype: str) -> bool:
        return self.submittable is None or doctype in self.submittable

    def _insert(self, doctype: str, body: Json, *, owner: str) -> dict[str, Any]:
        self._count += 1
        name = body.get("name") or f"{doctype.upper()[:4]}-{self._count:05}"
        version = self._version()
        document = {
            **{key: self._rows(value, []) for key, value in body.items() if key not in FRAMEWORK_FIELDS},
            "doctype": doctype,
            "name": name,
            "owner": owner,
            "creation": version,
            "modified": version,
            "modified_by": owner,
            "docstatus": body.get("docstatus") or 0,
        }
        self.documents.setdefault(doctype, {})[str(name)] = document
        return document

    def _put(self, doctype: str, name: str, body: dict[str, Any]) -> Reply:
        document = self.documents.get(doctype, {}).get(name)
        if document is None:
            return refusal(404, "DoesNotExistError")
        if (doctype, name) in self._queued:
            return refusal(417, "DocumentLockedError")
        if "modified" in body and body["modified"] != document["modified"]:
            return refusal(417, "TimestampMismatchError")
        was, wanted = document["docstatus"], body.get("docstatus", document["docstatus"])
        moves = {(0, 0), (0, 1), (1, 1), (1, 2)} if self._may_be_submitted(doctype) else {(0, 0)}
        if (was, wanted) not in moves:
            return refusal(417, "ValidationError" if was == 2 else "DocstatusTransitionError")
        refused = self._refused(doctype, body)
        if refused is not None:
            return refused
        values = {
            key: self._rows(value, document.get(key) or [])
            for key, value in body.items()
            if key not in FRAMEWORK_FIELDS
        }
        if was == 1 and not self._allowed_after_submit(doctype, document, values):
            return refusal(417, "UpdateAfterSubmitError")
        if wanted == 2 and any(
            self.documents[other][linking]["docstatus"] == 1 for other, linking in self.linking(doctype, name)
        ):
            return refusal(417, "LinkExistsError")
        if wanted != was and doctype in self.queues:
            wanted = self._queue(doctype, document, wanted)
        document.update(
            {**values, "docstatus": wanted, "modified": self._version(), "modified_by": self.user}
        )
        return _ok({"data": copy.deepcopy(document)})

    def _allowed_after_submit(self, doctype: str, document: Json, values: Json) -> bool:
        allowed = None if self.after_submit is None else self.after_submit.get(doctype, frozenset())
        return allowed is None or all(
            key in allowed or _content(value) == _content(document.get(key)) for key, value in values.items()
        )

    def _delete(self, doctype: str, name: str) -> Reply:
        document = self.documents.get(doctype, {}).get(name)
        if document is None:
            return refusal(404, "DoesNotExistError")
        if document["docstatus"] == 1:
            return refusal(417, "ValidationError")
        if (doctype, name) in self._queued:
            return refusal(417, "DocumentLockedError")
        if any(True for _ in self.linking(doctype, name)):
            return refusal(417, "LinkExistsError")
        self.remove(doctype, name)
        return Reply(status=202, is_json=True, body={"data": "ok"})

    def _rows(self, value: Any, known: list[dict[str, Any]]) -> Any:
        """A table as it is stored: a row without a name is new, one under an unknown name is lost."""
        if not isinstance(value, list):
            return copy.deepcopy(value)
        there = {row["name"] for row in known}
        rows = []
        for row in value:
            if row.get("name") and row["name"] not in there:
                continue
            self._count += 1
            rows.append({**row, "name": row.get("name") or f"r{self._count:06}"})
        return rows

    def _version(self) -> str:
        self._tick += 1
        return _wall(self.clock_now() + timedelta(microseconds=self._tick))


def refusal(status: int, exc_type: str) -> Reply:
    """An error as the framework answers it."""
    return Reply(
        status=status, is_json=True, body={"exc_type": exc_type, "exception": f"frappe.exceptions.{exc_type}"}
    )


def _linked(document: Json, path: str) -> list[str]:
    """The names that a link field, or one of a table's rows, holds."""
    table, _, cell = path.partition(".")
    if not cell:
        return [document[table]] if document.get(table) else []
    return [row[cell] for row in document.get(table) or [] if row.get(cell)]


def _content(value: Any) -> Any:
    """A value without what tells rows apart only; nothing, 0 and "" are alike."""
    if isinstance(value, list):
        return [{key: cell for key, cell in row.items() if key != "name"} for row in value]
    return value or None


def _wall(at: datetime) -> str:
    return at.astimezone(timezone.utc).replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


def _unquoted(segment: str) -> str:
    return re.sub(r"(?:%[0-9A-Fa-f]{2})+", lambda m: bytes.fromhex(m[0].replace("%", "")).decode(), segment)


def _ok(body: Json) -> Reply:
    return Reply(status=200, is_json=True, body=body)
