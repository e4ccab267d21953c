"""Backups that are restored, and copies of the branch's site that wake up somewhere else."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from erp_offline_sync.engine import actions
from erp_offline_sync.engine.sending.origin import Origin, Standing
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.testing.doubles import MemoryNote
from erp_offline_sync.testing.memory_store import MemoryStore

from .oracle import Answers
from .sites import Key, StoreState, WorldStore

__all__ = ["Backups"]


@dataclass(frozen=True)
class _Branch:
    """A backup of the branch's database. The note of its identity lies beside it and is not in it."""

    store: StoreState
    documents: dict[Key, dict[str, Any]]
    uids: dict[Key, int]
    own: dict[str, Any]
    """What the world keeps of the branch's requests, by the name of its attribute."""
    answers: Answers
    run: int
    """The one that was going on, or the last."""
    effects: int
    """How many the central had had by then."""


_OF_THE_BRANCH = ("queued", "gone", "merges", "ended")


class Backups:
    """Part of the World."""

    def back_up(self) -> None:
        run = Origin.from_json(self.note.text).run if self.note and self.note.text else 0
        self.backup = _Branch(
            store=self.store.state(),
            documents=copy.deepcopy(self.documents.all),
            uids=dict(self.documents.uids),
            own={name: dict(getattr(self, name)) for name in _OF_THE_BRANCH},
            answers=copy.deepcopy(self.answers),
            run=run,
            effects=len(self.central.effects),
        )

    def restore(self) -> None:
        """The branch's database is as it was; the note of its identity stays, or the machine was lost with it."""
        backup = self.backup
        if backup is None or not self._can_be_told(backup):
            return
        self.faults["branch restored"] += 1
        self.renamed_back |= self._renamed_since(backup)
        self.lost |= {*self.documents.uids.values(), *self.gone.values()}
        self.store.become(backup.store)
        self.documents.all = copy.deepcopy(backup.documents)
        self.documents.uids = dict(backup.uids)
        for name in _OF_THE_BRANCH:
            setattr(self, name, dict(backup.own[name]))
        self.lost |= {*self.documents.uids.values(), *self.gone.values()}
        self.answers.forget_since(backup.answers)
        if self.note is not None and backup.run and self.rng.random() < 0.3:
            self.note = MemoryNote(path="/new/machine")
        self.engine = self._new_engine()

    def _renamed_since(self, backup: _Branch) -> set[int]:
        """Documents that the central has under a name which the restored branch does not know."""
        renamed = {
            tuple(what.split("/", 1))
            for _, kind, what, _ in self.central.effects[backup.effects :]
            if kind == "rename"
        }
        owners = (self.key_owner.get(self.central.made_by.get(key, "")) for key in renamed)
        return {uid for owner in owners if owner and (uid := self.queued.get(owner)) is not None}

    def _can_be_told(self, backup: _Branch) -> bool:
        """A run that is killed after a backup was made in it has not raised its number since: until the next run
        nothing tells the one from the other. Without a bench nothing ever does."""
        if self.note is None:
            return False
        return self.note.text is None or Origin.from_json(self.note.text).run > backup.run

    def clone(self) -> None:
        """A copy of the site runs on another machine. Nothing leaves before somebody says what it is; a copy then
        has nothing to send, and a replacement is the branch from then on."""
        if self.note is None or self.note.text is None:
            return
        self.faults["branch cloned"] += 1
        store = WorldStore(self)
        store.become(self.store.state())
        note = MemoryNote(path=f"/copy/{self.faults['branch cloned']}", text=self.note.text)
        engine = SyncEngine(self._ports(store=store, note=note), holder=self.count("copy"))
        before, self.nested = len(self.central.delivered), True
        try:
            engine.run(budget=100)
            if engine.origins.look()[0] is Standing.ASK and self.rng.random() < 0.5:
                self._is_a_copy(engine, store)
            elif engine.origins.look()[0] is Standing.ASK:
                engine.origins.take_over()
                self.store.become(store.state())
                self.note = note
                self.engine = self._new_engine()
        finally:
            self.nested = False
        if len(self.central.delivered) != before:
            self.violated("G1: a copy of the site sent something")

    def _is_a_copy(self, engine: SyncEngine, store: WorldStore) -> None:
        actions.discard_all(engine._ports, reason="a copy", by="ann")
        engine.origins.begin_anew()
        engine.run(budget=100)
        with MemoryStore.transaction(store):
            left = store.oldest_open()
        if left is not None:
            self.violated("G0: a copy kept what the original has to send")

    def answer_what_it_is(self) -> None:
        """Somebody says that the site is the branch, wherever it stands now."""
        if self.engine.origins.look()[0] is Standing.ASK:
            self.engine.origins.take_over()

    def back_up_there(self) -> None:
        central = self.central
        receipts = (central.companion.kept, central.companion.doubted)
        kept = (central.documents, central.made_by, central._queued, receipts)
        self.backup_there = copy.deepcopy(kept)

    def restore_there(self) -> None:
        """The central is as it was; what it confirmed since is gone, and its series begin where they were."""
        if self.backup_there is None:
            return
        self.faults["central restored"] += 1
        known = {*self.documents.uids.values(), *self.gone.values()}
        self.lost |= known
        self.renamed_back |= known
        central = self.central
        documents, made_by, queued, receipts = copy.deepcopy(self.backup_there)
        central.documents, central.made_by, central._queued = documents, made_by, queued
        central.companion.kept, central.companion.doubted = receipts
