"""The companion on a real central: what a branch pushes over HTTP, and what stands there afterwards."""

from __future__ import annotations

import gzip
import json
import threading
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.push import (
    LIMITS,
    PushAnswer,
    PushRequest,
    RowPatch,
    item_text,
    packed,
    parse_answer,
    parse_capabilities,
    parse_receipts,
    push_text,
)

PUSH = "/api/method/erp_offline_sync.receiver.push"
RECEIPTS = "/api/method/erp_offline_sync.receiver.receipts"
CAPABILITIES = "/api/method/erp_offline_sync.receiver.capabilities"
NOTE, SALE, CUSTOMER = "Shop Note", "Shop Sale", "Shop Customer"
BRANCH_ROLE = "Offline Sync Branch"


class Till:
    """A branch, as far as the central can see it."""

    def __init__(self, rest: Any, origin: str | None = None) -> None:
        self.rest = rest
        self.origin = origin or str(uuid4())
        self.run, self.run_key, self.home, self.low_water = 1, "key-1", None, 1
        self._numbers = count(1)

    def note(self, title: str = "a note", **values: Any) -> PushRequest:
        return self.request(Operation.CREATE, NOTE, values={"title": title, **values})

    def request(self, operation: Operation, doctype: str | None = None, **more: Any) -> PushRequest:
        number = next(self._numbers)
        return PushRequest(
            id=f"{self.origin}-{number}", number=number, operation=operation, doctype=doctype, **more
        )

    def body(self, *requests: PushRequest, **changed: Any) -> bytes:
        head = {"run": self.run, "run_key": self.run_key, "home": self.home, "low_water": self.low_water}
        head |= {"origin": self.origin, "language": "en", "seconds": 60, "site": "till.example"}
        return packed(push_text(**{**head, **changed}, items=[item_text(each) for each in requests]))

    def send(self, body: bytes, content_type: str = "application/gzip") -> Any:
        return self.rest.post(PUSH, data=body, headers={"Content-Type": content_type})

    def push(self, *requests: PushRequest, **changed: Any) -> PushAnswer:
        answer = self.send(self.body(*requests, **changed))
        assert answer.status_code == 200, answer.text
        return parse_answer(answer.json()["message"], [each.id for each in requests])

    def outcomes(self, *requests: PushRequest, **changed: Any) -> list[str]:
        return [each.outcome.value for each in self.push(*requests, **changed).outcomes]

    def one(self, request: PushRequest, **changed: Any) -> Any:
        (outcome,) = self.push(request, **changed).outcomes
        return outcome

    def done(self, request: PushRequest, **changed: Any) -> Any:
        outcome = self.one(request, **changed)
        assert outcome.outcome.value == "applied", (outcome.exc_type, outcome.message)
        return outcome

    def refused(self, *requests: PushRequest, **changed: Any) -> tuple[int, str]:
        return told(self.send(self.body(*requests, **changed)))

    def receipts(self, *requests: PushRequest) -> list[str]:
        ids = [each.id for each in requests]
        answer = self.rest.post(RECEIPTS, json={"origin": self.origin, "ids": ids})
        assert answer.status_code == 200, answer.text
        return [each.state.value for each in parse_receipts(answer.json()["message"], ids).values()]


