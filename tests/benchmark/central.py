"""A stand-in central in a process of its own: its processor time is not the branch's, and its documents are not
in the branch's memory."""

from __future__ import annotations

import multiprocessing
from dataclasses import replace
from types import TracebackType
from typing import Any

from erp_offline_sync.engine.sending.push import LIMITS
from erp_offline_sync.testing.stand_in import API_KEY, API_SECRET, StandInCentral

from .documents import RULES

__all__ = ["CentralProcess"]

_SPAWN = multiprocessing.get_context("spawn")
_PATIENCE = 60


class CentralProcess:
    """`with CentralProcess(companion=True, writers=4, …) as central:`; keywords as of StandInCentral, and
    `most_requests`: how many a push may hold."""

    def __init__(self, *, most_requests: int = LIMITS.max_requests, **how: Any) -> None:
        self._ours, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(theirs, most_requests, how), daemon=True)
        self._process.start()
        theirs.close()
        self.url = str(self._heard())

    def __enter__(self) -> CentralProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ours.close()
        self._process.join(5)
        if self._process.is_alive():
            self._process.terminate()

    @property
    def settings(self) -> dict[str, Any]:
        """What a branch of it is set to."""
        return {"central_url": self.url, "api_key": API_KEY, "api_secret": API_SECRET}

    def count(self, doctype: str) -> int:
        """How many documents of that type it holds."""
        self._ours.send(("count", doctype))
        return int(self._heard())

    def _heard(self) -> Any:
        if not self._ours.poll(_PATIENCE):
            raise TimeoutError("the stand-in central does not answer")
        return self._ours.recv()


def _serve(pipe: Any, most_requests: int, how: dict[str, Any]) -> None:
    with StandInCentral(RULES, **how) as central:
        central.companion.limits = replace(LIMITS, max_requests=most_requests)
        pipe.send(central.url)
        while True:
            try:
                _, doctype = pipe.recv()
            except EOFError:
                return
            pipe.send(len(central.documents(doctype)))
