"""The documentation names everything that people can set, call, listen to or register.

What is compared comes from the code itself: settings tables, doctype files, click's commands, the whitelisted
functions, what an engine really publishes. A page that falls behind fails here.
"""

from __future__ import annotations

import ast
import json
import re
import runpy
from dataclasses import replace
from typing import Any

import click
import pytest
from docs_pages import ROOT, Page, all_pages, page

from erp_offline_sync import _API, cli, commands
from erp_offline_sync.adapters import environment
from erp_offline_sync.engine import events as event_names
from erp_offline_sync.engine.classify import Verdict
from erp_offline_sync.engine.config import SETTINGS
from erp_offline_sync.engine.deciding.resolution import _TABLE
from erp_offline_sync.engine.listing import request_detail, request_rows
from erp_offline_sync.engine.model import (
    Attempt,
    Conflict,
    ConflictType,
    Link,
    Operation,
    Request,
    Resolution,
    Status,
    Strategy,
)
from erp_offline_sync.engine.registry import conflict_data
from erp_offline_sync.engine.sending.push import _ITEM, _PUSH, LIMITS, PushOutcome, ReceiptState
from erp_offline_sync.engine.status import sync_status
from erp_offline_sync.engine.sync import SyncEngine
from erp_offline_sync.engine.transitions import ALLOWED, LEDGER_COLUMN
from erp_offline_sync.testing.clock import START, FrozenClock
from erp_offline_sync.testing.doubles import RecordedEvents, ports_around
from erp_offline_sync.testing.memory_store import MemoryStore
from erp_offline_sync.testing.model_central import ModelCentral
from erp_offline_sync.testing.store_contract import make_request
from tests.benchmark import topics
from tests.benchmark.figure import Plan

APP = ROOT / "erp_offline_sync"
LAYOUT = {"Section Break", "Column Break", "Tab Break", "HTML"}
PAGES = [
    "index.md",
    "tutorial.md",
    "settings.md",
    "commands.md",
    "hooks.md",
    "events.md",
    "companion.md",
    "operations.md",
    "conflict-resolution.md",
    "architecture.md",
    "semantics.md",
    "testing.md",
    "benchmark.md",
]


def plain(text: str) -> str:
    """Numbers without their thousands' commas."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", text)


# Settings


@pytest.mark.parametrize("name", SETTINGS)
def test_each_number_stands_with_its_unit_default_and_range(name: str) -> None:
    """The table of settings.md says what engine.config checks."""
    setting = SETTINGS[name]
    cells = [plain(cell) for cell in page("settings.md").row(name)]
    assert setting.unit in cells[1]
    assert cells[2] == str(setting.default)
    low, high = re.findall(r"\d+", cells[3])
    assert (int(low), int(high)) == (setting.low, setting.high)


def fields_of(doctype: str) -> list[dict[str, Any]]:
    folder = doctype.lower().replace(" ", "_")
    stated = json.loads(
        (APP / "erp_offline_sync/doctype" / folder / f"{folder}.json").read_text(encoding="utf-8")
    )
    return [field for field in stated["fields"] if field["fieldtype"] not in LAYOUT]


@pytest.mark.parametrize("field", fields_of("Offline Sync Settings"), ids=lambda field: field["fieldname"])
def test_each_field_of_the_settings_document_has_a_row(field: dict[str, Any]) -> None:
    """With the default of the doctype, which is the engine's own for its numbers."""
    name = field["fieldname"]
    cells = page("settings.md").row(name)
    if field.get("default"):
        assert plain(cells[2]).strip("`") == field["default"]
    if name in SETTINGS:
        assert field["default"] == str(SETTINGS[name].default)


@pytest.mark.parametrize("field", fields_of("Offline Sync Policy"), ids=lambda field: field["fieldname"])
def test_each_field_of_a_policy_has_a_row(field: dict[str, Any]) -> None:
    section = page("settings.md").section("Policies")
    assert section.row(field["fieldname"])


@pytest.mark.parametrize("name", environment.NAMES)
def test_each_environment_name_is_told(name: str) -> None:
    assert page("settings.md").names(name)


@pytest.mark.parametrize("strategy", Strategy, ids=lambda strategy: strategy.value)
def test_each_strategy_is_told(strategy: Strategy) -> None:
    assert strategy.value in page("settings.md").text
    assert strategy.value in page("semantics.md").text


# Commands


def leaves(group: click.Group) -> dict[str, click.Command]:
    return {name: command for name, command in group.commands.items() if not command.hidden}


