"""A request as a companion takes it, and what the outcome means that it answers.

One table leads from outcomes to verdicts, so that what became of a request in a push is recorded by the same rules
as a single answer. Child rows go as patches against what is known of the central's: nothing is fetched before,
because the version tells whether it still holds. Source: hooks-docs/semantics.md, "Batches".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..classify import Outcome, Verdict, classify
from ..model import Document, Json, Operation, Reply, Request, Wire
from ..values import FRAMEWORK_FIELDS, is_rows, same_value
from .outgoing import create_values, rows_for_update, with_names
from .push import (
    PushOutcome,
    PushRequest,
    PushResult,
    RowPatch,
    item_text,
    patched_rows,
    row_patch,
)

__all__ = [
    "CAPABILITIES",
    "HALF_DONE",
    "NEEDS_NEW_KEY",
    "PUSH",
    "RECEIPTS",
    "REHEARSE",
    "build_item",
    "can_be_pushed",
    "is_pushed",
    "item_values",
    "needs_rows",
    "outcome_of",
    "rows_arrived",
    "shows_a_changed_past",
]

PUSH, CAPABILITIES, RECEIPTS, REHEARSE = (
    f"/api/method/erp_offline_sync.receiver.{name}"
    for name in ("push", "capabilities", "receipts", "rehearse")
)

_METHOD = "/api/method/"


# What is sent


def is_pushed(request: Request) -> bool:
    """Whether the bytes that are fixed for it are those of an item of a push."""
    return request.wire is not None and request.wire.path == PUSH


def can_be_pushed(request: Request) -> bool:
    """Calls of methods and what is about a document; other paths go by themselves."""
    return request.line is not None or (
        request.operation is Operation.CALL and request.path.startswith(_METHOD)
    )


def _tables(request: Request) -> list[str]:
    """The fields of a change that hold child rows; one that was emptied was a table before."""
    base = request.base or {}
    return [
        field
        for field, value in request.body.items()
        if field not in FRAMEWORK_FIELDS and is_rows(value) and (value or is_rows(base.get(field) or []))
    ]


def needs_rows(request: Request, document: Document) -> bool:
    """Whether the central's rows have to be read first: what a table was before is not known row by row."""
    if request.operation is Operation.CREATE:
        return False
    base = request.base or {}
    return any(
        table not in base or any(str(row.get("name")) not in document.rows for row in base[table] or ())
        for table in _tables(request)
    )


def build_item(
    request: Request,
    document: Document | None,
    *,
    number: int,
    names: Mapping[str, str],
    version: str | None,
    central: Json | None = None,
) -> Wire:
    """The text of a request's item, to be kept and sent again as it is. Arguments as of `build_wire`."""
    operation = request.operation
    given: dict[str, Any] = {"id": request.key, "number": number, "replaces": request.replaces}
    if document is None or operation is Operation.CALL:
        item = PushRequest(
            **given,
            operation=Operation.CALL,
            method=request.method,
            path=request.path,
            values={} if request.method == "GET" else request.body,
        )
        return _wire(item)
    doctype, body = document.doctype, with_names(request.body, names)
    if operation is Operation.CREATE:
        values = create_values(body)
        set_name = values.pop("name", None)
        return _wire(
            PushRequest(**given, operation=operation, doctype=doctype, values=values, set_name=set_name)
        )
    given |= {
        "operation": operation,
        "doctype": doctype,
        "name": document.central_name or document.local_name,
        "version": version or None,
        "overwrite": not version,
    }
    if operation is Operation.RENAME:
        return _wire(PushRequest(**given, new_name=body["new_name"], merge=bool(body.get("merge"))))
    if operation is Operation.DELETE:
        return _wire(PushRequest(**given))
    tables, base = _tables(request), request.base or {}
    values = {
        field: value for field, value in body.items() if field not in FRAMEWORK_FIELDS and field not in tables
    }
    rows: dict[str, RowPatch] = {}
    for table in tables:
        if central is None:
            rows[table] = row_patch(base[table], body[table], document.rows)
        else:
            before = None if table not in base else base[table] or ()
            values[table] = rows_for_update(body[table], before, central.get(table), document.rows)
    return _wire(PushRequest(**given, values=values, rows=rows))


def _wire(item: PushRequest) -> Wire:
    return Wire(method="POST", path=PUSH, body=item_text(item))


# What was sent


def _item(request: Request) -> dict[str, Any]:
    item: dict[str, Any] = json.loads(request.wire.body) if request.wire and request.wire.body else {}
    return item


def item_values(request: Request, base: Json | None = None) -> dict[str, Any]:
    """The values that a pushed request carries, in the central's names; with `base` also the tables that it
    patches, as they stand after it."""
    item = _item(request)
    values = {field: value for field, value in (item.get("values") or {}).items() if field != "docstatus"}
    if item.get("new_name"):
        values["new_name"] = item["new_name"]
    if base is not None:
        for table, patch in _patches(item).items():
            values[table] = patched_rows(base.get(table) or [], patch)
    return values


def rows_arrived(request: Request, central: Json) -> bool:
    """Whether the central's rows are what the patches of a pushed request made of them."""
    return all(_holds(patch, central.get(table) or []) for table, patch in _patches(_item(request)).items())


