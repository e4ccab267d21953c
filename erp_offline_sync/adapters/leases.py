"""The run's lease as one text that a store keeps and changes inside a transaction of its own.

Each function takes the text as it stands (None: there never was a lease) and the database's time. The token
outlives the lease, so that the next one is larger whatever became of the last holder.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Lease

from .rows import iso

__all__ = ["acquire", "live", "release", "renew"]


def acquire(text: str | None, holder: str, seconds: float, now: datetime) -> tuple[str | None, Lease | None]:
    """The text to keep, and the new lease; None while another one is live."""
    record = _parse(text)
    if _is_live(record, now):
        latest = now + timedelta(seconds=record["seconds"])
        if _expiry(record) <= latest:
            return text, None
        # The clock went back: left as it is, the lease would outlast its holder by the whole jump.
        return canonical_json({**record, "expires_at": iso(latest)}), None
    return _grant(record["token"] + 1, holder, seconds, now)


def renew(text: str | None, lease: Lease, seconds: float, now: datetime) -> tuple[str | None, Lease | None]:
    """The text to keep, and the lease with its new end; None where it was taken over or given back."""
    record = _parse(text)
    if record["token"] != lease.token or record["holder"] is None:
        return text, None
    return _grant(lease.token, lease.holder, seconds, now)


def release(text: str | None, lease: Lease) -> str | None:
    """The text to keep: without a holder where the lease is still ours, else as it was."""
    record = _parse(text)
    return canonical_json({"token": lease.token, "holder": None}) if record["token"] == lease.token else text


def live(text: str | None, now: datetime) -> Lease | None:
    """The lease that is held now."""
    record = _parse(text)
    if not _is_live(record, now):
        return None
    return Lease(token=record["token"], holder=record["holder"], expires_at=_expiry(record))


def _parse(text: str | None) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(text) if text else {"token": 0, "holder": None}
    return record


def _is_live(record: dict[str, Any], now: datetime) -> bool:
    return record["holder"] is not None and _expiry(record) > now


def _expiry(record: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(record["expires_at"])


def _grant(token: int, holder: str, seconds: float, now: datetime) -> tuple[str, Lease]:
    lease = Lease(token=token, holder=holder, expires_at=now + timedelta(seconds=seconds))
    record = {"token": token, "holder": holder, "expires_at": iso(lease.expires_at), "seconds": seconds}
    return canonical_json(record), lease
