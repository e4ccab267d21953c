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

from ..config import AUTOMATIC_DECISIONS_A_DAY
from ..conflict import Decision, decide
from ..errors import AlreadyDecided, InvalidRequest, LeaseLost, LocalRefused, NotAllowed, NotFound
from ..identity import fingerprint
from ..merge import Merged, Side, merge, resolve
from ..model import (
    FORMER,
    Conflict,
    ConflictType,
    Document,
    Json,
    Link,
    Operation,
    Readiness,
    Request,
    Resolution,
    Schema,
    Status,
    Strategy,
)
from ..names import document_links, in_central_names, in_local_names, local_document, other_owner
from ..ordering import Placer
from ..paths import document_path
from ..ports import Ports
from ..registry import conflict_data, read_answer
from ..sending.origin import Origins
from ..sending.outgoing import document_body, row_names
from ..steps import in_first_state, step_after
from ..transitions import begun_anew, move, taken_back
from ..values import is_rows, moved_fields, synced_values
from .sides import Sides, common_base, known_rows, matched_rows, result_of, taken_here
from .standing import Standing, docstatus_of, merges

__all__ = ["Resolutions", "resolutions_of"]

_LOOKED_AT = 1000
_MERGES = (Resolution.MERGE, Resolution.MANUAL)
_TAKEN_IN = frozenset({Status.PENDING, Status.WAITING, Status.RETRY, Status.NEEDS_ATTENTION})


