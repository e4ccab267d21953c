"""The recipes for conflict hooks, run as they stand in the documents."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import Branch
from test_resolution import branch_with

from erp_offline_sync.engine.model import Resolution

PAGE = Path(__file__).parents[2] / "hooks-docs" / "hooks.md"


def recipe(title: str) -> Callable[..., Any]:
    """The function in the first block of code under this heading."""
    _, _, rest = PAGE.read_text(encoding="utf-8").partition(f"### Recipe: {title}\n")
    block = re.search(r"```python\n(.*?)```", rest, re.DOTALL)
    assert block, f"there is no recipe {title}"
    names: dict[str, Any] = {}
    exec(block[1], names)
    return next(value for name, value in names.items() if callable(value) and not name.startswith("_"))


def deciding(title: str, base: dict[str, Any], here: dict[str, Any], there: dict[str, Any]) -> Branch:
    """A branch whose hook is the recipe, after both sides changed an invoice."""
    branch = branch_with()
    branch.registry.register("Invoice", recipe(title))
    name = branch.synced("Invoice", "I-1", **base)
    if there:
        branch.central.edit("Invoice", name, **there)
    else:
        branch.central.remove("Invoice", name)
    branch.update("Invoice", "I-1", **here)
    branch.run()
    branch.run()
    return branch


def values(branch: Branch) -> tuple[Any, Any]:
    (there,) = branch.central.documents["Invoice"].values()
    return branch.here("Invoice", "I-1"), there


@pytest.mark.parametrize(
    ("ours", "theirs", "total", "resolution"),
    [(9, 7, 9, Resolution.LOCAL_WINS), (7, 9, 9, Resolution.SERVER_WINS)],
)
def test_the_higher_total_wins(ours: int, theirs: int, total: int, resolution: Resolution) -> None:
    branch = deciding(
        "the higher total wins", {"grand_total": 1}, {"grand_total": ours}, {"grand_total": theirs}
    )
    assert branch.conflict().resolution is resolution
    assert [side["grand_total"] for side in values(branch)] == [total, total]


def test_the_higher_total_wins_is_not_asked_of_what_is_gone() -> None:
    branch = deciding("the higher total wins", {"grand_total": 1}, {"grand_total": 9}, {})
    assert branch.pending().reason == "a person decides by its policy"


def test_one_site_owns_a_field_and_everything_else_is_merged() -> None:
    base = {"credit_limit": 10, "city": "Oslo", "phone": "1"}
    here, there = {"credit_limit": 99, "city": "Rome"}, {"credit_limit": 20, "phone": "2"}
    branch = deciding("one site owns a field", base, here, there)
    for side in values(branch):
        assert (side["credit_limit"], side["city"], side["phone"]) == (20, "Rome", "2")


def test_one_site_owns_a_field_and_what_else_clashes_is_left_to_a_person() -> None:
    here, there = {"credit_limit": 99, "city": "Rome"}, {"credit_limit": 20, "city": "Bonn"}
    branch = deciding("one site owns a field", {"credit_limit": 10, "city": "Oslo"}, here, there)
    assert "no side was chosen: city" in str(branch.pending().reason)


@pytest.mark.parametrize("there", [{"city": "Bonn"}, {}])
def test_one_site_owns_a_field_says_nothing_of_other_conflicts(there: dict[str, Any]) -> None:
    branch = deciding("one site owns a field", {"city": "Oslo"}, {"city": "Rome"}, there)
    assert branch.pending().reason == "a person decides by its policy"


def test_what_both_counted_is_added_up() -> None:
    branch = deciding("the sum of two counters", {"visits": 10}, {"visits": 13}, {"visits": 15})
    assert [side["visits"] for side in values(branch)] == [18, 18]


def test_two_counters_are_of_no_account_where_another_field_clashes() -> None:
    branch = deciding("the sum of two counters", {"city": "Oslo"}, {"city": "Rome"}, {"city": "Bonn"})
    assert branch.pending().reason == "a person decides by its policy"


def test_the_branchs_change_is_rejected() -> None:
    branch = deciding("reject", {"city": "Oslo"}, {"city": "Rome"}, {"city": "Bonn"})
    assert branch.conflict().resolution is Resolution.SERVER_WINS
    assert [side["city"] for side in values(branch)] == ["Bonn", "Bonn"]


def test_of_what_is_gone_a_person_says_whether_it_is_rejected() -> None:
    branch = deciding("reject", {"city": "Oslo"}, {"city": "Rome"}, {})
    assert "left it to a person" in str(branch.pending().reason)
