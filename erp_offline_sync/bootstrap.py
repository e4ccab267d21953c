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

from erp_offline_sync.adapters.log_events import AllEvents, CallEvents, LogEvents
from erp_offline_sync.adapters.rest_central import RestCentral
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.adapters.standalone import NoDocuments, PlainPolicies, RegisteredHooks, StopFlag
from erp_offline_sync.adapters.system_clock import SystemClock, SystemIds
from erp_offline_sync.engine.config import parse
from erp_offline_sync.engine.model import Json
from erp_offline_sync.engine.ports import Control, Events, Ports
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.engine.sync import SyncEngine

__all__ = ["LOGGER", "REGISTRY", "Assembled", "standalone"]

LOGGER = "offline_sync"
REGISTRY = HookRegistry()
"""Conflict hooks registered in this process."""


@dataclass(frozen=True)
class Assembled:
    """An engine with the ports it works through."""

    engine: SyncEngine
    ports: Ports


def _holder() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def standalone(
    settings: Mapping[str, Any],
    *,
    path: Path,
    on_event: Callable[[str, Json], None] | None = None,
    control: Control | None = None,
) -> Assembled:
    """The engine over an embedded SQLite outbox at `path`.

    `settings` has the engine's settings (`engine.config.SETTINGS`) and central_url, api_key, api_secret, ca_file.
    Raises SettingsError.
    """
    logger = logging.getLogger(LOGGER)
    receivers: list[Events] = [LogEvents(logger), *([CallEvents(on_event)] if on_event else [])]
    central = RestCentral(
        settings.get("central_url") or "",
        settings.get("api_key") or "",
        settings.get("api_secret") or "",
        ca_file=settings.get("ca_file") or None,
    )
    clock = SystemClock()
    ports = Ports(
        store=SqliteStore(path),
        central=central,
        policies=PlainPolicies(),
        documents=NoDocuments(),
        resolver=RegisteredHooks(REGISTRY),
        events=AllEvents(receivers, logger),
        clock=clock,
        ids=SystemIds(),
        control=control or StopFlag(),
        config=parse(settings),
    )
    return Assembled(engine=SyncEngine(ports, holder=_holder()), ports=ports)
