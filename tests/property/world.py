"""A branch, a central and everything that can go wrong between them, under one seeded scheduler.

One seed is one run: the clock stands still unless a step moves it, ids and choices come from the seed. The
engine is the real one; the branch behaves as Frappe does (links are checked, submitted documents do not change,
a rename rewrites links), capture inserts what it would insert, and the central is the modelled one. Between any two
transactions of a run, and while a request is on its way, somebody may save, decide or discard, and the process
may be killed. `tests/property/checks.py` says what must hold after every step.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from erp_offline_sync.adapters.standalone import NoDocuments, PlainPolicies, StopFlag
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import Paused
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import (
    Policy,
    Reply,
    Request,
    Resolution,
    Status,
    Strategy,
)
from erp_offline_sync.engine.ports import Ports
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.engine.sending.lanes import LANES
from erp_offline_sync.engine.sending.line import BREAKER, kept_breaker
from erp_offline_sync.engine.sending.width import Width
from erp_offline_sync.engine.status import PAUSED, resume
from erp_offline_sync.engine.sync import RunReport, SyncEngine
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.testing.clock import START, FrozenClock
from erp_offline_sync.testing.doubles import MemoryNote, ports_around
from erp_offline_sync.testing.memory_store import MemoryStore

from .backups import Backups
from .mishaps import Mishaps
from .oracle import Answers
from .people import People
from .saves import Saves
from .sites import (
    KINDS,
    BranchDocuments,
    Crash,
    Flight,
    Key,
    Rollback,
    WorldCentral,
    WorldFlights,
    WorldStore,
    refuses_poison,
)

__all__ = ["World"]


class World(Saves, Mishaps, People, Backups):
    """One seed's world. `step` does one thing; `make_good`, `drain_alone` and `ask_people` bring it all to its end."""

    def __init__(self, seed: int, lanes: int | None = None) -> None:
        """`lanes`: how many requests or pushes may be on their way at once; None: as many as the seed says."""
        self.seed = seed
        self.rng = random.Random(f"world {seed}")
        self.lanes = lanes or random.Random(f"lanes {seed}").choice((1, 1, 2, 4, 8))
        self.flight: Flight | None = None
        """The call that is leaving just now."""
        self.clock = FrozenClock()
        self.faults: Counter[str] = Counter()
        self.steps: list[str] = []
        self.violations: list[str] = []
        self.answers = Answers()
        self.nested = False
        self.running = False
        self.dies_in: int | None = None
        self.dies_after_answers = 0
        self.healing = False
        self.interleaves = 0.0
        self.ahead_there = 0.0
        """Seconds by which the central's clock was set forward."""
        self._counts: Counter[str] = Counter()
        self.store = WorldStore(self)
        self.documents = BranchDocuments(self)
        self.queued: dict[str, int | None] = {}
        """Every committed request → the number of its document."""
        self.gone: dict[Key, int] = {}
        self.cut: set[int] = set()
        """Documents that a person or a skip left unequal on purpose."""
        self.judged: set[str] = set()
        """Calls that a person was asked about, looked for at the central and ended."""
        self.lost: set[int] = set()
        """Documents that one side may know otherwise since it was restored."""
        self.renamed_back: set[int] = set()
        """Documents that the central may have under a former name again, or not at all."""
        self.backup: Any = None
        self.backup_there: Any = None
        self.merges: dict[str, int] = {}
        """Request of a merge → the document that stays."""
        self.ended: dict[str, Request] = {}
        self.key_owner: dict[str, str] = {}
        self.central = WorldCentral(
            lambda: START + timedelta(seconds=self.clock.monotonic() + self.ahead_there),
            unique={
                name: kind.named_by for name, kind in KINDS.items() if kind.named_by not in (None, "name")
            },
            links={name: kind.paths for name, kind in KINDS.items()},
            submittable=frozenset(name for name, kind in KINDS.items() if kind.submittable),
            after_submit={name: kind.after_submit for name, kind in KINDS.items()},
            rules=[refuses_poison],
            queues=frozenset({"Sale"}) if self.rng.random() < 0.15 else frozenset(),
        )
        self.central.world = self
        draw = self.rng.random()
        self.comes_and_goes = 0.5 < draw < 0.65
        """The app is installed at the central, or taken away, while the branch is at work."""
        self.central.has_companion = draw > 0.6
        self._temper()
        self.control = StopFlag()
        self.note = None if self.standalone else MemoryNote()
        self.engine = self._new_engine()
        with MemoryStore.transaction(self.store):
            self.store.set_meta(LANES, canonical_json(Width(lanes=self.lanes, steady=True).to_json()))
        self._older_than_the_app()

    def _temper(self) -> None:
        """Each seed has its own mixture: rare things are frequent in some."""
        rng = self.rng
        self.standalone = rng.random() < 0.1
        self.odds: dict[str, float] = {
            name: rng.choice((0.0, 0.0, 0.05, 0.15))
            for name in (
                "stall",
                "look-up lost",
                "rollback",
                "poison",
                "short of time",
                "the central dies",
                "effect without a receipt",
            )
        }
        self.odds["effect without a receipt"] *= 0.2
        self.odds["stall"] *= 0.3
        self.interleaves = rng.choice((0.0, 0.0, 0.02, 0.08))
        strategies = [None, None, None, *Strategy]
        self.policies = PlainPolicies(
            {
                name: Policy(strategy=rng.choice(strategies), same_names=kind.same_names)
                for name, kind in KINDS.items()
            },
            {name: kind.schema for name, kind in KINDS.items()},
        )
        if self.standalone:
            self.policies = PlainPolicies()
        self.hooks = HookRegistry()
        if rng.random() < 0.2:
            self.hooks.register("*", self._hook)
        self.ordered = rng.random() < 0.3
        self.config = Config(
            lww_uncertain=rng.choice((Resolution.SERVER_WINS, Resolution.MANUAL)),
            sync_batch_size=rng.choice((1, 3, 10)),
            sync_lanes=self.lanes,
            max_retries=rng.choice((0, 3, 3)),
        )
        self.weights = {name: weight * rng.choice((0.3, 1, 1, 3)) for name, weight in _WEIGHTS.items()}

    def _hook(self, conflict_id: str, conflict: Mapping[str, Any]) -> Any:
        """Somebody's hook: it decides, leaves it, talks nonsense or fails."""
        answer = self.rng.choice(("local_wins", "server_wins", "skip", "manual", None, "nonsense", "fails"))
        if answer == "fails":
            raise RuntimeError("a hook failed")
        return {"resolution": answer} if answer else None

    def _new_engine(self, holder: str = "run") -> SyncEngine:
        self.ports = self._ports(store=self.store, note=self.note)
        return SyncEngine(self.ports, holder=f"{holder} {self.count('engine')}")

    def _ports(self, *, store: WorldStore, note: MemoryNote | None) -> Ports:
        return ports_around(
            store,
            self.central,
            self.clock,
            seed=self.rng.getrandbits(32),
            documents=NoDocuments() if self.standalone else self.documents,
            policies=self.policies,
            config=self.config,
            control=self.control,
            registry=self.hooks,
            note=note,
            flights=WorldFlights(self),
        )

    def _older_than_the_app(self) -> None:
        """Documents that both sites had before: mostly the same, one another, one only here."""
        with self.store.transaction():
            for doctype, name, values in (
                ("Group", "old", {"title": "old", "weight": 1}),
                ("Group", "other", {"title": "here", "weight": 1}),
                ("Group", "only here", {"title": "here", "weight": 0}),
                ("Item", "nail", {"code": "nail", "price": 2, "note": ""}),
                ("Customer", "Old Ann", {"title": "Ann", "city": "Rome", "credit": 5, "group": "old"}),
            ):
                there = {**values, "title": "there"} if name == "other" else values
                creation = "2020-01-01 00:00:00.000000"
                if name != "only here":
                    self.central.insert(doctype, name, **there)
                    if self.rng.random() < 0.5 and name != "other":
                        self.central.documents[doctype][name]["creation"] = creation
                document = {"name": name, "docstatus": 0, "creation": creation, **values}
                self.documents.put((doctype, name), document, self.new_uid())

    # what everything here uses

    def count(self, what: str) -> str:
        self._counts[what] += 1
        return f"{what}-{self._counts[what]}"

    def new_uid(self) -> int:
        self._counts["uid"] += 1
        return self._counts["uid"]

    def chance(self, what: str) -> bool:
        happens = not self.healing and self.rng.random() < self.odds.get(what, 0)
        if happens:
            self.faults[what] += 1
        return happens

    def uid_of_deleted(self, doctype: str, name: str) -> int:
        return self.gone.get((doctype, name)) or self.new_uid()

    def may_die(self, where: str) -> None:
        if self.dies_in is None or not self.running or self.nested:
            return
        self.dies_in -= 1
        if self.dies_in <= 0:
            self.dies_in = None
            self.faults["crash"] += 1
            self.say(f"  killed {where}")
            raise Crash(where)

    def between(self, where: str) -> None:
        """Somebody else's turn, between two steps of a run."""
        self.may_die(where)
        if self.running and not self.nested and not self.healing and self.rng.random() < self.interleaves:
            self.nested = True
            try:
                self._do(self.rng.choice(_INTERLEAVED))
            finally:
                self.nested = False

    def stop(self) -> None:
        """The process is asked to end."""
        self.faults["stop"] += 1
        self.control.stop("shutdown")

    def takes(self, seconds: float) -> None:
        """How long a call takes; others may be on their way meanwhile."""
        if self.flight is None:
            self.clock.advance(seconds)
        else:
            self.flight.seconds += seconds

    def when_landed(self, act: Callable[[], None]) -> None:
        if self.flight is None:
            act()
        else:
            self.flight.when_landed.append(act)

    def stall(self, *keys: str) -> None:
        """The whole process sleeps longer than its lease, and another one takes over meanwhile."""
        self.clock.advance(95)
        # What is on its way side by side with it is recorded no more than that.
        flying = [each.key for each in self.open_requests() if each.status is Status.IN_FLIGHT]
        for key in [*keys, *flying]:
            self.answers.lost(key)
        self.nested = True
        try:
            self._new_engine("other").run(budget=20)
        finally:
            self.nested = False

    def committed(self) -> None:
        """G4 at every committed moment: nothing is counted twice or not at all."""
        with MemoryStore.transaction(self.store):
            total = sum(self.store.counters().values())
        if total != len(self.queued):
            self.violated(f"G4: {total} requests counted, {len(self.queued)} committed")

    def say(self, what: str) -> None:
        self.steps.append(what)

    def violated(self, what: str) -> None:
        self.violations.append(what)

    def heard(self, key: str) -> None:
        """A request is sent under this key."""
        owner = self.store.by_key(key)
        if owner is None:
            self.violated(f"a request was sent that is not in the outbox: {key}")
            return
        self.key_owner[key] = owner.id
        if owner.status is not Status.IN_FLIGHT or owner.sent_at is None:
            self.violated(f"{owner.id} was sent without being marked")
        uid = self.queued[owner.id]
        for other in self.open_requests():
            if uid is not None and other.seq < owner.seq and self.queued[other.id] == uid:
                self.violated(
                    f"G2: {owner.id} was sent while {other.id} of the same document is {other.status.value}"
                )
        with MemoryStore.transaction(self.store):
            breaker = kept_breaker(self.store.get_meta(BREAKER))
            lease = self.store.live_lease()
        if not breaker.closed and not breaker.half_open:
            self.violated(f"{owner.id} was sent while the line is open")
        if lease is None or (lease.expires_at - self.clock.now()).total_seconds() < self.central.deadline:
            self.violated(f"{owner.id} was sent under a lease that may end before the answer")
        self.called("a request")

    def called(self, what: str) -> None:
        """Something goes over the line."""
        with MemoryStore.transaction(self.store):
            if self.store.get_meta(PAUSED) is not None:
                self.violated(f"{what} left while sending was paused")

    def answered(self, key: str, reply: Reply, *, pushed: bool = False) -> None:
        self.answers.got(key, reply)
        if pushed:
            # What a push's answer means for one of its requests is counted only roughly here.
            self.answers.roughly(key)
        if self.dies_after_answers and not self.nested:
            self.dies_after_answers -= 1
            if not self.dies_after_answers:
                self.dies_in = self.rng.randint(1, 6)
        kind = (reply.body or {}).get("exc_type") if reply.is_json else None
        if kind == "LinkValidationError":
            self.note_ends()
        untouched = (
            not self.cut | self.lost and not self.faults["deleted at the central"] and not self.standalone
        )
        if kind == "LinkValidationError" and untouched:
            self.violated(f"G2: {self.key_owner[key]} was sent before what it links to")

    # the scheduler

    def step(self) -> None:
        names = list(_STEPS)
        self.do(self.rng.choices(names, [self.weights[name] for name in names])[0])

    def do(self, name: str) -> None:
        """One step by its name."""
        self._do(name)

    def _do(self, name: str) -> None:
        self.say(f"{'  meanwhile: ' if self.nested else ''}{name}")
        try:
            _STEPS[name](self)
        except Rollback:
            self.faults["rollback"] += 1

    # the run

    def run(self) -> None:
        draw = self.rng.random()
        if draw < 0.1:
            self.drain(doctypes=self.rng.sample(list(KINDS), 2))
        elif draw < 0.2:
            self.drain(force=True)
        else:
            self.drain()

    def run_cut(self) -> None:
        """Killed between any two steps; often while an answer is read and recorded."""
        if self.rng.random() < 0.5:
            self.dies_in = self.rng.randint(1, 60)
        else:
            self.dies_after_answers = self.rng.randint(1, 4)
        self.drain()
        self.dies_in, self.dies_after_answers = None, 0

    def drain(self, **options: Any) -> RunReport | None:
        given = {
            "budget": 300.0,
            "linger": self.rng.choice((0.0, 0.0, 10.0)),
            "linger_offline": 0.0,
            **options,
        }
        self.running = True
        if self.control.stop_reason():
            self.control = StopFlag()
            self.engine = self._new_engine()
        try:
            return self.engine.run(**given)
        except Paused:
            return None
        except Crash:
            self.answers.lost()
            self.engine = self._new_engine()
            return None
        finally:
            self.running = False
            for request in self.open_requests():
                why = request.waits_for and self.store.requests_now()[request.waits_for].seq
                said = request.error_message or ""
                self.say(
                    f"    = {request.seq} {request.operation.value} {request.resource_id}: "
                    f"{request.status.value} {why or ''} {said}"
                )

    # the end

    def make_good(self) -> None:
        """The line is up, the central well, nothing paused."""
        self.healing = True
        self.come_online()
        self.central.faults.clear()
        with self.store.transaction():
            resume(self.store)
        self.answer_what_it_is()

    def drain_alone(self, rounds: int = 60) -> bool:
        """Run until nothing moves any more but by a person; whether that came."""
        for _ in range(rounds):
            self.drain(budget=3000.0, linger=0.0)
            if not any(request.status in _MOVING for request in self.store.all_requests()):
                return True
            self.clock.advance(self.rng.choice((5, 40, 130, 310)))
        return False

    def open_requests(self) -> list[Request]:
        return [request for request in self.store.all_requests() if request.status not in ENDS]

    def ask_people(self, rounds: int = 40) -> bool:
        """People decide, mend, retry and in the end discard whatever is held; whether nothing is left."""
        for turn in range(rounds):
            if not self.open_requests():
                self.close_refused()
                return True
            for request in self.open_requests():
                now = self.store.requests_now().get(request.id)
                if now is None or now.status not in (Status.NEEDS_ATTENTION, Status.CONFLICT):
                    continue
                self._settle(now, turn)
            self.drain_alone(20)
        return not self.open_requests()

    def _settle(self, request: Request, turn: int) -> None:
        if request.status is Status.CONFLICT:
            if not (turn < 6 and self.decide(request)):
                self.decide(request, Resolution.SKIP)
        elif turn < 8:
            self.help_with(request, self.rng.random() * 0.85)
        else:
            self.discard(request)


