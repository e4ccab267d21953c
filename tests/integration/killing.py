"""Runs `erp-offline-sync run` in children of its own, each killed with SIGKILL at the step or the point that a line on
standard input names; answers the child's process id, then how it ended, a line each. A step is a commit that changed
something, or the moment before or after a call of the central; the points are in `POINTS`. Those on the line are the
fault proxy's: there the reader of these lines kills. It has no threads, so that it can fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from erp_offline_sync.adapters.rest_central import RestCentral
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.cli import main
from erp_offline_sync.engine.model import Lease, Request, Status

POINTS = ("claimed", "marked", "before record", "after record", "before the lease is returned")
"""Committed: a batch is claimed; a request is marked as sent. Its answer is read; its outcome is committed. All is
recorded, and the lease is still held."""


class Killer:
    """Ends this process when the n-th thing of a kind happens. What happens inside a transaction counts when that
    is committed."""

    def __init__(self, wanted: str, left: int) -> None:
        self._wanted, self._left = wanted, left
        self._inside: list[str] = []
        self._answers = 0

    def reached(self, point: str) -> None:
        if point == self._wanted:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def committed(self, changed: bool) -> None:
        points, self._inside = self._inside, []
        if changed:
            self.reached("step")
        for point in points:
            self.reached(point)

    def claimed(self, requests: Sequence[Request]) -> None:
        if requests:
            self._inside.append("claimed")

    def written(self, request: Request) -> None:
        if request.status is Status.IN_FLIGHT and request.sent_at is not None and request.wire is not None:
            self._inside.append("marked")
        elif self._answers:
            self._answers -= 1
            self._inside.append("after record")

    def answered(self) -> None:
        self._answers += 1
        self.reached("before record")


def run_until(killer: Killer, args: list[str]) -> None:
    transaction, claim, replace = SqliteStore.transaction, SqliteStore.claim, SqliteStore.replace
    release = SqliteStore.release_lease

    @contextmanager
    def watched_transaction(store: SqliteStore) -> Iterator[None]:
        outermost, before = store._depth == 0, store._connection.total_changes
        with transaction(store):
            yield
        if outermost:
            killer.committed(store._connection.total_changes != before)

    def watched_claim(store: SqliteStore, requests: Sequence[Request], token: int) -> list[Request]:
        claimed = claim(store, requests, token)
        killer.claimed(claimed)
        return claimed

    def watched_replace(store: SqliteStore, request: Request, *, token: int | None = None) -> bool:
        written = replace(store, request, token=token)
        if token is not None and written:
            killer.written(request)
        return written

    def watched_release(store: SqliteStore, lease: Lease) -> None:
        killer.reached("before the lease is returned")
        release(store, lease)

    def watched(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            killer.reached("step")
            answer = method(*args, **options)
            killer.reached("step")
            if name == "deliver":
                killer.answered()
            return answer

        return call

    SqliteStore.transaction = watched_transaction
    SqliteStore.claim, SqliteStore.replace = watched_claim, watched_replace
    SqliteStore.release_lease = watched_release
    for name in ("deliver", "fetch", "find", "find_created_since", "probe"):
        setattr(RestCentral, name, watched(name, getattr(RestCentral, name)))
    main(args=args, prog_name="erp-offline-sync")


if __name__ == "__main__":
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
            os.environ.update(order["env"])
            run_until(Killer(order["point"], order["nth"]), order["args"])
            os._exit(99)
        print(json.dumps({"pid": child}), flush=True)
        _, ended = os.waitpid(child, 0)
        print(json.dumps({"killed": os.WIFSIGNALED(ended)}), flush=True)
