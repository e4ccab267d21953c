"""Who may do what: every whitelisted function by role, and every way in which Frappe hands out rows.

Rows carry documents' values, so who may not read a document must see neither the row nor that there is one.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from site_rig.world import make_older, requests_of

MINE, THEIRS = "Canary of the reader", "Canary of somebody else"


# ---------------------------------------------------------------- every whitelisted function

READERS = ("clerk", "manager")
MANAGERS = ("manager",)
WITH_THE_DOCUMENT = ("cashier", *READERS)
PEOPLE = ("guest", "plain", "cashier", *READERS)
"""From "may nothing" to "may all": nobody, a user without roles, one who may do all to the documents but has no
role of this app, and the two roles of this app, who may do all to the documents as well."""


@dataclass(frozen=True)
class Endpoint:
    """Who may call it; `writes` where GET must be refused; `given` makes arguments for one call."""

    may: tuple[str, ...]
    writes: bool = True
    given: Callable[[Any], dict[str, Any]] = lambda stock: {}
    answers: int = 200
    """Status for those who may, where nothing is there to be done."""


def _held(**more: Any) -> Callable[[Any], dict[str, Any]]:
    return lambda stock: {"name": stock.held, **more}


HOOK = "eos_test_app.conflict_hooks.local_wins"

ENDPOINTS = {
    "api.get_sync_status": Endpoint(READERS, writes=False),
    "api.get_metrics": Endpoint(READERS, writes=False),
    "api.get_pending_conflicts": Endpoint(READERS, writes=False),
    "api.explain": Endpoint(READERS, writes=False, given=_held()),
    "api.explain_each": Endpoint(
        READERS, writes=False, given=lambda stock: {"names": json.dumps([stock.held])}
    ),
    "permissions.get_count": Endpoint(
        READERS, writes=False, given=lambda stock: {"doctype": "Offline Request"}
    ),
    "api.force_sync": Endpoint(READERS),
    "api.pause": Endpoint(MANAGERS, given=lambda stock: {"reason": "stock taking"}),
    "api.resume": Endpoint(MANAGERS),
    "api.resolve_conflict": Endpoint(
        READERS, given=lambda stock: {"conflict_id": stock.conflict, "resolution": "skip"}
    ),
    "api.undo_conflict": Endpoint(READERS, given=lambda stock: {"conflict_id": stock.conflict}, answers=417),
    "api.clear_old_requests": Endpoint(MANAGERS, given=lambda stock: {"days": 3650}),
    "api.retry": Endpoint(READERS, given=_held()),
    "api.discard": Endpoint(READERS, given=_held(reason="typed twice", take_along=1)),
    "api.send_whole": Endpoint(READERS, given=_held()),
    "api.enqueue_request": Endpoint(
        WITH_THE_DOCUMENT,
        given=lambda stock: {
            "method": "POST",
            "path": "/api/resource/Shop Note",
            "body": {"title": "queued"},
        },
    ),
    "api.register_conflict_hook": Endpoint(
        MANAGERS, given=lambda stock: {"doctype": "Shop Item", "path": HOOK}
    ),
    "api.unregister_conflict_hook": Endpoint(MANAGERS, given=lambda stock: {"doctype": "Shop Item"}),
    "api.get_proposed_policies": Endpoint(MANAGERS, writes=False),
    "api.test_connection": Endpoint(MANAGERS),
    "api.doctor": Endpoint(MANAGERS),
    "api.shutdown": Endpoint(MANAGERS),
    "receiver.capabilities": Endpoint((), writes=False),
    "receiver.push": Endpoint(()),
    "receiver.rehearse": Endpoint(()),
    "receiver.receipts": Endpoint((), given=lambda stock: {"origin": "none", "ids": []}),
    "conflicts.list_conflicts": Endpoint(READERS, writes=False),
    "conflicts.expected": Endpoint(READERS, writes=False),
    "conflicts.preview": Endpoint(
        READERS, given=lambda stock: {"name": stock.conflict, "resolution": "skip"}
    ),
    "conflicts.decide": Endpoint(READERS, given=lambda stock: {"name": stock.conflict, "resolution": "skip"}),
    "conflicts.preview_many": Endpoint(
        READERS, given=lambda stock: {"names": [stock.conflict], "resolution": "skip"}
    ),
    "conflicts.decide_many": Endpoint(
        READERS, given=lambda stock: {"names": [stock.conflict], "resolution": "skip"}
    ),
    "conflicts.undo": Endpoint(READERS, given=lambda stock: {"name": stock.conflict}),
    "conflicts.get_conflict": Endpoint(READERS, writes=False, given=lambda stock: {"name": stock.conflict}),
}
"""The one table of who may call what; below the package's name."""


