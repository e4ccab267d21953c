"""What a branch relies on in a central's answers: one list of requests, for the stand-in and for real sites.

`observe(call)` sends them and answers what was seen, case by case, without what differs by nature (names, times).
Two centrals keep the contract where their observations are equal. The doctypes are the suite's own, so that a real
site can be given them: `doctype_documents()` are the documents to insert there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from erp_offline_sync.engine.paths import document_path, quote_segment
from erp_offline_sync.testing.stand_in import DocTypeRule, FieldRule

__all__ = ["CASES", "RULES", "CallCentral", "doctype_documents", "observe"]

PARTY, THING, SLIP, PAPER, ROW = (f"EOS {word}" for word in ("Party", "Thing", "Slip", "Paper", "Paper Row"))

RULES: tuple[DocTypeRule, ...] = (
    DocTypeRule(
        name=PARTY,
        fields={
            "title": FieldRule(required=True),
            "number": FieldRule(unique=True),
            "kind": FieldRule(fieldtype="Select", options="Shop\nHome", default="Shop"),
            "since": FieldRule(fieldtype="Date", default="Today"),
            "active": FieldRule(fieldtype="Check", default="1"),
            "closed": FieldRule(fieldtype="Check"),
            "points": FieldRule(fieldtype="Int", default="7"),
            "weight": FieldRule(fieldtype="Float"),
            "note": FieldRule(fieldtype="Text"),
        },
    ),
    DocTypeRule(
        name=THING,
        autoname="field:code",
        fields={"code": FieldRule(required=True), "note": FieldRule(fieldtype="Text")},
    ),
    DocTypeRule(
        name=SLIP, autoname="prompt", allow_rename=False, fields={"note": FieldRule(fieldtype="Text")}
    ),
    DocTypeRule(
        name=ROW,
        is_table=True,
        fields={
            "thing": FieldRule(fieldtype="Link", options=THING, required=True),
            "qty": FieldRule(fieldtype="Float", default="1"),
            "remark": FieldRule(),
        },
    ),
    DocTypeRule(
        name=PAPER,
        autoname="EOS-.YYYY.-.#####",
        submittable=True,
        fields={
            "party": FieldRule(fieldtype="Link", options=PARTY, required=True),
            "other": FieldRule(fieldtype="Link", options=PAPER),
            "note": FieldRule(),
            "comment": FieldRule(allow_on_submit=True),
            "rows": FieldRule(fieldtype="Table", options=ROW),
        },
    ),
)


class CallCentral(Protocol):
    """One request: `path` quoted, `body` a value to send as JSON or bytes as they are, `token` one of "good",
    "bad", "none". Answers status and parsed JSON, None where the answer is no JSON."""

    def __call__(
        self, method: str, path: str, body: Any = None, *, token: str = "good"
    ) -> tuple[int, Any]: ...


Seen = list[Any]


def doctype_documents(rules: tuple[DocTypeRule, ...] = RULES) -> list[dict[str, Any]]:
    """The rules as documents of the doctype DocType, in an order in which they can be inserted."""
    return [_doctype_document(rule) for rule in rules]


def _doctype_document(rule: DocTypeRule) -> dict[str, Any]:
    rights = dict.fromkeys(("read", "write", "create", "delete", "submit", "cancel", "report"), 1)
    if not rule.submittable:
        del rights["submit"], rights["cancel"]
    return {
        "doctype": "DocType",
        "name": rule.name,
        "module": "Custom",
        "custom": 1,
        "istable": int(rule.is_table),
        "is_submittable": int(rule.submittable),
        "allow_rename": int(rule.allow_rename),
        "autoname": _autoname(rule),
        "fields": [
            {
                "fieldname": name,
                "label": name.replace("_", " ").title(),
                "fieldtype": field.fieldtype,
                "options": field.options or None,
                "default": field.default,
                "reqd": int(field.required),
                "unique": int(field.unique),
                "allow_on_submit": int(field.allow_on_submit),
            }
            for name, field in rule.fields.items()
        ],
        "permissions": [] if rule.is_table else [{"role": "System Manager", **rights}],
    }


def _autoname(rule: DocTypeRule) -> str:
    """A series goes as a format: on SQLite, 16.0.0-dev cannot insert a doctype with a series."""
    if "#" not in rule.autoname:
        return rule.autoname
    parts = rule.autoname.split(".")
    return "format:" + "".join(f"{{{part}}}" if part.strip("#") in ("", "YYYY") else part for part in parts)


def observe(call: CallCentral) -> dict[str, Seen]:
    """What each case sees. The central needs none of the suite's documents beforehand; they stay behind."""
    return {case.__name__: case(call) for case in CASES}


