"""Hard cases: each of these once lost, doubled, held up or misreported something."""

from __future__ import annotations

import json

import pytest

from erp_offline_sync.adapters.standalone import NoDocuments
from erp_offline_sync.engine import actions
from erp_offline_sync.engine.calls import queued_call
from erp_offline_sync.engine.config import Config
from erp_offline_sync.engine.errors import NotAllowed
from erp_offline_sync.engine.model import FieldKind, Operation, Reply, Resolution, Schema, Status, Strategy
from erp_offline_sync.engine.names import document_links
from erp_offline_sync.engine.sending.outgoing import document_body
from erp_offline_sync.engine.status import sync_status
from erp_offline_sync.testing.model_central import ModelCentral

from .support import LOST, NOT_SENT, a_branch, refused

ASK = Config(default_strategy=Strategy.MANUAL)
NOT_ALLOWED = refused(403, "PermissionError")


def test_a_dynamic_link_stays_under_its_name_here():
    text = dict.fromkeys(("party_type", "party", "note", "memo"), FieldKind.TEXT)
    b = a_branch(schemas={"Payment": Schema(fields=text, dynamic={"party": "party_type"})}, config=ASK)
    b.synced("Customer", "C-1", city="x")  # the central calls it CUST-00001
    b.create("Payment", "P-1", links={"party": "Customer"}, party_type="Customer", party="C-1", note="a")
    b.run()
    b.central.edit("Payment", str(b.line_of("Payment", "P-1").central_name), memo="there")
    b.update("Payment", "P-1", memo="here")
    b.run()
    b.engine.resolutions.apply(b.pending().id, Resolution.SERVER_WINS, by="ann")
    assert b.here("Payment", "P-1")["party"] == "C-1"


@pytest.mark.parametrize("answer", [LOST, refused(429, "TooManyRequestsError"), NOT_ALLOWED])
@pytest.mark.parametrize("operation", ["delete", "rename"])
def test_what_carries_no_version_is_compared_again_before_each_send(answer, operation):
    b = a_branch(config=ASK)
    there = b.synced("Customer", "C-1", city="x")
    r = b.delete("Customer", "C-1") if operation == "delete" else b.rename("Customer", "C-1", "C-2")
    b.answer(answer)
    b.run()
    b.later(3 * 86400)
    b.central.edit("Customer", there, city="edited by the head office")
    if b.status(r) is Status.NEEDS_ATTENTION:
        actions.retry(b.ports, r, by="ann")
    b.run(force=True)
    b.later(60)
    b.run()
    assert b.status(r) is Status.CONFLICT
    assert b.there("Customer", there) is not None


def test_a_refused_repeat_does_not_say_that_the_first_send_had_no_effect():
    b = a_branch(config=Config(default_strategy=Strategy.SERVER_WINS))
    there = b.synced("Customer", "C-1", city="x")
    b.update("Customer", "C-1", city="y")
    b.answer(LOST, applies=True)
    b.answer(refused(503, "SessionStopped"))
    b.run()
    b.update("Customer", "C-1", city="z")
    b.later(60)
    b.run()
    assert b.here("Customer", "C-1")["city"] == b.there("Customer", there)["city"] == "z"


def test_rows_of_a_queued_call_are_the_rows_that_it_names():
    b = a_branch(documents=NoDocuments())
    b.central.insert("Sale", "S-1", items=[{"item": "A", "qty": 1}, {"item": "B", "qty": 1}])
    sale = b.there("Sale", "S-1")
    rows = [{**sale["items"][0], "qty": 5}, sale["items"][1]]
    body = {"modified": sale["modified"], "items": rows}
    with b.store.transaction():
        key, now = b.ports.ids.new_key(), b.store.now()
        b.store.add(queued_call("PUT", "/api/resource/Sale/S-1", body, key=key, now=now, max_bytes=10**6))
    b.run()
    assert [(row["item"], row["qty"]) for row in b.there("Sale", "S-1")["items"]] == [("A", 5), ("B", 1)]


class Levies(ModelCentral):
    def _insert(self, doctype, body, *, owner):
        taxes = {"taxes": [*body["taxes"], {"tax": "levy"}]} if doctype == "Sale" else {}
        return super()._insert(doctype, {**body, **taxes}, owner=owner)


def test_rows_that_only_the_central_knows_stay_when_the_last_own_one_goes():
    b = a_branch(central=Levies)
    b.create("Sale", "S-1", taxes=[{"name": "l1", "tax": "vat"}])
    b.run()
    b.update("Sale", "S-1", taxes=[])
    b.run()
    there = b.there("Sale", str(b.line_of("Sale", "S-1").central_name))
    assert [row["tax"] for row in there["taxes"]] == ["levy"]