_MOVING = frozenset({Status.PENDING, Status.IN_FLIGHT, Status.RETRY, Status.IN_DOUBT})

_WEIGHTS: Mapping[str, float] = {
    "save": 14,
    "submit": 3,
    "cancel": 2,
    "amend": 1,
    "delete": 2,
    "rename": 2,
    "merge": 0.5,
    "call": 1,
    "run": 8,
    "run cut": 4,
    "offline": 1,
    "online": 3,
    "misanswer": 3,
    "lose answer": 2,
    "repeat": 0.7,
    "delay": 1.5,
    "answer all": 0.7,
    "storm": 0.1,
    "change URL": 0.3,
    "time": 5,
    "jump": 0.3,
    "edit there": 2,
    "both": 1.5,
    "move there": 0.5,
    "delete there": 0.5,
    "insert there": 0.7,
    "pause": 0.3,
    "resume": 1,
    "person": 3,
    "change what is in conflict": 2,
    "discard": 0.2,
    "stop": 0.0,
    "purge": 0.4,
    "back up": 0.7,
    "restore": 0.3,
    "clone": 0.2,
    "back up there": 0.7,
    "restore there": 0.3,
    "say what it is": 0.5,
    "companion": 0.5,
}

_STEPS: Mapping[str, Callable[[World], None]] = {
    "save": World.save,
    "submit": World.submit,
    "cancel": World.cancel,
    "amend": World.amend,
    "delete": World.delete,
    "rename": World.rename,
    "merge": World.merge,
    "call": World.call,
    "run": World.run,
    "run cut": World.run_cut,
    "offline": World.go_offline,
    "online": World.come_online,
    "misanswer": World.misanswer,
    "lose answer": World.lose_answer,
    "repeat": World.repeat,
    "delay": World.delay,
    "answer all": World.answer_all,
    "storm": World.storm,
    "change URL": World.change_url,
    "time": World.pass_time,
    "jump": World.jump,
    "edit there": World.edit_there,
    "both": World.both,
    "move there": World.move_there,
    "delete there": World.delete_there,
    "insert there": World.insert_there,
    "pause": World.pause,
    "resume": World.resume,
    "person": World.person,
    "change what is in conflict": World.change_what_is_in_conflict,
    "discard": World.discard_something,
    "stop": World.stop,
    "purge": World.purge,
    "back up": World.back_up,
    "restore": World.restore,
    "clone": World.clone,
    "back up there": World.back_up_there,
    "restore there": World.restore_there,
    "say what it is": World.answer_what_it_is,
    "companion": World.install_or_remove,
}

_INTERLEAVED = (
    *("save",) * 8,
    "submit",
    "submit",
    "cancel",
    "delete",
    "rename",
    "person",
    "edit there",
    "discard",
    "stop",
    "back up",
    "back up there",
)
