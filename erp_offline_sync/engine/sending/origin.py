"""Who sends: the branch's identity, and whether this is still the site that sent last.

It stands in the database and in a note outside of it, with a number that each run raises in both, the database
first. So a copy of the site shows before it sends as the original, and so does a restored backup: its number is
the smaller one, and what it holds may have been sent since. Source: semantics, "Order, identity and links".
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from enum import Enum

from ..config import HISTORY_KEPT
from ..errors import NotAllowed, SettingsError
from ..identity import canonical_json
from ..model import Attempt, Readiness, Request, Status
from ..ports import OriginNote, Ports, Store
from ..status import IDENTITY_ASKS, pause, paused_by, resume
from ..transitions import OPEN, move

__all__ = [
    "LEAP",
    "NEXT_NUMBER",
    "ORIGIN",
    "PAUSED_BY",
    "SET_BACK",
    "TOLD",
    "Origin",
    "Origins",
    "Standing",
    "judge",
    "kept_origin",
    "restored",
    "restored_at",
]

ORIGIN = "origin"
PAUSED_BY = "identity check"
SET_BACK = "set_back"
"""What became of the word of a companion that this branch was set back, or has a twin: TOLD, then LOOKED_UP."""
TOLD, LOOKED_UP = "told", "looked up"
NEXT_NUMBER = "next_number"
"""The number of the next request that has none yet and is pushed."""
LEAP = 10_000_000
"""More runs than an original can have made, and more numbers than it can have given, since a backup."""
_AT_ONCE = 200
_RESTORED = "restored"
"""In the history of a request."""
_LOOK_FIRST = (
    "This site was restored from a backup, and what waits here may have been sent since. "
    "Let it synchronise once: each run looks that up first, offline too. Then try again."
)
_FIRST = 0
"""Only while the note is not there yet: nothing leaves under it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A branch: `run` grows with each run; `site` and `path` say where it was at home then."""

    id: str
    run: int
    site: str = ""
    path: str = ""

    def to_json(self) -> str:
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> Origin | None:
        """None where there is nothing, or nothing that can be read."""
        try:
            kept = json.loads(text or "")
            return cls(
                id=str(kept["id"]), run=int(kept["run"]), site=str(kept["site"]), path=str(kept["path"])
            )
        except (ValueError, TypeError, KeyError):
            return None

    def is_at(self, site: str, path: str) -> bool:
        return (self.site, self.path) == (site, path)


class Standing(str, Enum):
    """What a site is, seen by its database and its note."""

    NEW = "new"
    SAME = "same"
    RESTORED = "restored"
    """A backup: what waits may have been sent since."""
    ASK = "ask"
    """A copy, or the replacement of a site that is gone: only a person knows."""


def judge(
    kept: Origin | None, noted: Origin | None, *, site: str, path: str, used: bool
) -> tuple[Standing, str]:
    """The standing, and why, for people. `kept` is the database's origin, `noted` the note's; `used`: the outbox
    has, or had, requests."""
    if kept is None:
        if noted is not None and noted.is_at(site, path):
            return Standing.RESTORED, "the database is older than the identity of this site"
        if noted is None or not used:
            return Standing.NEW, ""
        return Standing.ASK, f"the note in this site's folder was written for {noted.site} in {noted.path}"
    if noted is None and kept.run == _FIRST:
        return Standing.SAME, ""  # the note could not be written yet, so nothing was sent
    if noted is None:
        return Standing.ASK, "the note of its identity is missing in this site's folder"
    if noted.id != kept.id:
        return Standing.ASK, "the database and the note in this site's folder are of two branches"
    for known in (kept, noted):
        if not known.is_at(site, path):
            return Standing.ASK, f"it was {known.site} in {known.path} before"
    if kept.run < noted.run:
        return Standing.RESTORED, f"the database is as of run {kept.run}, and {noted.run} was reached"
    return Standing.SAME, ""


def kept_origin(store: Store) -> Origin | None:
    """The one in the database; inside the caller's transaction."""
    return Origin.from_json(store.get_meta(ORIGIN))


