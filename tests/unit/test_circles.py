"""Two documents that link to each other, both made while the line was down."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support import LOST, Branch, a_branch, a_request

from erp_offline_sync.engine.circles import left_out, may_be_empty, without_links
from erp_offline_sync.engine.model import FieldKind, Link, Operation, Policy, Schema, Status, Wire
from erp_offline_sync.testing.doubles import MemoryDocuments

TEXT = FieldKind.TEXT
ROW = Schema(fields={"item": TEXT, "qty": FieldKind.NUMBER}, links={"item": "Item"})
STRICT_ROW = Schema(fields={"item": TEXT}, links={"item": "Item"}, required=frozenset({"item"}))
FREE = Schema(fields={"title": TEXT, "other": TEXT}, links={"other": "B"})
BOUND = Schema(fields={"title": TEXT, "other": TEXT}, links={"other": "A"}, required=frozenset({"other"}))


def a_circle(**schemas: Schema) -> Branch:
    policies = {name: Policy() for name in ("A", "B", "C", "Item", "Sale")}
    branch = a_branch(policies=policies, schemas=schemas)
    branch.central.links = {"A": {"other": "B"}, "B": {"other": "A"}, "C": {"other": "A"}}
    return branch


def linked(branch: Branch, doctype: str, name: str, other: str, target: str, **more: Any) -> str:
    return branch.create(doctype, name, title=name, other=other, links={"other": target}, **more)


def central(branch: Branch, doctype: str) -> dict[str, Any]:
    (only,) = branch.central.documents[doctype].values()
    return dict(only)


def test_a_circle_is_opened_at_the_link_that_may_be_empty_and_closed_by_a_second_update() -> None:
    branch = a_circle(A=FREE, B=FREE)
    one = linked(branch, "A", "a", "b", "B")
    two = linked(branch, "B", "b", "a", "A")
    assert branch.run().reason == "done"
    assert (branch.status(one), branch.status(two)) == (Status.SYNCED, Status.SYNCED)
    assert central(branch, "A")["other"] == central(branch, "B")["name"]
    assert central(branch, "B")["other"] == central(branch, "A")["name"]
    assert [what for _key, what, *_ in branch.central.effects].count("create") == 2
    assert branch.ledger().captured == branch.ledger().applied == 2


def test_a_circle_is_opened_and_closed_in_pushes_as_well() -> None:
    branch = a_circle(A=FREE, B=FREE)
    branch.central.has_companion = True
    requests = [linked(branch, "A", "a", "b", "B"), linked(branch, "B", "b", "a", "A")]
    assert branch.run().reason == "done"
    assert [branch.status(each) for each in requests] == [Status.SYNCED] * 2
    assert central(branch, "A")["other"] == central(branch, "B")["name"]
    assert central(branch, "B")["other"] == central(branch, "A")["name"]
    assert branch.central.delivered == []


@pytest.mark.parametrize("bound", ["A", "B"])
def test_the_one_that_cannot_go_without_its_link_waits_for_the_other(bound: str) -> None:
    branch = a_circle(**{"A": FREE, "B": FREE, bound: BOUND})
    requests = [linked(branch, "A", "a", "b", "B"), linked(branch, "B", "b", "a", "A")]
    assert branch.run().reason == "done"
    assert [branch.status(each) for each in requests] == [Status.SYNCED] * 2
    free = "B" if bound == "A" else "A"
    assert [body.get("other") for _key, what, where, body in branch.central.effects if what == "create"] == [
        None,
        central(branch, free)["name"],
    ]
    assert central(branch, free)["other"] == central(branch, bound)["name"]


def test_a_circle_of_three_is_opened_where_it_can_be() -> None:
    branch = a_circle(A=BOUND, B=BOUND, C=FREE)
    requests = [
        linked(branch, "A", "a", "b", "B"),
        linked(branch, "B", "b", "c", "C"),
        linked(branch, "C", "c", "a", "A"),
    ]
    branch.central.links = {"A": {"other": "B"}, "B": {"other": "C"}, "C": {"other": "A"}}
    assert branch.run().reason == "done"
    assert [branch.status(each) for each in requests] == [Status.SYNCED] * 3
    assert central(branch, "C")["other"] == central(branch, "A")["name"]


def test_where_no_link_may_be_empty_a_person_is_asked() -> None:
    branch = a_circle(A=BOUND, B=BOUND)
    requests = [linked(branch, "A", "a", "b", "B"), linked(branch, "B", "b", "a", "A")]
    branch.run()
    (held,) = [each for each in requests if branch.status(each) is Status.NEEDS_ATTENTION]
    assert "link to each other" in str(branch.get(held).error_message)
    assert branch.central.delivered == []


def test_a_submitted_create_keeps_its_links() -> None:
    branch = a_circle(A=FREE, B=FREE)
    one = linked(branch, "A", "a", "b", "B")
    with branch.store.transaction():
        row = branch.store.get(one)
        assert row is not None
        branch.store.replace(type(row)(**{**_fields(row), "body": {**row.body, "docstatus": 1}}))
    linked(branch, "B", "b", "a", "A")
    branch.run()
    bodies = [json.loads(wire.body or "{}") for _key, wire in branch.central.delivered]
    assert "other" not in bodies[0]
    assert bodies[0]["title"] == "b"
    assert bodies[1]["docstatus"] == 1
    assert bodies[1]["other"]


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def test_a_document_that_links_to_itself_is_made_and_then_linked() -> None:
    branch = a_circle(A=FREE)
    branch.central.links = {"A": {"other": "A"}}
    request = linked(branch, "A", "a", "a", "A")
    assert branch.run().reason == "done"
    assert branch.status(request) is Status.SYNCED
    assert central(branch, "A")["other"] == central(branch, "A")["name"]


def test_one_that_must_link_to_itself_is_held() -> None:
    branch = a_circle(A=BOUND)
    request = linked(branch, "A", "a", "a", "A")
    branch.run()
    assert branch.status(request) is Status.NEEDS_ATTENTION


def test_a_link_in_a_row_is_left_out_and_set_with_its_row_kept() -> None:
    sale = Schema(fields={"title": TEXT}, tables={"items": ROW})
    item = Schema(fields={"title": TEXT, "other": TEXT}, links={"other": "Sale"})
    branch = a_circle(Sale=sale, Item=item)
    branch.central.links = {"Sale": {"items.item": "Item"}, "Item": {"other": "Sale"}}
    rows = [{"name": "r1", "item": "i", "qty": 1}, {"name": "r2", "item": "", "qty": 2}]
    one = branch.create("Sale", "s", title="s", items=rows, links={"items.0.item": "Item"})
    two = linked(branch, "Item", "i", "s", "Sale")
    assert branch.run().reason == "done"
    assert (branch.status(one), branch.status(two)) == (Status.SYNCED, Status.SYNCED)
    there = central(branch, "Sale")
    assert [(row["item"], row["qty"]) for row in there["items"]] == [
        (central(branch, "Item")["name"], 1),
        ("", 2),
    ]
    assert len({row["name"] for row in there["items"]}) == 2


def test_a_later_change_of_the_link_is_not_undone_by_the_second_update() -> None:
    branch = a_circle(A=FREE, B=FREE)
    linked(branch, "A", "a", "b", "B")
    linked(branch, "B", "b", "a", "A")
    branch.create("B", "c", title="c", other="")
    branch.update("A", "a", other="c", links={"other": "B"})
    assert branch.run().reason == "done"
    name = branch.line_of("B", "c").central_name
    assert central(branch, "A")["other"] == name


def test_an_answer_that_got_lost_does_not_lose_the_link() -> None:
    branch = a_circle(A=FREE, B=FREE)
    one = linked(branch, "A", "a", "b", "B")
    linked(branch, "B", "b", "a", "A")
    branch.answer(LOST, applies=True)
    branch.run()
    branch.later(600)
    branch.run()
    assert branch.status(one) is Status.SYNCED
    assert central(branch, "A")["other"] == central(branch, "B")["name"]
    assert set(branch.statuses()) == {Status.SYNCED}


def test_what_stands_between_for_another_reason_opens_no_circle() -> None:
    """B waits for A by its order group, and A links to B: neither can go without the other's turn."""
    branch = a_circle(A=BOUND, B=FREE)
    one = linked(branch, "A", "a", "b", "B", request={"order_group": "stock"})
    branch.create("B", "b", title="b", request={"order_group": "stock"})
    branch.run()
    assert branch.status(one) is Status.NEEDS_ATTENTION