def whitelisted_functions() -> dict[str, list[str]]:
    """Runs on the branch: the whitelisted functions of the package with the parameters that lack a type, and
    those that guests may call."""
    import importlib
    import inspect
    import pkgutil

    import frappe

    import erp_offline_sync

    for module in pkgutil.walk_packages(erp_offline_sync.__path__, "erp_offline_sync."):
        if ".testing" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found = {}
    for function in frappe.whitelisted:
        if function.__module__.split(".")[0] != "erp_offline_sync":
            continue
        name = f"{function.__module__}.{function.__qualname__}".removeprefix("erp_offline_sync.")
        signature = inspect.signature(function)
        untyped = [p.name for p in signature.parameters.values() if p.annotation is p.empty]
        untyped += ["return"] if signature.return_annotation is signature.empty else []
        found[name] = [*untyped, *(["guest"] if function in frappe.guest_methods else [])]
    return found


class Stock:
    """Requests that need a person and conflicts that wait for one. What a call used up is not given again."""

    def __init__(self, branch: Any, central: Any) -> None:
        self._names = _needing_attention(branch, 9)
        self._conflicts = _in_conflict(branch, central, 3)

    @property
    def held(self) -> str:
        return self._names[-1]

    @property
    def conflict(self) -> str:
        return self._conflicts[-1]

    def use_up(self, given: dict[str, Any]) -> None:
        if given.get("name") == self.held:
            self._names.pop()
        if given.get("conflict_id") == self.conflict:
            self._conflicts.pop()


def _needing_attention(branch: Any, number: int) -> list[str]:
    """Changes of notes that the central has never heard of."""
    for index in range(number):
        name = make_older(branch, {"doctype": "Shop Note", "title": f"old {index}"})["name"]
        branch.save("Shop Note", name, title=f"new {index}")
    branch.sync()
    rows = requests_of(branch, status="Needs Attention")
    assert len(rows) == number
    return [row["name"] for row in rows]


def _in_conflict(branch: Any, central: Any, number: int) -> list[str]:
    notes = [branch.insert({"doctype": "Shop Note", "title": "both"})["name"] for _ in range(number)]
    branch.sync()
    for there in central.documents("Shop Note", {"title": "both"}):
        central.save("Shop Note", there["name"], category="B")
    for name in notes:
        branch.save("Shop Note", name, category="A")
    branch.sync()
    rows = branch.documents("Sync Conflict", {"resolution_status": "pending"})
    assert len(rows) == number
    return [row["name"] for row in rows]


@pytest.fixture(scope="module")
def set_up(rig):
    """The branch, with conflicts left to people, for the whole file."""
    rig.empty()
    rig.set_up_branch(default_strategy="Manual")
    yield
    rig.set_up_branch([], enabled=0)
    rig.empty()


@pytest.fixture(scope="module")
def people(branch, set_up):
    return {
        "guest": branch.guest,
        "plain": branch.user("plain@shop.example"),
        "cashier": branch.user("cashier@shop.example", "Shop User"),
        "clerk": branch.user("clerk@shop.example", "Shop User", "Offline Sync User"),
        "manager": branch.user("manager@shop.example", "Shop User", "Offline Sync Manager"),
    }


@pytest.fixture(scope="module")
def stock(branch, central, set_up):
    return Stock(branch, central)


def test_every_whitelisted_function_is_in_the_table_and_typed_and_not_for_guests(branch):
    found = branch.run(whitelisted_functions)
    assert sorted(found) == sorted(ENDPOINTS)
    assert {name: lacking for name, lacking in found.items() if lacking} == {}


@pytest.mark.parametrize("name", sorted(ENDPOINTS))
def test_a_whitelisted_function_answers_those_who_may_call_it_and_no_one_else(name, people, stock):
    endpoint = ENDPOINTS[name]
    path = f"/api/method/erp_offline_sync.{name}"
    told, texts = {}, []
    for person in PEOPLE:
        given = endpoint.given(stock)
        call = people[person]
        answer = call.post(path, json=given) if endpoint.writes else call.get(path, params=given)
        told[person] = answer.status_code
        texts.append(answer.text[-400:])
        if answer.ok:
            stock.use_up(given)
    assert told == {person: endpoint.answers if person in endpoint.may else 403 for person in PEOPLE}, texts
    if endpoint.writes:
        assert people["manager"].get(path, params=endpoint.given(stock)).status_code == 403


