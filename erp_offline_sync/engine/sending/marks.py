"""The mark of a create: the request's id in a field that was added to the doctype at a plain central.

By it a create in doubt is found with certainty, whatever became of the document since. Where the field is unique
there, a second one under the same mark is refused. Source: semantics, "Ids and receipts".
"""

from __future__ import annotations

import json

from ..model import Operation, Request
from .pushed import is_pushed

__all__ = ["MARK", "mark_of", "with_mark"]

MARK = "offline_sync_request"


def with_mark(request: Request) -> Request:
    """The request with its mark in its body."""
    return request.altered(body={**request.body, MARK: request.key})


def mark_of(request: Request) -> str | None:
    """The mark that a create was sent under; None where it was sent without."""
    if request.operation is not Operation.CREATE or request.wire is None or is_pushed(request):
        return None
    mark = json.loads(request.wire.body or "{}").get(MARK)
    return str(mark) if mark else None