# What is noted of an answer


def _said(answer: tuple[int, Any]) -> str:
    """Status and type of exception: `200`, `417 TimestampMismatchError`, `405 page`."""
    status, body = answer
    if not isinstance(body, Mapping):
        return f"{status} page"
    errors = body.get("errors")
    kind = body.get("exc_type") or (errors[0].get("type") if errors else None)
    return f"{status} {kind}" if kind else str(status)


def _taken(answer: tuple[int, Any]) -> bool:
    """Which of the two it is depends on the database, where name and field are one."""
    return _said(answer) in ("409 DuplicateEntryError", "417 UniqueValidationError")


def _doc(answer: tuple[int, Any]) -> dict[str, Any]:
    body = answer[1]
    document = body.get("data", body.get("message"))
    if not isinstance(document, dict):
        raise AssertionError(f"no document in {_said(answer)}: {str(body)[:300]}")
    return document


def _of(document: Mapping[str, Any], *fields: str) -> list[Any]:
    return [document.get(field) for field in fields]


def _new(call: CallCentral, stem: str) -> str:
    """A text that no earlier run on the same site has used: a hash name of the central's own is new to it."""
    answer = call("POST", document_path(PARTY), {"title": "for a name"})
    return f"{stem} {_doc(answer)['name']}"


def _party(call: CallCentral, **values: Any) -> dict[str, Any]:
    return _doc(call("POST", document_path(PARTY), {"title": "A party", **values}))


def _thing(call: CallCentral) -> str:
    return str(_doc(call("POST", document_path(THING), {"code": _new(call, "thing")}))["name"])


def _paper(call: CallCentral, **values: Any) -> dict[str, Any]:
    body = {"party": _party(call)["name"], "rows": [{"thing": _thing(call), "qty": 2}], **values}
    return _doc(call("POST", document_path(PAPER), body))


def _get(call: CallCentral, doctype: str, name: Any) -> dict[str, Any]:
    return _doc(call("GET", document_path(doctype, str(name))))


def _put(call: CallCentral, doctype: str, name: Any, **values: Any) -> tuple[int, Any]:
    return call("PUT", document_path(doctype, str(name)), values)


# The cases


def a_create_takes_defaults_for_what_is_absent_or_null(call: CallCentral) -> Seen:
    fields = ("title", "number", "kind", "active", "closed", "points", "weight", "note", "docstatus", "idx")
    absent = _party(call)
    null = _party(call, kind=None, active=None, closed=None, points=None, since=None)
    given = _party(call, kind="Home", active=0, closed=1, points=0, since="2020-02-29", weight=1.5, note="")
    return [
        _of(absent, *fields),
        _of(null, *fields),
        _of(given, *fields, "since"),
        absent["since"] == null["since"] == absent["creation"][:10],
        absent["creation"] == absent["modified"],
        absent["owner"] == absent["modified_by"],
        _of(_get(call, PARTY, given["name"]), *fields, "since"),
    ]


def nulls_and_unknown_fields_are_not_answered(call: CallCentral) -> Seen:
    document = _party(call, no_such_field="x")
    read = _get(call, PARTY, document["name"])
    return ["no_such_field" in document, "number" in document, "note" in document, "note" in read]


def an_update_needs_the_current_version_or_none(call: CallCentral) -> Seen:
    first = _party(call, note="first")
    name = first["name"]
    good = _put(call, PARTY, name, note="second", modified=first["modified"])
    second = _doc(good)
    return [
        _said(good),
        second["note"],
        second["modified"] > first["modified"],
        second["creation"] == first["creation"],
        _said(_put(call, PARTY, name, note="third", modified=first["modified"])),
        _get(call, PARTY, name)["note"],
        _get(call, PARTY, name)["modified"] == second["modified"],
        _said(_put(call, PARTY, name, note="fourth")),
        _get(call, PARTY, name)["note"],
    ]


