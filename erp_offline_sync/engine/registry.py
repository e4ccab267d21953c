"""Hooks that decide conflicts, by doctype. A registered hook lasts for the process.

"SalesInvoice" is accepted for "Sales Invoice"; `"*"` is asked last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import InvalidRequest
from .merge import Merged, Side, merge_data
from .model import Conflict, Json, Resolution

__all__ = [
    "Answer",
    "Hook",
    "HookRegistry",
    "conflict_data",
    "parse_choices",
    "parse_values",
    "read_answer",
    "same_doctype",
]

Hook = Callable[[str, Mapping[str, Any]], Any]
"""`hook(conflict_id, conflict_data)` → `{"resolution": …, "values": {…}}` or None; a coroutine is awaited by the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a hook wants. `values` are of a merge: {field, or key of a clash: value}, in the branch's names."""

    resolution: Resolution
    values: Json


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


def conflict_data(conflict: Conflict, merged: Merged | None = None) -> dict[str, Any]:
    """What a hook, the API and the events' readers get; names are the fields' names, data are objects. `merge` is
    `merge.merge_data` of both sides, None where the conflict is of no document."""
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
        "choices": conflict.choices,
        "values": conflict.values,
        "merge": None if merged is None else merge_data(merged),
    }


def parse_choices(texts: Iterable[str]) -> dict[str, str]:
    """`["city=local", "items[ROW-1].qty=server"]` as choices of a merge. Raises InvalidRequest."""
    choices: dict[str, str] = {}
    for text in texts:
        key, _, side = text.rpartition("=")
        if not key or side not in [each.value for each in Side]:
            raise InvalidRequest(f"A choice is KEY=local or KEY=server, not {text[:40]!r}.")
        choices[key] = side
    return choices


def parse_values(text: str | None) -> dict[str, Any]:
    """The values of a merge from JSON text; none from no text. Raises InvalidRequest."""
    try:
        values = json.loads(text or "{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise InvalidRequest('The values are not a JSON object such as {"field": value}.')
    return values


def read_answer(answer: Any) -> Answer | None:
    """What a hook answered; None for "not mine". Raises InvalidRequest on anything else."""
    if answer is None:
        return None
    resolution: Any = answer.get("resolution") if isinstance(answer, Mapping) else None
    try:
        chosen = Resolution(resolution)
    except ValueError:
        allowed = ", ".join(choice.value for choice in Resolution)
        raise InvalidRequest(
            f"A conflict hook must answer {{'resolution': one of {allowed}}} or None, not {type(answer).__name__}."
        ) from None
    values = answer.get("values") or {}
    if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
        raise InvalidRequest("The `values` that a conflict hook answers must be an object: {field: value}.")
    if values and chosen is not Resolution.MERGE:
        raise InvalidRequest("A conflict hook gives `values` with the resolution 'merge' alone.")
    return Answer(resolution=chosen, values=dict(values))
