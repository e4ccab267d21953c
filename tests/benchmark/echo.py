"""A central inside the branch's process that takes every push and keeps nothing: what is left is the branch's cost.

It times itself, so that its own share can be taken off.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from erp_offline_sync.adapters.standalone import NoCentral
from erp_offline_sync.engine.model import Reply
from erp_offline_sync.engine.sending.push import (
    LIMITS,
    SCHEMA,
    Capabilities,
    PushAnswer,
    PushOutcome,
    PushRequest,
    PushResult,
    answer_body,
    capabilities_body,
    parse_push,
)

__all__ = ["EchoCentral"]

_TIME = "2026-01-05 10:00:00.000000"


class EchoCentral(NoCentral):
    """The Central port. `seconds`: processor time that its answers took."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock = threading.Lock()

    def capabilities(self) -> Reply:
        said = Capabilities(
            schemas=(SCHEMA,),
            version="0",
            limits=LIMITS,
            time=_TIME,
            time_zone="UTC",
            user="branch@example.com",
        )
        return Reply(status=200, is_json=True, body={"message": capabilities_body(said)})

    def probe(self) -> Reply:
        return Reply(status=200, is_json=True, body={"message": "branch@example.com"})

    def push(self, data: bytes) -> Reply:
        with self._timed():
            outcomes = []
            for request in parse_push(data).requests:
                if not isinstance(request, PushRequest):
                    raise TypeError(f"it was sent what cannot be read: {request.why}")
                name = f"C-{request.id[-12:]}"
                document = {**request.values, "name": name, "modified": _TIME, "docstatus": 0}
                outcomes.append(
                    PushResult(
                        id=request.id,
                        outcome=PushOutcome.APPLIED,
                        name=name,
                        version=_TIME,
                        docstatus=0,
                        document=document,
                    )
                )
            answer = PushAnswer(time=_TIME, time_zone="UTC", outcomes=tuple(outcomes))
            return Reply(status=200, is_json=True, body={"message": answer_body(answer)})

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.thread_time()
        try:
            yield
        finally:
            with self._lock:
                self.seconds += time.thread_time() - began
