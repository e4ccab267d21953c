"""Opens conflicts, decides them, and carries decisions out.

One open conflict a document; it takes in all its open requests. What each resolution does to each type stands in
one table. A decision is one transaction: where the branch's own rules refuse its part, nothing of it happens and
the conflict stays open with the reason. Source: semantics, "Conflicts".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from .config import AUTOMATIC_DECISIONS_A_DAY
from .conflict import Decision, conflict_type, decide
from .errors import AlreadyDecided, InvalidRequest, LeaseLost, LocalRefused, NotAllowed, NotFound
from .model import (
    Conflict,
    ConflictType,
    Document,
    Json,
    Operation,
    Readiness,
    Request,
    Resolution,
    Status,
    Strategy,
)
from .names import document_links, in_central_names, in_local_names, local_document, other_owner
from .ordering import Placer
from .outgoing import document_body, row_names
from .paths import document_path
from .ports import Ports
from .registry import read_answer
from .transitions import begun_anew, move
from .values import is_rows, moved_fields, synced_values

__all__ = ["Resolutions", "resolutions_of"]

_LOOKED_AT = 1000
_TAKEN_IN = frozenset({Status.PENDING, Status.WAITING, Status.RETRY, Status.NEEDS_ATTENTION})


class Resolutions:
    """Conflicts of one store. `apply` is what rules, hooks and people all come to."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._store = ports.store
        self._placer = Placer(ports.store, ports.ids)

    # opening

    def open(self, request: Request, server: Json | None, *, token: int) -> Conflict:
        """Record the conflict of an In Flight request; everything open in its line is held with it."""
        store = self._store
        with store.transaction():
            # What was saved meanwhile belongs to it as well.
            self._placer.place_all()
            document = store.document(request.line) if request.line else None
            later = [
                other
                for other in (store.open_in_line(request.line) if request.line else [])
                if other.id != request.id and other.status in _TAKEN_IN
            ]
            conflict = self._conflict(request, later, document, server)
            current = store.get(request.id) or request
            held = replace(request, rank=min(request.rank, current.rank))
            if not store.replace(move(held, Status.CONFLICT, readiness=Readiness.READY), token=token):
                raise LeaseLost("Another run took over before the conflict was recorded.")
            for other in later:
                store.replace(move(other, Status.CONFLICT, readiness=Readiness.READY))
            store.put_conflict(conflict)
        return conflict

    def _conflict(
        self, request: Request, later: list[Request], document: Document | None, server: Json | None
    ) -> Conflict:
        line = sorted([request, *later], key=lambda each: each.seq)
        base = {**((document.base if document else None) or {}), **(request.base or {})}
        local = self._local(line, document, base)
        return Conflict(
            id=self._ports.ids.new_key(),
            resource_type=request.resource_type or "",
            resource_id=(document.local_name if document else request.resource_id) or request.id,
            line=request.line or request.id,
            local_request_id=request.id,
            conflict_type=self._type(line, document, server, base),
            local_data=local,
            base_data=base or None,
            server_data=server,
            server_version=str(server["modified"]) if server and server.get("modified") else None,
            local_changed_at=max(each.last_change for each in line),
            created_at=self._store.now(),
        )

    def _type(
        self, line: list[Request], document: Document | None, server: Json | None, base: Json
    ) -> ConflictType:
        """By the first open request, or by the delete where the document is deleted here."""
        deleted = _is_gone(line[-1]) and line[0].operation is not Operation.CREATE
        state_moved = server is not None and _docstatus(server) != _docstatus(base)
        subject = line[-1] if deleted else line[0]
        if document is not None and not document.linked and server is not None and not deleted:
            # Nothing was sent of it yet: the same document, or another of its name?
            return ConflictType.CREATE_CREATE
        return conflict_type(subject, gone=server is None, state_moved=state_moved)

    def _local(self, line: list[Request], document: Document | None, base: Json) -> Json | None:
        """The document as it stands; put together from its requests where the branch keeps no documents."""
        if _is_gone(line[-1]):
            return None
        if document is not None:
            current = local_document(self._ports, document)
            if current is not None:
                return current
        combined: dict[str, Any] = dict(base)
        for request in line:
            combined.update(request.body)
        return combined

    # deciding

    def decide(self, conflict: Conflict) -> bool:
        """By hook, else by rule; False where it stays for a person, with the reason on it."""
        decision = self._decision(conflict)
        if decision.resolution is None:
            self._leave_pending(conflict, decision.reason)
            return False
        try:
            self.apply(conflict.id, decision.resolution, by=decision.by, reason=decision.reason)
        except (LocalRefused, NotAllowed) as refused:
            self._leave_pending(conflict, f"{decision.by} chose {decision.resolution.value}, but: {refused}")
            return False
        except Exception as error:
            # Whatever goes wrong inside a document's save is this conflict's, and not the outbox's.
            why = (
                f"{decision.by} chose {decision.resolution.value}, but it failed here: {type(error).__name__}"
            )
            self._leave_pending(conflict, why)
            return False
        return True

    def decide_forgotten(self) -> None:
        """Decide what a run that was killed had found and not decided: pending conflicts without a reason."""
        with self._store.transaction():
            forgotten = [
                conflict for conflict in self._store.conflicts(limit=_LOOKED_AT) if not conflict.reason
            ]
        for conflict in forgotten:
            self.decide(conflict)

    def _decision(self, conflict: Conflict) -> Decision:
        with self._store.transaction():
            day_ago = self._store.now() - timedelta(days=1)
            decided = self._store.automatic_decisions(conflict.line, day_ago)
        if decided >= AUTOMATIC_DECISIONS_A_DAY:
            reason = f"decided automatically {decided} times within a day; a person decides now"
            return Decision(resolution=None, by="rule:limit", reason=reason)
        answer = self._ports.resolver.decide(conflict)
        if answer is not None:
            by = f"hook:{answer.get('by', '?')}"
            if answer.get("error"):
                return Decision(resolution=None, by=by, reason=f"The hook failed: {answer['error']}")
            try:
                resolution = read_answer(answer)
            except InvalidRequest as nonsense:
                return Decision(resolution=None, by=by, reason=str(nonsense))
            if resolution is Resolution.MANUAL or resolution is Resolution.MERGE:
                return Decision(resolution=None, by=by, reason=f"{by} left it to a person")
            return Decision(resolution=resolution, by=by, reason=f"decided by {by}")
        policy = self._ports.policies.policy(conflict.resource_type)
        strategy: Strategy = policy.strategy or self._ports.config.default_strategy
        version = conflict.server_version
        return decide(
            conflict,
            strategy=strategy,
            server_changed=self._ports.central.instant(version) if version else None,
            uncertain=self._ports.config.lww_uncertain,
        )

    def _leave_pending(self, conflict: Conflict, reason: str) -> None:
        with self._store.transaction():
            current = self._store.conflict(conflict.id)
            # Somebody may have decided it while the rule was looked up.
            if current is not None and current.pending:
                self._store.put_conflict(replace(current, reason=reason))

    # carrying out

    def apply(
        self, conflict_id: str, resolution: Resolution, *, by: str, reason: str | None = None
    ) -> Conflict:
        """Carry a decision out, in one transaction.

        Raises NotFound, AlreadyDecided (by whom), NotAllowed (no such resolution of this type) or LocalRefused.
        """
        store = self._store
        with store.transaction():
            conflict = store.conflict(conflict_id)
            if conflict is None:
                raise NotFound(f"There is no conflict {conflict_id}.")
            if not conflict.pending:
                how = conflict.resolution.value if conflict.resolution else "decided"
                raise AlreadyDecided(f"{conflict.resolved_by} already decided this conflict: {how}.")
            conflict = replace(self._taken_in(conflict), resolved_by=by)
            carry_out = _TABLE.get((conflict.conflict_type, resolution))
            if carry_out is None:
                raise NotAllowed(
                    f"{resolution.value} is not possible for a conflict of type {conflict.conflict_type.value}."
                )
            carry_out(self, conflict)
            resolved = replace(
                conflict,
                resolution_status="resolved",
                resolution=resolution,
                resolved_at=store.now(),
                reason=reason,
            )
            store.put_conflict(resolved)
        return resolved

    def _taken_in(self, conflict: Conflict) -> Conflict:
        """With what was saved since it was found: all open requests of its document, and how that stands now."""
        if conflict.conflict_type is ConflictType.CALL:
            return conflict
        self._placer.place_all()
        for request in self._store.open_in_line(conflict.line):
            if request.status in _TAKEN_IN:
                self._store.replace(move(request, Status.CONFLICT, readiness=Readiness.READY))
        line = self._held(conflict)
        if not line:
            return conflict
        document = self._store.document(conflict.line)
        base = conflict.base_data or {}
        return replace(
            conflict,
            conflict_type=self._type(line, document, conflict.server_data, base),
            local_data=self._local(line, document, base),
        )

    def _held(self, conflict: Conflict) -> list[Request]:
        """The requests that the conflict holds, in the order of their commits."""
        if conflict.conflict_type is ConflictType.CALL:
            request = self._store.get(conflict.local_request_id)
            return [request] if request is not None and request.status is Status.CONFLICT else []
        held = [each for each in self._store.open_in_line(conflict.line) if each.status is Status.CONFLICT]
        return sorted(held, key=lambda each: each.seq)

    def _document(self, conflict: Conflict) -> Document:
        document = self._store.document(conflict.line)
        if document is None:
            raise NotAllowed(f"{conflict.resource_type} {conflict.resource_id} is not known any more.")
        return document

    def _server(self, conflict: Conflict) -> Json:
        if conflict.server_data is None:
            raise NotAllowed("The central has no such document.")
        return conflict.server_data

    def _take_over(self, document: Document, server: Json, version: str | None, **changes: Any) -> Document:
        """The document is the central's one, as it stood when the conflict was found."""
        other = other_owner(self._store, document.doctype, str(server["name"]), document.id)
        if other is not None:
            raise NotAllowed(
                f"{document.doctype} {server['name']} at the central is {other.local_name} here."
            )
        known = replace(document, central_name=str(server["name"]), version=version, base=server, **changes)
        self._store.put_document(known)
        return known

    def _send_again(self, request: Request, **changes: Any) -> None:
        again = begun_anew(request, self._ports.ids.new_key(), resource_version=None, **changes)
        self._store.replace(move(again, Status.PENDING, readiness=Readiness.RECHECK))

    def _decided(self, conflict: Conflict) -> None:
        now = self._store.now()
        for request in self._held(conflict):
            self._store.replace(
                move(
                    request,
                    Status.DECIDED,
                    closed_at=now,
                    closed_by=conflict.resolved_by,
                    reason=f"conflict {conflict.id}",
                )
            )
            self._store.set_links(request.id, request.seq, ())
            self._store.release(request.id)

    def _write_local(self, conflict: Conflict, document: Document, *, keep: frozenset[str]) -> None:
        """Give the branch's document the central's synced values, but for the fields in `keep`."""
        current = local_document(self._ports, document)
        if current is None:
            return
        schema = self._ports.policies.schema(document.doctype)
        server = self._server(conflict)
        theirs = in_local_names(self._store, server, schema, document.rows)
        # A field that it is named by follows the name, which stays what it is here.
        keep |= {
            field
            for field, value in theirs.items()
            if value == server["name"] and current.get(field) == document.local_name
        }
        differing = moved_fields({**theirs, **synced_values(current, schema)}, theirs, schema)
        values = {field: theirs[field] for field in differing if field in theirs and field not in keep}
        if values:
            self._ports.documents.write(document.doctype, document.local_name, values)
            self._match_rows(conflict, document)

    def _match_rows(self, conflict: Conflict, document: Document) -> None:
        """Know the rows that were just written here as those of the central that they are."""
        after = local_document(self._ports, document) or {}
        schema = self._ports.policies.schema(document.doctype)
        ours = in_central_names(self._store, synced_values(after, schema), schema)
        rows = row_names(ours, self._server(conflict), document.rows)
        self._store.put_document(replace(document, rows=rows))

    def _left_different(self, conflict: Conflict) -> None:
        """Nothing is written on either side. The next change here is made against what stands at the central now,
        or it would bring back what was just left alone."""
        document = self._store.document(conflict.line)
        server = conflict.server_data
        if (
            document is not None
            and document.linked
            and server is not None
            and other_owner(self._store, document.doctype, str(server["name"]), document.id) is None
        ):
            self._take_over(document, server, conflict.server_version)
        self._decided(conflict)

    # one function for each way in which a decision is carried out

    def _over_server(self, conflict: Conflict) -> None:
        """The branch's changes go again, under the version that they were decided against."""
        server = self._server(conflict)
        document = self._take_over(self._document(conflict), server, conflict.server_version)
        held = self._held(conflict)
        if conflict.local_data is not None:
            changed_here = frozenset(field for request in held for field in request.body)
            self._write_local(conflict, document, keep=changed_here)
            if all(request.operation is Operation.UPDATE for request in held):
                # Nor was the state changed here. What is cancelled there takes no change: that one is only tried.
                self._move_here(document, server, unless=2)
        seen: set[str] = set()
        for request in held:
            tables = {field for field, value in request.body.items() if is_rows(value)} - seen
            seen |= tables
            self._send_again(request, base=self._rebased(conflict, request, tables))

    def _rebased(self, conflict: Conflict, request: Request, tables: Collection[str]) -> Json | None:
        """Its base with the tables as the server has them: these become the branch's, row for row."""
        if not tables or request.base is None:
            return request.base
        document, server = self._document(conflict), self._server(conflict)
        base, rows = dict(request.base), dict(document.rows)
        for table in tables:
            ours = {central: local for local, central in rows.items()}
            theirs = server.get(table) or ()
            rows |= {str(row["name"]): str(row["name"]) for row in theirs if str(row["name"]) not in ours}
            base[table] = [{**row, "name": ours.get(str(row["name"]), row["name"])} for row in theirs]
        self._store.put_document(replace(document, rows=rows))
        return base

    def _server_here(self, conflict: Conflict) -> None:
        """The values first: what is submitted does not take them any more."""
        self._refuse_merged(conflict)
        server = self._server(conflict)
        document = self._take_over(self._document(conflict), server, conflict.server_version)
        self._write_local(conflict, document, keep=frozenset())
        self._move_here(document, server)
        self._decided(conflict)

    def _refuse_merged(self, conflict: Conflict) -> None:
        for request in self._held(conflict):
            if _merges(request):
                raise LocalRefused(
                    "It was merged into another document here and cannot be taken apart again."
                )

    def _made_anew(self, conflict: Conflict) -> None:
        """Gone at the central: the branch's document is created there as it stands here."""
        document = self._document(conflict)
        if conflict.local_data is None:
            self._decided(conflict)
            return
        schema = self._ports.policies.schema(document.doctype)
        body = document_body(conflict.local_data, schema)
        if schema is None and document.central_name == document.local_name:
            body["name"] = document.local_name
        self._store.put_document(replace(document, central_name=None, version=None, base=None, rows={}))
        held = self._held(conflict)
        first, *rest = held
        now = self._store.now()
        for request in rest:
            self._store.replace(move(request, Status.MERGED, merged_into=first.id, closed_at=now))
            self._store.set_links(request.id, request.seq, ())
            self._store.release(request.id)
        known = [link for request in reversed(held) for link in request.links]
        self._send_again(
            first,
            operation=Operation.CREATE,
            method="POST",
            path=document_path(document.doctype),
            body=body,
            base=None,
            links=document_links(body, schema, known),
            unique={field: value for field, value in first.unique.items() if field in body},
        )

    def _deleted_here(self, conflict: Conflict) -> None:
        document = self._document(conflict)
        if local_document(self._ports, document) is not None:
            self._ports.documents.delete(document.doctype, document.local_name)
        self._store.put_document(replace(document, deleted=True))
        self._decided(conflict)

    def _restored_here(self, conflict: Conflict) -> None:
        server = self._server(conflict)
        document = self._take_over(self._document(conflict), server, conflict.server_version, deleted=False)
        schema = self._ports.policies.schema(document.doctype)
        values = in_local_names(self._store, server, schema, document.rows)
        self._ports.documents.restore(
            document.doctype, document.local_name, {**values, "docstatus": _docstatus(server)}
        )
        self._match_rows(conflict, document)
        self._decided(conflict)

    def _create_becomes_update(self, conflict: Conflict) -> None:
        """The central's document is ours: it gets what stands here."""
        if conflict.local_data is None:
            # Made and deleted again here, while the central has another: there is nothing to send.
            self._decided(conflict)
            return
        server = self._server(conflict)
        document = self._take_over(self._document(conflict), server, conflict.server_version)
        schema = self._ports.policies.schema(document.doctype)
        first, *rest = self._held(conflict)
        if first.operation is Operation.CREATE:
            body = {field: value for field, value in first.body.items() if field not in ("name", "docstatus")}
            operation = Operation.SUBMIT if first.body.get("docstatus") else Operation.UPDATE
        elif first.operation is Operation.RENAME:
            self._over_server(conflict)
            return
        else:
            body, operation = synced_values(conflict.local_data, schema), first.operation
        ours = in_central_names(self._store, body, schema)
        self._store.put_document(replace(document, rows=row_names(ours, server, {})))
        tables = {field for field, value in body.items() if is_rows(value)}
        found = replace(first, base={field: server.get(field) for field in body})
        base = self._rebased(conflict, found, tables)
        self._send_again(
            first,
            operation=operation,
            method="PUT",
            path=document_path(document.doctype, document.central_name),
            body=body,
            base=base,
            links=document_links(body, schema, first.links),
        )
        for request in rest:
            self._send_again(request)

    def _move_here(self, document: Document, server: Json, *, unless: int | None = None) -> None:
        """Bring the branch's document to the server's state."""
        current = local_document(self._ports, document)
        wanted = _docstatus(server)
        if current is not None and wanted != unless and _docstatus(current) != wanted:
            self._ports.documents.set_docstatus(document.doctype, document.local_name, wanted)

    def _call_again(self, conflict: Conflict) -> None:
        for request in self._held(conflict):
            self._send_again(request)


