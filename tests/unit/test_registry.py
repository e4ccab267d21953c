"""Hooks that decide conflicts: who is asked, with what, and what may be answered."""

from __future__ import annotations

from typing import Any

import pytest
from support import NOON, a_conflict

from erp_offline_sync.engine.errors import InvalidRequest
from erp_offline_sync.engine.identity import canonical_json
from erp_offline_sync.engine.merge import merge
from erp_offline_sync.engine.model import Resolution
from erp_offline_sync.engine.registry import (
    Answer,
    HookRegistry,
    conflict_data,
    parse_choices,
    parse_values,
    read_answer,
    same_doctype,
)


def one(conflict_id: str, data: Any) -> None: ...
def two(conflict_id: str, data: Any) -> None: ...
def rest(conflict_id: str, data: Any) -> None: ...


def test_hooks_of_a_doctype_are_asked_in_the_order_of_registration_and_those_of_all_last() -> None:
    registry = HookRegistry()
    for doctype, hook in (("*", rest), ("Sales Invoice", one), ("Sales Invoice", two)):
        registry.register(doctype, hook)
    assert registry.hooks("Sales Invoice") == [one, two, rest]
    assert registry.hooks("Customer") == [rest]
    assert dict(registry.items()) == {"*": [rest], "salesinvoice": [one, two]}


def test_a_doctype_may_be_written_without_its_spaces() -> None:
    registry = HookRegistry()
    registry.register("SalesInvoice", one)
    assert registry.hooks("Sales Invoice") == [one]
    assert registry.unregister("sales invoice")
    assert registry.hooks("Sales Invoice") == []


def test_two_spellings_of_one_doctype_are_the_same_doctype() -> None:
    assert same_doctype("SalesInvoice", "Sales Invoice")
    assert not same_doctype("Sales Invoice", "Sales Order")


def test_taking_a_hook_away_says_whether_there_was_one() -> None:
    assert not HookRegistry().unregister("Customer")


@pytest.mark.parametrize(("doctype", "hook"), [("", one), ("Customer", None), ("Customer", "a.path")])
def test_a_hook_needs_a_doctype_and_a_function(doctype: str, hook: Any) -> None:
    with pytest.raises(InvalidRequest):
        HookRegistry().register(doctype, hook)


def test_a_hook_gets_the_conflict_under_the_promised_names_and_as_plain_json() -> None:
    data = conflict_data(
        a_conflict(
            resolution_status="resolved",
            resolution=Resolution.SKIP,
            resolved_by="ann",
            resolved_at=NOON,
            reason="the same",
        )
    )
    canonical_json(data)
    assert data["resource_id"] == data["resourceId"] == "C-1"
    assert data["resource_type"] == data["resourceType"] == "Customer"
    assert data["local_data"] == {"city": "Rome"}
    assert data["server_data"] == {"city": "Bonn"}
    assert data["base_data"] == {"city": "Oslo"}
    assert (data["conflict_type"], data["resolution"]) == ("update_update", "skip")
    assert data["resolved_at"] == data["created_at"] == NOON.isoformat()
    pending = conflict_data(a_conflict())
    assert (pending["resolution"], pending["resolved_at"]) == (None, None)


def test_the_data_holds_what_both_sides_come_to() -> None:
    assert conflict_data(a_conflict())["merge"] is None
    merged = merge(
        {"city": "Oslo", "phone": "1"}, {"city": "Rome", "phone": "1"}, {"city": "Bonn", "phone": "2"}
    )
    data = conflict_data(a_conflict(choices={"city": "local"}, values={"city": "Rome"}), merged)
    assert data["merge"]["values"] == {"phone": "2"}
    assert [clash["key"] for clash in data["merge"]["clashes"]] == ["city"]
    assert (data["choices"], data["values"]) == ({"city": "local"}, {"city": "Rome"})
    canonical_json(data)


@pytest.mark.parametrize("resolution", Resolution)
def test_every_resolution_can_be_answered(resolution: Resolution) -> None:
    assert read_answer({"resolution": resolution.value}) == Answer(resolution=resolution, values={})


def test_a_merge_may_come_with_values() -> None:
    wanted = read_answer({"resolution": "merge", "values": {"city": "Rome"}})
    assert wanted == Answer(resolution=Resolution.MERGE, values={"city": "Rome"})


@pytest.mark.parametrize(
    "answer",
    [
        {"resolution": "merge", "values": "Rome"},
        {"resolution": "merge", "values": {1: "Rome"}},
        {"resolution": "local_wins", "values": {"city": "Rome"}},
    ],
)
def test_values_are_an_object_and_belong_to_a_merge(answer: Any) -> None:
    with pytest.raises(InvalidRequest, match="values") as refused:
        read_answer(answer)
    assert "Rome" not in str(refused.value)


def test_choices_are_written_as_key_and_side() -> None:
    given = ["city=local", "items[R=1].qty=server"]
    assert parse_choices(given) == {"city": "local", "items[R=1].qty": "server"}
    assert parse_choices([]) == {}


@pytest.mark.parametrize("text", ["city", "city=mine", "=local", ""])
def test_what_is_no_choice_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="KEY=local or KEY=server"):
        parse_choices([text])


def test_values_are_written_as_a_json_object() -> None:
    assert parse_values('{"city": "Rome"}') == {"city": "Rome"}
    assert parse_values(None) == parse_values("") == {}


@pytest.mark.parametrize("text", ["Rome", "[1]", '"x"', "[" * 100_000])
def test_what_is_no_object_of_values_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest, match="JSON object"):
        parse_values(text)


def test_no_answer_means_not_mine() -> None:
    assert read_answer(None) is None


@pytest.mark.parametrize(
    "answer", ["server_wins", {}, {"resolution": None}, {"resolution": "hope"}, 1, [], {"resolution": [1]}]
)
def test_anything_else_is_refused_without_repeating_it(answer: Any) -> None:
    """It may hold a document's values."""
    with pytest.raises(InvalidRequest, match="must answer") as refused:
        read_answer(answer)
    assert "hope" not in str(refused.value)