class Shy(ModelCentral):
    def fetch(self, doctype, name):
        return NOT_ALLOWED if doctype == "Secret" else super().fetch(doctype, name)

    def find_created_since(self, doctype, since):
        return NOT_ALLOWED if doctype == "Secret" else super().find_created_since(doctype, since)


@pytest.mark.parametrize("operation", ["delete", "create"])
def test_a_refused_look_up_stops_one_request_and_not_the_outbox(operation):
    b = a_branch(central=Shy)
    if operation == "delete":
        b.synced("Secret", "S-1", city="x")
        first = b.delete("Secret", "S-1")
    else:
        first = b.create("Secret", "S-1", city="x")
        b.answer(LOST)
    b.run()
    others = [b.create("ToDo", f"T-{i}", text=str(i)) for i in range(5)]
    for _ in range(50):
        b.run()
        b.later(60)
    assert {b.status(other) for other in others} == {Status.SYNCED}
    assert b.status(first) is Status.NEEDS_ATTENTION


def test_a_submit_that_the_central_is_at_work_on_is_waited_for():
    b = a_branch()
    there = b.synced("Journal Entry", "J-1", city="x")
    r = b.submit("Journal Entry", "J-1")
    b.answer(Reply(status=200, is_json=True, body={"data": dict(b.there("Journal Entry", there))}))
    b.answer(*[refused(417, "DocumentLockedError")] * 100)
    for _ in range(300):  # five minutes; it gives up after half a minute
        b.run()
        b.later(1)
    assert b.status(r) is not Status.NEEDS_ATTENTION


def test_a_conflict_found_by_a_run_that_was_killed_is_decided_by_the_next(monkeypatch):
    class Killed(BaseException):
        pass

    def die(*_):
        raise Killed

    b = a_branch()
    b.central.edit("Customer", b.synced("Customer", "C-1", city="x"), city="y")
    b.update("Customer", "C-1", city="z")
    with monkeypatch.context() as patch:
        patch.setattr(b.central, "instant", die)
        with pytest.raises(Killed):
            b.run()
    b.later(600)
    b.run()
    assert not b.conflict().pending


def test_made_anew_keeps_a_name_that_the_branch_gives():
    b = a_branch(config=Config(default_strategy=Strategy.LOCAL_WINS))
    body = {"name": "I-1", "city": "x"}  # as capture writes it for autoname "prompt"
    b.documents.documents["Item", "I-1"] = {**body, "docstatus": 0}
    b.queue(Operation.CREATE, "Item", "I-1", body, unique={"name": "I-1"})
    b.run()
    b.central.remove("Item", "I-1")
    b.update("Item", "I-1", city="y")
    b.run()
    assert b.names_there("Item") == ["I-1"]


def test_what_is_sent_whole_holds_no_null():
    b = a_branch()
    b.documents.documents["Item", "I-1"] = {"name": "I-1", "docstatus": 0, "due": None, "city": "a"}
    r = b.update("Item", "I-1", city="b")
    b.run()
    actions.send_whole(b.ports, r, by="ann")
    b.run()
    assert json.loads(str(b.sent()[2]))["due"] == ""


def test_discarding_a_submit_holds_what_waited_for_it():
    b = a_branch()
    b.synced("Order", "O-1", city="x")
    b.central.online = False
    submit = b.submit("Order", "O-1")
    invoice = b.create("Invoice", "I-1", links={"order": "Order"}, order="O-1")
    b.run()
    actions.discard(b.ports, submit, reason="wrong", by="ann")
    assert b.status(invoice) is Status.NEEDS_ATTENTION


def test_discarding_a_create_holds_everything_that_links_to_it():
    b = a_branch()
    b.central.online = False
    create = b.create("Customer", "C-1", city="x")
    sales = [b.create("Sale", f"S-{i}", links={"customer": "Customer"}, customer="C-1") for i in range(130)]
    b.run()
    actions.discard(b.ports, create, reason="wrong", by="ann")
    assert {b.status(sale) for sale in sales} == {Status.NEEDS_ATTENTION}


def test_a_clock_set_back_by_hours_delays_no_retry():
    b = a_branch()
    r = b.create("Customer", "C-1", city="x")
    b.answer(refused(417, "ValidationError"))
    b.run()
    b.clock.jump(-5 * 3600)
    b.later(400)
    b.run()
    assert b.status(r) is Status.SYNCED


def test_a_discarded_call_leaves_no_open_conflict():
    b = a_branch(config=ASK)
    r = b.call()
    b.answer(refused(409, None))
    b.run()
    actions.discard(b.ports, r, reason="wrong", by="ann")
    with b.store.transaction():
        assert b.store.conflicts() == []