class Resolutions:
    """Conflicts of one store. `apply` is what rules, hooks and people all come to."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._store = ports.store
        self._placer = Placer(ports.store, ports.ids)
        self._standing = Standing(ports.store, ports.documents, ports.policies)

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
            former = self._former([request, *later])
            if former is not None:
                request, *later = (self._as_before(each, former, document) for each in (request, *later))
            conflict = self._conflict(request, later, document, server, former)
            current = store.get(request.id) or request
            held = request.altered(rank=min(request.rank, current.rank))
            if not store.replace(move(held, Status.CONFLICT, readiness=Readiness.READY), token=token):
                raise LeaseLost("Another run took over before the conflict was recorded.")
            for other in later:
                store.replace(move(other, Status.CONFLICT, readiness=Readiness.READY))
            store.put_conflict(conflict)
        return conflict

    def _former(self, line: list[Request]) -> Conflict | None:
        """The conflict whose result one of them was taking along: the central's document moved again meanwhile."""
        carried = next((request.carries for request in line if request.carries), None)
        return self._store.conflict(carried) if carried else None

    def _as_before(self, request: Request, former: Conflict, document: Document | None) -> Request:
        """A request of a decision that did not come about, with the branch's own change once more."""
        forms: Mapping[str, Json] = (former.undo or {}).get("requests") or {}
        form = forms.get(request.id)
        if form is None:
            return request
        if request.operation is Operation.CREATE:
            # One that was to be kept apart, under a name that is taken as well.
            return request.altered(carries=None)
        if not request.carries or request.operation is Operation.RENAME:
            return request.altered(carries=None, body=form["body"], base=form["base"], links=_links(form))
        local = (document and local_document(self._ports, document)) or former.local_data or {}
        changed = dict.fromkeys(field for each in forms.values() for field in each["body"])
        fields = [field for field in {**changed, **request.body} if field in local]
        body = {field: local[field] for field in fields}
        known = [link for each in (*forms.values(), form) for link in _links(each)]
        return request.altered(
            carries=None,
            body=body,
            base={field: (former.base_data or {}).get(field) for field in fields},
            links=_links_of(body, self._schema(request.resource_type), [*known, *request.links]),
        )

    def _conflict(
        self,
        request: Request,
        later: list[Request],
        document: Document | None,
        server: Json | None,
        former: Conflict | None,
    ) -> Conflict:
        line = sorted([request, *later], key=lambda each: each.seq)
        schema = self._schema(request.resource_type)
        if former is None:
            base = common_base(self._store, document, line, server, schema)
        else:
            base = dict(former.base_data or {})
        local = self._standing.local(line, document, base)
        # One that the branch's rules kept open after the central had it is the same one still.
        pending = self._store.pending_conflict(request.line or request.id)
        by_person = former is not None and not _is_automatic(former)
        return Conflict(
            id=pending.id if pending else self._ports.ids.new_key(),
            resource_type=request.resource_type or "",
            resource_id=(document.local_name if document else request.resource_id) or request.id,
            line=request.line or request.id,
            local_request_id=request.id,
            conflict_type=self._standing.type_of(line, document, server, base),
            local_data=local,
            base_data=base or None,
            server_data=server,
            server_version=str(server["modified"]) if server and server.get("modified") else None,
            local_changed_at=max(each.last_change for each in line),
            created_at=pending.created_at if pending else self._store.now(),
            choices=former.choices if former else None,
            reason=_moved_again(former) if former and by_person else None,
        )

    def _schema(self, doctype: str | None) -> Schema | None:
        return self._standing.schema(doctype)

    # deciding

    def decide(self, conflict: Conflict) -> bool:
        """By hook, else by rule; False where it stays for a person, with the reason on it."""
        if conflict.reason:
            # A person decided it, and has to look again.
            return False
        decision = self._decision(conflict)
        if decision.resolution is None:
            self._leave_pending(conflict, decision.reason)
            return False
        try:
            self.apply(
                conflict.id,
                decision.resolution,
                by=decision.by,
                reason=decision.reason,
                rest=decision.rest,
                values=decision.values,
            )
        except (LocalRefused, NotAllowed, InvalidRequest) as refused:
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
        merged = self.merged(conflict)
        answer = self._ports.resolver.decide(conflict, merged)
        if answer is not None:
            return self._by_hook(answer)
        policy, config = self._ports.policies.policy(conflict.resource_type), self._ports.config
        strategy: Strategy = policy.strategy or config.default_strategy
        version = conflict.server_version
        mergeable = (conflict.conflict_type, Resolution.MERGE) in _TABLE
        return decide(
            conflict,
            strategy=strategy,
            server_changed=self._ports.central.instant(version) if version else None,
            uncertain=config.lww_uncertain,
            merged=merged if mergeable else None,
            clashes=policy.merge_clashes or config.merge_clashes,
        )

    def _by_hook(self, answer: Mapping[str, Any]) -> Decision:
        by = f"hook:{answer.get('by', '?')}"
        if answer.get("error"):
            return Decision(resolution=None, by=by, reason=f"The hook failed: {answer['error']}")
        try:
            wanted = read_answer(answer)
        except InvalidRequest as nonsense:
            return Decision(resolution=None, by=by, reason=str(nonsense))
        if wanted is None or wanted.resolution is Resolution.MANUAL:
            return Decision(resolution=None, by=by, reason=f"{by} left it to a person")
        return Decision(resolution=wanted.resolution, by=by, reason=f"decided by {by}", values=wanted.values)

    # what both sides come to

    def merged(self, conflict: Conflict) -> Merged | None:
        """What both sides changed and come to, as long as it is open with how the branch's document stands now; None
        where the conflict is of no document."""
        with self._store.transaction():
            return self._standing.merged(conflict)

    def result(
        self,
        conflict: Conflict,
        *,
        choices: Mapping[str, Side | str] | None = None,
        rest: Side | None = None,
        values: Json | None = None,
    ) -> Json:
        """What a merge with these choices and values would make both sides; nothing is written. Raises as `apply`."""
        with self._store.transaction():
            merge_of = replace(self._standing.now(conflict), resolution=Resolution.MERGE)
            return self._with_result(merge_of, choices, rest, values).values or {}

    def data(self, conflict: Conflict) -> dict[str, Any]:
        """`registry.conflict_data` with the merge in it."""
        return conflict_data(conflict, self.merged(conflict))

    def _leave_pending(self, conflict: Conflict, reason: str) -> None:
        with self._store.transaction():
            current = self._store.conflict(conflict.id)
            # Somebody may have decided it while the rule was looked up.
            if current is not None and current.pending:
                self._store.put_conflict(replace(current, reason=reason))

    def _two_sides(self, conflict: Conflict) -> Sides:
        sides = self._standing.sides(conflict)
        if sides is None:
            raise _not_known(conflict)
        return sides

    # carrying out

    def apply(
        self,
        conflict_id: str,
        resolution: Resolution,
        *,
        by: str,
        reason: str | None = None,
        choices: Mapping[str, Side | str] | None = None,
        rest: Side | None = None,
        values: Json | None = None,
    ) -> Conflict:
        """Carry a decision out, in one transaction.

        Of a merge or manual: `choices` is {key of what clashes: side}, `rest` the side of what is not named, `values`
        {field, or `table[row].field`: value} what is to stand whatever both sides have; manual needs them. Raises
        NotFound, AlreadyDecided (by whom, when), NotAllowed (no such resolution of this type), InvalidRequest (what
        clashes and was not chosen) or LocalRefused.
        """
        store = self._store
        with store.transaction():
            conflict = store.conflict(conflict_id, lock=True)
            if conflict is None:
                raise NotFound(f"There is no conflict {conflict_id}.")
            if not conflict.pending:
                raise AlreadyDecided(_decided_already(conflict))
            conflict = replace(conflict, resolved_by=by, resolution=resolution)
            if not _is_automatic(conflict):
                Origins(self._ports).refuse_unless_known()
            conflict = self._taken_in(conflict)
            carry_out = _TABLE.get((conflict.conflict_type, resolution))
            if carry_out is None:
                raise NotAllowed(
                    f"{resolution.value} is not possible for a conflict of type {conflict.conflict_type.value}."
                )
            if resolution in _MERGES:
                conflict = self._with_result(conflict, choices, rest, values)
            elif values or choices:
                raise InvalidRequest(
                    f"Values and choices belong to merge and manual, not to {resolution.value}."
                )
            before = self._as_it_stands(conflict)
            carry_out(self, conflict)
            resolved = replace(
                conflict,
                resolution_status="resolved",
                resolved_at=store.now(),
                reason=reason,
                undo=self._with_outcome(conflict, before),
            )
            store.put_conflict(resolved)
        return resolved

    def _with_result(
        self,
        conflict: Conflict,
        choices: Mapping[str, Side | str] | None,
        rest: Side | None,
        values: Json | None,
    ) -> Conflict:
        if conflict.resolution is Resolution.MANUAL and not values:
            raise InvalidRequest("A decision by hand needs the values that both sides are to have.")
        values = values or {}
        if self._keeps_apart(conflict, values):
            return replace(conflict, values=dict(values))
        sides = self._two_sides(conflict)
        if choices is None:
            choices = conflict.choices or {}
        result = result_of(sides, sides.merged(), choices=choices, rest=rest, values=values)
        kept = {key: Side(side).value for key, side in choices.items()}
        return replace(conflict, choices=kept or None, values=result)

    def _keeps_apart(self, conflict: Conflict, values: Json) -> bool:
        """Whether the values give the branch's new document another name, or unique value, than the central's has."""
        held = self._held(conflict)
        if conflict.conflict_type is not ConflictType.CREATE_CREATE or not held:
            return False
        if held[0].operation is not Operation.CREATE:
            return False
        server = self._server(conflict)
        return any(
            field in values and values[field] != server.get(field) for field in {"name", *held[0].unique}
        )

    def _taken_in(self, conflict: Conflict) -> Conflict:
        """With what was saved since it was found: all open requests of its document, and how that stands now."""
        if conflict.conflict_type is ConflictType.CALL:
            return conflict
        self._placer.place_all()
        for request in self._store.open_in_line(conflict.line):
            if request.status in _TAKEN_IN:
                self._store.replace(move(request, Status.CONFLICT, readiness=Readiness.READY))
        return self._standing.now(conflict)

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
            raise _not_known(conflict)
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
        changes = {"resource_version": None, "carries": None, **changes}
        again = begun_anew(request, self._ports.ids.new_key(), **changes)
        self._store.replace(move(again, Status.PENDING, readiness=Readiness.RECHECK))

    def _decided(self, conflict: Conflict) -> None:
        for request in self._held(conflict):
            self._end(
                request, Status.DECIDED, closed_by=conflict.resolved_by, reason=f"conflict {conflict.id}"
            )

    def _end(self, request: Request, status: Status, **changes: Any) -> None:
        self._store.replace(move(request, status, closed_at=self._store.now(), **changes))
        self._store.release(request.id)

    def _write_local(self, conflict: Conflict, document: Document, *, keep: frozenset[str]) -> None:
        """Give the branch's document the central's synced values, but for the fields in `keep`."""
        server = self._server(conflict)
        theirs = in_local_names(self._store, server, self._schema(document.doctype), document.rows)
        self._write(document, theirs, server, keep=keep)

    def _write(self, document: Document, theirs: Json, server: Json, *, keep: frozenset[str]) -> None:
        """`theirs` is what is to stand here, `server` the central's document whose rows they are."""
        current = local_document(self._ports, document)
        if current is None:
            return
        schema = self._schema(document.doctype)
        names = (document.local_name, str(server["name"]))
        taken = taken_here(current, theirs, schema, names=names)
        values = {field: value for field, value in taken.items() if field not in keep}
        if values:
            self._ports.documents.write(document.doctype, document.local_name, values)
            self._match_rows(document, server)

    def _match_rows(self, document: Document, server: Json) -> None:
        """Know the rows that were just written here as those of the central that they are."""
        after = local_document(self._ports, document) or {}
        schema = self._schema(document.doctype)
        rows = matched_rows(self._store, after, server, schema, document.rows)
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
        held = self._waiting(conflict)
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

    def _waiting(self, conflict: Conflict) -> list[Request]:
        """The held requests, where something is to be sent."""
        held = self._held(conflict)
        if not held:
            raise NotAllowed(
                "The central has this already, and nothing waits to be sent: it is only here that it differs."
            )
        return held

    def _both_become(self, conflict: Conflict) -> None:
        """The central gets the result; when it has accepted, so does the branch's document (`arrived`)."""
        if self._keeps_apart(conflict, conflict.values or {}):
            self._kept_apart(conflict)
            return
        held, sides = self._waiting(conflict), self._two_sides(conflict)
        server, result = self._server(conflict), conflict.values or {}
        sides = sides.matched(sides.merged())
        theirs = sides.server or {}
        document = self._take_over(self._document(conflict), server, conflict.server_version, rows=sides.rows)
        moved = sides.moved(result)
        is_step = {
            each.id: each.apart or each.operation not in (Operation.CREATE, Operation.UPDATE) for each in held
        }
        carrier = next((each for each in held if not is_step[each.id]), held[0])
        steps = [each for each in held if is_step[each.id] and each is not carrier]
        local = sides.local or {}

        def share(request: Request) -> dict[str, Any]:
            """What is left of a step: where the result is another than the branch's, the result."""
            if request.operation is Operation.RENAME:
                return dict(request.body)
            taken = set(moved_fields({**local, **result}, {**result, **local}, sides.schema))
            return {
                field: result[field] if field in taken else value
                for field, value in request.body.items()
                if field in moved
            }

        bodies = {each.id: share(each) for each in steps}
        stepped = {
            field for each in steps if each.operation is not Operation.RENAME for field in bodies[each.id]
        }
        own = share(carrier) if is_step[carrier.id] else {}
        body = {**{field: result[field] for field in moved if field not in stepped}, **own}
        submits = carrier.operation is Operation.CREATE and bool(carrier.body.get("docstatus"))
        operation = Operation.SUBMIT if submits else carrier.operation
        operation = Operation.UPDATE if operation is Operation.CREATE else operation
        sends = bool(body) or operation is not Operation.UPDATE
        known: dict[str, Any] = dict(theirs)
        for request in held:
            if request is carrier and sends:
                self._send_again(
                    carrier,
                    operation=operation,
                    method="PUT",
                    path=document_path(document.doctype, document.central_name),
                    body=body,
                    base={field: known.get(field) for field in body},
                    links=_links_of(body, sides.schema, _known_links(held)),
                    carries=conflict.id,
                )
                known.update(body)
            elif request in steps and (bodies[request.id] or request.operation is not Operation.UPDATE):
                step = bodies[request.id]
                base = None if request.operation is Operation.RENAME else {f: known.get(f) for f in step}
                self._send_again(request, body=step, base=base)
                known.update(step)
            elif sends:
                self._end(request, Status.MERGED, merged_into=carrier.id)
            else:
                reason = f"conflict {conflict.id}"
                self._end(request, Status.DECIDED, closed_by=conflict.resolved_by, reason=reason)
        if not sends:
            # Nothing of it travels: there is no answer to wait for.
            self._write(document, result, server, keep=frozenset())

    def _kept_apart(self, conflict: Conflict) -> None:
        """Another document than the central's: created there under the name, or unique value, that it is given."""
        first, *rest = self._held(conflict)
        values = conflict.values or {}
        unknown = [field for field in values if field != "name" and field not in first.body]
        if unknown:
            raise InvalidRequest(f"{', '.join(unknown)} is no field of the document that is created.")
        self._send_again(
            first,
            body={**first.body, **values},
            unique={field: values.get(field, value) for field, value in first.unique.items()},
            carries=conflict.id,
        )
        for request in rest:
            self._send_again(request)

    def arrived(
        self, request: Request, document: Document, answered: Json | None, *, refused: str | None
    ) -> None:
        """The central has the result of a decision: the branch's document gets it too, with what was changed here
        since on top. Inside the transaction that records the answer; raises LocalRefused. `refused`: why it was
        refused, so that the conflict opens once more, until a person closes it."""
        conflict = self._store.conflict(request.carries or "")
        if conflict is None:
            return
        if refused is None:
            self._bring_here(conflict, request, document, answered or document.base or {})
            return
        self._store.put_conflict(
            replace(
                conflict,
                resolution_status="pending",
                conflict_type=ConflictType.UPDATE_UPDATE,
                resolution=None,
                resolved_at=None,
                resolved_by=None,
                local_request_id=request.id,
                local_data=local_document(self._ports, document),
                server_data=answered or document.base,
                server_version=document.version,
                undo=None,
                reason=f"The central has what {conflict.resolved_by} decided, but here: {refused}",
            )
        )

    def _bring_here(self, conflict: Conflict, request: Request, document: Document, server: Json) -> None:
        # What was saved meanwhile, under another name perhaps.
        self._placer.place_all()
        document = self._store.document(document.id) or document
        current = local_document(self._ports, document)
        if current is None:
            return
        schema, result = self._schema(document.doctype), conflict.values or {}
        rows = known_rows(document.rows, server)
        theirs = {**result, **in_local_names(self._store, server, schema, rows)}
        base, stays = dict(conflict.local_data or {}), set[str]()
        # What a later step of the same decision takes along is not there yet, nor is a later change.
        forms = (conflict.undo or {}).get("requests") or {}
        for step in self._store.open_in_line(document.id):
            if step.id in forms and step.id != request.id:
                theirs |= {field: result[field] for field in step.body if field in result}
            elif step.seq > request.seq and step.operation is not Operation.RENAME:
                base |= step.base or {}
                stays |= {field for field, value in step.body.items() if not is_rows(value)}
        merged = merge(base, current, theirs, schema)
        values = resolve(merged, {}, Side.LOCAL) or {}
        known, named = replace(document, rows=rows), {**server, "name": document.central_name}
        try:
            self._write(known, values, named, keep=frozenset(stays))
        except LocalRefused:
            raise
        except Exception as error:
            # Whatever goes wrong inside a document's save is that document's, and not the outbox's.
            raise LocalRefused(f"saving it failed ({type(error).__name__})") from error

    # taking a decision back

    def undo(self, conflict_id: str, *, by: str) -> Conflict:
        """The conflict waits for a decision again, and everything stands as it stood before it was decided.

        While nothing of the decision was sent, and the document is unchanged since. Raises NotFound, NotAllowed with
        the reason why not, or LocalRefused.
        """
        store = self._store
        with store.transaction():
            conflict = store.conflict(conflict_id, lock=True)
            if conflict is None:
                raise NotFound(f"There is no conflict {conflict_id}.")
            if conflict.pending:
                raise NotAllowed("This conflict is not decided.")
            before = conflict.undo
            if before is None or conflict.resolution is None:
                raise NotAllowed("How it stood before was not kept, so that it cannot be taken back.")
            Origins(self._ports).refuse_unless_known()
            document = store.document(conflict.line)
            requests = self._to_take_back(conflict, before["requests"], before.get("added", ()))
            for added in store.open_in_line(conflict.line):
                if added.id in before.get("added", ()):
                    reason = "the decision was taken back"
                    self._end(added, Status.DISCARDED, closed_by=by, reason=reason)
            if document is not None and before.get("document"):
                self._refuse_changed(conflict, document, before)
                self._write_back(conflict, document)
                store.put_document(replace(document, **before["document"]))
            for request in requests:
                form = before["requests"][request.id]
                store.replace(taken_back(request, **_from_form(form)))
                lines = {link.line for link in _links(form) if link.line and link.line != request.line}
                store.set_links(request.id, request.seq, lines)
            how = conflict.resolution.value
            again = replace(
                conflict,
                resolution_status="pending",
                resolution=None,
                resolved_by=None,
                resolved_at=None,
                values=None,
                undo=None,
                reason=f"{by} took back what {conflict.resolved_by} decided: {how}",
            )
            store.put_conflict(again)
        return again

    def _to_take_back(
        self, conflict: Conflict, forms: Mapping[str, Json], added: Collection[str]
    ) -> list[Request]:
        self._placer.place_all()
        store, requests = self._store, []
        for request_id, form in forms.items():
            request = store.get(request_id)
            if request is None:
                raise NotAllowed("Its requests were deleted since, as old ones are.")
            ended = request.status in (Status.DECIDED, Status.MERGED)
            if request.status is Status.IN_FLIGHT or (request.sends and not ended):
                raise NotAllowed("What was decided has been sent to the central.")
            if request.last_change.isoformat() != form["changed"]:
                raise NotAllowed("The document was changed again here since.")
            requests.append(request)
        known = {*forms, *added}
        is_call = conflict.conflict_type is ConflictType.CALL
        if not is_call and any(other.id not in known for other in store.open_in_line(conflict.line)):
            raise NotAllowed("The document was changed again here since.")
        return requests

    def _refuse_changed(self, conflict: Conflict, document: Document, before: Json) -> None:
        if [document.version, document.central_name, document.deleted] != before["after"]:
            raise NotAllowed("The central has answered about this document since.")
        if self._print_of(document) != before["here"]:
            raise NotAllowed("The document was changed again here since.")

    def _write_back(self, conflict: Conflict, document: Document) -> None:
        """The branch's document as it was; it is called in its own name, deleted or not."""
        documents, schema = self._ports.documents, self._schema(document.doctype)
        current, was = local_document(self._ports, document), conflict.local_data
        if was is None:
            if current is not None:
                documents.delete(document.doctype, document.local_name)
        elif current is None:
            values = {**synced_values(was, schema), "docstatus": docstatus_of(was)}
            documents.restore(document.doctype, document.local_name, values)
        else:
            if docstatus_of(current) != docstatus_of(was):
                raise NotAllowed(
                    "The decision submitted or cancelled the document here, which cannot be taken back."
                )
            values = synced_values(was, schema)
            differing = moved_fields({**values, **synced_values(current, schema)}, values, schema)
            if differing:
                documents.write(
                    document.doctype,
                    document.local_name,
                    {field: values[field] for field in differing if field in values},
                )

    def _as_it_stands(self, conflict: Conflict) -> dict[str, Any]:
        """What `undo` needs, before anything is done."""
        document = self._store.document(conflict.line)
        kept: dict[str, Any] = {"requests": {each.id: _to_form(each) for each in self._held(conflict)}}
        if document is not None:
            kept["document"] = {
                "central_name": document.central_name,
                "version": document.version,
                "base": document.base,
                "rows": dict(document.rows),
                "deleted": document.deleted,
            }
        return kept

    def _with_outcome(self, conflict: Conflict, before: dict[str, Any]) -> Json:
        """And what it stands as afterwards, by which a later change is seen."""
        document = self._store.document(conflict.line)
        if document is None:
            return before
        after = [document.version, document.central_name, document.deleted]
        added = [
            each.id for each in self._store.open_in_line(conflict.line) if each.id not in before["requests"]
        ]
        return {**before, "after": after, "added": added, "here": self._print_of(document)}

    def _print_of(self, document: Document) -> str:
        current = local_document(self._ports, document)
        return fingerprint(
            None if current is None else synced_values(current, self._schema(document.doctype))
        )

    # the rest of the table

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
            if merges(request):
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
        body, step = in_first_state(document_body(conflict.local_data, schema), schema)
        if schema is None and document.central_name == document.local_name:
            body["name"] = document.local_name
        self._store.put_document(replace(document, central_name=None, version=None, base=None, rows={}))
        held = self._held(conflict)
        first, *rest = held
        for request in rest:
            self._end(request, Status.MERGED, merged_into=first.id)
        self._send_again(
            first,
            operation=Operation.CREATE,
            method="POST",
            path=document_path(document.doctype),
            body=body,
            base=None,
            links=document_links(body, schema, _known_links(held)),
            unique={field: value for field, value in first.unique.items() if field in body},
        )
        if step:
            created = self._store.get(first.id) or first
            self._store.add(step_after(created, step, schema, key=self._ports.ids.new_key()))

    def _deleted_here(self, conflict: Conflict) -> None:
        document = self._document(conflict)
        if local_document(self._ports, document) is not None:
            self._ports.documents.delete(document.doctype, document.local_name)
        self._store.put_document(replace(document, deleted=True))
        self._decided(conflict)

    def _restored_here(self, conflict: Conflict) -> None:
        server = self._server(conflict)
        document = self._take_over(self._document(conflict), server, conflict.server_version, deleted=False)
        values = in_local_names(self._store, server, self._schema(document.doctype), document.rows)
        self._ports.documents.restore(
            document.doctype, document.local_name, {**values, "docstatus": docstatus_of(server)}
        )
        self._match_rows(document, server)
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
        found = first.altered(base={field: server.get(field) for field in body})
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
        wanted = docstatus_of(server)
        if current is not None and wanted != unless and docstatus_of(current) != wanted:
            self._ports.documents.set_docstatus(document.doctype, document.local_name, wanted)

    def _call_again(self, conflict: Conflict) -> None:
        for request in self._held(conflict):
            self._send_again(request)


