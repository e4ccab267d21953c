"""The two sites of the world: doctypes, the branch's store and documents, and the central.

The branch behaves as Frappe does: links are checked, submitted documents do not change, a rename rewrites links.
The central is the modelled one, behind a line on which time passes and processes die."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from erp_offline_sync.engine.errors import LocalRefused
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import (
    FieldKind,
    Gap,
    Instant,
    Json,
    Landed,
    Link,
    Reply,
    Request,
    Schema,
    Status,
    Wire,
)
from erp_offline_sync.engine.ports import Central
from erp_offline_sync.engine.sending.push import parse_push
from erp_offline_sync.engine.values import moved_fields
from erp_offline_sync.testing.memory_store import MemoryStore, _Table
from erp_offline_sync.testing.model_central import Fault, ModelCentral, refusal

if TYPE_CHECKING:
    from .world import World

Key = tuple[str, str]
StoreState = tuple[int, list[dict[str, Any]]]

__all__ = [
    "ANSWERS",
    "APPLIED_ALL_THE_SAME",
    "KINDS",
    "NAMES",
    "NO_ANSWER",
    "NUMBER",
    "POISON",
    "WORDS",
    "BranchDocuments",
    "Crash",
    "Flight",
    "Key",
    "Kind",
    "Rollback",
    "WorldCentral",
    "WorldFlights",
    "WorldStore",
    "links_of",
    "refuses_poison",
    "relinked",
]


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
            named_here=self.named_by == "name",
        )

    @property
    def paths(self) -> dict[str, str]:
        return {**self.links, **{f"items.{cell}": target for cell, target in self.row_links.items()}}


TEXT, NUMBER = FieldKind.TEXT, FieldKind.NUMBER

KINDS: Mapping[str, Kind] = {
    "Group": Kind(fields={"title": TEXT, "weight": NUMBER}, named_by="name"),
    "Item": Kind(fields={"code": TEXT, "price": NUMBER, "note": TEXT}, named_by="code", same_names=True),
    "Customer": Kind(fields={"title": TEXT, "city": TEXT, "credit": NUMBER}, links={"group": "Group"}),
    "Sale": Kind(
        fields={"remark": TEXT, "total": NUMBER},
        links={"customer": "Customer", "amended_from": "Sale"},
        row_fields={"qty": NUMBER, "note": TEXT},
        row_links={"item": "Item"},
        submittable=True,
        after_submit=frozenset({"remark"}),
        renames=False,
        order_group="stock",
    ),
    "Move": Kind(
        fields={"remark": TEXT}, links={"item": "Item"}, renames=False, submittable=True, order_group="stock"
    ),
}

NAMES = ("red", "blue", "green", "50% off", "a/b")
WORDS = ("", "one", "two", "three", "O'Brien", "%s", "héllo")
POISON: Mapping[str, str] = {
    "BAD": "417",
    "MUST": "mandatory",
    "BOOM": "500",
    "HANG": "unanswered",
    "HTML404": "html 404",
    "HTML502": "html 502",
}
"""Values that the central never takes; a document that holds one has to be mended by a person."""

_HTML = {status: Reply(status=status, detail="html page") for status in (200, 404, 405, 413, 502, 503, 504)}
NO_ANSWER = Reply(gap=Gap.NO_ANSWER, detail="ReadTimeout")

ANSWERS: Mapping[str, Reply] = {
    "401": refusal(401, "AuthenticationError"),
    "403": refusal(403, "PermissionError"),
    "409": Reply(status=409, is_json=True, body={}),
    "413": Reply(status=413, is_json=True, body={}),
    "html 413": _HTML[413],
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
    "unanswered": NO_ANSWER,
}
_BAD_LOOKS = (NO_ANSWER, *(ANSWERS[name] for name in ("403", "500", "503", "html 502", "html 404")))
APPLIED_ALL_THE_SAME = frozenset({"html 502", "html 504", "captive portal", "unanswered"})
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

    def replace(self, request: Request, *, token: int | None = None) -> bool:
        before = self._requests.get(request.id)
        done = super().replace(request, token=token)
        if done and token is not None and before is not None and before.lease_token != token:
            self._world.violated(f"{request.id} was written under {token}, and {before.lease_token} has it")
        return done

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

    def state(self) -> StoreState:
        """Everything that is committed, as a backup holds it."""
        return self._last_seq, [dict(table._values) for table in self._tables()]

    def become(self, state: StoreState) -> None:
        """The backup is restored."""
        self._last_seq = state[0]
        for table, values in zip(self._tables(), state[1], strict=True):
            for key in list(table._values):
                table._set(key, None)
            for key, value in values.items():
                table._set(key, value)

    def _tables(self) -> list[Any]:
        return [value for value in vars(self).values() if isinstance(value, _Table)]


class WorldCentral(ModelCentral):
    """The modelled central behind a line on which time passes and processes die. Its clock is its own."""

    world: World
    trouble: str = ""
    """What everything is answered with, by its name."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.companion.rest = self.carried_out
        self.pushed_keys: set[str] = set()
        self.plain_keys: set[str] = set()
        self.misled = False
        """A branch may have taken it for a central without a companion."""

    def deliver(self, wire: Wire, *, key: str) -> Reply:
        world = self.world
        world.heard(key)
        self.plain_keys.add(key)
        world.may_die("before the bytes leave")
        world.between("on the way")
        stalled = world.chance("stall") and not world.nested
        late = stalled and world.rng.random() < 0.5
        if stalled and not late:
            reply = self._struck(wire, key)
            world.stall(key)
        else:
            if late:
                world.stall(key)
                # Late enough already: nothing is on its way for longer than a central may take.
                self.faults[:1] = [replace(fault, late=None) for fault in self.faults[:1]]
            reply = self._poisoned(wire) or self._struck(wire, key)
        reply = self._poisoned(wire) or reply
        world.takes(self.deadline if reply.gap is Gap.NO_ANSWER else world.rng.choice((0.05, 0.3, 2)))
        world.when_landed(lambda: world.answered(key, reply))
        owner = world.store.requests_now().get(world.key_owner.get(key, ""))
        kind = reply.gap.value if reply.gap else (reply.body or {}).get("exc_type") or ""
        world.say(f"    sent {owner.seq if owner else '?'} {wire.method} {wire.body}: {reply.status} {kind}")
        return reply

    @property
    def awaited(self) -> bool:
        """Something is on its way, or queued, for a time by its clock."""
        return bool(self._late or self._late_pushes or self._queued)

    def _struck(self, wire: Wire, key: str) -> Reply:
        """Delivered; what befell it is counted."""
        fault = self.faults[0] if self.faults and self.online and self.answers_all is None else None
        reply = super().deliver(wire, key=key)
        if fault is not None:
            self.world.faults[_name_of(fault)] += 1
        return reply

    def arrive(self) -> None:
        """What comes late may come after what was sent later."""
        due = [key for at, key, _ in self._late if at <= self.clock_now()]
        for key in due:
            sent = max(place for place, (each, _) in enumerate(self.delivered) if each == key)
            if sent < len(self.delivered) - 1:
                self.world.faults["reordered delivery"] += 1
        super().arrive()

    def _read(self) -> Reply | None:
        if self.online and self.answers_all is not None and self.trouble:
            self.world.faults[f"everything {self.trouble}"] += 1
            self.trouble = ""
        return super()._read()

    def push(self, data: bytes) -> Reply:
        """Many at once. What spoils a push does so when its turn comes: those before it are done."""
        world, companion = self.world, self.companion
        world.faults["push"] += 1
        ids = []
        for request in parse_push(data, companion.limits).requests:
            world.heard(request.id)
            ids.append(request.id)
            self.pushed_keys.add(request.id)
            text = canonical_json(
                {"values": request.values, "rows": [asdict(each) for each in request.rows.values()]}
            )
            spoils = next((value for value in _SPOILS if f'"{value}"' in text), None)
            if spoils:
                companion.poison[request.id] = ANSWERS[POISON[spoils]]
            if world.chance("effect without a receipt"):
                companion.uncertain.add(request.id)
        world.may_die("before the bytes leave")
        world.between("on the way")
        companion.looks_at = world.rng.randint(0, 3) if world.chance("short of time") else None
        dies = world.rng.choice(ids) if world.chance("the central dies") else None
        if dies is not None and dies not in companion.poison:
            companion.poison[dies] = DIED
        stalled = world.chance("stall") and not world.nested
        late = stalled and world.rng.random() < 0.5
        if late:
            world.stall(*ids)
        before = len(companion.pushes)
        fault = self.faults[0] if self.faults and self.online and self.answers_all is None else None
        reply = super().push(data)
        if fault is not None and len(companion.pushes) > before:
            world.faults[_name_of(fault)] += 1
        if stalled and not late:
            world.stall(*ids)
        if dies is not None and companion.poison.get(dies) is DIED:
            del companion.poison[dies]
        world.takes(self.deadline if reply.gap is Gap.NO_ANSWER else world.rng.choice((0.05, 0.3, 2, 9)))
        for key, each in zip(ids, _one_by_one(reply, ids), strict=True):
            world.when_landed(partial(world.answered, key, each, pushed=True))
        world.say(
            f"    pushed {[world.key_owner.get(key, '')[-4:] for key in ids]}: {reply.status} {reply.gap}"
        )
        return reply

    def capabilities(self) -> Reply:
        reply = self._looked(super().capabilities)
        self.misled |= reply.status != 200
        return reply

    def receipts(self, origin: str, keys: Sequence[str]) -> Reply:
        return self._looked(lambda: super(WorldCentral, self).receipts(origin, keys))

    def carried_out(self, wire: Wire, key: str) -> Reply:
        """One of a push: what a hook raises is that one's answer."""
        if wire.body and '"BOOM"' in wire.body:
            return ANSWERS["500"]
        return self.apply(wire, key)

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
                return ANSWERS[POISON[value]]
        return None


