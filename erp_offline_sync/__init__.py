"""erp_offline_sync: keeps a branch-office Frappe bench working offline.

The Python API (`get_sync_status`, `force_sync`, `register_conflict_hook` …) is bound on first use: importing this
package never imports frappe.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_API = frozenset(
    {
        "clear_old_requests",
        "enqueue_request",
        "force_sync",
        "get_metrics",
        "get_pending_conflicts",
        "get_sync_status",
        "pause",
        "resolve_conflict",
        "resume",
        "shutdown",
        "undo_conflict",
    }
)


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(_api(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def register_conflict_hook(doctype: str, hook: Any) -> None:
    """A function decides conflicts of the doctype ("*" for all) in this process only, unseen by workers; a dotted
    path instead of a function is kept by the site and seen by all."""
    if isinstance(hook, str):
        _api().register_conflict_hook(doctype, hook)
    else:
        _registry().register(doctype, hook)


def unregister_conflict_hook(doctype: str, *, kept: bool = False) -> bool:
    """Forget this process's hooks for the doctype, or with `kept` the site's; whether there was one."""
    return bool((_api().unregister_conflict_hook if kept else _registry().unregister)(doctype))


def _api() -> Any:
    return import_module("erp_offline_sync.api")


def _registry() -> Any:
    return import_module("erp_offline_sync.bootstrap").REGISTRY