def told(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["exc_type"]


@pytest.fixture
def till(rig: Any, companion: Any) -> Till:
    rig.empty()
    return Till(companion.user("till@shop.example", BRANCH_ROLE, "Shop User"))


@pytest.fixture
def shop(till: Till, companion: Any) -> dict[str, str]:
    companion.insert({"doctype": "Shop Item", "item_code": "TEA", "item_name": "Tea"})
    customer = companion.insert({"doctype": "Shop Customer", "customer_name": "Ann"})
    return {"customer": customer["name"], "item": "TEA"}


def sale(shop: dict[str, str], *quantities: float, **values: Any) -> dict[str, Any]:
    rows = [{"item": shop["item"], "qty": qty, "rate": 2} for qty in quantities or (1,)]
    return {"customer": shop["customer"], "items": rows, **values}


def noted(companion: Any, title: str = "a note") -> int:
    return companion.count(NOTE, {"title": title})


# What a request does


def test_a_document_lives_its_life_by_pushes(till: Till, shop: dict[str, str], companion: Any) -> None:
    made = till.done(till.request(Operation.CREATE, SALE, values=sale(shop, 1, 2)))
    assert (made.outcome.value, made.docstatus) == ("applied", 0)
    assert made.document["total"] == 6
    saved = till.done(
        till.request(
            Operation.UPDATE, SALE, name=made.name, version=made.version, values={"remarks": "50% of O'Brien"}
        )
    )
    assert saved.document["remarks"] == "50% of O'Brien"
    submitted = till.done(till.request(Operation.SUBMIT, SALE, name=made.name, version=saved.version))
    assert (submitted.docstatus, submitted.document["status"]) == (1, "Unpaid")
    cancelled = till.done(till.request(Operation.CANCEL, SALE, name=made.name, version=submitted.version))
    assert cancelled.docstatus == 2
    deleted = till.done(till.request(Operation.DELETE, SALE, name=made.name, version=cancelled.version))
    assert (deleted.outcome.value, deleted.document) == ("applied", None)
    assert not companion.exists(SALE, made.name)


def test_the_answer_is_the_document_as_rest_would_give_it(till: Till, shop: dict[str, str]) -> None:
    """Read anew after all its code ran: a submit moves the version once more behind the save's back."""
    made = till.done(till.request(Operation.CREATE, SALE, values=sale(shop, docstatus=1)))
    read = till.rest.get(f"/api/resource/{SALE}/{made.name}").json()["data"]
    assert made.version == read["modified"]
    assert made.docstatus == 1
    mine = {key: value for key, value in read.items() if not key.startswith("_") and key != "items"}
    assert {key: made.document[key] for key in mine} == mine
    for row, answered in zip(read["items"], made.document["items"], strict=True):
        known = {key: value for key, value in answered.items() if value is not None}
        assert known == {
            key: value for key, value in row.items() if not key.startswith("_") and value is not None
        }


def test_rows_change_one_by_one_and_the_central_s_own_stay(
    till: Till, shop: dict[str, str], companion: Any
) -> None:
    made = till.done(till.request(Operation.CREATE, SALE, values=sale(shop, 1, 2, 3)))
    first, second, third = (row["name"] for row in made.document["items"])

    def add(name):
        import frappe

        doc = frappe.get_doc("Shop Sale", name)
        doc.items[1].rate = 9
        doc.append("items", {"item": "TEA", "qty": 7, "rate": 1})
        doc.save()
        return str(doc.modified)

    companion.run(add, made.name)
    version = str(companion.get(SALE, made.name)["modified"])
    patch = RowPatch(
        changed={second: {"qty": 20}}, added=({"item": "TEA", "qty": 4, "rate": 2},), removed=(first,),
        order=(third, None, second),
    )  # fmt: skip
    done = till.done(
        till.request(Operation.UPDATE, SALE, name=made.name, version=version, rows={"items": patch})
    )
    rows = done.document["items"]
    assert [(row["idx"], row["qty"], row["rate"]) for row in rows] == [
        (1, 3, 2),
        (2, 7, 1),
        (3, 4, 2),
        (4, 20, 9),
    ]
    assert (rows[0]["name"], rows[3]["name"]) == (third, second)


def test_a_rename_and_a_delete_of_what_is_gone(till: Till, shop: dict[str, str], companion: Any) -> None:
    item = companion.get("Shop Item", "TEA")
    renamed = till.done(
        till.request(
            Operation.RENAME, "Shop Item", name="TEA", version=str(item["modified"]), new_name="GREEN TEA"
        )
    )
    assert (renamed.outcome.value, renamed.name) == ("applied", "GREEN TEA")
    gone = till.request(Operation.DELETE, NOTE, name="never there", version="v")
    assert till.one(gone).outcome.value == "applied"
    assert till.receipts(gone) == ["applied"]


def test_a_create_gets_the_branch_s_name_and_none_that_is_taken(till: Till, shop: dict[str, str]) -> None:
    first = till.done(till.request(Operation.CREATE, SALE, values=sale(shop), set_name="TILL-1/00001"))
    assert first.name == "TILL-1/00001"
    second = till.one(till.request(Operation.CREATE, SALE, values=sale(shop, 5), set_name="TILL-1/00001"))
    assert (second.outcome.value, second.exc_type) == ("conflict", "DuplicateEntryError")
    assert second.document["items"][0]["qty"] == 1


def test_fields_that_are_nobody_s_to_set_are_left_out(till: Till) -> None:
    made = till.done(
        till.note(
            owner="Administrator", creation="2001-01-01", save="x", flags={"a": 1}, nonsense=1, weight=3
        )
    )
    assert made.document["owner"] == "till@shop.example"
    assert made.document["weight"] == 3
    assert "nonsense" not in made.document


def test_calls_go_to_whitelisted_methods_alone_with_their_own_verb(till: Till, shop: dict[str, str]) -> None:
    name = till.done(till.request(Operation.CREATE, SALE, values=sale(shop, docstatus=1))).name
    pay = "/api/method/eos_test_app.test_shop.doctype.shop_sale.shop_sale.pay"

    def call(path: str, method: str = "POST", **values: Any) -> Any:
        return till.one(till.request(Operation.CALL, method=method, path=path, values=values))

    paid = call(pay, sale=name, amount=2)
    assert (paid.outcome.value, paid.message) == ("applied", None)
    assert till.rest.get(f"/api/resource/{SALE}/{name}").json()["data"]["paid_amount"] == 2
    for refused in (
        call(pay, "DELETE", sale=name, amount=2),
        call("/api/method/frappe.db.sql", query="select 1"),
        call("/api/method/erp_offline_sync.receiver.push"),
        call("/api/method/logout"),
        call("/api/method/frappe.handler.logout"),
        call("/api/resource/Shop Sale"),
    ):
        assert refused.outcome.value == "rejected"
    assert call(pay, sale=name).exc_type == "TypeError"


# Once and no more


def test_a_repeated_push_is_answered_as_before_and_does_nothing(till: Till, companion: Any) -> None:
    requests = [till.note(), till.note()]
    body = till.body(*requests)
    first, second = (till.send(body).json()["message"]["outcomes"] for _ in range(2))
    assert [each["outcome"] for each in first] == ["applied", "applied"]
    assert [each["outcome"] for each in second] == ["duplicate", "duplicate"]
    assert [{**each, "outcome": "applied"} for each in second] == first
    assert noted(companion) == 2
    assert companion.count("Sync Receipt", {"outcome": "applied"}) == 2
    companion.save(NOTE, first[0]["name"], body="moved since")
    assert "document" not in till.send(body).json()["message"]["outcomes"][0]


def test_the_same_id_with_another_content_is_a_mismatch(till: Till, companion: Any) -> None:
    request = till.note()
    till.push(request)
    other = PushRequest(
        id=request.id, number=request.number, operation=Operation.CREATE, doctype=NOTE, values={"title": "b"}
    )
    assert till.outcomes(other) == ["mismatch"]
    assert noted(companion, "b") == 0


def test_below_the_low_water_mark_a_receipt_still_counts_and_nothing_is_applied(
    till: Till, companion: Any
) -> None:
    early, known, late = till.note(), till.note(), till.note()
    till.push(known)
    assert till.outcomes(late, low_water=3) == ["applied"]
    assert till.outcomes(early, known) == ["too_old", "duplicate"]
    assert noted(companion) == 2


def test_receipts_answer_only_what_was_applied_and_only_to_their_branch(till: Till, companion: Any) -> None:
    applied, refused, unknown = till.note(), till.note(customer="nobody"), till.note()
    till.push(applied, refused)
    assert till.receipts(applied, refused, unknown) == ["applied", "none", "none"]
    other = companion.user("other@shop.example", BRANCH_ROLE, "Shop User")
    answer = other.post(RECEIPTS, json={"origin": till.origin, "ids": [applied.id]})
    assert told(answer) == (403, "OriginOfAnother")
    for wrong in ({"origin": "", "ids": [applied.id]}, {"origin": till.origin, "ids": [7]}):
        assert told(till.rest.post(RECEIPTS, json=wrong)) == (400, "UnreadablePush")
    too_many = till.rest.post(RECEIPTS, json={"origin": till.origin, "ids": ["x"] * 201})
    assert told(too_many) == (413, "PushTooLarge")


def test_two_deliveries_at_once_have_one_effect(rig: Any, till: Till, companion: Any) -> None:
    """On SQLite requests may wait for the one that writes, so that the second comes when all is done."""
    meanwhile = {"mariadb": {"running"}, "sqlite": {"running", "duplicate", "applied"}}
    sign = companion.scratch("sign")
    request = till.note("takes its time", body=str(sign))
    body, answers = till.body(request), []
    from site_rig.client import Rest, wait_until

    def deliver() -> None:
        rest = Rest(till.rest.url)
        rest.session.headers.update(till.rest.session.headers)
        answers.append(Till(rest).send(body).json()["message"]["outcomes"][0]["outcome"])

    thread = threading.Thread(target=deliver)
    thread.start()
    wait_until(sign.exists)
    again = till.send(body).json()["message"]["outcomes"][0]["outcome"]
    assert {again, *till.receipts(request)} <= meanwhile[rig.facts["database"]]
    thread.join()
    assert answers == ["applied"]
    assert till.outcomes(request) == ["duplicate"]
    assert noted(companion, "takes its time") == 1


def test_a_worker_that_dies_after_its_claim_leaves_nothing_and_the_same_bytes_may_come_again(
    till: Till, companion: Any
) -> None:
    import requests

    turns = companion.scratch("turns")
    request = till.note("kills its worker once", body=str(turns))
    with pytest.raises(requests.ConnectionError):
        till.push(request)
    from site_rig.client import wait_until

    wait_until(lambda: till.rest.get("/api/method/ping").ok)
    assert till.outcomes(request) == ["running"]
    companion.call("frappe.db.sql", "update `tabSync Receipt` set claimed_until = '2001-01-01'")
    assert till.receipts(request) == ["none"]
    assert till.outcomes(request) == ["applied"]
    assert turns.read_bytes() == b".."
    assert noted(companion, "kills its worker once") == 1


def test_a_worker_that_dies_leaves_no_other_request_of_its_push_claimed(till: Till, companion: Any) -> None:
    """The commit of the one before has claimed the one that killed it, and nothing beyond."""
    import requests

    killer = till.note("kills its worker once", body=str(companion.scratch("turns")))
    pushed = [till.note(), killer, till.note(), till.note()]
    with pytest.raises(requests.ConnectionError):
        till.push(*pushed)
    from site_rig.client import wait_until

    wait_until(lambda: till.rest.get("/api/method/ping").ok)
    assert till.receipts(*pushed) == ["applied", "running", "none", "none"]
    assert till.outcomes(*pushed) == ["duplicate", "running", "applied", "applied"]


def test_what_is_known_refused_or_not_to_be_read_leaves_no_claim_beside_what_is_applied(
    till: Till, companion: Any
) -> None:
    known, refused = till.note("known"), till.note("leaves a mess")
    till.done(known)
    pushed = [till.note(), known, till.note(), refused, till.note()]
    assert till.outcomes(*pushed) == ["applied", "duplicate", "applied", "rejected", "applied"]
    assert companion.count("Sync Receipt") == companion.count("Sync Receipt", {"outcome": "applied"}) == 4
    assert till.outcomes(refused, till.note()) == ["rejected", "applied"]


def test_whoever_was_overtaken_undoes_what_it_did(rig: Any, till: Till, companion: Any) -> None:
    """Its claim ran out and another delivery has it now. On SQLite, with its one lock, nobody can take anything over
    while an effect is under way."""
    sign = companion.scratch("sign")
    body = till.body(till.note("takes its time", body=str(sign)))
    answers: list[str] = []
    thread = threading.Thread(
        target=lambda: answers.append(till.send(body).json()["message"]["outcomes"][0]["outcome"])
    )
    sql = "update `tabSync Receipt` set claim_token = 'another'"

    def take_over(sign, sql):
        import os
        import time

        import frappe

        while not os.path.exists(sign):
            time.sleep(0.01)
        frappe.db.sql(sql)

    thread.start()
    companion.start(take_over, str(sign), sql).wait()
    thread.join()
    overtaken = rig.facts["database"] == "mariadb"
    assert answers == ["running" if overtaken else "applied"]
    assert noted(companion, "takes its time") == (0 if overtaken else 1)


# Conflicts, refusals, delays


def test_a_moved_version_is_a_conflict_with_the_central_s_document(till: Till, companion: Any) -> None:
    made = till.done(till.note())
    companion.save(NOTE, made.name, body="changed at the central")
    stale = till.request(Operation.UPDATE, NOTE, name=made.name, version=made.version, values={"title": "b"})
    conflict = till.one(stale)
    assert (conflict.outcome.value, conflict.exc_type) == ("conflict", "TimestampMismatchError")
    assert conflict.document["body"] == "changed at the central"
    assert conflict.version == str(companion.get(NOTE, made.name)["modified"]) != made.version
    again = till.request(
        Operation.UPDATE,
        NOTE,
        name=made.name,
        version=conflict.version,
        values={"title": "b"},
        replaces=stale.id,
    )
    assert till.one(again).document["title"] == "b"
    over = till.request(Operation.UPDATE, NOTE, name=made.name, overwrite=True, values={"title": "c"})
    assert till.one(over).document["title"] == "c"


def test_a_document_that_is_gone_is_a_conflict_without_one(till: Till) -> None:
    gone = till.one(till.request(Operation.UPDATE, NOTE, name="gone", version="v", values={"title": "b"}))
    assert (gone.outcome.value, gone.exc_type, gone.document) == ("conflict", "DoesNotExistError", None)


def test_a_state_that_forbids_it_is_a_conflict(till: Till, shop: dict[str, str]) -> None:
    made = till.done(till.request(Operation.CREATE, SALE, values=sale(shop, docstatus=1)))
    change = till.one(
        till.request(
            Operation.UPDATE,
            SALE,
            name=made.name,
            version=made.version,
            values={"customer": shop["customer"], "posting_date": "2001-01-01", "set_posting_time": 1},
        )
    )
    assert (change.outcome.value, change.exc_type) == ("conflict", "UpdateAfterSubmitError")
    submitted = till.done(till.request(Operation.SUBMIT, SALE, name=made.name, version=made.version))
    assert (submitted.outcome.value, submitted.docstatus) == ("applied", 1)


def test_one_that_is_refused_harms_no_other_and_says_why_in_the_branch_s_language(
    till: Till, shop: dict[str, str], companion: Any
) -> None:
    companion.insert(
        {
            "doctype": "Translation",
            "language": "de",
            "source_text": "Due Date cannot be before Posting Date",
            "translated_text": "Fällig <b>vor</b> der Buchung",
        }
    )
    late = sale(shop, posting_date="2025-01-02", due_date="2025-01-01", set_posting_time=1)
    refused = till.request(Operation.CREATE, SALE, values=late)
    answer = till.push(till.note(), refused, till.note(), language="de")
    assert [each.outcome.value for each in answer.outcomes] == ["applied", "rejected", "applied"]
    told_why = answer.outcomes[1]
    assert (told_why.exc_type, told_why.status) == ("ValidationError", 417)
    assert told_why.message == "Fällig vor der Buchung"
    assert till.push(refused).outcomes[0].message == "Due Date cannot be before Posting Date"
    assert noted(companion) == 2
    assert companion.count(SALE) == 0


def test_what_one_request_changes_the_next_finds_in_no_cache_as_it_was(
    till: Till, shop: dict[str, str], companion: Any
) -> None:
    """Definitions of document types stay cached from one request of a push to the next; values do not."""
    customer = companion.get(CUSTOMER, shop["customer"])
    raised = till.request(
        Operation.UPDATE, CUSTOMER, name=customer["name"], version=customer["modified"],
        values={"credit_limit": 700},
    )  # fmt: skip
    before, after = (till.note("tells what is cached", customer=customer["name"]) for _ in range(2))
    told = till.push(before, raised, after).outcomes
    assert [each.outcome.value for each in told] == ["applied"] * 3
    assert [told[0].document["body"], told[2].document["body"]] == ["0|0", "700|700"]


def test_a_refusal_names_the_missing_field_and_what_is_linked(till: Till, shop: dict[str, str]) -> None:
    mandatory = till.one(till.request(Operation.CREATE, SALE, values={**sale(shop), "customer": None}))
    assert (mandatory.exc_type, mandatory.field) == ("MandatoryError", "customer")
    link = till.one(till.note(customer="nobody"))
    assert (link.outcome.value, link.exc_type, link.status) == ("rejected", "LinkValidationError", 417)
    unknown = till.one(till.request(Operation.CREATE, "No Such Type", values={"a": 1}))
    assert (unknown.outcome.value, unknown.exc_type) == ("rejected", "ImportError")


def test_an_error_of_the_central_s_code_is_that_request_s_and_no_value_is_logged(
    till: Till, companion: Any
) -> None:
    assert till.outcomes(till.note("breaks", body="a secret value"), till.note()) == ["rejected", "applied"]
    (log,) = companion.documents("Error Log", {"method": ("like", "%Offline sync push%")})
    assert "KeyError" in log["method"]
    assert "a secret value" not in json.dumps(log, default=str)


def test_permissions_are_the_user_s_own(till: Till, companion: Any) -> None:
    """Nothing is shown or done that the same user could not do over REST."""
    theirs = companion.insert({"doctype": CUSTOMER, "customer_name": "Bob"})["name"]
    bare = Till(companion.user("bare@shop.example", BRANCH_ROLE))
    for request in (
        bare.request(Operation.CREATE, CUSTOMER, values={"customer_name": "Eve"}),
        bare.request(Operation.UPDATE, CUSTOMER, name=theirs, version="v", values={"customer_name": "Eve"}),
        bare.request(Operation.DELETE, CUSTOMER, name=theirs, version="v"),
        bare.request(Operation.UPDATE, CUSTOMER, name="gone", version="v", values={"customer_name": "Eve"}),
        bare.request(Operation.DELETE, CUSTOMER, name="gone", version="v"),
    ):
        refused = bare.one(request)
        assert (refused.outcome.value, refused.exc_type) == ("rejected", "PermissionError")
        assert (refused.status, refused.document) == (403, None)
    assert companion.get(CUSTOMER, theirs)["customer_name"] == "Bob"


def test_a_submit_left_to_a_job_is_deferred_and_applied_once_the_job_is_done(
    till: Till, shop: dict[str, str], companion: Any
) -> None:
    made = till.done(till.request(Operation.CREATE, SALE, values=sale(shop, remarks="leave it to a job")))
    submit = till.request(Operation.SUBMIT, SALE, name=made.name, version=made.version)
    deferred = till.one(submit)
    assert (deferred.outcome.value, deferred.waits_for) == ("deferred", "a background job of the central")
    assert deferred.retry_after > 1
    assert till.receipts(submit) == ["running"]
    waiting = till.one(submit)
    assert (waiting.outcome.value, waiting.exc_type) == ("deferred", "DocumentLockedError")
    companion.call("frappe.model.document.execute_action", SALE, made.name, "_submit")
    done = till.done(submit)
    assert (done.outcome.value, done.docstatus) == ("applied", 1)
    assert done.version != made.version
    assert till.receipts(submit) == ["applied"]


def test_a_deadlock_is_tried_again_there_and_given_back_after_three(till: Till, companion: Any) -> None:
    twice, always = companion.scratch("twice"), companion.scratch("always")
    answer = till.push(
        till.note("deadlocks twice", body=str(twice)),
        till.note("always deadlocks", body=str(always)),
        till.note(),
    )
    assert [each.outcome.value for each in answer.outcomes] == ["applied", "deferred", "applied"]
    assert (twice.read_bytes(), always.read_bytes()) == (b"...", b"...")
    assert (answer.outcomes[1].exc_type, answer.outcomes[1].retry_after) == ("QueryDeadlockError", 1)
    assert noted(companion, "deadlocks twice") == 1
    assert noted(companion, "always deadlocks") == 0


def test_a_deadlock_with_another_session_undoes_the_push_s_half_and_it_is_applied_once(
    rig: Any, till: Till, companion: Any
) -> None:
    """A real one, where the database has row locks: two transactions ask for each other's row, and the push is the
    one that did less. SQLite has one lock for all: there a session holds it for longer than Frappe waits (15 s)."""
    till.push(till.note())
    if rig.facts["database"] == "sqlite":
        sign = companion.scratch("sign")
        other = companion.start(hold_the_lock, str(sign), 16)
        _until_there(sign)
        assert till.outcomes(till.note("in the way")) == ["applied"]
        other.wait()
        assert noted(companion, "in the way") == 1
        assert companion.count("Sync Receipt", {"outcome": "applied"}) == 2
        return
    first, second = (companion.insert({"doctype": NOTE, "title": each})["name"] for each in "ab")
    turns, sign = companion.scratch("turns"), companion.scratch("sign")
    request = till.note("locks two others", body="|".join((str(turns), str(sign), first, second)))
    other = companion.start(ask_crosswise, str(turns), str(sign), first, second)
    answer = till.push(request, till.note())
    assert other.wait() == "done"
    assert [each.outcome.value for each in answer.outcomes] == ["applied", "applied"]
    assert turns.read_bytes() == b"..", "it was undone once, and then it went through"
    assert till.outcomes(request) == ["duplicate"]
    assert noted(companion, "locks two others") == 1
    # What both did stands, once.
    assert [companion.get(NOTE, name)["weight"] for name in (first, second)] == [4.5, 4.5]


def _until_there(path: Any) -> None:
    from site_rig.client import wait_until

    wait_until(path.exists)


def hold_the_lock(sign, seconds):  # type: ignore[no-untyped-def]
    """Runs on the companion: nobody else writes meanwhile."""
    import time
    from pathlib import Path

    import frappe

    frappe.db.sql("update `tabShop Note` set `weight` = `weight` where `name` = ''")
    Path(sign).touch()
    time.sleep(seconds)


def ask_crosswise(turns, sign, first, second):  # type: ignore[no-untyped-def]
    """Runs on the companion, in one transaction: the other way round than the push."""
    import os
    import time
    from pathlib import Path

    import frappe

    until = time.monotonic() + 20
    while not os.path.exists(turns) and time.monotonic() < until:
        time.sleep(0.01)
    frappe.db.rollback()
    for number in range(300):
        # The one that changed less is undone.
        frappe.get_doc({"doctype": "ToDo", "name": f"heavy-{number}"}).db_insert()
    frappe.db.sql("update `tabShop Note` set `weight` = `weight` + 1 where `name` = %s", (second,))
    Path(sign).touch()
    frappe.db.sql("update `tabShop Note` set `weight` = `weight` + 1 where `name` = %s", (first,))
    return "done"


# Code of the central that does not keep to the rules


def test_a_commit_in_the_middle_is_noticed_and_the_rest_comes_to_stand_with_the_receipt(
    till: Till, companion: Any
) -> None:
    request = till.note("commits")
    assert till.outcomes(request, till.note()) == ["applied", "applied"]
    assert till.outcomes(request) == ["duplicate"]
    assert noted(companion, "commits") == 1


def test_a_commit_followed_by_a_failure_leaves_the_request_in_doubt_for_good(
    till: Till, companion: Any
) -> None:
    request = till.note("commits and fails")
    assert till.outcomes(request, till.note()) == ["in_doubt", "applied"]
    assert till.receipts(request) == ["in_doubt"]
    assert till.outcomes(request) == ["in_doubt"]
    assert noted(companion, "commits and fails") == 1
    assert noted(companion) == 1


def test_a_rollback_in_the_middle_is_no_effect(till: Till, companion: Any) -> None:
    request = till.note("rolls back")
    assert till.outcomes(request, till.note()) == ["rejected", "applied"]
    assert till.receipts(request) == ["none"]
    assert noted(companion, "rolls back") == 0


def test_what_goes_wrong_after_the_commit_does_not_undo_it(till: Till, companion: Any) -> None:
    request = till.note("fails after the commit")
    assert till.outcomes(request, till.note()) == ["applied", "applied"]
    assert noted(companion, "fails after the commit") == 1


def test_what_is_written_after_the_commit_is_of_no_request(till: Till, companion: Any) -> None:
    assert till.outcomes(till.note("writes after the commit"), till.note()) == ["applied", "applied"]
    assert companion.count("ToDo") == 0


def test_nothing_of_one_request_reaches_the_next(till: Till, companion: Any) -> None:
    answer = till.send(till.body(till.note("leaves a mess"), till.note()))
    assert answer.status_code == 200
    assert "_server_messages" not in answer.json()
    refused, made = answer.json()["message"]["outcomes"]
    assert (refused["outcome"], made["outcome"]) == ("rejected", "applied")
    assert made["document"]["owner"] == "till@shop.example"


def test_code_that_changes_the_user_is_answered_as_the_branch_s(till: Till) -> None:
    first, second = till.push(till.note("becomes guest"), till.note()).outcomes
    assert first.document["title"] == "becomes guest"
    assert second.document["owner"] == "till@shop.example"


def test_what_a_push_applies_is_not_captured_for_another_central(till: Till, companion: Any) -> None:
    from site_rig.client import save_settings

    policy = {"document_type": NOTE, "enabled": 1}
    values = {"enabled": 1, "role": "Branch", "central_url": companion.url, "api_key": "k", "api_secret": "s"}
    try:
        companion.run(save_settings, {**values, "policies": [policy]})
        assert till.one(till.note()).outcome.value == "applied"
        assert companion.count("Offline Request") == 0
        companion.insert({"doctype": NOTE, "title": "by a person"})
        assert companion.count("Offline Request") == 1
    finally:
        companion.run(save_settings, {**values, "enabled": 0, "policies": []})


# Pushes that are no pushes


def test_a_bomb_an_oversized_and_a_broken_body_are_refused_and_disturb_nothing(
    till: Till, companion: Any
) -> None:
    bomb = gzip.compress(b"0" * (LIMITS.max_inflated_bytes + 1))
    assert len(bomb) < LIMITS.max_bytes
    assert told(till.send(bomb)) == (413, "PushTooLarge")
    assert told(till.send(b"x" * (LIMITS.max_bytes + 1))) == (413, "PushTooLarge")
    whole = till.body(till.note())
    assert told(till.send(whole[:-5])) == (400, "UnreadablePush")
    assert told(till.send(b"{}")) == (400, "UnreadablePush")
    assert told(till.send(gzip.compress(b'{"schema": 1}'))) == (400, "UnreadablePush")
    assert told(till.send(packed('{"schema": 9}'))) == (400, "UnknownSchema")
    assert told(till.send(whole + whole)) == (400, "UnreadablePush")
    assert told(till.send(whole + b"more")) == (400, "UnreadablePush")
    assert told(till.send(gzip.compress(gzip.compress(whole)))) == (400, "UnreadablePush")
    assert told(till.send(packed("[" * 100_000))) == (400, "UnreadablePush")
    assert told(till.send(b"")) == (400, "UnreadablePush")
    assert told(till.send(whole, "application/octet-stream")) == (400, "UnreadablePush")
    many = [till.note() for _ in range(LIMITS.max_requests + 1)]
    assert till.refused(*many) == (413, "PushTooLarge")
    assert noted(companion) == companion.count("Sync Receipt") == companion.count("Sync Origin") == 0
    assert till.outcomes(till.note()) == ["applied"]


def test_a_request_that_was_changed_on_its_way_is_refused_alone(till: Till, companion: Any) -> None:
    changed, good = json.loads(item_text(till.note())), item_text(till.note())
    changed["values"]["title"] = "forged"
    head = {"origin": till.origin, "run": 1, "run_key": "k", "low_water": 1, "language": None, "seconds": 60}
    answer = till.send(packed(push_text(**head, items=[json.dumps(changed), good])))
    first, second = answer.json()["message"]["outcomes"]
    assert (first["outcome"], first["exc_type"]) == ("rejected", "UnreadableMessage")
    assert second["outcome"] == "applied"
    assert noted(companion, "forged") == 0


def test_what_there_is_no_time_for_is_not_looked_at(till: Till, companion: Any) -> None:
    requests = [till.note() for _ in range(30)]
    answered = till.outcomes(*requests, seconds=0.02)
    assert answered == ["applied"] * len(answered)
    assert 1 <= len(answered) < 30
    assert companion.count("Sync Receipt") == noted(companion) == len(answered)
    assert till.outcomes(*requests) == ["duplicate"] * len(answered) + ["applied"] * (30 - len(answered))


# Who pushes


def test_an_origin_belongs_to_the_user_who_came_with_it_first(till: Till, companion: Any) -> None:
    till.push(till.note())
    other = Till(companion.user("other@shop.example", BRANCH_ROLE, "Shop User"), till.origin)
    assert other.refused(other.note()) == (403, "OriginOfAnother")
    assert noted(companion) == 1


def test_a_push_that_somebody_else_sends_again_is_refused_and_the_branch_s_own_is_answered_as_before(
    till: Till, companion: Any
) -> None:
    body = till.body(till.note(), till.note())
    first = till.send(body).json()["message"]["outcomes"]
    for rest in (companion.user("other@shop.example", BRANCH_ROLE, "Shop User"), companion.guest):
        assert Till(rest).send(body).status_code == 403
    assert till.rest.get(PUSH).status_code in (403, 405), "nothing is pushed by a link"
    again = till.send(body).json()["message"]["outcomes"]
    assert [{**each, "outcome": "applied"} for each in again] == first
    assert noted(companion) == companion.count("Sync Receipt") == 2


def test_a_restored_branch_is_stopped_until_somebody_lets_it_go_on(till: Till, companion: Any) -> None:
    till.run, till.run_key = 7, "seven"
    till.push(till.note())
    till.run, till.run_key = 8, "eight"
    till.push(till.note())
    assert till.refused(till.note(), run=7, run_key="another") == (409, "OriginRestored")
    assert till.refused(till.note()) == (409, "OriginRestored")
    (origin,) = companion.documents("Sync Origin")
    assert (origin["stopped"], origin["stopped_because"], origin["run"]) == (1, "Restored", 8)
    assert noted(companion) == 2
    listed = companion.bench("offline-sync", "branches", check=False)
    assert listed.returncode == 3
    assert "STOPPED (Restored)" in listed.stdout
    companion.bench("offline-sync", "clear-branch", till.origin)
    assert till.outcomes(till.note(), run=7, run_key="another") == ["applied"]


def test_two_sites_with_one_identity_are_both_stopped(till: Till, companion: Any) -> None:
    till.push(till.note())
    assert till.refused(till.note(), run_key="of the copy".replace(" ", "-")) == (409, "OriginCloned")
    assert till.refused(till.note()) == (409, "OriginCloned")
    assert noted(companion) == 1


def test_an_identity_that_comes_from_another_place_is_stopped_before_anything_is_applied(
    till: Till, companion: Any
) -> None:
    till.push(till.note(), home="here")
    assert till.refused(till.note(), home="there", run=9, run_key="nine") == (409, "OriginCloned")
    assert noted(companion) == 1


def test_a_push_that_comes_late_is_refused_and_the_branch_goes_on(till: Till, companion: Any) -> None:
    late = till.body(till.note())
    till.push(till.note(), run=2, run_key="key-2")
    assert told(till.send(late)) == (409, "LatePush")
    assert till.outcomes(till.note(), run=2, run_key="key-2") == ["applied"]
    assert noted(companion) == 2


def test_a_manager_stops_and_clears_a_branch_in_the_desk(till: Till, companion: Any) -> None:
    till.push(till.note())
    manager = companion.user("manager@shop.example", "Offline Sync Manager")
    path = f"/api/resource/Sync Origin/{till.origin}"
    assert manager.put(path, json={"stopped": 1}).status_code == 200
    assert till.refused(till.note()) == (409, "OriginStopped")
    assert manager.put(path, json={"stopped": 0, "low_water": 99, "user": "x"}).status_code == 200
    (origin,) = companion.documents("Sync Origin")
    assert (origin["low_water"], origin["user"]) == (1, "till@shop.example")
    assert till.outcomes(till.note()) == ["applied"]


@pytest.mark.parametrize(
    "role", [None, (), ("Shop User",), ("Offline Sync User",), ("Offline Sync Manager", "System Manager")]
)
def test_the_endpoints_are_the_branches_alone(till: Till, companion: Any, role: Any) -> None:
    rest = companion.guest if role is None else companion.user("someone@shop.example", *role)
    caller = Till(rest, till.origin)
    answers = [
        rest.get(CAPABILITIES),
        rest.post(RECEIPTS, json={"origin": till.origin, "ids": ["a"]}),
        caller.send(caller.body(caller.note())),
        caller.send(b"nonsense"),
    ]
    assert [answer.status_code for answer in answers] == [403] * 4
    assert noted(companion) == companion.count("Sync Origin") == 0


def test_capabilities_say_what_is_taken_and_who_is_asking(till: Till, companion: Any) -> None:
    told_all = parse_capabilities(till.rest.get(CAPABILITIES).json()["message"])
    assert told_all.limits == LIMITS
    assert (told_all.user, told_all.time_zone) == ("till@shop.example", companion.time_zone)


@pytest.mark.parametrize(
    ("roles", "sees"),
    [
        (("Offline Sync Manager", "Shop User"), True),
        (("Offline Sync Manager",), False),
        (("Offline Sync User", "Shop User"), False),
        ((BRANCH_ROLE, "Shop User"), False),
        (("Shop User",), False),
    ],
)
def test_receipts_are_shown_to_managers_who_may_read_the_document(
    till: Till, companion: Any, roles: tuple[str, ...], sees: bool
) -> None:
    till.push(till.note())
    (row,) = companion.documents("Sync Receipt")
    rest = companion.user("reader@shop.example", *roles)
    listed = rest.get("/api/resource/Sync Receipt")
    assert (listed.status_code == 200 and len(listed.json()["data"]) == 1) is sees
    assert (rest.get(f"/api/resource/Sync Receipt/{row['name']}").status_code == 200) is sees
    assert (
        rest.put(f"/api/resource/Sync Receipt/{row['name']}", json={"outcome": "claimed"}).status_code == 403
    )
    manager = "Offline Sync Manager" in roles
    origins = rest.get("/api/resource/Sync Origin")
    assert (origins.status_code == 200 and len(origins.json()["data"]) == 1) is manager


# Upkeep


def test_receipts_go_when_the_branch_has_closed_them_and_they_are_old(till: Till, companion: Any) -> None:
    closed, old, waiting = till.note(), till.note(), till.note()
    till.push(closed, old, waiting)
    till.push(till.note(), low_water=3)
    companion.call(
        "frappe.db.sql",
        "update `tabSync Receipt` set modified = '2001-01-01' where request_id != %s",
        (closed.id,),
    )
    assert companion.call("erp_offline_sync.receiver.claims.purge_old_receipts") == 1
    assert till.receipts(closed, old, waiting) == ["applied", "none", "applied"]
    assert till.outcomes(old) == ["too_old"]


# A new branch


def test_a_branch_is_made_by_one_command_and_can_push_at_once(till: Till, companion: Any) -> None:
    from site_rig.client import Rest

    made = json.loads(
        companion.bench(
            "offline-sync", "add-branch", "Till 7", "--doctype", SALE, "--doctype", NOTE, "--json"
        ).stdout
    )
    assert made["branch"] == "Till 7"
    assert {SALE, NOTE} <= set(made["doctypes"])
    rest = Rest(companion.url, made["api_key"], made["api_secret"])
    seven = Till(rest)
    assert seven.outcomes(seven.note()) == ["applied"]
    (origin,) = companion.documents("Sync Origin")
    assert (origin["branch_name"], origin["user"], origin["site"]) == ("Till 7", made["user"], "till.example")
    assert rest.get("/api/resource/Error Log").status_code == 403
    shopkeeper = companion.user("keeper@shop.example", "Shop User")
    assert shopkeeper.get(f"/api/resource/{SALE}").status_code == 200, "the standard rules still hold"
    again = companion.bench("offline-sync", "add-branch", "Till 7").stdout
    assert "The secret is not shown again" in again
    assert rest.get(CAPABILITIES).status_code == 401
    for wrong in (("till-7",), ("X", "--doctype", "User"), ("X", "--doctype", "Sync Receipt"), ("  ",)):
        assert companion.bench("offline-sync", "add-branch", *wrong, check=False).returncode == 1


def test_a_branch_is_stopped_by_command_with_a_reason_that_it_is_told(till: Till, companion: Any) -> None:
    nobody = companion.bench("offline-sync", "stop-branch", "Nobody", "--reason", "x", check=False)
    assert nobody.returncode == 1
    till.push(till.note())
    companion.bench("offline-sync", "stop-branch", till.origin, "--reason", "moving house")
    answer = till.send(till.body(till.note()))
    assert told(answer) == (409, "OriginStopped")
    assert "moving house" in answer.text
    cleared = companion.bench("offline-sync", "clear-branch", till.origin).stdout
    assert "may push again" in cleared
    assert "was not stopped" in companion.bench("offline-sync", "clear-branch", till.origin).stdout