def required_parameters() -> dict[str, list[str]]:
    """Runs on the branch: of each whitelisted function of the package."""
    import inspect

    import frappe

    return {
        f"{function.__module__}.{function.__qualname__}": [
            name
            for name, each in inspect.signature(function).parameters.items()
            if each.default is each.empty
        ]
        for function in frappe.whitelisted
        if function.__module__.split(".")[0] == "erp_offline_sync"
    }


def test_a_call_without_a_required_parameter_is_refused_by_its_name(branch, people):
    branch.run(whitelisted_functions)
    lacking = {name: names for name, names in branch.run(required_parameters).items() if names}
    assert len(lacking) > 8
    for name, parameters in lacking.items():
        answer = people["manager"].post(f"/api/method/{name}", json={})
        assert answer.status_code == 417, (name, answer.text[-400:])
        assert f"Missing: {', '.join(parameters)}." in answer.text, (name, answer.text[-400:])
    answer = people["manager"].post(
        "/api/method/erp_offline_sync.api.resolve_conflict", json={"conflict_id": "x"}
    )
    assert (answer.status_code, "Missing: resolution." in answer.text) == (417, True)
    assert branch.count("Error Log") == 0


# ---------------------------------------------------------------- rows about documents

ABOUT = {
    "Offline Request": ("resource_type", "resource_id", "body"),
    "Synced Document": ("reference_doctype", "local_name", "base"),
    "Sync Conflict": ("resource_type", "resource_id", "local_data"),
}
"""Doctype → the fields that name the document a row is about, and one that holds its values."""


@dataclass(frozen=True)
class Rows:
    """What is there, as Administrator sees it."""

    mine: str
    theirs: str
    todo: str
    names: dict[str, dict[str, tuple[str, str]]]
    """Doctype → row → (document type, document)."""

    def of(self, doctype: str, document: str) -> set[str]:
        return {row for row, (_, name) in self.names[doctype].items() if name == document}


@pytest.fixture(scope="module")
def rows(branch, central, people):
    """Two customers changed on both sites, a task of the outsider's own, and a plain call."""
    mine, theirs = (
        branch.insert({"doctype": "Shop Customer", "customer_name": name})["name"] for name in (MINE, THEIRS)
    )
    branch.sync()
    for there in central.documents("Shop Customer"):
        central.save("Shop Customer", there["name"], credit_limit=2)
    for name in (mine, theirs):
        branch.save("Shop Customer", name, credit_limit=1)
    branch.user("outsider@shop.example", "Offline Sync User")
    task = {"doctype": "ToDo", "description": "call Asha", "allocated_to": "outsider@shop.example"}
    todo = branch.insert(task)["name"]
    branch.insert({"doctype": "ToDo", "description": "Administrator's own"})
    branch.sync()
    names = {}
    for doctype, (type_field, name_field, _) in ABOUT.items():
        found = branch.documents(doctype, fields=["name", type_field, name_field])
        names[doctype] = {row["name"]: (row[type_field], row[name_field]) for row in found}
    return Rows(mine=mine, theirs=theirs, todo=todo, names=names)


@pytest.fixture(scope="module")
def readers(branch, people, rows):
    """Who reads, and which of the two customers (and the task) that person may read."""

    def restrict(user, mine):
        import frappe

        frappe.db.delete("User Permission", {"user": user})
        frappe.get_doc(
            {"doctype": "User Permission", "user": user, "allow": "Shop Customer", "for_value": mine}
        ).insert()

    def share(user, mine):
        import frappe

        frappe.db.delete("DocShare", {"user": user})
        frappe.share.add("Shop Customer", mine, user, read=1)

    keeper, friend = "keeper@shop.example", "friend@shop.example"
    everything = {
        "clerk": (people["clerk"], {rows.mine, rows.theirs}),
        "cashier": (people["cashier"], set()),
        "plain": (people["plain"], set()),
        "boss": (branch.user("boss@shop.example", "Offline Sync Manager"), set()),
        "keeper": (branch.user(keeper, "Shop User", "Offline Sync Manager"), {rows.mine}),
        "friend": (branch.user(friend, "Offline Sync User"), {rows.mine}),
        "outsider": (branch.user("outsider@shop.example", "Offline Sync User"), {rows.todo}),
    }
    branch.run(restrict, keeper, rows.mine)
    branch.run(share, friend, rows.mine)
    return everything