@pytest.mark.parametrize(
    ("title", "command"),
    [
        *((f"offline-sync {name}", command) for name, command in leaves(commands.offline_sync).items()),
        *((f"erp-offline-sync {name}", command) for name, command in leaves(cli.main).items()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_command_is_described_with_its_options(title: str, command: click.Command) -> None:
    """Its section in commands.md names each argument and option."""
    section = page("commands.md").section(title)
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            for written in (*parameter.opts, *parameter.secondary_opts):
                assert written in section.text, f"{title}: {written} is missing"
        else:
            assert parameter.human_readable_name.upper().rstrip(".") in section.text.upper()


def test_the_standalone_command_names_its_own_options() -> None:
    section = page("commands.md").section("The command erp-offline-sync")
    for parameter in cli.main.params:
        assert all(written in section.text for written in parameter.opts)


def test_no_command_is_described_that_is_not_there() -> None:
    """A heading `offline-sync x` or `erp-offline-sync x` stands for a command."""
    told = re.findall(r"^### `(erp-)?offline-sync ([a-z-]+)`", page("commands.md").text, re.MULTILINE)
    assert {name for prefix, name in told if not prefix} == set(leaves(commands.offline_sync))
    assert {name for prefix, name in told if prefix} == set(leaves(cli.main))


def test_each_exit_code_has_a_row() -> None:
    section = page("commands.md").section("Exit codes")
    for code in (commands.DONE, commands.REFUSED, 2, commands.NEEDS_PERSON, commands.OFFLINE):
        assert section.row(str(code))


def test_each_key_of_a_listed_request_is_told() -> None:
    """`list` prints those of the first row alone."""
    clock = FrozenClock()
    store = MemoryStore(clock.now)
    with store.transaction():
        request = store.add(
            make_request("r", body={}, links=(Link(path="customer", doctype="Customer", name="Ann"),))
        )
        request = replace(request, history=(Attempt(at=START, event="sent"),))
        (row,), detail = request_rows(store, [request]), request_detail(store, request)
    section = page("commands.md").section("The keys of a request")
    assert {key for key in row if not re.search(rf"^\| `list`.*`{key}`", section.text, re.MULTILINE)} == set()
    told = {*detail, *detail["links"][0], *detail["history"][0]}
    assert {key for key in told if not section.names(key)} == set()


def test_each_helper_of_the_console_is_told() -> None:
    module = ast.parse((APP / "console.py").read_text(encoding="utf-8"))
    helpers = re.findall(r"(\w+)\(", ast.get_docstring(module) or "")
    functions = {node.name for node in module.body if isinstance(node, ast.FunctionDef)}
    assert helpers
    assert set(helpers) <= functions
    section = page("commands.md").section("bench console")
    assert all(section.names(helper) for helper in helpers)


# Events, status and endpoints


def published() -> dict[str, dict[str, Any]]:
    """One payload of each event, from an engine that sent one request."""
    clock, events = FrozenClock(), RecordedEvents()
    store = MemoryStore(clock.now)
    with store.transaction():
        store.add(
            Request(
                id="a",
                key="a",
                seq=0,
                operation=Operation.CREATE,
                resource_type="ToDo",
                resource_id="new",
                method="POST",
                path="/api/resource/ToDo",
                body={"description": "x"},
                created_at=store.now(),
            )
        )
    SyncEngine(ports_around(store, ModelCentral(clock.now), clock, events=events), holder="test").run()
    return {event: dict(payload) for event, payload in events.published}


def keys(value: Any) -> set[str]:
    if not isinstance(value, dict):
        return set()
    return set(value).union(*(keys(inner) for inner in value.values()))


def test_every_event_is_described_with_its_keys() -> None:
    """Names and keys as an engine really publishes them, each in the event's own section."""
    told = published()
    named = {event_names.STATE_CHANGED, event_names.PROGRESS, event_names.OUTCOME}
    assert set(told) == named
    for event, payload in told.items():
        section = page("events.md").section(event)
        missing = {key for key in keys(payload) if not section.names(key)}
        assert not missing, f"{event}: {sorted(missing)}"


def test_the_event_of_conflicts_is_described_with_its_keys() -> None:
    """Told by the site, not by an engine: read from the source."""
    source = ast.parse((APP / "conflicts/telling.py").read_text(encoding="utf-8"))
    (name,) = (
        ast.literal_eval(node.value)
        for node in source.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CHANGED"
    )
    (told,) = (
        node.value
        for node in ast.walk(source)
        if isinstance(node, ast.Assign)
        and ast.unparse(node.targets[0]) == "told"
        and isinstance(node.value, ast.Dict)
    )
    section = page("events.md").section(name)
    assert [key for key in told.keys if not section.names(ast.literal_eval(key))] == []


def test_every_key_of_the_status_is_described() -> None:
    clock = FrozenClock()
    store = MemoryStore(clock.now)
    with store.transaction():
        status = sync_status(store)
    section = page("events.md").section("The sync status")
    missing = {key for key in keys(status) if not section.names(key)}
    assert not missing


ENDPOINTS = {"api.py": "The endpoints", "conflicts/__init__.py": "Endpoints for conflicts"}
"""Module → section of events.md with a row for each of its whitelisted functions."""


def whitelisted(module: str) -> list[tuple[str, list[str], bool]]:
    """(name, parameters, POST only) of each endpoint, read from the source: frappe is not here."""
    found = []
    for node in ast.parse((APP / module).read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef):
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "frappe.whitelist":
                methods = {
                    ast.unparse(keyword.value) for keyword in decorator.keywords if keyword.arg == "methods"
                }
                found.append(
                    (node.name, [argument.arg for argument in node.args.args], methods == {"['POST']"})
                )
    return found


def test_the_endpoints_are_found() -> None:
    assert {"get_sync_status", "resolve_conflict", "enqueue_request"} <= {
        name for name, _, _ in whitelisted("api.py")
    }
    assert {"list_conflicts", "get_conflict"} <= {name for name, _, _ in whitelisted("conflicts/__init__.py")}


@pytest.mark.parametrize(
    ("section", "name", "parameters", "writes"),
    [(section, *each) for module, section in ENDPOINTS.items() for each in whitelisted(module)],
    ids=lambda value: str(value),
)
def test_each_endpoint_has_a_row_with_its_parameters_and_verb(
    section: str, name: str, parameters: list[str], writes: bool
) -> None:
    cells = page("events.md").section(section).row(name)
    assert set(re.findall(r"`(\w+)`", cells[1])) == set(parameters)
    assert cells[2] == ("POST" if writes else "GET, POST")


@pytest.mark.parametrize("name", sorted({*_API, "register_conflict_hook", "unregister_conflict_hook"}))
def test_each_function_of_the_python_api_is_told(name: str) -> None:
    assert page("events.md").section("In Python").names(f"erp_offline_sync.{name}")


def test_each_function_of_the_desk_api_is_told() -> None:
    """What every Desk page can call; read from the object that the bundle puts on `offline_sync`."""
    source = (APP / "public/js/offline_sync/caller.js").read_text(encoding="utf-8")
    _, _, body = source.partition("export const caller = {")
    functions = set(re.findall(r"^\t(\w+)(?:: \(|\()", body, re.MULTILINE))
    assert {"getSyncStatus", "resolveConflict", "on", "off"} <= functions
    section = page("events.md").section("In the Desk")
    assert not {name for name in functions if not section.names(f"offline_sync.{name}")}


# Hooks


def test_each_key_that_a_conflict_hook_gets_is_told() -> None:
    conflict = Conflict(
        id="c",
        resource_type="Item",
        resource_id="A",
        line="l",
        local_request_id="r",
        conflict_type=ConflictType.UPDATE_UPDATE,
        local_data={},
        base_data={},
        server_data={},
        server_version=None,
        local_changed_at=START,
        created_at=START,
    )
    section = page("hooks.md").section("What a conflict hook is given")
    assert not {key for key in conflict_data(conflict) if not section.names(key)}


@pytest.mark.parametrize("resolution", Resolution, ids=lambda resolution: resolution.value)
def test_each_resolution_is_told(resolution: Resolution) -> None:
    assert page("hooks.md").section("What it may answer").row(resolution.value)
    assert page("semantics.md").section("Conflicts").names(resolution.value)


def test_each_hook_of_frappe_that_the_app_uses_is_told() -> None:
    """Names, events, schedules and the functions behind them."""
    stated = {
        name: value
        for name, value in runpy.run_path(str(APP / "hooks.py")).items()
        if (not name.startswith("_") and not name.startswith("app_")) or name == "app_include_js"
    }
    section = page("hooks.md").section("Hooks of Frappe that the app uses")
    for name, value in stated.items():
        assert section.names(name), f"{name} is missing"
        for word in re.findall(r"'([^']+)'", repr(value)):
            short = word.removeprefix("erp_offline_sync.")
            assert section.names(short) or short in section.text, f"{name}: {short} is missing"


# Semantics


@pytest.mark.parametrize("status", Status, ids=lambda status: status.value)
def test_each_state_stands_with_its_column_and_what_may_follow(status: Status) -> None:
    """The table of semantics.md is the engine's own."""
    cells = page("semantics.md").section("States and the ledger").row(status.value)
    assert cells[1] == LEDGER_COLUMN[status]
    follow = {Status(word) for word in re.findall(r"`([^`]+)`", cells[3])}
    assert follow == ALLOWED[status] - {status}


@pytest.mark.parametrize("kind", ConflictType, ids=lambda kind: kind.value)
def test_each_type_of_conflict_stands_with_what_each_resolution_does(kind: ConflictType) -> None:
    """A cell with a dash is a resolution that the engine refuses for that type."""
    cells = page("semantics.md").section("Conflicts").row(kind.value)
    for column, resolution in enumerate((Resolution.LOCAL_WINS, Resolution.SERVER_WINS), start=1):
        assert (cells[column] != "–") == ((kind, resolution) in _TABLE)


@pytest.mark.parametrize("verdict", Verdict, ids=lambda verdict: verdict.value)
def test_each_verdict_of_the_classifier_is_told(verdict: Verdict) -> None:
    assert page("semantics.md").section("What an answer means").row(verdict.value)


# The companion


@pytest.mark.parametrize("outcome", PushOutcome, ids=lambda outcome: outcome.value)
def test_each_outcome_of_a_push_is_told(outcome: PushOutcome) -> None:
    assert page("companion.md").section("What it promises").row(outcome.value)


def test_the_wire_is_told_with_its_keys_limits_and_refusals() -> None:
    section = page("companion.md").section("On the wire")
    for name in (*_PUSH, *_ITEM):
        assert section.names(name.rstrip("?")), name
    for state in ReceiptState:
        assert section.names(state.value)
    told = plain(section.text)
    for limit in (LIMITS.max_bytes, LIMITS.max_inflated_bytes, LIMITS.max_requests, LIMITS.seconds):
        assert str(limit) in told
    refusals = ast.parse((APP / "receiver/errors.py").read_text(encoding="utf-8"))
    for node in refusals.body:
        if isinstance(node, ast.ClassDef) and node.name != "PushRefused":
            assert section.names(node.name), node.name


def test_each_function_of_the_companion_is_told() -> None:
    section = page("companion.md").section("On the wire")
    source = ast.parse((APP / "receiver/__init__.py").read_text(encoding="utf-8"))
    found = [
        node.name
        for node in source.body
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each).startswith("frappe.whitelist") for each in node.decorator_list)
    ]
    assert found == ["capabilities", "push", "rehearse", "receipts"]
    for name in found:
        assert f"erp_offline_sync.receiver.{name}" in section.text


# Operations


def doctor_checks() -> set[str]:
    """The names that the site's doctor gives its checks; of a name made at run time, its fixed beginning."""
    names = set()
    for node in ast.walk(ast.parse((APP / "doctor.py").read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != "Check" or not node.args:
            continue
        first = node.args[0]
        if isinstance(first, ast.JoinedStr):
            first = first.values[0]
        if isinstance(first, ast.Constant):
            names.add(str(first.value).strip())
    return names


def test_each_check_of_the_doctor_has_a_row() -> None:
    section = page("operations.md").section("What doctor looks at")
    checks = doctor_checks()
    assert len(checks) > 8
    for check in checks:
        assert section.row(check)


@pytest.mark.parametrize(
    "case",
    [
        'Sync Stuck in "syncing" State',
        "Conflicts Not Being Detected",
        "Slow Sync After Long Offline",
        "High Retry Counts",
    ],
)
def test_the_known_troubles_have_a_heading(case: str) -> None:
    assert page("operations.md").section(case).text.strip()


def test_each_tier_of_the_tests_is_described() -> None:
    tiers = {path.parent.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").glob("*/**/*.py")}
    told = page("testing.md")
    assert not {tier for tier in tiers if not told.names(f"tests/{tier}")}


# Figures


@pytest.mark.parametrize(
    "plan", [plan for topic in topics.ALL for plan in topic.PLANS], ids=lambda plan: plan.id
)
def test_each_figure_is_explained(plan: Plan) -> None:
    """By its id, or by one with `…` for what differs, in the section of its family."""
    section = page("benchmark.md").section(plan.id.partition(".")[0])
    assert any(re.fullmatch(re.escape(word).replace("…", ".*"), plan.id) for word in section.words)


def test_each_option_of_the_benchmark_has_a_row() -> None:
    text = page("benchmark.md").text
    for option in ("--bench", "--json", "--only", "--quick", "--seed", "--dir", "--chart", "--page", "--add"):
        assert f"| `{option}" in text


# Links


@pytest.mark.parametrize("source", all_pages(), ids=lambda source: str(source.path.relative_to(ROOT)))
def test_every_link_and_image_leads_somewhere(source: Page) -> None:
    """Relative ones, anchors included."""
    pages = {each.path: each for each in all_pages()}
    for link in source.links:
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (source.path.parent / target).resolve() if target else source.path
        assert path.is_relative_to(ROOT)
        assert path.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in pages[path].anchors, f"{link}: there is no such heading"


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_reached_from_the_readme_and_the_index(name: str) -> None:
    assert f"hooks-docs/{name}" in page("README.md").links
    assert name == "index.md" or name in page("index.md").links


def test_every_decision_is_linked_from_the_index() -> None:
    links = page("index.md").links
    records = sorted(path.name for path in (ROOT / "hooks-docs/adr").glob("*.md"))
    assert records
    assert not [name for name in records if f"adr/{name}" not in links]
