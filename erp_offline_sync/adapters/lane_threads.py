"""Calls of the central side by side: a thread for each lane, with a central of its own.

Nothing but bytes goes through these threads: no database, no framework. They are daemons, so that a process that is
told to end does not wait for a line that is silent; how long one call may take is bounded by its central.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue

from erp_offline_sync.engine.model import Landed, Reply
from erp_offline_sync.engine.ports import Central, Clock

__all__ = ["LaneThreads"]

_Call = Callable[[Central], Reply]
_End = Landed | BaseException


class LaneThreads:
    """The port `Flights`. `open_central` makes one central; each lane calls it once, when it is first needed."""

    def __init__(self, open_central: Callable[[], Central], clock: Clock) -> None:
        self._open = open_central
        self._clock = clock
        self._idle: list[_Lane] = []
        self._flying: set[_Lane] = set()
        self._landed: SimpleQueue[tuple[_Lane, _End]] = SimpleQueue()

    def start(self, ticket: str, call: _Call) -> None:
        lane = self._idle.pop() if self._idle else _Lane(self._open(), self._clock)
        self._flying.add(lane)
        lane.begin(ticket, call, self._landed)

    def arrived(self) -> bool:
        return not self._landed.empty()

    def land(self) -> Landed:
        if not self._flying:
            raise LookupError("Nothing is on its way.")
        lane, end = self._landed.get()
        self._flying.discard(lane)
        self._idle.append(lane)
        if isinstance(end, BaseException):
            raise end
        return end

    def abandon(self) -> None:
        # Lanes that still fly report to a place where nobody looks, and end after that.
        self._landed = SimpleQueue()
        while self._flying:
            self._flying.pop().close()

    def close(self) -> None:
        """Close the connections; of what still flies, when it ended. More can be started afterwards."""
        self.abandon()
        while self._idle:
            self._idle.pop().close()


class _Lane:
    """One thread, until it is closed or its process ends. Closed, it first ends the call that it is at."""

    def __init__(self, central: Central, clock: Clock) -> None:
        self._central = central
        self._clock = clock
        self._orders: SimpleQueue[tuple[str, _Call, SimpleQueue[tuple[_Lane, _End]]] | None] = SimpleQueue()
        threading.Thread(target=self._fly, name="offline-sync-lane", daemon=True).start()

    def begin(self, ticket: str, call: _Call, landed: SimpleQueue[tuple[_Lane, _End]]) -> None:
        self._orders.put((ticket, call, landed))

    def close(self) -> None:
        self._orders.put(None)

    def _fly(self) -> None:
        while (order := self._orders.get()) is not None:
            ticket, call, landed = order
            began = self._clock.monotonic()
            try:
                reply = call(self._central)
                end: _End = Landed(ticket=ticket, reply=reply, seconds=self._clock.monotonic() - began)
            except BaseException as error:  # carried to whoever waits for the answer
                end = error
            landed.put((self, end))
            del order, call, landed, end
        close = getattr(self._central, "close", None)
        if close is not None:
            close()