def an_update_without_a_change_moves_the_version_all_the_same(call: CallCentral) -> Seen:
    first = _party(call)
    second = _doc(_put(call, PARTY, first["name"], modified=first["modified"]))
    return [second["modified"] > first["modified"]]


def an_update_empties_what_is_null(call: CallCentral) -> Seen:
    name = _party(call, note="x", points=3, kind="Home", since="2020-01-01")["name"]
    fields = ("note", "points", "kind", "since", "title")
    return [
        _of(_doc(_put(call, PARTY, name, note=None, points=None, since=None)), *fields),
        _of(_get(call, PARTY, name), *fields),
        _said(_put(call, PARTY, name, title="")),
    ]


def another_name_in_an_update_is_not_found(call: CallCentral) -> Seen:
    name = _party(call)["name"]
    return [_said(call("PUT", document_path(PARTY, name), {"name": "another", "note": "x"}))]


def what_is_missing_is_not_found(call: CallCentral) -> Seen:
    path = document_path(PARTY, "no such name")
    return [
        _said(call("GET", path)),
        _said(call("PUT", path, {"note": "x"})),
        _said(call("DELETE", path)),
        _said(call("GET", "/api/no_such_route")),
        _said(
            call(
                "PUT", document_path(PARTY, "no such name").replace("resource", "v2/document"), {"note": "x"}
            )
        ),
    ]


def a_delete_is_answered_202(call: CallCentral) -> Seen:
    name = _party(call)["name"]
    path = document_path(PARTY, name)
    answer = call("DELETE", path)
    return [_said(answer), answer[1], _said(call("GET", path)), _said(call("DELETE", path))]


def wrong_calls_are_told_apart(call: CallCentral) -> Seen:
    return [
        _said(call("POST", "/api/resource/NoSuchDocType", {"a": 1})),
        _said(call("POST", "/api/method/no_such_app.api.call", {})),
        _said(call("POST", "/api/method/frappe.client.no_such_call", {})),
        _said(call("PATCH", document_path(PARTY), {"a": 1})),
        _said(call("POST", document_path(PARTY), b"{no json")),
    ]


def who_calls_matters(call: CallCentral) -> Seen:
    path, body = document_path(PARTY), {"title": "x"}
    user = call("GET", "/api/method/frappe.auth.get_logged_user")
    zone = call("GET", "/api/method/frappe.client.get_time_zone")
    return [
        _said(call("POST", path, body, token="bad")),
        _said(call("POST", path, body, token="none")),
        _said(call("GET", "/api/method/frappe.auth.get_logged_user", token="none")),
        _said(user),
        user[1]["message"] == _party(call)["owner"],
        sorted(zone[1]["message"]),
        call("GET", "/api/method/ping")[1],
    ]


def a_required_field_must_be_there(call: CallCentral) -> Seen:
    return [
        _said(call("POST", document_path(PARTY), {})),
        _said(call("POST", document_path(PARTY), {"title": " "})),
        _said(call("POST", document_path(THING), {})),
    ]


def a_link_must_name_something(call: CallCentral) -> Seen:
    thing = _thing(call)
    party = _party(call)["name"]
    rows = [{"thing": "no such thing"}]
    return [
        _said(call("POST", document_path(PAPER), {"party": "no such party"})),
        _said(call("POST", document_path(PAPER), {"party": party, "rows": rows})),
        _said(call("POST", document_path(PAPER), {"party": party, "rows": [{"thing": thing}]})),
        _said(_put(call, PAPER, _paper(call)["name"], party="no such party")),
    ]


def what_is_taken_is_refused(call: CallCentral) -> Seen:
    number = _new(call, "number")
    first = _party(call, number=number)
    code = _thing(call)
    slip = _new(call, "slip")
    other = _party(call)
    return [
        _taken(call("POST", document_path(PARTY), {"title": "x", "number": number})),
        _taken(_put(call, PARTY, other["name"], number=number)),
        _said(_put(call, PARTY, first["name"], number=number)),
        _taken(call("POST", document_path(THING), {"code": code})),
        _said(call("POST", document_path(SLIP), {"name": slip})),
        _taken(call("POST", document_path(SLIP), {"name": slip})),
        _said(call("POST", document_path(SLIP), {"note": "x"})),
        _party(call, number="")["name"] != _party(call, number="")["name"],
    ]