def _message(answer: Any) -> Any:
    return answer.json().get("message") if answer.ok else None


def _get_list(call: Any, doctype: str) -> set[str]:
    answer = call.get(f"/api/resource/{doctype}", params={"limit_page_length": 0})
    return {row["name"] for row in answer.json()["data"]} if answer.ok else set()


def _get_list_v2(call: Any, doctype: str) -> set[str]:
    answer = call.get(f"/api/v2/document/{doctype}", params={"limit": 1000, "fields": '["name"]'})
    return {row["name"] for row in answer.json()["data"]} if answer.ok else set()


def _client_get_list(call: Any, doctype: str) -> set[str]:
    given = {"doctype": doctype, "fields": ["name"], "limit_page_length": 0}
    return {
        row["name"] for row in _message(call.post("/api/method/frappe.client.get_list", json=given)) or ()
    }


def _list_view(call: Any, doctype: str, **more: Any) -> set[str]:
    given = {
        "doctype": doctype,
        "fields": json.dumps([f"`tab{doctype}`.`name`"]),
        "page_length": 1000,
        **more,
    }
    told = _message(call.post("/api/method/frappe.desk.reportview.get", data=given))
    return {row[0] for row in told["values"]} if told else set()


def _report_view(call: Any, doctype: str) -> set[str]:
    filters = json.dumps([[doctype, ABOUT[doctype][1], "like", "%"]])
    return _list_view(call, doctype, view="Report", filters=filters)


def _export(call: Any, doctype: str) -> set[str]:
    fields = json.dumps([f"`tab{doctype}`.`name`", f"`tab{doctype}`.`{ABOUT[doctype][1]}`"])
    given = {"doctype": doctype, "fields": fields, "file_format_type": "CSV", "title": doctype}
    answer = call.post("/api/method/frappe.desk.reportview.export_query", data=given)
    if not answer.ok:
        return set()
    lines = list(csv.reader(io.StringIO(answer.text)))[1:]
    return {cell for line in lines for cell in line}


def _search(call: Any, doctype: str) -> set[str]:
    given = {"doctype": doctype, "txt": "", "page_length": 1000}
    answer = call.post("/api/method/frappe.desk.search.search_link", data=given)
    found = (answer.json().get("message") or answer.json().get("results") or ()) if answer.ok else ()
    return {row["value"] for row in found}


LISTS = {
    "list": _get_list,
    "list-v2": _get_list_v2,
    "client": _client_get_list,
    "list-view": _list_view,
    "report-view": _report_view,
    "export": _export,
    "search": _search,
}
MAY_NOT_EXPORT = ("clerk", "friend", "outsider")
"""Export is for managers."""


def _client_count(call: Any, doctype: str) -> int:
    return _message(call.get("/api/method/frappe.client.get_count", params={"doctype": doctype})) or 0


def _client_count_by_content(call: Any, doctype: str) -> int:
    """Guessing a value by counting the rows that hold it."""
    given = {"doctype": doctype, "filters": {ABOUT[doctype][2]: ("like", "%Canary%")}}
    return _message(call.post("/api/method/frappe.client.get_count", json=given)) or 0


def _view_count(call: Any, doctype: str) -> int:
    given = {"doctype": doctype, "filters": "[]", "fields": "[]", "distinct": "false"}
    return _message(call.post("/api/method/frappe.desk.reportview.get_count", data=given)) or 0


def _count_v2(call: Any, doctype: str) -> int:
    answer = call.get(f"/api/v2/doctype/{doctype}/count")
    return answer.json()["data"] if answer.ok else 0


def _groups(call: Any, doctype: str) -> int:
    given = {"doctype": doctype, "current_filters": "[]", "field": ABOUT[doctype][0]}
    told = _message(call.post("/api/method/frappe.desk.listview.get_group_by_count", data=given)) or ()
    return sum(group["count"] for group in told)


