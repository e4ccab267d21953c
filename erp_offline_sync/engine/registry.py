"""Hooks that decide conflicts, by doctype. A registered hook lasts for the process.

"SalesInvoice" is accepted for "Sales Invoice"; `"*"` is asked last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .errors import InvalidRequest
from .model import Conflict, Json, Resolution

__all__ = ["Hook", "HookRegistry", "conflict_data", "read_answer", "same_doctype"]

Hook = Callable[[str, Mapping[str, Any]], Any]
"""`hook(conflict_id, conflict_data)` → `{"resolution": …}` or None; a coroutine is awaited by the caller."""


def _key(doctype: str) -> str:
    return doctype.replace(" ", "").casefold()


def same_doctype(one: str, other: str) -> bool:
    """Whether both name one doctype: "SalesInvoice" and "Sales Invoice" do."""
    return _key(one) == _key(other)


class HookRegistry:
    """Functions by doctype, in the order of their registration."""

    def __init__(self) -> None:
        self._hooks: dict[str, list[Hook]] = {}

    def register(self, doctype: str, hook: Hook) -> None:
        if not doctype or not callable(hook):
            raise InvalidRequest("A conflict hook needs a doctype (or '*') and a function.")
        self._hooks.setdefault(_key(doctype), []).append(hook)

    def unregister(self, doctype: str) -> bool:
        """Whether there was one."""
        return self._hooks.pop(_key(doctype), None) is not None

    def items(self) -> list[tuple[str, list[Hook]]]:
        """What is registered: doctype as it is compared (without spaces, lower case), hooks."""
        return [(doctype, list(hooks)) for doctype, hooks in self._hooks.items()]

    def hooks(self, doctype: str) -> list[Hook]:
        return [*self._hooks.get(_key(doctype), ()), *self._hooks.get("*", ())]


def conflict_data(conflict: Conflict) -> dict[str, Any]:
    """What a hook, the API and the events' readers get; names are the fields' names, data are objects."""
    return {
        "name": conflict.id,
        "resource_id": conflict.resource_id,
        "resource_type": conflict.resource_type,
        "resourceId": conflict.resource_id,
        "resourceType": conflict.resource_type,
        "local_request_id": conflict.local_request_id,
        "local_data": conflict.local_data,
        "server_data": conflict.server_data,
        "base_data": conflict.base_data,
        "server_version": conflict.server_version,
        "conflict_type": conflict.conflict_type.value,
        "resolution_status": conflict.resolution_status,
        "resolution": conflict.resolution.value if conflict.resolution else None,
        "resolved_by": conflict.resolved_by,
        "resolved_at": conflict.resolved_at.isoformat() if conflict.resolved_at else None,
        "created_at": conflict.created_at.isoformat(),
        "reason": conflict.reason,
    }


def read_answer(answer: Any) -> Resolution | None:
    """The resolution a hook answered; None for "not mine". Raises InvalidRequest on anything else."""
    if answer is None:
        return None
    resolution: Json | Any = answer.get("resolution") if isinstance(answer, Mapping) else None
    try:
        return Resolution(resolution)
    except ValueError:
        allowed = ", ".join(choice.value for choice in Resolution)
        raise InvalidRequest(
            f"A conflict hook must answer {{'resolution': one of {allowed}}} or None, not {type(answer).__name__}."
        ) from None
