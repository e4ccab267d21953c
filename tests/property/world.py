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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from erp_offline_sync.adapters.standalone import NoDocuments, PlainPolicies, StopFlag
from erp_offline_sync.engine import actions
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import LocalRefused, NotAllowed, Paused
from erp_offline_sync.engine.line import BREAKER, kept_breaker
from erp_offline_sync.engine.model import (
    Conflict,
    FieldKind,
    Gap,
    Instant,
    Json,
    Link,
    Operation,
    Policy,
    Reply,
    Request,
    Resolution,
    Schema,
    Status,
    Strategy,
    Wire,
)
from erp_offline_sync.engine.paths import document_path
from erp_offline_sync.engine.registry import HookRegistry
from erp_offline_sync.engine.status import PAUSED, pause, resume
from erp_offline_sync.engine.sync import RunReport, SyncEngine
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.engine.values import moved_fields
from erp_offline_sync.testing.clock import START, FrozenClock
from erp_offline_sync.testing.doubles import ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import Fault, ModelCentral, refusal

from .oracle import Answers

__all__ = ["KINDS", "Crash", "Kind", "World"]

Key = tuple[str, str]


class Crash(BaseException):
    """The process is killed here: nothing of what is open is committed, nothing more is done."""


class Rollback(Exception):
    """The business transaction fails after the change was captured."""


@dataclass(frozen=True)
class Kind:
    """A doctype of the world."""

    fields: Mapping[str, FieldKind]
    links: Mapping[str, str] = field(default_factory=dict)
    row_fields: Mapping[str, FieldKind] = field(default_factory=dict)
    row_links: Mapping[str, str] = field(default_factory=dict)
    named_by: str | None = None
    """`name`: whoever makes it gives the name; a field; None: each site counts for itself."""
    same_names: bool = False
    submittable: bool = False
    after_submit: frozenset[str] = frozenset()
    renames: bool = True
    order_group: str | None = None

    @property
    def schema(self) -> Schema:
        rows = Schema(
            fields={**self.row_fields, **dict.fromkeys(self.row_links, FieldKind.TEXT)}, links=self.row_links
        )
        return Schema(
            fields={**self.fields, **dict.fromkeys(self.links, FieldKind.TEXT)},
            links=self.links,
            tables={"items": rows} if self.row_fields else {},
        )

    @property
    def paths(self) -> dict[str, str]:
        return {**self.links, **{f"items.{cell}": target for cell, target in self.row_links.items()}}


_TEXT, _NUMBER = FieldKind.TEXT, FieldKind.NUMBER

KINDS: Mapping[str, Kind] = {
    "Group": Kind(fields={"title": _TEXT, "weight": _NUMBER}, named_by="name"),
    "Item": Kind(fields={"code": _TEXT, "price": _NUMBER, "note": _TEXT}, named_by="code", same_names=True),
    "Customer": Kind(fields={"title": _TEXT, "city": _TEXT, "credit": _NUMBER}, links={"group": "Group"}),
    "Sale": Kind(
        fields={"remark": _TEXT, "total": _NUMBER},
        links={"customer": "Customer", "amended_from": "Sale"},
        row_fields={"qty": _NUMBER, "note": _TEXT},
        row_links={"item": "Item"},
        submittable=True,
        after_submit=frozenset({"remark"}),
        renames=False,
        order_group="stock",
    ),
    "Move": Kind(
        fields={"remark": _TEXT}, links={"item": "Item"}, renames=False, submittable=True, order_group="stock"
    ),
}

_NAMES = ("red", "blue", "green", "50% off", "a/b")
_WORDS = ("", "one", "two", "three", "O'Brien", "%s", "héllo")
_POISON: Mapping[str, str] = {
    "BAD": "417",
    "MUST": "mandatory",
    "BOOM": "500",
    "HANG": "unanswered",
    "HTML404": "html 404",
    "HTML502": "html 502",
}
"""Values that the central never takes; a document that holds one has to be mended by a person."""

_HTML = {status: Reply(status=status, detail="html page") for status in (200, 404, 405, 413, 502, 503, 504)}
_NO_ANSWER = Reply(gap=Gap.NO_ANSWER, detail="ReadTimeout")

_ANSWERS: Mapping[str, Reply] = {
    "401": refusal(401, "AuthenticationError"),
    "403": refusal(403, "PermissionError"),
    "417": refusal(417, "ValidationError"),
    "429": Reply(status=429, is_json=True, body={"exc_type": "TooManyRequestsError"}, retry_after="7"),
    "500": refusal(500, "AttributeError"),
    "503": refusal(503, "SessionStopped"),
    "deadlock": refusal(500, "QueryDeadlockError"),
    "locked": refusal(417, "DocumentLockedError"),
    "html 502": _HTML[502],
    "html 504": _HTML[504],
    "html 404": _HTML[404],
    "captive portal": _HTML[200],
    "unanswered": _NO_ANSWER,
}
_BAD_LOOKS = (_NO_ANSWER, *(_ANSWERS[name] for name in ("403", "500", "503", "html 502", "html 404")))
_APPLIED_ALL_THE_SAME = frozenset({"html 502", "html 504", "captive portal", "unanswered"})
"""Answers that do not say whether the request had its effect."""


