"""A document under a workflow is created in its workflow's first state, and moved to where it stands by a step of its
own: Frappe takes no new document in another state. Capture does the same with what is inserted in a later one. Nor
does a rename take values along: those that a decision adds to it go once the document has its new name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .model import Document, Json, Operation, Readiness, Request, Schema
from .names import document_links
from .paths import document_path
from .transitions import begun_anew

__all__ = ["beside_name", "in_first_state", "step_after", "step_after_rename"]

_OF_A_RENAME = frozenset({"new_name", "merge"})


def in_first_state(body: Json, schema: Schema | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body of a create, and what is left for the step: nothing where it stands in the first state already."""
    if schema is None or schema.first_state is None or body.get("docstatus"):
        return dict(body), {}
    field, first = schema.first_state
    state = body.get(field)
    if state in (None, "", first):
        return dict(body), {}
    return {**body, field: first}, {field: state}


def step_after(create: Request, step: Mapping[str, Any], schema: Schema | None, *, key: str) -> Request:
    """The request that moves a document to its state after its create."""
    doctype, name = str(create.resource_type), str(create.resource_id)
    return Request(
        id=key,
        key=key,
        seq=0,
        operation=Operation.UPDATE,
        resource_type=doctype,
        resource_id=name,
        method="PUT",
        path=document_path(doctype, name),
        body=dict(step),
        base={field: create.body.get(field) for field in step},
        links=document_links(step, schema),
        created_at=create.created_at,
        changed_at=create.last_change,
        priority=create.priority,
        rank=create.rank,
        order_group=create.order_group,
        apart=True,
        line=create.line,
        readiness=Readiness.RECHECK,
    )


def beside_name(body: Json) -> dict[str, Any]:
    """The values in the body of a rename, which no rename takes along."""
    return {field: value for field, value in body.items() if field not in _OF_A_RENAME}


def step_after_rename(rename: Request, document: Document, values: Json, *, key: str) -> Request:
    """The same request as the update that takes these values to the renamed document."""
    return begun_anew(
        rename,
        key,
        operation=Operation.UPDATE,
        method="PUT",
        path=document_path(document.doctype, document.central_name),
        body=values,
        base={field: (rename.base or {}).get(field) for field in values},
        resource_version=None,
    )
