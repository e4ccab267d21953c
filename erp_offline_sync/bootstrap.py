"""The composition root: puts the engine together from settings and adapters. Nothing else does.

`standalone` is the embedded outbox of the command line; `site` the one inside a Frappe site.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from erp_offline_sync.adapters.companion_central import CompanionCentral
from erp_offline_sync.adapters.lane_threads import LaneThreads
from erp_offline_sync.adapters.log_events import AllEvents, CallEvents, LogEvents
from erp_offline_sync.adapters.sole_run import SoleRunStore
from erp_offline_sync.adapters.standalone import (
    NoCentral,
    NoDocuments,
    PlainPolicies,
    RegisteredHooks,
    StopFlag,
)
from erp_offline_sync.adapters.system_clock import SystemClock, SystemIds
from erp_offline_sync.engine.config import Config, parse
from erp_offline_sync.engine.model import Json, Policy
from erp_offline_sync.engine.ports import Central, Control, Events, Ports
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.engine.sync import SyncEngine

__all__ = ["LOGGER", "REGISTRY", "Assembled", "site", "site_central", "standalone", "standalone_central"]

LOGGER = "offline_sync"
REGISTRY = HookRegistry()
"""Conflict hooks registered in this process."""


@dataclass(frozen=True)
class Assembled:
    """An engine with the ports it works through."""

    engine: SyncEngine
    ports: Ports

    def close(self) -> None:
        """Close the connections to the central, and an embedded outbox. The site's database stays as it is."""
        self.disconnect()
        close = getattr(self.ports.store, "close", None)
        if close is not None:
            close()

    def disconnect(self) -> None:
        """Close the connections to the central."""
        for port in (self.ports.flights, self.ports.central):
            close = getattr(port, "close", None)
            if close is not None:
                close()


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def standalone(
    settings: Mapping[str, Any],
    *,
    path: str | Path,
    on_event: Callable[[str, Json], None] | None = None,
    control: Control | None = None,
    clock: SystemClock | None = None,
    policies: Mapping[str, Policy] | None = None,
    registry: HookRegistry = REGISTRY,
    connected: bool = True,
) -> Assembled:
    """The engine over an embedded SQLite outbox at `path` (":memory:" for one that leaves nothing).

    `settings` has the engine's settings (`engine.config.SETTINGS`) and central_url, api_key, api_secret, ca_file;
    not `connected`, the last four are not needed and nothing can be sent. Raises SettingsError.
    """
    logger = logging.getLogger(LOGGER)
    receivers: list[Events] = [LogEvents(logger), *([CallEvents(on_event)] if on_event else [])]
    config = parse(settings)

    def opened() -> Central:
        return standalone_central(settings, config) if connected else NoCentral()

    clock = clock or SystemClock()
    ports = Ports(
        store=SoleRunStore(path),
        central=opened(),
        flights=LaneThreads(opened, clock),
        policies=PlainPolicies(policies),
        documents=NoDocuments(),
        resolver=RegisteredHooks(registry),
        events=AllEvents(receivers, logger),
        clock=clock,
        ids=SystemIds(),
        control=control or StopFlag(),
        config=config,
    )
    return Assembled(engine=SyncEngine(ports, holder=_holder()), ports=ports)


def standalone_central(settings: Mapping[str, Any], config: Config) -> CompanionCentral:
    """The central that the settings of a process name. Raises SettingsError."""
    return CompanionCentral(
        settings.get("central_url") or "",
        settings.get("api_key") or "",
        settings.get("api_secret") or "",
        ca_file=settings.get("ca_file") or None,
        read_timeout=float(config.central_request_timeout),
    )


def site(
    *,
    on_event: Callable[[str, Json], None] | None = None,
    control: Control | None = None,
    connected: bool = True,
) -> Assembled:
    """The engine of the Frappe site that is connected. Its transactions begin with a rollback and are committed:
    call it from jobs, commands and endpoints, never inside a document's save. Raises SettingsError.

    Not `connected`, URL and credentials are not needed and nothing can be sent.
    """
    import frappe

    from erp_offline_sync import settings
    from erp_offline_sync.adapters.frappe_meta import FrappeLocalDocuments, FrappePolicies
    from erp_offline_sync.adapters.frappe_store import FrappeStore
    from erp_offline_sync.adapters.hook_resolvers import SiteHooks
    from erp_offline_sync.adapters.identity_file import IdentityFile
    from erp_offline_sync.adapters.realtime_events import RealtimeEvents
    from erp_offline_sync.conflicts.telling import tell

    values = settings.effective()
    secret = settings.secret() if connected else ""

    def opened() -> Central:
        return site_central(values, secret=secret) if connected else NoCentral()

    clock = SystemClock()
    logger = frappe.logger(LOGGER)
    receivers: list[Events] = [
        LogEvents(logger),
        RealtimeEvents(),
        *([CallEvents(on_event)] if on_event else []),
    ]
    store = FrappeStore(frappe.db.commit, frappe.db.rollback, on_conflicts=tell)
    ports = Ports(
        store=store,
        central=opened(),
        flights=LaneThreads(opened, clock),
        policies=FrappePolicies(),
        documents=FrappeLocalDocuments(first=store.write_out),
        resolver=SiteHooks(REGISTRY, store),
        events=AllEvents(receivers, logger),
        clock=clock,
        ids=SystemIds(),
        control=control or StopFlag(),
        config=parse(values),
        language=frappe.db.get_single_value("System Settings", "language") or None,
        note=IdentityFile(frappe.local.site, frappe.get_site_path()),
    )
    return Assembled(engine=SyncEngine(ports, holder=_holder()), ports=ports)


def site_central(values: Mapping[str, Any], *, secret: str | None = None) -> CompanionCentral:
    """The central of the connected site, by its effective settings; `secret`: another than the one that is kept.
    Raises SettingsError where there is no URL."""
    from erp_offline_sync import settings

    return CompanionCentral(
        values.get("central_url") or "",
        values.get("api_key") or "",
        settings.secret() if secret is None else secret,
        ca_file=values.get("ca_file") or None,
        read_timeout=float(values.get("central_request_timeout") or 120),
        allow_plain_http=bool(values.get("allow_plain_http")),
    )
