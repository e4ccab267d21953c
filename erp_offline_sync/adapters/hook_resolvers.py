"""Conflict hooks on a site: those registered in this process, those kept by the site as dotted paths, and those that
apps name in their hooks.py.

Which hook runs is written before it runs: where one kills its worker, whoever finds that mark leaves the conflict
to a person. The session's user is restored after each hook.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import frappe

from erp_offline_sync.adapters.standalone import HOOK_SECONDS, RegisteredHooks
from erp_offline_sync.adapters.time_limit import TookTooLong
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.merge import Merged
from erp_offline_sync.engine.model import Conflict
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.engine.registry import HookRegistry, same_doctype

__all__ = ["APP_HOOKS", "KEPT_HOOKS", "SiteHooks", "keep_hook", "kept_hooks", "registered", "remove_hook"]

KEPT_HOOKS = "conflict_hooks"
APP_HOOKS = "offline_sync_conflict_hooks"
"""What an app names in its hooks.py: {doctype or "*": dotted path or list of them}."""
_RUNNING = "hook_running"


def kept_hooks(store: Store) -> dict[str, list[str]]:
    """{doctype: [dotted path]} as the site keeps them."""
    return dict(json.loads(store.get_meta(KEPT_HOOKS) or "{}"))


def keep_hook(store: Store, doctype: str, path: str) -> None:
    """Keep a hook for all processes of the site; the path must lead to a function."""
    frappe.get_attr(path)
    kept = kept_hooks(store)
    kept[doctype] = [*[known for known in kept.get(doctype, []) if known != path], path]
    store.set_meta(KEPT_HOOKS, canonical_json(kept))


def remove_hook(store: Store, doctype: str) -> bool:
    """Whether the site kept one."""
    kept = kept_hooks(store)
    left = {known: paths for known, paths in kept.items() if not same_doctype(known, doctype)}
    store.set_meta(KEPT_HOOKS, canonical_json(left))
    return len(left) < len(kept)


def registered(registry: HookRegistry, store: Store, doctype: str) -> HookRegistry:
    """The hooks that a doctype concerns: the process's first, then the site's, then those that apps name."""
    found = HookRegistry()
    for known, hooks in registry.items():
        for hook in hooks:
            found.register(known, hook)
    stated: dict[str, list[str]] = frappe.get_hooks(APP_HOOKS, {})
    for paths_of in (kept_hooks(store), stated):
        for known, paths in paths_of.items():
            # What another doctype names need not be there to be loaded.
            if known == "*" or same_doctype(known, doctype):
                for path in paths:
                    found.register(known, frappe.get_attr(path))
    return found


class SiteHooks:
    """The Resolver port of a site."""

    def __init__(self, registry: HookRegistry, store: Store, *, seconds: float = HOOK_SECONDS) -> None:
        self._registry = registry
        self._store = store
        self._seconds = seconds

    def decide(self, conflict: Conflict, merged: Merged | None) -> Mapping[str, Any] | None:
        with self._store.transaction():
            try:
                hooks = registered(self._registry, self._store, conflict.resource_type)
            except Exception as error:
                return {"error": f"a hook cannot be loaded ({type(error).__name__})", "by": "conflict_hooks"}
            if not hooks.hooks(conflict.resource_type):
                return None
            if self._store.get_meta(_RUNNING) == conflict.id:
                self._store.set_meta(_RUNNING, None)
                why = "it did not come to an end the last time, and is not asked again about this conflict"
                return {"error": why, "by": "conflict_hooks"}
            self._store.set_meta(_RUNNING, conflict.id)
        try:
            return RegisteredHooks(hooks, around=_alone, seconds=self._seconds).decide(conflict, merged)
        finally:
            with self._store.transaction():
                self._store.set_meta(_RUNNING, None)


@contextmanager
def _alone() -> Iterator[None]:
    """What a hook does to the database or the session ends with it."""
    user = frappe.session.user
    try:
        yield
    except TookTooLong:
        # It may have been interrupted between a question to the database and its answer.
        frappe.db.close()
        raise
    finally:
        frappe.db.rollback()
        if frappe.session.user != user:
            frappe.set_user(user)
