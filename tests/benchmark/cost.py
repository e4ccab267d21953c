"""What sending costs the branch: processor time a document, beside a thousand rows and beside a million, and memory."""

from __future__ import annotations

import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from erp_offline_sync import bootstrap
from erp_offline_sync.adapters.lane_threads import LaneThreads
from erp_offline_sync.bootstrap import Assembled
from erp_offline_sync.engine.events import OUTCOME
from erp_offline_sync.engine.model import Json
from erp_offline_sync.engine.sync import SyncEngine

from .central import CentralProcess
from .documents import NOTE, note
from .echo import EchoCentral
from .figure import Figure, Plan, Run, at_most
from .measuring import compared, interleaved
from .outboxes import ALL_READY, bulk, drained, fill_with_notes

__all__ = ["PLANS", "measure"]

SMALL, LARGE, LARGE_QUICK = 1_000, 1_000_000, 20_000
BATCH = 100
DOCUMENTS, ROUNDS = 2_000, 7
DRAINED_FOR_MEMORY = 50_000
_SPAWN = multiprocessing.get_context("spawn")

CPU = Plan(id="cost.cpu", title="engine CPU a document, in batches of 100", unit="ms", goal=at_most(1.0))
GROWTH = Plan(id="cost.drain", title="CPU a document, 1e6 rows against 1e3", unit="×", goal=at_most(1.2))
MEMORY = Plan(id="cost.memory", title="memory of a drain, 1e6 rows against 1e3", unit="×", goal=at_most(1.1))
PLANS = (CPU, GROWTH, MEMORY)


def measure(run: Run, plans: Sequence[Plan]) -> Iterator[Figure]:
    if CPU in plans:
        yield _cpu(run)
    if GROWTH in plans or MEMORY in plans:
        large = run.folder / "large.sqlite"
        rows = LARGE_QUICK if run.quick else LARGE
        run.say(f"building an outbox of {rows:,} rows")
        bulk(large, ALL_READY, rows, doctype=NOTE, body=note(0, random.Random(run.seed)), documents=True)
        if GROWTH in plans:
            yield _growth(run, large, rows)
        if MEMORY in plans:
            yield _memory(run, large, rows)
        large.unlink()


def _cpu(run: Run) -> Figure:
    documents, rounds = (500, 1) if run.quick else (DOCUMENTS, ROUNDS)
    with CentralProcess(companion=True, most_requests=BATCH, seed=run.seed) as central:
        turn = iter(range(10_000))

        def once() -> float:
            path = run.folder / f"cpu-{next(turn)}.sqlite"
            drawn = random.Random(run.seed)
            outbox = bootstrap.standalone({**central.settings, "sync_batch_size": BATCH}, path=path)
            fill_with_notes(outbox, (f"N-{number}" for number in range(documents)), drawn)
            began = time.process_time()
            drained(outbox)
            taken = time.process_time() - began
            outbox.close()
            path.unlink()
            return taken / documents * 1000

        samples = interleaved(
            {"cpu": once}, rounds, warm_up=1, heard=lambda _, turn, ms: run.say(f"{ms:.3f} ms")
        )
    return CPU.measured(samples["cpu"], documents=documents)


def _growth(run: Run, large: Path, rows: int) -> Figure:
    documents, rounds = (500, 3) if run.quick else (SMALL, ROUNDS)
    body = note(0, random.Random(run.seed))

    def small() -> float:
        path = run.folder / "small.sqlite"
        bulk(path, ALL_READY, SMALL, doctype=NOTE, body=body, documents=True)
        taken = _sent(path, documents)
        path.unlink()
        return taken

    samples = interleaved(
        {"small": small, "large": lambda: _sent(large, documents)},
        rounds,
        warm_up=1,
        heard=lambda name, _, ms: run.say(f"drain, {name} outbox: {ms:.3f} ms a document"),
    )
    goal = GROWTH.goal
    assert goal is not None
    return GROWTH.measured(
        compared(samples["large"], samples["small"], goal=goal.number),
        rows=rows,
        ms_small=samples["small"].median,
        ms_large=samples["large"].median,
        documents_a_turn=documents,
    )


def _sent(path: Path, documents: int) -> float:
    """Milliseconds of processor time a document, over the first so many that are due."""
    outbox, central, enough = _echoing(path, documents)
    began = time.process_time()
    enough.run(outbox)
    return (time.process_time() - began - central.seconds) / enough.seen * 1000


class _Enough:
    """Ends a run after so many outcomes: the Control port, and a listener to events."""

    def __init__(self, outcomes: int) -> None:
        self._outcomes = outcomes
        self.seen = 0

    def stop_reason(self) -> str | None:
        return "enough" if self.seen >= self._outcomes else None

    def hear(self, event: str, payload: Json) -> None:
        self.seen += event == OUTCOME

    def run(self, outbox: Assembled) -> None:
        """One run, which has to come so far; closes the outbox."""
        reason = outbox.engine.run(budget=3600.0).reason
        outbox.close()
        if self.seen < self._outcomes:
            raise RuntimeError(f"the run ended with {reason!r} after {self.seen} documents")


def _echoing(path: Path, documents: int) -> tuple[Assembled, EchoCentral, _Enough]:
    enough, central = _Enough(documents), EchoCentral()
    bare = bootstrap.standalone({}, path=path, on_event=enough.hear, control=enough, connected=False)
    flights = LaneThreads(lambda: central, bare.ports.clock)
    ports = replace(bare.ports, central=central, flights=flights)
    return Assembled(engine=SyncEngine(ports, holder="benchmark"), ports=ports), central, enough


def _memory(run: Run, large: Path, rows: int) -> Figure:
    documents, rounds = (2_000, 3) if run.quick else (DRAINED_FOR_MEMORY, 3)
    body = note(0, random.Random(run.seed))

    def small() -> float:
        path = run.folder / "small.sqlite"
        bulk(path, ALL_READY, SMALL, doctype=NOTE, body=body, documents=True)
        taken = _peak(run, path, SMALL)
        path.unlink()
        return taken

    samples = interleaved(
        {"small": small, "large": lambda: _peak(run, large, documents)},
        rounds,
        heard=lambda name, _, mb: run.say(f"memory, {name} outbox: {mb:.1f} MB"),
    )
    goal = MEMORY.goal
    assert goal is not None
    return MEMORY.measured(
        compared(samples["large"], samples["small"], goal=goal.number),
        rows=rows,
        mb_small=samples["small"].median,
        mb_large=samples["large"].median,
        documents_sent_of_large=documents,
    )


def _peak(run: Run, path: Path, documents: int) -> float:
    """Megabytes that a process needed at most which sent so many documents to a central of another process."""
    with CentralProcess(companion=True, seed=run.seed) as central:
        ours, theirs = _SPAWN.Pipe(duplex=False)
        how = (theirs, central.settings, path, documents)
        process = _SPAWN.Process(target=_drain_and_tell, args=how)
        process.start()
        theirs.close()
        try:
            return float(ours.recv())
        finally:
            process.join()


def _drain_and_tell(pipe: Any, settings: dict[str, Any], path: Path, documents: int) -> None:
    enough = _Enough(documents)
    enough.run(bootstrap.standalone(settings, path=path, on_event=enough.hear, control=enough))
    pipe.send(_most_memory())


def _most_memory() -> float:
    """Megabytes that this process needed at most. Linux counts among a process's resources what its parent held when it
    was started; its status knows of itself alone."""
    status = Path("/proc/self/status")
    if status.exists():
        (most,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(most.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)