class WorldStore(MemoryStore):
    """A memory store that tells the world of every step from outside a transaction to inside and back."""

    def __init__(self, world: World) -> None:
        super().__init__(world.clock.now)
        self._world = world

    @contextmanager
    def transaction(self) -> Iterator[None]:
        if self._depth:
            with super().transaction():
                yield
            return
        self._world.between("before a transaction")
        with super().transaction():
            yield
            self._world.may_die("before a commit")
        self._world.committed()
        self._world.may_die("after a commit")

    def undo_with(self, undo: Callable[[], None]) -> None:
        """What joins the open transaction is taken back with it."""
        self._inside()
        self._journal.append(undo)

    def all_requests(self) -> list[Request]:
        return sorted(self._requests.all(), key=lambda request: request.seq)

    def all_documents(self) -> list[Any]:
        return list(self._documents.all())

    def by_key(self, key: str) -> Request | None:
        found = self._requests.where("key", key)
        return found[0] if found else None

    def requests_now(self) -> dict[str, Request]:
        return {request.id: request for request in self._requests.all()}

    def conflicts_of(self, line: str) -> list[Conflict]:
        return self._conflicts.where("line", line)


class WorldCentral(ModelCentral):
    """The modelled central behind a line on which time passes and processes die. Its clock is its own."""

    world: World

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        world = self.world
        world.heard(key)
        world.may_die("before the bytes leave")
        world.between("on the way")
        stalled = world.chance("stall") and not world.nested
        late = stalled and world.rng.random() < 0.5
        if stalled and not late:
            reply = super().deliver(wire, key=key)
            world.stall(key)
        else:
            if late:
                world.stall(key)
                # Late enough already: nothing is on its way for longer than a central may take.
                self.faults[:1] = [replace(fault, late=None) for fault in self.faults[:1]]
            reply = self._poisoned(wire) or super().deliver(wire, key=key)
        reply = self._poisoned(wire) or reply
        world.clock.advance(self.deadline if reply.gap is Gap.NO_ANSWER else world.rng.choice((0.05, 0.3, 2)))
        world.answered(key, reply)
        owner = world.store.requests_now().get(world.key_owner.get(key, ""))
        kind = reply.gap.value if reply.gap else (reply.body or {}).get("exc_type") or ""
        world.say(f"    sent {owner.seq if owner else '?'} {wire.method} {wire.body}: {reply.status} {kind}")
        world.between("on the way back")
        world.may_die("after the answer")
        return reply

    def fetch(self, doctype: str, name: str) -> Reply:
        return self._looked(lambda: super(WorldCentral, self).fetch(doctype, name))

    def find(self, doctype: str, filters: Json) -> Reply:
        return self._looked(lambda: super(WorldCentral, self).find(doctype, filters))

    def find_created_since(self, doctype: str, since: datetime) -> Reply:
        ahead = self.world.clock.now() - self.clock_now()
        return self._looked(lambda: super(WorldCentral, self).find_created_since(doctype, since - ahead))

    def instant(self, wall_clock: str) -> Instant | None:
        there = super().instant(wall_clock)
        ahead = self.world.clock.now() - self.clock_now()
        return replace(there, at=there.at + ahead) if there else None

    def probe(self) -> Reply:
        self.world.called("a probe")
        reply = super().probe()
        self.world.answers.probed(good=reply.status == 200 and reply.is_json)
        return reply

    def _looked(self, look: Callable[[], Reply]) -> Reply:
        world = self.world
        world.called("a look-up")
        world.between("before a look-up")
        world.clock.advance(0.05)
        reply = look() if not world.chance("look-up lost") else world.rng.choice(_BAD_LOOKS)
        if not reply.is_json or reply.status not in (200, 404):
            for request in world.open_requests():
                if request.status is Status.IN_FLIGHT:
                    world.answers.look_failed(request.key)
        world.may_die("after a look-up")
        return reply

    def _poisoned(self, wire: Wire) -> Reply | None:
        if not self.online or self.answers_all is not None or not wire.body:
            return None
        for value in ("HANG", "HTML404", "HTML502", "BOOM"):
            if f'"{value}"' in wire.body:
                return _ANSWERS[_POISON[value]]
        return None


