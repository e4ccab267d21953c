"""Conflict hooks on a site: those registered in this process, and those kept by the site as dotted paths.

Which hook runs is written before it runs: where one kills its worker, whoever finds that mark leaves the conflict
to a person. The session's user is restored after each hook.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import frappe

from erp_offline_sync.adapters.standalone import RegisteredHooks
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Conflict
from erp_offline_sync.engine.ports import Store
from erp_offline_sync.engine.registry import HookRegistry, same_doctype

__all__ = ["KEPT_HOOKS", "SiteHooks", "keep_hook", "kept_hooks", "registered", "remove_hook"]

KEPT_HOOKS = "conflict_hooks"
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


def registered(registry: HookRegistry, store: Store) -> HookRegistry:
    """The process's hooks first, then the site's."""
    both = HookRegistry()
    for doctype, hooks in registry.items():
        for hook in hooks:
            both.register(doctype, hook)
    for doctype, paths in kept_hooks(store).items():
        for path in paths:
            both.register(doctype, frappe.get_attr(path))
    return both


class SiteHooks:
    """The Resolver port of a site."""

    def __init__(self, registry: HookRegistry, store: Store) -> None:
        self._registry = registry
        self._store = store

    def decide(self, conflict: Conflict) -> Mapping[str, Any] | None:
        with self._store.transaction():
            try:
                hooks = registered(self._registry, self._store)
            except Exception as error:
                return {"error": f"a hook cannot be loaded ({type(error).__name__})", "by": "conflict_hooks"}
            if not hooks.hooks(conflict.resource_type):
                return None
            if self._store.get_meta(_RUNNING) == conflict.id:
                self._store.set_meta(_RUNNING, None)
                return {"error": "it did not come to an end the last time", "by": "conflict_hooks"}
            self._store.set_meta(_RUNNING, conflict.id)
        user = frappe.session.user
        try:
            return RegisteredHooks(hooks).decide(conflict)
        finally:
            frappe.db.rollback()
            if frappe.session.user != user:
                frappe.set_user(user)
            with self._store.transaction():
                self._store.set_meta(_RUNNING, None)
