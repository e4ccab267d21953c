"""The same app at the central, where it is installed: what it can do, a push, and the receipts it keeps.

What it said of itself is kept between runs, and asked again every so often and when something about it failed; so a
central that gets a companion, or loses it, is noticed. Where there is none, requests go by plain REST.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ..classify import Outcome, Verdict, classify
from ..errors import CentralUnavailable, UnreadableMessage
from ..identity import canonical_json, fingerprint
from ..model import Json, Operation, Reply, Request
from ..ports import Ports
from .origin import SET_BACK, TOLD, Origin
from .push import (
    Capabilities,
    PushAnswer,
    Receipt,
    capabilities_body,
    parse_answer,
    parse_capabilities,
    parse_receipts,
    push_text,
)
from .pushed import shows_a_changed_past

__all__ = ["COMPANION", "STOPPED", "Companion", "kept_capabilities", "read_capabilities"]

COMPANION = "companion"
_NAME_LENGTH = 140
_UNFIT = re.compile(r"[^A-Za-z0-9._:-]")
_ASKED_EVERY = timedelta(minutes=10)
_ASKED_SOON = timedelta(minutes=1)
_SAYS_NO = frozenset({Verdict.REFUSED, Verdict.REFUSED_AT_ONCE, Verdict.MISSING, Verdict.CONFIGURATION})
"""The central answers, and has no such method, or not for us."""
_SET_BACK = frozenset({"OriginCloned", "OriginRestored"})
"""What this site takes for unsent, its twin or itself may have sent."""
STOPPED = _SET_BACK | {"OriginOfAnother", "OriginStopped"}
"""Types of refusals of the branch as a whole: nothing of it is taken until a person has looked at it."""
_LATE = "LatePush"
"""A later run has pushed since. Nothing was looked at, and there is nothing for a person to mend: not now."""


def kept_capabilities(text: str | None) -> Capabilities | None:
    """What the companion last said of itself, as it is kept; None where there is none, or it was never asked."""
    kept = json.loads(text) if text else {}
    return _understood(kept["said"]) if kept.get("said") else None


def read_capabilities(reply: Reply) -> Capabilities | None:
    """What a companion answers of itself; None for every other answer."""
    if classify(reply, Operation.CALL).verdict is not Verdict.APPLIED:
        return None
    return _understood(reply.body.get("message"))


def _understood(message: object) -> Capabilities | None:
    try:
        return parse_capabilities(message)
    except UnreadableMessage:
        return None  # another version, or something else that answers: plain REST goes all the same


class Companion:
    """One destination's. `sender` answers who this run sends as; None: nothing may be pushed."""

    def __init__(self, ports: Ports, sender: Callable[[], Origin | None]) -> None:
        self._ports = ports
        self._store = ports.store
        self._sender = sender
        self._run_key: tuple[int, str] | None = None
        self._admitted = False

    def capabilities(self) -> Capabilities | None:
        """What it can do, asked where that is not known or too long ago; None: go by plain REST."""
        if self._sender() is None:
            return None
        with self._store.transaction():
            text, now = self._store.get_meta(COMPANION), self._store.now()
        kept: Json = json.loads(text) if text else {}
        if kept and abs(now - datetime.fromisoformat(kept["asked_at"])) < _ASKED_EVERY:
            return kept_capabilities(text)
        return self.ask()

    def ask(self) -> Capabilities | None:
        """Ask it now. Where no proper answer comes, what is known stays, and is asked again soon."""
        reply = self._ports.central.capabilities()
        said = read_capabilities(reply)
        verdict = classify(reply, Operation.CALL).verdict
        known = verdict is Verdict.APPLIED or verdict in _SAYS_NO
        with self._store.transaction():
            asked_at = self._store.now()
            if not known:
                said = kept_capabilities(self._store.get_meta(COMPANION))
                asked_at -= _ASKED_EVERY - _ASKED_SOON
            kept = {
                "asked_at": asked_at.isoformat(),
                "said": None if said is None else capabilities_body(said),
            }
            self._store.set_meta(COMPANION, canonical_json(kept))
        return said

    def text_of(self, requests: Sequence[Request], low_water: int) -> str:
        """The text of a push of these prepared requests."""
        sender = self._sender()
        assert sender is not None  # it has capabilities, so somebody sends
        items = [request.wire.body or "" for request in requests if request.wire is not None]
        return push_text(
            origin=sender.id,
            run=sender.run,
            run_key=self._key_of(sender.run),
            home=fingerprint([sender.site, sender.path]) if sender.path else None,
            site=_UNFIT.sub("_", sender.site)[:_NAME_LENGTH] or None,
            low_water=low_water,
            language=self._ports.language,
            seconds=self._ports.central.deadline,
            items=items,
        )

    def _key_of(self, run: int) -> str:
        """Made at random for each run: two branches with one identity have one number, and two keys."""
        if self._run_key is None or self._run_key[0] != run:
            self._run_key = (run, self._ports.ids.new_key())
        return self._run_key[1]

    def read_push(self, reply: Reply, keys: Sequence[str]) -> tuple[Outcome, PushAnswer | None]:
        """The outcome of a push as a whole; with APPLIED the answer for each request."""
        outcome, message = self._read(reply)
        if outcome.exc_type == _LATE:
            return replace(outcome, verdict=Verdict.NOT_NOW), None
        if outcome.exc_type in STOPPED:
            if outcome.exc_type in _SET_BACK:
                self._note_set_back()
            return replace(outcome, verdict=Verdict.CONFIGURATION), None
        if outcome.verdict is not Verdict.APPLIED:
            return outcome, None
        try:
            answer = parse_answer(message, keys)
        except UnreadableMessage as why:
            return Outcome(verdict=Verdict.UNANSWERED, effect_unknown=True, message=str(why)), None
        if any(shows_a_changed_past(each) for each in answer.outcomes):
            self._note_set_back()
        else:
            self._note_admitted()
        return outcome, answer

    def _note_set_back(self) -> None:
        """The next run looks up what waits, once, before it sends any of it."""
        self._admitted = False
        with self._store.transaction():
            if self._store.get_meta(SET_BACK) is None:
                self._store.set_meta(SET_BACK, TOLD)

    def _note_admitted(self) -> None:
        """Somebody at the central let it go on, or it was never stopped; read once for each process."""
        if self._admitted:
            return
        self._admitted = True
        with self._store.transaction():
            if self._store.get_meta(SET_BACK) is not None:
                self._store.set_meta(SET_BACK, None)

    def receipts(self, keys: Sequence[str]) -> dict[str, Receipt]:
        """What it knows of requests with these keys. Raises CentralUnavailable."""
        sender = self._sender()
        reply = self._ports.central.receipts(sender.id if sender else "", keys)
        outcome, message = self._read(reply)
        if outcome.verdict is not Verdict.APPLIED:
            raise CentralUnavailable(outcome)
        try:
            return parse_receipts(message, keys)
        except UnreadableMessage as why:
            raise CentralUnavailable(Outcome(verdict=Verdict.NOT_NOW, message=str(why))) from why

    def _read(self, reply: Reply) -> tuple[Outcome, object]:
        reply = reply.read()
        outcome = classify(reply, Operation.CALL)
        return outcome, reply.body.get("message") if outcome.verdict is Verdict.APPLIED else None
