"""The values themselves: frozen, and their few derived ones."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest
from support import NOON, a_conflict, a_request

from erp_offline_sync.engine import model
from erp_offline_sync.engine.model import Document, Operation, Status

VALUES = [value for value in vars(model).values() if dataclasses.is_dataclass(value)]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_a_value_does_not_change_and_is_made_by_names(value: type) -> None:
    settings = value.__dataclass_params__  # type: ignore[attr-defined]
    assert settings.frozen
    assert "__slots__" in vars(value) or value is model.Request
    assert all(field.kw_only for field in dataclasses.fields(value))


def test_an_altered_request_differs_in_these_fields_and_leaves_the_first_as_it_was() -> None:
    request = a_request(sends=1)
    assert request.altered(sends=2, reason="why") == dataclasses.replace(request, sends=2, reason="why")
    assert request.sends == 1


def test_a_request_cannot_be_altered_in_what_it_does_not_have() -> None:
    with pytest.raises(TypeError, match="no color, size"):
        a_request().altered(size=1, color="red", sends=2)


def test_the_last_change_is_the_save_that_it_carries() -> None:
    later = NOON + timedelta(minutes=5)
    assert a_request().last_change == NOON
    assert a_request(changed_at=later).last_change == later


def test_a_document_is_linked_as_soon_as_the_central_named_it() -> None:
    document = Document(id="l1", doctype="Customer", local_name="C-1")
    assert not document.linked
    assert dataclasses.replace(document, central_name="CUST-1").linked


def test_a_conflict_is_pending_until_it_is_resolved() -> None:
    assert a_conflict().pending
    assert not a_conflict(resolution_status="resolved").pending


def test_the_states_and_operations_are_those_that_the_doctype_lists() -> None:
    assert len(Status) == 11
    assert len(Operation) == 7
