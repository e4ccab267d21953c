"""Each sentence of the engine about conflicts stands in the table by which the Desk translates it, and no other."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

APP = Path(__file__).resolve().parents[2] / "erp_offline_sync"
TABLE = APP / "conflicts" / "sentences.py"
SAYING = (
    APP / "engine" / "conflict.py",
    *sorted((APP / "engine" / "deciding").glob("*.py")),
    APP / "engine" / "merge.py",
    APP / "engine" / "registry.py",
    APP / "adapters" / "hook_resolvers.py",
    APP / "adapters" / "standalone.py",
)
NO_SENTENCES = {
    "{0} (central)",  # a row's name
    "conflict {0}",  # why a request ended: a reference
    "the decision was taken back",  # the same, on a request
    "%Y-%m-%d %H:%M",
    # for those who write programs
    "Another run took over before the conflict was recorded.",
    "A choice is KEY=local or KEY=server, not {0}.",
    'The values are not a JSON object such as {"field": value}.',
    "A conflict hook needs a doctype (or '*') and a function.",
    # of outboxes outside a site
    "no central is configured",
    "There is no document here that could be renamed.",
    "There is no document here that could be moved.",
}


def texts(module: Path) -> Iterator[str]:
    """What has a blank in it, f-strings with their places numbered; docstrings left out."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    every = list(ast.walk(tree))
    left_out = {id(node.value) for node in every if isinstance(node, ast.Expr)}
    left_out |= {
        id(part)
        for node in every
        if isinstance(node, ast.JoinedStr)
        for part in ast.walk(node)
        if part != node
    }
    for node in every:
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            yield template_of(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.value


def template_of(text: ast.JoinedStr) -> str:
    found, number = "", 0
    for part in text.values:
        if isinstance(part, ast.Constant):
            found += part.value
        else:
            found += f"{{{number}}}"
            number += 1
    return found


def said() -> set[str]:
    parts = {part for module in SAYING for text in texts(module) for part in text.split("; ")}
    return {part for part in parts if " " in part.strip()} - NO_SENTENCES


def table() -> list[str]:
    tree = ast.parse(TABLE.read_text(encoding="utf-8"))
    return [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "_"
        and isinstance(node.args[0], ast.Constant)
    ]


def test_no_sentence_of_the_engine_about_conflicts_is_untranslatable() -> None:
    assert sorted(said() - set(table())) == []


def test_the_table_has_no_sentence_that_nobody_says() -> None:
    own = {"decided by a person", "{0} {1} cannot go from docstatus {2} to {3}."}  # of the Desk's own modules
    assert sorted(set(table()) - said() - own) == []
    assert len(table()) == len(set(table()))