def names_come_from_the_rule(call: CallCentral) -> Seen:
    code = _new(call, "code")
    thing = _doc(call("POST", document_path(THING), {"code": code}))
    first, second = _paper(call)["name"], _paper(call)["name"]
    return [
        thing["name"] == code,
        first[:4],
        len(first) == len(second),
        int(second[-5:]) - int(first[-5:]),
        len(_party(call)["name"]),
    ]


def any_text_can_be_a_name(call: CallCentral) -> Seen:
    seen: Seen = []
    for text in ("50% of a #1?", "O'a/b c", "عميل جديد", 'q"uo&te+s'):
        name = _new(call, text)
        document = _doc(call("POST", document_path(SLIP), {"name": name, "note": text}))
        path = document_path(SLIP, name)
        seen.append(
            [
                document["name"] == name,
                _of(_doc(call("GET", path)), "note"),
                _said(call("PUT", path, {"note": "x", "modified": document["modified"]})),
                _said(call("DELETE", path)),
            ]
        )
    return seen


def rows_get_names_from_the_central(call: CallCentral) -> Seen:
    thing = _thing(call)
    sent = [{"thing": thing, "qty": 2, "name": "of-the-branch"}, {"thing": thing}]
    paper = _doc(call("POST", document_path(PAPER), {"party": _party(call)["name"], "rows": sent}))
    read = _get(call, PAPER, paper["name"])
    rows = read["rows"]
    return [
        [row["qty"] for row in rows],
        [row["idx"] for row in rows],
        [row["name"] for row in rows] == [row["name"] for row in paper["rows"]],
        "of-the-branch" in [row["name"] for row in rows],
        [_of(row, "parentfield", "parenttype", "docstatus") for row in rows],
        all(row["parent"] == paper["name"] for row in rows),
    ]


def rows_sent_in_an_update_are_the_whole_table(call: CallCentral) -> Seen:
    """Row by row: kept under its name and emptied where nothing was sent, new without a name, else gone."""
    first, second, third = _thing(call), _thing(call), _thing(call)
    rows = [{"thing": first, "qty": 5, "remark": "kept"}, {"thing": second, "qty": 6, "remark": "gone"}]
    paper = _paper(call, rows=rows)
    name, kept = paper["name"], paper["rows"][0]["name"]
    untouched = _doc(_put(call, PAPER, name, note="x"))
    sent = [{"name": kept, "thing": first}, {"thing": third}]
    _put(call, PAPER, name, rows=sent)
    read = _get(call, PAPER, name)
    return [
        len(untouched["rows"]),
        [row["name"] == kept for row in read["rows"]],
        [[row["idx"], row["qty"], row.get("remark")] for row in read["rows"]],
        [row["thing"] in (first, third) for row in read["rows"]],
        len(_doc(_put(call, PAPER, name, rows=[]))["rows"]),
        len(_get(call, PAPER, name)["rows"]),
    ]


def a_row_under_an_unknown_name_is_answered_and_lost(call: CallCentral) -> Seen:
    paper = _paper(call)
    row = paper["rows"][0]
    sent = [
        {"name": row["name"], "thing": row["thing"], "qty": 2},
        {"name": "of-the-branch", "thing": row["thing"], "qty": 3},
    ]
    answered = _put(call, PAPER, paper["name"], rows=sent)
    return [
        _said(answered),
        [r["qty"] for r in _doc(answered)["rows"]],
        [r["qty"] for r in _get(call, PAPER, paper["name"])["rows"]],
    ]


