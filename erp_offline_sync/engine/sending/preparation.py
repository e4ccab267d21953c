"""What is fixed before a request's bytes leave: names, version, rows; and that it is marked as sent.

`prepare` fixes it at the first send only; repeats send the same bytes. A document that was never sent is looked
up by its name first. Source: semantics, "Delivery on a plain central" and "Order, identity, links".
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..circles import Circles, without_links
from ..classify import Outcome, Verdict
from ..model import Document, Json, Link, Operation, Request, Status
from ..names import in_central_names
from ..ordering import Placer
from ..ports import Ports
from ..transitions import move
from ..values import moved_fields
from .answers import Answers
from .booking import Booking, Result
from .knowledge import Knowledge
from .lookup import LookNeeded, Lookup
from .marks import with_mark
from .outgoing import DOCSTATUS, build_wire, carried_values, has_rows, links_in_body, row_names
from .pushed import build_item, is_pushed, needs_rows

__all__ = ["Preparation"]


class _Held(Exception):
    """The request cannot be sent as it is: a person is needed. Nothing left this site."""


class _Gone(Exception):
    """The document that the request is about is not at the central."""


class _Unmade(Exception):
    """What it links to is created by a later request."""


class _Turned(Exception):
    """It waits in a circle of links, in which `first` can go without its own."""

    def __init__(self, creator: Request, first: Request) -> None:
        super().__init__("turned")
        self.creator = creator
        self.first = first


class _Moved(Exception):
    """The central's document changed in a synced field; `central` is how it stands."""

    def __init__(self, central: Json) -> None:
        super().__init__("moved")
        self.central = central


_BETTER_ALONE = (LookNeeded, _Held, _Gone, _Unmade, _Turned, _Moved)
"""Why a request is not prepared together with others."""