def _number_card(call: Any, doctype: str) -> int:
    card = {"document_type": doctype, "function": "Count", "type": "Document Type"}
    given = {"doc": json.dumps(card), "filters": "[]"}
    path = "/api/method/frappe.desk.doctype.number_card.number_card.get_result"
    return _message(call.post(path, data=given)) or 0


COUNTS = {
    "client": _client_count,
    "view": _view_count,
    "v2": _count_v2,
    "groups": _groups,
    "number-card": _number_card,
}


def _may_see(rows: Rows, doctype: str, person: str, documents: set[str]) -> set[str]:
    """The rows about documents that the person may read; a manager also those about no document."""
    seen = {row for document in documents for row in rows.of(doctype, document)}
    return seen | (rows.of(doctype, None) if person in ("boss", "keeper") else set())


@pytest.mark.parametrize("way", LISTS)
@pytest.mark.parametrize("doctype", ABOUT)
def test_lists_reports_and_exports_show_rows_about_documents_that_the_reader_may_read(
    way, doctype, readers, rows
):
    about_the_test = {rows.mine, rows.theirs, rows.todo}
    every = {row for document in about_the_test for row in rows.of(doctype, document)}
    assert every
    for person, (call, documents) in readers.items():
        expected = _may_see(rows, doctype, person, documents) & every
        if way == "export" and person in MAY_NOT_EXPORT:
            expected = set()
        assert LISTS[way](call, doctype) & every == expected, person


@pytest.mark.parametrize("way", COUNTS)
@pytest.mark.parametrize("doctype", ABOUT)
def test_counts_are_of_rows_about_documents_that_the_reader_may_read(way, doctype, readers, rows):
    """Compared with what the list shows: the lists' own test says that this is right."""
    for person, (call, _) in readers.items():
        assert COUNTS[way](call, doctype) == len(_get_list(call, doctype)), person


@pytest.mark.parametrize("doctype", ABOUT)
def test_a_value_cannot_be_guessed_by_counting(doctype, branch, readers, rows):
    found = {person: _client_count_by_content(call, doctype) for person, (call, _) in readers.items()}
    _, name_field, content = ABOUT[doctype]
    mine, theirs = (
        branch.count(doctype, {name_field: document, content: ("like", "%Canary%")})
        for document in (rows.mine, rows.theirs)
    )
    assert mine > 0 < theirs
    assert found["clerk"] == mine + theirs
    assert found["keeper"] == found["friend"] == mine
    assert {found[person] for person in ("plain", "cashier", "boss", "outsider")} == {0}


SINGLE = {
    "rest": lambda call, doctype, name: call.get(f"/api/resource/{doctype}/{name}"),
    "rest-v2": lambda call, doctype, name: call.get(f"/api/v2/document/{doctype}/{name}"),
    "client": lambda call, doctype, name: call.get(
        "/api/method/frappe.client.get", params={"doctype": doctype, "name": name}
    ),
    "value": lambda call, doctype, name: call.get(
        "/api/method/frappe.client.get_value",
        params={"doctype": doctype, "filters": name, "fieldname": ABOUT[doctype][2]},
    ),
    "form": lambda call, doctype, name: call.get(
        "/api/method/frappe.desk.form.load.getdoc", params={"doctype": doctype, "name": name}
    ),
    "link": lambda call, doctype, name: call.get(
        "/api/method/frappe.client.validate_link",
        params={"doctype": doctype, "docname": name, "fields": json.dumps([ABOUT[doctype][2]])},
    ),
    "print": lambda call, doctype, name: call.get(
        "/api/method/frappe.www.printview.get_html_and_style", params={"doc": doctype, "name": name}
    ),
}
WITHOUT_VALUES = ("value", "link")
"""Answer single fields, as lists do: not those that hold a document's values."""


@pytest.mark.parametrize("way", SINGLE)
@pytest.mark.parametrize("doctype", ABOUT)
def test_one_row_is_shown_to_those_who_may_read_its_document(way, doctype, readers, rows):
    """To all others not even which document it is about."""
    for document, canary in ((rows.mine, MINE), (rows.theirs, THEIRS)):
        name = min(rows.of(doctype, document))
        for person, (call, documents) in readers.items():
            answer = SINGLE[way](call, doctype, name)
            if document in documents:
                shown = name if way in WITHOUT_VALUES else document if way == "print" else canary
                assert shown in answer.text, (person, answer.text)
            else:
                assert canary not in answer.text, (person, answer.text)
                assert document not in answer.text, (person, answer.text)