def _to_form(request: Request) -> dict[str, Any]:
    """A held request, as far as a decision changes it."""
    return {
        "operation": request.operation.value,
        "method": request.method,
        "path": request.path,
        "body": request.body,
        "base": request.base,
        "unique": request.unique,
        "links": [[link.path, link.doctype, link.name, link.line] for link in request.links],
        "resource_version": request.resource_version,
        "carries": request.carries,
        "changed": request.last_change.isoformat(),
    }


def _from_form(form: Json) -> dict[str, Any]:
    kept = {name: value for name, value in form.items() if name != "changed"}
    return {**kept, "operation": Operation(form["operation"]), "links": _links(form)}


def _links(form: Json) -> tuple[Link, ...]:
    return tuple(
        Link(path=path, doctype=doctype, name=name, line=line) for path, doctype, name, line in form["links"]
    )


def _known_links(held: list[Request]) -> list[Link]:
    return [link for request in reversed(held) for link in request.links]


def _links_of(body: Json, schema: Schema | None, known: list[Link]) -> tuple[Link, ...]:
    """What the body links to, and what the central's document links to until it arrives."""
    former = [link for link in known if link.path.startswith(FORMER)]
    return tuple(dict.fromkeys((*document_links(body, schema, known), *former)))


def _is_automatic(conflict: Conflict) -> bool:
    return (conflict.resolved_by or "").startswith(("rule:", "hook:"))


def _not_known(conflict: Conflict) -> NotAllowed:
    return NotAllowed(f"{conflict.resource_type} {conflict.resource_id} is not known any more.")


def _decided_already(conflict: Conflict) -> str:
    how = conflict.resolution.value if conflict.resolution else "closed"
    when = f"{conflict.resolved_at:%Y-%m-%d %H:%M}" if conflict.resolved_at else "?"
    return f"{conflict.resolved_by} already decided this conflict at {when} UTC: {how}."


def _moved_again(former: Conflict) -> str:
    return f"The central's document was changed again after {former.resolved_by} decided"


_CarryOut = Callable[[Resolutions, Conflict], None]

_TABLE: Mapping[tuple[ConflictType, Resolution], _CarryOut] = {
    (ConflictType.UPDATE_UPDATE, Resolution.LOCAL_WINS): Resolutions._over_server,
    (ConflictType.UPDATE_UPDATE, Resolution.SERVER_WINS): Resolutions._server_here,
    **{
        (kind, resolution): Resolutions._both_become
        for kind in (ConflictType.UPDATE_UPDATE, ConflictType.CREATE_CREATE)
        for resolution in (Resolution.MERGE, Resolution.MANUAL)
    },
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