class Origins:
    """The branch's identity in one process. Its methods open transactions of their own."""

    def __init__(self, ports: Ports) -> None:
        self._store = ports.store
        self._ids = ports.ids
        self._note: OriginNote | None = ports.note
        self.current: Origin | None = None
        """The origin under which this run sends; None where it may not send."""

    def look(self) -> tuple[Standing, str, Origin | None]:
        """How the site stands, why, and the origin in its database. Changes nothing."""
        noted = self._noted()
        with self._store.transaction():
            return self._look(noted)

    def refuse_unless_known(self) -> None:
        """Before a person's step, which may end or join what certainly was not sent: whether it was, a restored
        backup does not know, nor a copy. Raises NotAllowed with what to do first."""
        standing, why, _kept = self.look()
        if standing is Standing.ASK:
            raise NotAllowed(_question(why))
        with self._store.transaction():
            behind = self._behind(standing)
        if behind:
            raise NotAllowed(_LOOK_FIRST)

    def begin(self) -> None:
        """Before anything is sent: raise the number, or pause sending where a person has to say what this is.

        Raises SettingsError where the note cannot be written: nothing may be sent then.
        """
        self.current = None
        noted = self._noted()
        with self._store.transaction():
            standing, why, kept = self._look(noted)
            if standing is Standing.ASK:
                self._ask(why)
                return
            behind = self._behind(standing)
            if not behind:
                origin = self._keep(self._raised(kept, noted))
        if behind:
            self._doubt_all()
            with self._store.transaction():
                if self._store.get_meta(SET_BACK) == TOLD:
                    self._store.set_meta(SET_BACK, LOOKED_UP)
                origin = self._keep(self._raised(kept or noted, noted))
        self._write(origin)
        if origin.run == _FIRST:
            # A backup made from now on is known by its number, wherever it is restored.
            self._settle(self._raised(origin, None))

    def end(self) -> None:
        """After the last request: a backup that was made during this run is older than its end."""
        if self.current is None:
            return
        with self._store.transaction():
            origin = self._keep(self._raised(self.current, None))
        try:
            self._write(origin)
        except SettingsError:
            return  # the next run cannot write it either, and says so

    def take_over(self) -> Origin:
        """This site took the place of the one that sent before, under the same identity; what waits may have been
        sent by it. Raises NotAllowed where nothing is to be decided."""
        noted = self._noted()
        kept = self._asked_about()
        reached = noted.run if noted is not None and (kept is None or kept.id == noted.id) else None
        if kept is None or reached is None or kept.run < reached:
            self._doubt_all()
        if kept is not None and reached is None:
            kept = replace(kept, run=kept.run + LEAP)
        return self._settle(self._raised(kept or noted, None if reached is None else noted))

    def begin_anew(self) -> Origin:
        """This site is a copy: a branch of its own from now on. The outbox is the original's, and empty by now."""
        self._asked_about()
        return self._settle(self._raised(self._raised(None, None), None))

    # helpers

    def _look(self, noted: Origin | None) -> tuple[Standing, str, Origin | None]:
        kept = kept_origin(self._store)
        if self._note is None:
            return (Standing.NEW if kept is None else Standing.SAME), "", kept
        used = any(self._store.counters().values())
        standing, why = judge(kept, noted, site=self._note.site, path=self._note.path, used=used)
        return standing, why, kept

    def _behind(self, standing: Standing) -> bool:
        """Whether what waits may have been sent, by this database's note or by the word of a companion."""
        return standing is Standing.RESTORED or self._store.get_meta(SET_BACK) == TOLD

    def _noted(self) -> Origin | None:
        return None if self._note is None else Origin.from_json(self._note.read())

    def _asked_about(self) -> Origin | None:
        standing, _why, kept = self.look()
        if standing is not Standing.ASK:
            raise NotAllowed("This site is known as the one that sent before: there is nothing to decide.")
        return kept

    def _ask(self, why: str) -> None:
        self._store.set_meta(IDENTITY_ASKS, _question(why))
        if paused_by(self._store, self._store.now()) is None:
            pause(self._store, by=PAUSED_BY, reason=f"copy or replacement? {why}")

    def _raised(self, before: Origin | None, noted: Origin | None) -> Origin:
        site, path = (self._note.site, self._note.path) if self._note else ("", "")
        if before is None:
            return Origin(id=self._ids.new_key(), run=_FIRST, site=site, path=path)
        ahead = noted.run if noted is not None else 0
        return replace(before, run=max(before.run, ahead) + 1, site=site, path=path)

    def _settle(self, origin: Origin) -> Origin:
        with self._store.transaction():
            self._keep(origin)
        self._write(origin)
        return origin

    def _keep(self, origin: Origin) -> Origin:
        """The database first: a note that is behind does not matter, one that is ahead shows a restored backup."""
        self._store.set_meta(ORIGIN, origin.to_json())
        if self._store.get_meta(IDENTITY_ASKS) is not None:
            self._store.set_meta(IDENTITY_ASKS, None)
            resume(self._store, only_by=PAUSED_BY)
        return origin

    def _write(self, origin: Origin) -> None:
        if self._note is not None:
            self._note.write(origin.to_json())
        self.current = origin

    def _doubt_all(self) -> None:
        """May be broken off and done again: nothing is sent before it is whole. Numbers that were given since are
        left out: a companion takes one below what was closed for a request whose receipt is gone."""
        with self._store.transaction():
            number = int(self._store.get_meta(NEXT_NUMBER) or 1)
            self._store.set_meta(NEXT_NUMBER, str(number + LEAP))
        after = 0
        while True:
            with self._store.transaction():
                now = self._store.now()
                page = self._store.list_requests(statuses=OPEN, limit=_AT_ONCE, after=after)
                for request in page:
                    self._store.replace(_doubted(request, now))
            if len(page) < _AT_ONCE:
                return
            after = page[-1].seq


def _question(why: str) -> str:
    reason = f"{why[:1].upper()}{why[1:]}."
    return f"Is this site a copy, or the replacement of the one that sent before? {reason}"


def restored_at(request: Request) -> datetime | None:
    """When it was found in a restored backup: until then the branch may have sent it."""
    return next((each.at for each in reversed(request.history) if each.event == _RESTORED), None)


def restored(request: Request, at: datetime) -> Request:
    """With that noted, once for the last time that it was so."""
    others = [each for each in request.history if each.event != _RESTORED]
    return request.altered(history=(*others, Attempt(at=at, event=_RESTORED))[-HISTORY_KEPT:])


def _doubted(request: Request, now: datetime) -> Request:
    """As it stood in the backup, and to be looked up before it is sent."""
    noted = restored(request, now)
    if request.unsure:
        return noted
    if request.status is Status.IN_DOUBT:
        # Pushed, it may have gone by plain REST since, which leaves no receipt.
        return noted.altered(may_have_arrived=True)
    unsure = noted.altered(
        may_have_arrived=True,
        sends=0,
        sent_at=None,
        wire=None,
        number=None,
        unanswered=0,
        next_retry_at=None,
    )
    if request.status in (Status.RETRY, Status.IN_FLIGHT):
        return move(unsure, Status.PENDING, readiness=Readiness.RECHECK)
    if request.status is Status.PENDING and request.readiness is Readiness.READY:
        return unsure.altered(readiness=Readiness.RECHECK)
    return unsure
