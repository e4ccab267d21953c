"""The wire between branch and companion: what is built is read back, what is not agreed on is refused."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erp_offline_sync.engine.errors import MessageTooLarge, UnknownSchema, UnreadableMessage
from erp_offline_sync.engine.identity import canonical_json, fingerprint
from erp_offline_sync.engine.model import Operation
from erp_offline_sync.engine.sending.push import (
    LIMITS,
    Capabilities,
    Limits,
    Push,
    PushAnswer,
    PushOutcome,
    PushRequest,
    PushResult,
    Receipt,
    ReceiptState,
    RowPatch,
    Unreadable,
    answer_body,
    capabilities_body,
    gone_rows,
    inflated,
    item_text,
    packed,
    parse_answer,
    parse_capabilities,
    parse_push,
    parse_receipts,
    patched_rows,
    push_text,
    row_patch,
)

SALE = {"doctype": "Shop Sale", "name": "SALE-1"}

REQUESTS = {
    "create": PushRequest(
        id="a",
        number=1,
        operation=Operation.CREATE,
        doctype="Shop Sale",
        values={"customer": "CUST-7", "items": [{"item": "ملح", "qty": 2.5}]},
        set_name="B1-SALE-1",
    ),
    "update": PushRequest(
        id="b",
        number=2,
        operation=Operation.UPDATE,
        version="2025-01-01 10:00:00.000001",
        values={"note": "50% off, O'Brien"},
        rows={
            "items": RowPatch(
                changed={"r1": {"qty": 3}}, added=({"item": "B"},), removed=("r2",), order=("r1", None)
            )
        },
        replaces="z",
        **SALE,
    ),
    "submit": PushRequest(id="c", number=3, operation=Operation.SUBMIT, version="v", **SALE),
    "cancel": PushRequest(id="d", number=4, operation=Operation.CANCEL, overwrite=True, **SALE),
    "delete": PushRequest(id="e", number=5, operation=Operation.DELETE, version="v", **SALE),
    "rename": PushRequest(
        id="f", number=6, operation=Operation.RENAME, version="v", new_name="SALE-2", merge=True, **SALE
    ),
    "call": PushRequest(
        id="g",
        number=7,
        operation=Operation.CALL,
        method="POST",
        path="/api/method/shop.close",
        values={"till": 1},
    ),
}


def text_of(*items: str, **changed: Any) -> str:
    head: dict[str, Any] = {"origin": "o-1", "run": 3, "run_key": "k", "low_water": 1, "language": "de"}
    head |= {"seconds": 20, "home": "h", "site": "till.example"}
    return push_text(**{**head, **changed}, items=items)


def body_of(items: list[Any], **changed: Any) -> bytes:
    """A push made by hand, so that it may be wrong."""
    head = {"schema": 1, "origin": "o-1", "run": 3, "run_key": "k", "low_water": 1, "seconds": 20}
    return packed(json.dumps({**head, "requests": items, **changed}))


def item(**changed: Any) -> dict[str, Any]:
    """An update with the right fingerprint; None takes a field away."""
    content = {"id": "b", "number": 2, "operation": "update", **SALE, "version": "v", "values": {"note": "x"}}
    content = {key: value for key, value in {**content, **changed}.items() if value is not None}
    return {"fingerprint": fingerprint(content), **content}


def why(**changed: Any) -> str:
    (request,) = parse_push(body_of([item(**changed)])).requests
    assert isinstance(request, Unreadable)
    assert request.id == "b"
    return request.why


# There and back


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_read_as_it_was_written_with_the_fingerprint_of_its_content(name: str) -> None:
    text = item_text(REQUESTS[name])
    (request,) = parse_push(packed(text_of(text))).requests
    stated = json.loads(text)
    stamp = stated.pop("fingerprint")
    assert request == replace(REQUESTS[name], fingerprint=stamp)
    assert stamp == fingerprint(stated)


def test_a_push_is_canonical_json_in_gzip_and_the_same_bytes_each_time() -> None:
    items = [item_text(request) for request in REQUESTS.values()]
    text = text_of(*items)
    assert text == canonical_json(json.loads(text))
    assert packed(text) == packed(text)
    assert gzip.decompress(packed(text)) == text.encode()
    push = parse_push(packed(text))
    assert push == Push(
        origin="o-1",
        run=3,
        run_key="k",
        home="h",
        site="till.example",
        low_water=1,
        language="de",
        seconds=20.0,
        requests=push.requests,
    )
    assert [request.id for request in push.requests] == ["a", "b", "c", "d", "e", "f", "g"]


def test_an_empty_push_is_a_push() -> None:
    assert parse_push(packed(text_of(language=None))).requests == ()


def test_a_language_with_a_region_is_read_and_a_path_is_not() -> None:
    assert parse_push(packed(text_of(language="pt-BR"))).language == "pt-BR"
    with pytest.raises(UnreadableMessage, match="`language` must be a language code"):
        parse_push(packed(text_of(language="../de")))


@given(st.dictionaries(st.text(min_size=1), st.none() | st.booleans() | st.integers(0, 10**12) | st.text()))
def test_any_values_keep_their_fingerprint_on_the_way(values: dict[str, Any]) -> None:
    request = PushRequest(id="a", number=1, operation=Operation.CREATE, doctype="T", values=values)
    try:
        body = packed(text_of(item_text(request)))
    except (UnreadableMessage, UnicodeEncodeError):  # half of a surrogate pair
        return
    (seen,) = parse_push(body).requests
    assert isinstance(seen, PushRequest)
    assert seen.values == values


# Bytes


def test_a_bomb_is_unpacked_only_to_its_limit() -> None:
    limits = Limits(max_bytes=100_000, max_inflated_bytes=1_000_000)
    bomb = gzip.compress(b"0" * 50_000_000)
    assert len(bomb) < limits.max_bytes
    with pytest.raises(MessageTooLarge, match="unpacks to more than 1,000,000 bytes"):
        inflated(bomb, limits)


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_limits_are_the_last_that_is_allowed(over: int) -> None:
    plain = b"x" * (1000 + over)
    data = gzip.compress(plain)
    limits = Limits(max_bytes=len(data), max_inflated_bytes=1000)
    if over > 0:
        with pytest.raises(MessageTooLarge):
            inflated(data, limits)
    else:
        assert inflated(data, limits) == plain
    with pytest.raises(MessageTooLarge, match="more than"):
        inflated(data, replace(limits, max_bytes=len(data) - 1))


def test_more_requests_than_allowed_are_refused_whole() -> None:
    items = [item(id=str(place)) for place in range(3)]
    assert len(parse_push(body_of(items), replace(LIMITS, max_requests=3)).requests) == 3
    with pytest.raises(MessageTooLarge, match="more than 2 requests"):
        parse_push(body_of(items), replace(LIMITS, max_requests=2))


def test_what_is_not_one_whole_gzip_stream_is_refused() -> None:
    data = packed(text_of())
    with pytest.raises(UnreadableMessage, match="not gzip"):
        parse_push(b"{}")
    with pytest.raises(UnreadableMessage, match="ends in the middle"):
        parse_push(data[:-9])
    with pytest.raises(UnreadableMessage, match="Something follows"):
        parse_push(data + data)
    with pytest.raises(UnreadableMessage, match="not gzip"):
        parse_push(data[:-8] + b"\0" * 8)


@pytest.mark.parametrize(
    "plain", [b"", b"nonsense", b"\xff\xfe", b'{"a": NaN}', b"[" * 200_000, b"1" * 10_000]
)
def test_what_is_not_json_in_utf8_is_refused(plain: bytes) -> None:
    with pytest.raises(UnreadableMessage):
        parse_push(gzip.compress(plain))


def test_text_that_is_none_cannot_be_packed() -> None:
    with pytest.raises(UnreadableMessage, match="surrogate"):
        packed("\ud800")


# The push as a whole


@pytest.mark.parametrize("schema", [None, "1", True, -1, 1.0])
def test_without_a_schema_number_nothing_is_read(schema: Any) -> None:
    with pytest.raises(UnreadableMessage, match="no schema number"):
        parse_push(body_of([], schema=schema))


def test_another_schema_is_told_from_a_broken_push() -> None:
    with pytest.raises(UnknownSchema, match="Schema 2 is not known here, only 1"):
        parse_push(body_of([], schema=2))
    with pytest.raises(UnreadableMessage, match="no schema number"):
        parse_push(gzip.compress(b"[]"))


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"origin": ""}, "`origin` must be 1 to 140 of the characters"),
        ({"origin": "x" * 141}, "`origin`"),
        ({"origin": 7}, "`origin`"),
        ({"origin": "\ud800"}, "`origin`"),
        ({"run": -1}, "`run` must be a whole number"),
        ({"run": 1 << 63}, "`run`"),
        ({"run_key": ""}, "`run_key`"),
        ({"site": "<b>till</b>"}, "`site`"),
        ({"home": 7}, "`home`"),
        ({"low_water": True}, "`low_water`"),
        ({"seconds": "20"}, "`seconds` must be a number"),
        ({"seconds": True}, "`seconds`"),
        ({"requests": {}}, "`requests` must be a list"),
        ({"requests": [7]}, "Request 0 must be an object"),
        ({"requests": [{}]}, "Request 0: `id`"),
        ({"requests": [{"id": "<a>"}]}, "Request 0: `id`"),
        ({"requests": [{"id": "a"}, {"id": "a"}]}, "Request 1 has the id of another"),
    ],
)
def test_a_push_that_is_not_as_agreed_is_refused_with_the_place(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(UnreadableMessage, match=says):
        parse_push(body_of([], **changed))


def test_seconds_without_end_are_refused() -> None:
    text = text_of().replace('"seconds":20', '"seconds":1e999')
    with pytest.raises(UnreadableMessage, match="`seconds`"):
        parse_push(packed(text))


# One request of it


def test_a_request_that_cannot_be_read_harms_no_other() -> None:
    good, bad = item(id="a"), item(id="b", operation="explode")
    first, second = parse_push(body_of([good, bad])).requests
    assert isinstance(first, PushRequest)
    assert isinstance(second, Unreadable)
    assert second.why.startswith("The request: `operation` must be one of create, update")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"number": None}, "`number`"),
        ({"operation": ["update"]}, "`operation`"),
        ({"doctype": None}, "`doctype` is needed to update"),
        ({"name": None}, "`name` is needed to update"),
        ({"version": None}, "without `version` it may go only with `overwrite`"),
        ({"version": None, "overwrite": False}, "only with `overwrite`"),
        ({"overwrite": 1}, "`overwrite` must be true or false"),
        ({"values": []}, "`values` must be an object"),
        ({"operation": "rename"}, "`new_name` is needed to rename"),
        ({"operation": "call"}, "`method` is needed to call"),
        ({"operation": "call", "method": "PATCH"}, "`method` must be one of POST, PUT"),
        ({"operation": "call", "method": "POST", "path": "x" * 2001}, "`path`"),
        ({"operation": "delete", "rows": {"items": {"order": []}}}, "only a document that is there"),
        ({"rows": {"note": {"order": []}}}, "in `values` or in `rows`"),
        ({"rows": {"items": []}}, "The rows of items must be an object"),
        ({"rows": {"items": {}}}, "`order` must be a list"),
        ({"rows": {"items": {"order": [7]}}}, "named by a text"),
        ({"rows": {"items": {"order": [], "removed": [None]}}}, "named by a text"),
        ({"rows": {"items": {"order": [None], "added": ["x"]}}}, "each row must be an object"),
        ({"rows": {"items": {"order": ["r"], "changed": {"r": 1}}}}, "each row must be an object"),
        ({"rows": {"items": {"order": [None]}}}, "null for each added one"),
        ({"rows": {"items": {"order": ["r", "r"]}}}, "each row once"),
        ({"rows": {"items": {"order": [], "changed": {"r": {}}}}}, "changed rows stand in `order`"),
        ({"rows": {"items": {"order": ["r"], "removed": ["r"]}}}, "removed ones do not"),
        ({"fingerprint": "0" * 64}, "`fingerprint` is not that of its content"),
    ],
)
def test_a_request_that_is_not_as_agreed_says_what_is_wrong(changed: dict[str, Any], says: str) -> None:
    assert says in why(**changed)


@pytest.mark.parametrize("wrong", ['"\\ud800"', "1e999", "[" * 900 + "]" * 900])
def test_what_canonical_json_cannot_hold_makes_one_request_unreadable(wrong: str) -> None:
    text = json.dumps({**item(), "values": {"note": "WRONG"}}).replace('"WRONG"', wrong)
    plain = f'{{"schema":1,"origin":"o","run":1,"run_key":"k","low_water":1,"seconds":1,"requests":[{text}]}}'
    try:
        (request,) = parse_push(packed(plain)).requests
    except UnreadableMessage:  # nested too deeply for this Python to read at all
        return
    assert isinstance(request, Unreadable)


def test_an_update_with_a_leave_to_overwrite_needs_no_version() -> None:
    (request,) = parse_push(body_of([item(version=None, overwrite=True)])).requests
    assert isinstance(request, PushRequest)
    assert (request.version, request.overwrite) == (None, True)


# Rows


def test_the_patch_of_a_table_names_the_central_s_rows_and_carries_what_changed() -> None:
    before = [
        {"name": "l1", "idx": 1, "item": "A", "qty": 1},
        {"name": "l2", "idx": 2, "item": "B", "qty": 1},
        {"name": "l3", "idx": 3, "item": "C", "qty": 1},
        {"name": "l4", "item": "never sent"},
    ]
    after = [
        {"name": "l3", "idx": 1, "item": "C", "qty": 1.0},
        {"name": "l5", "idx": 2, "item": "D", "qty": 5, "doctype": "Shop Sale Item"},
        {"name": "l1", "idx": 3, "item": "A", "qty": 2},
    ]
    assert row_patch(before, after, {"l1": "c1", "l2": "c2", "l3": "c3"}) == RowPatch(
        changed={"c1": {"qty": 2}},
        added=({"item": "D", "qty": 5},),
        removed=("c2",),
        order=("c3", None, "c1"),
    )
    assert row_patch(None, None, {}) == RowPatch()


def test_rows_that_the_branch_does_not_know_stay_behind_the_one_that_they_followed() -> None:
    current = [{"name": name, "item": name.upper(), "price": 9} for name in ("x", "a", "y", "b", "z", "c")]
    patch = RowPatch(
        changed={"a": {"item": "new"}, "gone": {"item": "-"}},
        added=({"item": "first", "name": "l9"}, {"item": "last"}),
        removed=("c",),
        order=(None, "b", "gone", "a", None),
    )
    assert patched_rows(current, patch) == [
        {"name": "x", "item": "X", "price": 9},
        {"item": "first"},
        {"name": "b", "item": "B", "price": 9},
        {"name": "z", "item": "Z", "price": 9},
        {"name": "a", "item": "new", "price": 9},
        {"name": "y", "item": "Y", "price": 9},
        {"item": "last"},
    ]
    assert gone_rows(current, patch) == ["gone"]
    assert current[1] == {"name": "a", "item": "A", "price": 9}


ROWS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 3)), max_size=6, unique_by=lambda row: row[0]
).map(lambda pairs: [{"name": f"l{name}", "qty": qty} for name, qty in pairs])


@given(ROWS, ROWS)
def test_a_patch_turns_the_central_s_rows_into_the_branch_s(before: Any, after: Any) -> None:
    names = {row["name"]: f"c{row['name']}" for row in before}
    current = [{**row, "name": names[row["name"]], "theirs": 1} for row in before]
    rows = patched_rows(current, row_patch(before, after, names))
    assert [row["qty"] for row in rows] == [row["qty"] for row in after]
    assert [row.get("name") for row in rows] == [names.get(row["name"]) for row in after]
    assert all(row.get("theirs") == (1 if "name" in row else None) for row in rows)


# Answers

ANSWER = PushAnswer(
    time="2025-01-01 10:00:00.000001",
    time_zone="Asia/Kolkata",
    outcomes=(
        PushResult(
            id="a",
            outcome=PushOutcome.APPLIED,
            name="SALE-1",
            version="v2",
            docstatus=0,
            document={"name": "SALE-1"},
        ),
        PushResult(id="b", outcome=PushOutcome.CONFLICT, exc_type="TimestampMismatchError"),
        PushResult(
            id="c",
            outcome=PushOutcome.REJECTED,
            status=417,
            exc_type="MandatoryError",
            field="customer",
            message="Wert fehlt",
        ),
        PushResult(id="d", outcome=PushOutcome.DEFERRED, waits_for="submit", retry_after=1.5),
    ),
)


def test_an_answer_is_read_as_it_was_written_also_where_time_ran_out() -> None:
    body = json.loads(json.dumps(answer_body(ANSWER)))
    assert parse_answer(body, ["a", "b", "c", "d"]) == ANSWER
    assert parse_answer(body, ["a", "b", "c", "d", "e"]) == ANSWER


def test_how_long_the_central_worked_is_told_where_it_is_known() -> None:
    body = answer_body(replace(ANSWER, took=1.2345))
    assert parse_answer(body, ["a", "b", "c", "d"]).took == 1.234
    assert "took" not in answer_body(ANSWER)


def test_a_conflict_says_that_the_document_is_gone_and_nothing_else_says_null() -> None:
    _applied, conflict, rejected, _deferred = answer_body(ANSWER)["outcomes"]
    assert conflict == {
        "id": "b",
        "outcome": "conflict",
        "exc_type": "TimestampMismatchError",
        "document": None,
    }
    assert rejected == {
        "id": "c",
        "outcome": "rejected",
        "status": 417,
        "exc_type": "MandatoryError",
        "field": "customer",
        "message": "Wert fehlt",
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda body: body.pop("schema"), "no schema number"),
        (lambda body: body.update(schema=2), "Schema 2"),
        (lambda body: body.update(time=None), "`time`"),
        (lambda body: body.update(took=-1), "`took`"),
        (
            lambda body: body["outcomes"].append({"id": "e", "outcome": "applied"}),
            "not those of the requests",
        ),
        (lambda body: body["outcomes"].reverse(), "not those of the requests"),
        (lambda body: body["outcomes"][0].update(outcome="done"), "not known here"),
        (lambda body: body["outcomes"][0].update(document="x"), "Outcome 0: `document` must be an object"),
        (lambda body: body["outcomes"].__setitem__(0, 7), "Outcome 0 must be an object"),
    ],
)
def test_an_answer_that_is_not_as_agreed_counts_as_none(change: Any, says: str) -> None:
    body = answer_body(ANSWER)
    change(body)
    with pytest.raises(UnreadableMessage, match=says):
        parse_answer(body, ["a", "b", "c", "d"])


def test_something_else_in_the_answer_s_place_is_refused() -> None:
    for other in (None, "ok", [], 7):
        with pytest.raises(UnreadableMessage):
            parse_answer(other, [])


def test_receipts_answer_each_id_that_was_asked_for() -> None:
    message = {
        "receipts": {
            "a": {"outcome": "applied", "name": "SALE-1", "version": "v", "docstatus": 1},
            "b": {"outcome": "none"},
        }
    }
    assert parse_receipts(message, ["a", "b"]) == {
        "a": Receipt(state=ReceiptState.APPLIED, name="SALE-1", version="v", docstatus=1),
        "b": Receipt(state=ReceiptState.NONE),
    }
    with pytest.raises(UnreadableMessage, match="A receipt must be an object"):
        parse_receipts(message, ["c"])
    with pytest.raises(UnreadableMessage, match="not known here"):
        parse_receipts({"receipts": {"a": {"outcome": "maybe"}}}, ["a"])


def test_capabilities_are_read_as_they_were_written() -> None:
    capabilities = Capabilities(
        schemas=(1, 2),
        version="0.1.0",
        limits=Limits(max_requests=7),
        time="2025-01-01 10:00:00.000000",
        time_zone="UTC",
        user="branch@example.com",
    )
    body = json.loads(json.dumps(capabilities_body(capabilities)))
    assert parse_capabilities(body) == capabilities
    with pytest.raises(UnknownSchema, match="does not know schema 1"):
        parse_capabilities({**body, "schema": [2]})
    with pytest.raises(UnreadableMessage, match="`user`"):
        parse_capabilities({**body, "user": None})
