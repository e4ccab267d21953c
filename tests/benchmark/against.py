"""Against others, on real sites: one request after the other, the public client, our plain REST, our companion, and
the same inserts in one process of the central, which is the floor.

Seconds a document; the arms take turns. A line with a round trip is the fault proxy's latency.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from erp_offline_sync.testing.fault_proxy import FaultProxy

from .figure import BENCH, Figure, Plan, Run, at_least
from .measuring import Samples, compared, interleaved
from .site_work import (
    CUSTOMER,
    ITEMS,
    POLICIES,
    SAME_CUSTOMERS,
    clear,
    drain,
    insert_with_receipts,
    made_here,
    send_to,
)

__all__ = ["PLANS", "measure_on"]

KINDS = {"hash": "Shop Note", "series": "Shop Customer", "submit": "Shop Sale"}
TRIPS = (0, 100, 600)
"""Milliseconds of added round trip."""
DOCUMENTS, DOCUMENTS_QUICK = 1_000, 24
FEW, FEW_QUICK = 50, 6
"""Of an arm in which one takes longer than `SLOW` seconds."""
SLOW = 0.3
ROUNDS, ROUNDS_QUICK = 3, 1
POST, CLIENT, PLAIN, PUSH, FLOOR = "requests.post", "frappe-client", "plain REST", "companion", "floor"
_PACKAGE = "frappe-client==0.1.0.dev0"

_VERSUS = {
    "requests": (PUSH, POST, "companion against one requests.post after the other"),
    "floor": (PUSH, FLOOR, "companion against inserts in one process of the central"),
    "client": (PLAIN, CLIENT, "plain REST against frappe-client"),
}
_GOALS = {
    ("hash", "requests", 0): 4.0,
    ("submit", "requests", 0): 1.5,
    ("hash", "requests", 100): 15.0,
    ("hash", "requests", 600): 60.0,
    ("hash", "floor", 0): 0.8,
    ("series", "floor", 0): 0.8,
    ("submit", "floor", 0): 0.8,
    ("hash", "client", 0): 1.0,
    ("hash", "client", 100): 3.0,
}
_WORDS = {"hash": "hash-named", "series": "naming series", "submit": "submittable with rows"}


def _plans() -> Iterator[Plan]:
    for trip in TRIPS:
        for kind in KINDS:
            for versus, (_, _, words) in _VERSUS.items():
                if versus == "floor" and trip:
                    continue
                goal = _GOALS.get((kind, versus, trip))
                yield Plan(
                    id=f"site.{kind}.{versus}.{trip}",
                    title=f"{words}; {_WORDS[kind]}, {trip} ms added",
                    unit="×",
                    goal=None if goal is None else at_least(goal),
                    needs=BENCH,
                )


PLANS = tuple(_plans())


def measure_on(rig: Any, run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    for trip in TRIPS:
        for kind in KINDS:
            wanted = {
                plan.id.split(".")[2]: plan
                for plan in plans
                if plan.id in {f"site.{kind}.{v}.{trip}" for v in _VERSUS}
            }
            if wanted:
                yield from _measured(rig, run, kind, trip, wanted)


def _measured(rig: Any, run: Run, kind: str, trip: int, wanted: dict[str, Plan]) -> Iterator[Figure]:
    arms = dict.fromkeys(arm for versus in wanted for arm in _VERSUS[versus][:2])
    if CLIENT in arms and (lacking := _lacks_client(rig)):
        yield wanted.pop("client").unmeasured(lacking)
        arms = dict.fromkeys(arm for versus in wanted for arm in _VERSUS[versus][:2])
    taken, counts = _taken(rig, run, kind, trip, list(arms))
    per_second = {f"{name}, documents a second": 1 / samples.median for name, samples in taken.items()}
    for versus, plan in wanted.items():
        ours, others, _ = _VERSUS[versus]
        # Seconds of theirs for one of ours: how many times as fast we are. The floor may be a little faster than we are,
        # or slower than two workers: what counts is how far the goal is.
        limit = plan.goal.number if plan.goal and versus == "floor" else None
        yield plan.measured(compared(taken[others], taken[ours], goal=limit), **per_second, **counts)


def _taken(
    rig: Any, run: Run, kind: str, trip: int, arms: list[str]
) -> tuple[dict[str, Samples], dict[str, int]]:
    many, few, rounds = (DOCUMENTS_QUICK, FEW_QUICK, ROUNDS_QUICK) if run.quick else (DOCUMENTS, FEW, ROUNDS)
    turn = itertools.count()

    def documents(count: int) -> list[dict[str, Any]]:
        return [_document(kind, f"{next(turn)}-{number}") for number in range(count)]

    # Not counted: so that nothing is done for the first time, and to see which arms are slow.
    trial = {name: _ARMS[name](rig, kind, documents(6), trip) / 6 for name in arms}
    counts = {name: few if trial[name] > SLOW else many for name in arms}

    def arm(name: str) -> Callable[[], float]:
        def once() -> float:
            clear(rig)
            return _ARMS[name](rig, kind, documents(counts[name]), trip) / counts[name]

        return once

    def heard(name: str, turn: int, seconds: float) -> None:
        run.say(f"{kind}, {trip} ms, {name}: {1 / seconds:.1f} documents a second ({counts[name]})")

    taken = interleaved({name: arm(name) for name in arms}, rounds, heard=heard)
    clear(rig)
    return taken, {f"{name}, documents a turn": count for name, count in counts.items()}


def _document(kind: str, mark: str) -> dict[str, Any]:
    if kind == "hash":
        return {"title": f"note {mark}", "body": "north market paper " * 12, "category": "A", "weight": 2.5}
    if kind == "series":
        return {"customer_name": f"Customer {mark}", "mobile": f"0123 {mark}", "credit_limit": 500}
    rows = [{"item": item, "qty": 2, "rate": 9.5} for item in ITEMS]
    return {
        "customer": CUSTOMER,
        "set_posting_time": 1,
        "posting_date": "2026-01-05",
        "posting_time": "10:00:00",
        "items": rows,
        "docstatus": 1,
    }


# The arms: each sends the documents to a central and answers how many seconds that took.


def _line(url: str, trip: int) -> AbstractContextManager[Any]:
    """`url` of what is entered leads there."""
    return FaultProxy(url, latency=trip / 2000) if trip else nullcontext(_Direct(url))


class _Direct:
    def __init__(self, url: str) -> None:
        self.url = url


def _by_post(rig: Any, kind: str, documents: list[dict[str, Any]], trip: int) -> float:
    import requests

    site = rig.central
    headers = {"Authorization": f"token {site.api_key}:{site.api_secret}"}
    with _line(site.url, trip) as line:
        began = time.perf_counter()
        for values in documents:
            answer = requests.post(
                f"{line.url}/api/resource/{KINDS[kind]}", json=values, headers=headers, timeout=60
            )
            answer.raise_for_status()
        return time.perf_counter() - began


def _lacks_client(rig: Any) -> str | None:
    """Installed beside the bench's packages, from the package index; why it cannot be had, or None."""
    target = rig.folder / "frappe-client"
    if str(target) not in sys.path:
        sys.path.append(str(target))
    if not (target / "frappeclient").is_dir():
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        done = subprocess.run([*argv, "--target", str(target), _PACKAGE], capture_output=True, text=True)
        if done.returncode:
            return f"{_PACKAGE} cannot be had from the package index"
    return None