class BranchDocuments:
    """The branch's documents, with the rules that its own site would keep."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.all: dict[Key, dict[str, Any]] = {}
        self.uids: dict[Key, int] = {}
        """Which document stands under a name: a rename keeps the number."""

    def put(self, key: Key, document: Mapping[str, Any] | None, uid: int | None = None) -> None:
        """Set or, with None, delete; joins the open transaction."""
        old, old_uid = self.all.get(key), self.uids.get(key)
        self._world.store.undo_with(lambda: self._set(key, old, old_uid))
        self._set(key, document, uid if uid is not None else old_uid)

    def _set(self, key: Key, document: Mapping[str, Any] | None, uid: int | None) -> None:
        self.all.pop(key, None)
        self.uids.pop(key, None)
        if document is not None and uid is not None:
            self.all[key] = dict(document)
            self.uids[key] = uid

    def linking(self, doctype: str, name: str) -> list[Key]:
        return [
            (other, each)
            for (other, each), document in self.all.items()
            if any(
                target == doctype and name in _linked(document, path)
                for path, target in KINDS[other].paths.items()
            )
        ]

    # the port

    def current(self, doctype: str, name: str) -> Json | None:
        return self.all.get((doctype, name))

    def write(self, doctype: str, name: str, values: Json) -> None:
        document = self.all.get((doctype, name))
        if document is None:
            raise LocalRefused(f"{doctype} {name} is not here")
        written = {**document, **self._with_row_names(values)}
        changed = moved_fields(document, written, KINDS[doctype].schema)
        if document["docstatus"] == 2 or (
            document["docstatus"] == 1 and set(changed) - KINDS[doctype].after_submit
        ):
            raise LocalRefused("it is submitted")
        self._refuse_missing_links(doctype, written)
        self.put((doctype, name), written)

    def restore(self, doctype: str, name: str, values: Json) -> None:
        if (doctype, name) in self.all:
            raise LocalRefused("its name is taken")
        self._refuse_missing_links(doctype, values)
        uid = self._world.uid_of_deleted(doctype, name)
        document = {"name": name, "docstatus": 0, **self._with_row_names(values)}
        self.put((doctype, name), document, uid)

    def delete(self, doctype: str, name: str) -> None:
        document = self.all.get((doctype, name))
        if document is None:
            return
        if document["docstatus"] == 1 or self.linking(doctype, name):
            raise LocalRefused("it is submitted or linked")
        self.put((doctype, name), None)

    def set_docstatus(self, doctype: str, name: str, docstatus: int) -> None:
        document = self.all.get((doctype, name))
        if document is None or (document["docstatus"], docstatus) not in {(0, 1), (1, 2)}:
            raise LocalRefused("it cannot go there")
        if docstatus == 2 and self.submitted_linking(doctype, name):
            raise LocalRefused("it is linked")
        self.put((doctype, name), {**document, "docstatus": docstatus})

    def submitted_linking(self, doctype: str, name: str) -> bool:
        return any(self.all[key]["docstatus"] == 1 for key in self.linking(doctype, name))

    def _refuse_missing_links(self, doctype: str, values: Json) -> None:
        for path, target in KINDS[doctype].paths.items():
            for linked in _linked(values, path):
                if (target, linked) not in self.all:
                    raise LocalRefused(f"{target} {linked} is not here")

    def _with_row_names(self, values: Json) -> dict[str, Any]:
        return {
            name: [{**row, "name": row.get("name") or self._world.count("row")} for row in value]
            if isinstance(value, (list, tuple))
            else value
            for name, value in values.items()
        }


class World:
    """One seed's world. `step()` does one thing; `heal()` brings everything to its end."""

    def __init__(self, seed: int, *, kinds: Mapping[str, float] | None = None) -> None:
        self.seed = seed
        self.rng = random.Random(f"world {seed}")
        self.clock = FrozenClock()
        self.faults: Counter[str] = Counter()
        self.steps: list[str] = []
        self.violations: list[str] = []
        self.answers = Answers()
        self.nested = False
        self.running = False
        self.dies_in: int | None = None
        self.healing = False
        self.interleaves = 0.0
        self._counts: Counter[str] = Counter()
        self.store = WorldStore(self)
        self.documents = BranchDocuments(self)
        self.queued: dict[str, int | None] = {}
        """Every committed request → the number of its document."""
        self.gone: dict[Key, int] = {}
        self.cut: set[int] = set()
        """Documents that a person or a skip left unequal on purpose."""
        self.merges: dict[str, int] = {}
        """Request of a merge → the document that stays."""
        self.ended: dict[str, Request] = {}
        self.key_owner: dict[str, str] = {}
        self.central = WorldCentral(
            lambda: START + timedelta(seconds=self.clock.monotonic()),
            unique={
                name: kind.named_by for name, kind in KINDS.items() if kind.named_by not in (None, "name")
            },
            links={name: kind.paths for name, kind in KINDS.items()},
            submittable=frozenset(name for name, kind in KINDS.items() if kind.submittable),
            after_submit={name: kind.after_submit for name, kind in KINDS.items()},
            rules=[_refuses_poison],
            queues=frozenset({"Sale"}) if self.rng.random() < 0.15 else frozenset(),
        )
        self.central.world = self
        self._temper(kinds)
        self.control = StopFlag()
        self.engine = self._new_engine()
        self._older_than_the_app()

    def _temper(self, kinds: Mapping[str, float] | None) -> None:
        """Each seed has its own mixture: rare things are frequent in some."""
        rng = self.rng
        self.standalone = rng.random() < 0.1
        self.odds: dict[str, float] = {
            name: rng.choice((0.0, 0.0, 0.05, 0.15))
            for name in ("stall", "look-up lost", "rollback", "poison")
        }
        self.odds["stall"] *= 0.3
        self.interleaves = rng.choice((0.0, 0.0, 0.02, 0.08))
        self.odds.update(kinds or {})
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
        ports = ports_around(
            self.store,
            self.central,
            self.clock,
            seed=self.rng.getrandbits(32),
            documents=NoDocuments() if self.standalone else self.documents,
            policies=self.policies,
            config=self.config,
            control=self.control,
            registry=self.hooks,
        )
        self.ports = ports
        return SyncEngine(ports, holder=f"{holder} {self.count('engine')}")

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

    def stall(self, key: str) -> None:
        """The whole process sleeps longer than its lease, and another one takes over meanwhile."""
        self.clock.advance(95)
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

    def answered(self, key: str, reply: Reply) -> None:
        self.answers.got(key, reply)
        kind = (reply.body or {}).get("exc_type") if reply.is_json else None
        if kind == "LinkValidationError":
            self.note_ends()
        untouched = not self.cut and not self.faults["deleted at the central"] and not self.standalone
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

    # what the branch does

    def save(self) -> None:
        doctype = self.rng.choice(list(KINDS))
        mine = self._documents(doctype)
        if not mine or self.rng.random() < 0.5:
            self.create(doctype)
        else:
            self.edit(self.rng.choice(mine))

    @contextmanager
    def business(self) -> Iterator[None]:
        """A transaction of the branch; sometimes it fails after everything was captured."""
        with self.store.transaction():
            yield
            if self.chance("rollback"):
                raise Rollback

    def create(self, doctype: str) -> None:
        kind = KINDS[doctype]
        values = self._values(doctype)
        if values is None:
            return
        if kind.named_by is None:
            name = self.count(doctype[:4].upper())
        else:
            name = self.rng.choice(_NAMES)
            if (doctype, name) in self.documents.all:
                return
            if kind.named_by != "name":
                values[kind.named_by] = name
        self._insert(doctype, name, values)

    def _insert(self, doctype: str, name: str, values: dict[str, Any]) -> None:
        kind = KINDS[doctype]
        with self.business():
            submitted = kind.submittable and self.rng.random() < 0.15
            document = {
                **values,
                "name": name,
                "docstatus": 1 if submitted else 0,
                "creation": f"here {self.count('creation')}",
            }
            self.documents.put((doctype, name), document, self.new_uid())
            body = {**values, **({"name": name} if kind.named_by == "name" else {})}
            if submitted:
                body["docstatus"] = 1
            unique = {kind.named_by: name} if kind.named_by else {}
            self._capture(Operation.CREATE, (doctype, name), body, unique=unique)

    def edit(self, key: Key, *, mend: bool = False) -> None:
        document = self.documents.all[key]
        kind = KINDS[key[0]]
        if document["docstatus"] == 2:
            return
        values = self._values(key[0])
        if values is None:
            return
        if kind.named_by:
            values.pop(kind.named_by, None)
        values.pop("amended_from", None)
        if mend:
            changed = {
                name: "mended" if value in _POISON else value
                for name, value in document.items()
                if name in kind.fields
            }
            if "items" in document:
                changed["items"] = [
                    {**row, "note": "mended" if row["note"] in _POISON else row["note"]}
                    for row in document["items"]
                ]
        else:
            some = self.rng.sample(sorted(values), self.rng.randint(1, 2))
            changed = {name: values[name] for name in some}
            if "items" in changed:
                changed["items"] = self._changed_rows(document["items"], changed["items"])
        if document["docstatus"] == 1:
            changed = {name: value for name, value in changed.items() if name in kind.after_submit}
        self._update(key, changed, Operation.UPDATE)

    def _update(self, key: Key, values: Mapping[str, Any], operation: Operation, docstatus: int = 0) -> None:
        document = self.documents.all[key]
        kind = KINDS[key[0]]
        after = {**document, **values, "docstatus": docstatus or document["docstatus"]}
        fields = moved_fields(document, after, kind.schema)
        if "items" in values and "items" not in fields:
            names = [[row["name"] for row in each["items"]] for each in (document, after)]
            fields += ["items"] if names[0] != names[1] else []
        if not fields and operation is Operation.UPDATE:
            return
        with self.business():
            self.documents.put(key, after)
            former = tuple(
                Link(path=f"was:{link.path}", doctype=link.doctype, name=link.name)
                for link in _links_of(key[0], document)
                if link.path.partition(".")[0] in fields
            )
            body, base = ({name: each.get(name) for name in fields} for each in (after, document))
            self._capture(operation, key, body, base=base, former=former)

    def submit(self) -> None:
        keys = self._documents("Sale", 0) + self._documents("Move", 0)
        if keys:
            key = self.rng.choice(keys)
            values = {"remark": self._word()} if self.rng.random() < 0.3 else {}
            self._update(key, values, Operation.SUBMIT, 1)

    def cancel(self) -> None:
        keys = [
            key
            for key in self._documents("Sale", 1) + self._documents("Move", 1)
            if not self.documents.submitted_linking(*key)
        ]
        if keys:
            self._update(self.rng.choice(keys), {}, Operation.CANCEL, 2)

    def amend(self) -> None:
        keys = self._documents("Sale", 2)
        if not keys:
            return
        key = self.rng.choice(keys)
        old = self.documents.all[key]
        values = {name: old.get(name) for name in ("remark", "total", "customer")}
        values["amended_from"] = key[1]
        values["items"] = [{**row, "name": self.count("row")} for row in old["items"]]
        if values["customer"] and ("Customer", values["customer"]) not in self.documents.all:
            return
        self._insert("Sale", self.count("SALE"), values)

    def delete(self) -> None:
        keys = [
            key
            for key in sorted(self.documents.all)
            if self.documents.all[key]["docstatus"] != 1 and not self.documents.linking(*key)
        ]
        if not keys:
            return
        key = self.rng.choice(keys)
        document = self.documents.all[key]
        with self.business():
            self._capture(Operation.DELETE, key, {}, base=dict(document))
            uid, before = self.documents.uids[key], self.gone.get(key)
            self.gone[key] = uid
            self.store.undo_with(lambda: self._forget_gone(key, before))
            self.documents.put(key, None)

    def _forget_gone(self, key: Key, before: int | None) -> None:
        self.gone.pop(key, None)
        if before is not None:
            self.gone[key] = before

    def rename(self) -> None:
        keys = [key for key in sorted(self.documents.all) if KINDS[key[0]].renames]
        if not keys:
            return
        doctype, name = self.rng.choice(keys)
        new = self.rng.choice(_NAMES) if KINDS[doctype].named_by else self.count("renamed")
        if (doctype, new) in self.documents.all:
            return
        self._rename(doctype, name, new)

    def merge(self) -> None:
        """One document is merged into another: it is gone, and what linked to it links to the other."""
        doctype = self.rng.choice(("Group", "Customer"))
        names = [name for _, name in self._documents(doctype)]
        if len(names) < 2:
            return
        old, new = self.rng.sample(names, 2)
        with self.business():
            uid, before = self.documents.uids[doctype, old], self.gone.get((doctype, old))
            self.gone[doctype, old] = uid
            self.store.undo_with(lambda: self._forget_gone((doctype, old), before))
            self.documents.put((doctype, old), None)
            self._relink(doctype, old, new)
            target = self.documents.uids[doctype, new]
            added = self._capture(
                Operation.RENAME,
                (doctype, old),
                {"new_name": new, "merge": True},
                former=(Link(path="new_name", doctype=doctype, name=new),),
                document=self.documents.all[doctype, new],
                uid=uid,
            )
            self.merges[added] = target

    def _relink(self, doctype: str, old: str, new: str) -> None:
        for other in self.documents.linking(doctype, old):
            self.documents.put(other, _relinked(other[0], self.documents.all[other], doctype, old, new))

    def _rename(self, doctype: str, name: str, new: str) -> None:
        with self.business():
            document, uid = self.documents.all[doctype, name], self.documents.uids[doctype, name]
            named_by = KINDS[doctype].named_by
            moved = {**document, "name": new, **({named_by: new} if named_by else {})}
            self.documents.put((doctype, name), None)
            self.documents.put((doctype, new), moved, uid)
            self._relink(doctype, name, new)
            self._capture(
                Operation.RENAME, (doctype, name), {"new_name": new, "merge": False}, document=moved, uid=uid
            )

    def call(self) -> None:
        with self.business():
            key = self.engine._ports.ids.new_key()
            request = Request(
                id=key,
                key=key,
                seq=0,
                operation=Operation.CALL,
                resource_type=None,
                resource_id=None,
                method="POST",
                path="/api/method/shop.count",
                body={"n": self.count("call")},
                created_at=self.store.now(),
                repeatable=self.rng.random() < 0.5,
            )
            self._add(request, None)

    def _capture(
        self,
        operation: Operation,
        key: Key,
        body: Mapping[str, Any],
        *,
        base: Mapping[str, Any] | None = None,
        former: tuple[Link, ...] = (),
        unique: Mapping[str, Any] | None = None,
        document: Mapping[str, Any] | None = None,
        uid: int | None = None,
    ) -> str:
        """What capture inserts for a save of this document as it stands now."""
        doctype, name = key
        priority = self.rng.choice((5, 5, 5, 5, 2, 8))
        new_key = self.engine._ports.ids.new_key()
        now = document or self.documents.all[key]
        request = Request(
            id=new_key,
            key=new_key,
            seq=0,
            operation=operation,
            resource_type=doctype,
            resource_id=name,
            method="PUT",
            path=document_path(doctype, name),
            body=body,
            base=base,
            links=(*_links_of(doctype, now), *former),
            unique=unique or {},
            created_at=self.store.now(),
            changed_at=self.store.now(),
            priority=priority,
            rank=priority,
            order_group=KINDS[doctype].order_group if self.ordered else None,
        )
        self._add(request, uid if uid is not None else self.documents.uids[key])
        return new_key

    def _add(self, request: Request, uid: int | None) -> None:
        added = self.store.add(request)
        values = {**added.body, **({"docstatus": "!"} if added.body.get("docstatus") else {})}
        self.say(f"    {added.seq} {added.operation.value} {added.resource_id} #{uid} {values}")
        self.queued[added.id] = uid
        self.store.undo_with(lambda: self.queued.pop(added.id, None))

    def _documents(self, doctype: str, docstatus: int | None = None) -> list[Key]:
        return sorted(
            key
            for key, document in self.documents.all.items()
            if key[0] == doctype and docstatus in (None, document["docstatus"])
        )

    def _word(self) -> str:
        return self.rng.choice(list(_POISON)) if self.chance("poison") else self.rng.choice(_WORDS)

    def _values(self, doctype: str) -> dict[str, Any] | None:
        """Values for every field; None where something that it must link to is not there."""
        kind, rng = KINDS[doctype], self.rng
        values: dict[str, Any] = {}
        for name, sort in kind.fields.items():
            values[name] = rng.choice((0, 1, 2.5, 7)) if sort is _NUMBER else self._word()
        for name, target in kind.links.items():
            choices = [key[1] for key in self._documents(target) if self._may_be_linked(key)]
            if name == "amended_from" or not choices or rng.random() < 0.15:
                values[name] = ""
            else:
                values[name] = rng.choice(choices)
        if kind.row_fields:
            items = [key[1] for key in self._documents("Item")]
            values["items"] = [self._row(items) for _ in range(rng.randint(0, 3))] if items else []
        return values

    def _may_be_linked(self, key: Key) -> bool:
        return self.documents.all[key]["docstatus"] != 2

    def _row(self, items: list[str]) -> dict[str, Any]:
        rng = self.rng
        return {
            "name": self.count("row"),
            "item": rng.choice(items),
            "qty": rng.choice((1, 2, 3)),
            "note": self._word(),
        }

    def _changed_rows(self, rows: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """A row changed, one removed, one added, or the order turned round."""
        rng = self.rng
        changed = [dict(row) for row in rows]
        if changed and rng.random() < 0.5:
            rng.choice(changed)["qty"] = rng.choice((4, 5, 6))
        if changed and rng.random() < 0.3:
            changed.pop(rng.randrange(len(changed)))
        if new and rng.random() < 0.5:
            changed.insert(rng.randint(0, len(changed)), new[0])
        if rng.random() < 0.1:
            changed.reverse()
        return changed

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
        self.dies_in = self.rng.randint(1, 60)
        self.drain()
        self.dies_in = None

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

    # the line and the central

    def go_offline(self) -> None:
        self.central.online = False
        self.faults["offline"] += 1

    def come_online(self) -> None:
        self.central.online, self.central.answers_all = True, None

    def misanswer(self) -> None:
        """The next deliveries get a wrong answer, or the right one does not come back."""
        name = self.rng.choice(list(_ANSWERS))
        self.faults[name] += 1
        applies = name in _APPLIED_ALL_THE_SAME and self.rng.random() < 0.5
        for _ in range(self.rng.choice((1, 1, 1, 3, 5))):
            self.central.faults.append(Fault(_ANSWERS[name], applies=applies))

    def lose_answer(self) -> None:
        self.faults["lost answer"] += 1
        self.central.faults.append(Fault(_NO_ANSWER, applies=self.rng.random() < 0.6))

    def repeat(self) -> None:
        """The network delivers the bytes twice, and the answer is lost."""
        self.faults["repeated delivery"] += 1
        self.central.faults.append(Fault(_NO_ANSWER, applies=True, copies=2))

    def delay(self) -> None:
        """The bytes arrive within the time that a central may take."""
        self.faults["late delivery"] += 1
        self.central.faults.append(Fault(_NO_ANSWER, late=self.rng.choice((1, 30, 61, 100, 119))))

    def answer_all(self) -> None:
        name = self.rng.choice(("401", "503", "html 502", "captive portal", "429", "html 404"))
        self.faults[f"everything {name}"] += 1
        self.central.answers_all = _ANSWERS[name]

    def pass_time(self) -> None:
        self.clock.advance(self.rng.choice((1, 5, 30, 90, 125, 700, 4000, 90_000)))

    def jump(self) -> None:
        """The wall clock is set back; when a request was sent that is in doubt could not be told any more."""
        if any(request.status in (Status.IN_DOUBT, Status.IN_FLIGHT) for request in self.open_requests()):
            return
        self.faults["clock jump"] += 1
        self.clock.jump(self.rng.choice((-3600, -86_400, -5)))

    def edit_there(self) -> None:
        found = self._there()
        if not found:
            return
        doctype, name = self.rng.choice(found)
        kind, document = KINDS[doctype], self.central.documents[doctype][name]
        self.faults["edited at the central"] += 1
        draw = self.rng.random()
        if draw < 0.25:
            self.central.edit(doctype, name)
            return
        fields = [name for name in kind.fields if name != kind.named_by]
        if document["docstatus"] == 1:
            fields = [name for name in fields if name in kind.after_submit]
        if document["docstatus"] == 2 or not fields:
            return
        field_name = self.rng.choice(fields)
        value = self.rng.choice((3, 4)) if kind.fields[field_name] is _NUMBER else self.rng.choice(("x", "y"))
        if kind.row_fields and draw < 0.45 and document["docstatus"] == 0 and document.get("items"):
            rows = [dict(row) for row in document["items"]]
            self.rng.choice(rows)["qty"] = 9
            self.central.edit(doctype, name, items=rows)
            return
        self.central.edit(doctype, name, **{field_name: value})

    def move_there(self) -> None:
        """Somebody at the central submits or cancels."""
        found = [key for key in self._there() if KINDS[key[0]].submittable]
        if not found:
            return
        doctype, name = self.rng.choice(found)
        docstatus = self.central.documents[doctype][name]["docstatus"]
        linking = any(
            self.central.documents[other][each]["docstatus"] == 1
            for other, each in self.central.linking(doctype, name)
        )
        if docstatus < 2 and not (docstatus == 1 and linking):
            self.faults["moved at the central"] += 1
            self.central.edit(doctype, name, docstatus=docstatus + 1)

    def delete_there(self) -> None:
        found = [
            (doctype, name)
            for doctype, name in self._there()
            if self.central.documents[doctype][name]["docstatus"] != 1
            and not any(True for _ in self.central.linking(doctype, name))
        ]
        if found:
            self.faults["deleted at the central"] += 1
            self.central.remove(*self.rng.choice(found))

    def insert_there(self) -> None:
        """Somebody at the central makes a document under a name that the branch may use too."""
        doctype, name = self.rng.choice(("Group", "Item")), self.rng.choice(_NAMES)
        if name not in self.central.documents.get(doctype, {}):
            self.faults["made at the central"] += 1
            values = {
                "Item": {"code": name, "price": 1, "note": "there"},
                "Group": {"title": "there", "weight": 0},
            }
            self.central.insert(doctype, name, **values[doctype])

    def _there(self) -> list[Key]:
        return sorted((doctype, name) for doctype, table in self.central.documents.items() for name in table)

    # what people do

    def pause(self) -> None:
        with self.store.transaction():
            pause(self.store, by="ann", reason="stock taking")
        self.faults["pause"] += 1

    def resume(self) -> None:
        with self.store.transaction():
            resume(self.store)

    def person(self) -> None:
        """Somebody looks at what is held and does something about one of it."""
        held = [
            request
            for request in self.store.all_requests()
            if request.status in (Status.NEEDS_ATTENTION, Status.CONFLICT)
        ]
        if held:
            self.help_with(self.rng.choice(held), self.rng.random())

    def help_with(self, request: Request, mood: float) -> None:
        if request.status is Status.CONFLICT:
            self.decide(request)
        elif self.arrived_unseen(request):
            self.discard(request)
        elif mood < 0.4:
            self.retry(request)
        elif mood < 0.8:
            self.mend(request)
        elif mood < 0.9 and "not at the central" in (request.error_message or ""):
            self._allowed(lambda: actions.send_whole(self.ports, request.id, by="ann"))
        else:
            self.discard(request)

    def arrived_unseen(self, request: Request) -> bool:
        """A person who looks finds a document at the central that only this request can have made."""
        return request.operation is Operation.CREATE and any(
            self.key_owner.get(key) == request.id and name not in self._linked_names(doctype)
            for (doctype, name), key in self.central.made_by.items()
        )

    def _linked_names(self, doctype: str) -> set[str]:
        return {
            document.central_name
            for document in self.store.all_documents()
            if document.doctype == doctype and document.central_name
        }

    def retry(self, request: Request) -> None:
        if self._allowed(lambda: actions.retry(self.ports, request.id, by="ann")):
            self.answers.forgive(request.key)

    def mend(self, request: Request) -> None:
        uid = self.queued.get(request.id)
        key = next((key for key, each in self.documents.uids.items() if each == uid), None)
        if key is not None:
            self.edit(key, mend=True)

    def discard(self, request: Request) -> None:
        def act() -> None:
            gone = actions.discard(self.ports, request.id, reason="not wanted", by="ann", take_along=True)
            for each in gone:
                uid = self.queued.get(each)
                if uid is not None:
                    self.cut.add(uid)

        self._allowed(act)

    def discard_something(self) -> None:
        found = [request for request in self.store.all_requests() if request.status not in ENDS]
        if found:
            self.faults["discard"] += 1
            self.discard(self.rng.choice(found))

    def decide(self, request: Request, resolution: Resolution | None = None) -> bool:
        with MemoryStore.transaction(self.store):
            pending = self.store.pending_conflict(request.line or request.id)
        if pending is None:
            self.violated(f"{request.id} is in conflict and there is none")
            return False
        choices = (Resolution.LOCAL_WINS, Resolution.SERVER_WINS, Resolution.SKIP)
        chosen = resolution or self.rng.choice(choices)
        uid = self.queued.get(request.id)

        self.say(f"    decides {request.seq} {pending.conflict_type.value}: {chosen.value}")

        def act() -> None:
            self.engine.resolutions.apply(pending.id, chosen, by="ann", reason="a person")
            if chosen is Resolution.SKIP and uid is not None:
                self.cut.add(uid)

        return self._allowed(act)

    def _allowed(self, act: Callable[[], Any]) -> bool:
        """Whether the branch and the state of things let it happen."""
        try:
            act()
        except (NotAllowed, LocalRefused) as refused:
            self.say(f"  refused: {refused}")
            return False
        return True

    def purge(self) -> None:
        self.note_ends()
        actions.clear_old_requests(self.ports, self.rng.choice((0, 0, 1)))

    def note_ends(self) -> None:
        for request in self.store.all_requests():
            if request.status in ENDS and request.id not in self.ended:
                self.ended[request.id] = request
        with MemoryStore.transaction(self.store):
            for conflict in self.store.conflicts(pending=False, limit=1000):
                uid = self.queued.get(conflict.local_request_id)
                if conflict.resolution is Resolution.SKIP and uid is not None:
                    self.cut.add(uid)

    # the end

    def make_good(self) -> None:
        """The line is up, the central well, nothing paused."""
        self.healing = True
        self.come_online()
        self.central.faults.clear()
        with self.store.transaction():
            resume(self.store)

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
    "time": 5,
    "jump": 0.1,
    "edit there": 2.5,
    "move there": 0.5,
    "delete there": 0.5,
    "insert there": 0.7,
    "pause": 0.3,
    "resume": 1,
    "person": 3,
    "discard": 0.2,
    "stop": 0.0,
    "purge": 0.4,
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
    "time": World.pass_time,
    "jump": World.jump,
    "edit there": World.edit_there,
    "move there": World.move_there,
    "delete there": World.delete_there,
    "insert there": World.insert_there,
    "pause": World.pause,
    "resume": World.resume,
    "person": World.person,
    "discard": World.discard_something,
    "stop": World.stop,
    "purge": World.purge,
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
)


