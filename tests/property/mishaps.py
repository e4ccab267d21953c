"""What goes wrong on the way, and what somebody does at the central meanwhile."""

from __future__ import annotations

from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.model import (
    Status,
)
from erp_offline_sync.engine.sending.line import BREAKER, kept_breaker
from erp_offline_sync.testing.model_central import Fault

from .sites import (
    ANSWERS,
    APPLIED_ALL_THE_SAME,
    KINDS,
    NAMES,
    NO_ANSWER,
    NUMBER,
    Key,
)

__all__ = ["Mishaps"]


class Mishaps:
    """Part of the World."""

    def go_offline(self) -> None:
        self.central.online = False
        self.faults["offline"] += 1

    def come_online(self) -> None:
        self.central.online, self.central.answers_all = True, None

    def misanswer(self) -> None:
        """The next deliveries get a wrong answer, or the right one does not come back."""
        name = self.rng.choice(list(ANSWERS))
        applies = name in APPLIED_ALL_THE_SAME and self.rng.random() < 0.5
        for _ in range(self.rng.choice((1, 1, 1, 3, 5))):
            self.central.faults.append(Fault(ANSWERS[name], applies=applies))

    def lose_answer(self) -> None:
        self.central.faults.append(Fault(NO_ANSWER, applies=self.rng.random() < 0.6))

    def repeat(self) -> None:
        """The network delivers the bytes twice, and the answer is lost."""
        self.central.faults.append(Fault(NO_ANSWER, applies=True, copies=2))

    def delay(self) -> None:
        """The bytes arrive within the time that a central may take."""
        self.central.faults.append(Fault(NO_ANSWER, late=self.rng.choice((1, 30, 61, 100, 119))))

    def answer_all(self) -> None:
        self._answer_all(
            self.rng.choice(("401", "500", "503", "html 502", "captive portal", "429", "html 404"))
        )

    def _answer_all(self, name: str) -> None:
        self.central.answers_all, self.central.trouble = ANSWERS[name], name

    def install_or_remove(self) -> None:
        """The app at the central comes or goes; its receipts stay."""
        if self.comes_and_goes:
            self.faults["companion installed or removed"] += 1
            self.central.has_companion = not self.central.has_companion

    def storm(self) -> None:
        """Every request that arrives is answered with an error of the central's own for a while."""
        self.faults["storm"] += 1
        self.central.faults += [Fault(ANSWERS["500"])] * self.rng.randint(10, 40)

    def change_url(self) -> None:
        """The settings name another address: one where nobody is, or one where another site answers. Saved settings
        are tried at once."""
        self.faults["URL changed"] += 1
        self.central.online = self.rng.random() < 0.6
        if self.central.online:
            self._answer_all(self.rng.choice(("401", "html 404", "captive portal")))
        self._settings_saved()

    def _settings_saved(self) -> None:
        with self.store.transaction():
            breaker = kept_breaker(self.store.get_meta(BREAKER))
            self.store.set_meta(BREAKER, canonical_json(breaker.probe_at_once().to_json()))
        self.engine = self._new_engine()

    def pass_time(self) -> None:
        self.clock.advance(self.rng.choice((1, 5, 30, 90, 125, 700, 4000, 90_000)))

    def jump(self) -> None:
        """A wall clock is set back or forward, here or there; when a request was sent that is in doubt could not be
        told any more, nor by more than minutes when one of a backup may have been."""
        if any(request.status in (Status.IN_DOUBT, Status.IN_FLIGHT) for request in self.open_requests()):
            return
        seconds = self.rng.choice((-3600, -86_400, -5, 3600, 86_400))
        if self.rng.random() < 0.5:
            self.faults["clock set here"] += 1
            self.clock.jump(seconds)
            if abs(seconds) > 60:
                self.backup = None
        elif not self.central.awaited:
            self.faults["clock set at the central"] += 1
            self.ahead_there += seconds

    def edit_there(self) -> None:
        found = self._there()
        if found:
            self._edit_there(*self.rng.choice(found))

    def _edit_there(self, doctype: str, name: str) -> None:
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
        value = self.rng.choice((3, 4)) if kind.fields[field_name] is NUMBER else self.rng.choice(("x", "y"))
        if kind.row_fields and draw < 0.45 and document["docstatus"] == 0 and document.get("items"):
            rows = [dict(row) for row in document["items"]]
            self.rng.choice(rows)["qty"] = 9
            self.central.edit(doctype, name, items=rows)
            return
        self.central.edit(doctype, name, **{field_name: value})

    def both(self) -> None:
        """One document is changed on both sides before either hears of the other."""
        linked = sorted(
            (document.doctype, document.local_name, document.central_name)
            for document in self.store.all_documents()
            if not document.deleted
            and (document.doctype, document.local_name) in self.documents.all
            and document.central_name in self.central.documents.get(document.doctype, {})
        )
        if linked:
            doctype, here, there = self.rng.choice(linked)
            self._edit_there(doctype, there)
            self.edit((doctype, here))

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
        doctype, name = self.rng.choice(("Group", "Item")), self.rng.choice(NAMES)
        if name not in self.central.documents.get(doctype, {}):
            self.faults["made at the central"] += 1
            values = {
                "Item": {"code": name, "price": 1, "note": "there"},
                "Group": {"title": "there", "weight": 0},
            }
            self.central.insert(doctype, name, **values[doctype])

    def _there(self) -> list[Key]:
        return sorted((doctype, name) for doctype, table in self.central.documents.items() for name in table)