def _by_client(rig: Any, kind: str, documents: list[dict[str, Any]], trip: int) -> float:
    from frappeclient import FrappeClient

    site = rig.central
    with _line(site.url, trip) as line:
        client = FrappeClient(line.url, api_key=site.api_key, api_secret=site.api_secret)
        client.session.trust_env = False
        began = time.perf_counter()
        for values in documents:
            client.insert({"doctype": KINDS[kind], **values})
        return time.perf_counter() - began


def _by_branch(rig: Any, kind: str, documents: list[dict[str, Any]], trip: int, site: Any) -> float:
    policies = SAME_CUSTOMERS if kind == "submit" else POLICIES
    with _line(site.url, trip) as line:
        send_to(rig, site, line.url, policies=policies)
        rig.branch.run(made_here, KINDS[kind], documents)
        told = rig.branch.run(drain)
    if told["reason"] != "done" or told["success"] != len(documents):
        raise RuntimeError(f"{kind} to {site.name}: {json.dumps(told)} of {len(documents)}")
    return float(told["seconds"])


def _by_plain_rest(rig: Any, kind: str, documents: list[dict[str, Any]], trip: int) -> float:
    return _by_branch(rig, kind, documents, trip, rig.central)


def _by_push(rig: Any, kind: str, documents: list[dict[str, Any]], trip: int) -> float:
    return _by_branch(rig, kind, documents, trip, rig.companion)


def _in_process(rig: Any, kind: str, documents: list[dict[str, Any]], trip: int) -> float:
    return float(rig.companion.run(insert_with_receipts, KINDS[kind], documents))


_ARMS: dict[str, Callable[[Any, str, list[dict[str, Any]], int], float]] = {
    POST: _by_post,
    CLIENT: _by_client,
    PLAIN: _by_plain_rest,
    PUSH: _by_push,
    FLOOR: _in_process,
}