@pytest.mark.parametrize(
    ("schema", "path", "empty"),
    [
        (None, "other", True),
        (FREE, "other", True),
        (BOUND, "other", False),
        (Schema(fields={}, tables={"items": ROW}), "items.0.item", True),
        (Schema(fields={}, tables={"items": STRICT_ROW}), "items.0.item", False),
        (Schema(fields={}), "items.0.item", True),
    ],
)
def test_a_field_may_be_empty_unless_the_schema_says_otherwise(
    schema: Schema | None, path: str, empty: bool
) -> None:
    assert may_be_empty(schema, path) is empty


def test_only_the_values_at_the_paths_are_left_out() -> None:
    body = {"a": 1, "b": 2, "rows": [{"x": 1, "y": 2}, {"x": 3}]}
    links = [Link(path=path, doctype="T", name="n") for path in ("a", "rows.0.x")]
    assert without_links(body, links) == {"b": 2, "rows": [{"y": 2}, {"x": 3}]}
    assert body["rows"][0] == {"x": 1, "y": 2}  # type: ignore[index]


def test_only_a_create_with_bytes_leaves_something_out() -> None:
    links = (Link(path="other", doctype="B", name="b"),)
    create = {"operation": Operation.CREATE, "body": {"other": "b"}, "links": links}
    assert left_out(a_request(**create)) == ()
    assert left_out(a_request(links=links, wire=Wire(method="PUT", path="/api/x", body="{}"))) == ()
    without = Wire(method="POST", path="/api/resource/A", body="{}")
    assert left_out(a_request(**create, wire=without)) == links
    whole = Wire(method="POST", path="/api/resource/A", body='{"other":"b"}')
    assert left_out(a_request(**create, wire=whole)) == ()


def test_without_documents_of_its_own_it_works_as_well() -> None:
    branch = a_branch(documents=MemoryDocuments(), policies={"A": Policy(), "B": Policy()})
    one = branch.create("A", "a", other="b", links={"other": "B"})
    branch.create("B", "b", other="a", links={"other": "A"})
    branch.run()
    assert branch.status(one) is Status.SYNCED
