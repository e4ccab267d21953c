"""Every word that a person reads in the Desk can be translated, and stands in German.

Words that Frappe itself has, and means alike, are left to it: an app's translations count for the whole site. Words
that it means otherwise have a context here.
"""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

APP = Path(__file__).resolve().parents[2] / "erp_offline_sync"
GERMAN = APP / "translations" / "de.csv"
SCRIPTS = sorted([*(APP / "public" / "js").rglob("*.js"), *(APP / "erp_offline_sync").rglob("*.js")])
MODULES = sorted(path for part in ("conflicts", "receiver") for path in (APP / part).glob("*.py"))
_CALL = re.compile(
    r"""(?<![\w.])__\(\s*(?P<quote>["'`])(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P=quote)
    (?:\s*,\s*null,\s*"(?P<context>[^"]*)"\s*)?\s*(?P<next>.)""",
    re.S | re.X,
)
FRAPPES = frozenset(
    """All; Cancelled; Clear Filters; Close; Discard; Done; Draft; Error; Exception; Field; Keyboard Shortcuts; Links;
    No; Note; Open Document; Open Settings; Path; Pending; Preview; Reason; Refresh; Result; Retry; Row; Row {0};
    Search; Sent; Shortcuts; Skip; Submitted; Time; Undo; Yes; just now; or; {0} of {1}""".replace(
        "\n    ", " "
    ).split("; ")
)

Message = tuple[str, str]
"""Text and context."""


def of_script(path: Path) -> Iterator[tuple[Message, re.Match[str]]]:
    for match in _CALL.finditer(path.read_text(encoding="utf-8")):
        yield (match["text"], match["context"] or ""), match


def of_module(path: Path) -> Iterator[Message]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_":
            given = {each.arg: each.value for each in node.keywords}
            context = given.get("context")
            if isinstance(node.args[0], ast.Constant):
                yield node.args[0].value, context.value if isinstance(context, ast.Constant) else ""


def messages() -> set[Message]:
    said = {message for path in SCRIPTS for message, _ in of_script(path)}
    return said | {message for path in MODULES for message in of_module(path)}


def german() -> list[list[str]]:
    with GERMAN.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines))


def places(text: str) -> list[str]:
    return sorted(re.findall(r"\{\d\}", text))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_what_is_translated_is_written_so_that_frappe_finds_it(path: Path) -> None:
    """In one piece, and without values of the moment in it."""
    for (text, _), match in of_script(path):
        assert match["quote"] != "`", text
        assert match["next"] in ",)", text


def test_each_message_is_in_german() -> None:
    there = {(row[0], row[2]) for row in german()}
    lacking = sorted(
        message for message in messages() - there if not (message[0] in FRAPPES and not message[1])
    )
    assert lacking == []


def test_each_german_line_is_a_message_of_ours_and_stands_once() -> None:
    keys = [(row[0], row[2]) for row in german()]
    assert len(keys) == len(set(keys))
    assert sorted(set(keys) - messages()) == []
    assert FRAPPES & {text for text, context in keys if not context} == frozenset()


def test_a_translation_has_the_same_places_for_values() -> None:
    assert [row for row in german() if len(row) != 3 or not row[1] or places(row[0]) != places(row[1])] == []


def test_words_left_to_frappe_are_words_of_ours() -> None:
    assert FRAPPES - {text for text, context in messages() if not context} == frozenset()