def a_document_moves_from_draft_to_submitted_to_cancelled(call: CallCentral) -> Seen:
    paper = _paper(call)
    name = paper["name"]
    submitted = _put(call, PAPER, name, docstatus=1, modified=paper["modified"])
    path = document_path(PAPER, name)
    seen = [
        _said(submitted),
        _doc(submitted)["docstatus"],
        [row["docstatus"] for row in _doc(submitted)["rows"]],
        _said(_put(call, PAPER, name, docstatus=1, modified=paper["modified"])),
        _said(_put(call, PAPER, name, docstatus=1)),
        _said(_put(call, PAPER, name, note="changed")),
        _said(_put(call, PAPER, name, comment="changed")),
        _said(_put(call, PAPER, name, docstatus=0)),
        _said(call("DELETE", path)),
    ]
    cancelled = _put(call, PAPER, name, docstatus=2)
    return [
        *seen,
        _said(cancelled),
        _doc(cancelled)["docstatus"],
        [row["docstatus"] for row in _doc(cancelled)["rows"]],
        _said(_put(call, PAPER, name, docstatus=2)),
        _said(_put(call, PAPER, name, note="x")),
        _said(call("DELETE", path)),
    ]


def not_every_state_follows_every_other(call: CallCentral) -> Seen:
    draft = _paper(call)["name"]
    at_once = _paper(call, docstatus=1)
    body = {"party": _party(call)["name"], "docstatus": 2}
    return [
        _said(_put(call, PAPER, draft, docstatus=2)),
        at_once["docstatus"],
        _get(call, PAPER, at_once["name"])["docstatus"],
        [row["docstatus"] for row in at_once["rows"]],
        _said(call("POST", document_path(PAPER), body)),
    ]


def links_hold_what_they_name(call: CallCentral) -> Seen:
    paper = _paper(call)
    party, thing = paper["party"], paper["rows"][0]["thing"]
    return [
        _said(call("DELETE", document_path(PARTY, party))),
        _said(call("DELETE", document_path(THING, thing))),
        _said(call("DELETE", document_path(PAPER, paper["name"]))),
        _said(call("DELETE", document_path(THING, thing))),
        _said(call("DELETE", document_path(PARTY, party))),
    ]


def submitted_documents_hold_what_they_link_to(call: CallCentral) -> Seen:
    """What the refused cancel leaves behind is not compared: 16.0.0-dev on SQLite does not roll it back."""
    held, free = _paper(call, docstatus=1)["name"], _paper(call, docstatus=1)["name"]
    draft = _paper(call, other=free)["name"]
    linking = _paper(call, other=held)["name"]
    seen = [
        _said(_put(call, PAPER, linking, docstatus=1)),
        _said(_put(call, PAPER, held, docstatus=2)),
        _said(_put(call, PAPER, free, docstatus=2)),
    ]
    late = {"party": _party(call)["name"], "other": free}
    return [
        *seen,
        _said(call("POST", document_path(PAPER), late)),
        _said(_put(call, PAPER, draft, note="x")),
        _said(_put(call, PAPER, linking, docstatus=2)),
    ]


def lists_are_filtered(call: CallCentral) -> Seen:
    number = _new(call, "number %")
    first = _party(call, number=number)
    second = _party(call, note=number)

    def found(filters: Any, *, fields: str = '["name"]', doctype: str = PARTY) -> Any:
        query = f"?filters={_quoted(filters)}&fields={_quoted(json.loads(fields))}&limit_page_length=50"
        answer = call("GET", document_path(doctype) + query)
        return [row["name"] for row in answer[1]["data"]] if answer[0] == 200 else _said(answer)

    mine = [["owner", "=", first["owner"]], ["creation", ">=", first["creation"]]]
    return [
        found([["number", "=", number]]) == [first["name"]],
        found({"number": number}) == [first["name"]],
        found([["number", "=", "no such number"]]),
        sorted(found([["name", "in", [first["name"], second["name"]]]]))
        == sorted([first["name"], second["name"]]),
        sorted(found(mine)) == sorted([first["name"], second["name"]]),
        found([["owner", "=", "nobody@example.com"], ["creation", ">=", first["creation"]]]),
        len(call("GET", document_path(PARTY))[1]["data"]),
        sorted(call("GET", document_path(PARTY))[1]["data"][0]),
    ]


