"""Values of the engine as rows of a table and back, the same for every database.

A row is a dict of columns that any driver can bind: text, int, float or None. JSON goes as canonical text.
Times go as exact ISO-8601 UTC text of one length in the JSON column `times`, because a database's own date
columns lose the zone or the microseconds; `due_at` repeats `next_retry_at` as epoch seconds, to be indexed.
Columns that a database adds for people or for its own indexes are its own affair: reading ignores them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import (
    Attempt,
    Conflict,
    ConflictType,
    Document,
    Link,
    Operation,
    Readiness,
    Request,
    Resolution,
    Status,
    Wire,
)

__all__ = [
    "CONFLICT_COLUMNS",
    "DOCUMENT_COLUMNS",
    "REQUEST_COLUMNS",
    "Row",
    "conflict_to_row",
    "document_to_row",
    "due_at",
    "iso",
    "parse_iso",
    "request_to_row",
    "row_to_conflict",
    "row_to_document",
    "row_to_request",
]

Row = dict[str, Any]

LIVE = "1"
"""What `live` holds in the row of a document that is not deleted; a deleted one holds its own name there, so
that one unique key over doctype, local name and `live` frees the name."""

REQUEST_COLUMNS = (
    "name",
    "idempotency_key",
    "seq",
    "operation",
    "resource_type",
    "resource_id",
    "method",
    "path",
    "body",
    "base",
    "links",
    "unique_values",
    "resource_version",
    "repeatable",
    "overwrite",
    "apart",
    "priority",
    "queue_rank",
    "order_group",
    "status",
    "readiness",
    "line",
    "waits_for",
    "waits_why",
    "retry_count",
    "restamps",
    "contentions",
    "unanswered",
    "due_at",
    "lease_token",
    "sends",
    "wire",
    "number",
    "error_type",
    "error_message",
    "refused",
    "may_have_arrived",
    "differences",
    "merged_into",
    "replaces",
    "carries",
    "closed_by",
    "reason",
    "history",
    "times",
)

DOCUMENT_COLUMNS = (
    "name",
    "reference_doctype",
    "local_name",
    "central_name",
    "version",
    "base",
    "child_rows",
    "deleted",
    "live",
    "times",
)

CONFLICT_COLUMNS = (
    "name",
    "resource_type",
    "resource_id",
    "line",
    "local_request_id",
    "conflict_type",
    "local_data",
    "base_data",
    "server_data",
    "server_version",
    "resolution_status",
    "resolution",
    "resolved_by",
    "reason",
    "choices",
    "result",
    "undo",
    "times",
)


def iso(moment: datetime | None) -> str | None:
    """ISO-8601 UTC with microseconds: texts of one length, which sort as the times do."""
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise ValueError("a time without a zone cannot be stored")
    return moment.astimezone(timezone.utc).isoformat(timespec="microseconds")


def parse_iso(text: str | None) -> datetime | None:
    """The time that `iso` wrote."""
    return datetime.fromisoformat(text).astimezone(timezone.utc) if text else None


def due_at(moment: datetime | None) -> float:
    """Epoch seconds of a due time; 0, which is always due, where there is none."""
    return moment.timestamp() if moment else 0.0


def request_to_row(request: Request) -> Row:
    """All of `REQUEST_COLUMNS`. A lease token of 0 means none."""
    return {
        "name": request.id,
        "idempotency_key": request.key,
        "seq": request.seq,
        "operation": request.operation.value,
        "resource_type": request.resource_type,
        "resource_id": request.resource_id,
        "method": request.method,
        "path": request.path,
        "body": canonical_json(request.body),
        "base": _json(request.base),
        "links": _text([[link.path, link.doctype, link.name, link.line] for link in request.links]),
        "unique_values": _text(request.unique),
        "resource_version": request.resource_version,
        "repeatable": int(request.repeatable),
        "overwrite": int(request.overwrite),
        "apart": int(request.apart),
        "priority": request.priority,
        "queue_rank": request.rank,
        "order_group": request.order_group,
        "status": request.status.value,
        "readiness": int(request.readiness),
        "line": request.line,
        "waits_for": request.waits_for,
        "waits_why": request.waits_why,
        "retry_count": request.retry_count,
        "restamps": request.restamps,
        "contentions": request.contentions,
        "unanswered": request.unanswered,
        "due_at": due_at(request.next_retry_at),
        "lease_token": request.lease_token or 0,
        "sends": request.sends,
        "wire": canonical_json([request.wire.method, request.wire.path, request.wire.body])
        if request.wire
        else None,
        "number": request.number or 0,
        "error_type": request.error_type,
        "error_message": request.error_message,
        "refused": int(request.refused),
        "may_have_arrived": int(request.may_have_arrived),
        "differences": _json(request.differences),
        "merged_into": request.merged_into,
        "replaces": request.replaces,
        "carries": request.carries,
        "closed_by": request.closed_by,
        "reason": request.reason,
        "history": _text([_attempt_to_json(attempt) for attempt in request.history]),
        "times": _times(
            created_at=request.created_at,
            changed_at=request.changed_at,
            next_retry_at=request.next_retry_at,
            sent_at=request.sent_at,
            closed_at=request.closed_at,
        ),
    }


def row_to_request(row: Mapping[str, Any]) -> Request:
    """The request whose `request_to_row` this is."""
    times = _parse_times(row["times"])
    wire = _parse(row["wire"])
    return Request(
        id=row["name"],
        key=row["idempotency_key"],
        seq=int(row["seq"]),
        operation=Operation(row["operation"]),
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        method=row["method"],
        path=row["path"],
        body=_parse(row["body"]) or {},
        created_at=_certain(times["created_at"]),
        base=_parse(row["base"]),
        links=tuple(
            Link(path=path, doctype=doctype, name=name, line=line)
            for path, doctype, name, line in _list(row["links"])
        ),
        unique=_parse(row["unique_values"]) or {},
        resource_version=row["resource_version"],
        changed_at=times.get("changed_at"),
        repeatable=bool(row["repeatable"]),
        overwrite=bool(row["overwrite"]),
        apart=bool(row["apart"]),
        priority=int(row["priority"]),
        rank=int(row["queue_rank"]),
        order_group=row["order_group"],
        status=Status(row["status"]),
        readiness=Readiness(int(row["readiness"])),
        line=row["line"],
        waits_for=row["waits_for"],
        waits_why=row["waits_why"],
        retry_count=int(row["retry_count"]),
        restamps=int(row["restamps"]),
        contentions=int(row["contentions"]),
        unanswered=int(row["unanswered"]),
        next_retry_at=times.get("next_retry_at"),
        lease_token=int(row["lease_token"] or 0) or None,
        sent_at=times.get("sent_at"),
        sends=int(row["sends"]),
        wire=Wire(method=wire[0], path=wire[1], body=wire[2]) if wire else None,
        number=int(row["number"] or 0) or None,
        error_type=row["error_type"],
        error_message=row["error_message"],
        refused=bool(row["refused"]),
        may_have_arrived=bool(row["may_have_arrived"]),
        differences=_parse(row["differences"]),
        merged_into=row["merged_into"],
        replaces=row["replaces"],
        carries=row["carries"],
        closed_at=times.get("closed_at"),
        closed_by=row["closed_by"],
        reason=row["reason"],
        history=tuple(_json_to_attempt(item) for item in _list(row["history"])),
    )


def document_to_row(document: Document) -> Row:
    """All of `DOCUMENT_COLUMNS`."""
    return {
        "name": document.id,
        "reference_doctype": document.doctype,
        "local_name": document.local_name,
        "central_name": document.central_name,
        "version": document.version,
        "base": _json(document.base),
        "child_rows": _text(document.rows),
        "deleted": int(document.deleted),
        "live": document.id if document.deleted else LIVE,
        "times": _times(touched_at=document.touched_at),
    }


def row_to_document(row: Mapping[str, Any]) -> Document:
    """The document whose `document_to_row` this is."""
    return Document(
        id=row["name"],
        doctype=row["reference_doctype"],
        local_name=row["local_name"],
        central_name=row["central_name"],
        version=row["version"],
        base=_parse(row["base"]),
        rows=_parse(row["child_rows"]) or {},
        touched_at=_parse_times(row["times"]).get("touched_at"),
        deleted=bool(row["deleted"]),
    )


def conflict_to_row(conflict: Conflict) -> Row:
    """All of `CONFLICT_COLUMNS`."""
    return {
        "name": conflict.id,
        "resource_type": conflict.resource_type,
        "resource_id": conflict.resource_id,
        "line": conflict.line,
        "local_request_id": conflict.local_request_id,
        "conflict_type": conflict.conflict_type.value,
        "local_data": _json(conflict.local_data),
        "base_data": _json(conflict.base_data),
        "server_data": _json(conflict.server_data),
        "server_version": conflict.server_version,
        "resolution_status": conflict.resolution_status,
        "resolution": conflict.resolution.value if conflict.resolution else None,
        "resolved_by": conflict.resolved_by,
        "reason": conflict.reason,
        "choices": _json(conflict.choices),
        "result": _json(conflict.values),
        "undo": _json(conflict.undo),
        "times": _times(
            created_at=conflict.created_at,
            local_changed_at=conflict.local_changed_at,
            resolved_at=conflict.resolved_at,
        ),
    }


def row_to_conflict(row: Mapping[str, Any]) -> Conflict:
    """The conflict whose `conflict_to_row` this is."""
    times = _parse_times(row["times"])
    return Conflict(
        id=row["name"],
        resource_type=row["resource_type"],
        resource_id=row["resource_id"],
        line=row["line"],
        local_request_id=row["local_request_id"],
        conflict_type=ConflictType(row["conflict_type"]),
        local_data=_parse(row["local_data"]),
        base_data=_parse(row["base_data"]),
        server_data=_parse(row["server_data"]),
        server_version=row["server_version"],
        local_changed_at=_certain(times["local_changed_at"]),
        created_at=_certain(times["created_at"]),
        resolution_status=row["resolution_status"],
        resolution=Resolution(row["resolution"]) if row["resolution"] else None,
        resolved_by=row["resolved_by"],
        resolved_at=times.get("resolved_at"),
        reason=row["reason"],
        choices=_parse(row["choices"]),
        values=_parse(row["result"]),
        undo=_parse(row["undo"]),
    )


def _attempt_to_json(attempt: Attempt) -> list[Any]:
    return [iso(attempt.at), attempt.event, attempt.status, attempt.exc_type, attempt.note]


def _json_to_attempt(item: list[Any]) -> Attempt:
    at, event, status, exc_type, note = item
    return Attempt(at=_certain(parse_iso(at)), event=event, status=status, exc_type=exc_type, note=note)


def _json(value: Any) -> str | None:
    return None if value is None else canonical_json(value)


def _text(value: list[Any] | Mapping[str, Any]) -> str:
    """The canonical JSON; most lists and objects of a row are empty."""
    if value:
        return canonical_json(value)
    return "[]" if isinstance(value, list) else "{}"


_EMPTY: Mapping[str, Callable[[], Any]] = {"{}": dict, "[]": list}
"""What most columns hold, made without a look by the parser."""


def _parse(text: str | None) -> Any:
    if not text:
        return None
    empty = _EMPTY.get(text)
    return json.loads(text) if empty is None else empty()


def _list(text: str | None) -> list[Any]:
    return _parse(text) or []


def _times(**moments: datetime | None) -> str:
    return canonical_json({name: iso(moment) for name, moment in moments.items() if moment is not None})


def _parse_times(text: str) -> dict[str, datetime | None]:
    return {name: parse_iso(moment) for name, moment in _parse(text).items()}


def _certain(moment: datetime | None) -> datetime:
    if moment is None:
        raise ValueError("a row lacks a time that every row has")
    return moment