def test_conflicts_and_reasons_are_told_to_those_who_may_read_the_document(readers, rows):
    about = {rows.mine, rows.theirs}
    request = {document: min(rows.of("Offline Request", document)) for document in about}
    for person, (call, documents) in readers.items():
        told = _message(call.get("/api/method/erp_offline_sync.api.get_pending_conflicts")) or ()
        assert {each["resource_id"] for each in told} & about == documents & about, person
        one = _message(
            call.get("/api/method/erp_offline_sync.api.get_pending_conflicts", params={"limit": 1})
        )
        assert len(one or ()) == min(1, len(told)), person
        for document, name in request.items():
            answer = call.get("/api/method/erp_offline_sync.api.explain", params={"name": name})
            assert answer.ok == (document in documents), person


# ---------------------------------------------------------------- changing

DECISIONS = {
    "retry": {},
    "discard": {"reason": "not mine"},
    "send_whole": {},
}


@pytest.mark.parametrize("person", ["friend", "outsider", "boss", "keeper"])
def test_who_may_not_write_a_document_decides_nothing_about_it(person, branch, readers, rows):
    """The friend may read "mine" but not write it; the others may not even read "theirs"."""
    document = rows.mine if person == "friend" else rows.theirs
    call, _ = readers[person]
    names = rows.of("Offline Request", document) | rows.of("Sync Conflict", document)
    before = [_as_it_stands(branch, name) for name in sorted(names)]
    for name in rows.of("Offline Request", document):
        for function, more in DECISIONS.items():
            path = f"/api/method/erp_offline_sync.api.{function}"
            answer = call.post(path, json={"name": name, **more})
            assert (answer.status_code, document in answer.text) == (403, False), function
    for name in rows.of("Sync Conflict", document):
        for resolution in ("local_wins", "server_wins", "skip", "nonsense"):
            given = {"conflict_id": name, "resolution": resolution}
            path = "/api/method/erp_offline_sync.api.resolve_conflict"
            answer = call.post(path, json=given)
            assert (answer.status_code, document in answer.text) == (403, False)
    assert [_as_it_stands(branch, name) for name in sorted(names)] == before


def _as_it_stands(branch: Any, name: str) -> Any:
    for doctype in ("Offline Request", "Sync Conflict"):
        for row in branch.documents(doctype, {"name": name}):
            return row
    return None


@pytest.mark.parametrize("doctype", [*ABOUT, "Sync Metadata"])
def test_rows_are_changed_by_no_form_and_no_rest_call(doctype, branch, readers, rows):
    """Not even by those who may read them all: a System Manager, a manager and a clerk."""
    owner = branch.user("owner@shop.example", "System Manager", "Shop User", "Offline Sync Manager")
    name = branch.documents(doctype, fields=["name"])[0]["name"]
    before = branch.get(doctype, name)
    for call in (owner, readers["keeper"][0], readers["clerk"][0]):
        changed = {"doctype": doctype, "name": name, "owner": "clerk@shop.example", "status": "Synced"}
        refused = [
            call.put(f"/api/resource/{doctype}/{name}", json=changed),
            call.delete(f"/api/resource/{doctype}/{name}"),
            call.post(f"/api/resource/{doctype}", json={**changed, "name": "made-up"}),
            call.post(
                "/api/method/frappe.client.set_value",
                json={"doctype": doctype, "name": name, "fieldname": "owner", "value": "x@shop.example"},
            ),
            call.post("/api/method/frappe.client.delete", json={"doctype": doctype, "name": name}),
            call.post(
                "/api/method/frappe.client.rename_doc",
                json={"doctype": doctype, "old_name": name, "new_name": "renamed"},
            ),
        ]
        assert {answer.status_code for answer in refused} <= {403, 417}, [a.text[-300:] for a in refused]
    assert branch.get(doctype, name) == before
    assert not branch.exists(doctype, "made-up")


def test_settings_and_what_runs_keep_are_for_managers(branch, readers):
    kept = branch.documents("Sync Metadata", fields=["name"])[0]["name"]
    for path in ("Offline Sync Settings/Offline Sync Settings", f"Sync Metadata/{kept}"):
        for person, (call, _) in readers.items():
            answer = call.get(f"/api/resource/{path}")
            assert answer.status_code == (200 if person in ("boss", "keeper") else 403), (path, person)


# ---------------------------------------------------------------- queueing