def a_rename_moves_the_links(call: CallCentral) -> Seen:
    paper = _paper(call)
    old = paper["rows"][0]["thing"]
    new, free = f"{old} new", f"{old} free"

    def rename(doctype: str, old_name: str, new_name: str, **more: Any) -> tuple[int, Any]:
        body = {"doctype": doctype, "old_name": old_name, "new_name": new_name, **more}
        return call("POST", "/api/method/frappe.client.rename_doc", body)

    answer = rename(THING, old, new)
    slip = _doc(call("POST", document_path(SLIP), {"name": _new(call, "slip")}))["name"]
    other = _thing(call)
    return [
        _said(answer),
        answer[1].get("message") == new,
        _said(call("GET", document_path(THING, old))),
        _get(call, THING, new)["code"] == new,
        _get(call, PAPER, paper["name"])["rows"][0]["thing"] == new,
        _said(rename(THING, new, other)),
        _said(rename(THING, "no such thing", free)),
        _said(rename(SLIP, slip, f"{slip} new")),
        _said(rename(THING, new, other, merge=1)),
        _get(call, PAPER, paper["name"])["rows"][0]["thing"] == other,
        _said(call("GET", document_path(THING, new))),
    ]


def the_client_calls_do_the_same(call: CallCentral) -> Seen:
    def client(verb: str, body: Any) -> tuple[int, Any]:
        return call("POST", f"/api/method/frappe.client.{verb}", body)

    inserted = client("insert", {"doc": {"doctype": PARTY, "title": "by call"}})
    document = _doc(inserted)
    where = {"doctype": PARTY, "name": document["name"]}
    saved = client("save", {"doc": {**document, "note": "saved"}})
    stale = client("save", {"doc": {**document, "note": "stale"}})
    changed = client("set_value", {**where, "fieldname": "note", "value": "set"})
    paper = _paper(call)
    submitted = client("submit", {"doc": {**_get(call, PAPER, paper["name"])}})
    cancelled = client("cancel", {"doctype": PAPER, "name": paper["name"]})
    deleted = client("delete", where)
    return [
        _said(inserted),
        _said(saved),
        _doc(saved)["note"],
        _said(stale),
        _said(changed),
        _doc(changed)["note"],
        _said(submitted),
        _doc(submitted)["docstatus"],
        _said(cancelled),
        _doc(cancelled)["docstatus"],
        _said(deleted),
        deleted[1],
        _said(client("delete", where)),
        _said(client("insert", {"doc": {"doctype": PARTY}})),
    ]


def version_2_answers_documents_and_errors_in_its_own_shape(call: CallCentral) -> Seen:
    path = document_path(PARTY).replace("resource", "v2/document")
    document = _doc(call("POST", path, {"title": "v2"}))
    stale = call("PUT", f"{path}/{document['name']}", {"note": "x", "modified": "2020-01-01 00:00:00"})
    return [
        document["title"],
        _said(stale),
        sorted(stale[1]),
        _said(call("PUT", f"{path}/{document['name']}", {"note": "x", "modified": document["modified"]})),
        _said(call("DELETE", f"{path}/{document['name']}")),
    ]


def _quoted(value: Any) -> str:
    return quote_segment(json.dumps(value))


CASES: tuple[Callable[[CallCentral], Seen], ...] = (
    a_create_takes_defaults_for_what_is_absent_or_null,
    nulls_and_unknown_fields_are_not_answered,
    an_update_needs_the_current_version_or_none,
    an_update_without_a_change_moves_the_version_all_the_same,
    an_update_empties_what_is_null,
    another_name_in_an_update_is_not_found,
    what_is_missing_is_not_found,
    a_delete_is_answered_202,
    wrong_calls_are_told_apart,
    who_calls_matters,
    a_required_field_must_be_there,
    a_link_must_name_something,
    what_is_taken_is_refused,
    names_come_from_the_rule,
    any_text_can_be_a_name,
    rows_get_names_from_the_central,
    rows_sent_in_an_update_are_the_whole_table,
    a_row_under_an_unknown_name_is_answered_and_lost,
    a_document_moves_from_draft_to_submitted_to_cancelled,
    not_every_state_follows_every_other,
    links_hold_what_they_name,
    submitted_documents_hold_what_they_link_to,
    lists_are_filtered,
    a_rename_moves_the_links,
    the_client_calls_do_the_same,
    version_2_answers_documents_and_errors_in_its_own_shape,
)
