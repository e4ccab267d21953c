"""What people do with requests that are held, and with conflicts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from erp_offline_sync.engine import actions
from erp_offline_sync.engine.errors import LocalRefused, NotAllowed
from erp_offline_sync.engine.merge import Side
from erp_offline_sync.engine.model import (
    Conflict,
    ConflictType,
    Operation,
    Request,
    Resolution,
    Status,
)
from erp_offline_sync.engine.status import pause, resume
from erp_offline_sync.engine.transitions import ENDS
from erp_offline_sync.testing.memory_store import MemoryStore

__all__ = ["People"]

_CHOSEN = (Resolution.LOCAL_WINS, Resolution.SERVER_WINS, Resolution.MERGE, Resolution.SKIP)
_REGRETTED = 0.15


class People:
    """Part of the World."""

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

    def change_what_is_in_conflict(self) -> None:
        """Somebody goes on working at a document whose conflict nobody has decided yet."""
        found = sorted(
            key
            for key, uid in self.documents.uids.items()
            if any(
                self.queued.get(request.id) == uid
                for request in self.open_requests()
                if request.status is Status.CONFLICT
            )
        )
        if found:
            self.edit(self.rng.choice(found))

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
                elif request.status is Status.NEEDS_ATTENTION:
                    self.judged.add(each)

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
        return self._decide(pending, self.queued.get(request.id), resolution)

    def close_refused(self) -> None:
        """Conflicts that hold no request: the central has the result, and the branch refused it."""
        with MemoryStore.transaction(self.store):
            left = [each for each in self.store.conflicts(limit=1000) if not self._holds(each)]
        for conflict in left:
            uid = self.queued.get(conflict.local_request_id)
            if not self._decide(conflict, uid, Resolution.SERVER_WINS, sure=True):
                self._decide(conflict, uid, Resolution.SKIP, sure=True)

    def _holds(self, conflict: Conflict) -> bool:
        if conflict.conflict_type is ConflictType.CALL:
            return True
        return bool(self.store.open_in_line(conflict.line, limit=1))

    def _decide(
        self, pending: Conflict, uid: int | None, resolution: Resolution | None, *, sure: bool = False
    ) -> bool:
        chosen = resolution or self.rng.choice(_CHOSEN)
        side = self.rng.choice(tuple(Side)) if chosen is Resolution.MERGE else None
        self.say(f"    decides {pending.resource_id} {pending.conflict_type.value}: {chosen.value} {side}")

        def act() -> None:
            self.engine.resolutions.apply(pending.id, chosen, by="ann", reason="a person", rest=side)
            if chosen is Resolution.SKIP and uid is not None:
                self.cut.add(uid)

        decided = self._allowed(act)
        if decided and not sure and chosen is not Resolution.SKIP and self.rng.random() < _REGRETTED:
            self.say("    takes it back")
            if self._allowed(lambda: self.engine.resolutions.undo(pending.id, by="bob")):
                self.faults["undo"] += 1
        return decided

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