def _merges(request: Request) -> bool:
    return request.operation is Operation.RENAME and bool(request.body.get("merge"))


def _is_gone(last: Request) -> bool:
    """Whether the branch's document is not here any more after its last open request."""
    return last.operation is Operation.DELETE or _merges(last)


def _docstatus(document: Json) -> int:
    return int(document.get("docstatus") or 0)


_CarryOut = Callable[[Resolutions, Conflict], None]

_TABLE: Mapping[tuple[ConflictType, Resolution], _CarryOut] = {
    (ConflictType.UPDATE_UPDATE, Resolution.LOCAL_WINS): Resolutions._over_server,
    (ConflictType.UPDATE_UPDATE, Resolution.SERVER_WINS): Resolutions._server_here,
    (ConflictType.UPDATE_DELETE, Resolution.LOCAL_WINS): Resolutions._made_anew,
    (ConflictType.UPDATE_DELETE, Resolution.SERVER_WINS): Resolutions._deleted_here,
    (ConflictType.DELETE_UPDATE, Resolution.LOCAL_WINS): Resolutions._over_server,
    (ConflictType.DELETE_UPDATE, Resolution.SERVER_WINS): Resolutions._restored_here,
    (ConflictType.CREATE_CREATE, Resolution.LOCAL_WINS): Resolutions._create_becomes_update,
    (ConflictType.CREATE_CREATE, Resolution.SERVER_WINS): Resolutions._server_here,
    (ConflictType.STATE, Resolution.LOCAL_WINS): Resolutions._over_server,
    (ConflictType.STATE, Resolution.SERVER_WINS): Resolutions._server_here,
    (ConflictType.CALL, Resolution.LOCAL_WINS): Resolutions._call_again,
    (ConflictType.CALL, Resolution.SERVER_WINS): Resolutions._decided,
    **{(kind, Resolution.SKIP): Resolutions._left_different for kind in ConflictType},
}
"""What a resolution does to a type (semantics, the table under "Conflicts"); what is missing is refused."""


def resolutions_of(kind: ConflictType) -> list[Resolution]:
    """Those that are possible for a conflict of that type, in the order of the enumeration."""
    return [resolution for resolution in Resolution if (kind, resolution) in _TABLE]