@pytest.fixture(scope="module")
def drafter(branch, readers):
    """May write sales, but not submit them; and a customer's credit limit is for others to set."""

    def limit():
        import frappe
        from frappe.permissions import add_permission, update_permission_property

        if not frappe.db.exists("Role", "Drafter"):
            frappe.get_doc({"doctype": "Role", "role_name": "Drafter", "desk_access": 1}).insert()
        for doctype in ("Shop Sale", "Shop Customer"):
            add_permission(doctype, "Drafter", 0)
            for right in ("write", "create"):
                update_permission_property(doctype, "Drafter", 0, right, 1)
        frappe.make_property_setter(
            {
                "doctype": "Shop Customer",
                "fieldname": "credit_limit",
                "property": "permlevel",
                "value": 1,
                "property_type": "Int",
            }
        )

    def lift():
        import frappe
        from frappe.permissions import reset_perms

        for doctype in ("Shop Sale", "Shop Customer"):
            reset_perms(doctype)
            frappe.db.delete("Property Setter", {"doc_type": doctype, "property": "permlevel"})
            frappe.clear_cache(doctype=doctype)

    branch.run(limit)
    yield branch.user("drafter@shop.example", "Drafter")
    branch.run(lift)


def test_a_caller_queues_what_it_may_do_to_that_document_here_and_nothing_else(
    branch, readers, rows, drafter
):
    """As Frappe would check it here: the document as it stands and as it would become, submit, and levels of
    fields. The central would carry all of it out, as the branch's user."""
    sale = {"customer": rows.mine, "items": [{"item": "TEA", "qty": 1}]}
    mine, theirs = (f"/api/resource/Shop Customer/{name}" for name in (rows.mine, rows.theirs))
    keeper, friend = readers["keeper"][0], readers["friend"][0]
    owner = branch.user("owner@shop.example", "System Manager", "Shop User")
    cases = [
        ("may read it only", friend, "PUT", mine, {"customer_name": "x"}, 403),
        ("may read it only", friend, "DELETE", mine, None, 403),
        ("may create none", friend, "POST", "/api/resource/Shop Customer", {"customer_name": "x"}, 403),
        ("may not know of it", friend, "PUT", "/api/resource/Shop Customer/none", {"disabled": 1}, 403),
        ("is restricted to another", keeper, "PUT", theirs, {"disabled": 1}, 403),
        ("is restricted to it", keeper, "PUT", mine, {"disabled": 1}, 200),
        (
            "links to another",
            keeper,
            "POST",
            "/api/resource/Shop Sale",
            {**sale, "customer": rows.theirs},
            403,
        ),
        ("links to its own", keeper, "POST", "/api/resource/Shop Sale", sale, 200),
        ("a draft", drafter, "POST", "/api/resource/Shop Sale", sale, 200),
        ("submitted at once", drafter, "POST", "/api/resource/Shop Sale", {**sale, "docstatus": 1}, 403),
        ("a common field", drafter, "PUT", mine, {"mobile": "1"}, 200),
        ("a field of a higher level", drafter, "PUT", mine, {"credit_limit": 1000}, 403),
        ("set-up", owner, "PUT", "/api/resource/User/owner@shop.example", {"enabled": 0}, 403),
        ("set-up", owner, "POST", "/api/resource/Server Script", {"script": "x"}, 403),
        ("not in the list", owner, "POST", "/api/method/frappe.ping", {}, 403),
    ]
    told, before = [], branch.count("Offline Request")
    for what, call, method, path, body, _ in cases:
        given = {"method": method, "path": path, "body": body, "overwrite": 1}
        answer = call.post("/api/method/erp_offline_sync.api.enqueue_request", json=given)
        told.append((what, answer.status_code))
    assert told == [(what, expected) for what, *_, expected in cases]
    assert branch.count("Offline Request") == before + sum(expected == 200 for *_, expected in cases)


def test_a_path_of_the_list_is_queued_by_managers_only(rig, readers, rows):
    given = {"method": "POST", "path": "/api/method/frappe.ping", "body": {}}
    rig.set_up_branch(default_strategy="Manual", allowed_paths=given["path"])
    path = "/api/method/erp_offline_sync.api.enqueue_request"
    told = {person: call.post(path, json=given).status_code for person, (call, _) in readers.items()}
    assert told == {person: 200 if person in ("boss", "keeper") else 403 for person in readers}