class Preparation:
    """The steps of a run with one request before it is sent."""

    def __init__(
        self, ports: Ports, lookup: Lookup, knowledge: Knowledge, booking: Booking, answers: Answers
    ) -> None:
        self._ports = ports
        self._store = ports.store
        self._lookup = lookup
        self._knowledge = knowledge
        self._booking = booking
        self._answers = answers
        self._placer = Placer(ports.store, ports.ids)
        self._circles = Circles(ports)

    def prepare(self, request: Request, *, number: int | None = None) -> Request | Result:
        """The request with its bytes, or what became of it where nothing need or can be sent. With `number` they
        are those of an item of a push, which gets that number where it has none yet.

        Raises CentralUnavailable where a look-up got no proper answer.
        """
        if _is_fixed(request, pushed=number is not None):
            return request
        if number is None and _may_still_arrive(request):
            return self._booking.doubted(request)
        number = None if number is None else request.number or number
        with self._store.transaction():
            document = self._store.document(request.line) if request.line else None
        try:
            return self._with_wire(request, document, number)
        except _Held as held:
            return self._booking.needs_attention(
                request, Outcome(verdict=Verdict.REFUSED_AT_ONCE, message=str(held))
            )
        except _Unmade:
            return self._answers.link_missing(request, Outcome(verdict=Verdict.LINK_MISSING))
        except _Turned as turned:
            return self._answers.wait_for(request, turned.creator, first=turned.first)
        except _Gone:
            if request.operation is Operation.DELETE:
                return self._answers.close(request, "gone already")
            return self._booking.conflict(request, None)
        except _Moved as moved:
            return self._answers.found_moved(request, moved.central)

    def items_at_once(self, requests: Sequence[Request], number: int) -> list[Request]:
        """The first of these as items of a push, numbered from `number` where they have none, as far as there is
        nothing to ask and nothing in the way: one transaction, in which nothing is written."""
        ready: list[Request] = []
        with self._store.transaction():
            self._store.take_up(requests)
            for request in requests:
                item = self._at_once(request, request.number or number)
                if item is None:
                    break
                number = max(number, (item.number or 0) + 1)
                ready.append(item)
        return ready

    def at_once(self, requests: Sequence[Request]) -> list[Request]:
        """The same with their bytes for plain REST."""
        ready: list[Request] = []
        with self._store.transaction():
            self._store.take_up(requests)
            for request in requests:
                made = None if _may_still_arrive(request) else self._at_once(request, None)
                if made is None:
                    break
                ready.append(made)
        return ready

    def _at_once(self, request: Request, number: int | None) -> Request | None:
        if _is_fixed(request, pushed=number is not None):
            return request
        with self._store.transaction(), self._lookup.barred():
            document = self._store.document(request.line) if request.line else None
            try:
                return self._with_wire(request, document, number)
            except _BETTER_ALONE:
                return None

    def _with_wire(self, request: Request, document: Document | None, number: int | None) -> Request:
        if document is None or request.operation is Operation.CALL:
            return _built(request, None, number=number)
        if request.operation is Operation.CREATE:
            closing = self._closing(request)
            going = request.altered(body=without_links(request.body, closing)) if closing else request
            names = self._names(request, but_for=closing)
            if number is None and self._ports.policies.policy(document.doctype).marked:
                going = with_mark(going)
            built = _built(going, document, number=number, names=names)
            return request.altered(wire=built.wire, number=built.number)
        if request.operation is Operation.RENAME and request.body.get("merge") and not request.overwrite:
            raise _Held("Merging two documents cannot be undone: confirm it with Retry, or discard it.")
        if not document.linked:
            document = self._adopt_own(request, document)
        central, version = None, self._version(request, document)
        if version is None or _needs_a_look(request, document, pushed=number is not None):
            central = self._lookup.fetch(document.doctype, str(document.central_name))
            if central is None:
                raise _Gone
            if version != central.get("modified") and self._answers.arrived_earlier(
                request, document, central
            ):
                raise _Moved(central)
            document, version = self._under_version(request, document, central, version)
        built = _built(
            request, document, number=number, names=self._names(request), version=version, central=central
        )
        return built.altered(resource_version=version)

    def _version(self, request: Request, document: Document) -> str | None:
        """Our own newer answer comes before the version that the caller knew."""
        given = request.resource_version
        if given and not (document.touched_at and document.touched_at >= request.created_at):
            return given
        return document.version

    def _under_version(
        self, request: Request, document: Document, central: Json, version: str | None
    ) -> tuple[Document, str]:
        """The document as it stands, where no synced field of it moved since the version we know."""
        now = str(central.get("modified") or "")
        unknown = version is None and document.base is None
        if now != version and not (unknown or request.overwrite) and self._knowledge.moved(document, central):
            raise _Moved(central)
        return self._knowledge.learn(request, document, version=now, base=central), now

    def _adopt_own(self, request: Request, document: Document) -> Document:
        """A document older than the app, before its first change: is the one of its name the same?

        Its name is the one it had then: a later rename has moved `local_name` already.
        """
        name = request.resource_id or document.local_name
        central = self._lookup.fetch(document.doctype, name)
        if central is None:
            if request.operation is Operation.DELETE:
                raise _Gone
            raise _Held(f"{document.doctype} {name} is not at the central. Send it whole, or discard this.")
        message = self._knowledge.anothers(document.doctype, name, document.id)
        if message:
            raise _Held(message)
        before = self._before(document, name, central)
        if before is None:
            schema = self._ports.policies.schema(document.doctype)
            based = {field: central.get(field) for field in request.base or {}}
            if moved_fields(request.base or {}, based, schema) and not request.overwrite:
                raise _Moved(central)
            return self._knowledge.learn(request, document, central_name=name)
        if not self._lookup.same_document(before, central, document.doctype):
            raise _Moved(central)
        return self._link(request, document, before, central)

    def _adopt_target(self, request: Request, link: Link, document: Document) -> str:
        """The central's name of a document that is linked to and was never sent."""
        with self._store.transaction():
            if self._placer.open_creator(link, request) is not None:
                raise _Unmade
        central = self._lookup.fetch(link.doctype, link.name)
        if central is None:
            raise _Held(f"{link.doctype} {link.name}, which it links to, is not at the central.")
        message = self._knowledge.anothers(link.doctype, link.name, document.id)
        if message:
            raise _Held(message)
        before = self._before(document, link.name, central)
        if before is not None and not self._lookup.same_document(before, central, link.doctype):
            raise _Held(f"{link.doctype} {link.name}, which it links to, is another document at the central.")
        return str(self._link(request, document, before or central, central).central_name)

    def _link(self, request: Request, document: Document, before: Json, central: Json) -> Document:
        """The same document, as it was here before its open changes. Where the central's differs already, its
        version counts as not known, so that its next change finds out."""
        known = self._knowledge.as_known(document, central, before, version=None)
        return self._knowledge.learn(
            request, document, central_name=str(central["name"]), rows=row_names(before, central, {}), **known
        )

    def _before(self, document: Document, name: str, central: Json) -> dict[str, Any] | None:
        """The branch's document as it was before its open requests, in the central's names; None where the branch
        keeps no documents. `central` tells which field is the one that it is named by."""
        with self._store.transaction():
            local = self._knowledge.local(document)
            later = self._store.open_in_line(document.id)
            last = later[0] if later else None
            if local is None and last is not None and last.operation is Operation.DELETE:
                local = last.base
            if local is None:
                return None
            before = {**local, "name": name}
            for request in later:
                moved = (
                    {"docstatus": DOCSTATUS[request.operation] - 1} if request.operation in DOCSTATUS else {}
                )
                before |= {**(request.base or {}), **moved}
                if request.operation is Operation.RENAME:
                    new_name = request.body["new_name"]
                    named_by = [field for field, value in before.items() if value == new_name]
                    before |= {field: name for field in named_by if central.get(field) == name}
            return in_central_names(self._store, before, self._ports.policies.schema(document.doctype))

    def _closing(self, request: Request) -> list[Link]:
        """The links that close a circle of documents, none of which is at the central; it goes without them."""
        with self._store.transaction():
            found = {
                link: creator
                for link in links_in_body(request)
                if (creator := self._circles.closes(link, request)) is not None
            }
            if not found or self._circles.can_go_without(request, found):
                return list(found)
            for creator in found.values():
                first = self._circles.another(request, creator)
                if first is not None:
                    raise _Turned(creator, first)
        creator = next(iter(found.values()))
        raise _Held(
            f"It and {creator.resource_type} {creator.resource_id} link to each other, and neither can be made at the "
            "central without its link. Empty one of them and save it."
        )

    def _names(self, request: Request, *, but_for: Collection[Link] = ()) -> dict[str, str]:
        """The central's names of what the body links to, by path."""
        names: dict[str, str] = {}
        for link in links_in_body(request):
            if link in but_for:
                continue
            with self._store.transaction():
                target = self._store.document(link.line) if link.line else None
            if target is None or target.linked:
                names[link.path] = (target.central_name if target else None) or link.name
            elif self._ports.policies.policy(link.doctype).same_names:
                names[link.path] = link.name
            else:
                names[link.path] = self._adopt_target(request, link, target)
        return {**self._row_names(request), **names}

    def _row_names(self, request: Request) -> dict[str, str]:
        """The central's names of rows that carried fields name: those of documents that this one links to."""
        carried = dict(carried_values(request.body, self._ports.policies.schema(str(request.resource_type))))
        if not carried:
            return {}
        rows: dict[str, str] = {}
        with self._store.transaction():
            for line in {link.line for link in links_in_body(request) if link.line}:
                target = self._store.document(line)
                rows |= target.rows if target else {}
        return {
            path: rows[value] for path, value in carried.items() if isinstance(value, str) and value in rows
        }

    def mark(self, request: Request) -> Request:
        """Written in a commit of its own, just before the bytes leave."""
        with self._store.transaction():
            marked = move(
                request, Status.IN_FLIGHT, sent_at=self._store.now(), sends=request.sends + 1, refused=False
            )
            self._booking.save(marked)
        return marked


