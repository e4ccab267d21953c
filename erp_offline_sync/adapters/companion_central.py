"""A central that may have the companion: pushes go to it, everything else goes by plain REST.

A push is packed by whoever makes it, and travels as application/gzip: the framework parses bodies of JSON itself,
and answers packed ones with an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from erp_offline_sync.adapters.rest_central import PROBE_SECONDS, RestCentral
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import Reply
from erp_offline_sync.engine.sending.pushed import CAPABILITIES, PUSH, RECEIPTS, REHEARSE

__all__ = ["CompanionCentral"]

_ASKED_SECONDS = 10.0
"""What a companion can do is asked before the first request: a central that hangs holds it up for so long. A person
who waits for a rehearsal waits no longer either."""


class CompanionCentral(RestCentral):
    """The port `Central`, whole. Made like a RestCentral."""

    def capabilities(self) -> Reply:
        return self._call("GET", CAPABILITIES, seconds=min(_ASKED_SECONDS, self._total))

    def push(self, data: bytes) -> Reply:
        return self._call("POST", PUSH, body=data, kind="application/gzip", unread=True)

    def rehearse(self, data: bytes) -> Reply:
        seconds = min(_ASKED_SECONDS, self._total)
        return self._call("POST", REHEARSE, body=data, kind="application/gzip", seconds=seconds)

    def receipts(self, origin: str, keys: Sequence[str]) -> Reply:
        body = canonical_json({"origin": origin, "ids": list(keys)}).encode()
        return self._call("POST", RECEIPTS, body=body, seconds=min(PROBE_SECONDS, self._total))
