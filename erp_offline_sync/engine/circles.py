"""Documents that link to each other in a circle, none of which is at the central yet.

One of them goes without the link that closes the circle, where that may be empty. Once it is there, the same
request goes on as the update that sets the link, and the others no longer wait for it.
Source: semantics, "Order, identity, links".
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any

from .model import Document, Json, Link, Operation, Request, Schema
from .ordering import Placer
from .paths import document_path
from .ports import Ports
from .sending.outgoing import links_in_body
from .sending.pushed import is_pushed, item_values
from .transitions import begun_anew

__all__ = ["Circles", "completed_by", "left_out", "may_be_empty", "without_links"]


def may_be_empty(schema: Schema | None, path: str) -> bool:
    """Whether a document is accepted without this field, as far as is known here."""
    table, _, rest = path.partition(".")
    if schema is None:
        return True
    if not rest:
        return table not in schema.required
    row_schema = schema.tables.get(table)
    return row_schema is None or rest.partition(".")[2] not in row_schema.required


def without_links(body: Json, links: Iterable[Link]) -> dict[str, Any]:
    """The body without the values at these paths; rows stay."""
    changed: dict[str, Any] = dict(body)
    for link in links:
        table, _, rest = link.path.partition(".")
        if not rest:
            changed.pop(table, None)
            continue
        position, _, field = rest.partition(".")
        rows = [dict(row) for row in changed[table]]
        rows[int(position)].pop(field, None)
        changed[table] = rows
    return changed


def left_out(request: Request) -> tuple[Link, ...]:
    """The links of a create that its bytes do not have."""
    if request.operation is not Operation.CREATE or request.wire is None or request.wire.body is None:
        return ()
    sent = item_values(request) if is_pushed(request) else json.loads(request.wire.body)
    return tuple(link for link in links_in_body(request) if not _is_in(sent, link.path))


def completed_by(request: Request, document: Document, left: Collection[Link], key: str) -> Request:
    """The same request as the update that sets what its create left out."""
    fields = dict.fromkeys(link.path.partition(".")[0] for link in left)
    body = {field: request.body[field] for field in fields}
    emptied = without_links(body, left)
    return begun_anew(
        request,
        key,
        operation=Operation.UPDATE,
        method="PUT",
        path=document_path(document.doctype, document.central_name),
        body=body,
        base={field: emptied.get(field) for field in fields},
        links=tuple(link for link in request.links if link.path.partition(".")[0] in fields),
        unique={},
        resource_version=None,
    )


def _is_in(sent: Json, path: str) -> bool:
    table, _, rest = path.partition(".")
    if not rest:
        return table in sent
    position, _, field = rest.partition(".")
    return field in sent[table][int(position)]


class Circles:
    """Works inside the caller's transaction."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._policies = ports.policies
        self._placer = Placer(ports.store, ports.ids)

    def closes(self, link: Link, request: Request) -> Request | None:
        """The open create of what this links to, where that one waits for the request, or is it."""
        if self._placer.open_creator(link, request) is not None:
            return None
        creates = self._store.open_in_line(link.line, operations=(Operation.CREATE,)) if link.line else []
        return creates[0] if creates else None

    def can_go_without(self, request: Request, links: Collection[Link]) -> bool:
        schema = self._policies.schema(str(request.resource_type))
        return (
            request.operation is Operation.CREATE
            and not request.body.get("docstatus")
            and bool(links)
            and all(may_be_empty(schema, link.path) for link in links)
        )

    def another(self, request: Request, creator: Request) -> Request | None:
        """The first of the circle that can go without its link, where the request cannot: it stands between the
        creator, which the request needs, and the request, which that one waits for."""
        current: Request | None = creator
        while current is not None and current.id != request.id:
            following = self._store.get(current.waits_for or "")
            line = following.line if following else None
            closing = [link for link in links_in_body(current) if link.line == line]
            if self.can_go_without(current, closing):
                return current
            current = following
        return None
