"""Helpers for `bench --site S console`: status(), sync_now(), explain(name)."""

from typing import Any

from erp_offline_sync import bootstrap, settings, tasks
from erp_offline_sync.engine import actions
from erp_offline_sync.engine.errors import NotFound
from erp_offline_sync.engine.status import sync_status
from erp_offline_sync.wall_clock import by_the_sites_clock


def status() -> dict[str, Any]:
    """The sync status; its keys are those of the events."""
    store = tasks.own_store()
    with store.transaction():
        return sync_status(store)


def sync_now() -> str:
    """Run once, in this process; why it ended. Commits."""
    assembled = bootstrap.site()
    try:
        report = assembled.engine.run(budget=600, force=True)
    finally:
        assembled.disconnect()
    return f"{report.reason}: {report.stats.success} sent, {report.stats.failure} failed, {report.stats.conflict} in conflict"


def explain(name: str) -> str:
    """One line: why a request has not been sent, and when it will be."""
    store = tasks.own_store()
    with store.transaction():
        request = store.get(name)
        if request is None:
            raise NotFound(f"There is no request {name}.")
        why = actions.explain(store, request, store.now(), held_back=settings.held_back_now())
    return by_the_sites_clock(why)
