"""How a document stands at the central, by the central's own word only."""

from __future__ import annotations

from typing import Any

import pytest
from support import NOON, Branch, a_branch, page, refused

from erp_offline_sync.engine.classify import Verdict
from erp_offline_sync.engine.errors import CentralUnavailable
from erp_offline_sync.engine.model import Document, FieldKind, Reply, Schema
from erp_offline_sync.engine.sending.lookup import Lookup

SCHEMA = Schema(fields={"total": FieldKind.NUMBER})


@pytest.fixture
def lookup(branch: Branch) -> Lookup:
    return Lookup(branch.ports)


def test_a_document_is_there_or_certainly_not_there(branch: Branch, lookup: Lookup) -> None:
    branch.central.insert("Sale", "S 1/2", total=5)
    found = lookup.fetch("Sale", "S 1/2")
    assert found is not None
    assert found["total"] == 5
    assert lookup.fetch("Sale", "S-2") is None


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (page(404), Verdict.CONFIGURATION),
        (page(200), Verdict.NOT_NOW),
        (refused(401, "AuthenticationError"), Verdict.CREDENTIALS),
        (refused(500, "QueryDeadlockError"), Verdict.CONTENTION),
    ],
)
def test_whatever_is_no_proper_answer_says_nothing_about_the_document(
    branch: Branch, lookup: Lookup, answer: Reply, verdict: Verdict
) -> None:
    """A 404 of a proxy is not a deleted document."""
    branch.central.answers_all = answer
    for look in (
        lambda: lookup.fetch("Sale", "S-1"),
        lambda: lookup.find("Sale", {"total": 5}),
        lambda: lookup.created_since("Sale", NOON),
    ):
        with pytest.raises(CentralUnavailable) as trouble:
            look()
        assert trouble.value.outcome.verdict is verdict


def test_documents_are_found_by_a_value(branch: Branch, lookup: Lookup) -> None:
    for name, total in (("S-1", 5), ("S-2", 6), ("S-3", 5)):
        branch.central.insert("Sale", name, total=total)
    assert lookup.find("Sale", {"total": 5}) == ["S-1", "S-3"]
    assert lookup.find("Sale", {"total": 7}) == []


def test_what_our_user_made_and_nothing_of_ours_is_linked_to_may_be_a_lost_request(
    branch: Branch, lookup: Lookup
) -> None:
    branch.synced("Sale", "S-1", total=5)
    began = branch.clock.now()
    assert lookup.created_since("Sale", began) == []
    branch.later(60)
    lost = branch.clock.now()
    branch.central.insert("Sale", "THEIRS", total=5)
    branch.central.user, somebody = "boss@example.com", branch.central.user
    assert lookup.created_since("Sale", lost) == ["THEIRS"]
    branch.central.user = somebody
    assert lookup.created_since("Sale", lost) == []


def test_more_documents_than_one_answer_shows_are_too_many_to_tell(branch: Branch, lookup: Lookup) -> None:
    branch.central.user = "boss@example.com"
    for number in range(50):
        assert lookup.created_since("Sale", branch.clock.now()) is not None
        branch.central.insert("Sale", f"S-{number}")
    assert lookup.created_since("Sale", branch.clock.now()) is None


@pytest.mark.parametrize(
    ("base", "central", "expected"),
    [
        ({"total": 5}, {"total": 5.0, "modified": "new"}, False),
        ({"total": 5}, {"total": 6}, True),
        ({"total": 5}, {"total": 5, "docstatus": 1}, True),
        ({"total": 5, "docstatus": 1}, {"total": 5, "docstatus": 1}, False),
        ({"total": 5, "docstatus": None}, {"total": 5, "docstatus": 0}, False),
        ({"total": 5, "outstanding": 5}, {"total": 5, "outstanding": 0}, False),
        (None, {"total": 5}, True),
    ],
)
def test_a_document_moved_where_a_synced_field_or_its_state_did(
    base: Any, central: dict[str, Any], expected: bool
) -> None:
    """Without a base nothing can be said, so that it counts as moved."""
    lookup = Lookup(a_branch(schemas={"Sale": SCHEMA}).ports)
    document = Document(id="l1", doctype="Sale", local_name="S-1", base=base)
    assert lookup.moved(document, central) is expected


@pytest.mark.parametrize(
    ("central", "docstatus", "expected"),
    [
        ({"total": 5, "docstatus": 0}, None, True),
        ({"total": 5, "docstatus": 1}, 1, True),
        ({"total": 5}, 0, True),
        ({"total": 5, "docstatus": 0}, 1, False),
        ({"total": 6, "docstatus": 1}, 1, False),
    ],
)
def test_the_central_holds_what_was_sent_in_the_wanted_state(
    lookup: Lookup, central: dict[str, Any], docstatus: int | None, expected: bool
) -> None:
    assert lookup.holds(central, {"total": 5}, "Sale", docstatus) is expected


@pytest.mark.parametrize(
    ("local", "central", "expected"),
    [
        ({"creation": "2026-01-01 10:00:00", "total": 5}, {"creation": "2026-01-01 10:00:00"}, True),
        ({"creation": "2026-01-01 10:00:00", "total": 5}, {"creation": "other", "total": 5}, True),
        ({"total": 5}, {"creation": "other", "total": 6}, False),
        ({"creation": "", "total": 5}, {"creation": "", "total": 6}, False),
    ],
)
def test_two_documents_are_the_same_if_made_at_one_instant_or_equal(
    lookup: Lookup, local: dict[str, Any], central: dict[str, Any], expected: bool
) -> None:
    assert lookup.same_document(local, central, "Sale") is expected