def _patches(item: Json) -> dict[str, RowPatch]:
    return {
        table: RowPatch(
            changed=patch["changed"],
            added=tuple(patch["added"]),
            removed=tuple(patch["removed"]),
            order=tuple(patch["order"]),
        )
        for table, patch in (item.get("rows") or {}).items()
    }


def _holds(patch: RowPatch, rows: Any) -> bool:
    there = {row.get("name"): row for row in rows}
    known = {name for name in patch.order if name is not None}
    others = [row for name, row in there.items() if name not in known]
    for added in patch.added:
        match = next((row for row in others if _carries(row, added)), None)
        if match is None:
            return False
        others.remove(match)
    changed = all(name in there and _carries(there[name], values) for name, values in patch.changed.items())
    return changed and not there.keys() & set(patch.removed)


def _carries(row: Json, values: Json) -> bool:
    return all(same_value(value, row.get(field)) for field, value in values.items())


# What was answered

_DECIDED = frozenset(
    {
        Verdict.STALE,
        Verdict.MISSING,
        Verdict.TAKEN,
        Verdict.WRONG_STATE,
        Verdict.CONFLICT,
    }
)
_REFUSALS = _DECIDED | {Verdict.LINK_MISSING, Verdict.REFUSED_AT_ONCE, Verdict.CONTENTION}
_SOON = frozenset({Verdict.LINK_MISSING, Verdict.CONTENTION})
_NONE: frozenset[Verdict] = frozenset()

_OUTCOMES: Mapping[PushOutcome, tuple[Verdict, frozenset[Verdict]]] = {
    # Outcome: what it means, and which meanings of an exception's type say it better.
    PushOutcome.APPLIED: (Verdict.APPLIED, _NONE),
    PushOutcome.DUPLICATE: (Verdict.APPLIED, _NONE),
    PushOutcome.CONFLICT: (Verdict.STALE, _DECIDED),
    PushOutcome.REJECTED: (Verdict.REFUSED, _REFUSALS),
    PushOutcome.DEFERRED: (Verdict.LATER, _SOON),
    PushOutcome.RUNNING: (Verdict.AT_WORK, _NONE),
    PushOutcome.IN_DOUBT: (Verdict.UNCERTAIN, _NONE),
    PushOutcome.TOO_OLD: (Verdict.REFUSED_AT_ONCE, _NONE),
    PushOutcome.MISMATCH: (Verdict.REFUSED_AT_ONCE, _NONE),
}
_CONFLICTS: Mapping[Operation, Verdict] = {
    Operation.CREATE: Verdict.TAKEN,
    Operation.CALL: Verdict.CONFLICT,
}
"""A conflict of these is about no version."""

_PAST_CHANGED: Mapping[PushOutcome, str] = {
    PushOutcome.TOO_OLD: "NumberTooOld",
    PushOutcome.MISMATCH: "KeyOfAnother",
}
"""Outcomes that only a branch gets whose past was changed, and the types by which a request remembers them."""
HALF_DONE = "HalfDone"
"""The type by which a request remembers that code of the central committed in the middle of it, and did not end it."""
NEEDS_NEW_KEY = frozenset({*_PAST_CHANGED.values(), HALF_DONE})
"""Under its key and number such a request would be answered so for ever."""

_WORDS: Mapping[PushOutcome, str] = {
    PushOutcome.RUNNING: "Another delivery of it is at work at the central",
    PushOutcome.IN_DOUBT: "Code at the central committed in the middle of it",
    PushOutcome.TOO_OLD: "It is older than the receipts that the central keeps. Look whether it is there, then "
    "retry or discard it.",
    PushOutcome.MISMATCH: "The central knows its key with another content. Look whether it is there, then retry or "
    "discard it.",
}


def shows_a_changed_past(result: PushResult) -> bool:
    """Whether this branch was set back, by what the companion knows of a request."""
    return result.outcome in _PAST_CHANGED


def outcome_of(result: PushResult, operation: Operation) -> Outcome:
    """What the outcome of one request of a push means."""
    default, better = _OUTCOMES[result.outcome]
    if default is Verdict.APPLIED:
        return Outcome(
            verdict=default,
            document=result.document,
            name=result.name,
            version=result.version,
            read_back=True,
            status=200,
        )
    if result.outcome is PushOutcome.CONFLICT:
        default = _CONFLICTS.get(operation, default)
    body = {"exc_type": result.exc_type, "_error_message": result.message}
    said = classify(Reply(status=result.status or 417, is_json=True, body=body), operation)
    verdict = said.verdict if result.exc_type and said.verdict in better else default
    return Outcome(
        verdict=verdict,
        exc_type=result.exc_type or _PAST_CHANGED.get(result.outcome),
        message=(result.message and said.message) or _message(result, said),
        stands=result.document,
        version=result.version,
        read_back=True,
        status=200,
        retry_after=None if result.retry_after is None else f"{result.retry_after:.0f}",
    )


def _message(result: PushResult, said: Outcome) -> str:
    if result.outcome in _WORDS:
        return _WORDS[result.outcome]
    return f"It waits for {result.waits_for}" if result.waits_for else said.message
