"""The companion beside a modelled central: pushes, receipts and what it says of itself, in memory.

It carries requests out by what the central answers over plain REST, so that one set of rules decides what is refused;
its own are those of hooks-docs/semantics.md, "Batches": one effect an id, a receipt for what was applied only, and a
request that fails harms no other. Both modelled centrals have it (tests/contract/test_companion.py).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

from erp_offline_sync.engine.classify import Verdict, classify
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Json, Operation, Reply, Wire
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.engine.sending.outgoing import DOCSTATUS
from erp_offline_sync.engine.sending.push import (
    LIMITS,
    REHEARSED_AT_ONCE,
    SCHEMA,
    Capabilities,
    Limits,
    Push,
    PushAnswer,
    PushOutcome,
    PushRequest,
    PushResult,
    Receipt,
    ReceiptState,
    Unreadable,
    answer_body,
    capabilities_body,
    gone_rows,
    parse_push,
    patched_rows,
)

__all__ = ["ModelCompanion"]

_RENAME = "/api/method/frappe.client.rename_doc"
_OUTCOMES = {
    Verdict.STALE: PushOutcome.CONFLICT,
    Verdict.MISSING: PushOutcome.CONFLICT,
    Verdict.TAKEN: PushOutcome.CONFLICT,
    Verdict.WRONG_STATE: PushOutcome.CONFLICT,
    Verdict.CONFLICT: PushOutcome.CONFLICT,
    Verdict.CONTENTION: PushOutcome.DEFERRED,
    Verdict.NOT_NOW: PushOutcome.DEFERRED,
}
"""All others are rejected."""
_STALE = Reply(status=417, is_json=True, body={"exc_type": "TimestampMismatchError"})
_DONE = Reply(status=202, is_json=True, body={"data": "ok"})
_GONE = Reply(status=404, is_json=True, body={"exc_type": "DoesNotExistError"})


@dataclass(frozen=True)
class _Kept:
    fingerprint: str
    number: int
    receipt: Receipt


@dataclass
class ModelCompanion:
    """`rest(wire, key)` is the central's plain answer, `look(doctype, name)` its document or None."""

    rest: Callable[[Wire, str], Reply]
    look: Callable[[str, str], Json | None]
    wall_clock: Callable[[], str]
    user: str
    turn: Callable[[], AbstractContextManager[None]] = nullcontext
    """Entered for each request of a push; the rest of several pushes may go on at once."""
    stopwatch: Callable[[], float] | None = None
    """In seconds; answers to pushes say how long they took where there is one."""
    undoing: Callable[[], AbstractContextManager[None]] = nullcontext
    """What is carried out inside is undone at the end."""
    limits: Limits = LIMITS
    time_zone: str = "UTC"
    kept: dict[str, _Kept] = field(default_factory=dict)
    """Receipts by id."""
    runs: dict[str, int] = field(default_factory=dict)
    """Origin → the latest run that pushed."""
    low_waters: dict[str, int] = field(default_factory=dict)
    """Origin → the mark below which it has closed everything; it never goes back."""
    at_work: set[str] = field(default_factory=set)
    """Ids that another delivery is said to be at work on."""
    uncertain: set[str] = field(default_factory=set)
    """Ids that have their effect and leave no receipt: a hook committed in the middle."""
    doubted: set[str] = field(default_factory=set)
    """Those that had their effect so."""
    poison: dict[str, Reply] = field(default_factory=dict)
    """Id → how the whole push is answered when its turn comes: what was done before stays done."""
    looks_at: int | None = None
    """How many requests of a push there is time for; None: all."""
    pushes: list[Push] = field(default_factory=list)
    rehearses: bool = True
    """Whether it says that it can."""
    rehearsed: list[Push] = field(default_factory=list)

    def capabilities(self) -> Json:
        said = Capabilities(
            schemas=(SCHEMA,),
            version="0",
            limits=self.limits,
            time=self.wall_clock(),
            time_zone=self.time_zone,
            user=self.user,
            rehearse=self.rehearses,
        )
        return {"message": capabilities_body(said)}

    def push(self, data: bytes) -> Reply:
        """Raises UnreadableMessage for what is no push."""
        began = self.stopwatch() if self.stopwatch else 0.0
        push = parse_push(data, self.limits)
        self.pushes.append(push)
        self.runs[push.origin] = max(push.run, self.runs.get(push.origin, 0))
        low_water = max(push.low_water, self.low_waters.get(push.origin, 0))
        self.low_waters[push.origin] = low_water
        outcomes: list[PushResult] = []
        for request in push.requests[: self.looks_at]:
            if request.id in self.poison:
                return self.poison[request.id]
            with self.turn():
                outcomes.append(self._one(request, low_water))
        return self._answered(outcomes, took=self.stopwatch() - began if self.stopwatch else None)

    def _answered(self, outcomes: Sequence[PushResult], *, took: float | None = None) -> Reply:
        answer = PushAnswer(
            time=self.wall_clock(), time_zone=self.time_zone, outcomes=tuple(outcomes), took=took
        )
        return Reply(status=200, is_json=True, body={"message": answer_body(answer)})

    def rehearse(self, data: bytes) -> Reply:
        """What it would answer. Raises UnreadableMessage for what is no push."""
        push = parse_push(data, replace(self.limits, max_requests=REHEARSED_AT_ONCE))
        self.rehearsed.append(push)
        outcomes = [self._undone(request) for request in push.requests]
        return self._answered(outcomes)

    def _undone(self, request: PushRequest | Unreadable) -> PushResult:
        if not isinstance(request, Unreadable) and (
            request.operation is Operation.CALL or request.id in self.uncertain
        ):
            return PushResult(id=request.id, outcome=PushOutcome.IN_DOUBT, message="It cannot be told.")
        with self.turn(), self.undoing():
            return self._effect(request)

    def receipts(self, keys: Collection[str]) -> Json:
        found: dict[str, Any] = {}
        for key in keys:
            kept = self.kept.get(key)
            state = ReceiptState.IN_DOUBT if key in self.doubted else ReceiptState.NONE
            state = ReceiptState.RUNNING if key in self.at_work else state
            receipt = kept.receipt if kept else Receipt(state=state)
            found[key] = {
                "outcome": receipt.state.value,
                "name": receipt.name,
                "version": receipt.version,
                "docstatus": receipt.docstatus,
            }
        return {"message": {"receipts": found}}

    def _one(self, request: PushRequest | Unreadable, low_water: int) -> PushResult:
        if isinstance(request, Unreadable):
            return self._effect(request)
        known = self.kept.get(request.id)
        if known is not None:
            return self._again(request, known)
        if request.id in self.at_work:
            return PushResult(id=request.id, outcome=PushOutcome.RUNNING, retry_after=2.0)
        if request.number < low_water:
            return PushResult(id=request.id, outcome=PushOutcome.TOO_OLD)
        if request.id in self.doubted:
            return PushResult(id=request.id, outcome=PushOutcome.IN_DOUBT)
        told = self._effect(request)
        if told.outcome is PushOutcome.IN_DOUBT:
            self.doubted.add(request.id)
        if told.outcome is PushOutcome.APPLIED:
            receipt = Receipt(
                state=ReceiptState.APPLIED, name=told.name, version=told.version, docstatus=told.docstatus
            )
            self.kept[request.id] = _Kept(request.fingerprint, request.number, receipt)
        return told

    def _effect(self, request: PushRequest | Unreadable) -> PushResult:
        """By the rules of the central, and without a look at what came before."""
        if isinstance(request, Unreadable):
            return PushResult(id=request.id, outcome=PushOutcome.REJECTED, message=request.why)
        reply = self._carried_out(request)
        if reply.status not in (200, 202):
            return self._refused(request, reply)
        if request.id in self.uncertain:
            return PushResult(id=request.id, outcome=PushOutcome.IN_DOUBT)
        document = self._document(request, reply)
        wanted = DOCSTATUS.get(request.operation)
        if document is not None and wanted is not None and document["docstatus"] != wanted:
            # The central has only queued it: there is nothing to leave a receipt for.
            return PushResult(id=request.id, outcome=PushOutcome.DEFERRED, retry_after=4.0)
        receipt = Receipt(state=ReceiptState.APPLIED)
        if document is not None:
            told = {"name": document["name"], "version": document["modified"]}
            receipt = replace(receipt, docstatus=document["docstatus"], **told)
        return self._told(request, PushOutcome.APPLIED, receipt, document)

    def _again(self, request: PushRequest, known: _Kept) -> PushResult:
        if known.fingerprint != request.fingerprint:
            return PushResult(id=request.id, outcome=PushOutcome.MISMATCH)
        document = None
        if request.doctype and known.receipt.name:
            document = self.look(request.doctype, known.receipt.name)
        if document is not None and document["modified"] != known.receipt.version:
            document = None  # what somebody made of it since is no answer to this request
        return self._told(request, PushOutcome.DUPLICATE, known.receipt, document)

    def _told(
        self, request: PushRequest, outcome: PushOutcome, receipt: Receipt, document: Json | None
    ) -> PushResult:
        return PushResult(
            id=request.id,
            outcome=outcome,
            name=receipt.name,
            version=receipt.version,
            docstatus=receipt.docstatus,
            document=copy.deepcopy(document),
        )

    def _refused(self, request: PushRequest, reply: Reply) -> PushResult:
        kind = reply.body["exc_type"]
        outcome = _OUTCOMES.get(classify(reply, request.operation).verdict, PushOutcome.REJECTED)
        stands = None
        if outcome is PushOutcome.CONFLICT and request.name is not None:
            stands = self.look(str(request.doctype), request.name)
        return PushResult(
            id=request.id,
            outcome=outcome,
            status=reply.status,
            exc_type=kind,
            message=kind,
            document=stands,
        )

    # what plain REST says to it

    def _carried_out(self, request: PushRequest) -> Reply:
        if request.operation is Operation.CALL:
            body = canonical_json(request.values)
            return self.rest(Wire(method=str(request.method), path=str(request.path), body=body), request.id)
        doctype, name = str(request.doctype), request.name
        if request.operation is Operation.CREATE:
            values = {**request.values, **({"name": request.set_name} if request.set_name else {})}
            wire = Wire(method="POST", path=document_path(doctype), body=canonical_json(values))
            return self.rest(wire, request.id)
        current = self.look(doctype, str(name))
        if current is None:
            return _DONE if request.operation is Operation.DELETE else _GONE
        if request.version != current["modified"] and not request.overwrite:
            return _STALE
        if any(gone_rows(current.get(table) or [], patch) for table, patch in request.rows.items()):
            return _STALE
        return self.rest(self._wire(request, current), request.id)

    def _wire(self, request: PushRequest, current: Json) -> Wire:
        path = document_path(str(request.doctype), request.name)
        if request.operation is Operation.DELETE:
            return Wire(method="DELETE", path=path, body=None)
        if request.operation is Operation.RENAME:
            renaming = {
                "doctype": request.doctype,
                "old_name": request.name,
                "new_name": request.new_name,
                "merge": int(request.merge),
            }
            return Wire(method="POST", path=_RENAME, body=canonical_json(renaming))
        tables = {
            table: _plain(patched_rows(current.get(table) or [], patch))
            for table, patch in request.rows.items()
        }
        state = {"docstatus": DOCSTATUS[request.operation]} if request.operation in DOCSTATUS else {}
        body = {**request.values, **tables, **state, "modified": current["modified"]}
        return Wire(method="PUT", path=path, body=canonical_json(body))

    def _document(self, request: PushRequest, reply: Reply) -> Json | None:
        if request.operation in (Operation.DELETE, Operation.CALL):
            return None
        if request.operation is Operation.RENAME:
            return self.look(str(request.doctype), str(request.new_name))
        return self.look(str(request.doctype), str(reply.body["data"]["name"]))


_OWN = frozenset(
    {"owner", "creation", "modified", "modified_by", "docstatus", "doctype", "idx", "parent"}
    | {"parentfield", "parenttype"}
)


def _plain(rows: Sequence[Json]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in _OWN} for row in rows]