def test_credentials_that_are_good_again_are_no_failure():
    b = a_branch()
    r = b.create("Customer", "C-1", city="x")
    b.central.answers_all = refused(401, "AuthenticationError")
    b.run()
    actions.discard(b.ports, r, reason="wrong", by="ann")
    b.central.answers_all = None
    b.run(force=True)
    with b.store.transaction():
        told = sync_status(b.store)
    assert told["state"] == "idle"
    assert told["line"] == "closed"


def test_a_doubt_settled_after_an_outage_closes_the_breaker(monkeypatch):
    b = a_branch()
    b.create("Customer", "C-1", city="x", request={"unique": {"city": "x"}})
    b.answer(LOST, applies=True)
    with monkeypatch.context() as patch:
        patch.setattr(b.central, "probe", lambda: NOT_SENT)
        b.run()
    b.later(200)
    b.run()
    with b.store.transaction():
        assert sync_status(b.store)["line"] == "closed"


def test_each_outcome_is_told():
    b = a_branch()
    b.create("Customer", "C-1", city="x", request={"unique": {"city": "x"}})
    b.answer(LOST, applies=True)
    b.run()
    assert b.events.of("sync-outcome")[-1]["status"] == "Synced"


def test_a_submit_refused_for_permission_is_looked_up_first():
    b = a_branch()
    there = b.synced("Order", "O-1", city="x")
    r = b.submit("Order", "O-1")
    b.central.edit("Order", there, docstatus=1)
    b.answer(NOT_ALLOWED)
    b.run()
    assert b.status(r) is Status.SYNCED


def test_what_was_left_different_stays_so_when_another_field_is_changed() -> None:
    b = a_branch(config=ASK)
    there = b.synced("Customer", "C-1", city="x", phone="1")
    b.central.edit("Customer", there, city="theirs")
    b.update("Customer", "C-1", city="ours")
    b.run()
    b.engine.resolutions.apply(b.pending().id, Resolution.SKIP, by="ann")
    change = b.update("Customer", "C-1", phone="2")
    b.run()
    assert b.status(change) is Status.SYNCED
    assert b.here("Customer", "C-1")["city"] == "ours"
    assert (b.there("Customer", there)["city"], b.there("Customer", there)["phone"]) == ("theirs", "2")


def test_a_cancelled_document_that_the_central_never_had_is_not_sent_whole() -> None:
    b = a_branch()
    b.documents.documents["Order", "O-1"] = {"name": "O-1", "docstatus": 2, "city": "a"}
    r = b.update("Order", "O-1", city="b")
    b.run()
    with pytest.raises(NotAllowed, match="cancelled"):
        actions.send_whole(b.ports, r, by="ann")


def test_discarding_a_submit_lets_go_what_does_not_wait_for_it() -> None:
    b = a_branch()
    b.synced("Order", "O-1", city="x")
    b.synced("Invoice", "I-1", order="", total=1)
    b.central.online = False
    linked = b.update("Invoice", "I-1", links={"order": "Order"}, order="O-1")
    b.run()
    submit = b.submit("Order", "O-1")
    b.run()
    actions.discard(b.ports, submit, reason="wrong", by="ann")
    assert b.status(linked) is Status.PENDING


def test_a_save_that_breaks_while_a_conflict_is_decided_is_that_conflicts_trouble(monkeypatch) -> None:
    b = a_branch(config=Config(default_strategy=Strategy.SERVER_WINS))
    b.central.edit("Customer", b.synced("Customer", "C-1", city="x"), city="y")
    b.update("Customer", "C-1", city="z")
    other = b.create("Customer", "C-2", city="o")

    def breaks(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(b.documents, "write", breaks)
    b.run()
    assert "ZeroDivisionError" in str(b.pending().reason)
    assert b.status(other) is Status.SYNCED


def test_what_is_made_anew_has_its_own_name_the_policys_values_and_no_null_in_its_rows() -> None:
    rows = Schema(fields={"note": FieldKind.TEXT, "qty": FieldKind.NUMBER})
    schema = Schema(
        fields={"city": FieldKind.TEXT},
        tables={"items": rows},
        dynamic={"party": "party_type"},
        named_here=True,
        outgoing={"set_posting_time": 1},
    )
    document = {"name": "I-1", "city": None, "items": [{"name": "r", "note": None, "qty": None}]}
    assert document_body(document, schema) == {
        "name": "I-1",
        "city": "",
        "items": [{"name": "r", "note": "", "qty": 0}],
        "set_posting_time": 1,
    }
    assert document_links({"party": "C-1"}, schema) == ()