_WITHOUT_VERSION = (Operation.DELETE, Operation.RENAME)
"""Plain REST takes no version with these: what they are about is compared before each send."""


def _may_still_arrive(request: Request) -> bool:
    """A push of it was not answered. A companion would know it again; by plain REST it is looked up first."""
    return (
        request.operation in (Operation.CREATE, Operation.CALL)
        and is_pushed(request)
        and request.sends > 0
        and not request.refused
    )


def _is_fixed(request: Request, *, pushed: bool) -> bool:
    """Whether what is sent was fixed before, in the form that is wanted now."""
    if request.wire is None or is_pushed(request) is not pushed:
        return False
    return pushed or request.operation not in _WITHOUT_VERSION


def _needs_a_look(request: Request, document: Document, *, pushed: bool) -> bool:
    """Whether the central's document has to be read before the request can be made."""
    if pushed:
        return needs_rows(request, document)
    return has_rows(request.body) or request.operation in _WITHOUT_VERSION


def _built(
    request: Request,
    document: Document | None,
    *,
    number: int | None,
    names: Mapping[str, str] | None = None,
    version: str | None = None,
    central: Json | None = None,
) -> Request:
    """With its bytes. One that none can be made of is held: it must not end the run again and again."""
    try:
        if number is None:
            wire = build_wire(request, document, names=names or {}, version=version, central=central)
        else:
            wire = build_item(
                request, document, number=number, names=names or {}, version=version, central=central
            )
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _Held(f"Nothing can be sent for it ({type(error).__name__}). Discard it.") from error
    return request.altered(wire=wire, number=number or request.number)
