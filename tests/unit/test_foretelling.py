"""What the central would answer to a decision, asked before anything is sent."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support import LOST, Branch, a_branch, refused

from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.deciding.foretelling import Foretelling, Foretold, foretold, question
from erp_offline_sync.engine.deciding.rehearsal import Rehearsal, rehearse
from erp_offline_sync.engine.model import FieldKind, Policy, Reply, Resolution, Schema, Strategy
from erp_offline_sync.engine.sending.companion import COMPANION
from erp_offline_sync.engine.sending.line import BREAKER
from erp_offline_sync.engine.sending.origin import ORIGIN
from erp_offline_sync.engine.sending.push import PushOutcome
from erp_offline_sync.engine.status import pause
from erp_offline_sync.testing.model_central import refusal

R, K = Resolution, FieldKind
SCHEMAS = {
    "Customer": Schema(fields={"city": K.TEXT, "phone": K.TEXT}),
    "Sale": Schema(
        fields={"remark": K.TEXT}, tables={"items": Schema(fields={"item": K.TEXT, "qty": K.NUMBER})}
    ),
}


@pytest.fixture
def branch() -> Branch:
    """Both sides changed customer C-1, and the central has the companion."""
    branch = a_branch(config=Config(default_strategy=Strategy.MANUAL), schemas=SCHEMAS)
    branch.central.has_companion = True
    name = branch.synced("Customer", "C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn")
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    branch.documents.documents["Customer", "C-2"] = {"name": "C-2", "city": "Oslo"}
    return branch


def rehearsed(branch: Branch, resolution: Resolution = R.LOCAL_WINS, **given: Any) -> Rehearsal:
    return rehearse(branch.ports, branch.pending().id, resolution, by="ann", **given)


def asked(branch: Branch) -> Foretelling:
    shown = rehearsed(branch)
    assert shown.next is not None
    data = question(branch.ports, shown.next)
    assert data is not None
    return foretold(branch.central.rehearse(data), shown.next)


def everything(branch: Branch) -> Any:
    central = branch.central
    with branch.store.transaction():
        kept = [
            branch.store.list_requests(),
            branch.store.conflicts(),
            *(branch.store.get_meta(name) for name in (COMPANION, BREAKER, ORIGIN, "next_number")),
        ]
    told = len(branch.events.published), len(central.delivered), len(central.companion.pushes)
    return copy.deepcopy((kept, told, central.documents, central.effects, central.companion.kept))


def test_what_the_central_would_take_goes_through_once_it_is_decided(branch: Branch) -> None:
    before = everything(branch)
    assert asked(branch) == Foretelling(verdict=Foretold.ACCEPTED)
    assert everything(branch) == before
    branch.engine.resolutions.apply(branch.pending().id, R.LOCAL_WINS, by="ann")
    branch.run()
    (document,) = branch.central.documents["Customer"].values()
    assert document["city"] == "Rome"


def test_what_the_central_would_refuse_comes_with_its_words(branch: Branch) -> None:
    branch.central.rules.append(lambda doctype, values: refusal(417, "ValidationError"))
    before = everything(branch)
    told = asked(branch)
    assert (told.verdict, "ValidationError" in told.message) == (Foretold.REFUSED, True)
    assert everything(branch) == before


def test_a_document_that_moved_again_would_be_a_conflict_again(branch: Branch) -> None:
    (name,) = branch.central.documents["Customer"]
    branch.central.edit("Customer", name, city="Kyiv")
    assert asked(branch) == Foretelling(verdict=Foretold.CONFLICT)


def test_what_cannot_be_undone_there_is_not_told(branch: Branch) -> None:
    shown = rehearsed(branch)
    assert shown.next is not None
    branch.central.companion.uncertain.add(shown.next.key)
    data = question(branch.ports, shown.next)
    assert data is not None
    told = foretold(branch.central.rehearse(data), shown.next)
    assert told == Foretelling(verdict=Foretold.UNKNOWN, message="It cannot be told.")


def test_the_next_request_carries_what_was_saved_while_it_waited(branch: Branch) -> None:
    branch.update("Customer", "C-1", phone="2")
    shown = rehearsed(branch)
    assert shown.next is not None
    assert shown.next.wire is not None
    assert '"phone":"2"' in str(shown.next.wire.body)


@pytest.mark.parametrize("resolution", [R.SERVER_WINS, R.SKIP])
def test_where_nothing_is_sent_nothing_is_asked(branch: Branch, resolution: Resolution) -> None:
    assert rehearsed(branch, resolution).next is None


def test_a_call_is_not_asked_about() -> None:
    branch = a_branch(config=Config(default_strategy=Strategy.MANUAL))
    branch.answer(refused(409, None, "the day is closed"))
    branch.call()
    branch.run()
    assert rehearsed(branch).next is None


def test_what_has_to_be_looked_up_first_is_not_asked_about() -> None:
    """No question leaves while the decision stands in a transaction."""
    branch = a_branch(
        config=Config(default_strategy=Strategy.MANUAL), schemas=SCHEMAS, policies={"Customer": Policy()}
    )
    name = branch.synced("Sale", "S-1", remark="")
    branch.central.edit("Sale", name, remark="theirs")
    branch.update("Sale", "S-1", remark="ours")
    branch.run()
    branch.documents.documents["Customer", "C-9"] = {"name": "C-9", "city": "Oslo"}
    branch.update("Sale", "S-1", links={"customer": "Customer"}, customer="C-9")
    assert rehearsed(branch).next is None


def set_meta(branch: Branch, name: str, value: str | None) -> None:
    with branch.store.transaction():
        branch.store.set_meta(name, value)


def is_paused(branch: Branch) -> None:
    with branch.store.transaction():
        pause(branch.store, by="ann", reason="stock taking")


def is_down(branch: Branch) -> None:
    branch.update("Customer", "C-2", city="Rome")
    branch.central.online = False
    branch.run()


def has_no_companion(branch: Branch) -> None:
    set_meta(branch, COMPANION, None)


def has_an_older_companion(branch: Branch) -> None:
    branch.central.companion.rehearses = False
    branch.engine._companion.ask()


def never_sent(branch: Branch) -> None:
    set_meta(branch, ORIGIN, None)


@pytest.mark.parametrize(
    "situation",
    [is_paused, is_down, has_no_companion, has_an_older_companion, never_sent],
    ids=lambda it: it.__name__,
)
def test_a_central_that_no_push_would_go_to_is_not_asked(branch: Branch, situation: Any) -> None:
    shown = rehearsed(branch)
    assert shown.next is not None
    assert question(branch.ports, shown.next) is not None
    situation(branch)
    assert question(branch.ports, shown.next) is None


NO_ANSWERS = {
    "lost": LOST,
    "refused as a whole": refused(409, "OriginStopped", "Two sites push."),
    "nonsense": Reply(status=200, is_json=True, body={"message": {"schema": 1}}),
    "empty": Reply(
        status=200,
        is_json=True,
        body={"message": {"schema": 1, "time": "t", "time_zone": "UTC", "outcomes": []}},
    ),
}


@pytest.mark.parametrize("reply", NO_ANSWERS.values(), ids=NO_ANSWERS)
def test_no_proper_answer_tells_nothing(branch: Branch, reply: Reply) -> None:
    shown = rehearsed(branch)
    assert shown.next is not None
    assert foretold(reply, shown.next).verdict is Foretold.UNREACHED


def test_of_a_line_that_is_down_nothing_technical_is_told(branch: Branch) -> None:
    shown = rehearsed(branch)
    assert shown.next is not None
    assert foretold(LOST, shown.next).message == ""
    assert foretold(NO_ANSWERS["refused as a whole"], shown.next).message == "Two sites push."


@pytest.mark.parametrize("outcome", sorted(set(PushOutcome) - {"applied", "rejected", "conflict"}))
def test_what_is_neither_taken_nor_refused_is_not_known(branch: Branch, outcome: PushOutcome) -> None:
    shown = rehearsed(branch)
    assert shown.next is not None
    said = [{"id": shown.next.key, "outcome": outcome.value}]
    body = {"message": {"schema": 1, "time": "t", "time_zone": "UTC", "outcomes": said}}
    told = foretold(Reply(status=200, is_json=True, body=body), shown.next)
    assert told.verdict is Foretold.UNKNOWN