def _refuses_poison(doctype: str, body: Json) -> Reply | None:
    values = [*body.values(), *(row.get("note") for row in body.get("items") or ())]
    if "BAD" in values:
        return _ANSWERS["417"]
    return refusal(417, "MandatoryError") if "MUST" in values else None


def _linked(document: Mapping[str, Any], path: str) -> list[str]:
    table, _, cell = path.partition(".")
    if not cell:
        return [document[table]] if document.get(table) else []
    return [row[cell] for row in document.get(table) or () if row.get(cell)]


def _links_of(doctype: str, document: Mapping[str, Any]) -> tuple[Link, ...]:
    kind = KINDS[doctype]
    found = [
        Link(path=name, doctype=target, name=document[name])
        for name, target in kind.links.items()
        if document.get(name)
    ]
    for position, row in enumerate(document.get("items") or ()):
        found += [
            Link(path=f"items.{position}.{cell}", doctype=target, name=row[cell])
            for cell, target in kind.row_links.items()
            if row.get(cell)
        ]
    return tuple(found)


def _relinked(doctype: str, document: Mapping[str, Any], target: str, old: str, new: str) -> dict[str, Any]:
    """The document with its links to `old` under the new name."""
    kind = KINDS[doctype]
    changed = dict(document)
    for name, linked in kind.links.items():
        if linked == target and changed.get(name) == old:
            changed[name] = new
    if kind.row_links and "items" in changed:
        changed["items"] = [
            {
                **row,
                **{
                    cell: new
                    for cell, linked in kind.row_links.items()
                    if linked == target and row.get(cell) == old
                },
            }
            for row in changed["items"]
        ]
    return changed
