"""A conflict as it stands now: what the page shows is what a decision would be made of, placed or not."""

from __future__ import annotations

import pytest
from support import Branch
from test_resolution import SCHEMAS, branch_with

from erp_offline_sync.engine.deciding.standing import Standing
from erp_offline_sync.engine.merge import Merged
from erp_offline_sync.engine.model import Conflict, ConflictType, Readiness, Resolution


def in_conflict() -> Branch:
    branch = branch_with(schemas=SCHEMAS)
    name = branch.synced("Customer", "C-1", code="C-1", city="Oslo", phone="1")
    branch.central.edit("Customer", name, city="Bonn")
    branch.update("Customer", "C-1", city="Rome")
    branch.run()
    return branch


def seen(branch: Branch) -> tuple[Conflict, Merged]:
    standing = Standing(branch.store, branch.documents, branch.ports.policies)
    with branch.store.transaction():
        conflict = standing.now(branch.pending())
        merged = standing.merged(branch.pending())
    assert merged is not None
    return conflict, merged


def test_what_no_run_has_placed_yet_counts_and_stays_as_it_is() -> None:
    branch = in_conflict()
    later = branch.update("Customer", "C-1", phone="2")
    _, merged = seen(branch)
    assert merged.changed_here == {"city": ["Oslo", "Rome"], "phone": ["1", "2"]}
    assert branch.get(later).readiness is Readiness.NEW
    decided = branch.engine.resolutions.apply(
        branch.pending().id, Resolution.MERGE, by="ann", choices={"city": "local"}
    )
    assert decided.values is not None
    assert (decided.values["city"], decided.values["phone"]) == ("Rome", "2")


@pytest.mark.parametrize("choices", [{"city": "local"}, {"city": "server"}])
def test_after_a_decision_it_still_tells_what_each_side_had_changed(choices: dict[str, str]) -> None:
    branch = in_conflict()
    branch.update("Customer", "C-1", phone="2")
    _, before = seen(branch)
    decided = branch.engine.resolutions.apply(
        branch.pending().id, Resolution.MERGE, by="ann", choices=choices
    )
    branch.run()
    after = branch.engine.resolutions.merged(decided)
    assert after is not None
    assert (after.changed_here, after.changed_there) == (before.changed_here, before.changed_there)


def test_a_delete_that_no_run_has_placed_yet_is_what_is_decided_about() -> None:
    branch = in_conflict()
    branch.delete("Customer", "C-1")
    conflict, merged = seen(branch)
    assert (conflict.conflict_type, merged.local) == (ConflictType.DELETE_UPDATE, None)


def test_another_document_of_the_name_is_none_of_its_business() -> None:
    """It was deleted, and one of its name made anew: that one has a line of its own."""
    branch = in_conflict()
    branch.delete("Customer", "C-1")
    branch.create("Customer", "C-1", code="C-1", city="Paris")
    branch.update("Customer", "C-1", city="Lyon")
    for _ in ("before they are placed", "after"):
        _, merged = seen(branch)
        assert merged.local is None
        branch.run()