@dataclass
class Flight:
    """A call on its way: its answer is known to the world, and to the run when it lands."""

    ticket: str
    began: float
    seconds: float = 0.0
    reply: Reply | None = None
    when_landed: list[Callable[[], None]] = field(default_factory=list)

    @property
    def lands(self) -> float:
        return self.began + self.seconds


class WorldFlights:
    """The Flights port: what is on its way side by side takes its time side by side, and lands in that order."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._flying: list[Flight] = []

    def start(self, ticket: str, call: Callable[[Central], Reply]) -> None:
        world = self._world
        outer = world.flight
        world.flight = flight = Flight(ticket=ticket, began=world.clock.monotonic())
        try:
            flight.reply = call(world.central)
        finally:
            world.flight = outer
        self._flying.append(flight)
        if len(self._flying) > 1:
            world.faults["side by side"] += 1

    def arrived(self) -> bool:
        """What is still on its way leaves time for something else."""
        now = self._world.clock.monotonic()
        return any(each.lands <= now for each in self._flying)

    def land(self) -> Landed:
        world = self._world
        flight = min(self._flying, key=lambda each: each.lands)
        self._flying.remove(flight)
        world.clock.advance(max(0.0, flight.lands - world.clock.monotonic()))
        for tell in flight.when_landed:
            tell()
        world.between("on the way back")
        world.may_die("after the answer")
        assert flight.reply is not None
        return Landed(ticket=flight.ticket, reply=flight.reply, seconds=flight.seconds)

    def abandon(self) -> None:
        self._flying.clear()


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
                target == doctype and name in linked_names(document, path)
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

    def rename(self, doctype: str, old: str, new: str) -> None:
        raise LocalRefused("nobody renames here")

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
            for linked in linked_names(values, path):
                if (target, linked) not in self.all:
                    raise LocalRefused(f"{target} {linked} is not here")

    def _with_row_names(self, values: Json) -> dict[str, Any]:
        return {
            name: [{**row, "name": row.get("name") or self._world.count("row")} for row in value]
            if isinstance(value, (list, tuple))
            else value
            for name, value in values.items()
        }


_SPOILS = ("HANG", "HTML404", "HTML502")
DIED = Reply(gap=Gap.NO_ANSWER, detail="the central died")


def _one_by_one(reply: Reply, ids: Sequence[str]) -> list[Reply]:
    """What a push's answer says of each: as plain REST would have said it. Not looked at is not sent."""
    if not (reply.status == 200 and reply.is_json) or "outcomes" not in (reply.body or {}).get("message", ()):
        return [reply] * len(ids)
    told = reply.body["message"]["outcomes"]
    found = [
        Reply(status=200, is_json=True, body={"data": {}})
        if each["outcome"] in ("applied", "duplicate")
        else refusal(each.get("status") or 417, each.get("exc_type") or each["outcome"])
        for each in told
    ]
    return found + [Reply(gap=Gap.NOT_SENT)] * (len(ids) - len(found))


def _name_of(fault: Fault) -> str:
    if fault.copies > 1:
        return "repeated delivery"
    if fault.late is not None:
        return "late delivery"
    if fault.reply == NO_ANSWER:
        return "lost answer"
    return next(name for name, reply in ANSWERS.items() if reply == fault.reply)


def refuses_poison(doctype: str, body: Json) -> Reply | None:
    values = [*body.values(), *(row.get("note") for row in body.get("items") or ())]
    if "BAD" in values:
        return ANSWERS["417"]
    return refusal(417, "MandatoryError") if "MUST" in values else None


def linked_names(document: Mapping[str, Any], path: str) -> list[str]:
    table, _, cell = path.partition(".")
    if not cell:
        return [document[table]] if document.get(table) else []
    return [row[cell] for row in document.get(table) or () if row.get(cell)]


def links_of(doctype: str, document: Mapping[str, Any]) -> tuple[Link, ...]:
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


def relinked(doctype: str, document: Mapping[str, Any], target: str, old: str, new: str) -> dict[str, Any]:
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
