"""Runs `erp-offline-sync run` in children of its own, each killed with SIGKILL at the step that a line on standard
input names; answers a line each. A step is a commit that changed something, or the moment before or after a call of
the central. It has no threads, so that it can fork.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from erp_offline_sync.adapters.rest_central import RestCentral
from erp_offline_sync.adapters.sqlite_store import SqliteStore
from erp_offline_sync.cli import main


def run_until(step: int, args: list[str]) -> None:
    left = step

    def reached() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    transaction = SqliteStore.transaction

    @contextmanager
    def watched_transaction(store: SqliteStore) -> Iterator[None]:
        outermost, before = store._depth == 0, store._connection.total_changes
        with transaction(store):
            yield
        if outermost and store._connection.total_changes != before:
            reached()

    def watched(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            reached()
            answer = method(*args, **options)
            reached()
            return answer

        return call

    SqliteStore.transaction = watched_transaction
    for name in ("deliver", "fetch", "find", "find_created_since", "probe"):
        setattr(RestCentral, name, watched(getattr(RestCentral, name)))
    main(args=args, prog_name="erp-offline-sync")


for line in sys.stdin:
    order = json.loads(line)
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
        run_until(order["step"], order["args"])
        os._exit(99)
    _, ended = os.waitpid(child, 0)
    print(json.dumps({"killed": os.WIFSIGNALED(ended)}), flush=True)
